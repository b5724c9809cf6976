/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "meta_yaml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/arena.h"

enum { DEPTH = 64, PAIRS_MAX = 100000, NUMBER_MAX = 64 };

static void parser_done(yaml_parser_t *p)
{
	yaml_parser_delete(p);
}

struct reading {
	struct list *pairs;
	size_t capacity;
	int depth;                      /* mappings and lists that are open */
	int lists;                      /* of those, lists */
	const char *key[3];             /* the key that waits for its value, by depth */
	bool mapping;                   /* the document is one */
};

static bool is_null(const yaml_event_t *e)
{
	const char *text = (const char *)e->data.scalar.value;

	return e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (!*text || !strcmp(text, "null") || !strcmp(text, "~") || !strcmp(text, "Null") ||
		!strcmp(text, "NULL"));
}

static int add(struct ctx *c, struct reading *r, const yaml_event_t *e)
{
	struct meta_pair *pair;

	if (r->pairs->count >= PAIRS_MAX)
		return fail(c, INVALID_PARAMETER_VALUE, "It has more than %d entries.", PAIRS_MAX);
	pair = list_add(c->arena, r->pairs, &r->capacity, sizeof(*pair));
	pair->parent = r->depth == 2 ? r->key[1] : "";
	pair->key = r->key[r->depth];
	pair->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	if (!is_null(e)) {
		pair->size = e->data.scalar.length;
		pair->value = arena_strndup(c->arena, (const char *)e->data.scalar.value,
					    pair->size);
	}
	return 0;
}

/* A scalar: a key or the value of one. Only mappings at the top and one below count. */
static int scalar(struct ctx *c, struct reading *r, const yaml_event_t *e)
{
	if (r->lists || r->depth < 1 || r->depth > 2)
		return 0;
	if (!r->key[r->depth]) {
		r->key[r->depth] = arena_strndup(c->arena, (const char *)e->data.scalar.value,
						 e->data.scalar.length);
		return 0;
	}
	int failed = add(c, r, e);
	r->key[r->depth] = NULL;
	return failed;
}

static int open_one(struct ctx *c, struct reading *r, bool list)
{
	if (++r->depth > DEPTH)
		return fail(c, INVALID_PARAMETER_VALUE, "It is nested too deeply.");
	r->lists += list;
	r->mapping |= r->depth == 1 && !list;
	if (r->depth <= 2)
		r->key[r->depth] = NULL;
	/* A mapping as a key is nothing we know. */
	if (r->depth == 2 && !r->lists && !r->key[1])
		return fail(c, INVALID_PARAMETER_VALUE, "A key is no text.");
	return 0;
}

static void close_one(struct reading *r, bool list)
{
	r->depth--;
	r->lists -= list;
	if (r->depth >= 1 && r->depth <= 2 && !r->lists)
		r->key[r->depth] = NULL;
}

/* 1: the document's end. */
static int event(struct ctx *c, struct reading *r, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return scalar(c, r, e);
	case YAML_ALIAS_EVENT:
		if (!r->lists && r->depth >= 1 && r->depth <= 2)
			r->key[r->depth] = NULL;
		return 0;
	case YAML_MAPPING_START_EVENT:
		return open_one(c, r, false);
	case YAML_SEQUENCE_START_EVENT:
		return open_one(c, r, true);
	case YAML_MAPPING_END_EVENT:
		close_one(r, false);
		return 0;
	case YAML_SEQUENCE_END_EVENT:
		close_one(r, true);
		return 0;
	case YAML_DOCUMENT_END_EVENT:
	case YAML_STREAM_END_EVENT:
		return 1;
	default:
		return 0;
	}
}

int meta_yaml_read(struct ctx *c, const char *text, size_t size, struct list *ret)
{
	CLEANUP(parser_done) yaml_parser_t parser;
	struct reading r = { .pairs = ret };
	int done = 0;

	*ret = (struct list){ 0 };
	if (!yaml_parser_initialize(&parser))
		return fail(c, TEMPORARILY_UNAVAILABLE, "No memory.");
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
	while (!done) {
		yaml_event_t e;
		if (!yaml_parser_parse(&parser, &e))
			return fail(c, INVALID_PARAMETER_VALUE, "It is no YAML: %s in line %zu.",
				    parser.problem ? parser.problem : "an error",
				    parser.problem_mark.line + 1);
		done = event(c, &r, &e);
		yaml_event_delete(&e);
	}
	if (done < 0)
		return -1;
	return r.mapping ? 0 : fail(c, INVALID_PARAMETER_VALUE, "It holds no mapping.");
}

const struct meta_pair *meta_yaml_find(const struct list *meta, const char *key)
{
	for (size_t i = 0; i < meta->count; i++) {
		const struct meta_pair *pair = LIST_AT(struct meta_pair, meta, i);
		if (!*pair->parent && !strcmp(pair->key, key))
			return pair;
	}
	return NULL;
}

const char *meta_yaml_text(const struct list *meta, const char *key)
{
	const struct meta_pair *pair = meta_yaml_find(meta, key);

	return pair ? pair->value : NULL;
}

static bool read_int(const char *text, size_t size, int64_t *ret)
{
	char copy[NUMBER_MAX];
	char *end;

	if (!size || size >= sizeof(copy) || strspn(text, "+-0123456789") < size)
		return false;
	memcpy(copy, text, size);
	copy[size] = '\0';
	errno = 0;
	*ret = strtoll(copy, &end, 10);
	return !errno && !*end;
}

int meta_yaml_int(const struct list *meta, const char *key, int64_t *ret)
{
	const struct meta_pair *pair = meta_yaml_find(meta, key);

	if (!pair || !pair->value)
		return 0;
	return read_int(pair->value, pair->size, ret) ? 1 : -1;
}

/* The next word of a line; its size, 0: none. */
static size_t word(const char **at, const char **ret)
{
	size_t size;

	*at += strspn(*at, " ");
	*ret = *at;
	size = strcspn(*at, " \r\n");
	*at += size;
	return size;
}

bool metric_line_read(const char *line, struct metric_line *ret)
{
	const char *at = line, *text;
	char copy[NUMBER_MAX];
	char *end;

	*ret = (struct metric_line){ .rest = "" };
	size_t size = word(&at, &text);
	if (!read_int(text, size, &ret->timestamp))
		return false;
	size = word(&at, &text);
	if (!size || size >= sizeof(copy))
		return false;
	memcpy(copy, text, size);
	copy[size] = '\0';
	ret->value = strtod(copy, &end);
	/* Python's float takes no hexadecimal. */
	if (*end || end == copy || strpbrk(copy, "xX"))
		return false;
	size = word(&at, &text);
	if (size && !read_int(text, size, &ret->step))
		return false;
	ret->rest = at + strspn(at, " ");
	return true;
}
