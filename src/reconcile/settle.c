/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "reconcile/settle.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/thread.h"
#include "db/db.h"
#include "store/settle.h"

enum {
	CONNECT_MS = 1000,
	LOOK_MS = 250,
	LAST_BACKOFF_MS = 10000,
	SWEEP_MS = 30000,
	FEWEST = 8, MOST = 256,         /* runs at one time */
	LONG_US = 8000,                 /* writers should not wait longer: fewer runs next time */
	SHORT_US = 3000,
	BUSY_SHARE = 20, IDLE_SHARE = 2, /* rests so many times as long as it worked, beside writers and without */
};

struct settle_loop {
	struct db_pool *pool;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stop;                      /* under the lock; all else is the thread's */

	int64_t runs[MOST];             /* to be settled, also tried before */
	size_t count;
	size_t most;                    /* taken at one time */
	struct settle_place place;      /* of the sweep */
	int64_t sweep_at;
	uint64_t changes;               /* store_settle_changes() after the last pass */
	bool failing;
};

/* The tests' way to have runs settle at once, or never: milliseconds of rest, of all runs, and between sweeps. */
static int64_t test_rest(void)
{
	const char *text = getenv("CAPSTAN_TEST_SETTLE_MS");

	return text ? strtoll(text, NULL, 10) : -1;
}

/* ---- one pass ---- */

static int sweep(struct ctx *c, struct settle_loop *l)
{
	int64_t found[MOST];
	size_t count;

	if (clock_ms() < l->sweep_at)
		return 0;
	if (store_settle_list(c, &l->place, found, l->most, &count))
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (!store_settle_is_active(found[i]))
			l->runs[l->count++] = found[i];
	}
	if (count < l->most) {
		l->place = (struct settle_place){ 0 };
		l->sweep_at = clock_ms() + (test_rest() >= 0 ? test_rest() : SWEEP_MS);
	}
	return 0;
}

struct pass {
	struct settle_loop *l;
	int64_t worked_us;
	bool more;
};

static int pass(struct ctx *c, void *arg)
{
	struct pass *p = arg;
	struct settle_loop *l = p->l;
	int64_t began;
	int settled;

	if (!l->count)
		l->count = store_settle_rested(l->runs, l->most);
	if (!l->count && clock_ms() < l->sweep_at)
		return 0;
	if (db_get(c, l->pool, CONNECT_MS) || (!l->count && sweep(c, l)))
		return -1;
	p->more = l->count == l->most || clock_ms() >= l->sweep_at;
	if (!l->count)
		return 0;
	began = clock_us();
	settled = store_settle(c, l->runs, l->count);
	p->worked_us = clock_us() - began;
	if (settled < 0)
		return -1;
	if (!settled || p->worked_us > LONG_US)
		l->most = l->most / 2 < FEWEST ? FEWEST : l->most / 2;
	else if (p->worked_us < SHORT_US)
		l->most = l->most * 2 > MOST ? MOST : l->most * 2;
	if (settled)
		l->count = 0;
	return 0;
}

/* ---- the loop ---- */

/* False: stop. */
static bool rest(struct settle_loop *l, int64_t ms)
{
	struct timespec until = clock_deadline(ms);
	bool go;

	pthread_mutex_lock(&l->lock);
	while (!l->stop && !pthread_cond_timedwait(&l->changed, &l->lock, &until))
		;
	go = !l->stop;
	pthread_mutex_unlock(&l->lock);
	return go;
}

static int64_t pause_after(struct settle_loop *l, const struct pass *p)
{
	uint64_t changes = store_settle_changes();
	bool busy = changes != l->changes;
	int64_t ms = p->worked_us * (busy ? BUSY_SHARE : IDLE_SHARE) / 1000 + 1;
	int64_t look = test_rest() >= 0 ? 2 : LOOK_MS;

	l->changes = changes;
	return p->more || ms > look ? ms : look;
}

static void *run(void *arg)
{
	struct settle_loop *l = arg;
	struct ctx c = { .arena = arena_new(LIMIT_ARENA) };
	int64_t backoff = LOOK_MS, wait = 0;

	while (c.arena && rest(l, wait)) {
		struct pass p = { .l = l };
		bool failed = work_run(&c, pass, &p) != 0;

		if (failed && !l->failing)
			log_event(LOG_WARN, "runs cannot be settled", "error", c.error.message,
			          "detail", c.error.detail, NULL);
		l->failing = failed;
		if (failed)
			l->count = 0;           /* the sweep finds them again */
		backoff = !failed ? LOOK_MS : backoff * 2 > LAST_BACKOFF_MS ? LAST_BACKOFF_MS
		                                                            : backoff * 2;
		wait = failed ? backoff : pause_after(l, &p);
		if (c.db) {
			db_recover(&c);
			db_put(&c, l->pool);
		}
		error_clear(&c);
		arena_reset(c.arena);
	}
	arena_free(c.arena);
	return NULL;
}

struct settle_loop *reconcile_settle_start(struct db_pool *pool)
{
	struct settle_loop *l = calloc(1, sizeof(*l));
	pthread_condattr_t attr;

	if (!l)
		return NULL;
	if (test_rest() >= 0)
		store_settle_configure(test_rest(), test_rest());
	l->pool = pool;
	l->most = FEWEST;
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->changed, &attr);
	pthread_condattr_destroy(&attr);
	if (!thread_start(&l->thread, "settle", run, l))
		return l;
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->lock);
	free(l);
	return NULL;
}

void reconcile_settle_stop(struct settle_loop *l)
{
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_cond_signal(&l->changed);
	pthread_mutex_unlock(&l->lock);
	pthread_join(l->thread, NULL);
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->lock);
	free(l);
}
