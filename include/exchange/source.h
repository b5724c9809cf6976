/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * source — an MLflow store to import from, read-only: a PostgreSQL or sqlite database, a directory of ./mlruns, or
 * another server. Each is one struct source_ops; what they deliver is the same rows (import_tables.def).
 *
 * Rows are given raw, as they are stored: the import itself checks, repairs and counts (NULLs, invalid UTF-8, numbers
 * out of range, ids that are none, rows whose parent is missing). A source never fails because of a row.
 */
#ifndef EXCHANGE_SOURCE_H
#define EXCHANGE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/record.h"

enum source_table {
#define TABLE(name, text) SOURCE_##name,
#define COLUMN(table, index, name, type, flags)
#include "store/import_tables.def"
#undef TABLE
#undef COLUMN
	SOURCE_TABLES
};

/* RUNS_UUID, RUNS_EXPERIMENT_ID ...: the index of a value in its row. */
enum source_column_index {
#define TABLE(name, text)
#define COLUMN(table, index, name, type, flags) table##_##name = (index),
#include "store/import_tables.def"
#undef TABLE
#undef COLUMN
};

enum source_type { SOURCE_TEXT, SOURCE_INT, SOURCE_REAL, SOURCE_BOOL };

/* What becomes of NULL, and what a value may be. Without a flag NULL is refused. */
enum source_column_flags {
	SOURCE_DEFAULT = 1 << 0,        /* NULL: "", 0 or false */
	SOURCE_NULLABLE = 1 << 1,
	SOURCE_NULL_IS_NAN = 1 << 2,
	SOURCE_RUN_ID = 1 << 3,         /* 32 hex digits */
	SOURCE_INT2 = 1 << 4,
	SOURCE_INT4 = 1 << 5,
	SOURCE_LIFECYCLE = 1 << 6,      /* active (NULL too) or deleted */
	SOURCE_RUN_STATUS = 1 << 7,
	SOURCE_STAGE = 1 << 8,
	SOURCE_VERSION_STATUS = 1 << 9,
	SOURCE_WEBHOOK_STATUS = 1 << 10,
};

enum { SOURCE_COLUMNS_MAX = 14 };

struct source_column {
	const char *name;               /* as in import_tables.def; NULL: there are no more */
	enum source_type type;
	unsigned flags;
};

struct source_table_info {
	const char *name;
	struct source_column columns[SOURCE_COLUMNS_MAX];
};

extern const struct source_table_info source_tables[SOURCE_TABLES];

/* How many columns a row of the table has. */
unsigned source_columns(enum source_table table);

struct source_value {
	bool null;
	bool wrong;                     /* there is a value, but not of the column's type (sqlite; a number too large) */
	const char *text;               /* SOURCE_TEXT: `size` bytes, not NUL-terminated, perhaps no UTF-8 */
	size_t size;
	union {
		int64_t integer;
		double real;
		bool boolean;
	};
};

/* Where rows go. Both return 0, or -1 with c->error: then read() returns -1 at once. */
struct source_sink {
	/* `count` rows of column count values each, row by row; copied before it returns. Any number of rows a call:
	   some hundreds are best. Sorted by the group (import_tables.def). */
	int (*rows)(struct ctx *c, void *arg, const struct source_value *values, size_t count);
	/* All rows of the groups up to here were given: an import cut after this may go on behind `position`. Call it
	   between groups, at least every few thousand rows where groups are that small. `position` is the source's own
	   text (the group's value, say), at most SOURCE_POSITION_MAX bytes; copied. */
	int (*mark)(struct ctx *c, void *arg, const char *position);
	void *arg;
};

enum { SOURCE_POSITION_MAX = 1024 };

/* Rows of a kind that is not imported (traces, gateways ...): told, not taken. */
struct source_left {
	const char *name;
	int64_t rows;
};

struct source_description {
	const char *uri;                /* without its password: names the source in the target and in reports */
	const char *kind;               /* "MLflow database on PostgreSQL", "MLflow server" ... */
	const char *version;            /* "schema dc11669786a5 (MLflow 3.17)" */
	int64_t rows[SOURCE_TABLES];    /* of what read() will give now; -1: unknown */
	struct list left;               /* struct source_left */
	struct list notes;              /* const char *: what the operator should know */
};

struct source_options {
	const char *uri;
	bool auth;                      /* only the auth app's tables (USERS and what follows) are wanted: no others
	                                   need be there */
	bool force;                     /* read a schema of an unknown version */
};

struct source;

struct source_ops {
	/* 1: this uri is ours. No I/O but stat(). */
	bool (*accepts)(const char *uri);
	/* Opens read-only, fixes one moment where it can (a snapshot). NULL: error set. */
	struct source *(*open)(struct ctx *c, const struct source_options *o);
	int (*describe)(struct ctx *c, struct source *s, struct source_description *ret);
	/* All rows of a table behind `after` (NULL: from the start) in order of their group. A table that the source
	   does not have has no rows. Memory is of c's arena, which is emptied behind each table, or the source's own:
	   what outlives a call is not in c's arena unless open() made it. */
	int (*read)(struct ctx *c, struct source *s, enum source_table table, const char *after,
	            const struct source_sink *to);
	void (*close)(struct source *s);
};

extern const struct source_ops source_postgres;
extern const struct source_ops source_sqlite;
extern const struct source_ops source_files;            /* ./mlruns, file:///… */
extern const struct source_ops source_server;           /* http:// https:// */

/* Every implementation starts with this. */
struct source {
	const struct source_ops *ops;
};

/* The implementation that accepts the uri. NULL: none, error set. */
struct source *source_open(struct ctx *c, const struct source_options *o) MUST_CHECK;

#endif
