/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* How a test waits for the `ready` of a store that answered BLOB_AGAIN. */
#ifndef TESTS_WITH_BELL_H
#define TESTS_WITH_BELL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "blob/blob.h"

#define BELL_UNUSED __attribute__((unused))

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool rung;
} bell = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

BELL_UNUSED static void ring(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&bell.lock);
	bell.rung = true;
	pthread_cond_signal(&bell.changed);
	pthread_mutex_unlock(&bell.lock);
}

/* Twenty seconds without one are a failure, wherever the test is. */
BELL_UNUSED static void await(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	pthread_mutex_lock(&bell.lock);
	while (!bell.rung) {
		if (pthread_cond_timedwait(&bell.changed, &bell.lock, &until)) {
			fprintf(stderr, "no ready() came\n");
			abort();
		}
	}
	bell.rung = false;
	pthread_mutex_unlock(&bell.lock);
}

BELL_UNUSED static const struct blob_ready ready = { ring, NULL };

#endif
