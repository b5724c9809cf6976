/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * The text is valid UTF-8 without NUL when parsing begins and ends in NUL, so nothing here needs
 * bounds: each scanner stops at the NUL.
 */
#include <string.h>

#include "base/limits.h"
#include "record_impl.h"
#include "record_scan.h"

void record_malformed(struct reader *r, const char *at, const char *why)
{
	fail(r->c, MALFORMED_REQUEST, "Request body is not valid JSON: %s at byte %zu.", why,
	     (size_t)(at - r->start));
}

enum result record_skip_string(struct reader *r)
{
	const char *p = r->at + 1;
	const char *why;
	uint32_t ch;

	for (;;) {
		while (is_plain(*p))
			p++;
		if (*p == '"')
			break;
		if (*p != '\\')
			return malformed(r, p, *p ? "control character in a string" :
			                 "unterminated string");
		p++;
		why = record_escape(&p, &ch);
		if (why)
			return malformed(r, p, why);
	}
	r->at = (char *)p + 1;
	return READ_OK;
}

static bool skip_digits(char **p)
{
	char *start = *p;

	while (**p >= '0' && **p <= '9')
		++*p;
	return *p > start;
}

static enum result skip_number(struct reader *r)
{
	char *p = r->at;

	if (*p == '-')
		p++;
	if (*p == '0')
		p++;
	else if (!skip_digits(&p))
		return malformed(r, p, "bad value");
	if (*p == '.') {
		p++;
		if (!skip_digits(&p))
			return malformed(r, p, "bad number");
	}
	if (*p == 'e' || *p == 'E') {
		p++;
		if (*p == '-' || *p == '+')
			p++;
		if (!skip_digits(&p))
			return malformed(r, p, "bad number");
	}
	r->at = p;
	return READ_OK;
}

static bool skip_word(struct reader *r, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(r->at, word, n) != 0)
		return false;
	r->at += n;
	return true;
}

enum result record_skip_scalar(struct reader *r)
{
	switch (*r->at) {
	case '"':
		return record_skip_string(r);
	case 't':
		if (skip_word(r, "true"))
			return READ_OK;
		break;
	case 'f':
		if (skip_word(r, "false"))
			return READ_OK;
		break;
	case 'n':
		if (skip_word(r, "null"))
			return READ_OK;
		break;
	case '\0':
		return malformed(r, r->at, "unexpected end");
	default:
		/* Python's reader takes these, and its writer makes them. */
		if (!r->strict && (skip_word(r, "NaN") || skip_word(r, "Infinity") ||
		                   skip_word(r, "-Infinity")))
			return READ_OK;
		return skip_number(r);
	}
	return malformed(r, r->at, "bad value");
}

enum result record_enter(struct reader *r)
{
	if (r->depth == LIMIT_JSON_DEPTH)
		return malformed(r, r->at, "too deep nesting");
	r->depth++;
	r->at++;
	spaces(r);
	return READ_OK;
}

enum result record_colon(struct reader *r)
{
	spaces(r);
	if (*r->at != ':')
		return malformed(r, r->at, "':' expected");
	r->at++;
	spaces(r);
	return READ_OK;
}

static enum result skip_key(struct reader *r)
{
	if (*r->at != '"')
		return malformed(r, r->at, "member name expected");
	if (record_skip_string(r))
		return READ_MALFORMED;
	return record_colon(r);
}

/* The open brackets are the bits of `objects` (1: an object), so that nothing recurses. */
enum result record_skip_value(struct reader *r)
{
	const int base = r->depth;
	uint64_t objects = 0;

	for (;;) {
		if (*r->at == '{' || *r->at == '[') {
			bool object = *r->at == '{';

			if (record_enter(r))
				return READ_MALFORMED;
			objects = objects << 1 | object;
			if (*r->at != (object ? '}' : ']')) {
				if (object && skip_key(r))
					return READ_MALFORMED;
				continue;
			}
		} else if (record_skip_scalar(r)) {
			return READ_MALFORMED;
		} else if (r->depth > base) {
			spaces(r);
		}
		while (r->depth > base && *r->at == (objects & 1 ? '}' : ']')) {
			objects >>= 1;
			r->depth--;
			r->at++;
			if (r->depth > base)
				spaces(r);
		}
		if (r->depth == base)
			return READ_OK;
		if (*r->at != ',')
			return malformed(r, r->at, objects & 1 ? "',' or '}' expected" :
			                 "',' or ']' expected");
		r->at++;
		spaces(r);
		if (objects & 1 && skip_key(r))
			return READ_MALFORMED;
	}
}
