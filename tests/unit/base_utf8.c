/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "base/utf8.h"

#include <cmocka.h>

static const struct {
	const char *text;
	size_t size;
	bool valid;
} cases[] = {
	{ "", 0, true },
	{ "plain ascii, longer than eight", 30, true },
	{ "12345678\xc3", 9, false },
	{ "nul\0inside", 10, false },
	{ "12345678\0", 9, false },
	{ "\x7f", 1, true },
	{ "\x80", 1, false },
	{ "\xc1\xbf", 2, false },
	{ "\xc2\x80", 2, true },
	{ "\xdf\xbf", 2, true },
	{ "\xe0\x9f\xbf", 3, false },
	{ "\xe0\xa0\x80", 3, true },
	{ "\xed\x9f\xbf", 3, true },
	{ "\xed\xa0\x80", 3, false },
	{ "\xef\xbf\xbf", 3, true },
	{ "\xf0\x8f\xbf\xbf", 4, false },
	{ "\xf0\x90\x80\x80", 4, true },
	{ "\xf4\x8f\xbf\xbf", 4, true },
	{ "\xf4\x90\x80\x80", 4, false },
	{ "\xf5\x80\x80\x80", 4, false },
	{ "\xff", 1, false },
	{ "\xe2\x82", 2, false },
	{ "\xe2\x82\x28", 3, false },
	{ "\xf0\x9f\x98\x80 and more text", 18, true },
};

static void test_valid(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char moved[64];

		/* at every alignment of the eight-byte loop */
		for (size_t shift = 0; shift < 9; shift++) {
			memset(moved, 'a', shift);
			memcpy(moved + shift, cases[i].text, cases[i].size);
			assert_int_equal(utf8_valid(moved, cases[i].size + shift), cases[i].valid);
		}
	}
}

static void test_length(void **state)
{
	(void)state;
	assert_int_equal(utf8_length(""), 0);
	assert_int_equal(utf8_length("aé€😀"), 4);
	assert_int_equal(utf8_prefix("aé€😀", 0), 0);
	assert_int_equal(utf8_prefix("aé€😀", 1), 1);
	assert_int_equal(utf8_prefix("aé€😀", 2), 3);
	assert_int_equal(utf8_prefix("aé€😀", 3), 6);
	assert_int_equal(utf8_prefix("aé€😀", 4), 10);
	assert_int_equal(utf8_prefix("aé€😀", 99), 10);
}

static void test_next(void **state)
{
	static const uint32_t expected[] = { 'a', 0xe9, 0x20ac, 0x1f600, 'z' };
	const char *s = "aé€😀z";

	(void)state;
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(utf8_next(&s), expected[i]);
	assert_int_equal(*s, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_next),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
