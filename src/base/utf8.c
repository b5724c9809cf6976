/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "base/utf8.h"

#include <string.h>

#define ONES 0x0101010101010101u
#define HIGHS 0x8080808080808080u

/* The start of the first byte that is not plain ASCII (or is NUL), eight at a time. */
static const unsigned char *skip_ascii(const unsigned char *p, const unsigned char *end)
{
	while (end - p >= 8) {
		uint64_t v;

		memcpy(&v, p, sizeof(v));
		if ((v | (v - ONES)) & HIGHS)
			break;
		p += 8;
	}
	while (p < end && *p && *p < 0x80)
		p++;
	return p;
}

/* Bytes of the well-formed sequence at p, 0 when there is none: RFC 3629's table. */
static size_t sequence(const unsigned char *p, const unsigned char *end)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t n;

	if (*p >= 0xc2 && *p <= 0xdf)
		n = 2;
	else if ((*p & 0xf0) == 0xe0)
		n = 3;
	else if (*p >= 0xf0 && *p <= 0xf4)
		n = 4;
	else
		return 0;
	if (*p == 0xe0)
		low = 0xa0;             /* below: overlong */
	else if (*p == 0xed)
		high = 0x9f;            /* above: surrogates */
	else if (*p == 0xf0)
		low = 0x90;             /* below: overlong */
	else if (*p == 0xf4)
		high = 0x8f;            /* above: past U+10FFFF */
	if ((size_t)(end - p) < n || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return n;
}

bool utf8_valid(const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;
	const unsigned char *end = p + n;

	if (!n)
		return true;
	while ((p = skip_ascii(p, end)) < end) {
		size_t step = sequence(p, end);

		if (!step)
			return false;
		p += step;
	}
	return true;
}

size_t utf8_length(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

size_t utf8_prefix(const char *s, size_t characters)
{
	size_t i = 0;

	for (;; i++) {
		if (!s[i])
			return i;
		if (((unsigned char)s[i] & 0xc0) != 0x80 && !characters--)
			return i;
	}
}

uint32_t utf8_next(const char **s)
{
	const unsigned char *p = (const unsigned char *)*s;
	uint32_t ch = *p++;

	if (ch >= 0x80) {
		ch &= ch >= 0xf0 ? 0x07 : ch >= 0xe0 ? 0x0f : 0x1f;
		for (; (*p & 0xc0) == 0x80; p++)
			ch = ch << 6 | (*p & 0x3fu);
	}
	*s = (const char *)p;
	return ch;
}
