/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Rows made by libpq's own functions, without a server. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "../../src/db/internal.h"
#include "base/arena.h"

#include <cmocka.h>            /* last: it defines fail() */

struct row {
	const char *text;
	const char *uuid;
	const char *id;
	const int64_t *number;
	const double *real;
	const bool *flag;
	const char *status;
	const char *stage;
	struct list names;
	const char *json;
};

static const char *const statuses[] = { "", "RUNNING", "SCHEDULED", NULL };
static const char *const stages[] = { "active", "deleted", NULL };

static const struct record row_record = { sizeof(struct row), (const struct field[]){
	STRING (struct row, text,   0),
	STRING (struct row, uuid,   0),
	STRING (struct row, id,     0),
	INT64  (struct row, number, 0),
	DOUBLE (struct row, real,   0),
	BOOL   (struct row, flag,   0),
	ENUM   (struct row, status, 0, statuses),
	ENUM   (struct row, stage,  0, stages),
	STRINGS(struct row, names,  0),
	RAW    (struct row, json,   0),
	END }};

/* One column, one row, decoded. value NULL: SQL NULL. */
static struct row decode(struct ctx *c, PGresult **result, const char *name, Oid type, const char *value, int size)
{
	PGresAttDesc column = { .name = (char *)(uintptr_t)name, .format = 1, .typid = type };
	struct mapping m = { 0 };
	struct row row = { 0 };

	*result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	assert_true(PQsetResultAttrs(*result, 1, &column));
	assert_true(PQsetvalue(*result, 0, 0, (char *)(uintptr_t)value, value ? size : -1));
	assert_true(mapping_make(&m, *result, &row_record));
	assert_true(mapping_make(&m, *result, &row_record));
	decode_row(c, &m, *result, 0, &row);
	mapping_free(&m);
	return row;
}

#define DECODE(name, type, bytes) decode(&c, &r, name, type, bytes, sizeof(bytes) - 1)

static void scalars(void **state)
{
	struct ctx c = { .arena = arena_new(1 << 20) };
	PGresult *r;

	(void)state;
	assert_string_equal(DECODE("text", 25, "h\xc3\xa9").text, "h\xc3\xa9");
	PQclear(r);
	assert_string_equal(DECODE("text", 1043, "").text, "");
	PQclear(r);
	assert_null(decode(&c, &r, "text", 25, NULL, 0).text);
	PQclear(r);
	assert_string_equal(DECODE("uuid", 2950, "\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17").uuid,
	                    "000102030405060708090a0b0c0d0e0f");
	PQclear(r);
	assert_string_equal(DECODE("id", 20, "\0\0\0\0\0\0\0\52").id, "42");
	PQclear(r);
	assert_int_equal(*DECODE("number", 20, "\377\377\377\377\377\377\377\376").number, -2);
	PQclear(r);
	assert_int_equal(*DECODE("number", 23, "\377\377\377\376").number, -2);
	PQclear(r);
	assert_int_equal(*DECODE("number", 21, "\377\376").number, -2);
	PQclear(r);
	assert_null(decode(&c, &r, "number", 20, NULL, 0).number);
	PQclear(r);
	assert_true(*DECODE("real", 701, "\x3f\xf8\0\0\0\0\0\0").real == 1.5);
	PQclear(r);
	assert_true(*DECODE("real", 700, "\x3f\xc0\0\0").real == 1.5);
	PQclear(r);
	assert_true(*DECODE("flag", 16, "\1").flag);
	PQclear(r);
	assert_false(*DECODE("flag", 16, "\0").flag);
	PQclear(r);
	arena_free(c.arena);
}

static void enums(void **state)
{
	struct ctx c = { .arena = arena_new(1 << 20) };
	PGresult *r;

	(void)state;
	assert_string_equal(DECODE("status", 21, "\0\2").status, "SCHEDULED");
	PQclear(r);
	assert_null(DECODE("status", 21, "\0\0").status);       /* a gap */
	PQclear(r);
	assert_null(DECODE("status", 23, "\0\0\0\3").status);   /* beyond the names */
	PQclear(r);
	assert_null(DECODE("status", 21, "\377\377").status);
	PQclear(r);
	assert_string_equal(DECODE("status", 25, "OTHER").status, "OTHER");
	PQclear(r);
	assert_string_equal(DECODE("stage", 16, "\1").stage, "deleted");
	PQclear(r);
	arena_free(c.arena);
}

static void arrays_and_json(void **state)
{
	struct ctx c = { .arena = arena_new(1 << 20) };
	PGresult *r;
	struct row row;

	(void)state;
	row = DECODE("names", 1009, "\0\0\0\1\0\0\0\1\0\0\0\31\0\0\0\3\0\0\0\1\0\0\0\2ab\377\377\377\377\0\0\0\0");
	assert_int_equal(row.names.count, 3);
	assert_string_equal(*LIST_AT(const char *, &row.names, 0), "ab");
	assert_null(*LIST_AT(const char *, &row.names, 1));
	assert_string_equal(*LIST_AT(const char *, &row.names, 2), "");
	PQclear(r);
	assert_int_equal(DECODE("names", 1009, "\0\0\0\0\0\0\0\0\0\0\0\31").names.count, 0);
	PQclear(r);
	assert_string_equal(DECODE("json", 114, "{\"a\":1}").json, "{\"a\":1}");
	PQclear(r);
	assert_string_equal(DECODE("json", 3802, "\1{\"a\":1}").json, "{\"a\":1}");
	PQclear(r);
	arena_free(c.arena);
}

static void statement_cache(void **state)
{
	static const struct stmt many[200];
	struct statements s = { 0 };
	struct prepared *first = statements_fixed(&s, &many[0]), *again;
	char sql[32];

	(void)state;
	for (size_t i = 0; i < 200; i++)
		assert_ptr_equal(statements_fixed(&s, &many[i])->stmt, &many[i]);
	assert_ptr_equal(statements_fixed(&s, &many[0]), first);
	assert_int_equal(s.fixed_count, 200);
	first = statements_dynamic(&s, "SELECT $1", "t");
	assert_ptr_equal(statements_dynamic(&s, "SELECT $1", "t"), first);
	assert_ptr_not_equal(statements_dynamic(&s, "SELECT $1", "i"), first);
	for (int i = 0; i < 200; i++) {
		struct prepared *old = statements_evict(&s, 10);

		if (old)
			assert_int_not_equal(old->used, 10);
		prepared_free(old);
		snprintf(sql, sizeof(sql), "SELECT %d", i);
		again = statements_dynamic(&s, sql, "");
		again->used = i < 40 ? 10 : 1;          /* these are of this flush */
	}
	assert_true(s.dynamic_count <= DB_DYNAMIC_STATEMENTS + 1);
	statements_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scalars),
		cmocka_unit_test(enums),
		cmocka_unit_test(arrays_and_json),
		cmocka_unit_test(statement_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
