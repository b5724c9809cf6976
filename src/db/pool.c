/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * A bounded set of connections. While PostgreSQL is away one caller at a time tries again, at most
 * every DB_RETRY_MOST_MS, and all others are told at once; so threads never pile up behind a dead
 * server.
 */

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "internal.h"

struct db_pool {
	pthread_mutex_t lock;
	pthread_cond_t returned;
	char *conninfo;
	unsigned size;
	int statement_timeout_ms;
	struct db *idle;                /* connected, the last used first */
	struct db *spare;               /* not connected */
	unsigned made;                  /* of size */
	unsigned busy, waiting;
	bool away, trying;              /* the last attempt failed; somebody makes one now */
	int64_t retry_at;
	int retry_ms;
	uint64_t connects, failures;
};

struct db_pool *db_pool_new(const struct db_options *o)
{
	struct db_pool *p = calloc(1, sizeof(*p));
	pthread_condattr_t attr;

	assert(o->size > 0);
	if (!p)
		return NULL;
	p->conninfo = strdup(o->conninfo);
	if (!p->conninfo) {
		free(p);
		return NULL;
	}
	p->size = o->size;
	p->statement_timeout_ms = o->statement_timeout_ms;
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->returned, &attr);
	pthread_condattr_destroy(&attr);
	return p;
}

static void disconnect(struct db *db)
{
	result_forget(db);
	statements_free(&db->statements);
	mapping_free(&db->once);
	PQfinish(db->conn);
	*db = (struct db){ .flush = db->flush };
}

static void free_all(struct db *db)
{
	while (db) {
		struct db *next = db->next;

		disconnect(db);
		free(db);
		db = next;
	}
}

void db_pool_free(struct db_pool *p)
{
	if (!p)
		return;
	assert(p->busy == 0);
	free_all(p->idle);
	free_all(p->spare);
	pthread_cond_destroy(&p->returned);
	pthread_mutex_destroy(&p->lock);
	free(p->conninfo);
	free(p);
}

static struct db *pop(struct db **list)
{
	struct db *db = *list;

	if (db) {
		*list = db->next;
		db->next = NULL;
	}
	return db;
}

static void push(struct db **list, struct db *db)
{
	db->next = *list;
	*list = db;
}

/* Under the lock. NULL: none free (or no memory). */
static struct db *take(struct db_pool *p)
{
	struct db *db = pop(&p->idle);

	if (!db)
		db = pop(&p->spare);
	if (!db && p->made < p->size) {
		db = calloc(1, sizeof(*db));
		if (db)
			p->made++;
	}
	if (db)
		p->busy++;
	return db;
}

static struct db *take_or_wait(struct db_pool *p, int wait_ms)
{
	struct timespec end;
	struct db *db;

	pthread_mutex_lock(&p->lock);
	db = take(p);
	if (!db && wait_ms > 0) {
		end = clock_deadline(wait_ms);
		p->waiting++;
		while (!db && pthread_cond_timedwait(&p->returned, &p->lock, &end) == 0)
			db = take(p);
		if (!db)
			db = take(p);
		p->waiting--;
	}
	pthread_mutex_unlock(&p->lock);
	return db;
}

static void give_back(struct db_pool *p, struct db *db)
{
	pthread_mutex_lock(&p->lock);
	push(db->conn ? &p->idle : &p->spare, db);
	p->busy--;
	if (p->waiting)
		pthread_cond_signal(&p->returned);
	pthread_mutex_unlock(&p->lock);
}

/* An idle connection has nothing to say: what it says is that it is over. */
static bool still_there(struct db *db)
{
	struct pollfd p = { .fd = PQsocket(db->conn), .events = POLLIN | POLLRDHUP };

	if (poll(&p, 1, 0) <= 0)
		return true;
	if (p.revents & (POLLERR | POLLHUP | POLLRDHUP) || !PQconsumeInput(db->conn))
		return false;
	return PQstatus(db->conn) ==
	       CONNECTION_OK; /* a notice, or a changed setting of the server */
}

static bool may_try(struct db_pool *p)
{
	bool may;

	pthread_mutex_lock(&p->lock);
	may = !p->away || (!p->trying && clock_ms() >= p->retry_at);
	if (may && p->away)
		p->trying = true;
	pthread_mutex_unlock(&p->lock);
	return may;
}

static void tried(struct db_pool *p, bool success, bool reached)
{
	pthread_mutex_lock(&p->lock);
	p->trying = false;
	p->away = !reached;
	p->connects += success;
	p->failures += !success;
	if (reached) {
		p->retry_ms = 0;
	} else {
		p->retry_ms = p->retry_ms ? p->retry_ms * 2 : DB_RETRY_FIRST_MS;
		if (p->retry_ms > DB_RETRY_MOST_MS)
			p->retry_ms = DB_RETRY_MOST_MS;
		p->retry_at = clock_ms() + p->retry_ms;
	}
	pthread_mutex_unlock(&p->lock);
}

/*
 * Leaves what was wrong in `words`. A session may be ended by an administrator while it begins:
 * then the server was reached, all the same. Nor is it away because we have no memory. The ctx has
 * no arena, so nothing escapes.
 */
static bool connect_once(struct db_pool *p, struct db *db, char words[256], bool *reached)
{
	struct ctx plain = { 0 };
	char state[6] = "";

	*reached = false;
	db->conn = connect_open(p->conninfo);
	if (db->conn && PQstatus(db->conn) == CONNECTION_OK) {
		*reached = true;
		if (connect_setup(&plain, db, p->statement_timeout_ms) == 0)
			return true;
	} else if (db->conn) {
		connect_sqlstate(db->conn, state);
		*reached = strcmp(state, "57P01") == 0 ||
			   strstr(PQerrorMessage(db->conn), "out of memory");
	} else {
		*reached = true;
	}
	snprintf(words, 256, "%.255s", db->conn ? PQerrorMessage(db->conn) : "no memory");
	disconnect(db);
	return false;
}

static bool connect_now(struct db_pool *p, struct db *db, char words[256])
{
	bool reached, ok;

	if (!may_try(p)) {
		snprintf(words, 256, "PostgreSQL was away a moment ago");
		return false;
	}
	ok = connect_once(p, db, words, &reached) ||
	     (reached && connect_once(p, db, words, &reached));
	tried(p, ok, reached);
	return ok;
}

int db_get(struct ctx *c, struct db_pool *p, int wait_ms)
{
	struct db *db = take_or_wait(p, wait_ms);
	char words[256] = "";

	assert(!c->db);
	if (!db)
		return error_unavailable(c, "every database connection is busy");
	if (db->conn && !still_there(db))
		disconnect(db);
	if (db->conn || connect_now(p, db, words)) {
		c->db = db;
		return 0;
	}
	give_back(p, db);
	return error_unavailable(c, *words ? words : "no answer from PostgreSQL in time");
}

/* Rolls back without the arena, which may be exhausted. */
static void end_transaction(struct db *db)
{
	PGresult *r;

	if (!PQsendQueryParams(db->conn, "ROLLBACK", 0, NULL, NULL, NULL, NULL, 1) ||
	    !PQpipelineSync(db->conn)) {
		db->broken = true;
		return;
	}
	for (int left = 4; left > 0 && !db->broken; left--) {
		ExecStatusType status;

		r = pipeline_result(db);
		status = r ? PQresultStatus(r) : PGRES_COMMAND_OK;
		PQclear(r);
		if (status == PGRES_PIPELINE_SYNC)
			break;
		if (status != PGRES_COMMAND_OK)
			db->broken = true;
	}
}

/* Back to an idle session, or marked broken. */
static void reset(struct ctx *c, struct db *db)
{
	PGTransactionStatusType status;

	pipeline_drop(c, db);
	db->in_tx = false;
	if (!db->broken && PQpipelineStatus(db->conn) == PQ_PIPELINE_OFF)
		db->broken = true;      /* left in the middle of a COPY */
	if (db->broken)
		return;
	status = PQtransactionStatus(db->conn);
	if (status == PQTRANS_INTRANS || status == PQTRANS_INERROR)
		end_transaction(db);
	if (!db->broken && PQtransactionStatus(db->conn) != PQTRANS_IDLE)
		db->broken = true;
}

void db_recover(struct ctx *c)
{
	if (c->db)
		reset(c, c->db);
}

void db_abandon(struct ctx *c)
{
	c->db->broken = true;
}

void db_put(struct ctx *c, struct db_pool *p)
{
	struct db *db = c->db;

	assert(db);
	reset(c, db);
	if (db->broken || db->statements.lost > DB_LOST_STATEMENTS)
		disconnect(db);
	c->db = NULL;
	give_back(p, db);
}

void db_pool_stats(struct db_pool *p, struct db_pool_stats *ret)
{
	pthread_mutex_lock(&p->lock);
	*ret = (struct db_pool_stats){ .size = p->size, .busy = p->busy, .waiting = p->waiting,
	                               .connects = p->connects, .failures = p->failures };
	for (const struct db *db = p->idle; db; db = db->next)
		ret->idle++;
	pthread_mutex_unlock(&p->lock);
}
