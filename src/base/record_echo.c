/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Refused values in error messages, and the JSON escapes. */
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "record_impl.h"

/* Four hex digits, -1 when they are not there (the closing NUL stops it). */
static int32_t hex4(const char *s)
{
	int32_t v = 0;

	for (int i = 0; i < 4; i++) {
		char ch = s[i];

		if (ch >= '0' && ch <= '9')
			v = v << 4 | (ch - '0');
		else if ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'f')
			v = v << 4 | ((ch | 0x20) - 'a' + 10);
		else
			return -1;
	}
	return v;
}

static const char *unicode_escape(const char **at, uint32_t *ch)
{
	int32_t first = hex4(*at);
	int32_t second;

	if (first < 0)
		return "bad \\u escape";
	if (!first)
		return "NUL character";
	*at += 4;
	*ch = (uint32_t)first;
	if (first < 0xd800 || first > 0xdfff)
		return NULL;
	if (first > 0xdbff || (*at)[0] != '\\' || (*at)[1] != 'u')
		return "lone surrogate";
	second = hex4(*at + 2);
	if (second < 0xdc00 || second > 0xdfff)
		return "lone surrogate";
	*at += 6;
	*ch = 0x10000 + (((uint32_t)first - 0xd800) << 10) + ((uint32_t)second - 0xdc00);
	return NULL;
}

const char *record_escape(const char **at, uint32_t *ch)
{
	static const char letters[] = "\"\\/bfnrt";
	static const char values[] = "\"\\/\b\f\n\r\t";
	char letter = *(*at)++;
	const char *found;

	if (letter == 'u')
		return unicode_escape(at, ch);
	found = letter ? strchr(letters, letter) : NULL;
	if (!found) {
		--*at;
		return "bad escape";
	}
	*ch = (uint32_t)values[found - letters];
	return NULL;
}

static void add(struct buf *to, uint32_t ch)
{
	static const char letters[] = "btn\0fr";        /* from \b = 8; \v has none */

	if (ch == '"' || ch == '\\')
		buf_addf(to, "\\%c", (char)ch);
	else if (ch >= 0x20 && ch < 0x7f)
		buf_addc(to, (char)ch);
	else if (ch >= '\b' && ch <= '\r' && letters[ch - '\b'])
		buf_addf(to, "\\%c", letters[ch - '\b']);
	else if (ch < 0x10000)
		buf_addf(to, "\\u%04x", ch);
	else
		buf_addf(to, "\\u%04x\\u%04x", 0xd800 + ((ch - 0x10000) >> 10),
		         0xdc00 + (ch & 0x3ff));
}

static const char *cut(struct buf *b)
{
	if (b->size > LIMIT_JSON_VALUE_ECHO) {
		b->size = LIMIT_JSON_VALUE_ECHO;
		buf_add(b, "...");
	}
	return buf_text(b);
}

const char *record_echo(struct arena *a, const char *json, size_t n)
{
	struct buf to = BUF(a, LIMIT_JSON_VALUE_ECHO + 64);
	const char *p = json;
	bool inside = false;

	while (p < json + n && to.size <= LIMIT_JSON_VALUE_ECHO) {
		uint32_t ch = utf8_next(&p);

		if (ch == '"') {
			inside = !inside;
			buf_addc(&to, '"');
		} else if (inside) {
			if (ch == '\\' && record_escape(&p, &ch))
				break;          /* cannot be: the value was checked before */
			add(&to, ch);
		} else if (ch > ' ') {
			buf_addc(&to, (char)ch);
		}
	}
	return cut(&to);
}

const char *record_echo_string(struct arena *a, const char *s)
{
	struct buf to = BUF(a, LIMIT_JSON_VALUE_ECHO + 64);

	buf_addc(&to, '"');
	while (*s && to.size <= LIMIT_JSON_VALUE_ECHO)
		add(&to, utf8_next(&s));
	buf_addc(&to, '"');
	return cut(&to);
}
