/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Writing to S3. What is small is collected and sent by one PUT at commit; what is larger, and what
 * no memory is there for, becomes a multipart upload. A part of a client's own upload is collected
 * when it is small, else it goes straight through.
 */
#include "s3_write.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"

enum {
	HEAP = 64 << 10,        /* so much is collected without part memory; bounded by LIMIT_TRANSFERS */
	HEAP_FIRST = 4 << 10,
};

struct s3_writer {
	struct blob_writer writer; /* first member */
	struct s3 *s;
	char *object, *type;
	char *upload_id;        /* of a client's upload; NULL */
	unsigned part;
	struct blob_ready ready;
	int64_t size;           /* -1 unknown */
	uint64_t written;

	char *memory;
	size_t capacity, filled;
	bool heap;              /* memory is of malloc() */
	uint32_t crc;
	struct remote_part_wait wait;

	struct s3_upload *upload;
	bool straight;          /* a client's part: put is written piece by piece */
	bool putting;
	struct s3_put put;
};

static void give_memory(struct s3_writer *w)
{
	if (w->heap)
		free(w->memory);
	else
		remote_part_give(w->memory, w->capacity);
	w->memory = NULL;
	w->capacity = 0;
	w->heap = false;
}

static int copy(char **to, const char *from)
{
	if (from)
		*to = strdup(from);
	return from && !*to ? -1 : 0;
}

int s3_write_begin(struct ctx *c, struct blob *b, const struct blob_target *t,
		   struct blob_ready ready, struct blob_writer **ret)
{
	struct s3_writer *w;

	if (t->upload_id && !s3_upload_id_valid(t->upload_id))
		return fail(c, RESOURCE_DOES_NOT_EXIST, "No such multipart upload");
	w = calloc(1, sizeof(*w));
	if (!w || copy(&w->object, remote_object(c, (struct remote *)b, t->key)) ||
	    copy(&w->type, t->content_type ? t->content_type : "application/octet-stream") ||
	    copy(&w->upload_id, t->upload_id)) {
		if (w)
			s3_write_close(&w->writer);
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	}
	w->writer.ops = b->ops;
	w->s = (struct s3 *)b;
	w->part = t->part;
	w->ready = ready;
	w->size = t->size;
	*ret = &w->writer;
	return 0;
}

/* ---- where bytes go ---- */

static int begin_upload(struct ctx *c, struct s3_writer *w)
{
	w->upload = s3_upload_new(c, w->s, w->object, w->type, w->size, w->ready);
	return w->upload ? 0 : -1;
}

static void begin_put(struct s3_writer *w, size_t size)
{
	w->put = (struct s3_put){
		.s = w->s,
		.object = w->object,
		.upload_id = w->upload_id,
		.part = w->part,
		.content_type = w->type,
		.body = w->memory,
		.size = size,
		.written = w->straight,
		.checksum = !w->upload_id && atomic_load(&w->s->checksums),
		.crc = w->crc,
		.ready = w->ready,
	};
	w->putting = true;
}

/* An announced size: memory for just that, or none of it. */
static int begin_announced(struct ctx *c, struct s3_writer *w)
{
	uint64_t n = (uint64_t)w->size;
	uint64_t most = w->upload_id ? REMOTE_PART : 2 * REMOTE_PART;

	w->heap = n <= HEAP;
	if (w->heap)
		w->memory = malloc((size_t)n);
	else if (n <= most)
		w->memory = remote_part_take((size_t)n);
	if (w->memory) {
		w->capacity = (size_t)n;
		return 0;
	}
	if (w->heap)
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	if (!w->upload_id)
		return begin_upload(c, w);
	w->straight = true;
	begin_put(w, (size_t)n);
	return 0;
}

static int grow_heap(struct ctx *c, struct s3_writer *w)
{
	size_t n = w->capacity ? w->capacity * 4 : HEAP_FIRST;
	char *more = realloc(w->memory, n);

	if (!more)
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	w->memory = more;
	w->capacity = n;
	w->heap = true;
	return 0;
}

/* An unknown size: memory grows with what comes. What waits for a part's memory holds no other. */
static int grow(struct ctx *c, struct s3_writer *w)
{
	void *part = NULL;
	int rc;

	if (w->capacity < HEAP)
		return grow_heap(c, w);
	if (w->capacity == HEAP) {
		w->wait.n = REMOTE_PART;
		w->wait.ready = w->ready;
		rc = remote_part_await(c, &w->wait, &part);
		if (rc)
			return rc;
		memcpy(part, w->memory, w->filled);
		give_memory(w);
		w->memory = part;
		w->capacity = REMOTE_PART;
		return 0;
	}
	if (w->upload_id)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "A part of more than %d MiB needs a Content-Length", REMOTE_PART >> 20);
	if (begin_upload(c, w))
		return -1;
	s3_upload_adopt(w->upload, TAKE(w->memory), w->capacity, w->crc);
	w->capacity = 0;
	return 0;
}

static int collect(struct s3_writer *w, const void *data, size_t n, size_t *taken)
{
	if (n > w->capacity - w->filled)
		n = w->capacity - w->filled;
	memcpy(w->memory + w->filled, data, n);
	w->crc = crc32c(w->crc, data, n);
	w->filled += n;
	*taken = n;
	return 0;
}

/* n > 0 */
static int append(struct ctx *c, struct s3_writer *w, const void *data, size_t n, size_t *taken)
{
	int rc = 0;

	*taken = 0;
	if (w->upload)
		return s3_upload_write(c, w->upload, data, n, taken);
	if (w->straight)
		return s3_put_write(c, &w->put, data, n, taken);
	if (w->size >= 0 && !w->memory)
		rc = begin_announced(c, w);
	else if (w->filled == w->capacity)
		rc = grow(c, w);
	if (rc)
		return rc;
	return w->memory ? collect(w, data, n, taken) : 0;
}

int s3_write(struct ctx *c, struct blob_writer *writer, const void *data, size_t n, size_t *taken)
{
	struct s3_writer *w = (struct s3_writer *)writer;
	size_t now;
	int rc = 0;

	*taken = 0;
	if (w->size >= 0 && n > (uint64_t)w->size - w->written)
		return fail(c, INVALID_PARAMETER_VALUE, "More bytes than were announced");
	/* Nothing to append: only what is under way goes on. */
	if (!n)
		return w->upload ? s3_upload_write(c, w->upload, data, 0, taken) : 0;
	while (!rc && *taken < n) {
		rc = append(c, w, (const char *)data + *taken, n - *taken, &now);
		*taken += now;
		w->written += now;
	}
	return rc == BLOB_AGAIN && *taken ? 0 : rc;
}

int s3_write_commit(struct ctx *c, struct blob_writer *writer, char etag[BLOB_ETAG])
{
	struct s3_writer *w = (struct s3_writer *)writer;
	int rc;

	if (w->size >= 0 && w->written != (uint64_t)w->size)
		return fail(c, BAD_REQUEST, "Fewer bytes than were announced");
	if (w->upload)
		return s3_upload_commit(c, w->upload, etag);
	if (!w->putting)
		begin_put(w, w->filled);
	rc = s3_put_step(c, &w->put);
	if (rc)
		return rc;
	memcpy(etag, w->put.etag, BLOB_ETAG);
	give_memory(w);
	return 0;
}

void s3_write_close(struct blob_writer *writer)
{
	struct s3_writer *w = (struct s3_writer *)writer;

	remote_part_forget(&w->wait);
	s3_put_end(&w->put);
	s3_upload_close(w->upload);
	give_memory(w);
	free(w->object);
	free(w->type);
	free(w->upload_id);
	free(w);
}
