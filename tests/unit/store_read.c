/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Experiments, pages of runs, histories, datasets and logged models, against a private PostgreSQL.
   */

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "db/db.h"
#include "store/dataset.h"
#include "store/experiment.h"
#include "store/history.h"
#include "store/location.h"
#include "store/logged_model.h"
#include "store/read.h"
#include "store/run.h"
#include "store/run_search.h"
#include "with_database.h"

#include <cmocka.h>            /* last: it defines fail() */

#define RUN_A "000000000000000000000000000000aa"
#define RUN_B "000000000000000000000000000000bb"
#define MODEL "m-1"

static void must(int result)
{
	if (result < 0)
		fail_msg("%s (%s)", c.error.message, c.error.detail ? c.error.detail : "");
}

static void run_sql(const char *sql)
{
	struct list rows = { 0 };

	sql = arena_printf(c.arena, "WITH done AS (%s RETURNING 1) SELECT count(*)::text AS key"
		" FROM done", sql);
	must(db_list_sql(&c, sql, NO_ARGS, &tag_record, &rows));
}

static int set_up(void **state)
{
	(void)state;
	return database_start(NULL, 2);
}

static int tear_down(void **state)
{
	(void)state;
	return database_stop();
}

/* ---- experiments ---- */

static const char *create(const char *name, const char *location, struct list tags)
{
	struct new_experiment e = { .name = name, .artifact_location = location,
		.artifact_root = "s3://bucket/root?endpoint=x", .tags = tags, .now = 1000 };
	const char *id = NULL;
	bool deleted;
	int made = store_experiment_create(&c, &e, &id, &deleted);

	must(made);
	return made ? id : deleted ? "deleted" : "taken";
}

static void experiments(void **state)
{
	struct tag tags[] = { { "k", "v" }, { "a", NULL } };
	struct experiment *e = NULL;
	int64_t id;

	(void)state;
	must(store_experiment_default(&c, "/root", 1));
	must(store_experiment_default(&c, "/other", 1));
	assert_int_equal(store_experiment_get(&c, 0, &e), 1);
	assert_string_equal(e->name, "Default");
	assert_string_equal(e->artifact_location, "/root/0");

	id = atoll(create("first", NULL, (struct list){ tags, 2 }));
	assert_int_equal(id, 1);
	assert_string_equal(create("first", NULL, (struct list){ 0 }), "taken");
	assert_string_equal(create("second", "/here", (struct list){ 0 }), "2");
	assert_int_equal(store_experiment_get_by_name(&c, "first", &e), 1);
	assert_string_equal(e->artifact_location, "s3://bucket/root/1?endpoint=x");
	assert_int_equal(e->tags.count, 2);
	assert_string_equal(LIST_AT(struct tag, &e->tags, 0)->value, "");
	assert_string_equal(e->lifecycle_stage, "active");
	assert_int_equal(store_experiment_get(&c, 99, &e), 0);
	assert_int_equal(store_experiment_get_by_name(&c, "nobody", &e), 0);
}

static enum experiment_change rename_to(int64_t id, const char *name)
{
	enum experiment_change change;

	must(store_experiment_rename(&c, id, name, 2000, &change));
	return change;
}

static enum experiment_change tag(int64_t id, const char *key, const char *prefix, int64_t most)
{
	enum experiment_change change;

	must(store_experiment_set_tag(&c, id, &(struct tag){ key, "x" }, prefix, most, &change));
	return change;
}

static enum experiment_change untag(int64_t id, const char *key)
{
	enum experiment_change change;

	must(store_experiment_delete_tag(&c, id, key, &change));
	return change;
}

static void experiment_changes(void **state)
{
	(void)state;
	assert_int_equal(rename_to(1, "renamed"), EXPERIMENT_CHANGED);
	assert_int_equal(rename_to(1, "renamed"), EXPERIMENT_CHANGED);
	assert_int_equal(rename_to(1, "second"), EXPERIMENT_NAME_TAKEN);
	assert_int_equal(rename_to(99, "x"), EXPERIMENT_MISSING);
	assert_int_equal(tag(1, "view.1", "view.", 2), EXPERIMENT_CHANGED);
	assert_int_equal(tag(1, "view.2", "view.", 2), EXPERIMENT_CHANGED);
	assert_int_equal(tag(1, "view.3", "view.", 2), EXPERIMENT_TAGS_FULL);
	assert_int_equal(tag(1, "view.2", "view.", 2), EXPERIMENT_CHANGED);
	assert_int_equal(tag(99, "k", NULL, 0), EXPERIMENT_MISSING);
	assert_int_equal(untag(1, "view.1"), EXPERIMENT_CHANGED);
	assert_int_equal(untag(1, "view.1"), EXPERIMENT_TAG_MISSING);
	assert_int_equal(untag(99, "k"), EXPERIMENT_MISSING);

	assert_int_equal(store_experiment_delete(&c, 2, 3000), 1);
	assert_int_equal(store_experiment_delete(&c, 2, 3000), 0);
	assert_string_equal(create("second", NULL, (struct list){ 0 }), "deleted");
	assert_int_equal(rename_to(2, "x"), EXPERIMENT_DELETED);
	assert_int_equal(tag(2, "k", NULL, 0), EXPERIMENT_DELETED);
	assert_int_equal(untag(2, "k"), EXPERIMENT_DELETED);
	assert_int_equal(store_experiment_restore(&c, 2, 4000), 1);
	assert_int_equal(store_experiment_restore(&c, 2, 4000), 0);
}

static struct experiment *experiment_at(const struct list *l, size_t i)
{
	char *whole = arena_strdup(c.arena, LIST_AT(struct experiment, l, i)->whole);
	struct experiment *e = NEW(c.arena, struct experiment);

	must(record_read(&c, &experiment_record, whole, strlen(whole), e));
	return e;
}

static void experiment_pages(void **state)
{
	struct search_query q = { .entity = SEARCH_EXPERIMENTS, .view = VIEW_ACTIVE,
		.max_results = 2, .token_key = store_settings_token_key() };
	struct list found = { 0 };
	const char *token = NULL;
	struct experiment *e;

	(void)state;
	/* From the database, then from memory. */
	for (int i = 0; i < 2; i++) {
		must(store_experiment_search(&c, &q, &found, &token));
		assert_int_equal(found.count, 2);
		e = experiment_at(&found, 0);
		assert_string_equal(e->experiment_id, "1");
		assert_string_equal(e->name, "renamed");
		assert_int_equal(e->tags.count, 3);
		assert_int_equal(*e->creation_time, 1000);
		assert_int_equal(*e->last_update_time, 2000);
		assert_non_null(token);
	}
	q.page_token = token;
	must(store_experiment_search(&c, &q, &found, &token));
	assert_int_equal(found.count, 1);
	assert_string_equal(experiment_at(&found, 0)->name, "Default");
	assert_null(token);
}

/* ---- runs ---- */

static void insert_runs(void)
{
	run_sql("INSERT INTO runs (uuid, experiment_id, name, status, start_time, end_time) VALUES"
	        " ('" RUN_A "', 1, 'a', 3, 10, 20), ('" RUN_B "', 1, 'b', 1, 11, NULL)");
	run_sql("INSERT INTO keys (name) VALUES ('m'), ('p'), ('t')");
	run_sql("INSERT INTO latest SELECT r.id, k.id, 1, 5, 6, 'NaN' FROM runs r, keys k"
	        " WHERE r.name = 'a' AND k.name = 'm'");
	run_sql("INSERT INTO params SELECT r.id, k.id, 1, 'pv' FROM runs r, keys k WHERE k.name ="
		" 'p'");
	run_sql("INSERT INTO tags SELECT r.id, k.id, 1, 'tv' FROM runs r, keys k WHERE k.name ="
		" 't'");
	run_sql("INSERT INTO datasets (experiment_id, name, digest, source_type, source, profile)"
		" VALUES"
	        " (1, 'd1', 'x', 'local', 's1', 'prof'), (1, 'd2', 'y', 'local', 's2', NULL)");
	run_sql("INSERT INTO run_datasets SELECT r.id, d.id FROM runs r, datasets d WHERE r.name ="
		" 'a'");
	run_sql("INSERT INTO run_dataset_tags SELECT i.run_id, i.dataset_id, v.k, 'train'"
	        " FROM run_datasets i JOIN datasets d ON d.id = i.dataset_id,"
	        " (VALUES ('mlflow.data.context'), ('other')) AS v (k) WHERE d.name = 'd2'");
	run_sql("INSERT INTO run_models SELECT id, 'm-9', o, 7 FROM runs, (VALUES (true), (false))"
		" AS v (o)"
	        " WHERE name = 'a'");
}

static struct run *find_runs(struct search_query *q, size_t expected, const char **token)
{
	struct list runs = { 0 };

	must(store_run_search(&c, q, &runs, token));
	assert_int_equal(runs.count, expected);
	return runs.items;
}

static void whole_runs(void **state)
{
	int64_t ids[] = { 1 };
	struct search_query q = { .entity = SEARCH_RUNS, .view = VIEW_ACTIVE,
		.experiment_ids = ids, .experiment_count = 1, .max_results = 1,
		.token_key = store_settings_token_key() };
	const struct dataset_input *input;
	const struct metric *metric;
	const char *token;
	struct run *r;

	(void)state;
	insert_runs();
	r = find_runs(&q, 1, &token);
	assert_string_equal(r->info->run_id, RUN_B);
	assert_string_equal(r->info->status, "RUNNING");
	assert_null(r->info->end_time);
	assert_int_equal(r->inputs->dataset_inputs.count, 0);
	assert_non_null(token);

	q.page_token = token;
	r = find_runs(&q, 1, &token);
	assert_null(token);
	assert_string_equal(r->info->run_id, RUN_A);
	assert_string_equal(r->info->status, "FINISHED");
	assert_string_equal(r->info->experiment_id, "1");
	assert_string_equal(r->info->user_id, "");
	assert_string_equal(r->info->lifecycle_stage, "active");
	assert_string_equal(r->info->artifact_uri, "s3://bucket/root/1/" RUN_A
		"/artifacts?endpoint=x");
	assert_int_equal(*r->info->end_time, 20);
	assert_int_equal(r->data->metrics.count, 1);
	metric = r->data->metrics.items;
	assert_true(isnan(*metric->value));
	assert_int_equal(*metric->step, 5);
	assert_int_equal(*metric->timestamp, 6);
	assert_int_equal(r->data->params.count, 1);
	assert_int_equal(r->data->tags.count, 1);
	assert_int_equal(r->inputs->dataset_inputs.count, 2);
	input = r->inputs->dataset_inputs.items;
	assert_string_equal(input[0].dataset->profile, "prof");
	assert_string_equal(input[1].dataset->source, "s2");
	assert_int_equal(input[0].tags.count, 0);
	assert_int_equal(input[1].tags.count, 2);
	assert_int_equal(r->inputs->model_inputs.count, 1);
	assert_int_equal(*LIST_AT(struct model_output, &r->outputs->model_outputs, 0)->step, 7);

	q.experiment_count = 0;
	q.page_token = NULL;
	find_runs(&q, 0, &token);
}

static const char *as_json(const struct run *r)
{
	struct buf b = BUF(c.arena, 1 << 20);

	record_write(&b, &run_record, r);
	return buf_text(&b);
}

/* Fetched alone, a run is what a search finds; and its pages go on where they ended, whatever the
   order of ids. */
static void single_runs(void **state)
{
	int64_t ids[] = { 1 };
	const char *order[] = { "attributes.run_name" };
	struct search_query q = { .entity = SEARCH_RUNS, .view = VIEW_ACTIVE,
		.experiment_ids = ids, .experiment_count = 1, .max_results = 9,
		.order_by = { order, 1 }, .token_key = store_settings_token_key() };
	const char *token, *uri;
	struct run *runs, alone = { 0 };

	(void)state;
	runs = find_runs(&q, 2, &token);
	assert_string_equal(runs[0].info->run_id, RUN_A);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(store_run_get(&c, runs[i].info->run_id, &alone), 1);
		assert_string_equal(as_json(&alone), as_json(&runs[i]));
		assert_int_equal(store_run_artifact_uri(&c, runs[i].info->run_id, &uri), 1);
		assert_string_equal(uri, runs[i].info->artifact_uri);
	}
	assert_int_equal(store_run_get(&c, "000000000000000000000000000000ff", &alone), 0);
	assert_int_equal(store_run_get(&c, "000000000000000000000000000000AA", &alone), 0);
	q.filter = "params.p = 'pv' AND tags.t IN ('x', 'tv') AND metrics.m != 1 AND"
		   " artifact_uri LIKE '%/artifacts?endpoint=x'";
	find_runs(&q, 1, &token);
	q.filter = "params.p = 'p'";
	find_runs(&q, 0, &token);
}

enum { READS = 6 };

struct asked {
	struct read read;
	struct ctx ctx;
	struct run *run;
	struct experiment *experiment;
	char *shown;                    /* what was found, while it was in memory */
	int found;
	atomic_int done;
};

static void show(struct read *r)
{
	struct asked *a = r->owner;
	struct buf b = BUF(a->ctx.arena, 1 << 20);

	if (r->run)
		record_write(&b, &run_record, a->run);
	else
		record_write(&b, &experiment_record, a->experiment);
	a->shown = b.data;
	a->found++;
}

static void finished(struct read *const *reads, size_t count)
{
	for (size_t i = 0; i < count; i++)
		atomic_fetch_add(&((struct asked *)reads[i]->owner)->done, 1);
}

/* Ids of 32 digits are runs', others experiments'. */
static void ask(struct asked *a, const char *id)
{
	*a = (struct asked){ .ctx = { .arena = arena_new(LIMIT_ARENA) } };
	a->read = (struct read){ .ctx = &a->ctx, .found = show, .done = finished, .owner = a };
	if (strlen(id) == 32) {
		a->read.run_id = id;
		a->read.run = &a->run;
	} else {
		a->read.experiment_id = atoll(id);
		a->read.experiment = &a->experiment;
	}
}

/* The reader cannot begin before all but one wait. */
static void answer_all(struct reader *m, struct asked asked[READS])
{
	struct ctx other = { .arena = arena_new(LIMIT_ARENA) };

	must(db_get(&other, pool, 1000));
	for (int i = 0; i < READS; i++)
		assert_true(reader_submit(m, &asked[i].read));
	db_put(&other, pool);
	arena_free(other.arena);
	for (int i = 0; i < READS; i++)
		while (!atomic_load(&asked[i].done))
			usleep(1000);
}

static void forget(struct asked asked[READS])
{
	for (int i = 0; i < READS; i++) {
		assert_int_equal(atomic_load(&asked[i].done), 1);
		arena_free(asked[i].ctx.arena);
	}
}

/* What was read together is what each would have read by itself, also where that is nothing. */
static void shared_reads(void **state)
{
	static const char *const ids[READS] = {
		RUN_A, "1", RUN_B, RUN_A, "99", "00000000000000000000000000000000"
	};
	struct asked asked[READS];
	struct read *reads[READS];
	struct run alone = { 0 };
	struct experiment *e;

	(void)state;
	for (int i = 0; i < READS; i++) {
		ask(&asked[i], ids[i]);
		reads[i] = &asked[i].read;
	}
	must(store_read(&c, reads, READS));
	for (int i = 0; i < READS; i++) {
		if (asked[i].run) {
			must(store_run_get(&c, ids[i], &alone));
			assert_string_equal(as_json(asked[i].run), as_json(&alone));
		}
		arena_free(TAKE(asked[i].ctx.arena));
	}
	assert_ptr_equal(asked[0].run, asked[3].run);
	must(store_experiment_get(&c, 1, &e));
	assert_int_equal(asked[1].experiment->tags.count, e->tags.count);
	assert_string_equal(asked[1].experiment->name, e->name);
	assert_int_equal(asked[4].ctx.error.code, RESOURCE_DOES_NOT_EXIST);
	assert_int_equal(asked[5].ctx.error.code, RESOURCE_DOES_NOT_EXIST);
}

static void run_ddl(const char *sql)
{
	struct list none = { 0 };

	must(db_list_once(&c, sql, NO_ARGS, NULL, &none));
}

/* One that cannot be read fails alone, whoever waits with it; one that will be changed is nobody
   else's. */
static void reads_apart(void **state)
{
	static const char *const ids[READS] = { RUN_A, "1", RUN_A, "2", RUN_B, "99" };
	struct reader *m = reader_new(pool, 1);
	struct reader_stats stats;
	struct asked asked[READS];

	(void)state;
	assert_non_null(m);
	for (int i = 0; i < READS; i++)
		ask(&asked[i], ids[i]);
	asked[2].read.alone = true;
	answer_all(m, asked);
	for (int i = 0; i < READS; i++)
		assert_int_equal(asked[i].found, i < 5);
	assert_string_equal(asked[0].shown, asked[2].shown);
	assert_int_equal(asked[5].ctx.error.code, RESOURCE_DOES_NOT_EXIST);
	forget(asked);

	run_ddl("ALTER TABLE tags RENAME TO tags_kept");
	run_ddl("CREATE VIEW tags AS SELECT run_id, key_id, CASE WHEN uuid = '" RUN_B "'"
		" THEN (1 / (run_id - run_id))::text ELSE value END AS value"
		" FROM tags_kept JOIN runs ON runs.id = run_id");
	run_sql("INSERT INTO tags_kept (run_id, key_id, experiment_id, value)"
		" SELECT r.id, 1, r.experiment_id, 'x' FROM runs r WHERE uuid = '" RUN_B "'"
		" ON CONFLICT DO NOTHING");
	for (int i = 0; i < READS; i++)
		ask(&asked[i], ids[i]);
	answer_all(m, asked);
	for (int i = 0; i < READS; i++)
		assert_int_equal(asked[i].found, i != 4 && i != 5);
	assert_int_equal(asked[4].ctx.error.code, INTERNAL_ERROR);
	forget(asked);
	run_ddl("DROP VIEW tags");
	run_ddl("ALTER TABLE tags_kept RENAME TO tags");

	reader_stats(m, &stats);
	assert_int_equal(stats.requests, 2 * READS);
	assert_true(stats.groups <= 4);
	reader_free(m);
}

/* Values beyond what their index holds still differ. */
static void long_values(void **state)
{
	int64_t ids[] = { 1 };
	struct search_query q = { .entity = SEARCH_RUNS, .view = VIEW_ACTIVE,
		.experiment_ids = ids, .experiment_count = 1, .max_results = 9,
		.token_key = store_settings_token_key() };
	char value[71] = { 0 };
	const char *token;

	(void)state;
	memset(value, 'v', 70);
	run_sql(arena_printf(c.arena, "UPDATE params SET value = '%s' || run_id", value));
	for (int i = 62; i < 68; i++) {
		value[i] = '\0';
		q.filter = arena_printf(c.arena, "params.p = '%s'", value);
		find_runs(&q, 0, &token);
		value[i] = 'v';
	}
	q.filter = arena_printf(c.arena, "params.p = '%s1' OR params.p = '%s2'", value, value);
	find_runs(&q, 2, &token);
	q.filter = arena_printf(c.arena, "params.p = '%s1'", value);
	find_runs(&q, 1, &token);
	q.filter = arena_printf(c.arena, "params.p IN ('x', '%s1', '%s2')", value, value);
	find_runs(&q, 2, &token);
	run_sql("UPDATE params SET value = 'pv'");
}

static void runs_follow_their_experiment(void **state)
{
	int64_t ids[] = { 1 };
	struct search_query q = { .entity = SEARCH_RUNS, .view = VIEW_ACTIVE, .experiment_ids = ids,
		.experiment_count = 1, .max_results = 9, .token_key = store_settings_token_key() };
	const char *token;

	(void)state;
	assert_int_equal(store_experiment_delete(&c, 1, 5000), 1);
	find_runs(&q, 0, &token);
	q.view = VIEW_DELETED;
	assert_string_equal(find_runs(&q, 2, &token)->info->lifecycle_stage, "deleted");
	assert_int_equal(store_experiment_restore(&c, 1, 6000), 1);
	q.view = VIEW_ACTIVE;
	find_runs(&q, 2, &token);
}

static void datasets(void **state)
{
	int64_t ids[] = { 1, 77 };
	const struct dataset_summary *s;
	struct list found = { 0 };

	(void)state;
	must(store_dataset_search(&c, ids, 2, 1000, &found));
	assert_int_equal(found.count, 2);
	s = found.items;
	assert_string_equal(s[0].name, "d1");
	assert_null(s[0].context);
	assert_string_equal(s[1].context, "train");
	assert_string_equal(s[1].experiment_id, "1");
}

/* ---- histories ---- */

static struct list page_of(const char *run_id, const char *key, int64_t max_results,
                           const char **token)
{
	struct history_page p = { .run_id = run_id, .key = key, .max_results = max_results,
		.page_token = *token };
	struct list points = { 0 };

	must(store_history(&c, &p, &points, token));
	return points;
}

/* As text, a history says what its points do. */
static void history_texts(void **state)
{
	struct history_page p = { .run_id = RUN_B, .key = "t" };
	struct buf text = BUF(c.arena, LIMIT_ARENA), want = BUF(c.arena, LIMIT_ARENA);
	const char *token = NULL;
	struct list points;

	(void)state;
	must(store_history_text(&c, &p, &text));
	assert_string_equal(buf_text(&text), "[]");
	run_sql("INSERT INTO points SELECT r.id, k.id, i / 7, i, i FROM runs r, keys k,"
	        " generate_series(1, 20000) AS i WHERE r.name = 'b' AND k.name = 't'");
	points = page_of(RUN_B, "t", 0, &token);
	assert_int_equal(points.count, 20000);
	text = (struct buf)BUF(c.arena, LIMIT_ARENA);
	must(store_history_text(&c, &p, &text));
	for (size_t i = 0; i < points.count; i++) {
		buf_addc(&want, i ? ',' : '[');
		record_write(&want, &point_record, LIST_AT(struct point, &points, i));
	}
	buf_addc(&want, ']');
	assert_string_equal(buf_text(&text), buf_text(&want));
	run_sql("DELETE FROM points");
}

static void histories(void **state)
{
	const char *const runs[] = { RUN_B, "no uuid", RUN_A };
	const char *token = NULL;
	struct list points;

	(void)state;
	run_sql("INSERT INTO points SELECT r.id, k.id, v.* FROM runs r, keys k, (VALUES"
	        " (10, 0, 'NaN'::float8), (10, 0, 1), (9, 1, 2), (11, 1, 3)) AS v (t, s, v) WHERE"
	        " k.name = 'm'");
	points = page_of(RUN_A, "m", 0, &token);
	assert_int_equal(points.count, 4);
	assert_null(token);
	assert_int_equal(*LIST_AT(struct point, &points, 0)->timestamp, 9);
	assert_true(isnan(*LIST_AT(struct point, &points, 2)->value));

	points = page_of(RUN_A, "m", 3, &token);
	assert_int_equal(points.count, 3);
	assert_non_null(token);
	points = page_of(RUN_A, "m", 3, &token);        /* after a NaN */
	assert_int_equal(points.count, 1);
	assert_true(*LIST_AT(struct point, &points, 0)->value == 3.0);
	assert_string_equal(LIST_AT(struct point, &points, 0)->key, "m");
	assert_null(token);
	assert_int_equal(page_of(RUN_A, "other", 3, &token).count, 0);
	assert_int_equal(page_of("nonsense", "m", 3, &token).count, 0);

	points = (struct list){ 0 };
	must(store_history_bulk(&c, runs, 3, "m", 6, &points));
	assert_int_equal(points.count, 6);
	assert_string_equal(LIST_AT(struct point, &points, 0)->run_id, RUN_A);
	assert_string_equal(LIST_AT(struct point, &points, 5)->run_id, RUN_B);
}

static void foreign_tokens(void **state)
{
	struct history_page p = { .run_id = RUN_A, .key = "m", .max_results = 1 };
	struct list points = { 0 };
	const char *token = NULL;

	(void)state;
	must(store_history(&c, &p, &points, &token));
	p.page_token = token;
	p.run_id = RUN_B;
	assert_int_equal(store_history(&c, &p, &points, &token), -1);
	assert_int_equal(c.error.code, INVALID_PARAMETER_VALUE);
	error_clear(&c);
}

static struct list thinned(int64_t max_results, const int64_t *from, const int64_t *to)
{
	const char *const runs[] = { RUN_B, RUN_A };
	struct history_interval i = { .run_ids = runs, .run_count = 2, .key = "p",
		.max_results = max_results, .start_step = from, .end_step = to };
	struct list points = { 0 };

	must(store_history_interval(&c, &i, &points));
	return points;
}

static bool has(const struct list *points, const char *run_id, int64_t step)
{
	for (size_t i = 0; i < points->count; i++) {
		const struct point *p = LIST_AT(struct point, points, i);

		if (strcmp(p->run_id, run_id) == 0 && *p->step == step)
			return true;
	}
	return false;
}

static void intervals(void **state)
{
	static const int64_t sizes[] = { 1, 2, 3, 4, 5, 10, 100, 320, 999, 1000, 2500 };
	int64_t from = 100, to = 104;
	struct list points;

	(void)state;
	/* Run a: 1,000 points, their times against their steps, with one spike each way. Run b:
	   three points. */
	run_sql("INSERT INTO points SELECT r.id, k.id, 5000 - i, i, CASE i WHEN 333 THEN 99 WHEN"
		" 666 THEN -99"
	        " WHEN 500 THEN 'NaN' ELSE sin(i) END FROM runs r, keys k, generate_series(0, 999)"
	        " i"
	        " WHERE r.name = 'a' AND k.name = 'p'");
	run_sql("INSERT INTO points SELECT r.id, k.id, i, 0, i FROM runs r, keys k,"
		" generate_series(0, 2) i"
	        " WHERE r.name = 'b' AND k.name = 'p'");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t of_b = sizes[i] < 3 ? (size_t)sizes[i] : 3;

		points = thinned(sizes[i], NULL, NULL);
		assert_true(points.count <= (size_t)sizes[i] + of_b);
		assert_true(points.count > of_b);
		assert_true(has(&points, RUN_A, 999));
		assert_int_equal(has(&points, RUN_A, 0), sizes[i] > 1);
		assert_true(sizes[i] < 4 || (has(&points, RUN_A, 333) && has(&points, RUN_A, 666)));
		assert_string_equal(LIST_AT(struct point, &points, 0)->run_id, RUN_B);
		assert_true(*LIST_AT(struct point, &points, of_b - 1)->value == 2.0);
		for (size_t j = of_b + 1; j < points.count; j++)
			assert_true(*LIST_AT(struct point, &points, j - 1)->step
			            < *LIST_AT(struct point, &points, j)->step);
	}
	assert_int_equal(thinned(2500, NULL, NULL).count, 1003);
	points = thinned(100, &from, &to);
	assert_int_equal(points.count, 5);
	assert_int_equal(thinned(2, &from, &to).count, 2);
}

/* ---- logged models ---- */

static void logged_models(void **state)
{
	struct tag params[] = { { "p", "1" }, { "q", NULL } };
	struct tag tags[] = { { "t", "x" } };
	struct new_logged_model m = { .model_id = MODEL, .experiment_id = 1, .name = "name",
		.model_type = "", .source_run_id = RUN_A, .params = { params, 2 },
		.tags = { tags, 1 }, .now = 7 };
	enum logged_model_change change;
	struct logged_model *got = NULL;
	const char *key;

	(void)state;
	must(store_logged_model_create(&c, &m, &change));
	assert_int_equal(change, LOGGED_MODEL_CHANGED);
	assert_int_equal(store_logged_model_get(&c, MODEL, false, &got), 1);
	assert_string_equal(got->info->artifact_uri,
	                    "s3://bucket/root/1/models/m-1/artifacts?endpoint=x");
	assert_string_equal(got->info->status, "LOGGED_MODEL_PENDING");
	assert_null(got->info->status_message);
	assert_int_equal(got->data->params.count, 2);
	m.experiment_id = 99;
	must(store_logged_model_create(&c, &m, &change));
	assert_int_equal(change, LOGGED_MODEL_NO_EXPERIMENT);

	must(store_logged_model_log_params(&c, MODEL, &(struct list){ params, 1 }, &change, &key));
	assert_int_equal(change, LOGGED_MODEL_CHANGED);
	params[0].value = "2";
	must(store_logged_model_log_params(&c, MODEL, &(struct list){ params, 1 }, &change, &key));
	assert_int_equal(change, LOGGED_MODEL_PARAM_CHANGED);
	assert_string_equal(key, "p");
	must(store_logged_model_log_params(&c, "m-x", &(struct list){ params, 1 }, &change, &key));
	assert_int_equal(change, LOGGED_MODEL_MISSING);

	tags[0].value = "y";
	assert_int_equal(store_logged_model_set_tags(&c, MODEL, &(struct list){ tags, 1 }), 1);
	assert_int_equal(store_logged_model_set_tags(&c, "m-x", &(struct list){ tags, 1 }), 0);
	assert_int_equal(store_logged_model_finalize(&c, MODEL, 2, 8), 1);
	assert_int_equal(store_logged_model_finalize(&c, "m-x", 2, 8), 0);
	assert_int_equal(store_logged_model_get(&c, MODEL, false, &got), 1);
	assert_string_equal(got->info->status, "LOGGED_MODEL_READY");
	assert_string_equal(LIST_AT(struct tag, &got->info->tags, 0)->value, "y");
	must(store_logged_model_delete_tag(&c, MODEL, "t", &change));
	assert_int_equal(change, LOGGED_MODEL_CHANGED);
	must(store_logged_model_delete_tag(&c, MODEL, "t", &change));
	assert_int_equal(change, LOGGED_MODEL_TAG_MISSING);
	must(store_logged_model_delete_tag(&c, "m-x", "t", &change));
	assert_int_equal(change, LOGGED_MODEL_MISSING);
}

static void logged_model_pages(void **state)
{
	int64_t ids[] = { 1 };
	struct search_query q = { .entity = SEARCH_LOGGED_MODELS, .view = VIEW_ACTIVE,
		.experiment_ids = ids, .experiment_count = 1, .max_results = 1,
		.token_key = store_settings_token_key() };
	struct list found = { 0 };
	struct logged_model *got = NULL;
	const struct metric *metrics;
	const char *token;

	(void)state;
	run_sql("INSERT INTO logged_model_metrics SELECT m.id, r.id, 'acc', s, 1, 0.5 + s, d, d"
	        " FROM logged_models m, runs r, (VALUES (0, ''), (1, 'd')) AS v (s, d) WHERE r.name"
	        " = 'a'");
	must(store_logged_model_search(&c, &q, &found, &token));
	assert_int_equal(found.count, 1);
	assert_null(token);
	got = found.items;
	assert_int_equal(got->data->metrics.count, 2);
	metrics = got->data->metrics.items;
	assert_string_equal(metrics[0].run_id, RUN_A);
	assert_string_equal(metrics[0].model_id, MODEL);
	assert_null(metrics[0].dataset_name);
	assert_string_equal(metrics[1].dataset_digest, "d");
	assert_true(*metrics[1].value == 1.5);

	assert_int_equal(store_logged_model_delete(&c, MODEL, 9), 1);
	assert_int_equal(store_logged_model_delete(&c, MODEL, 9), 1);
	assert_int_equal(store_logged_model_delete(&c, "m-x", 9), 0);
	assert_int_equal(store_logged_model_get(&c, MODEL, false, &got), 0);
	assert_int_equal(store_logged_model_get(&c, MODEL, true, &got), 1);
	must(store_logged_model_search(&c, &q, &found, &token));
	assert_int_equal(found.count, 0);
}

int main(void)
{
	/* In this order: later ones build on what earlier ones stored. */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(experiments),
		cmocka_unit_test(experiment_changes),
		cmocka_unit_test(experiment_pages),
		cmocka_unit_test(whole_runs),
		cmocka_unit_test(single_runs),
		cmocka_unit_test(shared_reads),
		cmocka_unit_test(reads_apart),
		cmocka_unit_test(long_values),
		cmocka_unit_test(runs_follow_their_experiment),
		cmocka_unit_test(datasets),
		cmocka_unit_test(history_texts),
		cmocka_unit_test(histories),
		cmocka_unit_test(foreign_tokens),
		cmocka_unit_test(intervals),
		cmocka_unit_test(logged_models),
		cmocka_unit_test(logged_model_pages),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
