/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "emit.h"

#include <string.h>

#include "base/arena.h"

enum { ROWS = 512, GROUPS = 1000, TEXTS = 8 << 20 };

void emit_open(struct emit *e, struct ctx *c, enum source_table table, const struct source_sink *to,
	       struct arena *texts)
{
	*e = (struct emit){
		.c = c, .to = to, .columns = source_columns(table), .texts = texts
	};
	e->values = NEW_ARRAY(c->arena, (size_t)ROWS * e->columns, struct source_value);
}

int emit_flush(struct emit *e)
{
	int failed = e->rows ? e->to->rows(e->c, e->to->arg, e->values, e->rows) : 0;

	e->rows = 0;
	arena_reset(e->texts);
	return failed;
}

struct source_value *emit_row(struct emit *e)
{
	if ((e->rows == ROWS || arena_used(e->texts) > TEXTS) && emit_flush(e))
		return NULL;
	struct source_value *row = &e->values[e->rows++ * e->columns];
	for (unsigned i = 0; i < e->columns; i++)
		row[i] = (struct source_value){ .null = true };
	return row;
}

static struct source_value *value(struct emit *e, unsigned column)
{
	struct source_value *v = &e->values[(e->rows - 1) * e->columns + column];

	*v = (struct source_value){ 0 };
	return v;
}

void emit_bytes(struct emit *e, unsigned column, const char *text, size_t size)
{
	struct source_value *v = value(e, column);

	v->text = arena_memdup(e->texts, text, size);
	v->size = size;
}

void emit_text(struct emit *e, unsigned column, const char *text)
{
	if (text)
		emit_bytes(e, column, text, strlen(text));
}

void emit_int(struct emit *e, unsigned column, int64_t v)
{
	value(e, column)->integer = v;
}

void emit_real(struct emit *e, unsigned column, double v)
{
	value(e, column)->real = v;
}

void emit_bool(struct emit *e, unsigned column, bool v)
{
	value(e, column)->boolean = v;
}

void emit_wrong(struct emit *e, unsigned column)
{
	value(e, column)->wrong = true;
}

int emit_compare(const char *a, const char *b, bool numbers)
{
	size_t x = strlen(a), y = strlen(b);
	bool number_a = strspn(a, "0123456789") == x, number_b = strspn(b, "0123456789") == y;

	if (!numbers)
		return strcmp(a, b);
	if (number_a != number_b)
		return number_a ? -1 : 1;
	if (number_a && x != y)
		return x < y ? -1 : 1;
	return strcmp(a, b);
}

int emit_group(struct emit *e, const char *position)
{
	if (++e->groups < GROUPS && e->rows < ROWS / 2)
		return 0;
	e->groups = 0;
	return emit_flush(e) || e->to->mark(e->c, e->to->arg, position) ? -1 : 0;
}
