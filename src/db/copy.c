/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Binary COPY ... FROM STDIN. Not possible in pipeline mode, so the connection leaves it for a
 * while. */

#include <assert.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "internal.h"

enum { CHUNK = 64 << 10 };

static int send_chunk(struct ctx *c, struct db *db, const char *data, size_t size)
{
	int sent = PQputCopyData(db->conn, data, (int)size);

	/* No room: there is some once all is sent, or there is no memory. */
	if (sent == 0 && pipeline_send(db) == 0)
		sent = PQputCopyData(db->conn, data, (int)size);
	/* libpq would keep all of it in memory while the server is slower than we are. */
	return sent > 0 && pipeline_send(db) == 0 ? 0 : error_lost(c, db);
}

/* Room in the chunk for `need` more bytes, by sending what it holds or, for one huge row, by
 * growing. */
static int make_room(struct ctx *c, struct buf *chunk, size_t need)
{
	if (chunk->size > 0 && chunk->size + need > chunk->capacity) {
		if (send_chunk(c, c->db, chunk->data, chunk->size))
			return -1;
		chunk->size = 0;
	}
	if (need > chunk->capacity) {
		chunk->data = arena_alloc(c->arena, need);
		chunk->capacity = need;
	}
	return 0;
}

static size_t row_size(const struct db_arg *row, size_t columns)
{
	size_t size = 2;

	for (size_t i = 0; i < columns; i++)
		size += 4 + (encode_null(&row[i]) ? 0 : encode_size(&row[i]));
	return size;
}

static char *write_row(char *to, const struct db_arg *row, size_t n)
{
	to = encode_int16(to, (int16_t)n);
	for (size_t i = 0; i < n; i++) {
		if (encode_null(&row[i])) {
			to = encode_int32(to, -1);
			continue;
		}
		to = encode_int32(to, (int32_t)encode_size(&row[i]));
		to = encode_write(to, &row[i]);
	}
	return to;
}

static int send_rows(struct ctx *c, const char *columns, const struct db_arg *values, size_t rows)
{
	static const char header[19] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0";
	size_t n = strlen(columns);
	struct buf chunk = { .data = arena_alloc(c->arena, CHUNK), .capacity = CHUNK };

	memcpy(chunk.data, header, sizeof(header));
	chunk.size = sizeof(header);
	for (size_t i = 0; i < rows; i++) {
		const struct db_arg *row = values + i * n;
		size_t need;

		for (size_t k = 0; k < n; k++)
			assert(row[k].type == columns[k]);
		need = row_size(row, n);
		if (make_room(c, &chunk, need))
			return -1;
		write_row(chunk.data + chunk.size, row, n);
		chunk.size += need;
	}
	if (make_room(c, &chunk, 2))
		return -1;
	encode_int16(chunk.data + chunk.size, -1);
	chunk.size += 2;
	return send_chunk(c, c->db, chunk.data, chunk.size);
}

static int end_copy(struct ctx *c, struct db *db)
{
	int sent = PQputCopyEnd(db->conn, NULL);

	if (sent == 0 && pipeline_send(db) == 0)
		sent = PQputCopyEnd(db->conn, NULL);
	return sent > 0 ? 0 : error_lost(c, db);
}

/* Reads to the end of the command; what an error left in the middle of is lost with the connection.
 */
static int read_end(struct ctx *c, struct db *db)
{
	int result = 0;

	while ((db->result = pipeline_result(db))) {
		ExecStatusType status = PQresultStatus(db->result);

		if (status == PGRES_FATAL_ERROR)
			result = error_result(c, db, db->result);
		else if (status != PGRES_COMMAND_OK)
			db->broken = true;
		result_forget(db);
		if (db->broken)
			break;
	}
	if (db->broken || PQstatus(db->conn) == CONNECTION_BAD)
		return error_lost(c, db);
	return result;
}

static int copy(struct ctx *c, const char *copy_sql, const char *columns,
		const struct db_arg *values, size_t rows)
{
	struct db *db = c->db;

	if (!PQsendQuery(db->conn, copy_sql))
		return error_lost(c, db);
	db->result = pipeline_result(db);
	if (!db->result)
		return error_lost(c, db);
	if (PQresultStatus(db->result) != PGRES_COPY_IN) {
		int result = error_result(c, db, db->result);

		result_forget(db);
		return read_end(c, db) ? -1 : result;
	}
	result_forget(db);
	if (send_rows(c, columns, values, rows) || end_copy(c, db))
		return -1;
	return read_end(c, db);
}

int db_copy(struct ctx *c, const char *copy_sql, const char *columns, const struct db_arg *values,
	    size_t rows)
{
	struct db *db = c->db;
	int result;

	assert(db->in_tx && *columns);
	if (db_flush(c))
		return -1;
	*db->sqlstate = *db->constraint = '\0';
	if (db->broken)
		return error_lost(c, db);
	if (pipeline_leave(c, db))
		return -1;
	result = copy(c, copy_sql, columns, values, rows);
	if (!db->broken && pipeline_enter(c, db))
		return -1;
	return result;
}
