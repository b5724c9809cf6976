/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"

enum { FIRST_CAPACITY = 128 };

/* Room for n more bytes and the NUL. */
static bool reserve(struct buf *b, size_t n)
{
	size_t want;

	if (b->failed)
		return false;
	if (n < b->capacity - b->size)
		return true;
	if (b->size > b->max || n > b->max - b->size) {
		b->failed = true;
		return false;
	}
	want = b->capacity ? b->capacity * 2 : FIRST_CAPACITY;
	if (want <= b->size + n)
		want = b->size + n + 1;
	if (want > b->max + 1)
		want = b->max + 1;
	b->data = arena_grow(b->arena, b->data, b->capacity, want);
	b->capacity = want;
	return true;
}

void buf_addn(struct buf *b, const char *s, size_t n)
{
	if (!reserve(b, n))
		return;
	if (n)
		memcpy(b->data + b->size, s, n);
	b->size += n;
	b->data[b->size] = '\0';
}

void buf_add(struct buf *b, const char *s)
{
	buf_addn(b, s, strlen(s));
}

void buf_addc(struct buf *b, char ch)
{
	if (!reserve(b, 1))
		return;
	b->data[b->size++] = ch;
	b->data[b->size] = '\0';
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	if (!reserve(b, 1))
		return;
	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(b->data + b->size, b->capacity - b->size, fmt, ap);
	if (n < 0)
		b->failed = true;
	else if (!reserve(b, (size_t)n))
		b->data[b->size] = '\0';
	else if (vsnprintf(b->data + b->size, b->capacity - b->size, fmt, again) == n)
		b->size += (size_t)n;
	va_end(again);
	va_end(ap);
}

void buf_add_int64(struct buf *b, int64_t v)
{
	char digits[20];
	char *p = digits + sizeof(digits);
	uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

	do {
		*--p = (char)('0' + u % 10);
		u /= 10;
	} while (u);
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

void buf_add_json_stringn(struct buf *b, const char *s, size_t n)
{
	const char *end = s + n;
	const char *plain = s;

	buf_addc(b, '"');
	for (; s < end; s++) {
		unsigned char ch = (unsigned char)*s;

		if (ch >= 0x20 && ch != '"' && ch != '\\')
			continue;
		buf_addn(b, plain, (size_t)(s - plain));
		add_escape(b, ch);
		plain = s + 1;
	}
	buf_addn(b, plain, (size_t)(end - plain));
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
