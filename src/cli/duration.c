/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "cli/duration.h"

#include <stdlib.h>
#include <string.h>

bool cli_duration_parse(const char *text, int64_t *ret_ms)
{
	static const struct {
		char letter;
		double ms;
	} units[] = { { 'd', 86400e3 }, { 'h', 3600e3 }, { 'm', 60e3 }, { 's', 1e3 } };
	size_t unit = 0;
	double sum = 0;

	if (!*text)
		return false;
	while (*text) {
		size_t size = strspn(text, "0123456789.");
		char number[32] = "";
		char *end;
		if (!size || size >= sizeof(number))
			return false;
		memcpy(number, text, size);
		double value = strtod(number, &end);
		if (*end)
			return false;
		while (unit < 4 && units[unit].letter != text[size])
			unit++;
		if (unit == 4)
			return false;
		sum += value * units[unit++].ms;
		text += size + 1;
	}
	if (sum > 3.2e16)
		return false;
	*ret_ms = (int64_t)sum;
	return true;
}
