/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "base/arena.h"
#include "db/uri.h"

#include <cmocka.h>            /* last: it defines fail() */

static const struct {
	const char *uri;
	const char *want;               /* NULL: refused */
	const char *says;               /* part of the refusal */
} cases[] = {
	{ "postgresql://u:p@h:5432/db", "postgresql://u:p@h:5432/db", NULL },
	{ "postgres://h/db", "postgresql://h/db", NULL },
	{ "POSTGRESQL://h/db", "postgresql://h/db", NULL },
	{ "postgresql+psycopg2://user:p%40ss@host:5432/db?sslmode=require",
	  "postgresql://user:p%40ss@host:5432/db?sslmode=require", NULL },
	{ "postgresql+asyncpg://u@h/db?ssl=require&async_fallback=true", "postgresql://u@h/db?sslmode=require", NULL },
	{ "postgresql://u:a/b#c?d:e@h/db", "postgresql://u:a%2Fb%23c%3Fd%3Ae@h/db", NULL },
	{ "postgresql://u:100%zz%@h/db", "postgresql://u:100%25zz%25@h/db", NULL },
	{ "postgresql://user@server:pw@h/db", "postgresql://user%40server:pw@h/db", NULL },
	{ "postgresql://user@h:5433/db", "postgresql://user@h:5433/db", NULL },
	{ "postgresql://h:5433/db", "postgresql://h:5433/db", NULL },
	{ "postgresql:///db?host=/var/run/postgresql", "postgresql:///db?host=%2Fvar%2Frun%2Fpostgresql", NULL },
	{ "postgresql://u:p@/db?host=/s&client_encoding=utf8&x=1&port=5",
	  "postgresql://u:p@/db?host=%2Fs&port=5", NULL },
	{ "postgresql://[::1]:5432/db", "postgresql://[::1]:5432/db", NULL },
	{ "postgresql://a:1,b:2/db?target_session_attrs=read-write",
	  "postgresql://a:1,b:2/db?target_session_attrs=read-write", NULL },
	{ "postgresql://h/d?application_name=a+b%20c", "postgresql://h/d?application_name=a%20b%20c", NULL },
	{ "postgresql://h", "postgresql://h", NULL },
	{ "postgresql://h/db?", "postgresql://h/db", NULL },
	{ "postgresql://u:%00@h/db", "postgresql://u:%2500@h/db", NULL },
	{ "sqlite:///mlflow.db", NULL, "sqlite://" },
	{ "mysql+pymysql://u:p@h/db", NULL, "mysql+pymysql://" },
	{ "mssql://h/db", NULL, "Leave --backend-store-uri out" },
	{ "./mlruns", NULL, "file path" },
	{ "file:///tmp/mlruns", NULL, "file://" },
	{ "", NULL, "file path" },
	{ "://x", NULL, "file path" },
	{ "postgresqlx://h/db", NULL, "postgresqlx://" },
};

static void is_local(void **state)
{
	static const struct {
		const char *conninfo;
		bool local;
	} hosts[] = {
		{ "postgresql:///db", true },
		{ "postgresql://u@localhost:5432/db", true },
		{ "postgresql://u@127.0.0.1/db", true },
		{ "postgresql://u@[::1]:5432/db", true },
		{ "postgresql:///db?host=%2Fvar%2Frun%2Fpostgresql", true },
		{ "host=/run/x dbname=capstan user=capstan", true },
		{ "postgresql://u@db.example.com/db", false },
		{ "postgresql://u@10.0.0.1/db", false },
		{ "postgresql://db/db?hostaddr=10.1.2.3", false },
		{ "postgresql://[::2]/db", false },
		{ "nonsense", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		assert_int_equal(db_uri_is_local(hosts[i].conninfo), hosts[i].local);
}

static void normalize(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ctx c = { .arena = arena_new(1 << 20) };
		const char *got = NULL;
		int result = db_uri_normalize(&c, cases[i].uri, &got);

		if (cases[i].want) {
			PQconninfoOption *options;

			assert_int_equal(result, 0);
			assert_string_equal(got, cases[i].want);
			options = PQconninfoParse(got, NULL);
			assert_non_null(options);
			PQconninfoFree(options);
		} else {
			assert_int_equal(result, -1);
			assert_non_null(strstr(c.error.message, cases[i].says));
			assert_null(strchr(c.error.message, '\n'));
		}
		arena_free(c.arena);
	}
}

static void too_long(void **state)
{
	struct ctx c = { .arena = arena_new(1 << 20) };
	char *uri = malloc(100001);
	const char *got;

	(void)state;
	memset(uri, 'a', 100000);
	uri[100000] = '\0';
	memcpy(uri, "postgresql://", 13);
	assert_int_equal(db_uri_normalize(&c, uri, &got), -1);
	free(uri);
	arena_free(c.arena);
}

static void redact(void **state)
{
	static const char *const pairs[][2] = {
		{ "postgresql+psycopg2://u:secret@h:1/db?password=secret", "postgresql+psycopg2://u:***@h:1/db?..." },
		{ "postgresql://u@h/db", "postgresql://u@h/db" },
		{ "postgresql://h", "postgresql://h" },
		{ "host=h password=secret", "(not shown)" },
		{ "mysql://u:secret@h", "(not shown)" },
	};
	struct ctx c = { .arena = arena_new(1 << 20) };

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		assert_string_equal(db_uri_redact(&c, pairs[i][0]), pairs[i][1]);
	arena_free(c.arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(normalize), cmocka_unit_test(is_local),
		cmocka_unit_test(too_long),
		cmocka_unit_test(redact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
