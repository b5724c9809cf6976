/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Roll-ups of metric histories, and charts from them, beside a model that keeps all points. */

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "store/curve.h"
#include "store/gc.h"
#include "store/history.h"
#include "store/write.h"
#include "with_database.h"

#include <cmocka.h>            /* last: it defines fail() */

enum { BATCH = 1000, MOST = 60000 };

struct place {
	int64_t timestamp, step;
	double value;
};

struct row {
	const int64_t *n;
};

static const struct record row_record = { sizeof(struct row), (const struct field[]){
	INT64(struct row, n, 0),
	END }};

static void must(int result)
{
	if (result < 0)
		fail_msg("%s (%s)", c.error.message, c.error.detail ? c.error.detail : "");
}

static int64_t number(struct ctx *on, const char *sql)
{
	struct list rows = { 0 };

	must(db_list_sql(on, sql, NO_ARGS, &row_record, &rows));
	assert_int_equal(rows.count, 1);
	return *LIST_AT(struct row, &rows, 0)->n;
}

static void run_sql(const char *sql)
{
	number(&c, arena_printf(c.arena, "WITH done AS (%s RETURNING 1) SELECT count(*) AS n FROM done", sql));
}

static int set_up(void **state)
{
	(void)state;
	if (database_start(NULL, 6))
		return -1;
	run_sql("INSERT INTO experiments (id, name, artifact_location, creation_time, last_update_time)"
	        " VALUES (0, 'Default', '/art', 0, 0)");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return database_stop();
}

/* ---- writing ---- */

static const char *new_run(void)
{
	struct write w = { .ctx = &(struct ctx){ .arena = c.arena }, .run_id = id_uuid_hex(c.arena) };
	struct write *one = &w;

	w.create = &(struct new_run){ .run_id = w.run_id, .name = "n", .user_id = "",
	                              .info = NEW(c.arena, struct run_info) };
	must(store_commit(&c, &one, 1));
	assert_int_equal(w.ctx->error.code, OK);
	return w.run_id;
}

static void log_points(struct ctx *on, const char *run, const struct place *points, size_t count)
{
	for (size_t done = 0; done < count; done += BATCH) {
		size_t n = count - done < BATCH ? count - done : BATCH;
		struct metric *metrics = NEW_ARRAY(on->arena, n, struct metric);
		struct write w = { .ctx = &(struct ctx){ .arena = on->arena }, .run_id = run,
		                   .metrics = { metrics, n } };
		struct write *one = &w;

		for (size_t i = 0; i < n; i++)
			metrics[i] = (struct metric){ .key = "m", .value = &points[done + i].value,
			                              .timestamp = &points[done + i].timestamp,
			                              .step = &points[done + i].step };
		must(store_commit(on, &one, 1));
		assert_int_equal(w.ctx->error.code, OK);
	}
}

static struct curve_id curve_of(struct ctx *on, const char *run)
{
	return (struct curve_id){
		number(on, arena_printf(on->arena, "SELECT id AS n FROM runs WHERE uuid = '%s'", run)),
		(int32_t)number(on, "SELECT coalesce(max(id), 0)::bigint AS n FROM keys WHERE name = 'm'") };
}

static struct curve_rolled roll(const char *run)
{
	struct curve_rolled rolled;

	must(store_curve_roll(&c, curve_of(&c, run), &rolled));
	return rolled;
}

/* ---- what must hold ---- */

#define GOOD " JOIN latest l USING (run_id, key_id)" \
	" WHERE (c.to_timestamp, c.to_step) < (l.fresh_timestamp, l.fresh_step)"

/* Each row that is believed says what its points say, and each level holds all points up to the same place. */
static void check_rows(struct ctx *on)
{
	assert_int_equal(number(on,
		"SELECT count(*) AS n FROM curves c" GOOD " AND NOT (c.points, c.low_value, c.high_value,"
		" c.first_step, c.last_step) = (SELECT count(*), coalesce(min(nullif(value, 'NaN')), 'NaN'),"
		" coalesce(max(nullif(value, 'NaN')), 'NaN'), min(p.step), max(p.step) FROM points p"
		" WHERE p.run_id = c.run_id AND p.key_id = c.key_id AND (p.timestamp, p.step) >= (c.timestamp, c.step)"
		" AND (p.timestamp, p.step) <= (c.to_timestamp, c.to_step))"), 0);
	assert_int_equal(number(on,
		"SELECT count(*) AS n FROM (SELECT c.run_id, c.key_id, sum(c.points) AS points, max(c.to_timestamp) AS t"
		"  FROM curves c" GOOD " AND level = 0 GROUP BY c.run_id, c.key_id) g"
		" WHERE points <> (SELECT count(*) FROM points p JOIN LATERAL (SELECT to_timestamp, to_step FROM curves c"
		GOOD " AND c.run_id = g.run_id AND c.key_id = g.key_id AND level = 0"
		"  ORDER BY to_timestamp DESC, to_step DESC LIMIT 1) e ON (p.timestamp, p.step) <= (e.to_timestamp, e.to_step)"
		" WHERE p.run_id = g.run_id AND p.key_id = g.key_id)"), 0);
	assert_int_equal(number(on,
		"SELECT count(*) AS n FROM (SELECT run_id, key_id, level, sum(points) AS points FROM curves GROUP BY 1, 2, 3) a"
		" JOIN (SELECT run_id, key_id, sum(points) AS points FROM curves WHERE level = 0 GROUP BY 1, 2) b"
		" USING (run_id, key_id) WHERE a.points <> b.points"), 0);
	/* Each is in one of the next level. */
	assert_int_equal(number(on,
		"SELECT count(*) AS n FROM curves c WHERE level < 6 AND NOT EXISTS (SELECT 1 FROM curves p"
		" WHERE p.run_id = c.run_id AND p.key_id = c.key_id AND p.level = c.level + 1"
		" AND (p.timestamp, p.step) <= (c.timestamp, c.step)"
		" AND (c.to_timestamp, c.to_step) <= (p.to_timestamp, p.to_step))"), 0);
}

static int compare(const void *x, const void *y)
{
	const struct place *a = x, *b = y;
	int order = (a->timestamp > b->timestamp) - (a->timestamp < b->timestamp);

	if (!order)
		order = (a->step > b->step) - (a->step < b->step);
	if (!order && (isnan(a->value) || isnan(b->value)))
		return (isnan(a->value) != 0) - (isnan(b->value) != 0);
	return order ? order : (a->value > b->value) - (a->value < b->value);
}

static int compare_step(const void *x, const void *y)
{
	const struct place *a = x, *b = y;

	return a->step != b->step ? (a->step > b->step) - (a->step < b->step) : compare(x, y);
}

/* Those in the window, in order, each once. */
static size_t in_window(const struct place *points, size_t count, int64_t from, int64_t to, struct place *ret)
{
	size_t n = 0, kept = 0;

	for (size_t i = 0; i < count; i++) {
		if (points[i].step >= from && points[i].step <= to)
			ret[n++] = points[i];
	}
	qsort(ret, n, sizeof(*ret), compare);
	for (size_t i = 0; i < n; i++) {
		if (!kept || compare(&ret[kept - 1], &ret[i]) != 0)
			ret[kept++] = ret[i];
	}
	return kept;
}

static struct place *ask(const char *run, int64_t most, int64_t from, int64_t to, size_t *count)
{
	struct history_interval i = { .run_ids = &run, .run_count = 1, .key = "m", .max_results = most,
	                              .start_step = &from, .end_step = &to };
	struct list points = { 0 };
	struct place *got;

	must(store_history_interval(&c, &i, &points));
	got = NEW_ARRAY(c.arena, points.count + 1, struct place);
	for (size_t k = 0; k < points.count; k++) {
		const struct point *p = LIST_AT(struct point, &points, k);

		assert_string_equal(p->run_id, run);
		assert_string_equal(p->key, "m");
		got[k] = (struct place){ *p->timestamp, *p->step, *p->value };
		assert_true(!k || compare_step(&got[k - 1], &got[k]) < 0);
	}
	*count = points.count;
	return got;
}

static void check_chart(const char *run, const struct place *points, size_t count, int64_t most, int64_t from,
                        int64_t to)
{
	struct place *all = NEW_ARRAY(c.arena, count + 1, struct place), *got;
	double low = NAN, high = NAN, got_low = NAN, got_high = NAN;
	size_t n = in_window(points, count, from, to, all), of, before = 0;
	int64_t bucket = most < 4 ? (int64_t)n : (int64_t)n / ((most - 2) / 2);

	got = ask(run, most, from, to, &of);
	assert_true(of <= (size_t)most);
	assert_int_equal(of > 0, n > 0);
	if (n <= (size_t)most)
		assert_int_equal(of, n);
	for (size_t i = 0; i < n; i++) {
		low = fmin(low, all[i].value);
		high = fmax(high, all[i].value);
	}
	if (n > (size_t)most && most >= 4)
		assert_true(of >= (size_t)(most - 2) / 4);
	for (size_t i = 0; i < of; i++) {
		got_low = fmin(got_low, got[i].value);
		got_high = fmax(got_high, got[i].value);
	}
	if (most >= 4 && n) {
		assert_true(low == got_low || (isnan(low) && isnan(got_low)));
		assert_true(high == got_high || (isnan(high) && isnan(got_high)));
	}
	qsort(got, of, sizeof(*got), compare);
	for (size_t i = 0; i < of; i++) {
		struct place *is = bsearch(&got[i], all, n, sizeof(*all), compare);

		assert_non_null(is);
		/* No stretch is left out. */
		if (most >= 4)
			assert_true((int64_t)((size_t)(is - all) - before) <= 5 * bucket + 100);
		before = (size_t)(is - all);
	}
	if (n) {
		qsort(all, n, sizeof(*all), compare_step);
		assert_non_null(bsearch(&all[n - 1], got, of, sizeof(*got), compare));
		assert_true(most == 1 || bsearch(&all[0], got, of, sizeof(*got), compare));
	}
}

static void check_charts(const char *run, const struct place *points, size_t count, int64_t least, int64_t greatest)
{
	static const int64_t sizes[] = { 1, 2, 3, 4, 5, 7, 64, 100, 642, 2500 };
	struct arena *kept = c.arena, *own = arena_child(c.arena, LIMIT_ARENA);

	c.arena = own;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		int64_t wide = greatest - least + 1;
		int64_t at = least + rand() % wide, size = 1 + rand() % wide;

		check_chart(run, points, count, sizes[i], INT64_MIN, INT64_MAX);
		check_chart(run, points, count, sizes[i], at, at + size);
		check_chart(run, points, count, sizes[i], at, at + size / 50);
		check_chart(run, points, count, sizes[i], at, at);
		arena_reset(own);
	}
	c.arena = kept;
}

/* ---- tests ---- */

static double any_value(void)
{
	int n = rand() % 200;

	return n == 0 ? (double)NAN : (double)(rand() % 2000 - 1000) / (n == 1 ? 1e-6 : 7);
}

enum shape { RISING, ONE_TIME, ONE_STEP, RESUMED, SCATTERED, BURSTS, BACKWARDS, SHAPES };

static struct place place_of(enum shape shape, int64_t i, int64_t count)
{
	struct place p = { 1700000000000 + i * 3, i - 100, any_value() };

	if (shape == ONE_TIME)
		p.timestamp = 7;
	else if (shape == ONE_STEP)
		p.step = 0;
	else if (shape == RESUMED)
		p.step = i < count / 2 ? i : i - count / 4;
	else if (shape == SCATTERED)
		p.step = rand() % count;
	else if (shape == BURSTS)
		p.timestamp = p.timestamp / 1000, p.step = i / 700 * 10;
	else if (shape == BACKWARDS)
		p.step = -i;
	return p;
}

/* Points come in batches, now and then some late ones, and are rolled up at some times. */
static void histories(void **state)
{
	struct place *points = calloc(MOST, sizeof(*points));

	(void)state;
	for (int shape = 0; shape < SHAPES; shape++) {
		const char *run = new_run();
		size_t count = shape == RISING ? 50000 : 12000, done = 0;

		for (size_t i = 0; i < count; i++)
			points[i] = place_of((enum shape)shape, (int64_t)i, (int64_t)count);
		while (done < count) {
			size_t n = (size_t)(rand() % 3000) + 1;

			if (n > count - done)
				n = count - done;
			/* Late: a few of the next ones are from long ago. */
			for (size_t i = 0; i < n && rand() % 2 == 0; i += 500) {
				points[done + i].timestamp -= rand() % 30000;
				points[done + i].step -= rand() % 10;
			}
			log_points(&c, run, points + done, n);
			done += n;
			if (rand() % 3 == 0)
				roll(run);
			if (rand() % 4 == 0)
				check_charts(run, points, done, -2000, (int64_t)count);
		}
		check_rows(&c);
		roll(run);
		check_rows(&c);
		assert_true(shape == ONE_STEP || number(&c, "SELECT count(*) AS n FROM curves") > 0);
		check_charts(run, points, count, -2000, (int64_t)count);
	}
	free(points);
}

static void edges(void **state)
{
	static const int64_t ends[] = { INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX };
	enum { N = sizeof(ends) / sizeof(*ends) };
	const char *run = new_run();
	struct place points[N * N * 4];
	size_t n = 0;

	(void)state;
	for (size_t t = 0; t < N; t++) {
		for (size_t s = 0; s < N; s++) {
			points[n++] = (struct place){ ends[t], ends[s], (double)n };
			points[n++] = (struct place){ ends[t], ends[s], NAN };
			points[n++] = (struct place){ ends[t], ends[s], -1.79769e308 };
			points[n++] = (struct place){ ends[t], ends[s], 1e-320 };
		}
	}
	for (int times = 0; times < 3; times++) {
		log_points(&c, run, points + (size_t)times * n / 3, n / 3 + 1);
		check_charts(run, points, (size_t)(times + 1) * n / 3 + (times < 2), -1, 1);
		roll(run);
		roll(run);
		check_rows(&c);
		check_charts(run, points, (size_t)(times + 1) * n / 3 + (times < 2), -1, 1);
	}
	/* Infinite values come by import alone. */
	run_sql(arena_printf(c.arena, "INSERT INTO points SELECT r.id, k.id, 5, i, CASE i %% 3 WHEN 0 THEN 'Infinity'"
	                     " WHEN 1 THEN '-Infinity' ELSE 'NaN' END::double precision FROM runs r, keys k,"
	                     " generate_series(2, 5000) i WHERE r.uuid = '%s' AND k.name = 'm'", run));
	run_sql(arena_printf(c.arena, "UPDATE latest l SET fresh_timestamp = NULL, fresh_step = NULL FROM runs r"
	                     " WHERE r.id = l.run_id AND r.uuid = '%s'", run));
	assert_true(roll(run).again);
	check_rows(&c);
	struct place *got = ask(run, 64, 0, 6000, &n);
	bool low = false, high = false;

	for (size_t i = 0; i < n; i++) {
		low = low || got[i].value == -INFINITY;
		high = high || got[i].value == INFINITY;
	}
	assert_true(low && high);
}

/* What lies beside the window is not read. */
static void steady(void **state)
{
	const char *run = new_run();
	size_t n;

	(void)state;
	log_points(&c, run, &(struct place){ 0, 0, 0 }, 1);
	run_sql(arena_printf(c.arena, "INSERT INTO points SELECT r.id, k.id, i, i, sin(i) FROM runs r, keys k,"
	                     " generate_series(1, 300000) i WHERE r.uuid = '%s' AND k.name = 'm'", run));
	/* Not rolled up yet: as even. */
	ask(run, 642, INT64_MIN, INT64_MAX, &n);
	assert_true(n > 600 && n <= 642);
	assert_true(roll(run).points > 299000);
	assert_int_equal(roll(run).points, 0);
	assert_false(roll(run).again);
	check_rows(&c);
	/* Points that are gone show what was read. */
	run_sql("DELETE FROM points WHERE step BETWEEN 1 AND 100000 OR step BETWEEN 100100 AND 290000");
	ask(run, 642, 0, 300000, &n);
	assert_true(n > 600 && n <= 642);
	ask(run, 642, 150000, 250000, &n);
	assert_true(n > 600 && n <= 642);
	run_sql("DELETE FROM curves WHERE to_timestamp < 100000");
	ask(run, 642, 295000, 299000, &n);
	assert_true(n > 600 && n <= 642);
}

static void gone(void **state)
{
	const char *run = new_run();
	struct place points[200];
	struct curve_id id;
	struct curve_rolled rolled;
	int64_t removed;

	(void)state;
	for (int i = 0; i < 200; i++)
		points[i] = (struct place){ i, i, i };
	log_points(&c, run, points, 200);
	roll(run);
	id = curve_of(&c, run);
	run_sql(arena_printf(c.arena, "UPDATE runs SET deleted = true WHERE id = %lld", (long long)id.run));
	must(store_gc_remove(&c, GC_RUNS, &id.run, 1, &removed));
	assert_int_equal(removed, 1);
	must(store_curve_roll(&c, id, &rolled));
	assert_int_equal(number(&c, arena_printf(c.arena, "SELECT count(*) AS n FROM curves WHERE run_id = %lld",
	                                         (long long)id.run)), 0);
}

/* ---- writers beside rollers ---- */

static atomic_bool over;
static const char *shared_run;

static void *writing(void *arg)
{
	struct ctx own = { .arena = arena_new(LIMIT_ARENA) };
	unsigned seed = (unsigned)(uintptr_t)arg;
	struct place points[50];

	if (db_get(&own, pool, 5000))
		abort();
	for (int64_t i = 0; i < 300; i++) {
		for (int64_t k = 0; k < 50; k++) {
			int64_t late = rand_r(&seed) % 20 == 0 ? rand_r(&seed) % 3000 : 0;

			points[k] = (struct place){ i * 50 + k - late, (i * 50 + k) * 4 + (int64_t)seed % 4, (double)k };
		}
		log_points(&own, shared_run, points, 50);
		arena_reset(own.arena);
	}
	db_put(&own, pool);
	arena_free(own.arena);
	return NULL;
}

static atomic_int_least64_t victims[2];
static atomic_int deaths;

static void take(struct ctx *own, atomic_int_least64_t *victim)
{
	if (db_get(own, pool, 5000))
		abort();
	atomic_store(victim, number(own, "SELECT pg_backend_pid()::bigint AS n"));
}

/* A roller whose session ends at any moment, as that of a daemon that is killed, is followed by the next one. */
static void *rolling(void *arg)
{
	struct ctx own = { .arena = arena_new(LIMIT_ARENA) };
	struct curve_rolled rolled;
	struct curve_id id;

	take(&own, arg);
	id = curve_of(&own, shared_run);
	while (!atomic_load(&over)) {
		if (store_curve_roll(&own, id, &rolled)) {
			atomic_fetch_add(&deaths, 1);
			atomic_store((atomic_int_least64_t *)arg, 0);
			db_abandon(&own);
			db_put(&own, pool);
			error_clear(&own);
			take(&own, arg);
		}
		arena_reset(own.arena);
	}
	atomic_store((atomic_int_least64_t *)arg, 0);
	db_put(&own, pool);
	arena_free(own.arena);
	return NULL;
}

static void races(void **state)
{
	pthread_t writers[2], rollers[2];

	(void)state;
	shared_run = new_run();
	log_points(&c, shared_run, &(struct place){ 0, 0, 0 }, 1);
	atomic_store(&over, false);
	for (uintptr_t i = 0; i < 2; i++) {
		assert_int_equal(pthread_create(&writers[i], NULL, writing, (void *)(i + 1)), 0);
		assert_int_equal(pthread_create(&rollers[i], NULL, rolling, &victims[i]), 0);
	}
	for (int i = 0; i < 20; i++) {
		db_queue_begin_snapshot(&c);
		check_rows(&c);
		must(db_rollback(&c));
		number(&c, arena_printf(c.arena, "SELECT count(pg_terminate_backend(pid)) AS n FROM pg_stat_activity"
		                        " WHERE pid = %lld", (long long)atomic_load(&victims[i % 2])));
	}
	for (int i = 0; i < 2; i++)
		pthread_join(writers[i], NULL);
	atomic_store(&over, true);
	for (int i = 0; i < 2; i++)
		pthread_join(rollers[i], NULL);
	assert_true(atomic_load(&deaths) > 0);
	check_rows(&c);
	roll(shared_run);
	check_rows(&c);
	assert_true(number(&c, "SELECT count(*) AS n FROM curves") > 100);
}

/* ---- hints ---- */

static void hints(void **state)
{
	struct curve_id got;

	(void)state;
	while (store_curve_next(&got, 0))
		;
	store_curve_grew((struct curve_id){ 5, 5 }, 2047);
	assert_false(store_curve_next(&got, 1));
	store_curve_grew((struct curve_id){ 5, 5 }, 1);
	store_curve_want((struct curve_id){ 5, 5 });
	store_curve_want((struct curve_id){ 6, 5 });
	assert_true(store_curve_next(&got, 0));
	assert_int_equal(got.run, 5);
	assert_true(store_curve_next(&got, 0));
	assert_int_equal(got.run, 6);
	assert_false(store_curve_next(&got, 0));
	store_curve_want((struct curve_id){ 7, 5 });
	store_curve_stop(true);
	assert_false(store_curve_next(&got, 1000));
	store_curve_stop(false);
	assert_true(store_curve_next(&got, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(histories),
		cmocka_unit_test(edges),
		cmocka_unit_test(gone),
		cmocka_unit_test(races),
		cmocka_unit_test(steady),
		cmocka_unit_test(hints),
	};

	srand(1);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
