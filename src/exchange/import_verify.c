/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Reads back what belongs to the import, in one moment, and sums it up as it was summed up on the way in. */
#include <stdlib.h>

#include "base/arena.h"
#include "import_impl.h"
#include "tuple.h"

struct reading {
	struct import *m;
	enum source_table table;
	enum source_type types[SOURCE_COLUMNS_MAX];
	unsigned columns;
	int64_t rows;
	uint64_t checksum;
	uint64_t *keys;                 /* hashes by id */
	size_t key_capacity;
};

static uint64_t cell_hash(enum source_type type, const struct db_cell *cell)
{
	if (cell->size < 0)
		return tuple_null();
	switch (type) {
	case SOURCE_TEXT:
		return tuple_text(cell->data, (size_t)cell->size);
	case SOURCE_INT:
		return tuple_int(db_cell_int64(cell));
	case SOURCE_REAL:
		return tuple_real(db_cell_double(cell));
	case SOURCE_BOOL:
		return tuple_int(db_cell_bool(cell));
	}
	return 0;
}

static int add_row(struct ctx *c, void *arg, const struct db_cell *cells)
{
	struct reading *r = arg;
	uint64_t hash = (uint64_t)r->table;

	(void)c;
	for (unsigned i = 0; i < r->columns; i++)
		hash = tuple_add(hash, cell_hash(r->types[i], &cells[i]));
	r->checksum += hash;
	r->rows++;
	return 0;
}

static int add_key(struct ctx *c, void *arg, const struct db_cell *cells)
{
	struct reading *r = arg;
	size_t id = (size_t)db_cell_int32(&cells[0]);

	(void)c;
	if (id >= r->key_capacity) {
		size_t capacity = r->key_capacity ? r->key_capacity : 1024;
		while (capacity <= id)
			capacity *= 2;
		r->keys = arena_grow(r->m->memory, r->keys, r->key_capacity * sizeof(uint64_t),
				     capacity * sizeof(uint64_t));
		r->key_capacity = capacity;
	}
	r->keys[id] = tuple_text(cells[1].data, (size_t)cells[1].size);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a;
	int64_t y = ((const struct run *)b)->id;

	return (x > y) - (x < y);
}

static int add_point(struct ctx *c, void *arg, const struct db_cell *cells)
{
	struct reading *r = arg;
	struct import *m = r->m;
	int64_t id = db_cell_int64(&cells[0]);
	size_t key = (size_t)db_cell_int32(&cells[1]);

	(void)c;
	if (!m->last_run_known || m->runs[m->last_run_index].id != id) {
		const struct run *run = bsearch(&id, m->runs, m->run_count, sizeof(struct run), by_id);
		if (!run)
			return 0;
		m->last_run_index = (uint32_t)(run - m->runs);
		m->last_run_known = true;
	}
	uint64_t hash = tuple_add((uint64_t)SOURCE_METRICS, m->runs[m->last_run_index].hash);
	hash = tuple_add(hash, key < r->key_capacity ? r->keys[key] : 0);
	hash = tuple_add(hash, tuple_real(db_cell_double(&cells[2])));
	hash = tuple_add(hash, tuple_int(db_cell_int64(&cells[3])));
	hash = tuple_add(hash, tuple_int(db_cell_int64(&cells[4])));
	r->checksum += tuple_add(hash, tuple_int(0));
	r->rows++;
	return 0;
}

static int read_points(struct import *m, struct ctx *c, struct reading *r)
{
	arena_reset(m->memory);
	if (import_load_runs(m) || store_import_read_keys(c, add_key, r))
		return -1;
	m->last_run_known = false;
	return store_import_read_points(c, m->id, add_point, r);
}

static int verify_table(struct import *m, enum source_table t)
{
	struct reading r = { .m = m, .table = t, .columns = source_columns(t) };
	struct import_table_report *table = &m->report->tables[t];
	struct ctx work = import_work(m);

	for (unsigned i = 0; i < r.columns; i++)
		r.types[i] = source_tables[t].columns[i].type;
	int result = t == SOURCE_METRICS ? read_points(m, &work, &r)
					 : store_import_read(&work, m->id, (enum import_table)t, add_row, &r);
	if (import_worked(m, &work, result))
		return -1;
	arena_reset(m->batch);
	table->target_rows = r.rows;
	table->target_checksum = r.checksum;
	bool whole = table->expected < 0 || table->expected == table->read;
	table->agrees = whole && r.rows == table->written + table->present && r.checksum == table->checksum;
	return 0;
}

int import_verify(struct import *m)
{
	m->report->agrees = true;
	for (int t = 0; t < SOURCE_TABLES; t++) {
		if (verify_table(m, (enum source_table)t))
			return -1;
		m->report->agrees = m->report->agrees && m->report->tables[t].agrees;
	}
	m->report->verified = true;
	return 0;
}
