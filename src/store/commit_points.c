/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Metric points: the history, the latest values, and the values of logged models. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "commit_impl.h"
#include "db/db.h"
#include "store/curve.h"

enum { COPY_FROM = 500 };               /* points from which COPY is faster than an INSERT */

enum { INSERT_POINTS, UPSERT_POINTS, UPSERT_LATEST, UPSERT_MODEL_POINTS };

/* NaN counts as 0, which is how MLflow stores it. */
#define RANK(v) "CASE WHEN " v " = 'NaN' THEN 0 ELSE " v " END"

#define LATER \
	"(excluded.step, excluded.timestamp, " RANK("excluded.value") ")" \
	" > (latest.step, latest.timestamp, " RANK("latest.value") ")"
/* See curve_roll.c, which sets it. NULL, where it was never set, stays. */
#define FRESH \
	"(excluded.fresh_timestamp, excluded.fresh_step) < (latest.fresh_timestamp, latest.fresh_step)"

/* unnest() keeps the order of the arrays, and with it the order in which rows are locked. */
static const struct stmt stmts[] = {
	[INSERT_POINTS] = { "commit_insert_points", "INIID",
		"INSERT INTO points (run_id, key_id, timestamp, step, value)"
		" SELECT * FROM unnest($1, $2, $3, $4, $5)" },
	[UPSERT_POINTS] = { "commit_upsert_points", "INIID",
		"INSERT INTO points (run_id, key_id, timestamp, step, value)"
		" SELECT * FROM unnest($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING" },
	[UPSERT_LATEST] = { "commit_latest", "INIIIDII",
		"INSERT INTO latest"
		" (run_id, key_id, experiment_id, step, timestamp, value, fresh_timestamp, fresh_step)"
		" SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8)"
		" ON CONFLICT (run_id, key_id) DO UPDATE"
		" SET step = CASE WHEN " LATER " THEN excluded.step ELSE latest.step END,"
		" timestamp = CASE WHEN " LATER " THEN excluded.timestamp ELSE latest.timestamp END,"
		" value = CASE WHEN " LATER " THEN excluded.value ELSE latest.value END,"
		" fresh_timestamp = CASE WHEN " FRESH
		" THEN excluded.fresh_timestamp ELSE latest.fresh_timestamp END,"
		" fresh_step = CASE WHEN " FRESH " THEN excluded.fresh_step ELSE latest.fresh_step END"
		" WHERE " LATER " OR " FRESH },
	[UPSERT_MODEL_POINTS] = { "commit_model_points", "IITIIDTT",
		"INSERT INTO logged_model_metrics AS m (model, run_id, key, step, timestamp, value,"
		" dataset_name, dataset_digest)"
		" SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8)"
		" ON CONFLICT (model, key, step, run_id, dataset_name, dataset_digest, timestamp)"
		" DO UPDATE SET value = excluded.value"
		" WHERE " RANK("excluded.value") " > " RANK("m.value") },
};

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

/* PostgreSQL's order: NaN is the greatest and equals itself. */
static int compare_values(double a, double b)
{
	if (isnan(a) || isnan(b))
		return COMPARE(isnan(a), isnan(b));
	return COMPARE(a, b);
}

static int compare_identities(const struct point *a, const struct point *b)
{
	int order = COMPARE(a->run, b->run);

	if (!order)
		order = COMPARE(a->key, b->key);
	if (!order)
		order = COMPARE(a->timestamp, b->timestamp);
	if (!order)
		order = COMPARE(a->step, b->step);
	return order ? order : compare_values(a->value, b->value);
}

static int compare_points(const void *x, const void *y)
{
	const struct point *a = x, *b = y;
	int order = compare_identities(a, b);

	return order ? order : COMPARE(a->order, b->order);
}

static double rank(double value)
{
	return isnan(value) ? 0 : value;
}

/* MLflow's rule: greater in (step, timestamp, value); of equal ones the first to come stays. */
static bool later(const struct point *a, const struct point *b)
{
	int order = COMPARE(a->step, b->step);

	if (!order)
		order = COMPARE(a->timestamp, b->timestamp);
	if (!order)
		order = COMPARE(rank(a->value), rank(b->value));
	return order ? order > 0 : a->order < b->order;
}

/* Sorted, each identity once. */
static void tidy(struct attempt *a)
{
	size_t n = 0;

	qsort(a->points, a->point_count, sizeof(*a->points), compare_points);
	for (size_t i = 0; i < a->point_count; i++) {
		if (n == 0 || compare_identities(&a->points[i], &a->points[n - 1]) != 0)
			a->points[n++] = a->points[i];
	}
	a->point_count = n;
}

struct columns {
	int64_t *runs, *experiments, *timestamps, *steps;
	int64_t *fresh_timestamps, *fresh_steps;
	int32_t *keys;
	double *values;
	size_t count;
};

static void columns_init(struct arena *a, struct columns *col, size_t most)
{
	col->runs = NEW_ARRAY(a, most, int64_t);
	col->experiments = NEW_ARRAY(a, most, int64_t);
	col->timestamps = NEW_ARRAY(a, most, int64_t);
	col->steps = NEW_ARRAY(a, most, int64_t);
	col->keys = NEW_ARRAY(a, most, int32_t);
	col->values = NEW_ARRAY(a, most, double);
	col->count = 0;
}

static void columns_add(struct columns *col, const struct point *p)
{
	size_t i = col->count++;

	col->runs[i] = p->run;
	col->experiments[i] = p->experiment;
	col->timestamps[i] = p->timestamp;
	col->steps[i] = p->step;
	col->keys[i] = p->key;
	col->values[i] = p->value;
}

static int copy_points(struct attempt *a)
{
	struct db_arg *values = NEW_ARRAY(a->c->arena, a->point_count * 5, struct db_arg);
	struct db_arg *v = values;

	for (size_t i = 0; i < a->point_count; i++) {
		const struct point *p = &a->points[i];

		*v++ = BIGINT(p->run);
		*v++ = INTEGER(p->key);
		*v++ = BIGINT(p->timestamp);
		*v++ = BIGINT(p->step);
		*v++ = REAL(p->value);
	}
	return db_copy(
		a->c,
		"COPY points (run_id, key_id, timestamp, step, value) FROM STDIN (FORMAT binary)",
		"iniid", values, a->point_count);
}

static void insert_points(struct attempt *a, struct columns *col)
{
	for (size_t i = 0; i < a->point_count; i++)
		columns_add(col, &a->points[i]);
	db_queue(a->c, &stmts[a->upsert_points ? UPSERT_POINTS : INSERT_POINTS],
	         ARGS(BIGINTS(col->runs, col->count), INTEGERS(col->keys, col->count),
	              BIGINTS(col->timestamps, col->count), BIGINTS(col->steps, col->count),
	              REALS(col->values, col->count)), NULL);
	col->count = 0;
}

/* One row for the points of a run's metric, which begin with the least (timestamp, step). */
static void add_latest(struct columns *col, const struct point *first, size_t count)
{
	const struct point *latest = first;
	size_t i = col->count;

	for (const struct point *p = first + 1; p < first + count; p++) {
		if (later(p, latest))
			latest = p;
	}
	columns_add(col, latest);
	col->fresh_timestamps[i] = first->timestamp;
	col->fresh_steps[i] = first->step;
	store_curve_grew((struct curve_id){ first->run, first->key }, count);
}

static void upsert_latest(struct attempt *a, struct columns *col)
{
	const struct point *first = a->points, *end = a->points + a->point_count;

	col->fresh_timestamps = NEW_ARRAY(a->c->arena, a->point_count, int64_t);
	col->fresh_steps = NEW_ARRAY(a->c->arena, a->point_count, int64_t);
	for (const struct point *p = first; p <= end; p++) {
		if (p < end && p->run == first->run && p->key == first->key)
			continue;
		add_latest(col, first, (size_t)(p - first));
		first = p;
	}
	db_queue(a->c, &stmts[UPSERT_LATEST],
	         ARGS(BIGINTS(col->runs, col->count), INTEGERS(col->keys, col->count),
	              BIGINTS(col->experiments, col->count), BIGINTS(col->steps, col->count),
	              BIGINTS(col->timestamps, col->count), REALS(col->values, col->count),
	              BIGINTS(col->fresh_timestamps, col->count), BIGINTS(col->fresh_steps, col->count)),
	         NULL);
}

int commit_points(struct attempt *a)
{
	struct columns col;

	if (!a->point_count)
		return 0;
	tidy(a);
	columns_init(a->c->arena, &col, a->point_count);
	if (a->upsert_points || a->point_count < COPY_FROM)
		insert_points(a, &col);
	else if (copy_points(a))
		return -1;
	upsert_latest(a, &col);
	return 0;
}

/* ---- values of logged models ---- */

static const char *text(const char *s)
{
	return s ? s : "";
}

static int compare_model_identities(const struct model_point *a, const struct model_point *b)
{
	int order = COMPARE(a->model, b->model);

	if (!order)
		order = strcmp(a->metric->key, b->metric->key);
	if (!order)
		order = COMPARE(*a->metric->step, *b->metric->step);
	if (!order)
		order = COMPARE(a->run, b->run);
	if (!order)
		order = strcmp(text(a->metric->dataset_name), text(b->metric->dataset_name));
	if (!order)
		order = strcmp(text(a->metric->dataset_digest), text(b->metric->dataset_digest));
	return order ? order : COMPARE(*a->metric->timestamp, *b->metric->timestamp);
}

/* The greatest value of an identity first: it is the one that stays. */
static int compare_model_points(const void *x, const void *y)
{
	const struct model_point *a = x, *b = y;
	int order = compare_model_identities(a, b);

	if (!order)
		order = COMPARE(rank(*b->metric->value), rank(*a->metric->value));
	return order ? order : COMPARE(a->order, b->order);
}

void commit_model_points(struct attempt *a)
{
	struct arena *arena = a->c->arena;
	struct model_point *p = a->model_points;
	size_t n = 0, count = a->model_point_count;
	int64_t *models = NEW_ARRAY(arena, count, int64_t),
		*runs = NEW_ARRAY(arena, count, int64_t);
	int64_t *steps = NEW_ARRAY(arena, count, int64_t),
		*times = NEW_ARRAY(arena, count, int64_t);
	double *values = NEW_ARRAY(arena, count, double);
	const char **keys = NEW_ARRAY(arena, count, const char *);
	const char **names = NEW_ARRAY(arena, count, const char *);
	const char **digests = NEW_ARRAY(arena, count, const char *);

	if (!count)
		return;
	qsort(p, count, sizeof(*p), compare_model_points);
	for (size_t i = 0; i < count; i++) {
		const struct metric *m = p[i].metric;

		if (i > 0 && compare_model_identities(&p[i], &p[i - 1]) == 0)
			continue;
		models[n] = p[i].model;
		runs[n] = p[i].run;
		keys[n] = m->key;
		steps[n] = *m->step;
		times[n] = *m->timestamp;
		values[n] = *m->value;
		names[n] = text(m->dataset_name);
		digests[n++] = text(m->dataset_digest);
	}
	db_queue(a->c, &stmts[UPSERT_MODEL_POINTS],
	         ARGS(BIGINTS(models, n), BIGINTS(runs, n), TEXTS(keys, n), BIGINTS(steps, n),
	              BIGINTS(times, n), REALS(values, n), TEXTS(names, n), TEXTS(digests, n)),
	         NULL);
}
