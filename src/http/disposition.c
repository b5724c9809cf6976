/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "disposition.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"

static bool is_control(char ch)
{
	return (unsigned char)ch < ' ' || ch == 0x7f;
}

/* The characters of an RFC 9110 token; RFC 5987's attr-char is a part of them. */
static bool is_token(char ch, const char *punctuation)
{
	return (unsigned char)ch < 0x80 &&
	       (isalnum((unsigned char)ch) || (ch && strchr(punctuation, ch)));
}

/* The ASCII part of the name, quoted only where it must be. */
static void add_ascii(struct buf *to, const char *name)
{
	bool quote = false;
	bool any = false;

	for (const char *p = name; *p; p++) {
		if ((unsigned char)*p < 0x80) {
			any = true;
			quote |= !is_control(*p) && !is_token(*p, "!#$%&'*+-.^_`|~");
		}
	}
	if (!any) {
		buf_add(to, "download");
		return;
	}
	if (quote)
		buf_addc(to, '"');
	for (const char *p = name; *p; p++) {
		if ((unsigned char)*p >= 0x80)
			continue;
		if (*p == '"' || *p == '\\')
			buf_addc(to, '\\');
		buf_addc(to, is_control(*p) ? '_' : *p);
	}
	if (quote)
		buf_addc(to, '"');
}

void disposition_write(struct buf *to, const char *name)
{
	bool ascii = true;

	for (const char *p = name; *p; p++)
		ascii &= (unsigned char)*p < 0x80;
	buf_add(to, "attachment; filename=");
	add_ascii(to, name);
	if (ascii)
		return;
	buf_add(to, "; filename*=UTF-8''");
	for (const char *p = name; *p; p++) {
		if (is_control(*p))
			buf_addc(to, '_');
		else if (is_token(*p, "!#$&+-.^_`|~"))
			buf_addc(to, *p);
		else
			buf_addf(to, "%%%02X", (unsigned)(unsigned char)*p);
	}
}
