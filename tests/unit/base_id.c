/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/id.h"

#include <cmocka.h>

static void test_uuid(void **state)
{
	struct arena *a = arena_new(1 << 20);
	uint8_t bytes[16];
	char text[33];
	char *first = id_uuid_hex(a);

	(void)state;
	assert_int_equal(strlen(first), 32);
	assert_int_equal(strspn(first, "0123456789abcdef"), 32);
	assert_int_equal(first[12], '4');
	assert_non_null(strchr("89ab", first[16]));
	assert_string_not_equal(first, id_uuid_hex(a));
	assert_true(id_parse_uuid(first, bytes));
	id_format_uuid(bytes, text);
	assert_string_equal(text, first);
	assert_memory_equal(id_model(a), "m-", 2);
	assert_int_equal(strlen(id_model(a)), 34);
	arena_free(a);
}

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{ "0123456789abcdefabcdef0123456789", true },
		{ "0123456789abcdefABCDEF0123456789", false },
		{ "", false },
		{ "0123456789abcdefABCDEF012345678", false },
		{ "0123456789abcdefABCDEF01234567890", false },
		{ "0123456789abcdef-BCDEF0123456789", false },
		{ "g123456789abcdefABCDEF0123456789", false },
		{ "01234567-89ab-cdef-0123-456789abcdef", false },
	};
	uint8_t bytes[16];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(id_parse_uuid(cases[i].text, bytes), cases[i].good);
	assert_true(id_parse_uuid(cases[0].text, bytes));
	assert_int_equal(bytes[0], 0x01);
	assert_int_equal(bytes[8], 0xab);
}

static void test_run_name(void **state)
{
	struct arena *a = arena_new(4 << 20);

	(void)state;
	for (int i = 0; i < 5000; i++) {
		char *name = id_run_name(a);
		char *first = strchr(name, '-');
		char *second = first ? strchr(first + 1, '-') : NULL;

		assert_non_null(second);
		assert_true(strlen(name) <= 20);
		assert_int_equal(strspn(second + 1, "0123456789"), strlen(second + 1));
		assert_in_range(atoi(second + 1), 0, 1000);
	}
	arena_free(a);
}

static void test_clock(void **state)
{
	int64_t us = clock_us(), ms = clock_ms();

	(void)state;
	assert_true(clock_wall_ms() > 1700000000000);
	assert_true(clock_us() >= us);
	assert_true(ms - us / 1000 <= 1000);
	assert_true(clock_ms() >= ms);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uuid),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_run_name),
		cmocka_unit_test(test_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
