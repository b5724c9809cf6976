/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Transactions. BEGIN travels with the first statement, COMMIT with the last ones queued. */

#include <assert.h>
#include <string.h>

#include "internal.h"

static const struct stmt begin = { "begin", "", "BEGIN" };
static const struct stmt snapshot = {
	"begin_snapshot", "", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
};
static const struct stmt commit = { "commit", "", "COMMIT" };
static const struct stmt rollback = { "rollback", "", "ROLLBACK" };

static void queue_begin(struct ctx *c, const struct stmt *how)
{
	assert(!c->db->in_tx);
	c->db->in_tx = true;
	pipeline_add(c, &(struct item){ .stmt = how, .begin = true }, NO_ARGS);
}

void db_queue_begin(struct ctx *c)
{
	queue_begin(c, &begin);
}

void db_queue_begin_snapshot(struct ctx *c)
{
	queue_begin(c, &snapshot);
}

void db_queue_commit(struct ctx *c)
{
	struct db *db = c->db;

	assert(db->in_tx);
	db->in_tx = false;
	if (db->first && db->first == db->last && db->first->begin) {
		db->first = db->last = NULL;    /* nothing happened */
		return;
	}
	pipeline_add(c, &(struct item){ .stmt = &commit, .commit = true }, NO_ARGS);
}

/* The server's session may be lost, its transaction not: it ends with the session. */
int db_rollback(struct ctx *c)
{
	struct db *db = c->db;
	struct error first = c->error;
	char state[sizeof(db->sqlstate)], constraint[sizeof(db->constraint)];
	int result;

	pipeline_drop(c, db);
	db->in_tx = false;
	if (db->broken)
		return error_lost(c, db);
	if (PQtransactionStatus(db->conn) == PQTRANS_IDLE)
		return 0;
	memcpy(state, db->sqlstate, sizeof(state));
	memcpy(constraint, db->constraint, sizeof(constraint));
	pipeline_add(c, &(struct item){ .stmt = &rollback }, NO_ARGS);
	result = db_flush(c);
	if (result == 0 && PQtransactionStatus(db->conn) != PQTRANS_IDLE)
		result = error_lost(c, db);
	/* What led here stays known, so that the caller may ask for it afterwards. */
	memcpy(db->sqlstate, state, sizeof(state));
	memcpy(db->constraint, constraint, sizeof(constraint));
	if (first.code != OK)
		c->error = first;
	return result;
}

/* Only the server's own word that the transaction failed: then nothing of it is stored. */
static bool worth_another(const struct db *db)
{
	return !db->broken &&
	       (strcmp(db->sqlstate, "40001") == 0 || strcmp(db->sqlstate, "40P01") == 0);
}

int tx_run(struct ctx *c, int (*fn)(struct ctx *c, void *arg), void *arg)
{
	for (int tries = 1;; tries++) {
		bool again;

		db_queue_begin(c);
		*c->db->sqlstate = '\0';
		if (fn(c, arg) == 0) {
			db_queue_commit(c);
			if (db_flush(c) == 0)
				return 0;
		}
		assert(c->error.code != OK);
		again = tries < DB_TX_TRIES && worth_another(c->db);
		if (db_rollback(c) || !again)
			return -1;
		error_clear(c);
	}
}
