/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The event threads' side of a transfer. Nothing here waits for a disk. */
#include "artifacts/transfer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"
#include "roots.h"
#include "transfer_impl.h"

enum {
	TELL_MS = 20,
	SHORT = 64 << 10, /* an upload that costs an event thread less than two threads more would */
};

static bool copy(const char **text)
{
	if (!*text)
		return true;
	*text = strdup(*text);
	return *text;
}

static void free_strings(struct stream *s)
{
	free((char *)s->key);
	free((char *)s->range);
	free((char *)s->if_none_match);
	free((char *)s->if_range);
	free((char *)s->upload_id);
}

static bool copy_strings(struct stream *s)
{
	struct stream ours = *s;

	/* One by one: what a failure leaves uncopied must not be freed as ours. */
	s->key = s->range = s->if_none_match = s->if_range = s->upload_id = s->file_name = NULL;
	s->redirect = NULL;
	if (!copy(&ours.key))
		return false;
	s->key = ours.key;
	if (!copy(&ours.range))
		return false;
	s->range = ours.range;
	if (!copy(&ours.if_none_match))
		return false;
	s->if_none_match = ours.if_none_match;
	if (!copy(&ours.if_range))
		return false;
	s->if_range = ours.if_range;
	if (!copy(&ours.upload_id))
		return false;
	s->upload_id = ours.upload_id;
	return true;
}

void transfer_free(struct transfer *t)
{
	ring_close(&t->ring);
	hash_drop(t);
	arena_free(t->arena);
	roots_release(t->what.store);
	free_strings(&t->what);
	pthread_cond_destroy(&t->woken);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static bool works_here(const struct stream *s)
{
	return (blob_abilities(s->store) & BLOB_NEVER_WAITS) &&
	       (s->kind == STREAM_DOWNLOAD || (s->size >= 0 && s->size <= SHORT));
}

struct transfer *transfer_begin(struct transfer_engine *e, const struct stream *s,
				void (*wake)(void *arg), void *arg)
{
	struct transfer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->engine = e;
	t->what = *s;
	if (!t->what.store)
		t->what.store = e->root;
	roots_hold(t->what.store);
	t->here = works_here(&t->what);
	t->wake = wake;
	t->wake_arg = arg;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->woken, NULL);
	if (!copy_strings(&t->what) || !engine_enter(t)) {
		transfer_free(t);
		return NULL;
	}
	atomic_fetch_add(&e->started, 1);
	return t;
}

bool transfer_ready(const struct transfer *t)
{
	if (t->failed || t->done)
		return true;
	if (t->what.kind == STREAM_DOWNLOAD)
		return t->opened ? !t->head_taken || t->ring.used > 0 || t->readable ||
					   t->moved == t->head.length
				 : t->here && t->readable;
	/* Half a ring at least, so that a fast client is not woken for every few bytes. */
	return t->finishing ? t->here && t->readable
			    : t->admitted && t->ring.used <= t->ring.capacity / 2;
}

void transfer_fail(struct transfer *t, const struct error *e)
{
	if (t->failed || t->done)
		return;
	snprintf(t->message, sizeof(t->message), "%s", e->message ? e->message : "");
	snprintf(t->detail, sizeof(t->detail), "%s", e->detail ? e->detail : "");
	/* A text that was cut may end within a character; error texts are JSON. */
	for (size_t n = strlen(t->message);
	     n == sizeof(t->message) - 1 && n > 0 && (t->message[n - 1] & 0x80); n--)
		t->message[n - 1] = '\0';
	t->error = (struct error){ e->code, t->message, *t->detail ? t->detail : NULL };
	t->failed = true;
}

static void fail_here(struct transfer *t, enum error_code code, const char *message)
{
	struct error e = { code, message, NULL };

	transfer_fail(t, &e);
}

void transfer_arm(struct transfer *t)
{
	bool now;

	pthread_mutex_lock(&t->lock);
	t->armed = true;
	now = transfer_ready(t);
	pthread_mutex_unlock(&t->lock);
	/* wake() comes from an engine thread in this case too: the caller may hold locks that
	 * wake() takes. */
	if (now)
		engine_schedule(t);
}

/* Room for bytes to come. False: failed. */
static bool open_ring(struct transfer *t)
{
	size_t capacity = LIMIT_RING;

	if (t->ring.data)
		return true;
	if (t->what.size > 0 && t->what.size < LIMIT_RING)
		capacity = (size_t)t->what.size;
	if (ring_open(&t->ring, capacity))
		return true;
	fail_here(t, TEMPORARILY_UNAVAILABLE, "Out of memory");
	return false;
}

static bool push_allowed(struct transfer *t, size_t n)
{
	if (!t->failed && t->what.size >= 0 && n > (uint64_t)t->what.size - t->moved)
		fail_here(t, INVALID_PARAMETER_VALUE, "The upload is longer than announced");
	if (!t->failed && t->what.limit > 0 && n > (uint64_t)t->what.limit - t->moved)
		fail_here(t, PAYLOAD_TOO_LARGE, "The artifact is too large");
	return !t->failed;
}

/* A fast client's bytes are worth a thread's attention by half rings, a slow one's as they come. */
static void tell(struct transfer *t, bool much)
{
	int64_t now = clock_ms();

	if (!much && now - t->told_ms < TELL_MS)
		return;
	t->told_ms = now;
	engine_schedule(t);
}

enum transfer_state transfer_push(struct transfer *t, const char *data, size_t n, size_t *taken)
{
	enum transfer_state state = TRANSFER_WAIT;
	bool much;

	*taken = 0;
	pthread_mutex_lock(&t->lock);
	assert(t->what.kind == STREAM_UPLOAD && !t->finishing);
	if (!push_allowed(t, n) || (n > 0 && t->admitted && !open_ring(t))) {
		pthread_mutex_unlock(&t->lock);
		return TRANSFER_FAILED;
	}
	while (t->admitted && *taken < n) {
		char *at;
		size_t k = ring_space(&t->ring, &at);

		if (!k)
			break;
		k = k < n - *taken ? k : n - *taken;
		pthread_mutex_unlock(&t->lock);
		memcpy(at, data + *taken, k);
		pthread_mutex_lock(&t->lock);
		ring_filled(&t->ring, k);
		*taken += k;
	}
	t->moved += *taken;
	if (*taken > 0 || !n)
		state = TRANSFER_READY;
	much = t->ring.used >= t->ring.capacity / 2 || *taken < n;
	pthread_mutex_unlock(&t->lock);
	if (*taken) {
		atomic_fetch_add(&t->engine->bytes_in, *taken);
		if (!t->here)
			tell(t, much);
	}
	return state;
}

/* Under t->lock. */
static enum transfer_state finished(const struct transfer *t)
{
	return t->failed ? TRANSFER_FAILED : t->done ? TRANSFER_DONE : TRANSFER_WAIT;
}

static enum transfer_state opened(const struct transfer *t)
{
	return t->failed ? TRANSFER_FAILED : t->opened ? TRANSFER_READY : TRANSFER_WAIT;
}

enum transfer_state transfer_finish(struct transfer *t)
{
	enum transfer_state state;
	bool begin = false, here;

	pthread_mutex_lock(&t->lock);
	assert(t->what.kind == STREAM_UPLOAD);
	if (!t->finishing && t->what.size >= 0 && t->moved != (uint64_t)t->what.size)
		fail_here(t, INVALID_PARAMETER_VALUE, "The upload is shorter than announced");
	if (!t->finishing && t->what.not_empty && !t->moved)
		fail_here(t, INVALID_PARAMETER_VALUE, "Request must specify data.");
	if (!t->failed && !t->finishing)
		begin = t->finishing = true;
	here = t->here && finished(t) == TRANSFER_WAIT;
	pthread_mutex_unlock(&t->lock);
	if (here)
		engine_turn(t);
	else if (begin)
		engine_schedule(t);
	pthread_mutex_lock(&t->lock);
	state = finished(t);
	pthread_mutex_unlock(&t->lock);
	return state;
}

const char *transfer_etag(const struct transfer *t)
{
	return t->etag;
}

const unsigned char *transfer_sha256(const struct transfer *t)
{
	return t->hashed && !t->what.upload_id ? t->sha256 : NULL;
}

uint64_t transfer_size(const struct transfer *t)
{
	return t->moved;
}

enum transfer_state transfer_open(struct transfer *t, struct transfer_head *head)
{
	enum transfer_state state;
	bool here;

	pthread_mutex_lock(&t->lock);
	assert(t->what.kind == STREAM_DOWNLOAD);
	here = t->here && opened(t) == TRANSFER_WAIT;
	pthread_mutex_unlock(&t->lock);
	if (here)
		engine_turn(t);
	pthread_mutex_lock(&t->lock);
	state = opened(t);
	*head = t->head;
	t->head_taken = t->opened;
	pthread_mutex_unlock(&t->lock);
	return state;
}

/* Copies out what the ring holds, at most n. */
static size_t drain(struct transfer *t, char *out, size_t n)
{
	size_t got = 0;

	while (got < n) {
		char *at;
		size_t k = ring_bytes(&t->ring, &at);

		if (!k)
			break;
		k = k < n - got ? k : n - got;
		pthread_mutex_unlock(&t->lock);
		memcpy(out + got, at, k);
		pthread_mutex_lock(&t->lock);
		ring_drained(&t->ring, k);
		got += k;
	}
	return got;
}

enum transfer_state transfer_pull(struct transfer *t, char *out, size_t n, size_t *got)
{
	enum transfer_state state = TRANSFER_WAIT;
	bool refill = false, direct;

	*got = 0;
	pthread_mutex_lock(&t->lock);
	assert(t->what.kind == STREAM_DOWNLOAD);
	direct = t->direct && !t->fetching && !t->ring.used && !t->failed && !t->done;
	if (direct)
		t->readable = false; /* before it is read: `ready` may come at once */
	if (t->failed)
		state = TRANSFER_FAILED;
	else if (direct)
		;
	else if (t->opened) {
		*got = drain(t, out, n);
		t->moved += *got;
		if (*got)
			state = TRANSFER_READY;
		else if (t->moved == t->head.length)
			state = TRANSFER_DONE;
		if (t->moved == t->head.length) {
			t->done = true;
			ring_close(
				&t->ring); /* all was read: the engine does not touch it any more */
		}
		refill = !t->done && !t->direct && t->ring.used <= t->ring.capacity / 2;
	}
	pthread_mutex_unlock(&t->lock);
	if (direct)
		state = download_pull(t, out, n, got);
	if (*got)
		atomic_fetch_add(&t->engine->bytes_out, *got);
	if (refill)
		engine_schedule(t);
	return state;
}

const struct error *transfer_error(const struct transfer *t)
{
	return &t->error;
}

void transfer_close(struct transfer *t)
{
	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->deaf = true;
	while (t->waking)
		pthread_cond_wait(&t->woken, &t->lock);
	pthread_mutex_unlock(&t->lock);
	engine_leave(t);
}
