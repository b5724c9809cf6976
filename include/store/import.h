/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * import — what `capstan import` writes and reads back: rows of import_tables.def in large batches, through a
 * temporary table each, and how far it has come.
 */
#ifndef STORE_IMPORT_H
#define STORE_IMPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/record.h"
#include "db/copy_out.h"
#include "db/db.h"

enum import_table {
#define TABLE(name, text) IMPORT_##name,
#define COLUMN(table, index, name, type, flags)
#include "store/import_tables.def"
#undef TABLE
#undef COLUMN
	IMPORT_TABLES
};

enum { IMPORT_CELLS_MAX = 16 };

extern const char *const import_table_names[IMPORT_TABLES];

/* One letter a column, as in stmt.args: t i d b. */
const char *store_import_letters(enum import_table t);

/* ---- the import ---- */

/* In SQL: is that lock held? Its number is "import", in ASCII and two zeros before. */
#define STORE_IMPORT_RUNS \
	"EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1" \
	" AND (classid::bigint << 32 | objid::bigint) = " STORE_IMPORT_LOCK \
	" AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
#define STORE_IMPORT_LOCK "27973158295593327"

/* Takes the session's import lock, for as long as the connection lives. INVALID_STATE: another import runs. */
int store_import_lock(struct ctx *c) MUST_CHECK;

/* Other sessions of Capstan on this database. */
int store_import_others(struct ctx *c, int64_t *count) MUST_CHECK;

struct import_progress {
	const char *name;
	const char *position;           /* NULL: at the start */
	const bool *done;
	const int64_t *read;            /* rows that the source gave */
	const int64_t *written;         /* new here */
	const int64_t *present;         /* here already, with this content */
	const int64_t *checksum;        /* of both */
};

struct import_issue {
	const char *name;               /* the table */
	const char *kind;
	const int64_t *rows;
	const char *examples;           /* one a line */
};

/* The import of this source: a new one, one that was cut (progress and issues tell), or, where it was finished or
   `restart` is set, again from the start. */
int store_import_begin(struct ctx *c, const char *source, const char *version, int64_t now, bool restart,
                       int64_t *import, struct list *progress, struct list *issues) MUST_CHECK;

/* Queue into the open transaction. */
void store_import_save_queue(struct ctx *c, int64_t import, const struct import_progress *p);
void store_import_issue_queue(struct ctx *c, int64_t import, const struct import_issue *i);

/* complete false: verification failed, the next run begins from the start. */
int store_import_finish(struct ctx *c, int64_t import, bool complete, int64_t now) MUST_CHECK;

/* ---- rows ---- */

struct import_dropped {
	const int64_t *hash;
	const char *label;
};

struct import_outcome {
	int64_t written;
	int64_t present;
	struct list orphans, repeats, conflicts;        /* struct import_dropped */
};

/* Before a table's first rows, outside of a transaction. */
int store_import_prepare(struct ctx *c, enum import_table t) MUST_CHECK;

/* Inside of a transaction. values: the table's columns, then the row's hash and its number in the batch (both i). Not
   for IMPORT_METRICS. */
int store_import_rows(struct ctx *c, int64_t import, enum import_table t, const struct db_arg *values, size_t rows,
                      struct import_outcome *ret) MUST_CHECK;

struct import_point {
	int64_t run_id;
	int64_t timestamp;
	int64_t step;
	double value;
	int32_t key_id;
};

/* Inside of a transaction: sorted as their index is, without repeats. */
int store_import_points(struct ctx *c, const struct import_point *points, size_t count, int64_t *written) MUST_CHECK;

/* ids[i] of names[i], outside of a transaction. */
int store_import_keys(struct ctx *c, const char *const *names, size_t count, int32_t *ids) MUST_CHECK;

/* ---- reading back ---- */

/* Calls row(c, arg, cells) with the table's columns for every row that belongs to the import. */
int store_import_read(struct ctx *c, int64_t import, enum import_table t,
                      int (*row)(struct ctx *c, void *arg, const struct db_cell *cells), void *arg) MUST_CHECK;

/* id (int8), uuid (16 bytes). */
int store_import_read_runs(struct ctx *c, int64_t import,
                           int (*row)(struct ctx *c, void *arg, const struct db_cell *cells), void *arg) MUST_CHECK;
/* id (int4), name. */
int store_import_read_keys(struct ctx *c, int (*row)(struct ctx *c, void *arg, const struct db_cell *cells),
                           void *arg) MUST_CHECK;
/* run_id (int8), key_id (int4), value, timestamp, step. */
int store_import_read_points(struct ctx *c, int64_t import,
                             int (*row)(struct ctx *c, void *arg, const struct db_cell *cells), void *arg) MUST_CHECK;

#endif
