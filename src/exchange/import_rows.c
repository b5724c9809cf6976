/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Rows of every table but the metrics: cleaned, kept, written in batches. */
#include <string.h>

#include "base/arena.h"
#include "import_impl.h"
#include "tuple.h"

static void refuse(struct import *m, const struct source_value *row, enum import_issue_kind why)
{
	struct issue *i = &m->issues[m->table][why];

	import_issue(m, why, 1, i->examples < EXAMPLES ? clean_label(m->batch, m->table, row) : NULL);
}

/* NaN by name, as MLflow stores it. */
static struct source_value unfolded(enum source_table t, const struct source_value *row, unsigned i)
{
	struct source_value v = row[i];

	if (t != SOURCE_LATEST || row[LATEST_IS_NAN].null || row[LATEST_IS_NAN].wrong || !row[LATEST_IS_NAN].boolean)
		return v;
	if (i == LATEST_VALUE) {
		v.null = v.wrong = false;
		v.real = (double)NAN;
	}
	if (i == LATEST_IS_NAN)
		v.boolean = false;
	return v;
}

static struct db_arg *make_room(struct import *m)
{
	if (m->rows == m->capacity) {
		size_t capacity = m->capacity ? m->capacity * 2 : 1024;
		m->values = arena_grow(m->batch, m->values, m->capacity * m->columns * sizeof(struct db_arg),
				       capacity * m->columns * sizeof(struct db_arg));
		m->capacity = capacity;
	}
	return m->values + m->rows * m->columns;
}

int import_take_row(struct import *m, const struct source_value *row)
{
	const struct source_table_info *table = &source_tables[m->table];
	struct clean k = { .arena = m->batch };
	unsigned count = source_columns(m->table);
	struct db_arg *to;
	uint64_t hash = (uint64_t)m->table;

	m->columns = count + 2;
	to = make_room(m);
	for (unsigned i = 0; i < count; i++) {
		struct source_value v = unfolded(m->table, row, i);
		enum import_issue_kind why;
		uint64_t cell;

		if (clean_value(&k, &table->columns[i], &v, &to[i], &cell, &why)) {
			refuse(m, row, why);
			return 0;
		}
		hash = tuple_add(hash, cell);
	}
	if (k.utf8)
		import_issue(m, IMPORT_ISSUE_UTF8, 1, clean_label(m->batch, m->table, row));
	if (k.infinite)
		import_issue(m, IMPORT_ISSUE_INFINITE, 1, clean_label(m->batch, m->table, row));
	to[count] = BIGINT((int64_t)hash);
	to[count + 1] = BIGINT((int64_t)m->rows);
	m->checksum += hash;
	m->rows++;
	return 0;
}

/* ---- writing ---- */

struct writing {
	struct import *m;
	const char *position;
	bool done;
	struct import_outcome outcome;
	struct import_table_report after;
	struct issue before[IMPORT_ISSUE_KINDS];
};

static uint64_t sum_of(const struct list *dropped)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < dropped->count; i++)
		sum += (uint64_t)*LIST_AT(struct import_dropped, dropped, i)->hash;
	return sum;
}

static void count_dropped(struct import *m, enum import_issue_kind kind, const struct list *dropped)
{
	for (size_t i = 0; i < dropped->count; i++)
		import_issue(m, kind, 1, LIST_AT(struct import_dropped, dropped, i)->label);
}

static int refuse_conflicts(struct ctx *c, const struct import *m, const struct list *conflicts)
{
	if (!conflicts->count || m->o->skip_conflicts)
		return 0;
	return fail(c, RESOURCE_ALREADY_EXISTS,
		    "%zu rows of %s are here already with other content, for one %s. --on-conflict skip keeps those that "
		    "are here, with all that belongs to them.",
		    conflicts->count, source_tables[m->table].name,
		    LIST_AT(struct import_dropped, conflicts, 0)->label);
}

static int write_rows(struct ctx *c, void *arg)
{
	struct writing *w = arg;
	struct import *m = w->m;
	struct import_outcome *o = &w->outcome;

	/* A transaction may be tried twice. */
	w->after = m->report->tables[m->table];
	memcpy(m->issues[m->table], w->before, sizeof(w->before));
	*o = (struct import_outcome){ 0 };
	if (m->rows) {
		if (store_import_rows(c, m->id, (enum import_table)m->table, m->values, m->rows, o) ||
		    refuse_conflicts(c, m, &o->conflicts))
			return -1;
		w->after.written += o->written;
		w->after.present += o->present;
		w->after.checksum +=
			m->checksum - sum_of(&o->orphans) - sum_of(&o->repeats) - sum_of(&o->conflicts);
		count_dropped(m, IMPORT_ISSUE_ORPHAN, &o->orphans);
		count_dropped(m, IMPORT_ISSUE_REPEATED, &o->repeats);
		count_dropped(m, IMPORT_ISSUE_CONFLICT, &o->conflicts);
	}
	return 0;
}

static int write_and_save(struct ctx *c, void *arg)
{
	struct writing *w = arg;

	if (write_rows(c, w))
		return -1;
	if (w->position || w->done)
		import_save(w->m, c, w->position, w->done, &w->after);
	return db_flush(c);
}

int import_flush_rows(struct import *m, const char *position, bool done)
{
	struct writing w = { .m = m, .position = position, .done = done };
	struct ctx work = import_work(m);

	memcpy(w.before, m->issues[m->table], sizeof(w.before));
	if (import_worked(m, &work, tx_run(&work, write_and_save, &w)))
		return -1;
	m->report->tables[m->table] = w.after;
	return 0;
}
