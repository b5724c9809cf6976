/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Which curves are worth rolling up, as far as this daemon knows. Counts are kept in a table that forgets: of two
 * curves that meet in one slot the one that grows faster stays.
 */

#include <pthread.h>

#include "base/clock.h"
#include "curve.h"

enum { SLOTS = 4096, QUEUE = 1024, WORTH = 2048 };

struct slot {
	struct curve_id id;
	size_t points;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct slot slots[SLOTS];
	struct curve_id queue[QUEUE];   /* the oldest first; each once */
	size_t queued;
	bool stopped;
} wanted = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static bool same(struct curve_id a, struct curve_id b)
{
	return a.run == b.run && a.key == b.key;
}

static void want(struct curve_id id)
{
	for (size_t i = 0; i < wanted.queued; i++) {
		if (same(wanted.queue[i], id))
			return;
	}
	if (wanted.queued == QUEUE)
		return;
	wanted.queue[wanted.queued++] = id;
	pthread_cond_signal(&wanted.changed);
}

void store_curve_grew(struct curve_id id, size_t points)
{
	uint64_t hash = ((uint64_t)id.run * 31 + (uint64_t)id.key) * 0x9e3779b97f4a7c15u;
	struct slot *s = &wanted.slots[hash >> 52];

	pthread_mutex_lock(&wanted.lock);
	if (same(s->id, id))
		s->points += points;
	else if (s->points > points)
		s->points -= points;
	else
		*s = (struct slot){ id, points };
	if (same(s->id, id) && s->points >= WORTH) {
		s->points = 0;
		want(id);
	}
	pthread_mutex_unlock(&wanted.lock);
}

void store_curve_want(struct curve_id id)
{
	pthread_mutex_lock(&wanted.lock);
	want(id);
	pthread_mutex_unlock(&wanted.lock);
}

bool store_curve_next(struct curve_id *ret, int wait_ms)
{
	struct timespec until = clock_deadline(wait_ms);
	bool found;

	pthread_mutex_lock(&wanted.lock);
	while (!wanted.queued && !wanted.stopped
	       && !pthread_cond_clockwait(&wanted.changed, &wanted.lock, CLOCK_MONOTONIC, &until))
		;
	found = wanted.queued && !wanted.stopped;
	if (found) {
		*ret = wanted.queue[0];
		for (size_t i = 1; i < wanted.queued; i++)
			wanted.queue[i - 1] = wanted.queue[i];
		wanted.queued--;
	}
	pthread_mutex_unlock(&wanted.lock);
	return found;
}

void store_curve_stop(bool stop)
{
	pthread_mutex_lock(&wanted.lock);
	wanted.stopped = stop;
	pthread_cond_broadcast(&wanted.changed);
	pthread_mutex_unlock(&wanted.lock);
}

bool curve_stopped(void)
{
	bool stopped;

	pthread_mutex_lock(&wanted.lock);
	stopped = wanted.stopped;
	pthread_mutex_unlock(&wanted.lock);
	return stopped;
}
