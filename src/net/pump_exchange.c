/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The owner's side of an exchange. Nothing is allocated in an arena while a lock is held. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/arena.h"
#include "pump_impl.h"

enum {
	CONNECT_MS = 10000,
	STALL_MS = 30000,
	RING_SMALLEST = 32 << 10,       /* twice what libcurl hands over at one time */
	BUFFER_LEAST = 16 << 10,
	BUFFER_MOST = 128 << 10,
	UPLOAD_BUFFER = 64 << 10,
	SHORT_BODY = 32 << 10,          /* libcurl does so up to 64 KiB */
	COLLECT_MOST = 16 << 20,
	REFUSAL_MOST = 64 << 10,
};

/* ---- begin and end ---- */

void pump_exchange_free(struct net_exchange *x)
{
	assert(!x->easy.curl);
	ring_free(&x->in);
	ring_free(&x->out);
	free(x->heads);
	pthread_cond_destroy(&x->changed);
	pthread_mutex_destroy(&x->lock);
	free(x);
}

static struct net_exchange *exchange_new(void)
{
	struct net_exchange *x = calloc(1, sizeof(*x));
	pthread_condattr_t monotonic;

	if (!x)
		return NULL;
	x->easy.curl = curl_easy_init();
	if (!x->easy.curl) {
		free(x);
		return NULL;
	}
	pthread_mutex_init(&x->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&x->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return x;
}

static bool has_body(const char *method)
{
	return strcmp(method, "PUT") == 0 || strcmp(method, "POST") == 0
	       || strcmp(method, "PATCH") == 0;
}

/* libcurl sends a copy of it together with the head, in one piece: also again, should a kept connection be closed. */
static CURLcode set_short(struct net_exchange *x, const struct net_exchange_request *r)
{
	CURL *e = x->easy.curl;

	x->copied = x->sent_all = true;
	x->sent = x->body_size;
	x->body = NULL;
	curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
	curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->body_size);
	return curl_easy_setopt(e, CURLOPT_COPYPOSTFIELDS, r->body);
}

static CURLcode set_method(struct net_exchange *x, const struct net_exchange_request *r)
{
	CURL *e = x->easy.curl;

	x->written = r->written;
	x->fixed = !r->written && (r->body || has_body(r->method));
	x->body_size = -1;
	if (x->written || x->fixed) {
		x->body = r->body;
		x->body_size = r->written ? r->body_size : (int64_t)r->size;
		x->ended = x->body_size == 0;
		x->sent_all = x->ended;
		/* Twice a POST may be two of what it makes. */
		x->repeatable = x->fixed && !r->once && strcmp(r->method, "POST") != 0;
		x->step = BUFFER_LEAST;
		if (x->repeatable && x->body_size > 0 && x->body_size <= SHORT_BODY)
			return set_short(x, r);
		easy_upload(&x->easy, r->method, x->body_size);
		curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, (long)UPLOAD_BUFFER);
	} else if (strcmp(r->method, "HEAD") == 0) {
		curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
		x->bodiless = true;
		x->step = BUFFER_LEAST;
	} else {
		curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
		x->step = x->in.most / 2 < BUFFER_MOST ? x->in.most / 2 : BUFFER_MOST;
	}
	return curl_easy_setopt(e, CURLOPT_BUFFERSIZE, (long)x->step);
}

static CURLcode prepare(struct net_exchange *x, const struct net_exchange_request *r)
{
	CURL *e = x->easy.curl;
	size_t ring = r->ring ? r->ring : NET_RING;
	CURLcode code = easy_prepare(&x->easy,
	                             &(struct easy_request){ r->url, r->headers, r->header_count,
	                                                     r->ca_file, r->flags });

	x->ready = r->ready;
	x->arg = r->arg;
	x->in.most = ring > RING_SMALLEST ? ring : RING_SMALLEST;
	x->out.most = r->ring ? x->in.most : NET_RING_OUT;
	x->stall_ms = r->stall_ms > 0 ? r->stall_ms : STALL_MS;
	x->delay_ms = r->delay_ms;
	x->head.content_length = -1;
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
	                 (long)(r->connect_ms > 0 ? r->connect_ms : CONNECT_MS));
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
	/* A path is signed as it is. */
	curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	pump_callbacks(x);
	return code != CURLE_OK ? code : set_method(x, r);
}

int net_exchange_start(struct ctx *c, struct net_pump *p, const struct net_exchange_request *r,
                       struct net_exchange **ret)
{
	struct net_exchange *x = exchange_new();
	CURLcode code = x ? prepare(x, r) : CURLE_OUT_OF_MEMORY;

	if (code != CURLE_OK) {
		if (x) {
			easy_clear(&x->easy);
			pump_exchange_free(x);
		}
		if (code == CURLE_BAD_FUNCTION_ARGUMENT)
			return fail(c, INVALID_PARAMETER_VALUE, "A header must be one line.");
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	}
	x->pump = p;
	*ret = x;
	if (x->copied)
		atomic_fetch_add_explicit(&p->bytes_out, (uint64_t)x->body_size, memory_order_relaxed);
	pump_post(x);
	return 0;
}

void net_exchange_close(struct net_exchange *x)
{
	if (!x)
		return;
	pthread_mutex_lock(&x->lock);
	x->closed = true;
	x->body = NULL;
	/* From within `ready` there is nothing to wait for. */
	while (x->waking && !pthread_equal(pthread_self(), x->pump->thread))
		pthread_cond_wait(&x->changed, &x->lock);
	ring_free(&x->in);
	ring_free(&x->out);
	pthread_mutex_unlock(&x->lock);
	pump_leave(x);
}

/* ---- what there is ---- */

bool pump_can_go_on(const struct net_exchange *x, unsigned waiting)
{
	if (x->done)
		return waiting != 0;
	if ((waiting & WAIT_HEAD) && x->head_done)
		return true;
	if ((waiting & WAIT_READ) && x->in.used)
		return true;
	return (waiting & WAIT_WRITE) && (x->head_done || ring_room(&x->out) >= x->out.most / 2);
}

/* It is done, and not well: nothing of it changes any more. */
static int failed(struct ctx *c, const struct net_exchange *x)
{
	return fail_because(c, x->end->error, arena_strdup(c->arena, easy_said(&x->easy, x->code)),
	                    "%s", x->end->says);
}

static int no_memory(struct ctx *c, struct net_exchange *x)
{
	x->own_failure = "memory";
	return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
}

const char *net_exchange_failure(const struct net_exchange *x)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&x->lock;
	const char *failure = x->own_failure;

	pthread_mutex_lock(lock);
	if (!failure)
		failure = x->end ? x->end->failure : "";
	pthread_mutex_unlock(lock);
	return failure;
}

bool net_exchange_unsent(const struct net_exchange *x)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&x->lock;
	bool unsent;

	pthread_mutex_lock(lock);
	unsent = x->unsent;
	pthread_mutex_unlock(lock);
	return unsent;
}

int net_exchange_head(struct ctx *c, struct net_exchange *x, struct net_head *ret)
{
	bool done, there;

	pthread_mutex_lock(&x->lock);
	there = x->head_done;
	done = x->done;
	if (there)
		*ret = x->head;
	else if (!done)
		x->waiting |= WAIT_HEAD;
	pthread_mutex_unlock(&x->lock);
	x->head_given |= there;
	if (there)
		return 0;
	return done ? failed(c, x) : NET_AGAIN;
}

const char *net_exchange_header(const struct net_exchange *x, const char *name)
{
	const char *found = NULL;

	if (!x->head_given)
		return NULL;
	for (const char *at = x->heads, *end = at + x->heads_size; at < end;) {
		const char *value = at + strlen(at) + 1;

		if (strcasecmp(at, name) == 0)
			found = value;
		at = value + strlen(value) + 1;
	}
	return found;
}

/* ---- bodies ---- */

int net_exchange_write(struct ctx *c, struct net_exchange *x, const void *data, size_t n,
                       size_t *taken)
{
	int64_t left = x->body_size - x->taken; /* taken is changed here alone */
	bool broke, fits = true, again = false, wake = false;

	assert(x->written);
	*taken = 0;
	if (x->body_size >= 0 && (int64_t)n > left)
		n = (size_t)left;
	pthread_mutex_lock(&x->lock);
	broke = x->done && x->end && !x->head_done;
	if (!x->done && !x->head_done) {
		size_t most = n < ring_room(&x->out) ? n : ring_room(&x->out);

		x->ended |= n == 0;
		fits = ring_fit(&x->out, most, x->body_size < 0 ? 0 : (size_t)left);
		if (fits) {
			ring_put(&x->out, data, most);
			x->taken += (int64_t)most;
			*taken = most;
			x->ended |= x->taken == x->body_size;
		}
		again = n && !most;
		x->waiting |= again ? WAIT_WRITE : 0;
		wake = x->send_paused && !x->asked
		       && (x->ended || x->out.used >= x->out.most / 2);
		x->asked |= wake;
	}
	pthread_mutex_unlock(&x->lock);
	if (wake)
		pump_post(x);
	if (broke)
		return failed(c, x);
	if (!fits)
		return no_memory(c, x);
	return again ? NET_AGAIN : 0;
}

int net_exchange_read(struct ctx *c, struct net_exchange *x, void *to, size_t n, size_t *got)
{
	bool done, wake;

	pthread_mutex_lock(&x->lock);
	*got = ring_take(&x->in, to, n);
	done = x->done;
	if (done && !x->in.used)
		ring_free(&x->in);
	if (!*got && !done)
		x->waiting |= WAIT_READ;
	wake = x->recv_paused && !x->asked && ring_room(&x->in) >= x->in.most / 2;
	x->asked |= wake;
	pthread_mutex_unlock(&x->lock);
	if (wake)
		pump_post(x);
	if (*got || !n)
		return 0;
	if (!done)
		return NET_AGAIN;
	return x->end ? failed(c, x) : 0;
}

/* ---- for threads that wait ---- */

static int cancelled(struct ctx *c, struct net_exchange *x)
{
	x->own_failure = "cancelled";
	return fail(c, TEMPORARILY_UNAVAILABLE, "The server is stopping.");
}

/* What the last call returned NET_AGAIN for. */
static int wait_for(struct ctx *c, struct net_exchange *x, unsigned what,
                    const _Atomic bool *cancel)
{
	bool there = false;

	while (!there) {
		struct timespec until;

		if (cancel && atomic_load(cancel))
			return cancelled(c, x);
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec++;
		pthread_mutex_lock(&x->lock);
		while (!(there = pump_can_go_on(x, what)))
			if (pthread_cond_timedwait(&x->changed, &x->lock, &until) == ETIMEDOUT)
				break;
		pthread_mutex_unlock(&x->lock);
	}
	return 0;
}

struct collected {
	char *data;
	size_t size, capacity;
};

/* 1: there may be more. */
static int collect_some(struct ctx *c, struct net_exchange *x, struct collected *into, size_t most,
                        const _Atomic bool *cancel)
{
	size_t got;
	int rc;

	/* One more than allowed shows that there is more. */
	if (into->size + 1 >= into->capacity) {
		size_t capacity = into->capacity ? into->capacity * 2 : 4096;

		capacity = capacity < most + 2 ? capacity : most + 2;
		into->data = arena_grow_text(c->arena, into->data, into->capacity, capacity);
		into->capacity = capacity;
	}
	rc = net_exchange_read(c, x, into->data + into->size, into->capacity - into->size - 1, &got);
	if (rc == NET_AGAIN)
		return wait_for(c, x, WAIT_READ, cancel) ? -1 : 1;
	into->size += got;
	if (rc || !got)
		return rc;
	return into->size <= most ? 1 : 0;
}

static int collect(struct ctx *c, struct net_exchange *x, size_t most, const _Atomic bool *cancel,
                   struct net_reply *ret)
{
	struct collected into = { 0 };
	struct net_head head = { 0 };
	bool fine;
	int rc;

	while ((rc = net_exchange_head(c, x, &head)) == NET_AGAIN)
		if (wait_for(c, x, WAIT_HEAD, cancel))
			return -1;
	if (rc)
		return rc;
	fine = head.status >= 200 && head.status <= 299;
	most = fine ? most ? most : COLLECT_MOST : REFUSAL_MOST;
	if (x->bodiless || (head.content_length >= 0 && (size_t)head.content_length <= most)) {
		into.capacity = x->bodiless ? 2 : (size_t)head.content_length + 2;
		into.data = arena_grow_text(c->arena, NULL, 0, into.capacity);
	}
	while ((rc = collect_some(c, x, &into, most, cancel)) > 0)
		;
	if (rc)
		return rc;
	if (into.size > most && fine) {
		x->own_failure = "too_large";
		return fail(c, TEMPORARILY_UNAVAILABLE, "The answer is larger than %zu bytes.",
		            most);
	}
	into.size = into.size < most ? into.size : most;
	into.data[into.size] = '\0';
	ret->status = head.status;
	ret->content_length = head.content_length;
	ret->body = into.data;
	ret->size = into.size;
	return 0;
}

int net_exchange_collect(struct ctx *c, struct net_exchange *x, size_t most,
                         const _Atomic bool *cancel, struct net_reply *ret)
{
	const char *type, *etag;

	memset(ret, 0, sizeof(*ret));
	ret->body = ret->content_type = ret->etag = ret->failure = "";
	ret->content_length = -1;
	if (collect(c, x, most, cancel, ret)) {
		ret->failure = net_exchange_failure(x);
		return -1;
	}
	type = net_exchange_header(x, "Content-Type");
	etag = net_exchange_header(x, "ETag");
	ret->content_type = type ? arena_strdup(c->arena, type) : "";
	ret->etag = etag ? arena_strdup(c->arena, etag) : "";
	pthread_mutex_lock(&x->lock);
	ret->retry_after_s = x->retry_after_s;
	pthread_mutex_unlock(&x->lock);
	return 0;
}
