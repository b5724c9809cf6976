/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The db layer against a private PostgreSQL in a temporary directory. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <float.h>
#include <ftw.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "db/db.h"
#include "db/migrate.h"
#include "db/private.h"

#include <cmocka.h>            /* last: it defines fail() */

static char root[64];
static struct db_private *server;
static struct db_pool *pool;

struct value {
	const char *text;
	const char *uuid;
	const int64_t *number;
	const double *real;
	const bool *flag;
	struct list texts;
};

static const struct record value_record = { sizeof(struct value), (const struct field[]){
	STRING (struct value, text,   0),
	STRING (struct value, uuid,   0),
	INT64  (struct value, number, 0),
	DOUBLE (struct value, real,   0),
	BOOL   (struct value, flag,   0),
	STRINGS(struct value, texts,  0),
	END }};

enum { ECHO, ECHO_NULLS, UNNEST, FAIL, INSERT, COUNT, CLEAR, CREATE, SLEEP, BACKEND, KILL, RAISE, ECHO_TEXT, PREPARED, BULK };

static const struct stmt stmts[] = {
	[ECHO] = { "echo", "tuidbT", "SELECT $1 AS text, $2 AS uuid, $3 AS number, $4 AS real, $5 AS flag, $6 AS texts" },
	[ECHO_NULLS] = { "echo_nulls", "tiI", "SELECT $1 AS text, $2 AS number FROM unnest($3) AS n WHERE n IS NULL" },
	[UNNEST] = { "unnest", "ITDBU", "SELECT a AS number, b AS text, c AS real, d AS flag, e AS uuid"
	             " FROM unnest($1, $2, $3, $4, $5) AS t(a, b, c, d, e)" },
	[FAIL] = { "fail", "i", "SELECT 1 / $1 AS number" },
	[INSERT] = { "insert", "id", "INSERT INTO scratch (id, value) VALUES ($1, $2)" },
	[COUNT] = { "count", "", "SELECT count(*) AS number FROM scratch" },
	[CLEAR] = { "clear", "", "DELETE FROM scratch" },
	[CREATE] = { "create", "", "CREATE TABLE scratch (id bigint CONSTRAINT scratch_id PRIMARY KEY, value float8)" },
	[SLEEP] = { "sleep", "d", "SELECT pg_sleep($1)::text AS text" },
	[BACKEND] = { "backend", "", "SELECT pg_backend_pid() AS number" },
	[KILL] = { "kill", "n", "SELECT pg_terminate_backend($1) AS flag" },
	[RAISE] = { "raise", "t", "SELECT set_config('x.y', $1, true) AS text FROM raise_state($1)" },
	[ECHO_TEXT] = { "echo_text", "t", "SELECT $1 AS text" },
	[PREPARED] = { "prepared", "", "SELECT count(*) AS number FROM pg_prepared_statements" },
	[BULK] = { "bulk", "n", "SELECT repeat('x', 1000) AS text FROM generate_series(1, $1)" },
};

/* ---- a unit of work ---- */

static struct ctx begin_work(void)
{
	return (struct ctx){ .arena = arena_new(64 << 20) };
}

static void end_work(struct ctx *c)
{
	if (c->db)
		db_put(c, pool);
	arena_free(c->arena);
}

static struct ctx begin_db(void)
{
	struct ctx c = begin_work();

	if (db_get(&c, pool, 1000))
		fail_msg("%s (%s)", c.error.message, c.error.detail);
	return c;
}

static void must(struct ctx *c, int result)
{
	if (result < 0)
		fail_msg("%s (%s)", c->error.message, c->error.detail ? c->error.detail : "");
}

static int64_t number(struct ctx *c, int which)
{
	struct value v = { 0 };

	must(c, db_one(c, &stmts[which], NO_ARGS, &value_record, &v));
	return *v.number;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static const char *in_root(const char *name)
{
	static char path[160];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	return path;
}

/* ---- statements ---- */

static void round_trip(void **state)
{
	struct ctx c = begin_db();
	const char *texts[] = { "a", NULL, "\xc3\xa9" };
	struct value v = { 0 };

	(void)state;
	must(&c, db_one(&c, &stmts[ECHO], ARGS(TEXT("h\"'\\\xc3\xa9"), UUID("000102030405060708090a0b0c0d0e0f"),
	                                      BIGINT(INT64_MIN), REAL(DBL_MAX), BOOLEAN(true), TEXTS(texts, 3)),
	                &value_record, &v));
	assert_string_equal(v.text, "h\"'\\\xc3\xa9");
	assert_string_equal(v.uuid, "000102030405060708090a0b0c0d0e0f");
	assert_true(*v.number == INT64_MIN);
	assert_true(*v.real == DBL_MAX);
	assert_true(*v.flag);
	assert_int_equal(v.texts.count, 3);
	assert_null(*LIST_AT(const char *, &v.texts, 1));
	assert_string_equal(*LIST_AT(const char *, &v.texts, 2), "\xc3\xa9");
	memset(&v, 0, sizeof(v));
	must(&c, db_one(&c, &stmts[ECHO], ARGS(TEXT(""), UUID("nonsense"), BIGINT_P((int64_t *)NULL), REAL(NAN),
	                                      BOOLEAN(false), TEXTS(NULL, 0)), &value_record, &v));
	assert_string_equal(v.text, "");
	assert_null(v.uuid);
	assert_null(v.number);
	assert_true(isnan(*v.real));
	assert_int_equal(v.texts.count, 0);
	end_work(&c);
}

static void arrays(void **state)
{
	struct ctx c = begin_db();
	enum { N = 10000 };
	int64_t *ids = NEW_ARRAY(c.arena, N, int64_t);
	const char **texts = NEW_ARRAY(c.arena, N, const char *), **uuids = NEW_ARRAY(c.arena, N, const char *);
	double *reals = NEW_ARRAY(c.arena, N, double);
	bool *flags = NEW_ARRAY(c.arena, N, bool), nulls[] = { true };
	struct list rows;

	(void)state;
	for (int i = 0; i < N; i++) {
		ids[i] = i;
		texts[i] = i % 3 ? arena_printf(c.arena, "t%d", i) : NULL;
		uuids[i] = arena_printf(c.arena, "%032x", i);
		reals[i] = i / 2.0;
		flags[i] = i % 2;
	}
	must(&c, db_list(&c, &stmts[UNNEST], ARGS(BIGINTS(ids, N), TEXTS(texts, N), REALS(reals, N),
	                 ((struct db_arg){ .type = 'B', .array = { flags, N, NULL } }), UUIDS(uuids, N)),
	                 &value_record, &rows));
	assert_int_equal(rows.count, N);
	for (int i = 0; i < N; i++) {
		const struct value *v = LIST_AT(struct value, &rows, i);

		assert_int_equal(*v->number, i);
		assert_true(*v->real == i / 2.0);
		assert_int_equal(*v->flag, i % 2);
		assert_string_equal(v->uuid, uuids[i]);
		if (texts[i])
			assert_string_equal(v->text, texts[i]);
		else
			assert_null(v->text);
	}
	must(&c, db_list(&c, &stmts[ECHO_NULLS], ARGS(TEXT("x"), BIGINT(1), BIGINTS_NULLABLE(ids, 1, nulls)),
	                 &value_record, &rows));
	assert_int_equal(rows.count, 1);
	end_work(&c);
}

static void errors(void **state)
{
	struct ctx c = begin_db();
	struct value v;

	(void)state;
	assert_int_equal(db_one(&c, &stmts[FAIL], ARGS(BIGINT(0)), &value_record, &v), -1);
	assert_int_equal(c.error.code, INTERNAL_ERROR);
	assert_string_equal(db_sqlstate(&c), "22012");
	assert_null(strstr(c.error.message, "division"));
	assert_non_null(strstr(c.error.detail, "division"));
	error_clear(&c);
	must(&c, (int)db_exec(&c, &stmts[CLEAR], NO_ARGS));
	assert_string_equal(db_sqlstate(&c), "");
	assert_int_equal(db_exec(&c, &stmts[INSERT], ARGS(BIGINT(1), REAL(1))), 1);
	assert_int_equal(db_exec(&c, &stmts[INSERT], ARGS(BIGINT(1), REAL(1))), -1);
	assert_int_equal(c.error.code, RESOURCE_ALREADY_EXISTS);
	assert_string_equal(db_constraint(&c), "scratch_id");
	error_clear(&c);
	assert_int_equal(db_one(&c, &stmts[SLEEP], ARGS(REAL(30)), &value_record, &v), -1);
	assert_int_equal(c.error.code, TEMPORARILY_UNAVAILABLE);
	assert_string_equal(db_sqlstate(&c), "57014");
	error_clear(&c);
	assert_int_equal(number(&c, COUNT), 1);
	end_work(&c);
}

static void dynamic_statements(void **state)
{
	struct ctx c = begin_db();
	struct list rows;

	(void)state;
	for (int i = 0; i < 300; i++) {
		const char *sql = arena_printf(c.arena, "SELECT $1 + %d AS number", i % 150);

		must(&c, db_list_sql(&c, sql, ARGS(BIGINT(i)), &value_record, &rows));
		assert_int_equal(*LIST_AT(struct value, &rows, 0)->number, i + i % 150);
	}
	print_message("%d prepared\n", (int)number(&c, PREPARED));
	assert_true(number(&c, PREPARED) < 64 + 20);
	/* More in one flush than are kept, and an error in the middle. */
	struct list many[100];

	for (int i = 0; i < 100; i++)
		db_queue_list_sql(&c, arena_printf(c.arena, "SELECT $1 / %d AS number", i == 80 ? 0 : i + 1000),
		                  ARGS(BIGINT(i * 10000)), &value_record, &many[i]);
	assert_int_equal(db_flush(&c), -1);
	assert_string_equal(db_sqlstate(&c), "22012");
	error_clear(&c);
	for (int i = 0; i < 100; i++)
		must(&c, db_list_sql(&c, arena_printf(c.arena, "SELECT $1 + %d AS number", i), ARGS(BIGINT(i)),
		                     &value_record, &rows));
	assert_true(number(&c, PREPARED) < 64 + 20);
	end_work(&c);
}

/* ---- pipelines ---- */

static void pipelines(void **state)
{
	struct ctx c = begin_db();
	struct list a, b;
	int64_t changed = 0;
	struct value v = { 0 };

	(void)state;
	must(&c, (int)db_exec(&c, &stmts[CLEAR], NO_ARGS));
	db_queue(&c, &stmts[INSERT], ARGS(BIGINT(1), REAL(1)), &changed);
	db_queue(&c, &stmts[INSERT], ARGS(BIGINT(2), REAL(1)), NULL);
	db_queue_list(&c, &stmts[COUNT], NO_ARGS, &value_record, &a);
	db_queue_list_sql(&c, "SELECT id AS number FROM scratch ORDER BY id", NO_ARGS, &value_record, &b);
	must(&c, db_flush(&c));
	assert_int_equal(changed, 1);
	assert_int_equal(*LIST_AT(struct value, &a, 0)->number, 2);
	assert_int_equal(b.count, 2);
	/* The first error counts; what is around it did not happen. */
	db_queue(&c, &stmts[INSERT], ARGS(BIGINT(3), REAL(1)), NULL);
	db_queue(&c, &stmts[INSERT], ARGS(BIGINT(1), REAL(1)), NULL);
	db_queue_list(&c, &stmts[FAIL], ARGS(BIGINT(0)), &value_record, &a);
	assert_int_equal(db_flush(&c), -1);
	assert_string_equal(db_sqlstate(&c), "23505");
	error_clear(&c);
	assert_int_equal(number(&c, COUNT), 2);
	/* Queued statements go with the next one that runs. */
	db_queue(&c, &stmts[INSERT], ARGS(BIGINT(4), REAL(1)), NULL);
	must(&c, db_one(&c, &stmts[COUNT], NO_ARGS, &value_record, &v));
	assert_int_equal(*v.number, 3);
	must(&c, db_flush(&c));
	end_work(&c);
}

static void large_pipeline(void **state)
{
	struct ctx c = begin_db();
	enum { SIZE = 1 << 20, N = 20 };
	char *text = malloc(SIZE + 1);
	struct list rows[N];

	(void)state;
	memset(text, 'y', SIZE);
	text[SIZE] = '\0';
	for (int i = 0; i < N; i++)
		db_queue_list(&c, &stmts[ECHO_TEXT], ARGS(TEXT(text)), &value_record, &rows[i]);
	must(&c, db_flush(&c));
	for (int i = 0; i < N; i++)
		assert_int_equal(strlen(LIST_AT(struct value, &rows[i], 0)->text), SIZE);
	free(text);
	end_work(&c);
}

static int too_much(struct ctx *c, void *arg)
{
	struct list rows;

	(void)arg;
	db_queue_begin(c);
	db_queue(c, &stmts[INSERT], ARGS(BIGINT(77), REAL(1)), NULL);
	db_queue_list(c, &stmts[BULK], ARGS(INTEGER(100000)), &value_record, &rows);
	db_queue_list(c, &stmts[BULK], ARGS(INTEGER(10)), &value_record, &rows);
	return db_flush(c);
}

static void arena_escapes(void **state)
{
	(void)state;
	for (size_t limit = 4096; limit < 8 << 20; limit = limit * 3 / 2) {
		struct ctx c = { .arena = arena_new(limit) };

		must(&c, db_get(&c, pool, 1000));
		if (work_run(&c, too_much, NULL)) {
			assert_int_equal(c.error.code, INVALID_PARAMETER_VALUE);
			db_recover(&c);
		}
		end_work(&c);
	}
	struct ctx c = begin_db();
	struct list rows;

	must(&c, db_list_sql(&c, "SELECT id AS number FROM scratch WHERE id = 77", NO_ARGS, &value_record, &rows));
	assert_int_equal(rows.count, 0);
	end_work(&c);
}

/* ---- copy ---- */

static int copy_rows(struct ctx *c, void *arg)
{
	size_t n = *(const size_t *)arg;
	struct db_arg *values = NEW_ARRAY(c->arena, n * 2, struct db_arg);

	for (size_t i = 0; i < n; i++) {
		values[2 * i] = BIGINT((int64_t)i);
		values[2 * i + 1] = i % 10 ? REAL((double)i) : REAL_P((double *)NULL);
	}
	return db_copy(c, "COPY scratch (id, value) FROM STDIN BINARY", "id", values, n);
}

static void copies(void **state)
{
	struct ctx c = begin_db();
	size_t n = 100000, one = 1, none = 0;

	(void)state;
	must(&c, (int)db_exec(&c, &stmts[CLEAR], NO_ARGS));
	must(&c, tx_run(&c, copy_rows, &n));
	assert_int_equal(number(&c, COUNT), 100000);
	assert_int_equal(tx_run(&c, copy_rows, &n), -1);        /* duplicates */
	assert_int_equal(c.error.code, RESOURCE_ALREADY_EXISTS);
	assert_string_equal(db_sqlstate(&c), "23505");
	error_clear(&c);
	assert_int_equal(number(&c, COUNT), 100000);
	must(&c, (int)db_exec(&c, &stmts[CLEAR], NO_ARGS));
	must(&c, tx_run(&c, copy_rows, &none));
	must(&c, tx_run(&c, copy_rows, &one));
	assert_int_equal(number(&c, COUNT), 1);
	db_queue_begin(&c);
	assert_int_equal(db_copy(&c, "COPY nowhere FROM STDIN BINARY", "i", &BIGINT(1), 1), -1);
	assert_string_equal(db_sqlstate(&c), "42P01");
	must(&c, db_rollback(&c));
	assert_int_equal(c.error.code, INTERNAL_ERROR);
	error_clear(&c);
	must(&c, (int)db_exec(&c, &stmts[CLEAR], NO_ARGS));
	end_work(&c);
}

/* ---- transactions ---- */

struct attempt { int calls, failures; const char *state; };

static int attempt(struct ctx *c, void *arg)
{
	struct attempt *a = arg;
	struct value v = { 0 };

	a->calls++;
	if (db_exec(c, &stmts[INSERT], ARGS(BIGINT(a->calls), REAL(1))) < 0)
		return -1;
	return a->calls <= a->failures && db_one(c, &stmts[RAISE], ARGS(TEXT(a->state)), &value_record, &v) < 0 ? -1 : 0;
}

static int late(struct ctx *c, void *arg)       /* fails in the same flush as COMMIT */
{
	struct attempt *a = arg;

	a->calls++;
	db_queue(c, &stmts[INSERT], ARGS(BIGINT(100 + a->calls), REAL(1)), NULL);
	if (a->calls <= a->failures)
		db_queue(c, &stmts[RAISE], ARGS(TEXT(a->state)), NULL);
	return 0;
}

static int nothing(struct ctx *c, void *arg)
{
	(void)c, (void)arg;
	return 0;
}

static int refuse(struct ctx *c, void *arg)
{
	if (db_exec(c, &stmts[INSERT], ARGS(BIGINT(500), REAL(1))) < 0)
		return -1;
	(void)arg;
	return (fail)(c, INVALID_STATE, "no");
}

static void transactions(void **state)
{
	struct ctx c = begin_db();
	struct attempt a = { .failures = 2, .state = "40001" };

	(void)state;
	must(&c, (int)db_exec(&c, &stmts[CLEAR], NO_ARGS));
	must(&c, tx_run(&c, attempt, &a));
	assert_int_equal(a.calls, 3);
	assert_int_equal(number(&c, COUNT), 1);
	a = (struct attempt){ .failures = 100, .state = "40P01" };
	assert_int_equal(tx_run(&c, late, &a), -1);
	assert_int_equal(a.calls, 4);
	assert_int_equal(c.error.code, TEMPORARILY_UNAVAILABLE);
	assert_string_equal(db_sqlstate(&c), "40P01");
	error_clear(&c);
	a = (struct attempt){ .failures = 1, .state = "23514" };
	assert_int_equal(tx_run(&c, attempt, &a), -1);
	assert_int_equal(a.calls, 1);
	error_clear(&c);
	assert_int_equal(tx_run(&c, refuse, NULL), -1);
	assert_int_equal(c.error.code, INVALID_STATE);
	error_clear(&c);
	must(&c, tx_run(&c, nothing, NULL));
	assert_int_equal(number(&c, COUNT), 1);
	/* A forgotten transaction ends with db_put. */
	db_queue_begin(&c);
	must(&c, (int)db_exec(&c, &stmts[INSERT], ARGS(BIGINT(900), REAL(1))));
	db_put(&c, pool);
	must(&c, db_get(&c, pool, 1000));
	assert_int_equal(number(&c, COUNT), 1);
	/* COMMIT of a failed transaction is a failure. */
	db_queue_begin(&c);
	assert_int_equal(db_exec(&c, &stmts[FAIL], ARGS(BIGINT(0))), -1);
	error_clear(&c);
	db_queue_commit(&c);
	assert_int_equal(db_flush(&c), -1);
	assert_int_equal(c.error.code, INTERNAL_ERROR);
	end_work(&c);
}

/* ---- connections ---- */

static void pool_bounds(void **state)
{
	struct ctx c[4], extra = begin_work();
	struct db_pool_stats s;
	int64_t start;

	(void)state;
	for (int i = 0; i < 4; i++)
		c[i] = begin_db();
	start = clock_ms();
	assert_int_equal(db_get(&extra, pool, 100), -1);
	assert_true(clock_ms() - start >= 99);
	assert_int_equal(extra.error.code, TEMPORARILY_UNAVAILABLE);
	db_pool_stats(pool, &s);
	assert_int_equal(s.busy, 4);
	for (int i = 0; i < 4; i++)
		end_work(&c[i]);
	arena_free(extra.arena);
	db_pool_stats(pool, &s);
	assert_int_equal(s.busy, 0);
	assert_int_equal(s.idle, 4);
}

static void terminated(void **state)
{
	struct ctx c = begin_db(), killer = begin_db();
	int64_t pid = number(&c, BACKEND);
	struct value v = { 0 };

	(void)state;
	/* In use: an error, and the next db_get has a new one. */
	must(&killer, db_one(&killer, &stmts[KILL], ARGS(INTEGER(pid)), &value_record, &v));
	usleep(50000);
	assert_int_equal(db_one(&c, &stmts[COUNT], NO_ARGS, &value_record, &v), -1);
	assert_int_equal(c.error.code, TEMPORARILY_UNAVAILABLE);
	error_clear(&c);
	assert_int_equal(db_one(&c, &stmts[COUNT], NO_ARGS, &value_record, &v), -1);
	error_clear(&c);
	db_put(&c, pool);
	must(&c, db_get(&c, pool, 1000));
	pid = number(&c, BACKEND);
	db_put(&c, pool);
	/* Idle: nobody notices. */
	must(&killer, db_one(&killer, &stmts[KILL], ARGS(INTEGER(pid)), &value_record, &v));
	usleep(50000);
	must(&c, db_get(&c, pool, 1000));
	assert_int_not_equal(number(&c, BACKEND), pid);
	end_work(&c);
	end_work(&killer);
}

static atomic_bool storm;

static void *kill_backends(void *arg)
{
	struct ctx c = begin_work();

	(void)arg;
	while (storm) {
		struct list rows;

		if (!c.db && db_get(&c, pool, 1000))
			error_clear(&c);
		if (c.db && db_list_sql(&c, "SELECT pg_terminate_backend(pid) AS flag FROM pg_stat_activity"
		                        " WHERE pid <> pg_backend_pid() AND usename = 'capstan'"
		                        " ORDER BY random() LIMIT 1", NO_ARGS, &value_record, &rows)) {
			error_clear(&c);
			db_put(&c, pool);
		}
		usleep(20000);
	}
	end_work(&c);
	return NULL;
}

static int insert_one(struct ctx *c, void *arg)
{
	return db_exec(c, &stmts[INSERT], ARGS(BIGINT(*(int64_t *)arg), REAL(0))) < 0 ? -1 : 0;
}

/* What was acknowledged is there, whatever dies meanwhile; errors are "unavailable" only. */
static void killed_at_every_state(void **state)
{
	pthread_t thread;
	int64_t acknowledged = 0, id = 1000000, end = clock_ms() + 1500;
	int failed = 0;
	struct ctx c = begin_db();

	(void)state;
	must(&c, (int)db_exec(&c, &stmts[CLEAR], NO_ARGS));
	db_put(&c, pool);
	storm = true;
	assert_int_equal(pthread_create(&thread, NULL, kill_backends, NULL), 0);
	while (clock_ms() < end) {
		struct ctx w = begin_work();

		id++;
		if (db_get(&w, pool, 1000) == 0 && tx_run(&w, insert_one, &id) == 0) {
			acknowledged++;
		} else {
			assert_int_equal(w.error.code, TEMPORARILY_UNAVAILABLE);
			failed++;
		}
		end_work(&w);
	}
	storm = false;
	pthread_join(thread, NULL);
	must(&c, db_get(&c, pool, 1000));
	assert_true(number(&c, COUNT) >= acknowledged);
	assert_true(number(&c, COUNT) <= acknowledged + failed);
	print_message("%d acknowledged, %d failed, %d stored\n", (int)acknowledged, failed, (int)number(&c, COUNT));
	assert_true(acknowledged > 10);
	end_work(&c);
}

/* ---- the server dies ---- */

static void *compute(void *arg)
{
	struct ctx c = begin_work();
	struct list rows;

	(void)arg;
	/* Busy in a loop, so that it does not notice its postmaster's death. */
	if (db_get(&c, pool, 1000) == 0 &&
	    db_list_sql(&c, "SELECT count(*) AS number FROM generate_series(1, 2000000000)", NO_ARGS, &value_record,
	                &rows))
		error_clear(&c);
	end_work(&c);
	return NULL;
}

static void postmaster_killed(void **state)
{
	struct ctx c = begin_db();
	int pid = db_private_pid(server);
	int64_t killed, worst = 0;
	pthread_t thread;

	(void)state;
	must(&c, (int)db_exec(&c, &stmts[CLEAR], NO_ARGS));
	must(&c, (int)db_exec(&c, &stmts[INSERT], ARGS(BIGINT(1), REAL(1))));
	db_put(&c, pool);
	assert_int_equal(pthread_create(&thread, NULL, compute, NULL), 0);
	usleep(200000);
	killed = clock_ms();
	assert_int_equal(kill(pid, SIGKILL), 0);
	for (;;) {
		struct ctx w = begin_work();
		int64_t asked = clock_ms();
		bool ok = db_get(&w, pool, 100) == 0 &&
			db_exec(&w, &stmts[INSERT], ARGS(BIGINT(2), REAL(1))) == 1;

		if (!ok)
			assert_int_equal(w.error.code, TEMPORARILY_UNAVAILABLE);
		if (clock_ms() - asked > worst)
			worst = clock_ms() - asked;
		end_work(&w);
		if (ok)
			break;
		assert_true(clock_ms() - killed < 15000);
		usleep(2000);
	}
	print_message("kill -9 of the postmaster: first write after %d ms, slowest answer %d ms\n",
	              (int)(clock_ms() - killed), (int)worst);
	pthread_join(thread, NULL);
	assert_int_not_equal(db_private_pid(server), pid);
	must(&c, db_get(&c, pool, 1000));
	assert_int_equal(number(&c, COUNT), 2);
	end_work(&c);
}

static void backend_killed(void **state)
{
	struct ctx c = begin_db();
	int64_t pid = number(&c, BACKEND), killed = clock_ms();

	(void)state;
	db_put(&c, pool);
	assert_int_equal(kill((pid_t)pid, SIGKILL), 0);        /* the postmaster restarts all of them */
	for (;;) {
		struct value v = { 0 };
		bool ok = db_get(&c, pool, 100) == 0 &&
			db_one(&c, &stmts[COUNT], NO_ARGS, &value_record, &v) == 1 && clock_ms() - killed > 500;

		if (ok)
			break;
		error_clear(&c);
		if (c.db)
			db_put(&c, pool);
		assert_true(clock_ms() - killed < 15000);
		usleep(2000);
	}
	end_work(&c);
}

/* ---- migrations ---- */

static void migrations(void **state)
{
	struct ctx c = begin_db();
	int from, to, version;
	struct list rows;

	(void)state;
	must(&c, migrate_run(&c, db_private_conninfo(server), &from, &to));
	assert_int_equal(from, migrate_latest());
	assert_int_equal(to, migrate_latest());
	must(&c, migrate_version(&c, db_private_conninfo(server), &version));
	assert_int_equal(version, migrate_latest());
	must(&c, db_list_sql(&c, "SELECT uuid, id AS number FROM runs", NO_ARGS, &value_record, &rows));
	must(&c, db_list_sql(&c, "INSERT INTO schema_version (version, name, program) VALUES (9999, 'x', 'y')"
	                     " RETURNING name AS text", NO_ARGS, &value_record, &rows));
	assert_int_equal(migrate_run(&c, db_private_conninfo(server), NULL, NULL), -1);
	assert_non_null(strstr(c.error.message, "9999"));
	print_message("%s\n", c.error.message);
	error_clear(&c);
	must(&c, db_list_sql(&c, "DELETE FROM schema_version WHERE version = 9999 RETURNING name AS text",
	                     NO_ARGS, &value_record, &rows));
	end_work(&c);
}

static void explanations(void **state)
{
	struct ctx c = begin_work();
	const char *host = arena_printf(c.arena, "%.*s", (int)strcspn(db_private_conninfo(server) + 5, " "),
	                                db_private_conninfo(server) + 5);
	const struct { const char *conninfo; const char *says; } cases[] = {
		{ arena_printf(c.arena, "host=%s user=capstan dbname=other", host), "no database \"other\"" },
		{ arena_printf(c.arena, "host=%s user=nobody2 dbname=capstan", host), "user \"nobody2\"" },
		{ "postgresql://u:p@127.0.0.1:1/db", "127.0.0.1:1 (Connection refused)" },
		{ "postgresql://u:p@no-such-host.invalid/db", "cannot reach" },
		{ "host=/nonexistent user=x", "socket directory /nonexistent" },
		{ "sslmode=nonsense", "cannot reach" },
	};
	int version;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(migrate_version(&c, cases[i].conninfo, &version), -1);
		print_message("%s\n", c.error.message);
		assert_non_null(strstr(c.error.message, cases[i].says));
		assert_null(strchr(c.error.message, '\n'));
		error_clear(&c);
	}
	arena_free(c.arena);
}

static struct db_private *start(struct ctx *c, const char *dir)
{
	struct db_private *p = NULL;
	struct db_private_options o = { .data_dir = dir, .connections = 4 };

	return db_private_start(c, &o, &p) ? NULL : p;
}

/* ---- all of it ---- */

static int set_up(void **state)
{
	struct ctx c = begin_work();
	int64_t began = clock_ms();
	int from, to;
	struct list rows;

	(void)state;
	log_configure(LOG_WARN, LOG_TEXT);
	snprintf(root, sizeof(root), "/tmp/capstan-db-XXXXXX");
	if (!mkdtemp(root) || chmod(root, 0755))
		return -1;
	server = start(&c, in_root("data"));
	if (!server) {
		print_error("%s\n", c.error.message);
		return -1;
	}
	print_message("first start: %d ms\n", (int)(clock_ms() - began));
	db_private_stop(server);
	began = clock_ms();
	server = start(&c, in_root("data"));
	print_message("later start: %d ms\n", (int)(clock_ms() - began));
	if (!server || migrate_run(&c, db_private_conninfo(server), &from, &to) || from != 0 || to != migrate_latest()) {
		print_error("%s %s\n", c.error.message, c.error.detail ? c.error.detail : "");
		return -1;
	}
	pool = db_pool_new(&(struct db_options){ .conninfo = db_private_conninfo(server), .size = 4,
	                                         .statement_timeout_ms = 1500 });
	must(&c, db_get(&c, pool, 1000));
	must(&c, (int)db_exec(&c, &stmts[CREATE], NO_ARGS));
	must(&c, db_list_sql(&c, "SELECT 1::int8 AS number", NO_ARGS, &value_record, &rows));
	static const struct stmt function = { "function", "",
		"CREATE FUNCTION raise_state(s text) RETURNS int LANGUAGE plpgsql AS"
		" $$BEGIN RAISE EXCEPTION USING ERRCODE = s; END$$" };

	must(&c, (int)db_exec(&c, &function, NO_ARGS));
	end_work(&c);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	db_pool_free(pool);
	db_private_stop(server);
	return *root ? nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS) : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(arrays),
		cmocka_unit_test(errors),
		cmocka_unit_test(dynamic_statements),
		cmocka_unit_test(pipelines),
		cmocka_unit_test(large_pipeline),
		cmocka_unit_test(arena_escapes),
		cmocka_unit_test(copies),
		cmocka_unit_test(transactions),
		cmocka_unit_test(pool_bounds),
		cmocka_unit_test(terminated),
		cmocka_unit_test(killed_at_every_state),
		cmocka_unit_test(migrations),
		cmocka_unit_test(explanations),
		cmocka_unit_test(backend_killed),
		cmocka_unit_test(postmaster_killed),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
