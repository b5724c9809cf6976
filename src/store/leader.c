/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/leader.h"

#include "db/db.h"

enum { LEADER_TRY, LEADER_RELEASE };

/* Two numbers, so that they are apart from the one-number lock of the migrations. */
enum { OURS = 0x6361 };

static const struct stmt stmts[] = {
	[LEADER_TRY] = { "leader_try", "nn", "SELECT pg_try_advisory_lock($1, $2) AS held" },
	[LEADER_RELEASE] = { "leader_release", "nn", "SELECT pg_advisory_unlock($1, $2) AS held" },
};

struct row {
	const bool *held;
};

static const struct record row_record = { sizeof(struct row), (const struct field[]){
	BOOL(struct row, held, 0),
	END }};

int store_leader_try(struct ctx *c, enum store_leader lock)
{
	struct row r = { 0 };

	if (db_one(c, &stmts[LEADER_TRY], ARGS(INTEGER(OURS), INTEGER(lock)), &row_record, &r) < 0)
		return -1;
	return r.held && *r.held;
}

int store_leader_release(struct ctx *c, enum store_leader lock)
{
	struct row r = { 0 };

	return db_one(c, &stmts[LEADER_RELEASE], ARGS(INTEGER(OURS), INTEGER(lock)), &row_record, &r) < 0
	               ? -1 : 0;
}
