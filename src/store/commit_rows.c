/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* New runs and names, parameters, tags, datasets and models. Rows are sorted, so that daemons
   never deadlock. */

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "commit_impl.h"
#include "db/db.h"
#include "unsettle.h"

enum {
	INSERT_RUNS, RENAME_RUNS, INSERT_PARAMS, UPSERT_TAGS, DELETE_TAGS, INSERT_DATASETS,
	LINK_DATASETS, LINK_MODELS
};

/*
 * Parameters are inserted without ON CONFLICT: those that exist were found before, so one that
 * exists by now came from another commit in between. The group then fails as a whole and is judged
 * again. A dataset's tags belong to the link, and only its first logging makes one; IN (...) IS
 * TRUE is hashed, where a join walks all links for each tag (the planner expects one).
 */
static const struct stmt stmts[] = {
	[INSERT_RUNS] = { "commit_insert_runs", "IUITTI",
		"INSERT INTO runs (id, uuid, experiment_id, name, user_id, start_time, status)"
		" OVERRIDING SYSTEM VALUE SELECT *, 1 FROM unnest($1, $2, $3, $4, $5, $6)" },
	[RENAME_RUNS] = { "commit_rename_runs", "IT",
		"UPDATE runs SET name = q.name FROM unnest($1, $2) AS q(id, name)"
		" WHERE runs.id = q.id" },
	[INSERT_PARAMS] = { "commit_insert_params", "INIT",
		"INSERT INTO params (run_id, key_id, experiment_id, value)"
		" SELECT * FROM unnest($1, $2, $3, $4)" },
	[UPSERT_TAGS] = { "commit_upsert_tags", "INIT",
		"INSERT INTO tags (run_id, key_id, experiment_id, value)"
		" SELECT * FROM unnest($1, $2, $3, $4)"
		" ON CONFLICT (run_id, key_id) DO UPDATE SET value = excluded.value" },
	[DELETE_TAGS] = { "commit_delete_tags", "IN",
		"DELETE FROM tags USING unnest($1, $2) AS q(run_id, key_id)"
		" WHERE tags.run_id = q.run_id AND tags.key_id = q.key_id" },
	[INSERT_DATASETS] = { "commit_insert_datasets", "ITTTTTT",
		"INSERT INTO datasets"
		" (experiment_id, name, digest, source_type, source, schema, profile)"
		" SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING" },
	[LINK_DATASETS] = { "commit_link_datasets", "IITTIITTTT",
		"WITH link AS ("
		" INSERT INTO run_datasets (run_id, dataset_id)"
		" SELECT q.run, d.id"
		" FROM unnest($1, $2, $3, $4) AS q(run, experiment, name, digest)"
		" JOIN datasets d ON d.experiment_id = q.experiment AND d.name = q.name"
		" AND d.digest = q.digest ON CONFLICT DO NOTHING RETURNING run_id, dataset_id)"
		" INSERT INTO run_dataset_tags (run_id, dataset_id, name, value)"
		" SELECT q.run, d.id, q.key, q.value"
		" FROM unnest($5, $6, $7, $8, $9, $10)"
		" AS q(run, experiment, name, digest, key, value)"
		" JOIN datasets d ON d.experiment_id = q.experiment AND d.name = q.name"
		" AND d.digest = q.digest"
		" WHERE ((q.run, d.id) IN (SELECT run_id, dataset_id FROM link)) IS TRUE" },
	[LINK_MODELS] = { "commit_link_models", "ITBI",
		"INSERT INTO run_models (run_id, model_id, output, step)"
		" SELECT * FROM unnest($1, $2, $3, $4)"
		" ON CONFLICT (run_id, output, model_id) DO UPDATE SET step = excluded.step" },
};

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

/* ---- runs ---- */

static void insert_runs(struct attempt *a)
{
	struct arena *arena = a->c->arena;
	size_t n = 0, most = a->created;
	int64_t *ids = NEW_ARRAY(arena, most, int64_t), *starts = NEW_ARRAY(arena, most, int64_t);
	int64_t *experiments = NEW_ARRAY(arena, most, int64_t);
	const char **uuids = NEW_ARRAY(arena, most, const char *);
	const char **names = NEW_ARRAY(arena, most, const char *);
	const char **users = NEW_ARRAY(arena, most, const char *);

	for (uint32_t i = 0; i < a->target_count; i++) {
		const struct target *t = &a->targets[i];

		if (!t->created)
			continue;
		ids[n] = t->id;
		uuids[n] = t->run_id;
		experiments[n] = t->experiment;
		names[n] = t->create->name;
		users[n] = t->create->user_id;
		starts[n++] = t->create->start_time;
	}
	if (n)
		db_queue(a->c, &stmts[INSERT_RUNS],
		         ARGS(BIGINTS(ids, n), UUIDS(uuids, n), BIGINTS(experiments, n),
		              TEXTS(names, n), TEXTS(users, n), BIGINTS(starts, n)), NULL);
}

static int compare_ids(const void *x, const void *y)
{
	int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;

	return COMPARE(a, b);
}

static int compare_targets(const void *x, const void *y)
{
	const struct target *a = *(const struct target *const *)x;
	const struct target *b = *(const struct target *const *)y;

	return COMPARE(a->id, b->id);
}

static void rename_runs(struct attempt *a)
{
	const struct target **renamed =
		NEW_ARRAY(a->c->arena, a->target_count, const struct target *);
	const char **names;
	int64_t *ids;
	size_t n = 0;

	for (uint32_t i = 0; i < a->target_count; i++) {
		if (a->targets[i].rename)
			renamed[n++] = &a->targets[i];
	}
	if (!n)
		return;
	qsort(renamed, n, sizeof(struct target *), compare_targets);
	ids = NEW_ARRAY(a->c->arena, n, int64_t);
	names = NEW_ARRAY(a->c->arena, n, const char *);
	for (size_t i = 0; i < n; i++) {
		ids[i] = renamed[i]->id;
		names[i] = renamed[i]->rename;
	}
	db_queue(a->c, &stmts[RENAME_RUNS], ARGS(BIGINTS(ids, n), TEXTS(names, n)), NULL);
}

/* In the order of ids, like all that locks runs. */
void commit_unsettle(struct attempt *a)
{
	int64_t *ids = NEW_ARRAY(a->c->arena, a->target_count, int64_t);
	size_t n = 0;

	for (uint32_t i = 0; i < a->target_count; i++) {
		if (a->targets[i].written && a->targets[i].settled)
			ids[n++] = a->targets[i].id;
	}
	qsort(ids, n, sizeof(*ids), compare_ids);
	if (n)
		unsettle_queue(a->c, ids, n);
}

void commit_runs(struct attempt *a)
{
	if (a->created)
		insert_runs(a);
	rename_runs(a);
}

/* ---- parameters and tags ---- */

struct row {
	int64_t run;
	int64_t experiment;
	const char *value;
	int32_t key;
};

static int compare_rows(const void *x, const void *y)
{
	const struct row *a = x, *b = y;
	int order = COMPARE(a->run, b->run);

	return order ? order : COMPARE(a->key, b->key);
}

struct rows {
	int64_t *runs, *experiments;
	int32_t *keys;
	const char **values;
	size_t count;
};

/* The changed cells that have a value, or those that have none, in the order of their key. */
static struct rows changed_rows(struct attempt *a, const struct cells *cells, bool deleted)
{
	struct arena *arena = a->c->arena;
	struct row *rows = NEW_ARRAY(arena, cells->count, struct row);
	struct rows r = { 0 };

	for (uint32_t i = 0; i < cells->count; i++) {
		const struct cell *cell = &cells->items[i];
		const struct target *t = &a->targets[cell->target];

		if (cell->changed && !cell->value == deleted)
			rows[r.count++] =
				(struct row){ t->id, t->experiment, cell->value, cell->key };
	}
	if (!r.count)
		return r;
	qsort(rows, r.count, sizeof(*rows), compare_rows);
	r.runs = NEW_ARRAY(arena, r.count, int64_t);
	r.experiments = NEW_ARRAY(arena, r.count, int64_t);
	r.keys = NEW_ARRAY(arena, r.count, int32_t);
	r.values = NEW_ARRAY(arena, r.count, const char *);
	for (size_t i = 0; i < r.count; i++) {
		r.runs[i] = rows[i].run;
		r.experiments[i] = rows[i].experiment;
		r.keys[i] = rows[i].key;
		r.values[i] = rows[i].value;
	}
	return r;
}

static void queue_rows(struct attempt *a, const struct stmt *s, const struct rows *r)
{
	if (r->count)
		db_queue(a->c, s, ARGS(BIGINTS(r->runs, r->count), INTEGERS(r->keys, r->count),
		                       BIGINTS(r->experiments, r->count),
		                       TEXTS(r->values, r->count)), NULL);
}

void commit_cells(struct attempt *a)
{
	struct rows params = changed_rows(a, &a->params, false);
	struct rows tags = changed_rows(a, &a->tags, false);
	struct rows gone = changed_rows(a, &a->tags, true);

	queue_rows(a, &stmts[INSERT_PARAMS], &params);
	queue_rows(a, &stmts[UPSERT_TAGS], &tags);
	if (gone.count)
		db_queue(a->c, &stmts[DELETE_TAGS],
			 ARGS(BIGINTS(gone.runs, gone.count), INTEGERS(gone.keys, gone.count)),
			 NULL);
}

/* ---- datasets ---- */

static int compare_datasets(const struct dataset_link *a, const struct dataset_link *b)
{
	int order = COMPARE(a->experiment, b->experiment);

	if (!order)
		order = strcmp(a->input->dataset->name, b->input->dataset->name);
	if (!order)
		order = strcmp(a->input->dataset->digest, b->input->dataset->digest);
	return order ? order : COMPARE(a->run, b->run);
}

static int compare_dataset_links(const void *x, const void *y)
{
	const struct dataset_link *a = x, *b = y;
	int order = compare_datasets(a, b);

	return order ? order : COMPARE(a->order, b->order);
}

/* Sorted, the first of each (run, dataset). */
static void tidy_datasets(struct attempt *a)
{
	size_t n = 0;

	qsort(a->datasets, a->dataset_count, sizeof(*a->datasets), compare_dataset_links);
	for (size_t i = 0; i < a->dataset_count; i++) {
		if (n == 0 || compare_datasets(&a->datasets[i], &a->datasets[n - 1]) != 0)
			a->datasets[n++] = a->datasets[i];
	}
	a->dataset_count = n;
}

/* Columns of text: rows of `width` texts. */
struct texts {
	const char **columns[6];
	int64_t *runs, *experiments;
	size_t count;
};

static void texts_init(struct arena *a, struct texts *t, size_t most)
{
	for (size_t i = 0; i < 6; i++)
		t->columns[i] = NEW_ARRAY(a, most, const char *);
	t->runs = NEW_ARRAY(a, most, int64_t);
	t->experiments = NEW_ARRAY(a, most, int64_t);
	t->count = 0;
}

static const char *or_null(const char *s)
{
	return s && *s ? s : NULL;
}

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

static void add_dataset(struct texts *t, const struct dataset_link *link)
{
	const struct dataset *d = link->input->dataset;
	const char *const values[] = {
		d->name, d->digest, or_empty(d->source_type), or_empty(d->source),
		or_null(d->schema), or_null(d->profile),
	};

	for (size_t i = 0; i < 6; i++)
		t->columns[i][t->count] = values[i];
	t->runs[t->count] = link->run;
	t->experiments[t->count++] = link->experiment;
}

static void add_dataset_tags(struct texts *t, const struct dataset_link *link)
{
	for (size_t i = 0; i < link->input->tags.count; i++) {
		const struct tag *tag = LIST_AT(struct tag, &link->input->tags, i);
		size_t n = t->count++;

		t->columns[0][n] = link->input->dataset->name;
		t->columns[1][n] = link->input->dataset->digest;
		t->columns[2][n] = tag->key;
		t->columns[3][n] = or_empty(tag->value);
		t->runs[n] = link->run;
		t->experiments[n] = link->experiment;
	}
}

static void link_datasets(struct attempt *a)
{
	struct texts d, tags;
	size_t tag_count = 0;

	for (size_t i = 0; i < a->dataset_count; i++)
		tag_count += a->datasets[i].input->tags.count;
	texts_init(a->c->arena, &d, a->dataset_count);
	texts_init(a->c->arena, &tags, tag_count);
	for (size_t i = 0; i < a->dataset_count; i++) {
		add_dataset(&d, &a->datasets[i]);
		add_dataset_tags(&tags, &a->datasets[i]);
	}
	db_queue(a->c, &stmts[INSERT_DATASETS],
	         ARGS(BIGINTS(d.experiments, d.count), TEXTS(d.columns[0], d.count),
	              TEXTS(d.columns[1], d.count), TEXTS(d.columns[2], d.count),
	              TEXTS(d.columns[3], d.count), TEXTS(d.columns[4], d.count),
	              TEXTS(d.columns[5], d.count)), NULL);
	db_queue(a->c, &stmts[LINK_DATASETS],
		 ARGS(BIGINTS(d.runs, d.count), BIGINTS(d.experiments, d.count),
		      TEXTS(d.columns[0], d.count), TEXTS(d.columns[1], d.count),
		      BIGINTS(tags.runs, tags.count), BIGINTS(tags.experiments, tags.count),
		      TEXTS(tags.columns[0], tags.count), TEXTS(tags.columns[1], tags.count),
		      TEXTS(tags.columns[2], tags.count), TEXTS(tags.columns[3], tags.count)),
		 NULL);
}

/* ---- models ---- */

static int compare_models(const struct model_link *a, const struct model_link *b)
{
	int order = COMPARE(a->run, b->run);

	if (!order)
		order = COMPARE(a->output, b->output);
	return order ? order : strcmp(a->model_id, b->model_id);
}

/* The last of each first: it is the one that stays. */
static int compare_model_links(const void *x, const void *y)
{
	const struct model_link *a = x, *b = y;
	int order = compare_models(a, b);

	return order ? order : COMPARE(b->order, a->order);
}

static void link_models(struct attempt *a)
{
	struct arena *arena = a->c->arena;
	struct model_link *links = a->model_links;
	size_t n = 0, count = a->model_link_count;
	int64_t *runs = NEW_ARRAY(arena, count, int64_t), *steps = NEW_ARRAY(arena, count, int64_t);
	const char **ids = NEW_ARRAY(arena, count, const char *);
	bool *outputs = NEW_ARRAY(arena, count, bool);

	qsort(links, count, sizeof(*links), compare_model_links);
	for (size_t i = 0; i < count; i++) {
		if (i > 0 && compare_models(&links[i], &links[i - 1]) == 0)
			continue;
		runs[n] = links[i].run;
		ids[n] = links[i].model_id;
		outputs[n] = links[i].output;
		steps[n++] = links[i].step;
	}
	db_queue(a->c, &stmts[LINK_MODELS],
	         ARGS(BIGINTS(runs, n), TEXTS(ids, n),
	              ((struct db_arg){ .type = 'B', .array = { outputs, n, NULL } }),
	              BIGINTS(steps, n)), NULL);
}

void commit_inputs(struct attempt *a)
{
	if (a->dataset_count) {
		tidy_datasets(a);
		link_datasets(a);
	}
	if (a->model_link_count)
		link_models(a);
}
