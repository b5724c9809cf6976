/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "record_impl.h"

static void write_list(struct buf *to, const struct field *f, const struct list *l)
{
	const char *item = l->items;

	buf_addc(to, '[');
	for (size_t i = 0; i < l->count; i++) {
		if (i)
			buf_addc(to, ',');
		if (f->type == FIELD_LIST)
			record_write(to, f->record, item + i * f->record->size);
		else
			buf_add_json_string(to, LIST_AT(const char *, l, i)[0]);
	}
	buf_addc(to, ']');
}

static void write_value(struct buf *to, const struct field *f, const void *v)
{
	switch (f->type) {
	case FIELD_STRING:
	case FIELD_ENUM:
		buf_add_json_string(to, v);
		break;
	case FIELD_INT64:
		buf_add_int64(to, *(const int64_t *)v);
		break;
	case FIELD_DOUBLE:
		buf_add_json_double(to, *(const double *)v);
		break;
	case FIELD_BOOL:
		buf_add(to, *(const bool *)v ? "true" : "false");
		break;
	case FIELD_OBJECT:
		record_write(to, f->record, v);
		break;
	case FIELD_LIST:
	case FIELD_STRINGS:
		write_list(to, f, v);
		break;
	case FIELD_RAW:
		buf_add(to, v);
		break;
	}
}

static void write_name(struct buf *to, const char *name, bool first)
{
	size_t n = strlen(name);
	char *p = buf_room(to, n + 4);

	if (!p)
		return;
	if (!first)
		*p++ = ',';
	*p++ = '"';
	memcpy(p, name, n);
	memcpy(p + n, "\":", 2);
	buf_took(to, p + n + 2);
}

void record_write(struct buf *to, const struct record *r, const void *in)
{
	bool first = true;
	char *whole = NULL;

	if (r->fields->flags & WHOLE) /* it is the first of the table then */
		memcpy(&whole, (const char *)in + r->fields->offset, sizeof(whole));
	if (whole && !to->data) {
		buf_adopt(to, whole, strlen(whole));
		return;
	}
	if (whole) {
		buf_add(to, whole);
		return;
	}
	buf_addc(to, '{');
	for (const struct field *f = r->fields; f->name; f++) {
		const void *member = (const char *)in + f->offset;
		const void *v = member;

		if (f->flags & (ALIAS | INPUT_ONLY | WHOLE))
			continue;
		if (f->type == FIELD_LIST || f->type == FIELD_STRINGS) {
			if (!((const struct list *)member)->count)
				continue;
		} else {
			memcpy(&v, member, sizeof(v));
			if (!v)
				continue;
		}
		write_name(to, f->name, first);
		first = false;
		write_value(to, f, v);
	}
	buf_addc(to, '}');
}
