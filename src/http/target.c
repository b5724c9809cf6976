/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "target.h"

#include <string.h>

#include "base/arena.h"
#include "base/utf8.h"

enum { LIMIT_ARGUMENTS = 1000 };

static int hex(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	if (ch >= 'a' && ch <= 'f')
		return ch - 'a' + 10;
	if (ch >= 'A' && ch <= 'F')
		return ch - 'A' + 10;
	return -1;
}

/* The byte that s[0..2] = "%xy" stands for, or -1. */
static int escaped(const char *s, const char *end)
{
	int high, low;

	if (end - s < 3)
		return -1;
	high = hex(s[1]);
	low = hex(s[2]);
	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static int decode_path(struct ctx *c, const char *s, const char *end, const char **ret)
{
	char *out = arena_alloc(c->arena, (size_t)(end - s) + 1);
	char *to = out;

	while (s < end) {
		int byte = (unsigned char)*s;

		if (*s == '%') {
			byte = escaped(s, end);
			if (byte < 0)
				return fail(c, INVALID_PARAMETER_VALUE,
					    "Invalid percent-encoding in the path.");
			if (byte) {
				*to++ = (char)byte;
				s += 3;
				continue;
			}
		}
		*to++ = *s++;
	}
	*to = '\0';
	if (!utf8_valid(out, (size_t)(to - out)))
		return fail(c, INVALID_PARAMETER_VALUE, "The path is not valid UTF-8.");
	*ret = out;
	return 0;
}

static int decode_argument(struct ctx *c, const char *s, const char *end, const char **ret)
{
	char *out = arena_alloc(c->arena, (size_t)(end - s) + 1);
	char *to = out;

	for (; s < end; s++) {
		int byte = *s == '+' ? ' ' : (unsigned char)*s;

		if (*s == '%') {
			byte = escaped(s, end);
			if (byte <= 0)
				return fail(c, INVALID_PARAMETER_VALUE,
					    "Invalid percent-encoding in the query string.");
			s += 2;
		}
		*to++ = (char)byte;
	}
	*to = '\0';
	if (!utf8_valid(out, (size_t)(to - out)))
		return fail(c, INVALID_PARAMETER_VALUE, "The query string is not valid UTF-8.");
	*ret = out;
	return 0;
}

static int decode_query(struct ctx *c, const char *s, struct target *ret)
{
	const char *end = s + strlen(s);
	struct argument *arguments;
	size_t most = 1;

	for (const char *p = s; p < end; p++)
		most += *p == '&';
	if (most > LIMIT_ARGUMENTS)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "The query string has more than %d arguments.", LIMIT_ARGUMENTS);
	arguments = NEW_ARRAY(c->arena, most, struct argument);
	while (s < end) {
		const char *next = memchr(s, '&', (size_t)(end - s));
		const char *stop = next ? next : end;
		const char *equals = memchr(s, '=', (size_t)(stop - s));

		if (stop > s) {
			struct argument *a = &arguments[ret->count++];

			if (decode_argument(c, s, equals ? equals : stop, &a->name) ||
			    decode_argument(c, equals ? equals + 1 : stop, stop, &a->value))
				return -1;
		}
		s = stop + 1;
	}
	ret->arguments = arguments;
	return 0;
}

int target_parse(struct ctx *c, const char *raw, struct target *ret)
{
	const char *query = strchr(raw, '?');
	const char *end = query ? query : raw + strlen(raw);

	*ret = (struct target){ 0 };
	for (const unsigned char *p = (const unsigned char *)raw; *p; p++) {
		if (*p <= ' ' || *p > '~' || *p == '#')
			return fail(c, INVALID_PARAMETER_VALUE,
				    "Invalid character in the request target.");
	}
	if (*raw != '/')
		return fail(c, INVALID_PARAMETER_VALUE, "The request target must be a path.");
	if (decode_path(c, raw, end, &ret->path))
		return -1;
	return query ? decode_query(c, query + 1, ret) : 0;
}

int target_form(struct ctx *c, const char *body, struct target *ret)
{
	*ret = (struct target){ 0 };
	return decode_query(c, body, ret);
}

const char *target_argument(const struct target *t, const char *name)
{
	for (size_t i = 0; i < t->count; i++) {
		if (strcmp(t->arguments[i].name, name) == 0)
			return t->arguments[i].value;
	}
	return NULL;
}
