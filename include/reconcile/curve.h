/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * curve — a thread that rolls up the metric histories that grew or were asked for (store/curve.h), one after the other.
 * Every daemon has one, for what passed through it.
 */
#ifndef RECONCILE_CURVE_H
#define RECONCILE_CURVE_H

struct db_pool;
struct curve_loop;

enum { CURVE_CONNECTIONS = 1 };         /* of the pool, while there is something to do */

/* NULL: no memory or thread. */
struct curve_loop *reconcile_curve_start(struct db_pool *pool);
void reconcile_curve_stop(struct curve_loop *l);

#endif
