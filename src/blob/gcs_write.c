/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Uploads. What fits in one piece of memory goes in one request at the commit, with its CRC32C, so that the store itself
 * refuses what arrives damaged. More goes through a resumable session, piece by piece, one being sent while the next is
 * collected. A piece stays in memory until the store has all of it: after a break the session is asked how far it got.
 * The last one is held back until the commit, so nothing is visible before.
 */
#include "gcs.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/crc32c.h"
#include "base/id.h"
#include "base/utf8.h"

enum {
	NAME_MOST = 1024,               /* bytes of an object's name: the store's own limit */
	HEAD_MOST = 16 << 10,
	SESSION_MOST = 8 << 10,
	BOUNDARY = 32,
};

enum step {
	IDLE,
	WHOLE,                          /* the one request with everything */
	STARTING,                       /* a session */
	SENDING,                        /* a piece */
	ASKING,                         /* how far the session got */
	DONE,
};

struct piece {
	char *memory;
	size_t size;
	bool own;                       /* of malloc(), not part memory */
	char *data;
	size_t room, fill;
	uint64_t start;                 /* in the object */
};

struct gcs_writer {
	struct blob_writer writer;
	struct gcs *gcs;
	struct blob_ready ready;
	char *object;
	char *metadata;                 /* JSON of a session */
	char *head;                     /* of the one request: metadata with a place for the CRC, and the data's header */
	size_t head_size, crc_at;
	char boundary[BOUNDARY + 1];
	char tail[BOUNDARY + 16];
	int64_t size;
	uint64_t at;
	uint32_t crc;
	struct piece filling, sending;
	bool last;                      /* sending is the last piece */
	char *session;
	uint64_t persisted;             /* bytes the store has */
	unsigned failures;              /* in a row, without progress */
	enum step step;
	struct remote_call *call;
	bool failed;
	char etag[BLOB_ETAG];
};

static const short session_answers[] = { 308, 404, 410, 0 };
static const short session_gone[] = { 404, 410, 499, 0 };
static const short object_gone[] = { 404, 0 };

/* ---- memory ---- */

static void drop(struct piece *p)
{
	if (p->own)
		free(p->memory);
	else if (p->memory)
		remote_part_give(p->memory, p->size);
	*p = (struct piece){ 0 };
}

/* Room for the next bytes. 0: some; BLOB_AGAIN: once the piece that is being sent is gone. */
static int get_room(struct ctx *c, struct gcs_writer *w)
{
	bool first = w->at == 0;
	size_t around = first ? w->head_size + strlen(w->tail) : 0;
	size_t room = REMOTE_PART;
	struct piece p = { .start = w->at };

	if (w->size >= 0 && (uint64_t)w->size - w->at < room)
		room = (size_t)((uint64_t)w->size - w->at);
	p.size = room + around;
	if (room > GCS_QUANTUM) {
		p.memory = w->sending.memory ? remote_part_take_more(p.size)
					     : remote_part_take(p.size);
		if (!p.memory && w->sending.memory && !w->sending.own)
			return BLOB_AGAIN;
		if (!p.memory) {
			room = GCS_QUANTUM;
			p.size = room + around;
		}
	}
	if (!p.memory) {
		p.own = true;
		p.memory = malloc(p.size);
	}
	if (!p.memory)
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	p.data = p.memory + (first ? w->head_size : 0);
	p.room = room;
	w->filling = p;
	return 0;
}

/* The piece that is being sent has arrived. */
static void sent_all(struct gcs_writer *w)
{
	struct piece p = w->sending;

	w->sending = (struct piece){ 0 };
	w->step = IDLE;
	w->failures = 0;
	/* Memory that is at hand is not given away between two pieces. */
	if (w->filling.memory || p.own || (w->size >= 0 && (uint64_t)w->size - w->at < REMOTE_PART)) {
		drop(&p);
		return;
	}
	p.data = p.memory;
	p.fill = 0;
	p.room = REMOTE_PART;
	p.start = w->at;
	w->filling = p;
}

/* ---- requests ---- */

static int begin(struct ctx *c, struct gcs_writer *w, const struct remote_request *q,
		 enum step step)
{
	remote_call_close(TAKE(w->call));
	if (remote_call_begin(c, &w->gcs->remote, q, w->ready, &w->call))
		return -1;
	w->step = step;
	return 0;
}

static int begin_whole(struct ctx *c, struct gcs_writer *w)
{
	struct piece *p = &w->filling;
	char type[BOUNDARY + 40], crc[GCS_TAG];
	const struct net_header headers[] = { { "Content-Type", type } };
	struct remote_request q = {
		.method = "POST",
		.url = gcs_upload_url(c, w->gcs, w->object, "multipart"),
		.headers = headers,
		.header_count = 1,
	};

	snprintf(type, sizeof(type), "multipart/related; boundary=%s", w->boundary);
	gcs_crc_text(w->crc, crc);
	memcpy(p->memory, w->head, w->head_size);
	memcpy(p->memory + w->crc_at, crc, strlen(crc));
	memcpy(p->data + p->fill, w->tail, strlen(w->tail));
	q.body = p->memory;
	q.size = w->head_size + p->fill + strlen(w->tail);
	return begin(c, w, &q, WHOLE);
}

static int begin_session(struct ctx *c, struct gcs_writer *w)
{
	char size[24];
	const struct net_header headers[] = {
		{ "Content-Type", "application/json; charset=UTF-8" },
		{ "X-Upload-Content-Length", size },
	};
	const struct remote_request q = {
		.method = "POST",
		.url = gcs_upload_url(c, w->gcs, w->object, "resumable"),
		.headers = headers,
		.header_count = w->size >= 0 ? 2 : 1,
		.body = w->metadata,
		.size = strlen(w->metadata),
	};

	snprintf(size, sizeof(size), "%lld", (long long)w->size);
	return begin(c, w, &q, STARTING);
}

static int pause_ms(const struct gcs_writer *w)
{
	int64_t most = w->failures ? (int64_t)REMOTE_PAUSE_MS << (w->failures - 1) : 0;
	uint32_t random;

	if (most > REMOTE_PAUSE_MOST_MS)
		most = REMOTE_PAUSE_MOST_MS;
	id_random(&random, sizeof(random));
	return (int)(most * random / UINT32_MAX);
}

/* What the store does not yet have of the piece. */
static int begin_piece(struct ctx *c, struct gcs_writer *w)
{
	const struct piece *p = &w->sending;
	size_t skip = (size_t)(w->persisted - p->start), n = p->fill - skip;
	char range[96], total[24] = "*", hash[GCS_TAG + 8];
	const struct net_header headers[] = { { "Content-Range", range }, { "X-Goog-Hash", hash } };
	const struct remote_request q = {
		.method = "PUT",
		.url = w->session,
		.headers = headers,
		.header_count = w->last ? 2 : 1,
		.body = p->data + skip,
		.size = n,
		.also = session_answers,
		.delay_ms = pause_ms(w),
		.no_retry = true,
	};

	if (w->last || w->size >= 0)
		snprintf(total, sizeof(total), "%llu",
			 w->last ? (unsigned long long)w->at : (unsigned long long)w->size);
	if (n)
		snprintf(range, sizeof(range), "bytes %llu-%llu/%s",
			 (unsigned long long)w->persisted,
			 (unsigned long long)(w->persisted + n - 1), total);
	else
		snprintf(range, sizeof(range), "bytes */%s", total);
	memcpy(hash, "crc32c=", 7);
	gcs_crc_text(w->crc, hash + 7);
	return begin(c, w, &q, SENDING);
}

static int begin_question(struct ctx *c, struct gcs_writer *w)
{
	static const struct net_header header = { "Content-Range", "bytes */*" };
	const struct remote_request q = {
		.method = "PUT",
		.url = w->session,
		.headers = &header,
		.header_count = 1,
		.also = session_answers,
		.delay_ms = w->failures > 1 ? pause_ms(w) : 0,
		.no_retry = true, /* tries are counted together with those of the piece */
	};

	return begin(c, w, &q, ASKING);
}

/* The object of this answer is not what was uploaded: it must not stay. */
static int take_back(struct ctx *c, struct gcs_writer *w, const struct gcs_object *got,
		     const char *why)
{
	char query[GCS_TAG + 16];
	const struct remote_request q = { .method = "DELETE",
					  .object = w->object,
					  .query = query,
					  .also = object_gone };

	snprintf(query, sizeof(query), "generation=%s", got->generation);
	if (*got->generation)
		remote_call_forget(&w->gcs->remote, &q);
	return fail_because(c, TEMPORARILY_UNAVAILABLE, why,
			    "The artifact store did not keep what was sent to it: upload it again");
}

/* ---- answers ---- */

static bool passing(struct ctx *c, const struct gcs_writer *w)
{
	return remote_call_broke(w->call) || c->error.code == TEMPORARILY_UNAVAILABLE;
}

/* Once more after a failure that got nowhere, unless it was one too many. */
static int once_more(struct ctx *c, struct gcs_writer *w)
{
	if (++w->failures >= REMOTE_TRIES)
		return fail(c, TEMPORARILY_UNAVAILABLE,
			    "The artifact store broke the upload off again and again: try again later");
	return 0;
}

/* A session that is gone can be begun anew only while its first piece is in memory. */
static int lost(struct ctx *c, struct gcs_writer *w)
{
	free(TAKE(w->session));
	w->persisted = 0;
	if (w->sending.start > 0)
		return fail(c, TEMPORARILY_UNAVAILABLE,
			    "The artifact store gave the upload up: upload it again");
	return once_more(c, w) ? -1 : begin_session(c, w);
}

/* The object is made. */
static int finish(struct ctx *c, struct gcs_writer *w)
{
	struct gcs_object got;
	char crc[GCS_TAG];
	const char *text;
	size_t size;
	int rc = remote_call_text(c, w->call, &text, &size);

	if (rc)
		return rc;
	if (gcs_object_read(c, text, size, &got))
		return -1;
	free(TAKE(w->session));
	if (w->step != WHOLE && !w->last)
		return take_back(c, w, &got, "finished before its last piece");
	gcs_crc_text(w->crc, crc);
	if (got.has_size && got.size != w->at)
		return take_back(c, w, &got, "another size");
	if (got.has_crc && strcmp(got.crc, crc) != 0)
		return take_back(c, w, &got, "another crc32c");
	gcs_etag(got.generation, w->etag);
	remote_call_close(TAKE(w->call));
	drop(&w->filling);
	drop(&w->sending);
	w->step = DONE;
	return 0;
}

static int started(struct ctx *c, struct gcs_writer *w)
{
	const char *session = remote_call_header(w->call, "Location");

	if (!session || strlen(session) > SESSION_MOST || !gcs_ours(w->gcs, session))
		return fail_because(c, TEMPORARILY_UNAVAILABLE,
				    session ? "at another address than the store's" : "no Location",
				    "The artifact store began an upload without saying where");
	w->session = strdup(session);
	if (!w->session)
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	w->persisted = 0;
	if (w->sending.memory)
		return begin_piece(c, w);
	remote_call_close(TAKE(w->call));
	w->step = IDLE;
	return 0;
}

/* How much the store has, from "bytes=0-N"; without the header nothing. */
static int read_range(struct ctx *c, struct gcs_writer *w, uint64_t *ret)
{
	const char *range = remote_call_header(w->call, "Range");
	const char *dash = range ? strchr(range, '-') : NULL;
	uint64_t end = w->sending.start + w->sending.fill;

	*ret = 0;
	if (range) {
		if (!dash || !isdigit((unsigned char)dash[1]))
			return fail_because(c, TEMPORARILY_UNAVAILABLE,
					    remote_said(c, &w->gcs->remote, range),
					    "The artifact store's answer cannot be understood");
		*ret = strtoull(dash + 1, NULL, 10) + 1;
	}
	w->failed = *ret < w->sending.start || *ret > end;
	if (w->failed)
		return fail_because(c, TEMPORARILY_UNAVAILABLE,
				    range ? remote_said(c, &w->gcs->remote, range) : "nothing",
				    "The artifact store lost bytes of the upload: upload it again");
	return 0;
}

/* 308: some of the piece, or all, or nothing of it has arrived. */
static int arrived(struct ctx *c, struct gcs_writer *w)
{
	uint64_t have;

	if (read_range(c, w, &have))
		return -1;
	if (have > w->persisted)
		w->failures = 0;
	else if (w->step == SENDING && once_more(c, w))
		return -1;
	w->persisted = have;
	if (!w->last && have == w->sending.start + w->sending.fill) {
		remote_call_close(TAKE(w->call));
		sent_all(w);
		return 0;
	}
	return begin_piece(c, w);
}

/* Of SENDING and ASKING. */
static int answered(struct ctx *c, struct gcs_writer *w, int status)
{
	if (status == 308)
		return arrived(c, w);
	if (status == 404 || status == 410)
		return lost(c, w);
	return finish(c, w);
}

static int step_once(struct ctx *c, struct gcs_writer *w)
{
	struct net_head head;
	int rc = remote_call_head(c, w->call, &head);

	if (!rc && w->step == STARTING)
		return started(c, w);
	if (!rc)
		rc = w->step == WHOLE ? finish(c, w) : answered(c, w, head.status);
	/* A piece that broke, or a last answer that got lost: the session knows. */
	if (rc < 0 && (w->step == SENDING || w->step == ASKING) && w->call && w->session &&
	    !w->failed && passing(c, w) && ++w->failures < REMOTE_TRIES) {
		error_clear(c);
		rc = begin_question(c, w);
	}
	return rc;
}

/* Until nothing is on its way. */
static int advance(struct ctx *c, struct gcs_writer *w)
{
	while (w->step != IDLE && w->step != DONE) {
		int rc = step_once(c, w);

		if (rc) {
			w->failed = w->failed || rc < 0;
			return rc;
		}
	}
	return 0;
}

/* ---- the interface ---- */

static int describe(struct ctx *c, struct gcs_writer *w, const char *type)
{
	struct buf metadata = BUF(c->arena, HEAD_MOST), head = BUF(c->arena, HEAD_MOST);
	uint8_t random[BOUNDARY / 2];

	if (!type || !*type || strlen(type) > 200)
		type = "application/octet-stream";
	for (const char *p = type; *p; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
			type = p = "application/octet-stream";
	id_random(random, sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(w->boundary + 2 * i, 3, "%02x", random[i]);
	snprintf(w->tail, sizeof(w->tail), "\r\n--%s--\r\n", w->boundary);

	buf_add(&metadata, "{\"contentType\":");
	buf_add_json_string(&metadata, type);
	buf_addf(&head, "--%s\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n%s,\"crc32c\":\"",
		 w->boundary, buf_text(&metadata));
	w->crc_at = head.size;
	buf_addf(&head, "AAAAAA==\"}\r\n--%s\r\nContent-Type: %s\r\n\r\n", w->boundary, type);
	buf_add(&metadata, "}");
	w->metadata = strdup(buf_text(&metadata));
	w->head = strdup(buf_text(&head));
	w->head_size = head.size;
	return w->metadata && w->head ? 0 : fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
}

int gcs_write_begin(struct ctx *c, struct blob *b, const struct blob_target *t,
		    struct blob_ready ready, struct blob_writer **ret)
{
	struct gcs *g = (struct gcs *)b;
	const char *object = remote_object(c, &g->remote, t->key);
	struct gcs_writer *w;

	if (!utf8_valid(object, strlen(object)) || strlen(object) > NAME_MOST)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Google Cloud Storage takes names in UTF-8 of at most %d bytes",
			    NAME_MOST);
	if (t->upload_id)
		return gcs_part_begin(c, g, t, ready, ret);
	w = calloc(1, sizeof(*w));
	if (!w)
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	w->writer.ops = &blob_gcs;
	w->gcs = g;
	w->ready = ready;
	w->size = t->size;
	*ret = &w->writer;
	w->object = strdup(object);
	if (!w->object)
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	return describe(c, w, t->content_type);
}

/* The full piece is on its way. */
static int dispatch(struct ctx *c, struct gcs_writer *w)
{
	w->sending = w->filling;
	w->filling = (struct piece){ 0 };
	w->failures = 0;
	return w->session ? begin_piece(c, w) : begin_session(c, w);
}

/* Copies what there is room for, and dispatches a full piece behind which there is more. 0 with *again: call advance(). */
static int collect(struct ctx *c, struct gcs_writer *w, const char *data, size_t n, size_t *taken,
		   bool *again)
{
	*again = false;
	while (*taken < n) {
		struct piece *p = &w->filling;
		size_t k;
		int rc;

		if (p->memory && p->fill == p->room) {
			*again = w->step == IDLE;
			return *again ? dispatch(c, w) : 0;
		}
		/* A piece must be on its way before the next is collected: should the client pause then, nobody calls. */
		if (w->step == STARTING && w->sending.memory)
			return 0;
		rc = p->memory ? 0 : get_room(c, w);
		if (rc)
			return rc < 0 ? -1 : 0;
		/* One that surely gets a session begins it while its first piece is collected. */
		if (w->at == 0 && w->size >= 0 && p->room < (uint64_t)w->size && !w->call &&
		    !w->session && begin_session(c, w))
			return -1;
		k = p->room - p->fill < n - *taken ? p->room - p->fill : n - *taken;
		memcpy(p->data + p->fill, data + *taken, k);
		w->crc = crc32c(w->crc, data + *taken, k);
		p->fill += k;
		w->at += k;
		*taken += k;
	}
	if (w->step == IDLE && w->size >= 0 && w->at < (uint64_t)w->size && w->filling.memory &&
	    w->filling.fill == w->filling.room)
		return dispatch(c, w);
	return 0;
}

static int give_up(struct ctx *c, struct gcs_writer *w)
{
	w->failed = true;
	return fail(c, TEMPORARILY_UNAVAILABLE, "The upload to the artifact store failed");
}

int gcs_write(struct ctx *c, struct blob_writer *writer, const void *data, size_t n, size_t *taken)
{
	struct gcs_writer *w = (struct gcs_writer *)writer;

	*taken = 0;
	if (w->failed)
		return give_up(c, w);
	if (w->size >= 0 && n > (uint64_t)w->size - w->at)
		return fail(c, INVALID_PARAMETER_VALUE, "More bytes came than were announced");
	for (;;) {
		bool again;

		if (advance(c, w) < 0 || collect(c, w, data, n, taken, &again))
			return give_up(c, w);
		if (!again)
			return *taken || !n ? 0 : BLOB_AGAIN;
	}
}

int gcs_write_commit(struct ctx *c, struct blob_writer *writer, char etag[BLOB_ETAG])
{
	struct gcs_writer *w = (struct gcs_writer *)writer;

	if (w->failed)
		return give_up(c, w);
	if (w->size >= 0 && w->at != (uint64_t)w->size)
		return fail(c, INVALID_PARAMETER_VALUE, "Fewer bytes came than were announced");
	for (;;) {
		int rc = advance(c, w);

		if (!rc && w->step == DONE) {
			memcpy(etag, w->etag, BLOB_ETAG);
			return 0;
		}
		if (!rc && !w->filling.memory)
			rc = get_room(c, w); /* an empty object */
		if (!rc && !w->session) {
			rc = begin_whole(c, w);
		} else if (!rc) {
			w->last = true;
			rc = dispatch(c, w);
		}
		if (rc < 0)
			return give_up(c, w);
		if (rc)
			return rc;
	}
}

void gcs_write_close(struct blob_writer *writer)
{
	struct gcs_writer *w = (struct gcs_writer *)writer;

	remote_call_close(w->call);
	if (w->session) {
		const struct remote_request q = { .method = "DELETE",
						  .url = w->session,
						  .also = session_gone };

		remote_call_forget(&w->gcs->remote, &q);
	}
	drop(&w->filling);
	drop(&w->sending);
	free(w->session);
	free(w->object);
	free(w->metadata);
	free(w->head);
	free(w);
}
