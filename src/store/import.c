/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/import.h"

#include "base/arena.h"
#include "store/writers.h"
#include "unsettle.h"

enum {
	LOCK, OTHERS, FIND, BEGIN, RESTART, FORGET_TABLES, FORGET_ISSUES, FORGET_ITEMS,
	PROGRESS, ISSUES, SAVE, SAVE_ISSUE, FINISH, UNLOGGED_COMMITS, DURABLE_COMMITS, NO_TIMEOUT
};

static const struct stmt stmts[] = {
	[LOCK] = { "import_lock", "", "SELECT pg_try_advisory_lock(" STORE_IMPORT_LOCK ") AS yes" },
	[OTHERS] = { "import_others", "",
		"SELECT count(*) AS rows FROM pg_stat_activity WHERE datname = current_database()"
		" AND pid <> pg_backend_pid() AND application_name = 'capstan' AND backend_type = 'client backend'" },
	[FIND] = { "import_find", "t",
		"SELECT id, finished_at IS NOT NULL AS yes FROM imports WHERE source = $1" },
	[BEGIN] = { "import_begin", "tti",
		"INSERT INTO imports (source, version, started_at) VALUES ($1, $2, $3) RETURNING id" },
	[RESTART] = { "import_restart", "iti",
		"UPDATE imports SET version = $2, started_at = $3, finished_at = NULL WHERE id = $1" },
	[FORGET_TABLES] = { "import_forget_tables", "i", "DELETE FROM import_tables WHERE import = $1" },
	[FORGET_ISSUES] = { "import_forget_issues", "i", "DELETE FROM import_issues WHERE import = $1" },
	[FORGET_ITEMS] = { "import_forget_items", "i", "DELETE FROM import_items WHERE import = $1" },
	[PROGRESS] = { "import_progress", "i",
		"SELECT name, position, done, read, written, present, checksum FROM import_tables WHERE import = $1" },
	[ISSUES] = { "import_issues", "i",
		"SELECT name, kind, rows, examples FROM import_issues WHERE import = $1 ORDER BY name, kind" },
	[SAVE] = { "import_save", "ittbiiii",
		"INSERT INTO import_tables (import, name, position, done, read, written, present, checksum)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (import, name) DO UPDATE SET"
		" position = excluded.position, done = excluded.done, read = excluded.read,"
		" written = excluded.written, present = excluded.present, checksum = excluded.checksum" },
	[SAVE_ISSUE] = { "import_save_issue", "ittit",
		"INSERT INTO import_issues (import, name, kind, rows, examples) VALUES ($1, $2, $3, $4, $5)"
		" ON CONFLICT (import, name, kind) DO UPDATE SET rows = excluded.rows, examples = excluded.examples" },
	[FINISH] = { "import_finish", "ii", "UPDATE imports SET finished_at = $2 WHERE id = $1" },
	[UNLOGGED_COMMITS] = { "import_async", "", "SET synchronous_commit = off" },
	[DURABLE_COMMITS] = { "import_sync", "", "SET synchronous_commit = on" },
	[NO_TIMEOUT] = { "import_no_timeout", "", "SET idle_in_transaction_session_timeout = 0" },
};

struct row {
	const bool *yes;
	const int64_t *rows;
	const int64_t *id;
};

/* clang-format off */
static const struct record row_record = { sizeof(struct row), (const struct field[]){
	BOOL (struct row, yes,  0),
	INT64(struct row, rows, 0),
	INT64(struct row, id,   0),
	END }};

static const struct record progress_record = { sizeof(struct import_progress), (const struct field[]){
	STRING(struct import_progress, name,     0),
	STRING(struct import_progress, position, 0),
	BOOL  (struct import_progress, done,     0),
	INT64 (struct import_progress, read,     0),
	INT64 (struct import_progress, written,  0),
	INT64 (struct import_progress, present,  0),
	INT64 (struct import_progress, checksum, 0),
	END }};

static const struct record issue_record = { sizeof(struct import_issue), (const struct field[]){
	STRING(struct import_issue, name,     0),
	STRING(struct import_issue, kind,     0),
	INT64 (struct import_issue, rows,     0),
	STRING(struct import_issue, examples, 0),
	END }};
/* clang-format on */

int store_import_lock(struct ctx *c)
{
	struct row row = { 0 };

	if (db_one(c, &stmts[LOCK], NO_ARGS, &row_record, &row) < 0)
		return -1;
	if (!*row.yes)
		return fail(c, INVALID_STATE, "Another import into this database is running.");
	return 0;
}

int store_import_others(struct ctx *c, int64_t *count)
{
	struct row row = { 0 };

	if (db_one(c, &stmts[OTHERS], NO_ARGS, &row_record, &row) < 0)
		return -1;
	*count = *row.rows;
	return 0;
}

struct beginning {
	const char *source, *version;
	int64_t now;
	bool restart;
	int64_t import;
};

static void queue_forget(struct ctx *c, int64_t import)
{
	db_queue(c, &stmts[FORGET_TABLES], ARGS(BIGINT(import)), NULL);
	db_queue(c, &stmts[FORGET_ISSUES], ARGS(BIGINT(import)), NULL);
	db_queue(c, &stmts[FORGET_ITEMS], ARGS(BIGINT(import)), NULL);
}

static int begin(struct ctx *c, void *arg)
{
	struct beginning *b = arg;
	struct row row = { 0 };
	int found;

	/* It adds to runs that may have been settled since it was cut; from now on none is. */
	writers_enter(c);
	unsettle_all_queue(c);
	found = db_one(c, &stmts[FIND], ARGS(TEXT(b->source)), &row_record, &row);

	if (found < 0)
		return -1;
	if (!found) {
		if (db_one(c, &stmts[BEGIN], ARGS(TEXT(b->source), TEXT(b->version), BIGINT(b->now)), &row_record,
			   &row) < 0)
			return -1;
		b->import = *row.id;
		return 0;
	}
	b->import = *row.id;
	if (!*row.yes && !b->restart)
		return 0;
	db_queue(c, &stmts[RESTART], ARGS(BIGINT(b->import), TEXT(b->version), BIGINT(b->now)), NULL);
	queue_forget(c, b->import);
	return db_flush(c);
}

/*
 * A commit need not be on disk at once: rows and progress are lost together. The last one is (finish). The session
 * waits on the source inside of transactions, for as long as that takes.
 */
int store_import_begin(struct ctx *c, const char *source, const char *version, int64_t now, bool restart,
		       int64_t *import, struct list *progress, struct list *issues)
{
	struct beginning b = { .source = source, .version = version, .now = now, .restart = restart };

	if (tx_run(c, begin, &b))
		return -1;
	*import = b.import;
	db_queue_list(c, &stmts[PROGRESS], ARGS(BIGINT(b.import)), &progress_record, progress);
	db_queue_list(c, &stmts[ISSUES], ARGS(BIGINT(b.import)), &issue_record, issues);
	db_queue(c, &stmts[UNLOGGED_COMMITS], NO_ARGS, NULL);
	db_queue(c, &stmts[NO_TIMEOUT], NO_ARGS, NULL);
	return db_flush(c);
}

void store_import_save_queue(struct ctx *c, int64_t import, const struct import_progress *p)
{
	db_queue(c, &stmts[SAVE],
		 ARGS(BIGINT(import), TEXT(p->name), TEXT(p->position), BOOLEAN(*p->done), BIGINT(*p->read),
		      BIGINT(*p->written), BIGINT(*p->present), BIGINT(*p->checksum)),
		 NULL);
}

void store_import_issue_queue(struct ctx *c, int64_t import, const struct import_issue *i)
{
	db_queue(c, &stmts[SAVE_ISSUE],
		 ARGS(BIGINT(import), TEXT(i->name), TEXT(i->kind), BIGINT(*i->rows), TEXT(i->examples)), NULL);
}

struct finish {
	int64_t import, now;
	bool complete;
};

static int finish(struct ctx *c, void *arg)
{
	const struct finish *f = arg;

	db_queue(c, &stmts[FINISH], ARGS(BIGINT(f->import), BIGINT(f->now)), NULL);
	db_queue(c, &stmts[FORGET_ITEMS], ARGS(BIGINT(f->import)), NULL);
	if (!f->complete)
		queue_forget(c, f->import);
	return db_flush(c);
}

int store_import_finish(struct ctx *c, int64_t import, bool complete, int64_t now)
{
	/* What was bulk-loaded has no statistics yet, and plans without them are bad ones. */
	static const char *const tables[] = {
		"experiments", "runs", "keys", "points", "latest", "params", "tags", "logged_models",
		"registered_models", "model_versions",
	};
	struct finish f = { import, now, complete };
	struct list none = { 0 };

	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
		if (db_list_once(c, arena_printf(c->arena, "ANALYZE %s", tables[i]), NO_ARGS, NULL, &none))
			return -1;
	}
	db_queue(c, &stmts[DURABLE_COMMITS], NO_ARGS, NULL);
	return db_flush(c) || tx_run(c, finish, &f) ? -1 : 0;
}
