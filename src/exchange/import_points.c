/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The history of metrics: most of what there is to import. Ids are found in memory, rows go to COPY sorted. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/id.h"
#include "import_impl.h"
#include "tuple.h"

enum { RUN_ID_SIZE = 32 };

/* ---- runs ---- */

static size_t uuid_slot(const struct import *m, const uint8_t uuid[16])
{
	uint64_t word;

	memcpy(&word, uuid + 8, sizeof(word));
	return (size_t)tuple_mix(word) & (m->run_slots_size - 1);
}

/* Index + 1; 0: none. */
static uint32_t find_run(const struct import *m, const uint8_t uuid[16])
{
	if (!m->run_slots_size)
		return 0;
	for (size_t at = uuid_slot(m, uuid);; at = (at + 1) & (m->run_slots_size - 1)) {
		uint32_t index = m->run_slots[at];
		if (!index || !memcmp(m->runs[index - 1].uuid, uuid, 16))
			return index;
	}
}

static int take_run(struct ctx *c, void *arg, const struct db_cell *cells)
{
	struct import *m = arg;
	char text[33];

	(void)c;
	if (m->run_count == m->run_capacity) {
		size_t capacity = m->run_capacity ? m->run_capacity * 2 : 1024;
		m->runs = arena_grow(m->memory, m->runs, m->run_capacity * sizeof(struct run),
				     capacity * sizeof(struct run));
		m->run_capacity = capacity;
	}
	struct run *r = &m->runs[m->run_count++];
	r->id = db_cell_int64(&cells[0]);
	memcpy(r->uuid, cells[1].data, 16);
	id_format_uuid(r->uuid, text);
	r->hash = tuple_text(text, RUN_ID_SIZE);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	int64_t x = ((const struct run *)a)->id;
	int64_t y = ((const struct run *)b)->id;

	return (x > y) - (x < y);
}

int import_load_runs(struct import *m)
{
	m->runs = NULL;
	m->run_count = m->run_capacity = m->run_slots_size = 0;
	m->keys = NULL;
	m->key_count = m->key_capacity = m->key_slots_size = 0;
	m->last_run_known = false;
	if (store_import_read_runs(m->c, m->id, take_run, m))
		return -1;
	if (m->run_count)
		qsort(m->runs, m->run_count, sizeof(struct run), by_id);
	size_t size = 16;
	while (size < m->run_count * 2)
		size *= 2;
	m->run_slots = NEW_ARRAY(m->memory, size, uint32_t);
	m->run_slots_size = size;
	for (size_t i = 0; i < m->run_count; i++) {
		size_t at = uuid_slot(m, m->runs[i].uuid);
		while (m->run_slots[at])
			at = (at + 1) & (size - 1);
		m->run_slots[at] = (uint32_t)i + 1;
	}
	return 0;
}

/* ---- keys ---- */

static size_t key_slot(const struct import *m, const char *raw, size_t size)
{
	return (size_t)tuple_text(raw, size) & (m->key_slots_size - 1);
}

static void grow_keys(struct import *m)
{
	size_t capacity = m->key_capacity ? m->key_capacity * 2 : 256;

	m->keys = arena_grow(m->memory, m->keys, m->key_capacity * sizeof(struct key), capacity * sizeof(struct key));
	m->key_capacity = capacity;
	m->key_slots_size = capacity * 2;
	m->key_slots = NEW_ARRAY(m->memory, m->key_slots_size, uint32_t);
	for (size_t i = 0; i < m->key_count; i++) {
		size_t at = key_slot(m, m->keys[i].raw, m->keys[i].size);
		while (m->key_slots[at])
			at = (at + 1) & (m->key_slots_size - 1);
		m->key_slots[at] = (uint32_t)i + 1;
	}
}

/* The key's index, remembered. *repaired: it is no valid text. */
static uint32_t find_key(struct import *m, const char *raw, size_t size, bool *repaired)
{
	if (m->key_count == m->key_capacity)
		grow_keys(m);
	size_t at = key_slot(m, raw, size);
	for (; m->key_slots[at]; at = (at + 1) & (m->key_slots_size - 1)) {
		const struct key *k = &m->keys[m->key_slots[at] - 1];
		if (k->size == size && !memcmp(k->raw, raw, size)) {
			*repaired = strlen(k->name) != size || memcmp(k->name, raw, size) != 0;
			return m->key_slots[at] - 1;
		}
	}
	struct clean clean = { .arena = m->memory };
	struct key *k = &m->keys[m->key_count];
	*k = (struct key){ .raw = arena_memdup(m->memory, raw, size), .size = size };
	k->name = clean_text(&clean, raw, size);
	k->hash = tuple_text(k->name, strlen(k->name));
	*repaired = clean.utf8;
	m->key_slots[at] = (uint32_t)m->key_count + 1;
	return (uint32_t)m->key_count++;
}

/* ---- rows ---- */

static void refuse(struct import *m, const struct source_value *row, enum import_issue_kind why)
{
	struct issue *i = &m->issues[m->table][why];

	import_issue(m, why, 1, i->examples < EXAMPLES ? clean_label(m->batch, m->table, row) : NULL);
}

/* Rows come run by run: only the first of a run is looked up. False: *why. */
static bool run_of(struct import *m, const struct source_value *v, uint32_t *index, enum import_issue_kind *why)
{
	char text[RUN_ID_SIZE + 1];
	uint8_t uuid[16];

	*why = v->null ? IMPORT_ISSUE_MISSING : v->wrong ? IMPORT_ISSUE_RANGE : IMPORT_ISSUE_RUN_ID;
	if (v->null || v->wrong || v->size != RUN_ID_SIZE)
		return false;
	if (!m->last_run_known || memcmp(m->last_run, v->text, RUN_ID_SIZE) != 0) {
		memcpy(text, v->text, RUN_ID_SIZE);
		text[RUN_ID_SIZE] = '\0';
		if (!id_parse_uuid(text, uuid))
			return false;
		memcpy(m->last_run, text, RUN_ID_SIZE);
		m->last_run_known = true;
		m->last_run_index = find_run(m, uuid);
	}
	*why = IMPORT_ISSUE_ORPHAN;
	*index = m->last_run_index - 1;
	return m->last_run_index > 0;
}

static uint64_t point_hash(const struct import *m, const struct point *p)
{
	uint64_t hash = tuple_add((uint64_t)SOURCE_METRICS, m->runs[p->run].hash);

	hash = tuple_add(hash, m->keys[p->key].hash);
	hash = tuple_add(hash, tuple_real(p->value));
	hash = tuple_add(hash, tuple_int(p->timestamp));
	hash = tuple_add(hash, tuple_int(p->step));
	return tuple_add(hash, tuple_int(0));
}

static bool value_of(struct clean *k, const struct source_value *row, double *ret, enum import_issue_kind *why)
{
	const struct source_value *v = &row[METRICS_VALUE];
	const struct source_value *is_nan = &row[METRICS_IS_NAN];

	*ret = (double)NAN;
	if (!is_nan->null && !is_nan->wrong && is_nan->boolean)
		return true;
	*why = v->null ? IMPORT_ISSUE_MISSING : IMPORT_ISSUE_RANGE;
	if (v->null || v->wrong || is_nan->wrong)
		return false;
	*ret = clean_real(k, v->real);
	return true;
}

int import_take_point(struct import *m, const struct source_value *row)
{
	struct clean k = { .arena = m->batch };
	const struct source_value *key = &row[METRICS_KEY];
	enum import_issue_kind why;
	struct point p;
	bool repaired;

	if (!run_of(m, &row[METRICS_RUN], &p.run, &why) || !value_of(&k, row, &p.value, &why)) {
		refuse(m, row, why);
		return 0;
	}
	if (key->null || key->wrong || row[METRICS_TIMESTAMP].wrong || row[METRICS_STEP].wrong) {
		refuse(m, row, key->null ? IMPORT_ISSUE_MISSING : IMPORT_ISSUE_RANGE);
		return 0;
	}
	p.key = find_key(m, key->text, key->size, &repaired);
	p.timestamp = row[METRICS_TIMESTAMP].null ? 0 : row[METRICS_TIMESTAMP].integer;
	p.step = row[METRICS_STEP].null ? 0 : row[METRICS_STEP].integer;
	if (repaired)
		import_issue(m, IMPORT_ISSUE_UTF8, 1, clean_label(m->batch, m->table, row));
	if (k.infinite)
		import_issue(m, IMPORT_ISSUE_INFINITE, 1, clean_label(m->batch, m->table, row));
	if (m->rows == m->points_capacity) {
		size_t capacity = m->points_capacity ? m->points_capacity * 2 : BATCH_POINTS + BATCH_POINTS / 2;
		m->points = arena_grow(m->batch, m->points, m->points_capacity * sizeof(p), capacity * sizeof(p));
		m->points_capacity = capacity;
	}
	m->points[m->rows++] = p;
	m->checksum += point_hash(m, &p);
	return 0;
}

/* ---- writing ---- */

struct sorted {
	struct import_point point;
	uint32_t key;                   /* its index */
};

static int compare_values(double a, double b)
{
	bool x = isnan(a), y = isnan(b);

	return x || y ? x - y : (a > b) - (a < b);
}

/* As the index: NaN behind all, and the zeros are the same. */
static int by_place(const void *a, const void *b)
{
	const struct import_point *x = &((const struct sorted *)a)->point;
	const struct import_point *y = &((const struct sorted *)b)->point;

	if (x->run_id != y->run_id)
		return x->run_id < y->run_id ? -1 : 1;
	if (x->key_id != y->key_id)
		return x->key_id < y->key_id ? -1 : 1;
	if (x->timestamp != y->timestamp)
		return x->timestamp < y->timestamp ? -1 : 1;
	if (x->step != y->step)
		return x->step < y->step ? -1 : 1;
	return compare_values(x->value, y->value);
}

/* The ids of keys that are new; outside of a transaction. */
static int resolve_keys(struct import *m, struct ctx *work)
{
	const char **names = NEW_ARRAY(work->arena, m->key_count + 1, const char *);
	int32_t *ids = NEW_ARRAY(work->arena, m->key_count + 1, int32_t);
	size_t count = 0;

	for (size_t i = 0; i < m->key_count; i++) {
		if (!m->keys[i].id)
			names[count++] = m->keys[i].name;
	}
	if (!count)
		return 0;
	if (store_import_keys(work, names, count, ids))
		return -1;
	count = 0;
	for (size_t i = 0; i < m->key_count; i++) {
		if (!m->keys[i].id)
			m->keys[i].id = ids[count++];
	}
	return 0;
}

struct writing {
	struct import *m;
	const char *position;
	bool done;
	const struct import_point *points;
	size_t count;
	int64_t written;
	struct import_table_report after;
};

/* Sorted, repeats taken out (and off the checksum). */
static void sort_points(struct writing *w, struct ctx *work)
{
	struct import *m = w->m;
	struct sorted *sorted = NEW_ARRAY(work->arena, m->rows + 1, struct sorted);
	struct import_point *points = NEW_ARRAY(work->arena, m->rows + 1, struct import_point);

	for (size_t i = 0; i < m->rows; i++) {
		const struct point *p = &m->points[i];
		sorted[i] = (struct sorted){
			{ m->runs[p->run].id, p->timestamp, p->step, p->value, m->keys[p->key].id }, p->key };
	}
	qsort(sorted, m->rows, sizeof(*sorted), by_place);
	for (size_t i = 0; i < m->rows; i++) {
		if (!i || by_place(&sorted[i - 1], &sorted[i])) {
			points[w->count++] = sorted[i].point;
			continue;
		}
		const struct import_point *p = &sorted[i].point;
		const struct run *run = bsearch(&(struct run){ .id = p->run_id }, m->runs, m->run_count,
						sizeof(struct run), by_id);
		struct point repeated = { (uint32_t)(run - m->runs), sorted[i].key, p->timestamp, p->step, p->value };
		m->checksum -= point_hash(m, &repeated);
	}
	w->points = points;
	w->after = m->report->tables[m->table];
	w->after.checksum += m->checksum;
}

static int write_points(struct ctx *c, void *arg)
{
	struct writing *w = arg;
	struct import_table_report t = w->after;

	w->written = 0;
	if (w->count && store_import_points(c, w->points, w->count, &w->written))
		return -1;
	t.written += w->written;
	t.present += (int64_t)w->count - w->written;
	if (w->position || w->done)
		import_save(w->m, c, w->position, w->done, &t);
	return db_flush(c);
}

int import_flush_points(struct import *m, const char *position, bool done)
{
	struct writing w = { .m = m, .position = position, .done = done };
	struct ctx work = import_work(m);

	if (import_worked(m, &work, resolve_keys(m, &work)))
		return -1;
	sort_points(&w, &work);
	if (w.count < m->rows)
		import_issue(m, IMPORT_ISSUE_REPEATED, (int64_t)(m->rows - w.count), NULL);
	if (import_worked(m, &work, tx_run(&work, write_points, &w)))
		return -1;
	w.after.written += w.written;
	w.after.present += (int64_t)w.count - w.written;
	m->report->tables[m->table] = w.after;
	return 0;
}
