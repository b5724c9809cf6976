/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "reconcile/reconcile.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/thread.h"
#include "db/db.h"

enum { CONNECT_MS = 1000, FIRST_BACKOFF_MS = 250, LAST_BACKOFF_MS = 10000 };

/* An event wakes us before its transaction has committed: a few looks in short order find it. */
static const int looks_ms[] = { 3, 20, 75, 250 };
enum { LOOKS = sizeof(looks_ms) / sizeof(*looks_ms) };

struct reconcile {
	const struct reconcile_kind *kind;
	struct db_pool *pool;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	atomic_bool woken;
	atomic_bool leads;
	bool stop;                      /* under the lock */
	unsigned look;                  /* the thread's: LOOKS: none of them is to come */
	bool failing;
};

bool reconcile_leads(const struct reconcile *r)
{
	return atomic_load(&r->leads);
}

void reconcile_wake(struct reconcile *r)
{
	if (atomic_exchange(&r->woken, true))
		return;
	pthread_mutex_lock(&r->lock);
	pthread_cond_signal(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

/* ---- waiting ---- */

/* Sleeps; with `wakes` until reconcile_wake() at most. False: stop. */
static bool rest(struct reconcile *r, int ms, bool wakes)
{
	struct timespec until = clock_deadline(ms);
	bool go;

	pthread_mutex_lock(&r->lock);
	while (!r->stop && !(wakes && atomic_load(&r->woken))
	       && !pthread_cond_timedwait(&r->changed, &r->lock, &until))
		;
	go = !r->stop;
	pthread_mutex_unlock(&r->lock);
	return go;
}

/* Until the next look. Under a storm of events the looks come every looks_ms[1]. */
static bool pause_between(struct reconcile *r, int wait_ms)
{
	if (r->look == LOOKS) {
		if (!rest(r, wait_ms < RECONCILE_POLL_MS ? wait_ms : RECONCILE_POLL_MS, true))
			return false;
		if (!atomic_exchange(&r->woken, false))
			return true;
		r->look = 0;
	} else if (atomic_exchange(&r->woken, false)) {
		r->look = 1;
	}
	return rest(r, looks_ms[r->look++], false);
}

/* ---- the loop ---- */

struct look {
	struct reconcile *r;
	int wait_ms;
};

static int look(struct ctx *c, void *arg)
{
	struct look *l = arg;
	int held;

	if (!reconcile_leads(l->r)) {
		if (db_get(c, l->r->pool, CONNECT_MS))
			return -1;
		held = store_leader_try(c, l->r->kind->lock);
		if (held <= 0)
			return held;
		atomic_store(&l->r->leads, true);
		log_event(LOG_INFO, "leads", "kind", l->r->kind->name, NULL);
	}
	return l->r->kind->pass(c, l->r->kind->arg, &l->wait_ms);
}

static int release(struct ctx *c, void *arg)
{
	const struct reconcile *r = arg;

	return store_leader_release(c, r->kind->lock);
}

static void give_up_lead(struct reconcile *r, struct ctx *c, bool failed)
{
	bool led = atomic_exchange(&r->leads, false);

	if (failed && !r->failing)
		log_event(LOG_WARN, "reconciling fails", "kind", r->kind->name, "error",
		          c->error.message, "detail", c->error.detail, NULL);
	r->failing = failed;
	if (!c->db)
		return;
	db_recover(c);
	/* The lock belongs to the session: a connection that goes back must not keep it. */
	error_clear(c);
	if (led && work_run(c, release, r))
		db_abandon(c);
	db_put(c, r->pool);
}

static void *run(void *arg)
{
	struct reconcile *r = arg;
	struct ctx c = { .arena = arena_new(LIMIT_ARENA) };
	int backoff = FIRST_BACKOFF_MS;

	while (c.arena) {
		struct look l = { r, RECONCILE_POLL_MS };
		bool failed = work_run(&c, look, &l) != 0;

		if (failed || !reconcile_leads(r)) {
			give_up_lead(r, &c, failed);
			l.wait_ms = failed ? backoff : RECONCILE_POLL_MS;
		} else if (r->failing) {
			r->failing = false;
			log_event(LOG_INFO, "reconciling again", "kind", r->kind->name, NULL);
		}
		backoff = !failed ? FIRST_BACKOFF_MS : backoff * 2 > LAST_BACKOFF_MS ? LAST_BACKOFF_MS
		                                                                    : backoff * 2;
		error_clear(&c);
		arena_reset(c.arena);
		if (!(reconcile_leads(r) ? pause_between(r, l.wait_ms) : rest(r, l.wait_ms, false)))
			break;
	}
	give_up_lead(r, &c, false);
	arena_free(c.arena);
	return NULL;
}

struct reconcile *reconcile_start(const struct reconcile_kind *k, struct db_pool *pool)
{
	struct reconcile *r = calloc(1, sizeof(*r));
	pthread_condattr_t attr;

	if (!r)
		return NULL;
	r->kind = k;
	r->pool = pool;
	r->look = LOOKS;
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->changed, &attr);
	pthread_condattr_destroy(&attr);
	if (!thread_start(&r->thread, k->name, run, r))
		return r;
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
	free(r);
	return NULL;
}

void reconcile_stop(struct reconcile *r)
{
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_cond_signal(&r->changed);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
	free(r);
}
