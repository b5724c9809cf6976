/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * When to fetch anew follows botocore (RefreshableCredentials): a quarter of an hour before the end, or a quarter of the
 * lifetime where that is less. Values are kept outside of arenas and overwritten when they go.
 */
#include "net/identity.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/thread.h"
#include "net/net.h"
#include "net/pump.h"

enum {
	AHEAD_MS = 15 * 60 * 1000,      /* before the end, a new value is asked for */
	PAUSE_MS = 1000,                /* after a failure; doubles, up to: */
	PAUSE_MOST_MS = 60000,
	REFUSED_MS = 10000,             /* between two fetches because of refusals */
	LOOK_MS = 30000,                /* the wall clock may jump, the machine may sleep */
	FETCH_MEMORY = 32 << 20,
	NOT_SET = -1,
};

/* One block, so that it can be copied and overwritten whole. */
struct kept {
	size_t size;                    /* of bytes[] */
	int at[IDENTITY_TEXTS];         /* NOT_SET, or where in bytes[] */
	int64_t expires_ms;
	char bytes[];
};

struct waiter {
	struct waiter *next;
	void (*ready)(void *arg);
	void *arg;
};

struct identity {
	struct identity_ops ops;
	void *arg;
	pthread_t thread;
	_Atomic bool cancel;

	pthread_mutex_t lock;           /* all of the following */
	pthread_cond_t changed;
	bool started, stop;
	bool wanted;                    /* a fetch, now */
	bool fetching;
	bool stale;                     /* refused: not given out until the fetch has ended */
	struct kept *value;
	uint64_t generation;            /* of value */
	int64_t refresh_ms;             /* clock_wall_ms() */
	int64_t not_before_ms, retry_ms, refused_ms;    /* clock_ms() */
	unsigned failures;              /* in a row */
	enum error_code code;           /* of the last one; OK: the last fetch was good */
	char *message, *detail;
	struct waiter *waiters;
	bool calling;
	void *called;                   /* whose ready() runs now */
};

static _Thread_local const _Atomic bool *fetch_cancel;

const _Atomic bool *identity_cancel(void)
{
	return fetch_cancel;
}

struct identity *identity_new(const struct identity_ops *ops, void *arg)
{
	struct identity *i = calloc(1, sizeof(*i));
	pthread_condattr_t attr;

	if (!i) {
		if (ops->free)
			ops->free(arg);
		return NULL;
	}
	i->ops = *ops;
	i->arg = arg;
	i->refused_ms = -REFUSED_MS;
	pthread_mutex_init(&i->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&i->changed, &attr);
	pthread_condattr_destroy(&attr);
	return i;
}

static void kept_free(struct kept *k)
{
	if (!k)
		return;
	OPENSSL_cleanse(k, sizeof(*k) + k->size);
	free(k);
}

void identity_free(struct identity *i)
{
	struct waiter *w;

	if (!i)
		return;
	atomic_store(&i->cancel, true);
	pthread_mutex_lock(&i->lock);
	i->stop = true;
	pthread_cond_broadcast(&i->changed);
	pthread_mutex_unlock(&i->lock);
	if (i->started)
		pthread_join(i->thread, NULL);
	while ((w = i->waiters)) {
		i->waiters = w->next;
		free(w);
	}
	kept_free(i->value);
	free(i->message);
	free(i->detail);
	if (i->ops.free)
		i->ops.free(i->arg);
	pthread_cond_destroy(&i->changed);
	pthread_mutex_destroy(&i->lock);
	free(i);
}

/* ---- the thread ---- */

static void wait_until(struct identity *i, int64_t ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	pthread_cond_timedwait(&i->changed, &i->lock, &t);
}

/* How long until the next fetch; 0: now. */
static int64_t pause_left(const struct identity *i)
{
	int64_t now = clock_ms();
	int64_t left = LOOK_MS;

	if (i->wanted)
		return 0;
	if (i->code != OK) {
		left = i->retry_ms - now;
	} else if (i->value && i->value->expires_ms) {
		left = i->refresh_ms - clock_wall_ms();
		if (left < i->not_before_ms - now)
			left = i->not_before_ms - now;
	}
	return left < 0 ? 0 : left > LOOK_MS ? LOOK_MS : left;
}

struct fetch {
	struct identity *identity;
	struct net *net;
	struct identity_value value;
};

static int fetch_one(struct ctx *c, void *arg)
{
	struct fetch *f = arg;
	const struct identity *i = f->identity;

	if (!f->net)
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	if (i->ops.fetch(c, f->net, i->arg, &f->value))
		return -1;
	for (size_t k = 0; k < IDENTITY_TEXTS; k++) {
		if (f->value.text[k] && strlen(f->value.text[k]) >= IDENTITY_TEXT)
			return fail(c, INVALID_STATE,
			            "The %s credentials are longer than the %d bytes that are supported.",
			            i->ops.name, IDENTITY_TEXT - 1);
	}
	if (f->value.expires_ms && f->value.expires_ms <= clock_wall_ms())
		return fail(c, TEMPORARILY_UNAVAILABLE,
		            "The %s credentials that were fetched have already expired; is this machine's "
		            "clock right?", i->ops.name);
	return 0;
}

static struct kept *keep(const struct identity_value *v)
{
	struct kept *k;
	size_t size = 0;

	for (size_t n = 0; n < IDENTITY_TEXTS; n++)
		size += v->text[n] ? strlen(v->text[n]) + 1 : 0;
	k = malloc(sizeof(*k) + size);
	if (!k)
		return NULL;
	k->size = 0;
	k->expires_ms = v->expires_ms;
	for (size_t n = 0; n < IDENTITY_TEXTS; n++) {
		size_t length = v->text[n] ? strlen(v->text[n]) + 1 : 0;

		k->at[n] = v->text[n] ? (int)k->size : NOT_SET;
		if (length)
			memcpy(k->bytes + k->size, v->text[n], length);
		k->size += length;
	}
	return k;
}

static void forget_failure(struct identity *i)
{
	free(i->message);
	free(i->detail);
	i->message = i->detail = NULL;
	i->code = OK;
	i->failures = 0;
}

static void succeeded(struct identity *i, struct kept *k)
{
	int64_t now = clock_wall_ms();
	int64_t ahead = (k->expires_ms - now) / 4;

	kept_free(i->value);
	i->value = k;
	i->generation++;
	i->refresh_ms = k->expires_ms - (ahead < AHEAD_MS ? ahead : AHEAD_MS);
	i->not_before_ms = clock_ms() + PAUSE_MS;
	forget_failure(i);
}

static void failed(struct identity *i, const struct error *e)
{
	unsigned failures = i->failures + 1;
	int64_t pause = PAUSE_MOST_MS;
	uint16_t random;

	if (failures <= 6)
		pause = (int64_t)PAUSE_MS << failures;
	if (pause > PAUSE_MOST_MS)
		pause = PAUSE_MOST_MS;
	id_random((uint8_t *)&random, sizeof(random));
	/* Between half and all of it: many daemons must not come back at one time. */
	i->retry_ms = clock_ms() + pause / 2 + pause / 2 * random / UINT16_MAX;
	forget_failure(i);
	i->failures = failures;
	i->code = e->code != OK ? e->code : INTERNAL_ERROR;
	i->message = e->message ? strdup(e->message) : NULL;
	i->detail = e->detail ? strdup(e->detail) : NULL;
}

/* Without the lock while others are called: what ready() takes may be held by someone who asks us. */
static void call_waiters(struct identity *i)
{
	struct waiter *w;

	while ((w = i->waiters) && !i->stop) {
		i->waiters = w->next;
		i->calling = true;
		i->called = w->arg;
		pthread_mutex_unlock(&i->lock);
		w->ready(w->arg);
		free(w);
		pthread_mutex_lock(&i->lock);
		i->calling = false;
		pthread_cond_broadcast(&i->changed);
	}
}

static void tell(const struct identity *i, const struct ctx *c, bool was_good, bool is_good)
{
	if (!is_good)
		log_event(was_good ? LOG_WARN : LOG_DEBUG, "credentials failed", "cloud", i->ops.name,
		          "error", c->error.message, "detail", c->error.detail, NULL);
	else if (!was_good)
		log_event(LOG_INFO, "credentials are there again", "cloud", i->ops.name, NULL);
}

/* Locked at both ends, not between. */
static void fetch(struct identity *i, struct net *n)
{
	struct fetch f = { .identity = i, .net = n };
	struct ctx c = { 0 };
	struct kept *k = NULL;
	bool was_good = i->code == OK;

	i->wanted = false;
	i->fetching = true;
	pthread_mutex_unlock(&i->lock);
	c.arena = arena_new(FETCH_MEMORY);
	if (!c.arena)
		(void)!fail(&c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	else if (!work_run(&c, fetch_one, &f) && !(k = keep(&f.value)))
		(void)!fail(&c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	if (!atomic_load(&i->cancel))
		tell(i, &c, was_good, k);
	pthread_mutex_lock(&i->lock);
	i->fetching = i->stale = false;
	if (k)
		succeeded(i, k);
	else
		failed(i, &c.error);
	pthread_cond_broadcast(&i->changed);
	call_waiters(i);
	pthread_mutex_unlock(&i->lock);
	arena_free(c.arena);
	pthread_mutex_lock(&i->lock);
}

static void *run(void *arg)
{
	struct identity *i = arg;
	struct net *n = net_new();

	fetch_cancel = &i->cancel;
	pthread_mutex_lock(&i->lock);
	while (!i->stop) {
		int64_t left = pause_left(i);

		if (left > 0) {
			wait_until(i, clock_ms() + left);
			continue;
		}
		if (!n)
			n = net_new();
		fetch(i, n);
	}
	pthread_mutex_unlock(&i->lock);
	net_free(n);
	return NULL;
}

/* ---- asking ---- */

static int start(struct ctx *c, struct identity *i)
{
	char name[16];

	if (i->started)
		return 0;
	snprintf(name, sizeof(name), "identity-%.6s", i->ops.name);
	i->wanted = true;
	if (thread_start(&i->thread, name, run, i))
		return fail(c, TEMPORARILY_UNAVAILABLE, "There is no thread left; try again later.");
	i->started = true;
	return 0;
}

static bool good(const struct identity *i)
{
	const struct kept *k = i->value;

	return k && !i->stale && (!k->expires_ms || clock_wall_ms() < k->expires_ms);
}

static int failure(struct ctx *c, const struct identity *i)
{
	return fail_because(c, i->code, i->detail, "%s", i->message ? i->message : "Out of memory");
}

/* Locked. 1: there is a value, 0: there will be an answer, -1: there is a failure. */
static int state(struct ctx *c, struct identity *i)
{
	if (start(c, i))
		return -1;
	if (good(i))
		return 1;
	if (!i->stale && i->code != OK)
		return failure(c, i);
	if (!i->fetching && !i->wanted) {
		i->wanted = true;
		pthread_cond_broadcast(&i->changed);
	}
	return 0;
}

/* Locked at both ends: the arena may not be asked for memory meanwhile, so a value may be replaced between. */
static void copy(struct ctx *c, struct identity *i, struct identity_value *ret)
{
	struct kept *to;
	uint64_t generation;
	size_t size;

	do {
		generation = i->generation;
		size = sizeof(*to) + i->value->size;
		pthread_mutex_unlock(&i->lock);
		to = arena_alloc(c->arena, size);
		pthread_mutex_lock(&i->lock);
	} while (generation != i->generation);
	memcpy(to, i->value, size);
	for (size_t n = 0; n < IDENTITY_TEXTS; n++)
		ret->text[n] = to->at[n] == NOT_SET ? NULL : to->bytes + to->at[n];
	ret->expires_ms = to->expires_ms;
}

int identity_get(struct ctx *c, struct identity *i, int wait_ms, struct identity_value *ret)
{
	int64_t until = clock_ms() + wait_ms;
	int result;

	pthread_mutex_lock(&i->lock);
	while (!(result = state(c, i)) && clock_ms() < until)
		wait_until(i, until);
	if (result > 0)
		copy(c, i, ret);
	else if (!result)
		result = fail(c, TEMPORARILY_UNAVAILABLE,
		              "The server's %s credentials are still being fetched; try again later.",
		              i->ops.name);
	pthread_mutex_unlock(&i->lock);
	return result < 0 ? -1 : 0;
}

static int add_waiter(struct ctx *c, struct identity *i, void (*ready)(void *arg), void *arg)
{
	struct waiter **at = &i->waiters;

	for (; *at; at = &(*at)->next) {
		if ((*at)->arg == arg)
			return NET_AGAIN;
	}
	*at = calloc(1, sizeof(**at));
	if (!*at)
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	(*at)->ready = ready;
	(*at)->arg = arg;
	return NET_AGAIN;
}

int identity_poll(struct ctx *c, struct identity *i, void (*ready)(void *arg), void *arg,
                  struct identity_value *ret)
{
	int result;

	pthread_mutex_lock(&i->lock);
	result = state(c, i);
	if (result > 0)
		copy(c, i, ret);
	else if (!result)
		result = add_waiter(c, i, ready, arg);
	else
		result = -1;
	pthread_mutex_unlock(&i->lock);
	return result > 0 && result != NET_AGAIN ? 0 : result;
}

void identity_forget(struct identity *i, void *arg)
{
	pthread_mutex_lock(&i->lock);
	for (struct waiter **at = &i->waiters; *at;) {
		struct waiter *w = *at;

		if (w->arg != arg) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		free(w);
	}
	while (i->calling && i->called == arg && !pthread_equal(pthread_self(), i->thread))
		pthread_cond_wait(&i->changed, &i->lock);
	pthread_mutex_unlock(&i->lock);
}

static bool is_current(const struct identity *i, const struct identity_value *v)
{
	const struct kept *k = i->value;

	for (size_t n = 0; k && n < IDENTITY_TEXTS; n++) {
		const char *text = k->at[n] == NOT_SET ? NULL : k->bytes + k->at[n];

		if (!text != !v->text[n] || (text && strcmp(text, v->text[n]) != 0))
			return false;
	}
	return k;
}

void identity_refused(struct identity *i, const struct identity_value *value)
{
	int64_t now = clock_ms();

	pthread_mutex_lock(&i->lock);
	if (i->started && is_current(i, value) && !i->fetching && now - i->refused_ms >= REFUSED_MS) {
		i->refused_ms = now;
		i->stale = i->wanted = true;
		pthread_cond_broadcast(&i->changed);
	}
	pthread_mutex_unlock(&i->lock);
}

/* ---- what others say ---- */

enum { SECRET_LEAST = 8 };              /* what is shorter is no secret, and in many words */

static void conceal(char *text, const char *secret)
{
	size_t n = strlen(secret);

	if (n < SECRET_LEAST)
		return;
	for (char *at = text; (at = strstr(at, secret)); at += n)
		memset(at, '*', n);
}

void identity_conceal(struct identity *i, unsigned texts, char *text)
{
	pthread_mutex_lock(&i->lock);
	for (size_t n = 0; i->value && n < IDENTITY_TEXTS; n++) {
		if ((texts & 1U << n) && i->value->at[n] != NOT_SET)
			conceal(text, i->value->bytes + i->value->at[n]);
	}
	pthread_mutex_unlock(&i->lock);
}
