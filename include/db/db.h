/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * db — PostgreSQL connections and typed statements. All SQL of the daemon goes through here, and
 * only store/ (and db's own migrations) writes SQL.
 *
 * A connection belongs to one thread at a time. Statements are prepared lazily per connection,
 * again after a reconnect. Results come in binary and are decoded into records by column name.
 *
 * Errors (SQLSTATE maps once, in db/error.c): 23505 RESOURCE_ALREADY_EXISTS; 40001, 40P01 retried
 * by tx_run; 08xxx, 57P0x and a broken socket TEMPORARILY_UNAVAILABLE (the connection is replaced
 * at the next db_get); 57014 (statement_timeout) TEMPORARILY_UNAVAILABLE; 53100
 * INSUFFICIENT_STORAGE; all else INTERNAL_ERROR. The server's own words go to error.detail, never
 * to error.message.
 */
#ifndef DB_DB_H
#define DB_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/record.h"

struct db;                              /* one connection */
struct db_pool;

/* ---- pool ---- */

struct db_options {
	const char *conninfo; /* libpq keywords/URI, from db_uri_normalize() or db_private */
	unsigned size;                  /* most connections at one time */
	int statement_timeout_ms;       /* for statements outside of migrations; 0 = none */
};

/* Opens no connection yet. NULL: no memory. */
struct db_pool *db_pool_new(const struct db_options *o);
void db_pool_free(struct db_pool *p);

/* Takes a connection (waits at most wait_ms for a free one, then TEMPORARILY_UNAVAILABLE), connects
   or reconnects it where needed (bounded back-off; while PostgreSQL is away calls fail at once with
   TEMPORARILY_UNAVAILABLE). Sets c->db. */
int db_get(struct ctx *c, struct db_pool *p, int wait_ms) MUST_CHECK;

/* Gives c->db back, rolling back what is open, draining what is queued; a broken one is closed. */
void db_put(struct ctx *c, struct db_pool *p);

/* After a work_run() escape or an error in a pipeline: makes c->db usable again or marks it broken.
 */
void db_recover(struct ctx *c);

/* Its session must not go on: closed when it is given back. */
void db_abandon(struct ctx *c);

struct db_pool_stats { unsigned size, busy, idle, waiting; uint64_t connects, failures; };
void db_pool_stats(struct db_pool *p, struct db_pool_stats *ret);

/* ---- statements ---- */

/*
 * args: one letter a parameter: t text, i int8, n int4, d float8, b bool, u uuid (from 32 hex
 * digits); upper case T I N D B U: arrays of it. NULL values are allowed everywhere.
 */
struct stmt {
	const char *name;               /* unique over the program: "run_get" */
	const char *args;
	const char *sql;
};

struct db_arg {
	char type;                      /* as in stmt.args */
	bool null;
	union {
		const char *text;       /* t, u */
		int64_t integer;        /* i, n */
		double real;            /* d */
		bool boolean;           /* b */
		struct { /* T U: const char *const *; I: const int64_t *; N: const int32_t *; D:
			    const double *; B: const bool * */
			const void *items;
			size_t count;
			const bool *nulls;      /* NULL: none is */
		} array;
	};
};

struct db_args {
	const struct db_arg *items;
	size_t count;
};

/* TEXT(NULL) is SQL NULL, and so are the *_P forms for NULL pointers, and a UUID that is not 32 hex
   digits: a lookup by it finds nothing. */
#define TEXT(v)      ((struct db_arg){ .type = 't', .null = !(const char *)(v), .text = (v) })
#define UUID(v)      ((struct db_arg){ .type = 'u', .null = !(const char *)(v), .text = (v) })
#define BIGINT(v)    ((struct db_arg){ .type = 'i', .integer = (v) })
#define BIGINT_P(p)  ((struct db_arg){ .type = 'i', .null = !(p), .integer = (p) ? *(p) : 0 })
#define INTEGER(v)   ((struct db_arg){ .type = 'n', .integer = (v) })
#define REAL(v)      ((struct db_arg){ .type = 'd', .real = (v) })
#define REAL_P(p)    ((struct db_arg){ .type = 'd', .null = !(p), .real = (p) ? *(p) : 0 })
#define BOOLEAN(v)   ((struct db_arg){ .type = 'b', .boolean = (v) })
#define TEXTS(p, n)    ((struct db_arg){ .type = 'T', .array = { (p), (n), NULL } })
#define UUIDS(p, n)    ((struct db_arg){ .type = 'U', .array = { (p), (n), NULL } })
#define BIGINTS(p, n)  ((struct db_arg){ .type = 'I', .array = { (p), (n), NULL } })
#define INTEGERS(p, n) ((struct db_arg){ .type = 'N', .array = { (p), (n), NULL } })
#define REALS(p, n)    ((struct db_arg){ .type = 'D', .array = { (p), (n), NULL } })
#define TEXTS_NULLABLE(p, n, nulls_)                                                               \
	((struct db_arg){ .type = 'T', .array = { (p), (n), (nulls_) } })
#define BIGINTS_NULLABLE(p, n, nulls_)                                                             \
	((struct db_arg){ .type = 'I', .array = { (p), (n), (nulls_) } })

#define ARGS(...) \
	((struct db_args){ (const struct db_arg[]){ __VA_ARGS__ }, \
	                   sizeof((const struct db_arg[]){ __VA_ARGS__ }) / sizeof(struct db_arg) })
#define NO_ARGS ((struct db_args){ NULL, 0 })

/* Rows changed, or -1. */
int64_t db_exec(struct ctx *c, const struct stmt *s, struct db_args a) MUST_CHECK;

/* First row into the zeroed struct: 1, 0 (no row) or -1. Columns are matched to fields by name; a
   column without a field is our mistake (assert). uuid columns read into STRING fields as 32 hex
   digits, integers into STRING fields in decimal; smallint, int and boolean into ENUM fields by
   number. Text points into the result, which lives as long as the arena. */
int db_one(struct ctx *c, const struct stmt *s, struct db_args a, const struct record *r, void *out)
	MUST_CHECK;

/* All rows into a list of structs. */
int db_list(struct ctx *c, const struct stmt *s, struct db_args a, const struct record *r,
	    struct list *out) MUST_CHECK;

/* The same for SQL built by search/ (text is never a client's; all values are arguments). Prepared
   under a name kept for its text, a bounded number per connection. */
int db_list_sql(struct ctx *c, const char *sql, struct db_args a, const struct record *r,
		struct list *out) MUST_CHECK;

/* The same, planned for these very values, for SQL whose best plan depends on them. Nothing is
 * kept. r NULL: rows ignored. */
int db_list_once(struct ctx *c, const char *sql, struct db_args a, const struct record *r,
		 struct list *out) MUST_CHECK;

/* ---- pipeline: several statements in one round trip ---- */

/*
 * db_queue* copy their arguments and send nothing by themselves (a later db_exec, db_one ... sends
 * them along); db_flush sends all that is queued, reads all results in order into the outputs
 * given, and fails with the first error (the rest then did not run; without BEGIN, one flush is one
 * transaction). Inside db_pipeline a statement's output may be NULL (rows ignored). affected may be
 * NULL.
 */
void db_queue(struct ctx *c, const struct stmt *s, struct db_args a, int64_t *affected);
void db_queue_list(struct ctx *c, const struct stmt *s, struct db_args a, const struct record *r,
                   struct list *out);
void db_queue_list_sql(struct ctx *c, const char *sql, struct db_args a, const struct record *r,
                       struct list *out);
int db_flush(struct ctx *c) MUST_CHECK;

/* Large numbers of points: binary COPY ... FROM STDIN inside the open transaction. `columns` is the
   typed letter list of one row as in stmt.args (i n d). rows: count * strlen(columns) values, row
   by row. */
int db_copy(struct ctx *c, const char *copy_sql, const char *columns, const struct db_arg *values,
	    size_t rows) MUST_CHECK;

/* ---- transactions ---- */

/* BEGIN; fn; COMMIT. Serialization failures and deadlocks that the server reports are retried up to
   3 times (its answer means that nothing was stored); a transaction whose outcome is unknown never
   is. A COMMIT without an answer is TEMPORARILY_UNAVAILABLE. fn must be repeatable. */
int tx_run(struct ctx *c, int (*fn)(struct ctx *c, void *arg), void *arg) MUST_CHECK;

/* The parts, for shared commits: queued like statements. */
void db_queue_begin(struct ctx *c);
/* For reads of several statements that must fit together: all see one moment. */
void db_queue_begin_snapshot(struct ctx *c);
void db_queue_commit(struct ctx *c);
int db_rollback(struct ctx *c) MUST_CHECK;

/* SQLSTATE of c's last error, "" if it was not the database's. */
const char *db_sqlstate(const struct ctx *c);
/* Name of the constraint the last error names, "". */
const char *db_constraint(const struct ctx *c);

#endif
