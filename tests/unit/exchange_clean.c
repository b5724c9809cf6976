/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../../src/exchange/clean.h"
#include "../../src/exchange/tuple.h"
#include "base/arena.h"

/* Behind ours: it has a macro fail(). */
#include <cmocka.h>

static struct source_value text_of(const char *text, size_t size)
{
	return (struct source_value){ .text = text, .size = size };
}

static void test_text(void **state)
{
	static const struct {
		const char *raw;
		size_t size;
		const char *clean;
		bool repaired;
	} table[] = {
		{ "", 0, "", false },
		{ "plain", 5, "plain", false },
		{ "\xc3\xa4", 2, "\xc3\xa4", false },
		{ "a\xff" "b", 3, "a\xef\xbf\xbd" "b", true },
		{ "a\0b", 3, "a\xef\xbf\xbd" "b", true },
		{ "\xc3", 1, "\xef\xbf\xbd", true },
		{ "\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", true },
	};
	struct arena *a = arena_new(1 << 20);

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct clean k = { .arena = a };
		assert_string_equal(clean_text(&k, table[i].raw, table[i].size), table[i].clean);
		assert_int_equal(k.utf8, table[i].repaired);
	}
	arena_free(a);
}

/* Refused with `why`, or taken (-1). */
static int judge(enum source_table t, unsigned column, struct source_value v)
{
	struct arena *a = arena_new(1 << 20);
	struct clean k = { .arena = a };
	enum import_issue_kind why;
	struct db_arg out;
	uint64_t hash;
	int refused = clean_value(&k, &source_tables[t].columns[column], &v, &out, &hash, &why);

	arena_free(a);
	return refused ? (int)why : -1;
}

static void test_values(void **state)
{
	struct source_value null = { .null = true };
	struct source_value wrong = { .wrong = true };

	(void)state;
	assert_int_equal(judge(SOURCE_RUNS, RUNS_UUID, null), IMPORT_ISSUE_MISSING);
	assert_int_equal(judge(SOURCE_RUNS, RUNS_UUID, text_of("0123456789abcdef0123456789abcdef", 32)), -1);
	assert_int_equal(judge(SOURCE_RUNS, RUNS_UUID, text_of("0123456789ABCDEF0123456789abcdef", 32)),
			 IMPORT_ISSUE_RUN_ID);
	assert_int_equal(judge(SOURCE_RUNS, RUNS_STATUS, text_of("FINISHED", 8)), -1);
	assert_int_equal(judge(SOURCE_RUNS, RUNS_STATUS, text_of("finished", 8)), IMPORT_ISSUE_UNKNOWN);
	assert_int_equal(judge(SOURCE_RUNS, RUNS_STATUS, null), -1);
	assert_int_equal(judge(SOURCE_RUNS, RUNS_END_TIME, null), -1);
	assert_int_equal(judge(SOURCE_RUNS, RUNS_START_TIME, wrong), IMPORT_ISSUE_RANGE);
	assert_int_equal(judge(SOURCE_MODEL_VERSIONS, MODEL_VERSIONS_VERSION, (struct source_value){ .integer = 1 }), -1);
	assert_int_equal(judge(SOURCE_MODEL_VERSIONS, MODEL_VERSIONS_VERSION,
			       (struct source_value){ .integer = INT64_C(1) << 31 }),
			 IMPORT_ISSUE_RANGE);
	assert_int_equal(judge(SOURCE_LOGGED_MODEL_METRICS, LOGGED_MODEL_METRICS_VALUE, null), -1);
}

static void test_numbers(void **state)
{
	struct clean k = { 0 };

	(void)state;
	assert_true(clean_real(&k, 1.5) == 1.5 && !k.infinite);
	assert_true(clean_real(&k, (double)INFINITY) == DBL_MAX && k.infinite);
	assert_true(clean_real(&k, -(double)INFINITY) == -DBL_MAX);
	assert_true(isnan(clean_real(&k, (double)NAN)));
}

/* What is the same to the database has one hash; what is not, another. */
static void test_hashes(void **state)
{
	(void)state;
	assert_true(tuple_real(0.0) == tuple_real(-0.0));
	assert_true(tuple_real((double)NAN) == tuple_real(-(double)NAN));
	assert_true(tuple_real(1.0) != tuple_real(2.0));
	assert_true(tuple_text("ab", 2) != tuple_text("ab\0", 3));
	assert_true(tuple_text("", 0) != tuple_null());
	uint64_t ab = tuple_add(tuple_add(0, tuple_int(1)), tuple_int(2));
	uint64_t ba = tuple_add(tuple_add(0, tuple_int(2)), tuple_int(1));
	assert_true(ab != ba);
}

static void test_tables(void **state)
{
	(void)state;
	for (int t = 0; t < SOURCE_TABLES; t++) {
		unsigned count = source_columns((enum source_table)t);
		assert_true(source_tables[t].name && count > 0 && count <= SOURCE_COLUMNS_MAX);
	}
	assert_int_equal(source_columns(SOURCE_MODEL_VERSIONS), 14);
	assert_string_equal(source_tables[SOURCE_TAGS].columns[TAGS_VALUE].name, "VALUE");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),   cmocka_unit_test(test_values), cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_hashes), cmocka_unit_test(test_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
