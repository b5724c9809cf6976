/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Threads that commit what waits. A group is what arrived while the last commit ran; where that is
 * known to be a few requests and not one, the next is held open for a moment, because their
 * clients are about to ask again.
 */

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/thread.h"
#include "db/db.h"
#include "keys.h"
#include "store/write.h"

enum {
	CONNECTION_WAIT_MS = 2000,      /* there is one for each of us: it is being returned */
	GATHER_US = 200,
	GATHER_STEP_US = 50,
	GATHER_BELOW = 64,              /* larger groups need no help */
	RECENT_UNIT = 64,
	RECENT_GROUPS = 8,
	THREADS = 16,
};

struct committer {
	struct queue *queue;
	struct db_pool *pool;
	pthread_mutex_t taking;         /* held by the one thread that takes from the queue */
	atomic_uint recent;             /* mean requests of the last groups, times RECENT_UNIT */
	atomic_uint_least64_t commits, requests, points, failures;
	unsigned count;
	pthread_t threads[THREADS];
};

struct group {
	struct committer *committer;
	struct write *writes[LIMIT_COMMIT_REQUESTS];
	size_t count;
	size_t weight;
};

static size_t weigh(const struct queue_node *n)
{
	return write_weight((const struct write *)n);
}

/* ---- taking a group ---- */

/* Only while holding `taking`: then what the queue is seen to hold is still there. */
static bool take(struct group *g)
{
	size_t count, room = g->weight < LIMIT_COMMIT_POINTS ? LIMIT_COMMIT_POINTS - g->weight : 0;
	struct queue_node *n = queue_pop_many(g->committer->queue, LIMIT_COMMIT_REQUESTS - g->count,
	                                      room, weigh, &count);

	if (!n)
		return false;
	for (; n; n = n->next) {
		assert(g->count < LIMIT_COMMIT_REQUESTS);
		g->writes[g->count++] = (struct write *)n;
		g->weight += weigh(n);
	}
	return true;
}

/* Never for a client alone: the mean is 1 then. */
static void gather(struct group *g)
{
	struct committer *m = g->committer;
	unsigned recent = atomic_load_explicit(&m->recent, memory_order_relaxed);
	size_t expected = recent / RECENT_UNIT;

	if (recent <= RECENT_UNIT * 3 / 2 || expected >= GATHER_BELOW)
		return;
	for (int waited = 0; waited < GATHER_US; waited += GATHER_STEP_US) {
		if (g->count + queue_length(m->queue) > expected)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = GATHER_STEP_US * 1000 }, NULL);
	}
	if (queue_length(m->queue) > 0 && g->weight < LIMIT_COMMIT_POINTS &&
	    g->count < LIMIT_COMMIT_REQUESTS)
		take(g);
}

static bool next_group(struct group *g)
{
	struct committer *m = g->committer;
	bool any;

	g->count = g->weight = 0;
	pthread_mutex_lock(&m->taking);
	any = take(g);
	if (any)
		gather(g);
	pthread_mutex_unlock(&m->taking);
	return any;
}

/* ---- committing it ---- */

static int commit(struct ctx *c, void *arg)
{
	struct group *g = arg;

	if (db_get(c, g->committer->pool, CONNECTION_WAIT_MS))
		return -1;
	return store_commit(c, g->writes, g->count);
}

static int copy_error(struct ctx *c, void *arg)
{
	const struct error *e = arg;

	return fail_because(c, e->code, e->detail, "%s", e->message);
}

static void fail_all(struct group *g, struct error *e)
{
	for (size_t i = 0; i < g->count; i++) {
		int failed;

		error_clear(g->writes[i]->ctx);
		failed = work_run(g->writes[i]->ctx, copy_error, e);
		assert(failed);
	}
}

/* After done() a write, and all its memory, is another thread's. */
static void answer(struct group *g)
{
	struct committer *m = g->committer;
	unsigned recent = atomic_load_explicit(&m->recent, memory_order_relaxed);
	uint64_t points = 0, failures = 0;

	for (size_t i = 0; i < g->count; i++) {
		struct write *w = g->writes[i];

		points += w->metrics.count;
		failures += w->ctx->error.code != OK;
		w->done(w);
	}
	recent += (unsigned)g->count * (RECENT_UNIT / RECENT_GROUPS) - recent / RECENT_GROUPS;
	atomic_store_explicit(&m->recent, recent, memory_order_relaxed);
	atomic_fetch_add_explicit(&m->commits, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&m->requests, g->count, memory_order_relaxed);
	atomic_fetch_add_explicit(&m->points, points, memory_order_relaxed);
	atomic_fetch_add_explicit(&m->failures, failures, memory_order_relaxed);
}

static void work(struct group *g)
{
	struct ctx c = { .arena = arena_new(LIMIT_ARENA) };

	if (!c.arena) {
		fail_all(g, &(struct error){ .code = TEMPORARILY_UNAVAILABLE,
		         .message = "The server is out of memory; try again later." });
		answer(g);
		return;
	}
	if (work_run(&c, commit, g)) {
		if (c.db)
			db_recover(&c);
		if (c.error.code == TEMPORARILY_UNAVAILABLE)
			keys_forget();
		fail_all(g, &c.error);
	}
	/* Before the answers: a client that sees its own may stop the daemon. */
	if (c.db)
		db_put(&c, g->committer->pool);
	answer(g);
	arena_free(c.arena);
}

static void *run(void *arg)
{
	struct group *g = calloc(1, sizeof(*g));

	if (!g) {
		log_event(LOG_ERROR, "a committer has no memory", NULL);
		return NULL;
	}
	g->committer = arg;
	/* The default slack of 50 us would double each step of gather(). */
	prctl(PR_SET_TIMERSLACK, 1000ul);
	while (next_group(g))
		work(g);
	free(g);
	return NULL;
}

/* ---- the threads ---- */

struct committer *committer_new(struct db_pool *pool, unsigned threads)
{
	struct committer *m = calloc(1, sizeof(*m));

	assert(threads > 0 && threads <= THREADS);
	if (!m)
		return NULL;
	m->pool = pool;
	pthread_mutex_init(&m->taking, NULL);
	m->queue = queue_new(LIMIT_QUEUE);
	while (m->queue && m->count < threads &&
	       thread_start(&m->threads[m->count], "committer", run, m) == 0)
		m->count++;
	if (m->count < threads) {
		committer_free(m);
		return NULL;
	}
	return m;
}

bool committer_submit(struct committer *m, struct write *w)
{
	return queue_push(m->queue, &w->node);
}

void committer_stats(struct committer *m, struct committer_stats *ret)
{
	*ret = (struct committer_stats){
		.commits = atomic_load_explicit(&m->commits, memory_order_relaxed),
		.requests = atomic_load_explicit(&m->requests, memory_order_relaxed),
		.points = atomic_load_explicit(&m->points, memory_order_relaxed),
		.failures = atomic_load_explicit(&m->failures, memory_order_relaxed),
		.queued = queue_length(m->queue),
	};
}

void committer_free(struct committer *m)
{
	if (!m)
		return;
	if (m->queue)
		queue_close(m->queue);
	for (unsigned i = 0; i < m->count; i++)
		pthread_join(m->threads[i], NULL);
	queue_free(m->queue);
	pthread_mutex_destroy(&m->taking);
	free(m);
}
