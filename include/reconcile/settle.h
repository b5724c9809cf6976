/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * settle — settles runs that rest (store/settle.h): those that this daemon wrote, some time after their last change,
 * and now and then whatever is left, after an upgrade, an import or a crash. Each daemon does, a few runs at a time,
 * and rests longer than it keeps writers waiting.
 */
#ifndef RECONCILE_SETTLE_H
#define RECONCILE_SETTLE_H

struct db_pool;
struct settle_loop;

enum { SETTLE_CONNECTIONS = 1 };        /* that its pool needs */

/* NULL: no memory or thread. */
struct settle_loop *reconcile_settle_start(struct db_pool *pool);
void reconcile_settle_stop(struct settle_loop *l);

#endif
