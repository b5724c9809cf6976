/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Reads JSON and writes it again in Python's spacing, in one pass; members are left out by depth
 * and name. The text may be anything a client sends.
 */

#include "model_json.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "store/text.h"

struct cursor {
	struct ctx *c;
	const char *at;
	int depth;
};

/* false: no JSON. `to` NULL: only read. skip: leave out members "config" of objects that deep. */
static bool value(struct cursor *s, struct buf *to, int skip);

static void space(struct cursor *s)
{
	s->at += strspn(s->at, " \t\r\n");
}

static bool token(struct cursor *s, char ch)
{
	space(s);
	if (*s->at != ch)
		return false;
	s->at++;
	return true;
}

static void add(struct buf *to, const char *text, size_t n)
{
	if (to)
		buf_addn(to, text, n);
}

static int hex4(const char *p)
{
	int v = 0;

	for (int i = 0; i < 4; i++) {
		if (!isxdigit((unsigned char)p[i]))
			return -1;
		v = v * 16 + (isdigit((unsigned char)p[i]) ? p[i] - '0' : (p[i] | 32) - 'a' + 10);
	}
	return v;
}

static char *put_utf8(char *to, uint32_t ch)
{
	if (ch < 0x80) {
		*to++ = (char)ch;
	} else if (ch < 0x800) {
		*to++ = (char)(0xc0 | ch >> 6);
		*to++ = (char)(0x80 | (ch & 63));
	} else if (ch < 0x10000) {
		*to++ = (char)(0xe0 | ch >> 12);
		*to++ = (char)(0x80 | (ch >> 6 & 63));
		*to++ = (char)(0x80 | (ch & 63));
	} else {
		*to++ = (char)(0xf0 | ch >> 18);
		*to++ = (char)(0x80 | (ch >> 12 & 63));
		*to++ = (char)(0x80 | (ch >> 6 & 63));
		*to++ = (char)(0x80 | (ch & 63));
	}
	return to;
}

/* After "\u". No NUL and no half of a pair, as everywhere at this server's edge. */
static bool unicode_escape(struct cursor *s, char **to)
{
	int high = hex4(s->at), low;

	if (high <= 0 || (high >= 0xdc00 && high < 0xe000))
		return false;
	s->at += 4;
	if (high < 0xd800 || high >= 0xe000) {
		*to = put_utf8(*to, (uint32_t)high);
		return true;
	}
	if (s->at[0] != '\\' || s->at[1] != 'u')
		return false;
	low = hex4(s->at + 2);
	if (low < 0xdc00 || low >= 0xe000)
		return false;
	s->at += 6;
	*to = put_utf8(*to, 0x10000u + ((uint32_t)(high & 0x3ff) << 10) + (uint32_t)(low & 0x3ff));
	return true;
}

/* The string's own text; NULL: no string. */
static const char *string(struct cursor *s)
{
	static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	const char *end, *p;
	char *out, *to;

	if (!token(s, '"'))
		return NULL;
	for (end = s->at; *end && *end != '"'; end++)
		end += *end == '\\' && end[1];
	out = to = arena_alloc(s->c->arena, (size_t)(end - s->at) + 1);
	while (*s->at != '"') {
		if ((unsigned char)*s->at < 0x20)
			return NULL;            /* the end of the text as well */
		if (*s->at != '\\') {
			*to++ = *s->at++;
			continue;
		}
		s->at++;
		if (*s->at == 'u') {
			s->at++;
			if (!unicode_escape(s, &to))
				return NULL;
			continue;
		}
		p = *s->at ? strchr(letters, *s->at) : NULL;
		if (!p)
			return NULL;
		*to++ = meant[p - letters];
		s->at++;
	}
	s->at++;
	*to = '\0';
	return out;
}

static bool digits(const char **p)
{
	size_t n = strspn(*p, "0123456789");

	*p += n;
	return n > 0;
}

static bool number(struct cursor *s, struct buf *to)
{
	const char *p = s->at + (*s->at == '-');

	if (*p == '0')
		p++;
	else if (!digits(&p))
		return false;
	if (*p == '.' && (p++, !digits(&p)))
		return false;
	if (*p == 'e' || *p == 'E') {
		p += 1 + (p[1] == '+' || p[1] == '-');
		if (!digits(&p))
			return false;
	}
	add(to, s->at, (size_t)(p - s->at));
	s->at = p;
	return true;
}

static bool word(struct cursor *s, struct buf *to)
{
	static const char *const known[] = {
		"true", "false", "null", "NaN", "Infinity", "-Infinity"
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		size_t n = strlen(known[i]);

		if (strncmp(s->at, known[i], n) == 0) {
			add(to, known[i], n);
			s->at += n;
			return true;
		}
	}
	return false;
}

static bool array(struct cursor *s, struct buf *to)
{
	bool first = true;

	add(to, "[", 1);
	if (!token(s, ']')) {
		do {
			if (!first)
				add(to, ", ", 2);
			first = false;
			if (!value(s, to, 0))
				return false;
		} while (token(s, ','));
		if (!token(s, ']'))
			return false;
	}
	add(to, "]", 1);
	return true;
}

static bool object(struct cursor *s, struct buf *to, int skip)
{
	bool first = true;

	add(to, "{", 1);
	if (!token(s, '}')) {
		do {
			const char *key = string(s);
			bool left_out = skip == 1 && key && strcmp(key, "config") == 0;

			if (!key || !token(s, ':'))
				return false;
			if (to && !left_out) {
				add(to, ", ", first ? 0 : 2);
				store_text_json(to, key);
				add(to, ": ", 2);
				first = false;
			}
			if (!value(s, left_out ? NULL : to, skip > 0 ? skip - 1 : 0))
				return false;
		} while (token(s, ','));
		if (!token(s, '}'))
			return false;
	}
	add(to, "}", 1);
	return true;
}

static bool value(struct cursor *s, struct buf *to, int skip)
{
	const char *text;
	bool good;

	space(s);
	if (*s->at == '"') {
		text = string(s);
		if (text && to)
			store_text_json(to, text);
		return text != NULL;
	}
	if (*s->at != '[' && *s->at != '{')
		return word(s, to) || number(s, to);
	if (++s->depth > LIMIT_JSON_DEPTH)
		return false;
	good = *s->at++ == '[' ? array(s, to) : object(s, to, skip);
	s->depth--;
	return good;
}

/* ---- the model ---- */

enum { RUN_ID, ARTIFACT_PATH, CREATED, MODEL_UUID, FLAVORS, MEMBERS };

static const char *const names[MEMBERS] = {
	"run_id", "artifact_path", "utc_time_created", "model_uuid", "flavors"
};

/* The object's known members as text, NULL where absent. */
static bool members(struct cursor *s, const char *found[MEMBERS])
{
	if (!token(s, '{'))
		return false;
	if (token(s, '}'))
		return true;
	do {
		struct buf text = BUF(s->c->arena, LIMIT_ARENA);
		const char *key = string(s);
		int i = 0;

		if (!key || !token(s, ':'))
			return false;
		while (i < MEMBERS && strcmp(names[i], key) != 0)
			i++;
		/* Of flavors' members the members "config". */
		if (!value(s, i < MEMBERS ? &text : NULL, i == FLAVORS ? 2 : 0))
			return false;
		if (i < MEMBERS)
			found[i] = buf_text(&text);
	} while (token(s, ','));
	return token(s, '}');
}

static int check_members(struct ctx *c, const char *const found[MEMBERS])
{
	static const int mandatory[] = { ARTIFACT_PATH, FLAVORS, CREATED, RUN_ID };
	struct buf missing = BUF(c->arena, LIMIT_ARENA);

	for (size_t i = 0; i < sizeof(mandatory) / sizeof(mandatory[0]); i++) {
		if (!found[mandatory[i]])
			buf_addf(&missing, "%s'%s'", missing.size ? ", " : "", names[mandatory[i]]);
	}
	if (missing.size)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Model json is missing mandatory fields: {%s}", buf_text(&missing));
	if (*found[FLAVORS] != '{' && strcmp(found[FLAVORS], "null") != 0)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Model json has flavors that are no object");
	return 0;
}

static bool is_null(const char *text)
{
	return strcmp(text, "null") == 0;
}

int model_json_entry(struct ctx *c, const char *model_json, const char **ret)
{
	struct cursor s = { .c = c, .at = model_json };
	const char *found[MEMBERS] = { 0 };
	struct buf out = BUF(c->arena, LIMIT_ARENA);

	if (!members(&s, found) || (space(&s), *s.at))
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Malformed model info. \n %s \n is not a valid JSON.", model_json);
	if (check_members(c, found))
		return -1;
	if (!found[MODEL_UUID])
		found[MODEL_UUID] = "null";
	if (is_null(found[FLAVORS]))
		found[FLAVORS] = "{}";
	for (int i = 0; i < MEMBERS; i++) {
		if ((i == RUN_ID || i == ARTIFACT_PATH) && is_null(found[i]))
			continue;
		buf_addf(&out, "%s\"%s\": %s", out.size ? ", " : "{", names[i], found[i]);
	}
	buf_addc(&out, '}');
	*ret = buf_text(&out);
	return 0;
}
