/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "range.h"

#include <string.h>
#include <strings.h>

#include "blob/blob.h"

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

struct range {
	bool suffix, open; /* the last `last` bytes; no end */
	uint64_t first, last;
};

static bool parse(const char *header, struct range *r)
{
	bool last;

	if (!header || strncasecmp(header, "bytes=", 6) != 0)
		return false;
	header = blank(header + 6);
	r->suffix = !number(&header, &r->first);
	if (*header++ != '-')
		return false;
	last = number(&header, &r->last);
	r->open = !last;
	return !((r->suffix && !last) || *blank(header) ||
		 (!r->suffix && last && r->last < r->first));
}

int range_read(const char *header, uint64_t total, uint64_t *first, uint64_t *length)
{
	struct range r;

	*first = 0;
	*length = total;
	if (!parse(header, &r))
		return 200;
	if (r.suffix) {
		if (r.last == 0 || total == 0)
			return 416;
		*length = r.last < total ? r.last : total;
		*first = total - *length;
		return 206;
	}
	if (r.first >= total)
		return 416;
	*first = r.first;
	*length = (!r.open && r.last < total - 1 ? r.last : total - 1) - r.first + 1;
	return 206;
}

bool range_want(const char *header, struct blob_want *ret)
{
	struct range r;

	if (!parse(header, &r) || (r.suffix && !r.last))
		return false;
	*ret = (struct blob_want){ .suffix = r.suffix, .first = r.suffix ? 0 : r.first };
	if (r.suffix)
		ret->length = r.last;
	else if (!r.open && r.last - r.first < UINT64_MAX)
		ret->length = r.last - r.first + 1;
	return true;
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
