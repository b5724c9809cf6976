/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "reconcile/curve.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/thread.h"
#include "db/db.h"
#include "store/curve.h"

enum {
	LOOK_MS = 1000,
	CONNECT_MS = 1000,
	REST = 4,                       /* times the work of doing again what was done before */
	REST_MOST_MS = 60000,
};

struct curve_loop {
	struct db_pool *pool;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t stopping;
	bool stop;
	bool failing;
};

struct look {
	struct curve_loop *loop;
	struct curve_id id;
	struct curve_rolled rolled;
};

static int look(struct ctx *c, void *arg)
{
	struct look *l = arg;

	if (db_get(c, l->loop->pool, CONNECT_MS))
		return -1;
	return store_curve_roll(c, l->id, &l->rolled);
}

static void report(struct curve_loop *l, const struct ctx *c, bool failed)
{
	if (failed && !l->failing)
		log_event(LOG_WARN, "rolling up a metric fails", "error", c->error.message, "detail",
		          c->error.detail, NULL);
	l->failing = failed;
}

/* False: stop. */
static bool rest(struct curve_loop *l, int64_t ms)
{
	struct timespec until = clock_deadline(ms);
	bool go;

	pthread_mutex_lock(&l->lock);
	while (!l->stop
	       && !pthread_cond_clockwait(&l->stopping, &l->lock, CLOCK_MONOTONIC, &until))
		;
	go = !l->stop;
	pthread_mutex_unlock(&l->lock);
	return go;
}

static int64_t roll(struct curve_loop *l, struct ctx *c, struct curve_id id)
{
	struct look now = { .loop = l, .id = id };
	int64_t began = clock_ms(), took;
	bool failed = work_run(c, look, &now) != 0;

	report(l, c, failed);
	if (c->db) {
		if (failed)
			db_abandon(c);
		db_recover(c);
		db_put(c, l->pool);
		c->db = NULL;
	}
	error_clear(c);
	arena_reset(c->arena);
	if (failed)
		return LOOK_MS;
	took = clock_ms() - began;
	if (!now.rolled.again)
		return 0;
	return took * REST < REST_MOST_MS ? took * REST : REST_MOST_MS;
}

static void *run(void *arg)
{
	struct curve_loop *l = arg;
	struct ctx c = { .arena = arena_new(LIMIT_ARENA) };
	struct curve_id id;

	while (c.arena && rest(l, 0)) {
		if (store_curve_next(&id, LOOK_MS) && !rest(l, roll(l, &c, id)))
			break;
	}
	arena_free(c.arena);
	return NULL;
}

struct curve_loop *reconcile_curve_start(struct db_pool *pool)
{
	struct curve_loop *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->pool = pool;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->stopping, NULL);
	store_curve_stop(false);
	if (!thread_start(&l->thread, "curves", run, l))
		return l;
	pthread_cond_destroy(&l->stopping);
	pthread_mutex_destroy(&l->lock);
	free(l);
	return NULL;
}

void reconcile_curve_stop(struct curve_loop *l)
{
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_cond_signal(&l->stopping);
	pthread_mutex_unlock(&l->lock);
	store_curve_stop(true);
	pthread_join(l->thread, NULL);
	pthread_cond_destroy(&l->stopping);
	pthread_mutex_destroy(&l->lock);
	free(l);
}
