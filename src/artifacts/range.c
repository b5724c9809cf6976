/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "range.h"

#include <string.h>
#include <strings.h>

/* Digits; saturates, since a last byte beyond the end means the end. False: none. */
static bool number(const char **s, uint64_t *ret)
{
	const char *start = *s;

	*ret = 0;
	for (; **s >= '0' && **s <= '9'; (*s)++) {
		uint64_t digit = (uint64_t)(**s - '0');

		*ret = *ret > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *ret * 10 + digit;
	}
	return *s > start;
}

static const char *blank(const char *s)
{
	return s + strspn(s, " \t");
}

int range_read(const char *header, uint64_t total, uint64_t *first, uint64_t *length)
{
	uint64_t from, to = UINT64_MAX;
	bool suffix, last;

	*first = 0;
	*length = total;
	if (!header || strncasecmp(header, "bytes=", 6) != 0)
		return 200;
	header = blank(header + 6);
	suffix = !number(&header, &from);
	if (*header++ != '-')
		return 200;
	last = number(&header, &to);
	if (!last)
		to = UINT64_MAX;
	if ((suffix && !last) || *blank(header) || (!suffix && to < from))
		return 200;
	if (suffix) {
		if (to == 0 || total == 0)
			return 416;
		*length = to < total ? to : total;
		*first = total - *length;
		return 206;
	}
	if (from >= total)
		return 416;
	*first = from;
	*length = (to < total - 1 ? to : total - 1) - from + 1;
	return 206;
}

bool range_none_match(const char *header, const char *etag)
{
	size_t n = strlen(etag);

	if (!header || !n)
		return false;
	header = blank(header);
	if (!strcmp(header, "*"))
		return true;
	while (*header) {
		const char *end;

		header = header + strspn(header, " \t,");
		if (!strncmp(header, "W/", 2))
			header += 2;
		end = *header == '"' ? strchr(header + 1, '"') : NULL;
		if (!end)
			return false;
		if ((size_t)(end - header) + 1 == n && !memcmp(header, etag, n))
			return true;
		header = end + 1;
	}
	return false;
}

bool range_if_range(const char *header, const char *etag)
{
	return !header || (*etag && !strcmp(blank(header), etag));
}
