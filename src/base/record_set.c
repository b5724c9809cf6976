/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "record_impl.h"

const int64_t *box_int64(struct arena *a, int64_t v)
{
	return arena_memdup(a, &v, sizeof(v));
}

const double *box_double(struct arena *a, double v)
{
	return arena_memdup(a, &v, sizeof(v));
}

const bool *box_bool(struct arena *a, bool v)
{
	return arena_memdup(a, &v, sizeof(v));
}

void *list_add(struct arena *a, struct list *l, size_t *capacity, size_t element_size)
{
	if (l->count == *capacity) {
		size_t more = *capacity ? *capacity * 2 : 8;

		/* Elements below exist, so only the doubled size can overflow: past any limit. */
		l->items = arena_grow(a, l->items, *capacity * element_size, more * element_size);
		*capacity = more;
	}
	return (char *)l->items + l->count++ * element_size;
}

int record_enum(const struct field *f, const char *name, size_t n)
{
	for (int i = 0; n && f->names[i]; i++) {
		if (!strncmp(f->names[i], name, n) && !f->names[i][n])
			return i;
	}
	return -1;
}

const char *record_enum_number(const struct field *f, int64_t number)
{
	if (number < 0)
		return NULL;
	for (int i = 0; f->names[i]; i++) {
		if (i == number)
			return *f->names[i] ? f->names[i] : NULL;
	}
	return NULL;
}

bool record_absent(const struct field *f, const void *out)
{
	const void *member = (const char *)out + f->offset;
	const char *v;

	if (f->type == FIELD_LIST || f->type == FIELD_STRINGS)
		return !((const struct list *)member)->items;
	memcpy(&v, member, sizeof(v));
	return !v || (f->type == FIELD_STRING && !*v);
}

int record_check(struct ctx *c, const struct record *r, const void *out)
{
	for (const struct field *f = r->fields; f->name; f++) {
		if (f->flags & REQUIRED && record_absent(f, out))
			return fail(c, INVALID_PARAMETER_VALUE,
			            "Missing value for required parameter '%s'." RECORD_HINT,
			            f->name);
	}
	return 0;
}

static int wrong(struct ctx *c, const struct field *f, const char *value)
{
	return fail(c, INVALID_PARAMETER_VALUE,
	            "Invalid value %s for parameter '%s' supplied:  Hint: Value was of type 'str'."
	            RECORD_HINT, record_echo_string(c->arena, value), f->name);
}

/* Gathers one more text; the capacity follows from the count: 4, 8, 16, ... */
static void add_string(struct arena *a, struct list *l, const char *value)
{
	size_t capacity = 0;

	if (l->items) {
		for (capacity = 4; capacity < l->count; capacity *= 2)
			;
	} else {
		l->items = NEW_ARRAY(a, 4, const char *);
		capacity = 4;
	}
	*(const char **)list_add(a, l, &capacity, sizeof(value)) = value;
}

static int set_bool(struct ctx *c, const char *value, const void **ret)
{
	bool yes = !strcasecmp(value, "true");

	if (!yes && strcasecmp(value, "false") != 0)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Invalid boolean value: %s, must be 'true' or 'false'.", value);
	*ret = box_bool(c->arena, yes);
	return 0;
}

static int set_enum(struct ctx *c, const struct field *f, const char *value, const void **ret)
{
	int i = record_enum(f, value, strlen(value));
	int64_t number;

	if (i >= 0)
		*ret = f->names[i];
	else if (number_int64(value, strlen(value), &number) == NUMBER_OK)
		*ret = record_enum_number(f, number);
	else if (!(f->flags & REQUIRED))
		return 0;               /* MLflow ignores unknown names, not unknown numbers */
	return *ret ? 0 : wrong(c, f, value);
}

static int set_scalar(struct ctx *c, const struct field *f, const char *value, const void **ret)
{
	struct buf text = BUF(c->arena, LIMIT_BODY);
	int64_t integer;
	double real;

	switch (f->type) {
	case FIELD_STRING:
		*ret = value;
		return 0;
	case FIELD_INT64:
		if (number_int64(value, strlen(value), &integer) != NUMBER_OK)
			return wrong(c, f, value);
		*ret = box_int64(c->arena, integer);
		return 0;
	case FIELD_DOUBLE:
		if (number_double(value, strlen(value), &real) != NUMBER_OK)
			return wrong(c, f, value);
		*ret = box_double(c->arena, real);
		return 0;
	case FIELD_BOOL:
		return set_bool(c, value, ret);
	case FIELD_ENUM:
		return set_enum(c, f, value, ret);
	case FIELD_RAW:                 /* a query argument is a text, also as JSON */
		buf_add_json_string(&text, value);
		*ret = buf_text(&text);
		return 0;
	default:
		return wrong(c, f, value);
	}
}

int record_set(struct ctx *c, const struct record *r, const char *name, const char *value,
               void *out)
{
	const struct field *f = r->fields;
	const struct field *target = NULL;
	const void *v = NULL;

	for (; f->name; f++) {
		if (!(f->flags & ALIAS))
			target = f;
		if (!strcmp(f->name, name))
			break;
	}
	if (!f->name || !target)
		return 0;
	if (!utf8_valid(value, strlen(value)))
		return fail(c, INVALID_PARAMETER_VALUE, "Parameter '%s' is not valid UTF-8.",
		            f->name);
	if (target->type == FIELD_STRINGS) {
		add_string(c->arena, record_member(target, out), value);
		return 0;
	}
	if (target->type != FIELD_LIST)
		memcpy(&v, record_member(target, out), sizeof(v));
	if (v || (!*value && target->flags & REQUIRED))
		return 0;               /* the first one counts; "" is judged by record_check() */
	if (set_scalar(c, target, value, &v))
		return -1;
	memcpy(record_member(target, out), &v, sizeof(v));
	return 0;
}
