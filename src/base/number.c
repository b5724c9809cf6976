/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "base/number.h"

#include <limits.h>

int number_leading(const char *text)
{
	int sign = *text == '-' ? -1 : 1;
	int n = 0;

	for (text += *text == '-' || *text == '+'; *text >= '0' && *text <= '9'; text++) {
		int digit = *text - '0';

		if (n > (INT_MAX - digit) / 10)
			return sign * INT_MAX;
		n = n * 10 + digit;
	}
	return sign * n;
}
