/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* How a thread that may wait does so for a call. */
#include <time.h>

#include "base/clock.h"
#include "remote.h"

enum { SLICE_MS = 500 };

void remote_wait_begin(struct remote_wait *w, int most_ms)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->changed, &attr);
	pthread_condattr_destroy(&attr);
	w->ready = false;
	w->until_ms = most_ms ? clock_ms() + most_ms : INT64_MAX;
}

void remote_wait_end(struct remote_wait *w)
{
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
}

void remote_wait_ready(void *wait)
{
	struct remote_wait *w = wait;

	pthread_mutex_lock(&w->lock);
	w->ready = true;
	pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

int remote_wait(struct ctx *c, struct remote_wait *w)
{
	bool ready;

	pthread_mutex_lock(&w->lock);
	while (!w->ready && clock_ms() < w->until_ms && !remote_stopping()) {
		/* In slices: nobody wakes those who wait when the process is to end. */
		int64_t at = clock_ms() + SLICE_MS < w->until_ms ? clock_ms() + SLICE_MS : w->until_ms;
		struct timespec until = { .tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000 };

		pthread_cond_timedwait(&w->changed, &w->lock, &until);
	}
	ready = w->ready;
	w->ready = false;
	pthread_mutex_unlock(&w->lock);
	if (remote_stopping())
		return fail(c, TEMPORARILY_UNAVAILABLE, "The server is stopping");
	return ready ? 0 : fail(c, TEMPORARILY_UNAVAILABLE,
	                        "The artifact store takes too long to answer");
}
