/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * reconcile — one loop per kind: a thread that, as long as this daemon leads, looks again and again at what is wanted
 * and does what is missing. Waking only makes it look sooner: what is true is always read anew. The leader is who
 * holds an advisory lock; it ends with its connection, so that a daemon that died is followed at once.
 */
#ifndef RECONCILE_RECONCILE_H
#define RECONCILE_RECONCILE_H

#include <stdbool.h>

#include "base/ctx.h"
#include "store/leader.h"

struct db_pool;
struct reconcile;

enum { RECONCILE_POLL_MS = 1000 };      /* looks at least so often */

struct reconcile_kind {
	const char *name;               /* of the thread, and in the log */
	enum store_leader lock;
	/* One look, with the leader's connection and a fresh arena. *wait_ms: when to look again, RECONCILE_POLL_MS at
	   first. -1 (error set): logged, the lead is given up for a while. */
	int (*pass)(struct ctx *c, void *arg, int *wait_ms);
	void *arg;
};

/* Keeps one connection of the pool. NULL: no memory or thread. `k` must stay. */
struct reconcile *reconcile_start(const struct reconcile_kind *k, struct db_pool *pool);
void reconcile_stop(struct reconcile *r);

/* From any thread; never blocks for long. Something is, or will be in a moment, there to see. */
void reconcile_wake(struct reconcile *r);

/* Does this daemon lead? Asked before each thing that must not be done twice at one time. */
bool reconcile_leads(const struct reconcile *r);

#endif
