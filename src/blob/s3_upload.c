/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * A multipart upload whose bytes come one after the other. Each part is collected in memory and
 * sent while the next one comes; without memory for the first part the parts go straight through,
 * as they come. An upload sends checksums with all of its parts or with none, so one that does
 * keeps memory for one part until the last.
 *
 * Closed before it is complete, it becomes a job that takes back what the store has of it.
 */
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/crc32c.h"
#include "s3_write.h"

enum {
	UNIT = 1 << 20,         /* parts are whole multiples of it */
	FEWER_PARTS = 9000,     /* of an announced size: BLOB_MAX_PARTS and some room */
	SAME_SIZE = 2000,       /* so many parts of an unknown size are alike, then they get larger */
	STREAMS = 2,            /* parts without memory at one time */
	ABORTS = 5,
	ABORT_PAUSE_MS = 500,
};

enum slot_state {
	EMPTY,
	FILLING,                /* in memory, or straight through */
	FULL,                   /* waits for the upload id */
	SENDING,                /* all of it is sent or on its way */
};

struct slot {
	enum slot_state state;
	unsigned number;
	char *memory;           /* may be kept while EMPTY */
	size_t capacity;
	size_t size, filled;    /* of the part */
	bool straight;
	uint32_t crc;
	struct s3_put put;
};

struct s3_upload {
	struct remote_job job;  /* first member; once closed */
	struct s3 *s;
	char *object, *type;
	struct blob_ready ready;
	int64_t size;           /* -1 unknown */
	uint64_t begun_bytes;   /* of all parts that were begun */
	unsigned parts;         /* that were begun */
	size_t part_size;       /* of an announced size */
	bool checksums, decided, done;
	struct slot slots[REMOTE_PARTS_IN_FLIGHT];
	struct remote_part_wait wait;
	struct s3_sent *sent;
	size_t sent_room;
	struct s3_complete complete;

	pthread_mutex_t lock;
	bool closed;            /* under lock */
	struct remote_call *create; /* survives the closing, to learn the id */
	bool refused;           /* the checksum algorithm, once */
	char *id;

	struct remote_call *abort;
	unsigned aborts;
	bool cut;               /* parts were on their way: look whether one arrived after the abort */
	bool looking;
};

/* ---- creating ---- */

/* The creation is the one call that goes on after a close, for the job then. */
static void create_ready(void *arg)
{
	struct s3_upload *u = arg;

	pthread_mutex_lock(&u->lock);
	if (u->closed)
		remote_job_ready(&u->job);
	else
		u->ready.fn(u->ready.arg);
	pthread_mutex_unlock(&u->lock);
}

static int begin_create(struct ctx *c, struct s3_upload *u)
{
	static const short judged[] = { 400, 501, 0 };
	struct remote_request q = {
		.method = "POST",
		.object = u->object,
		.query = "uploads=",
		.also = u->checksums ? judged : NULL,
	};
	struct net_header *h = s3_write_headers(c, u->s, true, u->type, &q.header_count);

	if (u->checksums)
		h[q.header_count++] = (struct net_header){ "x-amz-checksum-algorithm", "CRC32C" };
	q.headers = h;
	return remote_call_begin(c, &u->s->remote, &q, (struct blob_ready){ create_ready, u },
				 &u->create);
}

/* 0: there is an id; BLOB_AGAIN. */
static int create(struct ctx *c, struct s3_upload *u)
{
	while (!u->id) {
		struct net_head head;
		const char *text, *id;
		size_t size;
		int rc = u->create ? 0 : begin_create(c, u);

		if (!rc)
			rc = remote_call_head(c, u->create, &head);
		if (!rc)
			rc = remote_call_text(c, u->create, &text, &size);
		if (rc)
			return rc;
		if (head.status / 100 != 2) {
			if (!s3_checksum_refused(c, head.status, text, size))
				return s3_write_refused(c, u->s, u->create, head.status, "POST",
							u->object);
			u->checksums = false;
			u->refused = true;
			remote_call_close(TAKE(u->create));
			continue;
		}
		id = s3_xml_text(c, text, size, "UploadId");
		if (!id || !s3_upload_id_valid(id))
			return fail(c, INTERNAL_ERROR,
				    "The object store began an upload without saying its id");
		u->id = strdup(id);
		if (!u->id)
			return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
		remote_call_close(TAKE(u->create));
		if (u->refused)
			s3_checksums_off(u->s);
	}
	return 0;
}

/* ---- sending ---- */

static void give_memory(struct slot *s)
{
	remote_part_give(s->memory, s->capacity);
	s->memory = NULL;
	s->capacity = 0;
}

static bool all_begun(const struct s3_upload *u)
{
	return u->size >= 0 && u->begun_bytes == (uint64_t)u->size;
}

/* Another part is being collected, or none will be: a slot that is done needs no memory. */
static bool memory_idle(const struct s3_upload *u)
{
	for (size_t i = 0; i < REMOTE_PARTS_IN_FLIGHT; i++)
		if (u->slots[i].state == FILLING && u->slots[i].memory)
			return true;
	return all_begun(u);
}

static int sent(struct ctx *c, struct s3_upload *u, struct slot *s)
{
	if (s->number > u->sent_room) {
		size_t more = u->sent_room ? u->sent_room * 2 : 16;
		struct s3_sent *p;

		while (more < s->number)
			more *= 2;
		p = realloc(u->sent, more * sizeof(*p));
		if (!p)
			return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
		u->sent = p;
		u->sent_room = more;
	}
	u->sent[s->number - 1] = (struct s3_sent){ .number = s->number, .crc = s->crc };
	memcpy(u->sent[s->number - 1].etag, s->put.etag, BLOB_ETAG);
	if (s->put.refused)
		u->checksums = false;
	s->state = EMPTY;
	if (memory_idle(u))
		give_memory(s);
	return 0;
}

static void prepare_put(struct s3_upload *u, struct slot *s)
{
	s->put = (struct s3_put){
		.s = u->s,
		.object = u->object,
		.upload_id = u->id,
		.part = s->number,
		.body = s->memory,
		.size = s->size,
		.written = s->straight,
		.checksum = u->checksums,
		.crc = s->crc,
		.ready = u->ready,
	};
}

/* Goes on with all that is under way. 0 or -1. */
static int advance(struct ctx *c, struct s3_upload *u)
{
	int rc = create(c, u);

	for (size_t i = 0; i < REMOTE_PARTS_IN_FLIGHT && !rc; i++) {
		struct slot *s = &u->slots[i];

		if (s->state == FULL) {
			prepare_put(u, s);
			s->state = SENDING;
		}
		if (s->state != SENDING)
			continue;
		rc = s3_put_step(c, &s->put);
		if (!rc)
			rc = sent(c, u, s);
		else if (rc == BLOB_AGAIN)
			rc = 0;
	}
	return rc < 0 ? -1 : 0;
}

/* ---- collecting ---- */

static size_t next_size(const struct s3_upload *u)
{
	uint64_t left = (uint64_t)u->size - u->begun_bytes;

	if (u->size < 0)
		return (size_t)REMOTE_PART * (1 + u->parts / SAME_SIZE);
	return left < u->part_size ? (size_t)left : u->part_size;
}

/* Parts so large that a few would be all there is go straight through. */
static void *take_first(size_t n)
{
	return n > REMOTE_PART_MEMORY / 4 ? NULL : remote_part_take(n);
}

/* Whether checksums are sent is said when the upload is created, so it needs to be known whether
 * there will be memory. */
static void decide(struct s3_upload *u)
{
	struct slot *s = &u->slots[0];

	u->decided = true;
	if (u->size >= 0 && !s->memory) {
		s->capacity = next_size(u);
		s->memory = take_first(s->capacity);
		if (!s->memory)
			s->capacity = 0;
	}
	u->checksums = atomic_load(&u->s->checksums) && (u->size < 0 || s->memory);
}

static struct slot *filling(struct s3_upload *u)
{
	for (size_t i = 0; i < REMOTE_PARTS_IN_FLIGHT; i++)
		if (u->slots[i].state == FILLING)
			return &u->slots[i];
	return NULL;
}

/* Memory for n bytes in an empty slot; 0, BLOB_AGAIN, or 1: none, the part goes straight through. */
static int find_memory(struct ctx *c, struct s3_upload *u, struct slot *s, size_t n)
{
	bool busy = false;
	void *memory = NULL;
	int rc = 0;

	if (s->memory && s->capacity >= n)
		return 0;
	for (size_t i = 0; i < REMOTE_PARTS_IN_FLIGHT; i++) {
		if (u->slots[i].state == EMPTY)
			give_memory(&u->slots[i]); /* too small */
		else
			busy = busy || u->slots[i].memory;
	}
	if (busy) {
		memory = remote_part_take_more(n);
		rc = memory ? 0 : BLOB_AGAIN; /* until a part of ours is sent */
	} else if (u->size >= 0) {
		memory = take_first(n);
		rc = memory ? 0 : 1;
	} else {
		u->wait.n = n;
		u->wait.ready = u->ready;
		rc = remote_part_await(c, &u->wait, &memory);
	}
	s->memory = memory;
	s->capacity = memory ? n : 0;
	return rc;
}

/* An empty slot, one that has memory first. */
static struct slot *empty_slot(struct s3_upload *u, unsigned *straight)
{
	struct slot *found = NULL;

	*straight = 0;
	for (size_t i = 0; i < REMOTE_PARTS_IN_FLIGHT; i++) {
		struct slot *s = &u->slots[i];

		if (s->state == EMPTY && (!found || (!found->memory && s->memory)))
			found = s;
		else if (s->state != EMPTY && s->straight)
			++*straight;
	}
	return found;
}

/* Begins the next part. */
static int open_slot(struct ctx *c, struct s3_upload *u, struct slot **ret)
{
	unsigned straight;
	struct slot *s = empty_slot(u, &straight);
	size_t n = next_size(u);
	int rc;

	if (!n)
		return fail(c, INVALID_PARAMETER_VALUE, "More bytes than were announced");
	if (u->parts == BLOB_MAX_PARTS)
		return fail(c, PAYLOAD_TOO_LARGE,
			    "Too large for an upload without a Content-Length");
	if (!s)
		return BLOB_AGAIN;
	rc = find_memory(c, u, s, n);
	if (rc == 1 && (straight == STREAMS || !u->id))
		return BLOB_AGAIN;
	if (rc < 0 || rc == BLOB_AGAIN)
		return rc;
	s->straight = rc == 1;
	assert(!s->straight || !u->checksums);
	s->state = FILLING;
	s->number = ++u->parts;
	s->size = n;
	s->filled = 0;
	s->crc = 0;
	if (u->size >= 0)
		u->begun_bytes += n;
	if (s->straight)
		prepare_put(u, s);
	*ret = s;
	return 0;
}

static int fill(struct ctx *c, struct s3_upload *u, struct slot *s, const char *data, size_t n,
		size_t *taken)
{
	int rc = 0;

	if (n > s->size - s->filled)
		n = s->size - s->filled;
	if (s->straight) {
		rc = s3_put_write(c, &s->put, data, n, taken);
	} else {
		memcpy(s->memory + s->filled, data, n);
		if (u->checksums)
			s->crc = crc32c(s->crc, data, n);
		*taken = n;
	}
	s->filled += *taken;
	if (s->filled == s->size)
		s->state = s->straight ? SENDING : FULL;
	return rc;
}

int s3_upload_write(struct ctx *c, struct s3_upload *u, const void *data, size_t n, size_t *taken)
{
	*taken = 0;
	if (!u->decided)
		decide(u);
	if (advance(c, u))
		return -1;
	while (*taken < n) {
		struct slot *s = filling(u);
		size_t now = 0;
		int rc = s ? 0 : open_slot(c, u, &s);

		if (!rc)
			rc = fill(c, u, s, (const char *)data + *taken, n - *taken, &now);
		*taken += now;
		if (rc < 0)
			return -1;
		if (rc == BLOB_AGAIN)
			return *taken ? 0 : BLOB_AGAIN;
		if (s->state != FILLING && advance(c, u))
			return -1;
	}
	return 0;
}

int s3_upload_commit(struct ctx *c, struct s3_upload *u, char etag[BLOB_ETAG])
{
	struct slot *s = filling(u);
	struct s3_complete *k = &u->complete;
	int rc;

	if (u->size >= 0 ? s || !all_begun(u) : s && !s->filled)
		return fail(c, BAD_REQUEST, "Fewer bytes than were announced");
	if (s) {
		s->size = s->filled;
		s->state = FULL;
	}
	if (!u->decided)
		decide(u);
	if (advance(c, u))
		return -1;
	if (!u->id)
		return BLOB_AGAIN;
	for (size_t i = 0; i < REMOTE_PARTS_IN_FLIGHT; i++)
		if (u->slots[i].state != EMPTY)
			return BLOB_AGAIN;
	for (size_t i = 0; i < REMOTE_PARTS_IN_FLIGHT; i++)
		give_memory(&u->slots[i]);
	if (!k->s)
		*k = (struct s3_complete){
			.s = u->s,
			.object = u->object,
			.upload_id = u->id,
			.parts = u->sent,
			.count = u->parts,
			.size = u->size,
			.checksums = u->checksums,
			.ready = u->ready,
		};
	rc = s3_complete_step(c, k);
	if (rc)
		return rc;
	u->done = true;
	memcpy(etag, k->etag, BLOB_ETAG);
	return 0;
}

/* ---- begin and end ---- */

struct s3_upload *s3_upload_new(struct ctx *c, struct s3 *s, const char *object,
				const char *content_type, int64_t size, struct blob_ready ready)
{
	struct s3_upload *u = calloc(1, sizeof(*u));
	uint64_t part;

	if (u) {
		u->object = strdup(object);
		u->type = strdup(content_type);
		pthread_mutex_init(&u->lock, NULL);
	}
	if (!u || !u->object || !u->type) {
		s3_upload_close(u);
		(void)fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
		return NULL;
	}
	u->s = s;
	u->ready = ready;
	u->size = size;
	if (size >= 0) {
		part = (uint64_t)size <= 2 * (uint64_t)REMOTE_PART
			       ? (uint64_t)size
			       : (uint64_t)size / FEWER_PARTS / UNIT * UNIT + UNIT;
		u->part_size = part < REMOTE_PART && (uint64_t)size > part ? REMOTE_PART
									    : (size_t)part;
	}
	return u;
}

void s3_upload_adopt(struct s3_upload *u, void *memory, size_t size, uint32_t crc)
{
	struct slot *s = &u->slots[0];

	assert(u->size < 0 && !u->parts);
	decide(u);
	*s = (struct slot){
		.state = FULL,
		.number = ++u->parts,
		.memory = memory,
		.capacity = size,
		.size = size,
		.filled = size,
		.crc = crc,
	};
}

static void free_upload(struct remote_job *j)
{
	struct s3_upload *u = (struct s3_upload *)j;

	remote_call_close(u->create);
	remote_call_close(u->abort);
	pthread_mutex_destroy(&u->lock);
	free(u->id);
	free(u->sent);
	free(u->object);
	free(u->type);
	free(u);
}

static int begin_abort(struct ctx *c, struct s3_upload *u)
{
	static const short missing[] = { 404, 0 };
	struct remote_request q = {
		.method = u->looking ? "GET" : "DELETE",
		.object = u->object,
		.query = s3_upload_query(c, u->id, 0),
		.also = missing,
		.delay_ms = !u->looking && u->aborts ? ABORT_PAUSE_MS : 0,
	};

	if (u->looking)
		q.query = arena_printf(c->arena, "max-parts=1&%s", q.query);
	q.headers = s3_write_headers(c, u->s, false, NULL, &q.header_count);
	return remote_call_begin(c, &u->s->remote, &q,
				 (struct blob_ready){ remote_job_ready, &u->job }, &u->abort);
}

/* Of the job: aborts, and where parts were on their way looks whether the upload is gone. */
static int take_back(struct ctx *c, struct remote_job *j, bool give_up)
{
	struct s3_upload *u = (struct s3_upload *)j;

	if (give_up)
		return fail(c, TEMPORARILY_UNAVAILABLE, "The server is stopping");
	if (!u->id) {
		int rc = create(c, u);

		/* Refused: there is nothing to take back. */
		if (rc)
			return rc < 0 && u->create && !remote_call_broke(u->create) ? 0 : rc;
	}
	for (;;) {
		struct net_head head;
		const char *text;
		size_t size;
		int rc = u->abort ? 0 : begin_abort(c, u);

		if (!rc)
			rc = remote_call_head(c, u->abort, &head);
		if (!rc)
			rc = remote_call_text(c, u->abort, &text, &size);
		if (rc)
			return rc;
		remote_call_close(TAKE(u->abort));
		if (head.status == 404 || (!u->looking && !u->cut))
			return 0;
		u->looking = !u->looking;
		if (!u->looking && ++u->aborts == ABORTS)
			return fail(c, TEMPORARILY_UNAVAILABLE,
				    "The upload is there though it was aborted");
	}
}

void s3_upload_close(struct s3_upload *u)
{
	if (!u)
		return;
	pthread_mutex_lock(&u->lock);
	u->closed = true;
	pthread_mutex_unlock(&u->lock);
	remote_part_forget(&u->wait);
	for (size_t i = 0; i < REMOTE_PARTS_IN_FLIGHT; i++) {
		u->cut = u->cut || u->slots[i].put.call;
		s3_put_end(&u->slots[i].put);
		give_memory(&u->slots[i]);
	}
	s3_complete_end(&u->complete);
	if (u->done || (!u->create && !u->id)) {
		free_upload(&u->job);
		return;
	}
	u->job.remote = &u->s->remote;
	u->job.what = u->object;
	u->job.step = take_back;
	u->job.free = free_upload;
	remote_job_begin(&u->job);
}
