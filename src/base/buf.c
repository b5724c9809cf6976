/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"

enum { FIRST_CAPACITY = 128 };

char *buf_grow(struct buf *b, size_t n)
{
	size_t want;

	if (b->failed)
		return NULL;
	if (b->size > b->max || n > b->max - b->size) {
		b->failed = true;
		return NULL;
	}
	want = b->capacity ? b->capacity * 2 : FIRST_CAPACITY;
	if (want <= b->size + n)
		want = b->size + n + 1;
	if (want > b->max + 1)
		want = b->max + 1;
	b->data = arena_grow_text(b->arena, b->data, b->capacity, want);
	b->capacity = want;
	return b->data + b->size;
}

void buf_adopt(struct buf *b, char *text, size_t size)
{
	assert(!b->data && !text[size]);
	if (size > b->max) {
		b->failed = true;
		return;
	}
	b->data = text;
	b->size = size;
	b->capacity = size + 1;
}

void buf_addn(struct buf *b, const char *s, size_t n)
{
	char *p = buf_room(b, n);

	if (!p)
		return;
	if (n)
		memcpy(p, s, n);
	buf_took(b, p + n);
}

void buf_add(struct buf *b, const char *s)
{
	buf_addn(b, s, strlen(s));
}

void buf_addc(struct buf *b, char ch)
{
	char *p = buf_room(b, 1);

	if (!p)
		return;
	*p = ch;
	buf_took(b, p + 1);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	if (!buf_room(b, 1))
		return;
	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(b->data + b->size, b->capacity - b->size, fmt, ap);
	if (n < 0)
		b->failed = true;
	else if (!buf_room(b, (size_t)n))
		b->data[b->size] = '\0';
	else if (vsnprintf(b->data + b->size, b->capacity - b->size, fmt, again) == n)
		b->size += (size_t)n;
	va_end(again);
	va_end(ap);
}

void buf_add_int64(struct buf *b, int64_t v)
{
	static const char pairs[] =
		"0001020304050607080910111213141516171819202122232425262728293031323334353637383940"
		"4142434445464748495051525354555657585960616263646566676869707172737475767778798081"
		"828384858687888990919293949596979899";
	char digits[20];
	char *p = digits + sizeof(digits);
	uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

	for (; u >= 100; u /= 100)
		memcpy(p -= 2, &pairs[u % 100 * 2], 2);
	if (u >= 10)
		memcpy(p -= 2, &pairs[u * 2], 2);
	else
		*--p = (char)('0' + u);
	if (v < 0)
		*--p = '-';
	buf_addn(b, p, (size_t)(digits + sizeof(digits) - p));
}

static void add_escape(struct buf *b, unsigned char ch)
{
	static const char hex[] = "0123456789abcdef";
	static const char letters[] = "btn\0fr";        /* from \b = 8; \v has none */
	char text[6] = { '\\', 'u', '0', '0', hex[ch >> 4], hex[ch & 15] };

	if (ch == '"' || ch == '\\')
		text[1] = (char)ch;
	else if (ch >= '\b' && ch <= '\r' && letters[ch - '\b'])
		text[1] = letters[ch - '\b'];
	else {
		buf_addn(b, text, 6);
		return;
	}
	buf_addn(b, text, 2);
}

/* The first byte that needs an escape; end: none. */
static const char *first_escaped(const char *s, const char *end)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;

	for (; end - s >= 8; s += 8) {
		uint64_t v, quote, backslash;

		memcpy(&v, s, 8);
		quote = v ^ ones * '"';
		backslash = v ^ ones * '\\';
		/* In each byte's high bit, for the lowest one at least: was it below the number
		 * taken? */
		if (((v - ones * 0x20) & ~v & highs) | ((quote - ones) & ~quote & highs) |
		    ((backslash - ones) & ~backslash & highs))
			break;
	}
	while (s < end && (unsigned char)*s >= 0x20 && *s != '"' && *s != '\\')
		s++;
	return s;
}

void buf_add_json_stringn(struct buf *b, const char *s, size_t n)
{
	const char *end = s + n;
	char *p = buf_room(b, n + 2);

	if (p && first_escaped(s, end) == end) {
		*p = '"';
		if (n)
			memcpy(p + 1, s, n);
		p[n + 1] = '"';
		buf_took(b, p + n + 2);
		return;
	}
	buf_addc(b, '"');
	while (s < end) {
		const char *at = first_escaped(s, end);

		buf_addn(b, s, (size_t)(at - s));
		if (at < end)
			add_escape(b, (unsigned char)*at++);
		s = at;
	}
	buf_addc(b, '"');
}

void buf_add_json_string(struct buf *b, const char *s)
{
	buf_add_json_stringn(b, s, strlen(s));
}

const char *buf_text(const struct buf *b)
{
	return b->data ? b->data : "";
}
