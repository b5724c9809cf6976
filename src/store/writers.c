/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/writers.h"

#include <string.h>

#include "db/db.h"

/* 25441 = 0x6361, the number space of store/leader.c, whose locks are 1 and up. */
enum { ENTER, PATIENCE, KEEP_OUT };

static const struct stmt stmts[] = {
	[ENTER] = { "writers_enter", "", "SELECT pg_advisory_xact_lock_shared(25441, 0)" },
	/* Who waits for the lock holds up all who want to enter after it. */
	[PATIENCE] = { "writers_patience", "", "SET LOCAL lock_timeout = '50ms'" },
	[KEEP_OUT] = { "writers_keep_out", "", "SELECT pg_advisory_xact_lock(25441, 0)" },
};

void writers_enter(struct ctx *c)
{
	db_queue(c, &stmts[ENTER], NO_ARGS, NULL);
}

int writers_keep_out(struct ctx *c)
{
	db_queue(c, &stmts[PATIENCE], NO_ARGS, NULL);
	db_queue(c, &stmts[KEEP_OUT], NO_ARGS, NULL);
	if (db_flush(c) == 0)
		return 1;
	if (strcmp(db_sqlstate(c), "55P03") != 0)
		return -1;
	error_clear(c);
	return 0;
}
