/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * The only path of statements to the server: a queue, flushed in one round trip. A connection stays
 * in libpq's pipeline mode and never blocks in libpq: we wait in poll(), reading while we send, so
 * that two full socket buffers cannot stop each other.
 */

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "internal.h"

/* ---- waiting ---- */

/* For a sign of life. */
static int wait_for(struct db *db, short events)
{
	struct pollfd p = { .fd = PQsocket(db->conn), .events = events };
	int n = -1;

	if (p.fd >= 0) {
		do {
			n = poll(&p, 1, db->silence_ms);
		} while (n < 0 && errno == EINTR);
	}
	if (n <= 0 || ((p.revents & (POLLIN | POLLERR | POLLHUP)) && !PQconsumeInput(db->conn))) {
		db->broken = true;
		return -1;
	}
	return 0;
}

int pipeline_wait(struct db *db)
{
	int unsent = PQflush(db->conn);

	if (unsent < 0) {
		db->broken = true;
		return -1;
	}
	return wait_for(db, unsent ? POLLIN | POLLOUT : POLLIN);
}

int pipeline_send(struct db *db)
{
	int unsent;

	while ((unsent = PQflush(db->conn)) > 0) {
		if (wait_for(db, POLLIN | POLLOUT))
			return -1;
	}
	db->broken = db->broken || unsent < 0;
	return unsent;
}

/*
 * Whether to wait for more. libpq that cannot allocate a result sometimes takes what it has for
 * incomplete, and would wait for an answer that came already: nobody knows any more what belongs to
 * which statement.
 */
static bool is_busy(struct db *db)
{
	bool busy;

	errno = 0;
	busy = PQisBusy(db->conn);
	if (busy && errno == ENOMEM)
		db->broken = true;
	return busy;
}

PGresult *pipeline_result(struct db *db)
{
	while (is_busy(db)) {
		if (db->broken || pipeline_wait(db))
			return NULL;
	}
	return PQgetResult(db->conn);
}

/* The next result of the pipeline; each statement's are followed by one NULL. NULL: lost. */
static PGresult *next_result(struct db *db)
{
	for (int i = 0; i < 2 && !db->broken; i++) {
		PGresult *r = pipeline_result(db);

		if (r)
			return r;
	}
	db->broken = true;
	return NULL;
}

void result_forget(struct db *db)
{
	PQclear(db->result);
	db->result = NULL;
}

int pipeline_enter(struct ctx *c, struct db *db)
{
	return PQsetnonblocking(db->conn, 1) == 0 && PQenterPipelineMode(db->conn)
		       ? 0
		       : error_lost(c, db);
}

int pipeline_leave(struct ctx *c, struct db *db)
{
	assert(!db->unread);
	return PQexitPipelineMode(db->conn) ? 0 : error_lost(c, db);
}

/* ---- queueing ---- */

void pipeline_add(struct ctx *c, const struct item *item, struct db_args a)
{
	struct item *copy = NEW(c->arena, struct item);
	char *types;

	assert(c->db && (c->db->broken || !c->db->reading));
	*copy = *item;
	if (item->stmt) {
		assert(strlen(item->stmt->args) == a.count);
		for (size_t i = 0; i < a.count; i++)
			assert(a.items[i].type == item->stmt->args[i]);
		copy->types = item->stmt->args;
	} else {
		types = arena_alloc(c->arena, a.count + 1);
		for (size_t i = 0; i < a.count; i++)
			types[i] = a.items[i].type;
		copy->types = types;
		copy->sql = arena_strdup(c->arena, item->sql);
	}
	encode_params(c->arena, a, &copy->params);
	if (c->db->last)
		c->db->last->next = copy;
	else
		c->db->first = copy;
	c->db->last = copy;
}

void db_queue(struct ctx *c, const struct stmt *s, struct db_args a, int64_t *affected)
{
	pipeline_add(c, &(struct item){ .stmt = s, .affected = affected }, a);
}

void db_queue_list(struct ctx *c, const struct stmt *s, struct db_args a, const struct record *r,
                   struct list *out)
{
	assert(r && out);
	pipeline_add(c, &(struct item){ .stmt = s, .record = r, .list = out }, a);
}

void db_queue_list_sql(struct ctx *c, const char *sql, struct db_args a, const struct record *r,
                       struct list *out)
{
	assert(r && out);
	pipeline_add(c, &(struct item){ .sql = sql, .record = r, .list = out }, a);
}

/* ---- sending ---- */

static struct item *take_queue(struct db *db)
{
	struct item *first = db->first;

	db->first = db->last = NULL;
	return first;
}

/* Closes the least used dynamic statements when there are too many. */
static bool send_closes(struct db *db, struct item *item)
{
	struct prepared *old;
	char sql[64];
	bool sent = true;

	while (sent && (old = statements_evict(&db->statements, db->flush))) {
		if (old->state != PREPARED_NOT) {
			snprintf(sql, sizeof(sql), "DEALLOCATE %s", old->name);
			sent = PQsendQueryParams(db->conn, sql, 0, NULL, NULL, NULL, NULL, 1);
			item->closes++;
		}
		prepared_free(old);
	}
	return sent;
}

/* Prepares an item's statement under the name; without one, it runs at once. */
static bool send_text(struct db *db, const struct item *item, const char *name, const char *sql)
{
	const struct params *p = &item->params;
	size_t n = strlen(item->types);
	Oid few[32];
	Oid *types = n <= 32 ? few : calloc(n, sizeof(*types));
	bool sent;

	if (!types)
		return false;
	for (size_t i = 0; i < n; i++)
		types[i] = encode_type(item->types[i]);
	sent = name ? PQsendPrepare(db->conn, name, sql, (int)n, types) :
		PQsendQueryParams(db->conn, sql, (int)n, types, p->values, p->lengths, p->formats,
		                  1);
	if (types != few)
		free(types);
	return sent;
}

static bool send_prepare(struct db *db, struct item *item, const char *name, const char *sql)
{
	item->prepared->state = PREPARED_SENT;
	item->prepare = true;
	return send_text(db, item, name, sql);
}

static bool send_item(struct db *db, struct item *item)
{
	struct prepared *p;
	const char *name;

	if (item->once) {
		item->run = true;
		return send_text(db, item, NULL, item->sql);
	}
	p = item->stmt ? statements_fixed(&db->statements, item->stmt) :
		statements_dynamic(&db->statements, item->sql, item->types);
	if (!p)
		return false;
	p->used = db->flush;
	item->prepared = p;
	name = item->stmt ? item->stmt->name : p->name;
	if (!item->stmt && !send_closes(db, item))
		return false;
	if (p->state == PREPARED_NOT &&
	    !send_prepare(db, item, name, item->stmt ? item->stmt->sql : item->sql))
		return false;
	item->run = true;
	return PQsendQueryPrepared(db->conn, name, item->params.count, item->params.values,
	                           item->params.lengths, item->params.formats, 1);
}

/* ---- reading ---- */

static void clear_result(void *result)
{
	PQclear(result);
}

/* For as long as the members that point into it. */
static void keep_result(struct ctx *c, struct db *db)
{
	/* Taken first: without memory for the note arena_defer() clears it, and escapes. */
	arena_defer(c->arena, clear_result, TAKE(db->result));
}

static int read_rows(struct ctx *c, struct db *db, struct item *item)
{
	const struct record *r = item->record;
	struct mapping *m = item->prepared ? &item->prepared->mapping : &db->once;
	int rows = PQntuples(db->result);

	if (!item->prepared)
		mapping_free(m);
	if (!mapping_make(m, db->result, r))
		return error_unavailable(c, "no memory for the columns of a result");
	if (item->one) {
		*item->found = rows > 0;
		if (rows > 0)
			decode_row(c, m, db->result, 0, item->one);
	} else {
		char *items = arena_array(c->arena, (size_t)rows, r->size);

		for (int i = 0; i < rows; i++)
			decode_row(c, m, db->result, i, items + (size_t)i * r->size);
		*item->list = (struct list){ .items = items, .count = (size_t)rows };
	}
	if (m->borrows && rows > 0)
		keep_result(c, db);
	return 0;
}

static int read_run(struct ctx *c, struct db *db, struct item *item)
{
	const char *count;

	if (item->commit && strcmp(PQcmdStatus(db->result), "COMMIT") != 0)
		return fail(c, INTERNAL_ERROR, "The transaction was rolled back.");
	if (item->affected) {
		count = PQcmdTuples(db->result);
		*item->affected = *count ? strtoll(count, NULL, 10) : 0;
	}
	if (item->record) {
		assert(PQresultStatus(db->result) == PGRES_TUPLES_OK);
		return read_rows(c, db, item);
	}
	return 0;
}

static void step_done(struct db *db, struct item *item, enum item_step step, bool ok)
{
	switch (step) {
	case STEP_CLOSE:
		item->closes--;
		db->statements.lost += !ok;
		break;
	case STEP_PREPARE:
		item->prepare = false;
		item->prepared->state = ok ? PREPARED_READY : PREPARED_NOT;
		break;
	case STEP_RUN:
		item->run = false;
	}
}

/* One result. With c NULL it is thrown away. */
static int read_step(struct ctx *c, struct db *db, struct item *item, enum item_step step)
{
	int result = 0;

	db->result = next_result(db);
	if (!db->result)
		return -1;
	switch (PQresultStatus(db->result)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
		step_done(db, item, step, true);
		if (step == STEP_RUN && c)
			result = read_run(c, db, item);
		break;
	case PGRES_FATAL_ERROR:
		step_done(db, item, step, false);
		if (c)
			result = error_result(c, db, db->result);
		break;
	case PGRES_PIPELINE_ABORTED:
		step_done(db, item, step, false);
		result = -1;
		break;
	default:                        /* COPY: not by this way; or the line is garbled */
		db->broken = true;
		result = -1;
	}
	result_forget(db);
	return result;
}

/* What is still to come for an item, in order. False: nothing. */
static bool next_step(const struct item *item, enum item_step *step)
{
	*step = item->closes ? STEP_CLOSE : item->prepare ? STEP_PREPARE : STEP_RUN;
	return item->closes || item->prepare || item->run;
}

/* All that was flushed, then the sync. -1 with the first error. */
static int read_all(struct ctx *c, struct db *db)
{
	enum item_step step;
	int result = 0;

	for (; db->reading; db->reading = db->reading->next) {
		while (next_step(db->reading, &step)) {
			if (read_step(c, db, db->reading, step))
				result = -1;
			if (PQstatus(db->conn) == CONNECTION_BAD)
				db->broken = true;
			if (db->broken)
				return c ? error_lost(c, db) : -1;
		}
	}
	db->result = next_result(db);
	if (!db->result || PQresultStatus(db->result) != PGRES_PIPELINE_SYNC) {
		result_forget(db);
		db->broken = true;
		return c ? error_lost(c, db) : -1;
	}
	result_forget(db);
	db->unread = false;
	return result;
}

int db_flush(struct ctx *c)
{
	struct db *db = c->db;
	struct item *first = take_queue(db);

	if (!first)
		return 0;
	assert(db->broken || (!db->unread && !db->reading));
	*db->sqlstate = *db->constraint = '\0';
	if (db->broken)
		return error_lost(c, db);
	db->flush++;
	for (struct item *i = first; i; i = i->next) {
		if (!send_item(db, i))
			return error_lost(c, db);
	}
	if (!PQpipelineSync(db->conn))
		return error_lost(c, db);
	db->unread = true;
	db->reading = first;
	return read_all(c, db);
}

void pipeline_drop(struct ctx *c, struct db *db)
{
	(void)c;
	result_forget(db);
	take_queue(db);
	if (db->unread && !db->broken)
		read_all(NULL, db);
	db->reading = NULL;
	db->unread = false;
}
