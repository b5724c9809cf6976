/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "source_marks.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ROWS_A_MARK = 500, NUMBER_MAX = 32 };

/* The group as text; false: it has none that could be a position. */
static bool group_of(const struct source_marks *m, const struct source_value *v, char *number, const char **text,
		     size_t *size)
{
	if (v->null || v->wrong)
		return false;
	if (source_tables[m->table].columns[0].type == SOURCE_INT) {
		*size = (size_t)snprintf(number, NUMBER_MAX, "%" PRId64, v->integer);
		*text = number;
		return true;
	}
	*text = v->text;
	*size = v->size;
	return v->size <= SOURCE_POSITION_MAX && !memchr(v->text, 0, v->size);
}

int source_marks_row(struct ctx *c, struct source_marks *m, const struct source_value *row)
{
	char number[NUMBER_MAX];
	const char *text;
	size_t size;
	bool known = group_of(m, row, number, &text, &size);

	if (m->known && known && size == m->size && !memcmp(text, m->group, size)) {
		m->rows++;
		return m->to->rows(c, m->to->arg, row, 1);
	}
	if (m->known && m->rows >= ROWS_A_MARK) {
		if (m->to->mark(c, m->to->arg, m->group))
			return -1;
		m->rows = 0;
	}
	m->known = known;
	if (known) {
		memcpy(m->group, text, size);
		m->group[size] = '\0';
		m->size = size;
	}
	m->rows++;
	return m->to->rows(c, m->to->arg, row, 1);
}
