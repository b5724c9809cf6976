/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * The curves of a run. A curve is read page by page and forgotten; a sum of hashes of its points,
 * which no order changes, tells whether both servers have the same.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "promote_impl.h"

enum {
	BATCH = 1000,                   /* MLflow's most in one log-batch */
	BATCH_BYTES = 400 << 10,        /* its million bytes of a request, with room */
	POINT_BYTES = 140,              /* a point's text without its key */
	EXACT_MAX = 16 << 20,           /* points that are compared in memory */
};
#define PAGE "25000"                    /* MLflow's most */

struct point {
	int64_t timestamp, step;
	double value;
};

struct curve {
	uint64_t a, b;
	int64_t count;
	struct point last;
};

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/* As a store keeps it: one NaN, no infinities, one zero. */
static struct point point_of(const json_t *metric)
{
	struct point p = { mlflow_int(metric, "timestamp"), mlflow_int(metric, "step"),
			   mlflow_double(metric, "value") };

	if (isnan(p.value))
		p.value = NAN;
	else if (isinf(p.value))
		p.value = p.value > 0 ? DBL_MAX : -DBL_MAX;
	else if (p.value == 0)
		p.value = 0;
	return p;
}

static int compare(const void *x, const void *y)
{
	const struct point *a = x, *b = y;

	if (a->timestamp != b->timestamp)
		return a->timestamp < b->timestamp ? -1 : 1;
	if (a->step != b->step)
		return a->step < b->step ? -1 : 1;
	return memcmp(&a->value, &b->value, sizeof(a->value));
}

static void add(struct curve *to, const struct point *p)
{
	uint64_t bits;

	if (to->count && !compare(p, &to->last))
		return;
	memcpy(&bits, &p->value, sizeof(bits));
	uint64_t hash = mix(mix(mix((uint64_t)p->timestamp) ^ (uint64_t)p->step) ^ bits);
	to->a += hash;
	to->b += mix(hash ^ 0x6a09e667f3bcc908u);
	to->count++;
	to->last = *p;
}

static bool same(const struct curve *x, const struct curve *y)
{
	return x->a == y->a && x->b == y->b && x->count == y->count;
}

struct reading {
	const char *run_id, *key;
	struct curve curve;
	/* What is done with each page; NULL: nothing. */
	int (*page)(struct ctx *c, struct promote *p, struct reading *r, const json_t *metrics);
	const char *to_run;
	struct point *points;           /* of the exact comparison; malloc */
	size_t point_count;
};

static int read_curve(struct ctx *c, struct promote *p, struct mlflow *server, struct reading *r)
{
	char *token = NULL;
	int done = 0;

	do {
		CLEANUP(mlflow_json_done) json_t *reply = NULL;
		size_t i;
		json_t *metric;

		int found = mlflow_get(c, server, &reply, "metrics/get-history", "run_id",
				       r->run_id, "metric_key", r->key, "max_results", PAGE,
				       "page_token", token, NULL);
		free(token);
		token = NULL;
		if (found < 0)
			return -1;
		const json_t *metrics = json_object_get(reply, "metrics");
		json_array_foreach(metrics, i, metric) {
			struct point point = point_of(metric);
			add(&r->curve, &point);
		}
		if (json_array_size(metrics) && r->page)
			done = r->page(c, p, r, metrics);
		const char *next = mlflow_text(reply, "next_page_token");
		if (*next)
			token = strdup(next);
		promote_tick(p);
	} while (!done && token);
	free(token);
	return done;
}

static int send_page(struct ctx *c, struct promote *p, struct reading *r, const json_t *metrics)
{
	size_t most = BATCH_BYTES / (POINT_BYTES + strlen(r->key));
	size_t count = json_array_size(metrics);

	if (most > BATCH)
		most = BATCH;
	for (size_t at = 0; at < count; at += most) {
		json_t *batch = json_array();
		for (size_t i = at; i < count && i < at + most; i++) {
			struct point point = point_of(json_array_get(metrics, i));
			json_t *value = isnan(point.value) ? json_string("NaN")
							   : json_real(point.value);
			json_array_append_new(
				batch, json_pack("{s:s, s:o, s:I, s:I}", "key", r->key, "value",
						 value, "timestamp", (json_int_t)point.timestamp,
						 "step", (json_int_t)point.step));
		}
		json_t *body = json_pack("{s:s, s:o}", "run_id", r->to_run, "metrics", batch);
		if (mlflow_send(c, p->to, "POST", "runs/log-batch", body, false, NULL) < 0)
			return -1;
		promote_tick(p);
	}
	return 0;
}

static int keep_page(struct ctx *c, struct promote *p, struct reading *r, const json_t *metrics)
{
	size_t count = json_array_size(metrics);

	(void)p;
	if (r->point_count + count > EXACT_MAX)
		return fail(c, RESOURCE_EXHAUSTED,
			    "Metric '%s': more than %d points, some of them repeated, cannot be "
			    "compared.",
			    r->key, EXACT_MAX);
	struct point *grown = realloc(r->points, (r->point_count + count) * sizeof(*grown));
	if (!grown)
		return fail(c, TEMPORARILY_UNAVAILABLE, "No memory to compare metric '%s'.", r->key);
	r->points = grown;
	for (size_t i = 0; i < count; i++)
		r->points[r->point_count++] = point_of(json_array_get(metrics, i));
	return 0;
}

/* The curve as a set. */
static int read_exactly(struct ctx *c, struct promote *p, struct mlflow *server, const char *run_id,
			const char *key, struct curve *ret)
{
	struct reading r = { .run_id = run_id, .key = key, .page = keep_page };
	int failed = read_curve(c, p, server, &r);

	*ret = (struct curve){ 0 };
	if (!failed && r.point_count) {
		qsort(r.points, r.point_count, sizeof(*r.points), compare);
		for (size_t i = 0; i < r.point_count; i++)
			add(ret, &r.points[i]);
	}
	free(r.points);
	return failed;
}

/* Two readings that differ: a file store repeats points, a database does not. */
static int compare_exactly(struct ctx *c, struct promote *p, const struct reading *from,
			   const struct reading *to)
{
	struct curve x, y;

	if (read_exactly(c, p, p->from, from->run_id, from->key, &x) ||
	    read_exactly(c, p, p->to, to->run_id, to->key, &y))
		return -1;
	if (same(&x, &y))
		return 0;
	if (y.count > x.count) {
		promote_note(c, p,
			     "Metric '%s' has %lld points at the destination and %lld at the "
			     "source: somebody logged to the copy.",
			     from->key, (long long)y.count, (long long)x.count);
		return 0;
	}
	return fail(c, INVALID_STATE,
		    "Metric '%s' of run %s does not read back as it was written: %lld points at "
		    "the source, %lld at the destination.",
		    from->key, to->run_id, (long long)x.count, (long long)y.count);
}

static int copy_curve(struct ctx *c, struct promote *p, const char *run_id, const char *to_run,
		      const char *key)
{
	struct reading there = { .run_id = to_run, .key = key };
	struct reading here = { .run_id = run_id, .key = key, .to_run = to_run };

	if (to_run && read_curve(c, p, p->to, &there))
		return -1;
	/* A curve that is there is only compared; one that is not, or not whole, is sent: points
	   that are there already change nothing. */
	if (there.curve.count && read_curve(c, p, p->from, &here))
		return -1;
	if (!there.curve.count || !same(&here.curve, &there.curve)) {
		here.curve = (struct curve){ 0 };
		here.page = to_run ? send_page : NULL;
		if (read_curve(c, p, p->from, &here))
			return -1;
		there.curve = (struct curve){ 0 };
		if (to_run && read_curve(c, p, p->to, &there))
			return -1;
		if (to_run && !same(&here.curve, &there.curve) &&
		    compare_exactly(c, p, &here, &there))
			return -1;
	}
	p->report->curves++;
	p->report->points += here.curve.count;
	return 0;
}

int promote_curves(struct ctx *c, struct promote *p, const json_t *run, const char *to_run)
{
	const json_t *latest = json_object_get(json_object_get(run, "data"), "metrics");
	const char *run_id = mlflow_text(json_object_get(run, "info"), "run_id");
	size_t i;
	json_t *metric;

	json_array_foreach(latest, i, metric) {
		if (copy_curve(c, p, run_id, to_run, mlflow_text(metric, "key")))
			return -1;
	}
	return 0;
}
