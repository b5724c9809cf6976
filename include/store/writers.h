/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * writers — who changes runs, and who derives something from them.
 *
 * What is derived from a run's rows (store/settle.h) must not miss a
 * row whose transaction commits a moment later. So each transaction that changes runs' rows enters
 * first, beside all others, and one that derives keeps the writers out while it reads and stores.
 * Both end with the transaction. All daemons on a database share it.
 */
#ifndef STORE_WRITERS_H
#define STORE_WRITERS_H

#include "base/ctx.h"

/* Queued after db_queue_begin, before anything is read. */
void writers_enter(struct ctx *c);

/* Inside a transaction, before anything is read: 1 held, 0 the writers did not leave in 50 ms (the
   transaction is over then: roll it back and come again later), -1. New writers wait meanwhile, so
   keep it for a few milliseconds at most. */
int writers_keep_out(struct ctx *c) MUST_CHECK;

#endif
