/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * transfer — artifact bytes between a socket and a store, through one fixed ring each, moved by the
 * engine's own threads. Event threads push or pull what the ring holds and never wait; when they
 * cannot go on they suspend the connection, then transfer_arm() the wake-up, in that order (an
 * event that already happened wakes at once).
 *
 * An upload is invisible until transfer_finish() made it whole and durable; transfer_close() before
 * that leaves nothing.
 */
#ifndef ARTIFACTS_TRANSFER_H
#define ARTIFACTS_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/ctx.h"

struct blob;
struct transfer;
struct transfer_engine;

/* What a STREAM handler is given. Strings are percent-decoded once, valid UTF-8, without NUL. */
struct stream_request {
	const char *path; /* the {path} of the route; NULL without one */
	const char *(*query)(const struct stream_request *r, const char *name); /* NULL: absent */
	const char *(*path_field)(const struct stream_request *r, const char *name);
	const char *range; /* header, NULL: absent */
	const char *if_none_match;
	const char *if_range;
	int64_t content_length; /* -1: chunked or none */
	const char *content_type;
	const char *(*header)(const struct stream_request *r, const char *name); /* NULL: absent */
	void *owner;
};

enum { TRANSFER_SHA256 = 32 };

/* What it decides. */
enum stream_kind { STREAM_UPLOAD, STREAM_DOWNLOAD };

struct stream {
	enum stream_kind kind;
	const char *key; /* path below the root, already checked */
	struct blob *store; /* NULL: the engine's root */
	const char *redirect; /* download: instead of it, a URL where the client gets it; NULL */
	const char *range;
	const char *if_none_match;
	const char *if_range;
	int64_t size;          /* upload: announced size, -1 unknown */
	int64_t limit;         /* upload: most bytes, 0 = none (413 beyond) */
	bool not_empty;        /* upload: no bytes at all are an error */
	const char *file_name; /* download: for Content-Disposition */
	const char *upload_id; /* upload: of a part of it; NULL: the object itself */
	unsigned part;

	/* upload: it must be this; download: it was this when it had made_etag and made_size, and when it is
	   read as a whole it must be still */
	bool digest;
	unsigned char sha256[TRANSFER_SHA256];
	char made_etag[80];
	uint64_t made_size;
};

/* Once at start and end. root: the open artifact store (blob/blob.h). NULL: no memory or threads.
 */
struct transfer_engine *transfer_engine_new(struct blob *root, unsigned threads);
void transfer_engine_free(struct transfer_engine *e);

/* Fails all transfers: at the end, when a store would hold it up. */
void transfer_engine_cut(struct transfer_engine *e);

struct transfer_stats {
	uint64_t started, finished, failed, bytes_in, bytes_out;
	unsigned active, waiting;
};
void transfer_engine_stats(struct transfer_engine *e, struct transfer_stats *ret);

/* Begins; copies what it needs from s. Never blocks. wake(arg) is called from a thread of the engine or of the store, at
   most once per arm, and must not call transfer_close(). NULL: too many are waiting, or no memory
   (answer 503). */
struct transfer *transfer_begin(struct transfer_engine *e, const struct stream *s,
				void (*wake)(void *arg), void *arg);

/* The next wake: when the state changed so that the call that said "wait" can go on. Call it after
 * suspending. */
void transfer_arm(struct transfer *t);

enum transfer_state {
	TRANSFER_WAIT, /* suspend, arm */
	TRANSFER_READY,
	TRANSFER_FAILED, /* transfer_error() */
	TRANSFER_DONE,
};

/* Upload: takes up to n bytes, *taken says how many (0 with WAIT). */
enum transfer_state transfer_push(struct transfer *t, const char *data, size_t n, size_t *taken);
/* Upload: no more bytes. WAIT until durable and visible, then DONE. May be called again. */
enum transfer_state transfer_finish(struct transfer *t);
/* After DONE: the quoted entity tag of what was made, "" none. For the ETag header: clients of
 * multipart uploads need it. */
const char *transfer_etag(const struct transfer *t);

/* After DONE: of the object that was made; NULL: unknown (a part). */
const unsigned char *transfer_sha256(const struct transfer *t);
uint64_t transfer_size(const struct transfer *t);

/* Download: WAIT until the object is open (or not), then READY with its head. */
struct transfer_head {
	int status;               /* 200, 206, 304 */
	uint64_t length;          /* bytes that follow */
	uint64_t first, total;    /* 206: Content-Range */
	char etag[80];            /* quoted; "" none */
	int64_t modified;         /* seconds since 1970, -1 unknown */
	const char *content_type; /* static text */
	bool digest;              /* the stream's is the object's */
};
/* FAILED with RANGE_NOT_SATISFIABLE: head is filled too, for `Content-Range: bytes <*>/total`. */
enum transfer_state transfer_open(struct transfer *t, struct transfer_head *head);
/* Download: up to n bytes into out. READY with *got > 0, WAIT, DONE at the end, FAILED (cut the
 * connection). */
enum transfer_state transfer_pull(struct transfer *t, char *out, size_t n, size_t *got);

/* Why it failed; valid until transfer_close(). */
const struct error *transfer_error(const struct transfer *t);

/* Gives it up or ends it; safe in every state, from any thread; wake is not called afterwards. */
void transfer_close(struct transfer *t);

#endif
