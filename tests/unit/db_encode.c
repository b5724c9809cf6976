/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../../src/db/internal.h"
#include "../../src/db/private_parts.h"
#include "base/arena.h"

#include <cmocka.h>            /* last: it defines fail() */

static const int64_t longs[] = { 1, -2 };
static const int32_t ints[] = { 7 };
static const double reals[] = { 1.5 };
static const bool nulls[] = { false, true };
static const char *const texts[] = { "a", NULL, "" };
static const char *const uuids[] = { "000102030405060708090a0b0c0d0e0f", "no uuid" };

#define BYTES(s) s, sizeof(s) - 1

static void scalars_and_arrays(void **state)
{
	const struct {
		struct db_arg arg;
		const char *want;
		size_t size;
	} cases[] = {
		{ TEXT("h\xc3\xa9"), BYTES("h\xc3\xa9") },
		{ TEXT(""), BYTES("") },
		{ TEXT((const char *)NULL), NULL, 0 },
		{ BIGINT(-2), BYTES("\377\377\377\377\377\377\377\376") },
		{ BIGINT_P((const int64_t *)NULL), NULL, 0 },
		{ INTEGER(258), BYTES("\0\0\1\2") },
		{ REAL(1.5), BYTES("\x3f\xf8\0\0\0\0\0\0") },
		{ BOOLEAN(true), BYTES("\1") },
		{ UUID("000102030405060708090a0b0c0d0e0f"), BYTES("\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17") },
		{ UUID("000102030405060708090A0B0C0D0E0F"), NULL, 0 },
		{ UUID("00010203-0405-0607-0809-0a0b0c0d0e0f"), NULL, 0 },
		{ UUID("' OR 1=1"), NULL, 0 },
		{ BIGINTS(longs, 2), BYTES("\0\0\0\1\0\0\0\0\0\0\0\24\0\0\0\2\0\0\0\1"
		                           "\0\0\0\10\0\0\0\0\0\0\0\1\0\0\0\10\377\377\377\377\377\377\377\376") },
		{ BIGINTS_NULLABLE(longs, 2, nulls), BYTES("\0\0\0\1\0\0\0\1\0\0\0\24\0\0\0\2\0\0\0\1"
		                                           "\0\0\0\10\0\0\0\0\0\0\0\1\377\377\377\377") },
		{ BIGINTS(NULL, 0), BYTES("\0\0\0\0\0\0\0\0\0\0\0\24") },
		{ INTEGERS(ints, 1), BYTES("\0\0\0\1\0\0\0\0\0\0\0\27\0\0\0\1\0\0\0\1\0\0\0\4\0\0\0\7") },
		{ REALS(reals, 1), BYTES("\0\0\0\1\0\0\0\0\0\0\2\275\0\0\0\1\0\0\0\1\0\0\0\10\x3f\xf8\0\0\0\0\0\0") },
		{ TEXTS(texts, 3), BYTES("\0\0\0\1\0\0\0\1\0\0\0\31\0\0\0\3\0\0\0\1"
		                         "\0\0\0\1a\377\377\377\377\0\0\0\0") },
		{ UUIDS(uuids, 2), BYTES("\0\0\0\1\0\0\0\1\0\0\013\206\0\0\0\2\0\0\0\1\0\0\0\20"
		                         "\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\377\377\377\377") },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena *a = arena_new(1 << 20);
		struct params p;

		encode_params(a, (struct db_args){ &cases[i].arg, 1 }, &p);
		assert_int_equal(p.count, 1);
		assert_int_equal(p.formats[0], 1);
		if (cases[i].want) {
			assert_int_equal(p.lengths[0], cases[i].size);
			assert_memory_equal(p.values[0], cases[i].want, cases[i].size);
		} else {
			assert_null(p.values[0]);
		}
		arena_free(a);
	}
}

static void several_arguments(void **state)
{
	struct arena *a = arena_new(1 << 20);
	struct params p;

	(void)state;
	encode_params(a, ARGS(TEXT("x"), BIGINT(1), TEXT((const char *)NULL), TEXT("yz")), &p);
	assert_int_equal(p.count, 4);
	assert_memory_equal(p.values[0], "x", 1);
	assert_null(p.values[2]);
	assert_memory_equal(p.values[3], "yz", 2);
	encode_params(a, NO_ARGS, &p);
	assert_int_equal(p.count, 0);
	arena_free(a);
}

static void types(void **state)
{
	(void)state;
	assert_int_equal(encode_type('t'), 25);
	assert_int_equal(encode_type('T'), 1009);
	assert_int_equal(encode_type('u'), 2950);
	assert_int_equal(encode_type('B'), 1000);
}

static void sqlstates(void **state)
{
	(void)state;
	assert_int_equal(error_of_sqlstate("23505"), RESOURCE_ALREADY_EXISTS);
	assert_int_equal(error_of_sqlstate("40P01"), TEMPORARILY_UNAVAILABLE);
	assert_int_equal(error_of_sqlstate("08006"), TEMPORARILY_UNAVAILABLE);
	assert_int_equal(error_of_sqlstate("57P01"), TEMPORARILY_UNAVAILABLE);
	assert_int_equal(error_of_sqlstate("57014"), TEMPORARILY_UNAVAILABLE);
	assert_int_equal(error_of_sqlstate("53100"), INSUFFICIENT_STORAGE);
	assert_int_equal(error_of_sqlstate("53300"), TEMPORARILY_UNAVAILABLE);
	assert_int_equal(error_of_sqlstate("42601"), INTERNAL_ERROR);
	assert_int_equal(error_of_sqlstate(""), INTERNAL_ERROR);
}

static void versions(void **state)
{
	(void)state;
	assert_int_equal(find_version("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n"), 15);
	assert_int_equal(find_version("postgres (PostgreSQL) 9.6.24"), 9);
	assert_int_equal(find_version("postgres (PostgreSQL) 18beta1"), 18);
	assert_int_equal(find_version("something else"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scalars_and_arrays),
		cmocka_unit_test(several_arguments),
		cmocka_unit_test(types),
		cmocka_unit_test(sqlstates),
		cmocka_unit_test(versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
