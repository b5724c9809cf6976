/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Store to socket: the head as soon as the object is open, then its bytes as the ring has room. */
#include <string.h>

#include "base/arena.h"
#include "base/limits.h"
#include "mime.h"
#include "range.h"
#include "transfer_impl.h"

/* What to answer about this object. */
static int decide(struct ctx *c, const struct stream *s, const struct blob_info *info,
		  struct transfer_head *head)
{
	uint64_t first = 0, length = info->size;

	memcpy(head->etag, info->etag, sizeof(info->etag));
	head->modified = info->modified;
	head->content_type = mime_type(s->key);
	head->total = info->size;
	head->status = 200;
	if (range_none_match(s->if_none_match, info->etag)) {
		head->status = 304;
		return 0;
	}
	if (range_if_range(s->if_range, info->etag))
		head->status = range_read(s->range, info->size, &first, &length);
	if (head->status == 416)
		return fail(c, RANGE_NOT_SATISFIABLE,
			    "The range is beyond the end of the artifact");
	head->first = first;
	head->length = length;
	/* Somebody may have put another object there, past us. */
	head->digest = s->digest && *info->etag && !strcmp(info->etag, s->made_etag) &&
		       info->size == s->made_size;
	return 0;
}

/* Under t->lock. */
static bool have_ring(struct transfer *t)
{
	return t->ring.data ||
	       ring_open(&t->ring,
			 t->head.length < LIMIT_RING ? (size_t)t->head.length : LIMIT_RING);
}

static int begin(struct ctx *c, struct transfer *t)
{
	struct transfer_head head = { 0 };
	struct blob_info info = { 0 };
	struct blob_want want;
	bool memory = true, direct;
	int rc;

	if (t->begun)
		return 0;
	rc = blob_read_open(c, t->what.store, t->what.key,
			    range_want(t->what.range, &want) ? &want : NULL,
			    (struct blob_ready){ engine_ready, t }, &t->reader, &info);
	if (rc == BLOB_AGAIN)
		return rc;
	if (rc && c->error.code != RANGE_NOT_SATISFIABLE)
		return rc;
	t->begun = true;
	if (rc)
		head.total = info.size;
	else
		rc = decide(c, &t->what, &info, &head);
	if (!rc && head.digest && head.status == 200 && head.length)
		rc = hash_begin(c, t);
	t->offset = head.first;
	t->end = head.first + head.length;
	/* Verifying takes too long for an event thread. */
	direct = !rc && head.length && !t->hash &&
		 (blob_abilities(t->what.store) & (BLOB_NEVER_WAITS | BLOB_READS_AT_HAND));
	if (direct)
		t->arena = arena_new(STEP_ARENA);
	direct = direct && t->arena;
	pthread_mutex_lock(&t->lock);
	t->head = head;
	t->direct = t->readable = direct;
	if (!rc && head.length && !direct)
		memory = have_ring(t);
	t->opened = !rc && memory;
	pthread_mutex_unlock(&t->lock);
	return memory ? rc : fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
}

/* Before the last bytes are given out: without them the client has no whole object. */
static int check(struct ctx *c, struct transfer *t)
{
	if (!t->hash)
		return 0;
	if (hash_end(c, t))
		return -1;
	if (!memcmp(t->sha256, t->what.sha256, TRANSFER_SHA256))
		return 0;
	return fail(c, IO_ERROR, "The artifact is no longer what was uploaded: its SHA-256 differs");
}

/* Reads one run. BLOB_AGAIN; 1 no room; 0. */
static int fill(struct ctx *c, struct transfer *t, size_t *moved)
{
	size_t got = 0, n;
	char *at;
	int rc;

	pthread_mutex_lock(&t->lock);
	n = ring_space(&t->ring, &at);
	pthread_mutex_unlock(&t->lock);
	if (!n)
		return 1;
	if (n > t->end - t->offset)
		n = (size_t)(t->end - t->offset);
	rc = blob_read(c, t->reader, t->offset, at, n, &got);
	if (rc)
		return rc;
	/* Its head is out already: better a cut connection than bytes made up. */
	if (!got)
		return fail(c, IO_ERROR, "The artifact became shorter while it was read");
	if (hash_add(c, t, at, got))
		return -1;
	*moved += got;
	t->offset += got;
	if (t->offset == t->end && check(c, t))
		return -1;
	pthread_mutex_lock(&t->lock);
	ring_filled(&t->ring, got);
	pthread_mutex_unlock(&t->lock);
	return 0;
}

/* For a direct download: what it could not get by itself, a ring of it; then it goes on by itself. */
static int fetch(struct ctx *c, struct transfer *t)
{
	size_t moved = 0;
	bool wanted, memory;
	int rc = 0;

	pthread_mutex_lock(&t->lock);
	wanted = t->fetching;
	memory = !wanted || have_ring(t);
	pthread_mutex_unlock(&t->lock);
	if (!memory)
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	if (!wanted)
		return 0;
	while (rc == 0 && t->offset < t->end && moved < LIMIT_RING)
		rc = fill(c, t, &moved);
	if (rc < 0)
		return -1;
	pthread_mutex_lock(&t->lock);
	t->fetching = false;
	t->readable = true;
	pthread_mutex_unlock(&t->lock);
	return 0;
}

int download_step(struct ctx *c, struct transfer *t)
{
	size_t moved = 0;
	int rc = begin(c, t);

	if (rc == 0 && t->direct)
		return fetch(c, t);
	while (rc == 0 && t->offset < t->end && moved < LIMIT_RING)
		rc = fill(c, t, &moved);
	if (rc)
		return rc < 0 ? -1 : 0;
	if (t->offset < t->end)
		return 1;
	blob_read_close(TAKE(t->reader));
	return 0;
}

struct pull {
	struct transfer *transfer;
	char *out;
	size_t n, got;
};

static bool never_waits(const struct transfer *t)
{
	return blob_abilities(t->what.store) & BLOB_NEVER_WAITS;
}

/* 0 all that was wanted; BLOB_AGAIN. */
static int pull(struct ctx *c, void *arg)
{
	struct pull *p = arg;
	struct transfer *t = p->transfer;
	int (*read)(struct ctx *, struct blob_reader *, uint64_t, void *, size_t, size_t *) =
		never_waits(t) ? blob_read : blob_read_at_hand;

	while (p->got < p->n && t->offset < t->end) {
		size_t got = 0, n = p->n - p->got;
		int rc;

		if (n > t->end - t->offset)
			n = (size_t)(t->end - t->offset);
		rc = read(c, t->reader, t->offset, p->out + p->got, n, &got);
		if (rc)
			return rc;
		if (!got)
			return fail(c, IO_ERROR, "The artifact became shorter while it was read");
		p->got += got;
		t->offset += got;
	}
	return 0;
}

enum transfer_state download_pull(struct transfer *t, char *out, size_t n, size_t *got)
{
	struct pull p = { .transfer = t, .out = out, .n = n };
	struct ctx c = { .arena = t->arena };
	int rc = work_run(&c, pull, &p);
	bool fetch = rc == BLOB_AGAIN && !never_waits(t);

	*got = p.got;
	pthread_mutex_lock(&t->lock);
	t->moved += p.got;
	t->done = t->moved == t->head.length;
	t->fetching = fetch;
	/* What was read before goes out first; the next call finds the failure. */
	if (rc < 0)
		transfer_fail(t, &c.error);
	pthread_mutex_unlock(&t->lock);
	if (arena_used(t->arena))
		arena_reset(t->arena);
	if (fetch)
		engine_schedule(t);
	if (p.got)
		return TRANSFER_READY;
	return rc < 0 ? TRANSFER_FAILED : rc == BLOB_AGAIN ? TRANSFER_WAIT : TRANSFER_DONE;
}
