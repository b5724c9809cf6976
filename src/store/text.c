/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/text.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/number.h"
#include "base/utf8.h"

/* Control characters, and the few further ones that Python escapes and people paste. */
static bool printable(uint32_t ch)
{
	return !(ch < 0x20 || (ch >= 0x7f && ch <= 0xa0) || ch == 0xad ||
	         (ch >= 0x2000 && ch <= 0x200f) || (ch >= 0x2028 && ch <= 0x202f) || ch == 0xfeff);
}

static void add_escape(struct buf *to, uint32_t ch)
{
	if (ch == '\n')
		buf_add(to, "\\n");
	else if (ch == '\r')
		buf_add(to, "\\r");
	else if (ch == '\t')
		buf_add(to, "\\t");
	else if (ch < 0x100)
		buf_addf(to, "\\x%02x", (unsigned)ch);
	else
		buf_addf(to, "\\u%04x", (unsigned)ch);
}

void store_text_repr(struct buf *to, const char *s)
{
	char quote = strchr(s, '\'') && !strchr(s, '"') ? '"' : '\'';

	buf_addc(to, quote);
	while (*s) {
		const char *from = s;
		uint32_t ch = utf8_next(&s);

		if (ch == (unsigned char)quote || ch == '\\')
			buf_addc(to, '\\');
		if (printable(ch))
			buf_addn(to, from, (size_t)(s - from));
		else
			add_escape(to, ch);
	}
	buf_addc(to, quote);
}

static void add_json_escape(struct buf *to, uint32_t ch)
{
	static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
	const char *p = ch < 0x80 ? strchr(plain, (int)ch) : NULL;

	if (p) {
		buf_addc(to, '\\');
		buf_addc(to, letters[p - plain]);
	} else if (ch < 0x10000) {
		buf_addf(to, "\\u%04x", (unsigned)ch);
	} else {
		ch -= 0x10000;
		buf_addf(to, "\\u%04x\\u%04x", 0xd800u | (unsigned)(ch >> 10),
		         0xdc00u | (unsigned)(ch & 0x3ff));
	}
}

void store_text_json(struct buf *to, const char *s)
{
	buf_addc(to, '"');
	while (*s) {
		uint32_t ch = utf8_next(&s);

		if (ch >= 0x20 && ch < 0x7f && ch != '"' && ch != '\\')
			buf_addc(to, (char)ch);
		else
			add_json_escape(to, ch);
	}
	buf_addc(to, '"');
}

/* digits * 10^exponent, the way Python chooses between the two forms. */
static void add_digits(struct buf *to, const char *digits, int n, int exponent)
{
	int point = exponent + 1;       /* digits before the point */

	if (exponent < -4 || exponent >= 16) {
		buf_addc(to, digits[0]);
		if (n > 1)
			buf_addc(to, '.');
		buf_addn(to, digits + 1, (size_t)(n - 1));
		buf_addf(to, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
		return;
	}
	if (point <= 0)
		buf_add(to, "0.");
	for (int i = point; i < 0; i++)
		buf_addc(to, '0');
	for (int i = 0; i < n || i < point; i++) {
		if (i == point && i > 0)
			buf_addc(to, '.');
		buf_addc(to, i < n ? digits[i] : '0');
	}
	if (n <= point)
		buf_add(to, ".0");
}

void store_text_float(struct buf *to, double v)
{
	char text[40], digits[20];
	int n = 0;

	if (isnan(v)) {
		buf_add(to, "nan");
		return;
	}
	if (signbit(v))
		buf_addc(to, '-');
	v = fabs(v);
	if (isinf(v)) {
		buf_add(to, "inf");
		return;
	}
	for (int precision = 0; precision <= 16; precision++) {
		snprintf(text, sizeof(text), "%.*e", precision, v);
		if (strtod(text, NULL) == v)
			break;
	}
	for (const char *p = text; *p != 'e'; p++) {
		if (*p != '.')
			digits[n++] = *p;
	}
	add_digits(to, digits, n, number_leading(strchr(text, 'e') + 1));
}
