/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* copy_out — many rows out of the database, streamed: binary COPY (SELECT ...) TO STDOUT. */
#ifndef DB_COPY_OUT_H
#define DB_COPY_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db/db.h"

struct db_cell {
	const char *data;               /* in PostgreSQL's binary form, not NUL-terminated */
	int size;                       /* -1: NULL */
};

/*
 * Calls row() for each row; its cells are valid until it returns, and it must not use c->db. -1 from it ends the
 * copy, with the connection. copy_sql: COPY ... TO STDOUT (FORMAT binary) with `columns` columns, at most
 * DB_CELLS_MAX.
 */
int db_copy_out(struct ctx *c, const char *copy_sql, unsigned columns,
		int (*row)(struct ctx *c, void *arg, const struct db_cell *cells), void *arg) MUST_CHECK;

enum { DB_CELLS_MAX = 64 };

int64_t db_cell_int64(const struct db_cell *cell);
int32_t db_cell_int32(const struct db_cell *cell);
double db_cell_double(const struct db_cell *cell);
bool db_cell_bool(const struct db_cell *cell);

#endif
