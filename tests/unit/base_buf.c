/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"

#include <cmocka.h>

static struct arena *arena;

static int setup(void **state)
{
	(void)state;
	arena = arena_new(64 << 20);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

static void test_add(void **state)
{
	struct buf b = BUF(arena, 1 << 20);

	(void)state;
	assert_string_equal(buf_text(&b), "");
	buf_add(&b, "a");
	buf_addn(&b, "bcd", 2);
	buf_addc(&b, '-');
	buf_addf(&b, "%s%d", "x", 5);
	buf_add_int64(&b, INT64_MIN);
	buf_addc(&b, ' ');
	buf_add_int64(&b, INT64_MAX);
	buf_addn(&b, NULL, 0);
	assert_string_equal(buf_text(&b), "abc-x5-9223372036854775808 9223372036854775807");
	assert_int_equal(strlen(b.data), b.size);
	for (int i = 0; i < 10000; i++)
		buf_addf(&b, "%d", i % 10);
	assert_false(buf_failed(&b));
	assert_int_equal(strlen(b.data), b.size);
}

static void test_maximum(void **state)
{
	struct buf exact = BUF(arena, 5), over = BUF(arena, 5), f = BUF(arena, 5);
	struct buf none = BUF(arena, 0);

	(void)state;
	buf_add(&exact, "12345");
	assert_false(buf_failed(&exact));
	assert_string_equal(buf_text(&exact), "12345");
	buf_addc(&exact, '6');
	assert_true(buf_failed(&exact));
	assert_string_equal(buf_text(&exact), "12345");
	buf_add(&over, "123456");
	assert_true(buf_failed(&over));
	buf_add(&over, "1");
	assert_string_equal(buf_text(&over), "");
	buf_addf(&f, "%d", 123);
	assert_false(buf_failed(&f));
	buf_addf(&f, "%s", "abcdef");
	assert_true(buf_failed(&f));
	assert_string_equal(buf_text(&f), "123");
	buf_add(&none, "");
	assert_false(buf_failed(&none));
	buf_addc(&none, 'x');
	assert_true(buf_failed(&none));
}

static void test_strings(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "", "\"\"" },
		{ "plain", "\"plain\"" },
		{ "a\"b\\c/", "\"a\\\"b\\\\c/\"" },
		{ "\b\f\n\r\t\v\x01\x1f\x7f", "\"\\b\\f\\n\\r\\t\\u000b\\u0001\\u001f\x7f\"" },
		{ "é€😀", "\"é€😀\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf b = BUF(arena, 1000);

		buf_add_json_string(&b, cases[i].in);
		assert_string_equal(buf_text(&b), cases[i].out);
	}
}

/* The texts are Python's repr(). */
static void test_doubles(void **state)
{
	static const struct {
		double in;
		const char *out;
	} cases[] = {
		{ 0.0, "0.0" }, { -0.0, "-0.0" }, { 1.0, "1.0" }, { -17.0, "-17.0" },
		{ 0.1, "0.1" }, { 0.5, "0.5" }, { 1.0 / 3, "0.3333333333333333" },
		{ 2.0 / 3, "0.6666666666666666" }, { 0.30000000000000004, "0.30000000000000004" },
		{ 123456.789, "123456.789" }, { 100.0, "100.0" }, { 0.0001, "0.0001" },
		{ 0.00001, "1e-05" }, { 1.5e-7, "1.5e-07" }, { 1e15, "1000000000000000.0" },
		{ 1e16, "1e+16" }, { 9007199254740993.0, "9007199254740992.0" },
		{ 123456789012345680.0, "1.2345678901234568e+17" }, { 1e22, "1e+22" },
		{ 1e23, "1e+23" }, { 1e100, "1e+100" }, { DBL_MIN, "2.2250738585072014e-308" },
		{ 5e-324, "5e-324" }, { DBL_MAX, "1.7976931348623157e+308" },
		{ HUGE_VAL, "1.7976931348623157e+308" }, { -HUGE_VAL, "-1.7976931348623157e+308" },
		{ (double)NAN, "\"NaN\"" }, { 2251799813685248.5, "2251799813685248.5" },
		{ 9.5367431640625e-07, "9.5367431640625e-07" }, { 1.7e9, "1700000000.0" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf b = BUF(arena, 1000);

		buf_add_json_double(&b, cases[i].in);
		assert_string_equal(buf_text(&b), cases[i].out);
	}
}

static void test_doubles_read_back(void **state)
{
	uint64_t random = 88172645463325252u;
	struct buf b = BUF(arena, 1000);

	(void)state;
	for (int i = 0; i < 30000; i++) {
		double v;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		if (i % 2)
			v = ldexp((double)(random >> 11), (int)(random % 80) - 90);
		else
			memcpy(&v, &random, sizeof(v));
		if (!isfinite(v))
			continue;
		b.size = 0;
		buf_add_json_double(&b, v);
		assert_true(strtod(b.data, NULL) == v);
		assert_true(b.size <= 24);
	}
}

/* Each place of each length, alone and after another: strings are looked at eight bytes at a time. */
static void test_escapes(void **state)
{
	static const char special[] = "\"\\\x01\x1f";
	static const char *const escaped[] = { "\\\"", "\\\\", "\\u0001", "\\u001f" };

	(void)state;
	for (size_t n = 1; n < 20; n++) {
		for (size_t at = 0; at < n * 4; at++) {
			struct buf got = BUF(arena, 1000), want = BUF(arena, 1000);
			char text[20];

			memset(text, at % 3 ? '!' : 0xc3, sizeof(text)); /* next to '"'; above all */
			text[at / 4] = special[at % 4];
			buf_add_json_stringn(&got, text, n);
			buf_addc(&want, '"');
			buf_addn(&want, text, at / 4);
			buf_add(&want, escaped[at % 4]);
			buf_addn(&want, text + at / 4 + 1, n - at / 4 - 1);
			buf_addc(&want, '"');
			assert_string_equal(buf_text(&got), buf_text(&want));
		}
	}
}

static void test_adopt(void **state)
{
	struct buf b = BUF(arena, 5), small = BUF(arena, 2);
	char *text = arena_strdup(arena, "abc");

	(void)state;
	buf_adopt(&small, text, 3);
	assert_true(buf_failed(&small));
	buf_adopt(&b, text, 3);
	assert_ptr_equal(buf_text(&b), text);
	buf_addc(&b, 'd');
	assert_string_equal(buf_text(&b), "abcd");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add),     cmocka_unit_test(test_maximum),
		cmocka_unit_test(test_strings), cmocka_unit_test(test_doubles),
		cmocka_unit_test(test_doubles_read_back),
		cmocka_unit_test(test_escapes), cmocka_unit_test(test_adopt),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
