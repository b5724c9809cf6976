/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Binary COPY ... TO STDOUT, outside of the pipeline as copy.c. */

#include "db/copy_out.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "internal.h"

enum { SIGNATURE = 11, HEADER = 19 };

struct copy_out {
	unsigned columns;
	int (*row)(struct ctx *c, void *arg, const struct db_cell *cells);
	void *arg;
	bool begun;
};

static int16_t int16_at(const char *data)
{
	uint16_t v;

	memcpy(&v, data, sizeof(v));
	return (int16_t)be16toh(v);
}

static int32_t int32_at(const char *data)
{
	uint32_t v;

	memcpy(&v, data, sizeof(v));
	return (int32_t)be32toh(v);
}

static int64_t int64_at(const char *data)
{
	uint64_t v;

	memcpy(&v, data, sizeof(v));
	return (int64_t)be64toh(v);
}

int64_t db_cell_int64(const struct db_cell *cell)
{
	assert(cell->size == 8);
	return int64_at(cell->data);
}

int32_t db_cell_int32(const struct db_cell *cell)
{
	assert(cell->size == 4);
	return int32_at(cell->data);
}

double db_cell_double(const struct db_cell *cell)
{
	int64_t bits = db_cell_int64(cell);
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

bool db_cell_bool(const struct db_cell *cell)
{
	assert(cell->size == 1);
	return *cell->data != 0;
}

static int garbled(struct ctx *c)
{
	return fail(c, INTERNAL_ERROR, "The database's COPY stream is garbled.");
}

/* One row a message, as the server has sent it since protocol 3; the header comes with the first. */
static int take_row(struct ctx *c, struct copy_out *o, const char *data, size_t size)
{
	struct db_cell cells[DB_CELLS_MAX];
	const char *end = data + size;

	if (!o->begun) {
		if (size < HEADER || memcmp(data, "PGCOPY\n\377\r\n\0", SIGNATURE) != 0)
			return garbled(c);
		int32_t extension = int32_at(data + 15);
		if (extension < 0 || (size_t)extension > size - HEADER)
			return garbled(c);
		data += HEADER + extension;
		o->begun = true;
		if (data == end)
			return 0;
	}
	if (end - data < 2)
		return garbled(c);
	int16_t count = int16_at(data);
	data += 2;
	if (count == -1)
		return 0;
	if (count < 0 || (unsigned)count != o->columns)
		return garbled(c);
	for (unsigned i = 0; i < o->columns; i++) {
		if (end - data < 4)
			return garbled(c);
		cells[i].size = int32_at(data);
		cells[i].data = data += 4;
		if (cells[i].size > end - data)
			return garbled(c);
		if (cells[i].size > 0)
			data += cells[i].size;
	}
	return o->row(c, o->arg, cells);
}

static int take_rows(struct ctx *c, struct db *db, struct copy_out *o)
{
	for (;;) {
		char *data = NULL;
		int size = PQgetCopyData(db->conn, &data, 1);

		if (size == 0) {
			if (pipeline_wait(db))
				return error_lost(c, db);
			continue;
		}
		if (size < 0)
			return size == -1 ? 0 : -1;
		int failed = take_row(c, o, data, (size_t)size);
		PQfreemem(data);
		if (failed) {
			db->broken = true;      /* the rest is not worth reading */
			return -1;
		}
	}
}

/* The command's end, and the error of one that broke off. */
static int read_end(struct ctx *c, struct db *db)
{
	int result = 0;

	while ((db->result = pipeline_result(db))) {
		if (PQresultStatus(db->result) == PGRES_FATAL_ERROR)
			result = error_result(c, db, db->result);
		result_forget(db);
		if (db->broken)
			break;
	}
	if (db->broken || PQstatus(db->conn) == CONNECTION_BAD)
		return error_lost(c, db);
	return result;
}

static int copy_out(struct ctx *c, const char *copy_sql, struct copy_out *o)
{
	struct db *db = c->db;

	if (!PQsendQuery(db->conn, copy_sql))
		return error_lost(c, db);
	db->result = pipeline_result(db);
	if (!db->result)
		return error_lost(c, db);
	ExecStatusType status = PQresultStatus(db->result);
	int result = status == PGRES_COPY_OUT ? 0 : error_result(c, db, db->result);
	result_forget(db);
	if (status == PGRES_COPY_OUT)
		result = take_rows(c, db, o);
	if (db->broken)
		return -1;
	return read_end(c, db) || result ? -1 : 0;
}

int db_copy_out(struct ctx *c, const char *copy_sql, unsigned columns,
		int (*row)(struct ctx *c, void *arg, const struct db_cell *cells), void *arg)
{
	struct copy_out o = { .columns = columns, .row = row, .arg = arg };
	struct db *db = c->db;

	assert(columns <= DB_CELLS_MAX);
	if (db_flush(c))
		return -1;
	*db->sqlstate = *db->constraint = '\0';
	if (db->broken)
		return error_lost(c, db);
	if (pipeline_leave(c, db))
		return -1;
	int result = copy_out(c, copy_sql, &o);
	if (!db->broken && pipeline_enter(c, db))
		return -1;
	return result;
}
