/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* leader — one of the daemons on a database, for as long as its connection lives. */
#ifndef STORE_LEADER_H
#define STORE_LEADER_H

#include <stdint.h>

#include "base/ctx.h"

enum store_leader {                     /* advisory locks; the migrations' is another one (db/migrate.c) */
	LEADER_WEBHOOKS = 1,
};

/* Takes the lock for c->db's session: 1, or 0: another daemon has it. */
int store_leader_try(struct ctx *c, enum store_leader lock) MUST_CHECK;
int store_leader_release(struct ctx *c, enum store_leader lock) MUST_CHECK;

#endif
