/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Threads that read what waits. A group is what arrived while the others were read; nobody waits
   for company. */

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/thread.h"
#include "db/db.h"
#include "store/read.h"

enum {
	CONNECTION_WAIT_MS = 5000,
	THREADS = 16,
};

struct reader {
	struct queue *queue;
	struct db_pool *pool;
	atomic_uint_least64_t groups, requests;
	unsigned count;
	pthread_t threads[THREADS];
};

struct group {
	struct reader *reader;
	struct read *const *reads;
	size_t count;
};

static int read_group(struct ctx *c, void *arg)
{
	const struct group *g = arg;

	if (db_get(c, g->reader->pool, CONNECTION_WAIT_MS))
		return -1;
	return store_read(c, g->reads, g->count);
}

static void fail_all(const struct group *g, const struct error *e)
{
	for (size_t i = 0; i < g->count; i++) {
		error_clear(g->reads[i]->ctx);
		(void)fail_because(g->reads[i]->ctx, e->code, e->detail, "%s", e->message);
	}
}

/* False: the group failed, which may be the doing of one. */
static bool serve(const struct group *g)
{
	struct ctx c = { .arena = arena_new(LIMIT_ARENA) };
	struct group arg = *g;
	bool served = true;

	if (!c.arena) {
		fail_all(g, &(struct error){ .code = TEMPORARILY_UNAVAILABLE,
		         .message = "The server is out of memory; try again later." });
		return true;
	}
	if (work_run(&c, read_group, &arg)) {
		if (c.db)
			db_recover(&c);
		served = g->count == 1 || c.error.code == TEMPORARILY_UNAVAILABLE;
		if (served)
			fail_all(g, &c.error);
	}
	if (c.db)
		db_put(&c, g->reader->pool);
	for (size_t i = 0; served && i < g->count; i++) {
		if (g->reads[i]->ctx->error.code == OK)
			g->reads[i]->found(g->reads[i]);
	}
	arena_free(c.arena);
	return served;
}

static void serve_each(const struct group *g)
{
	for (size_t i = 0; i < g->count; i++) {
		error_clear(g->reads[i]->ctx);
		(void)serve(&(struct group){ g->reader, &g->reads[i], 1 });
	}
}

/* After done() a read, and all its memory, is another thread's. */
static void finish(const struct group *g)
{
	for (size_t i = 0, end; i < g->count; i = end) {
		for (end = i + 1; end < g->count && g->reads[end]->done == g->reads[i]->done;)
			end++;
		g->reads[i]->done(&g->reads[i], end - i);
	}
}

static void work(struct reader *m, struct queue_node *n)
{
	struct read *shared[LIMIT_READS], *alone[LIMIT_READS];
	struct group group = { m, shared, 0 }, others = { m, alone, 0 };

	for (; n; n = n->next) {
		struct read *r = (struct read *)n;

		if (r->alone)
			alone[others.count++] = r;
		else
			shared[group.count++] = r;
	}
	atomic_fetch_add_explicit(&m->groups, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&m->requests, group.count + others.count, memory_order_relaxed);
	if (group.count && !serve(&group))
		serve_each(&group);
	finish(&group);
	serve_each(&others);
	finish(&others);
}

static void *run(void *arg)
{
	struct reader *m = arg;
	struct queue_node *n;
	size_t count;

	while ((n = queue_pop_many(m->queue, LIMIT_READS, 0, NULL, &count)))
		work(m, n);
	return NULL;
}

/* ---- the threads ---- */

struct reader *reader_new(struct db_pool *pool, unsigned threads)
{
	struct reader *m = calloc(1, sizeof(*m));

	assert(threads > 0 && threads <= THREADS);
	if (!m)
		return NULL;
	m->pool = pool;
	m->queue = queue_new(LIMIT_QUEUE);
	while (m->queue && m->count < threads &&
	       thread_start(&m->threads[m->count], "reader", run, m) == 0)
		m->count++;
	if (m->count < threads) {
		reader_free(m);
		return NULL;
	}
	return m;
}

bool reader_submit(struct reader *m, struct read *r)
{
	return queue_push(m->queue, &r->node);
}

void reader_stats(struct reader *m, struct reader_stats *ret)
{
	*ret = (struct reader_stats){
		.groups = atomic_load_explicit(&m->groups, memory_order_relaxed),
		.requests = atomic_load_explicit(&m->requests, memory_order_relaxed),
		.queued = queue_length(m->queue),
	};
}

void reader_free(struct reader *m)
{
	if (!m)
		return;
	if (m->queue)
		queue_close(m->queue);
	for (unsigned i = 0; i < m->count; i++)
		pthread_join(m->threads[i], NULL);
	queue_free(m->queue);
	free(m);
}
