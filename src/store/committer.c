/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Threads that commit what waits. A group is what arrived while the last commit ran; where that is
 * known to be a few requests and not one, the next is held open for a moment, because their
 * clients are about to ask again.
 *
 * Large batches travel apart: a metric logged beside them would otherwise wait until all that came before it are
 * stored. Each kind has as many groups at work as pay, and one thread more than one kind uses is there for the other.
 */

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/lanes.h"
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

enum { LANE_LIGHT, LANE_BULK, LANES };

struct committer {
	struct lanes *lanes;
	struct db_pool *pool;
	pthread_mutex_t taking;         /* held by the one thread that takes */
	atomic_uint recent;             /* mean requests of the last light groups, times RECENT_UNIT */
	atomic_uint_least64_t commits, requests, points, failures;
	unsigned count;
	pthread_t threads[THREADS];
};

struct group {
	struct committer *committer;
	struct write *writes[LIMIT_COMMIT_REQUESTS];
	size_t count;
	size_t weight;
	unsigned lane;
};

static size_t weigh(const struct queue_node *n)
{
	return write_weight((const struct write *)n);
}

/* ---- taking a group ---- */

static void add(struct group *g, struct queue_node *n)
{
	for (; n; n = n->next) {
		assert(g->count < LIMIT_COMMIT_REQUESTS);
		g->writes[g->count++] = (struct write *)n;
		g->weight += weigh(n);
	}
}

/* Never for a client alone: the mean is 1 then. */
static void gather(struct group *g)
{
	struct committer *m = g->committer;
	unsigned recent = atomic_load_explicit(&m->recent, memory_order_relaxed);
	size_t expected = recent / RECENT_UNIT, count;

	if (recent <= RECENT_UNIT * 3 / 2 || expected >= GATHER_BELOW)
		return;
	for (int waited = 0; waited < GATHER_US; waited += GATHER_STEP_US) {
		if (g->count + lanes_waiting(m->lanes, g->lane) > expected)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = GATHER_STEP_US * 1000 }, NULL);
	}
	if (g->weight < LIMIT_COMMIT_POINTS && g->count < LIMIT_COMMIT_REQUESTS)
		add(g, lanes_pop_more(m->lanes, g->lane, LIMIT_COMMIT_REQUESTS - g->count,
				      LIMIT_COMMIT_POINTS - g->weight, weigh, &count));
}

static bool next_group(struct group *g)
{
	struct committer *m = g->committer;
	size_t count;

	g->count = g->weight = 0;
	/* Others would take what a group that is held open waits for. */
	pthread_mutex_lock(&m->taking);
	add(g, lanes_pop_many(m->lanes, LIMIT_COMMIT_REQUESTS, LIMIT_COMMIT_POINTS, weigh, &count, &g->lane));
	if (g->count && g->lane == LANE_LIGHT)
		gather(g);
	pthread_mutex_unlock(&m->taking);
	return g->count > 0;
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
	if (g->lane == LANE_LIGHT) {
		recent += (unsigned)g->count * (RECENT_UNIT / RECENT_GROUPS) - recent / RECENT_GROUPS;
		atomic_store_explicit(&m->recent, recent, memory_order_relaxed);
	}
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
	while (next_group(g)) {
		work(g);
		lanes_done(g->committer->lanes, g->lane);
	}
	free(g);
	return NULL;
}

/* ---- the threads ---- */

struct committer *committer_new(struct db_pool *pool, unsigned threads)
{
	struct committer *m = calloc(1, sizeof(*m));
	unsigned most = threads > 1 ? threads - 1 : 1;
	const struct lane lanes[LANES] = { { LIMIT_QUEUE, most }, { LIMIT_QUEUE, most } };

	assert(threads > 0 && threads <= THREADS);
	if (!m)
		return NULL;
	m->pool = pool;
	pthread_mutex_init(&m->taking, NULL);
	m->lanes = lanes_new(lanes, LANES);
	while (m->lanes && m->count < threads &&
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
	return lanes_push(m->lanes, write_weight(w) > LIMIT_LIGHT_WRITE ? LANE_BULK : LANE_LIGHT, &w->node);
}

void committer_stats(struct committer *m, struct committer_stats *ret)
{
	*ret = (struct committer_stats){
		.commits = atomic_load_explicit(&m->commits, memory_order_relaxed),
		.requests = atomic_load_explicit(&m->requests, memory_order_relaxed),
		.points = atomic_load_explicit(&m->points, memory_order_relaxed),
		.failures = atomic_load_explicit(&m->failures, memory_order_relaxed),
		.queued = lanes_length(m->lanes),
	};
}

void committer_free(struct committer *m)
{
	if (!m)
		return;
	if (m->lanes)
		lanes_close(m->lanes);
	for (unsigned i = 0; i < m->count; i++)
		pthread_join(m->threads[i], NULL);
	lanes_free(m->lanes);
	pthread_mutex_destroy(&m->taking);
	free(m);
}
