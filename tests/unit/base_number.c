/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/number.h"

static void test_leading(void **state)
{
	static const struct {
		const char *text;
		int number;
	} table[] = {
		{ "", 0 },       { "x", 0 },     { "0", 0 },          { "15.18 (Debian)", 15 },
		{ "-3", -3 },    { "+7", 7 },    { "2147483647", INT_MAX }, { "2147483648", INT_MAX },
		{ "-99999999999", -INT_MAX },    { "00012", 12 },     { "- 1", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		assert_int_equal(number_leading(table[i].text), table[i].number);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leading),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
