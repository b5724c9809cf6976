/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Settled runs: after each of many changes at random, searches find what the plain statement of search_build() finds
   and show what a load shows, whichever runs are settled; and what is derived fits what it is derived from, also with
   writers at work. Against a private PostgreSQL. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/id.h"
#include "db/db.h"
#include "store/entities.h"
#include "store/experiment.h"
#include "store/run.h"
#include "store/run_search.h"
#include "store/settle.h"
#include "store/write.h"
#include "with_database.h"

#include <cmocka.h>            /* last: it defines fail() */

enum { CHANGES = 900, RUNS = 16, KINDS = 12, WRITES = 400 };

static unsigned seed = 20261122;
static const char *runs[RUNS];
static size_t run_count;
static int64_t step;
static unsigned ranked_pages;

static void must(int result)
{
	if (result < 0)
		fail_msg("%s (%s)", c.error.message, c.error.detail ? c.error.detail : "");
}

static int64_t below(int64_t most)
{
	return rand_r(&seed) % most;
}

static const char *pick(const char *const *texts, int64_t count)
{
	return texts[below(count)];
}

struct number_row {
	const int64_t *n;
};

static const struct record number_record = { sizeof(struct number_row), (const struct field[]){
	INT64(struct number_row, n, 0),
	END }};

static int64_t number(const char *sql)
{
	struct list rows = { 0 };

	must(db_list_sql(&c, sql, NO_ARGS, &number_record, &rows));
	return *LIST_AT(struct number_row, &rows, 0)->n;
}

static int set_up(void **state)
{
	static const struct stmt experiments = { "test_experiments", "",
		"INSERT INTO experiments (id, name, artifact_location, creation_time,"
		" last_update_time) VALUES (1, 'one', '/one', 0, 0), (2, 'two', '/two', 0, 0)" };

	(void)state;
	return database_start(NULL, 4) || db_exec(&c, &experiments, NO_ARGS) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	return database_stop();
}

/* ---- changes ---- */

static struct write *new_write(struct arena *a, const char *run_id)
{
	struct write *w = NEW(a, struct write);

	w->ctx = NEW(a, struct ctx);
	w->ctx->arena = a;
	w->run_id = run_id;
	return w;
}

static void commit(struct write *w)
{
	must(store_commit(&c, &(struct write *){ w }, 1));
}

static void create_run(void)
{
	const char *id = id_uuid_hex(c.arena);
	struct write *w = new_write(c.arena, id);
	struct new_run n = { .run_id = id, .name = "n", .user_id = "", .experiment_id = 1,
	                     .start_time = below(3), .info = NEW(c.arena, struct run_info) };

	if (run_count == RUNS)
		return;
	w->create = &n;
	commit(w);
	if (w->ctx->error.code == OK)   /* else the experiment is deleted */
		runs[run_count++] = strdup(id);
}

static void log_metric(struct ctx *x, struct arena *a, const char *run, unsigned *random, int64_t at)
{
	static const double values[] = { -1, 0, 0.5, 0.5, 1, NAN, 2 };
	static const char *const keys[] = { "a", "b" };
	struct write *w = new_write(a, run);
	double value = values[rand_r(random) % 7];
	struct metric m = { .key = keys[rand_r(random) % 2], .value = &value, .timestamp = &at,
	                    .step = &at };

	w->metrics = (struct list){ &m, 1 };
	if (store_commit(x, &(struct write *){ w }, 1))
		abort();
}

static void log_texts(const char *run, bool tags)
{
	static const char *const values[] = { "1", "2", "3" };
	static const char *const param_keys[] = { "p", "q" };
	struct write *w = new_write(c.arena, run);
	struct tag t = { tags ? "t" : pick(param_keys, 2), pick(values, 3) };
	const char *gone = "t";

	if (tags && !below(3)) {
		w->delete_tags = &gone;
		w->delete_tag_count = 1;
	} else {
		*(tags ? &w->tags : &w->params) = (struct list){ &t, 1 };
	}
	commit(w);
}

static void log_links(const char *run)
{
	struct dataset d = { "d", arena_printf(c.arena, "%lld", (long long)below(2)), "s", "s", NULL, NULL };
	struct dataset_input input = { .dataset = &d };
	struct model_output output = { .model_id = "m-1", .step = &step };
	struct write *w = new_write(c.arena, run);

	w->datasets = (struct list){ &input, 1 };
	w->model_outputs = (struct list){ &output, 1 };
	commit(w);
}

static void settle(void)
{
	struct settle_place place = { 0 };
	int64_t found[RUNS], some[RUNS];
	size_t count, n = 0;

	must(store_settle_list(&c, &place, found, RUNS, &count));
	for (size_t i = 0; i < count; i++)
		if (below(3))
			some[n++] = found[i];
	assert_int_equal(store_settle(&c, some, n), 1);
}

static void change(int64_t kind)
{
	static const char *const states[] = { "RUNNING", "FINISHED" };
	const char *run = run_count ? runs[below((int64_t)run_count)] : NULL;
	struct run_info info;

	step++;
	if (!run)
		kind = 0;
	switch (kind) {
	case 0:
		create_run();
		return;
	case 1:
	case 2:
		log_metric(&c, c.arena, run, &seed, step);
		return;
	case 3:
	case 4:
		log_texts(run, kind == 3);
		return;
	case 5:
		log_links(run);
		return;
	case 6:
		(void)!store_run_update(&c, run, &(struct run_change){ .status = pick(states, 2),
		                        .end_time = &step,
		                        .name = below(2) ? "other" : NULL }, &info);
		return;
	case 7:
		must(below(2) ? store_run_delete(&c, run, step) : store_run_restore(&c, run));
		return;
	case 8:
		must(below(2) ? store_experiment_delete(&c, 1, step)
			: store_experiment_restore(&c, 1, step));
		return;
	case 9:
		(void)!store_run_append_tag(&c, run, "l", "1", 1000);
		return;
	default:
		settle();
	}
}

/* ---- searches ---- */

static const char *const filters[] = {
	NULL, "metrics.a > 0", "metrics.a <= 0.5 AND params.p = '1'", "metrics.b < 1 AND tags.t = '2'",
	"params.p = '1' OR tags.t = '1'", "tags.t != '1'", "metrics.a = 0.5", "metrics.a != 0.5",
	"params.q LIKE '%2%'", "NOT (metrics.b > 0)", "attributes.status = 'FINISHED' AND metrics.a >= 0",
	"params.p IN ('1', '2') AND metrics.b IS NOT NULL", "tags.`mlflow.runName` = 'other'",
};
static const char *const orders[] = {
	"metrics.a DESC", "metrics.a ASC", "metrics.b DESC", "metrics.b", "params.p", "start_time",
};

struct id_row {
	const int64_t *id;
	const int64_t *revision;
	struct list position;
};

static const struct record id_record = { sizeof(struct id_row), (const struct field[]){
	INT64  (struct id_row, id,       0),
	INT64  (struct id_row, revision, 0),
	STRINGS(struct id_row, position, 0),
	END }};

static const char *text_of(const struct run *r)
{
	struct buf text = BUF(c.arena, 1 << 20);

	record_write(&text, &run_record, r);
	return buf_text(&text);
}

/* What the plain statement finds, loaded one by one. */
static size_t expected(struct search_query q, const char **texts)
{
	static const struct stmt uuid = { "test_uuid", "i",
		"SELECT replace(uuid::text, '-', '') AS key FROM runs WHERE id = $1" };
	struct search_page page = { 0 };
	struct list found = { 0 };

	q.max_results = 1000;
	must(search_build(&c, &q, &page));
	must(db_list_once(&c, page.sql, page.args, &id_record, &found));
	for (size_t i = 0; i < found.count; i++) {
		struct tag name = { 0 };
		struct run r = { 0 };

		must(db_one(&c, &uuid, ARGS(BIGINT(*LIST_AT(struct id_row, &found, i)->id)),
		            &tag_record, &name));
		assert_int_equal(store_run_get(&c, name.key, &r), 1);
		texts[i] = text_of(&r);
	}
	return found.count;
}

static void count_ranked(const struct search_query *q)
{
	struct search_page page = { 0 };
	struct list found = { 0 };

	if (search_build_ranked(&c, q, &page) <= 0)
		return;
	must(db_list_sql(&c, page.sql, page.args, &id_record, &found));
	ranked_pages += found.count && search_ranked_whole(q, found.count,
		LIST_AT(struct id_row, &found, found.count - 1)->revision);
}

static void check(void)
{
	static const int64_t both[] = { 1, 2 };
	const char *want[RUNS], *order[2] = { pick(orders, 6), "end_time DESC" };
	struct search_query q = { .entity = SEARCH_RUNS, .view = (enum search_view)(1 + below(3)),
		.experiment_ids = both, .experiment_count = 1 + !below(4),
		.filter = pick(filters, sizeof(filters) / sizeof(*filters)),
		.order_by = { order, 1 + (size_t)!below(3) }, .max_results = 1 + below(4),
		.token_key = store_settings_token_key() };
	size_t count = expected(q, want), n = 0;

	for (const char *next = ""; next;) {
		struct list page = { 0 };

		q.page_token = next;
		count_ranked(&q);
		must(store_run_search(&c, &q, &page, &next));
		for (size_t i = 0; i < page.count; i++, n++) {
			assert_true(n < count);
			assert_string_equal(text_of(LIST_AT(struct run, &page, i)), want[n]);
		}
	}
	assert_int_equal(n, count);
}

/* Ranked are the values of the settled runs, with their marks, and nothing else. */
static void check_derived(void)
{
	static const char sql[] =
		"WITH want AS (SELECT l.experiment_id, l.key_id, l.value, l.run_id,"
		" (SELECT coalesce(bit_or(run_marks(0, key_id, value)), 0) FROM ("
		"  SELECT key_id, value FROM params WHERE run_id = r.id UNION ALL"
		"  SELECT key_id, value FROM tags WHERE run_id = r.id) x) AS low,"
		" (SELECT coalesce(bit_or(run_marks(12, key_id, value)), 0) FROM ("
		"  SELECT key_id, value FROM params WHERE run_id = r.id UNION ALL"
		"  SELECT key_id, value FROM tags WHERE run_id = r.id) x) AS high"
		" FROM runs r JOIN latest l ON l.run_id = r.id WHERE r.revision IS NOT NULL)"
		" SELECT (SELECT count(*) FROM (TABLE want EXCEPT ALL TABLE ranked) x)"
		" + (SELECT count(*) FROM (TABLE ranked EXCEPT ALL TABLE want) x) AS n";

	assert_int_equal(number(sql), 0);
}

static void changes(void **state)
{
	struct arena *whole = c.arena;

	(void)state;
	for (int i = 0; i < CHANGES; i++) {
		c.arena = arena_new(LIMIT_ARENA);
		change(below(KINDS));
		error_clear(&c);
		check_derived();
		check();
		check();
		arena_free(c.arena);
	}
	c.arena = whole;
	assert_true(ranked_pages > 100);
}

/* ---- beside writers ---- */

struct writer {
	struct ctx ctx;
	unsigned seed;
	int64_t first;
	pthread_t thread;
};

static atomic_int writing;

static void *write_some(void *arg)
{
	struct writer *w = arg;

	for (int i = 0; i < WRITES; i++) {
		struct arena *a = arena_new(LIMIT_ARENA);

		w->ctx.arena = a;
		if (db_get(&w->ctx, pool, 5000))
			abort();
		log_metric(&w->ctx, a, runs[rand_r(&w->seed) % 4], &w->seed, w->first + i);
		db_put(&w->ctx, pool);
		arena_free(a);
	}
	atomic_fetch_sub(&writing, 1);
	return NULL;
}

static void beside_writers(void **state)
{
	struct writer writers[] = { { .seed = 1, .first = 1000000 }, { .seed = 2, .first = 2000000 } };
	unsigned settled = 0;

	(void)state;
	must(store_experiment_restore(&c, 1, 1));
	for (size_t i = 0; i < run_count; i++)
		must(store_run_restore(&c, runs[i]));
	atomic_store(&writing, 2);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&writers[i].thread, NULL, write_some, &writers[i]), 0);
	while (atomic_load(&writing)) {
		struct settle_place place = { 0 };
		int64_t found[RUNS];
		size_t count;
		int done;

		must(store_settle_list(&c, &place, found, RUNS, &count));
		done = store_settle(&c, found, count);
		must(done);
		settled += done && count;
		check_derived();
	}
	for (size_t i = 0; i < 2; i++)
		pthread_join(writers[i].thread, NULL);
	check_derived();
	assert_true(settled > 10);
	assert_int_equal(number("SELECT count(*) AS n FROM runs WHERE revision IS NULL"
	                        " AND id IN (SELECT run_id FROM ranked)"), 0);
}

/* ---- who writes ---- */

static void notes(void **state)
{
	int64_t ids[4];

	(void)state;
	while (store_settle_rested(ids, 4))
		;
	store_settle_note(5, 100000);
	assert_true(store_settle_is_active(5));
	assert_int_equal(store_settle_rested(ids, 4), 0);
	store_settle_note(5, 0);
	store_settle_note(6, 0);
	assert_int_equal(store_settle_rested(ids, 1), 1);
	assert_int_equal(store_settle_rested(ids + 1, 4), 1);
	assert_int_equal(ids[0] + ids[1], 11);
	assert_false(store_settle_is_active(5));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes), cmocka_unit_test(beside_writers), cmocka_unit_test(notes),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
