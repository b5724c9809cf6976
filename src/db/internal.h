/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What the files of src/db share. */
#ifndef DB_INTERNAL_H
#define DB_INTERNAL_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/record.h"
#include "db/db.h"

enum {
	DB_DYNAMIC_STATEMENTS = 64, /* texts of db_list_sql kept prepared per connection */
	DB_LOST_STATEMENTS = 64,    /* evicted ones the server may still hold: then reconnect */
	DB_CONNECT_MS = 5000,
	DB_SETUP_MS = 10000,
	DB_GRACE_MS = 10000, /* beyond statement_timeout, before a silent server counts as lost */
	DB_RETRY_FIRST_MS = 25, /* between attempts to reconnect */
	DB_RETRY_MOST_MS = 200,
	DB_OLDEST_SERVER = 130000, /* as PQserverVersion() says it */
	DB_TX_TRIES = 4,
};

/* ---- encode.c: arguments to PostgreSQL's binary format ---- */

struct params {
	int count;
	const char **values;
	int *lengths;
	int *formats;
};

Oid encode_type(char letter);

/* Bytes of one argument's binary form (the length word excluded), and the form itself. */
size_t encode_size(const struct db_arg *arg);
char *encode_write(char *to, const struct db_arg *arg);
/* SQL NULL: so is a uuid that is none, since a lookup by it finds nothing. */
bool encode_null(const struct db_arg *arg);
char *encode_int32(char *to, int32_t v);
char *encode_int16(char *to, int16_t v);

/* All arguments, copied into one block of the arena. */
void encode_params(struct arena *a, struct db_args args, struct params *ret);

/* ---- decode.c: rows to records ---- */

struct column {
	const struct field *field;
	void (*decode)(struct ctx *c, const struct field *f, const char *data, int size,
		       void *member);
};

struct mapping {
	const struct record *record;    /* NULL: none made yet */
	struct column *columns;
	int count;
	bool borrows;                   /* members point into the result, which must live on */
};

/* Matches columns to fields by name; what does not fit is our mistake. Reuses the mapping where it
 * can. False: no memory. */
bool mapping_make(struct mapping *m, const PGresult *result,
		  const struct record *record) MUST_CHECK;
void mapping_free(struct mapping *m);

/* Row `row` into the zeroed struct `out`. */
void decode_row(struct ctx *c, const struct mapping *m, const PGresult *result, int row, void *out);

/* ---- stmt.c: what a connection has prepared ---- */

enum prepared_state { PREPARED_NOT, PREPARED_SENT, PREPARED_READY };

struct prepared {
	const struct stmt *stmt;        /* NULL: dynamic */
	char *sql;                      /* dynamic: the key, with its types */
	char *types;
	uint64_t hash;
	char name[32];                  /* dynamic */
	enum prepared_state state;
	uint64_t used;                  /* dynamic: when, for eviction; also "in this flush" */
	struct mapping mapping;
	struct prepared *next;
};

struct statements {
	struct prepared **fixed;        /* open addressing by address of struct stmt */
	size_t fixed_size;              /* a power of two, or 0 */
	size_t fixed_count;
	struct prepared *dynamic;       /* a list */
	unsigned dynamic_count;
	unsigned lost;
	uint64_t names;
};

void statements_free(struct statements *s);
/* NULL: no memory. */
struct prepared *statements_fixed(struct statements *s, const struct stmt *stmt);
struct prepared *statements_dynamic(struct statements *s, const char *sql, const char *types);
/* The least used dynamic one, unlinked, once there are too many; none of this flush. NULL: nothing
 * to do. */
struct prepared *statements_evict(struct statements *s, uint64_t flush);
void prepared_free(struct prepared *p);

/* ---- pipeline.c ---- */

enum item_step { STEP_CLOSE, STEP_PREPARE, STEP_RUN };

struct item {
	struct item *next;
	const struct stmt *stmt;        /* NULL: dynamic */
	const char *sql;
	bool once;                      /* dynamic: not prepared */
	const char *types;
	struct params params;
	bool begin, commit;
	const struct record *record;    /* NULL: rows ignored */
	struct list *list;              /* all rows, or */
	void *one;                      /* the first, and */
	int *found;
	int64_t *affected;
	struct prepared *prepared;      /* NULL: once */
	unsigned closes;                /* results not read yet: of evicted statements, */
	bool prepare, run;              /* of preparing, of running */
};

struct db {
	PGconn *conn;                   /* NULL: not connected */
	bool broken;                    /* to be closed */
	bool in_tx;                     /* BEGIN queued or sent, no end queued yet */
	bool unread;                    /* a sync is on its way to us */
	int silence_ms;                 /* longest wait for a sign of life; -1: for ever */
	int silence_default;
	struct item *first, *last;      /* queued */
	struct item *reading;           /* flushed, results outstanding */
	PGresult *result;               /* in our hands while the arena may escape */
	struct statements statements;
	struct mapping once;            /* of a statement not prepared */
	uint64_t flush;                 /* number of the current one */
	char sqlstate[8];
	char constraint[64];
	struct db *next;                /* in the pool */
};

void pipeline_add(struct ctx *c, const struct item *item, struct db_args a);
/* Reads what is outstanding without decoding it, forgets what is queued. */
void pipeline_drop(struct ctx *c, struct db *db);
int pipeline_enter(struct ctx *c, struct db *db) MUST_CHECK;
int pipeline_leave(struct ctx *c, struct db *db) MUST_CHECK;
/* Sends and reads while libpq has something to do; -1: silence, or the connection is gone (broken
 * set). */
int pipeline_wait(struct db *db);
/* Until all is sent; the server need not say anything. -1 as above. */
int pipeline_send(struct db *db);
/* Waits for a result outside of a pipeline; NULL: none left, or broken. */
PGresult *pipeline_result(struct db *db);
void result_forget(struct db *db);

/* ---- connect.c ---- */

/* A new connection, waiting at most DB_CONNECT_MS; its status tells. NULL: no memory. */
PGconn *connect_open(const char *conninfo);
/* Session settings and pipeline mode. */
int connect_setup(struct ctx *c, struct db *db, int statement_timeout_ms) MUST_CHECK;
/* The SQLSTATE in the message of a failed connection, "" when there is none. */
void connect_sqlstate(const PGconn *conn, char ret[6]);
/* One clear line for the operator about a failed connection (programs' start, not requests). */
int connect_explain(struct ctx *c, const PGconn *conn);

/* ---- error.c ---- */

int error_result(struct ctx *c, struct db *db, const PGresult *result);
/* The connection is gone: marks it broken. */
int error_lost(struct ctx *c, struct db *db);
int error_unavailable(struct ctx *c, const char *detail);
enum error_code error_of_sqlstate(const char *sqlstate);

/* ---- migrations, generated from migrations/NNNN_name.sql ---- */

struct migration {
	int version;
	const char *name;
	const char *sql;
};

extern const struct migration migrations[];
extern const int migrations_count;

#endif
