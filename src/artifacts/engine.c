/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * The engine: a run queue of transfers and a few threads. A transfer that has more to do after its
 * step goes to the end of the queue, so that all share alike; a thread that a disk blocks holds
 * nobody but its transfer.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/thread.h"
#include "transfer_impl.h"

static void enqueue(struct transfer_engine *e, struct transfer *t)
{
	t->phase = QUEUED;
	t->next = NULL;
	if (e->last)
		e->last->next = t;
	else
		e->first = t;
	e->last = t;
	pthread_cond_signal(&e->work);
}

/* Gives freed places to those that wait, oldest first. */
static void admit(struct transfer_engine *e)
{
	while (e->active < LIMIT_TRANSFERS && e->waiting_first) {
		struct transfer *t = e->waiting_first;

		e->waiting_first = t->next;
		if (t->next)
			t->next->previous = NULL;
		else
			e->waiting_last = NULL;
		e->waiting--;
		e->active++;
		enqueue(e, t);
	}
}

bool engine_enter(struct transfer *t)
{
	struct transfer_engine *e = t->engine;
	bool entered = true;

	pthread_mutex_lock(&e->lock);
	if (e->active < LIMIT_TRANSFERS) {
		e->active++;
		t->admitted = true; /* nobody else knows t yet */
		t->phase = IDLE;
		if (t->what.kind == STREAM_DOWNLOAD && !t->here)
			enqueue(e, t);
	} else if (e->waiting < LIMIT_QUEUE) {
		t->phase = WAITING;
		t->previous = e->waiting_last;
		if (e->waiting_last)
			e->waiting_last->next = t;
		else
			e->waiting_first = t;
		e->waiting_last = t;
		e->waiting++;
	} else
		entered = false;
	if (entered) {
		t->all_next = e->all;
		t->all_link = &e->all;
		if (e->all)
			e->all->all_link = &t->all_next;
		e->all = t;
	}
	pthread_mutex_unlock(&e->lock);
	return entered;
}

void engine_schedule(struct transfer *t)
{
	struct transfer_engine *e = t->engine;

	pthread_mutex_lock(&e->lock);
	if (t->phase == IDLE)
		enqueue(e, t);
	else if (t->phase == RUNNING)
		t->again = true;
	pthread_mutex_unlock(&e->lock);
}

/* Under e->lock. */
static void unlink_all(struct transfer *t)
{
	*t->all_link = t->all_next;
	if (t->all_next)
		t->all_next->all_link = t->all_link;
}

static void unlink_waiting(struct transfer_engine *e, struct transfer *t)
{
	if (t->previous)
		t->previous->next = t->next;
	else
		e->waiting_first = t->next;
	if (t->next)
		t->next->previous = t->previous;
	else
		e->waiting_last = t->previous;
	e->waiting--;
}

/* Its socket side is gone. */
static void end(struct transfer_engine *e, struct transfer *t)
{
	bool whole;

	blob_write_close(TAKE(t->writer));
	blob_read_close(TAKE(t->reader));
	/* A 304 has nothing to pull. */
	whole = t->done || (t->opened && t->moved == t->head.length);
	atomic_fetch_add(whole ? &e->finished : &e->failed, 1);
	pthread_mutex_lock(&e->lock);
	unlink_all(t);
	pthread_mutex_unlock(&e->lock);
	transfer_free(t);
	pthread_mutex_lock(&e->lock);
	e->active--;
	admit(e);
	pthread_mutex_unlock(&e->lock);
}

void engine_leave(struct transfer *t)
{
	struct transfer_engine *e = t->engine;
	bool ours = false, here = false;

	pthread_mutex_lock(&e->lock);
	assert(!t->closed);
	t->closed = true;
	if (t->phase == WAITING) {
		unlink_waiting(e, t);
		unlink_all(t);
		ours = true;
	} else if (t->phase == IDLE && t->here) {
		t->phase = RUNNING;
		here = true;
	} else if (t->phase == IDLE) {
		enqueue(e, t);
	}
	pthread_mutex_unlock(&e->lock);
	/* In all other phases an engine thread ends it, perhaps already has. */
	if (ours) {
		atomic_fetch_add(&e->failed, 1);
		transfer_free(t);
	} else if (here) {
		end(e, t);
	}
}

/* If it waits and can go on. Under t->lock, which is let go of for the call. */
static void wake(struct transfer *t)
{
	if (!t->armed || t->deaf || !transfer_ready(t))
		return;
	t->armed = false;
	t->waking = true;
	pthread_mutex_unlock(&t->lock);
	t->wake(t->wake_arg);
	pthread_mutex_lock(&t->lock);
	t->waking = false;
	pthread_cond_broadcast(&t->woken);
}

void engine_ready(void *arg)
{
	struct transfer *t = arg;
	bool direct;

	pthread_mutex_lock(&t->lock);
	direct = t->direct || (t->here && !t->opened);
	if (direct) {
		t->readable = true;
		wake(t);
	}
	pthread_mutex_unlock(&t->lock);
	if (!direct)
		engine_schedule(t);
}

static const struct error stopped = { TEMPORARILY_UNAVAILABLE, "The server is stopping", NULL };

/* One turn. True: it wants another. */
static bool turn(struct ctx *c, struct transfer *t)
{
	bool idle, more = false;

	pthread_mutex_lock(&t->lock);
	t->admitted = true;
	if (t->here && !t->opened)
		t->readable = false; /* before it goes on: `ready` may come at once */
	if (atomic_load_explicit(&t->engine->cut, memory_order_relaxed))
		transfer_fail(t, &stopped);
	idle = t->failed || t->done;
	pthread_mutex_unlock(&t->lock);
	if (!idle) {
		int rc = t->what.kind == STREAM_UPLOAD ? upload_step(c, t) : download_step(c, t);

		if (rc < 0) {
			pthread_mutex_lock(&t->lock);
			transfer_fail(t, &c->error);
			pthread_mutex_unlock(&t->lock);
			blob_write_close(TAKE(t->writer));
			blob_read_close(TAKE(t->reader));
		}
		more = rc > 0;
	}
	pthread_mutex_lock(&t->lock);
	wake(t);
	pthread_mutex_unlock(&t->lock);
	return more;
}

struct step {
	struct transfer *transfer;
	bool more;
};

static int run_turn(struct ctx *c, void *arg)
{
	struct step *s = arg;

	s->more = turn(c, s->transfer);
	return 0;
}

/* A turn with an arena of its own for its error; without memory for that the transfer fails. */
static bool run(struct transfer *t, struct arena **arena)
{
	struct step s = { .transfer = t };
	struct ctx c = { 0 };

	if (!*arena)
		*arena = arena_new(STEP_ARENA);
	if (!*arena) {
		struct error e = { TEMPORARILY_UNAVAILABLE, "Out of memory", NULL };

		pthread_mutex_lock(&t->lock);
		transfer_fail(t, &e);
		pthread_mutex_unlock(&t->lock);
		return turn(&c, t); /* needs none any more: it only wakes */
	}
	c.arena = *arena;
	if (work_run(&c, run_turn, &s)) {
		pthread_mutex_lock(&t->lock);
		transfer_fail(t, &c.error);
		pthread_mutex_unlock(&t->lock);
		s.more = true;
	}
	if (arena_used(*arena)) {
		arena_free(*arena);
		*arena = NULL;
	}
	return s.more;
}

/* Under e->lock, which is let go of meanwhile; t may be gone afterwards. */
static void work_on(struct transfer_engine *e, struct transfer *t, struct arena **arena)
{
	bool more = false;

	t->phase = RUNNING;
	t->again = false;
	if (!t->closed) {
		pthread_mutex_unlock(&e->lock);
		more = run(t, arena);
		pthread_mutex_lock(&e->lock);
	}
	if (t->closed) {
		pthread_mutex_unlock(&e->lock);
		end(e, t);
		pthread_mutex_lock(&e->lock);
	} else if (more || t->again) {
		enqueue(e, t);
	} else {
		t->phase = IDLE;
	}
}

void engine_turn(struct transfer *t)
{
	struct transfer_engine *e = t->engine;
	struct arena *arena = NULL;

	pthread_mutex_lock(&e->lock);
	if (t->phase == IDLE)
		work_on(e, t, &arena);
	else if (t->phase == RUNNING)
		t->again = true;
	pthread_mutex_unlock(&e->lock);
	arena_free(arena);
}

static void *engine_thread(void *arg)
{
	struct transfer_engine *e = arg;
	struct arena *arena = NULL;

	thread_pace(THREAD_BULK);
	pthread_mutex_lock(&e->lock);
	for (;;) {
		struct transfer *t = e->first;

		if (!t && e->stopping)
			break;
		if (!t) {
			pthread_cond_wait(&e->work, &e->lock);
			continue;
		}
		e->first = t->next;
		if (!e->first)
			e->last = NULL;
		work_on(e, t, &arena);
	}
	pthread_mutex_unlock(&e->lock);
	arena_free(arena);
	return NULL;
}

struct transfer_engine *transfer_engine_new(struct blob *root, unsigned threads)
{
	struct transfer_engine *e = calloc(1, sizeof(*e) + threads * sizeof(e->threads[0]));

	if (!e)
		return NULL;
	e->root = root;
	pthread_mutex_init(&e->lock, NULL);
	pthread_cond_init(&e->work, NULL);
	for (; e->thread_count < threads; e->thread_count++)
		if (thread_start(&e->threads[e->thread_count], "transfer", engine_thread, e)) {
			transfer_engine_free(e);
			return NULL;
		}
	return e;
}

void transfer_engine_free(struct transfer_engine *e)
{
	if (!e)
		return;
	pthread_mutex_lock(&e->lock);
	e->stopping = true;
	pthread_cond_broadcast(&e->work);
	pthread_mutex_unlock(&e->lock);
	for (unsigned i = 0; i < e->thread_count; i++)
		pthread_join(e->threads[i], NULL);
	assert(!e->active && !e->waiting); /* every transfer was closed */
	pthread_cond_destroy(&e->work);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

void transfer_engine_cut(struct transfer_engine *e)
{
	atomic_store(&e->cut, true);
	pthread_mutex_lock(&e->lock);
	for (struct transfer *t = e->all; t; t = t->all_next) {
		if (t->phase == IDLE)
			enqueue(e, t);
		else if (t->phase == RUNNING)
			t->again = true;
	}
	pthread_mutex_unlock(&e->lock);
}

void transfer_engine_stats(struct transfer_engine *e, struct transfer_stats *ret)
{
	*ret = (struct transfer_stats){
		.started = atomic_load(&e->started),
		.finished = atomic_load(&e->finished),
		.failed = atomic_load(&e->failed),
		.bytes_in = atomic_load(&e->bytes_in),
		.bytes_out = atomic_load(&e->bytes_out),
	};
	pthread_mutex_lock(&e->lock);
	ret->active = e->active;
	ret->waiting = e->waiting;
	pthread_mutex_unlock(&e->lock);
}
