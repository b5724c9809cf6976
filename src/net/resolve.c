/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * getaddrinfo() cannot be bounded or cancelled, so it runs in a thread of its own that nobody waits for longer than
 * asked: whoever of the two is last frees what they share.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/thread.h"
#include "net/net.h"

enum { LOOKUPS = 16 };                  /* at one time, hanging ones included */

struct lookup {
	pthread_mutex_t lock;
	pthread_cond_t ended;
	struct addrinfo *found;
	int error;                      /* EAI_* */
	bool done;
	unsigned holders;
	char host[];
};

static atomic_uint running;

static void leave(struct lookup *l)
{
	unsigned left = --l->holders;

	pthread_mutex_unlock(&l->lock);
	if (left)
		return;
	if (l->found)
		freeaddrinfo(l->found);
	pthread_cond_destroy(&l->ended);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static void *look_up(void *arg)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	struct lookup *l = arg;
	int error = getaddrinfo(l->host, NULL, &hints, &found);

	pthread_mutex_lock(&l->lock);
	l->found = error ? NULL : found;
	l->error = error;
	l->done = true;
	pthread_cond_signal(&l->ended);
	leave(l);
	atomic_fetch_sub(&running, 1);
	return NULL;
}

static struct lookup *start(const char *host)
{
	size_t n = strlen(host) + 1;
	struct lookup *l = calloc(1, sizeof(*l) + n);
	pthread_condattr_t attr;
	pthread_t thread;

	if (!l)
		return NULL;
	memcpy(l->host, host, n);
	l->holders = 2;
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->ended, &attr);
	pthread_condattr_destroy(&attr);
	if (!thread_start(&thread, "lookup", look_up, l)) {
		pthread_detach(thread);
		return l;
	}
	pthread_cond_destroy(&l->ended);
	pthread_mutex_destroy(&l->lock);
	free(l);
	return NULL;
}

static void judge(const struct addrinfo *found, struct net_host *ret)
{
	ret->is_public = found != NULL;
	for (; found; found = found->ai_next) {
		const void *at = &((const struct sockaddr_in *)(const void *)found->ai_addr)->sin_addr;

		if (address_public(found->ai_addr))
			continue;
		if (found->ai_family == AF_INET6)
			at = &((const struct sockaddr_in6 *)(const void *)found->ai_addr)->sin6_addr;
		if (!inet_ntop(found->ai_family, at, ret->address, sizeof(ret->address)))
			ret->address[0] = '\0';
		ret->is_public = false;
		return;
	}
}

int net_resolve(struct ctx *c, const char *host, int timeout_ms, struct net_host *ret)
{
	struct timespec until;
	struct lookup *l;
	int error = 0;

	memset(ret, 0, sizeof(*ret));
	if (atomic_fetch_add(&running, 1) >= LOOKUPS || !(l = start(host))) {
		atomic_fetch_sub(&running, 1);
		return fail(c, TEMPORARILY_UNAVAILABLE,
		            "Too many host names are being looked up; try again later.");
	}
	until = clock_deadline(timeout_ms);
	pthread_mutex_lock(&l->lock);
	while (!l->done && error != ETIMEDOUT)
		error = pthread_cond_timedwait(&l->ended, &l->lock, &until);
	ret->timed_out = !l->done;
	ret->error = l->error;
	if (l->done && !l->error)
		judge(l->found, ret);
	leave(l);
	return 0;
}

const char *net_resolve_error(int error)
{
	return gai_strerror(error);
}
