/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Socket to store: what the ring holds is appended; after the last byte the whole becomes durable,
 * then visible. */
#include <string.h>

#include "base/limits.h"
#include "transfer_impl.h"

static int begin(struct ctx *c, struct transfer *t)
{
	const struct blob_target target = {
		.key = t->what.key,
		.size = t->what.size,
		.upload_id = t->what.upload_id,
		.part = t->what.part,
	};
	int rc;

	if (t->begun)
		return 0;
	/* Of a part only what it is compared with is of use. */
	if ((!t->what.upload_id || t->what.digest) && hash_begin(c, t))
		return -1;
	rc = blob_write_begin(c, t->what.store, &target, (struct blob_ready){ engine_ready, t },
			      &t->writer);
	t->begun = rc == 0;
	return rc;
}

/* Appends one run of bytes. BLOB_AGAIN; 1 none there; 0. */
static int append(struct ctx *c, struct transfer *t, size_t *moved)
{
	size_t taken = 0, n;
	char *at;
	int rc;

	pthread_mutex_lock(&t->lock);
	n = ring_bytes(&t->ring, &at);
	pthread_mutex_unlock(&t->lock);
	if (!n)
		return 1;
	n = n < LIMIT_RING / 2 ? n : LIMIT_RING / 2;
	rc = blob_write(c, t->writer, at, n, &taken);
	if (rc < 0 || hash_add(c, t, at, taken))
		return -1;
	*moved += taken;
	pthread_mutex_lock(&t->lock);
	ring_drained(&t->ring, taken);
	pthread_mutex_unlock(&t->lock);
	return rc;
}

static int commit(struct ctx *c, struct transfer *t)
{
	char etag[BLOB_ETAG] = "";
	int rc;

	if (hash_end(c, t))
		return -1;
	if (t->what.digest && memcmp(t->sha256, t->what.sha256, TRANSFER_SHA256) != 0)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "The SHA-256 of the upload is not the announced one; nothing was kept.");
	rc = blob_write_commit(c, t->writer, etag);
	if (rc)
		return rc;
	blob_write_close(TAKE(t->writer));
	pthread_mutex_lock(&t->lock);
	__builtin_memcpy(t->etag, etag, sizeof(etag));
	t->done = true;
	ring_close(&t->ring); /* no push comes after a finish */
	pthread_mutex_unlock(&t->lock);
	return 0;
}

/* No bytes now, and perhaps for long: what the store was given goes on all the same. */
static int nudge(struct ctx *c, struct transfer *t)
{
	size_t taken;

	return t->writer && blob_write(c, t->writer, "", 0, &taken) < 0 ? -1 : 0;
}

int upload_step(struct ctx *c, struct transfer *t)
{
	size_t moved = 0;
	bool empty, finishing;
	int rc;

	pthread_mutex_lock(&t->lock);
	empty = !t->ring.used && !t->finishing;
	pthread_mutex_unlock(&t->lock);
	if (empty)
		return nudge(c, t);
	rc = begin(c, t);
	/* The other half is filled again meanwhile. */
	while (rc == 0 && moved < LIMIT_RING / 2)
		rc = append(c, t, &moved);
	if (rc < 0 || rc == BLOB_AGAIN)
		return rc < 0 ? -1 : 0;
	pthread_mutex_lock(&t->lock);
	empty = !t->ring.used;
	finishing = t->finishing;
	pthread_mutex_unlock(&t->lock);
	if (!empty)
		return 1;
	return finishing && commit(c, t) < 0 ? -1 : 0;
}
