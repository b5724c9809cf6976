/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * blob — object storage behind the artifact proxy: a root opened by URI, keys below it.
 *
 * A key is `a/b/c`: no empty, `.` or `..` segment, no leading or trailing slash; "" is the root
 * itself. Whoever builds keys checks them (artifacts/path.h); a store still opens them so that
 * nothing outside of its root is ever reached.
 *
 * Readers and writers belong to one thread at a time. A call of theirs that cannot go on without
 * waiting for a network returns BLOB_AGAIN: it is repeated with the same arguments after `ready`
 * was called (from any thread, perhaps within the call). A store on disk blocks instead, never
 * BLOB_AGAIN but from blob_read_at_hand(). After *_close() `ready` is not called.
 */
#ifndef BLOB_BLOB_H
#define BLOB_BLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"

struct blob;
struct blob_reader;
struct blob_writer;

enum {
	BLOB_AGAIN = 2,
	BLOB_ETAG = 80, /* bytes of an entity tag, quotes and NUL included */
	BLOB_MAX_PARTS = 10000,
	BLOB_MAX_EXPIRES = 604800, /* seconds: the clouds' limit for signed URLs */
};

struct blob_info {
	bool directory;
	uint64_t size;
	int64_t modified;     /* seconds since 1970, -1 unknown */
	char etag[BLOB_ETAG]; /* quoted, strong; "" none */
};

struct blob_entry {
	const char *name; /* one segment, valid UTF-8; valid during the call */
	bool directory;
	uint64_t size;
};

struct blob_ready {
	void (*fn)(void *arg);
	void *arg;
};

/* What a writer makes: an object, or one part of a multipart upload to it. */
struct blob_target {
	const char *key;
	int64_t size;          /* announced, -1 unknown. More is an error of the caller's */
	const char *upload_id; /* NULL: the object itself */
	unsigned part;         /* 1..BLOB_MAX_PARTS */
	const char *content_type; /* NULL: the store guesses by name or leaves it */
};

/* Which bytes will be asked for: a store that is far away sends just these. A hint. */
struct blob_want {
	uint64_t first;
	uint64_t length;       /* 0: to the end */
	bool suffix;           /* instead: the last `length` bytes */
};

struct blob_part {
	unsigned number;
	const char *etag; /* as the part's writer returned it */
};

/*
 * Opens a root: a plain path or file:// (made where missing; temporaries of dead processes are swept), s3://bucket/prefix
 * or gs://bucket/prefix (configuration is read and judged, the network is not asked). NULL: error set.
 */
struct blob *blob_open(struct ctx *c, const char *uri);
void blob_close(struct blob *b);
/* After the last blob_close(): ends the threads that stores on a network share. */
void blob_shutdown(void);
/* At the end, when calls that wait for a network would hold it up: they fail within a second. */
void blob_stop(void);

/* Of all stores on a network together. False: none was ever asked. */
struct blob_stats { uint64_t requests, connects, failures, bytes_in, bytes_out; unsigned active; };
bool blob_stats(struct blob_stats *ret);

/* What a store can do besides. */
enum {
	BLOB_SIGNS_READS = 1 << 0,  /* blob_sign() for reading */
	BLOB_SIGNS_WRITES = 1 << 1, /* and for writing */
	BLOB_SIGNS_PARTS = 1 << 2,  /* blob_sign_part(): clients send parts to the store itself */
	BLOB_NEVER_WAITS = 1 << 3,  /* blob_read() of an open reader: BLOB_AGAIN instead */
	BLOB_READS_AT_HAND = 1 << 4, /* blob_read_at_hand() */
};
unsigned blob_abilities(const struct blob *b);

/* 1 found, 0 not. */
int blob_stat(struct ctx *c, struct blob *b, const char *key, struct blob_info *ret) MUST_CHECK;

/* Calls each() for what lies directly below key, by name in byte order, until it returns non-zero
   (then -1). Temporaries and what is neither file nor directory are left out. 0 when there is no
   such directory, else 1. */
int blob_list(struct ctx *c, struct blob *b, const char *key,
	      int (*each)(struct ctx *c, void *arg, const struct blob_entry *e),
	      void *arg) MUST_CHECK;

/* Removes an object or everything below key (not ""). 1 removed, 0 nothing there. Adds to *bytes
 * what it freed. */
int blob_remove(struct ctx *c, struct blob *b, const char *key, uint64_t *bytes) MUST_CHECK;

/* RESOURCE_DOES_NOT_EXIST when missing. want: NULL all. A reader given back with BLOB_AGAIN before it is open is still
   closed by its owner: *ret is set at the first call and passed in again. */
int blob_read_open(struct ctx *c, struct blob *b, const char *key, const struct blob_want *want,
		   struct blob_ready ready, struct blob_reader **ret, struct blob_info *info) MUST_CHECK;
/* Up to n bytes at offset; *got 0 is the end of the object. What lies outside of `want`, or not behind the bytes read
   last, costs a store on a network a new request. */
int blob_read(struct ctx *c, struct blob_reader *r, uint64_t offset, void *to, size_t n,
	      size_t *got) MUST_CHECK;
/* The same, of what lies in memory. BLOB_AGAIN: nothing there; `ready` is not called, only blob_read() gets it. */
int blob_read_at_hand(struct ctx *c, struct blob_reader *r, uint64_t offset, void *to, size_t n,
		      size_t *got) MUST_CHECK;
void blob_read_close(struct blob_reader *r);

/* Never BLOB_AGAIN: what needs a network waits for the first blob_write() or the commit. */
int blob_write_begin(struct ctx *c, struct blob *b, const struct blob_target *t,
		     struct blob_ready ready, struct blob_writer **ret) MUST_CHECK;
/* Appends; *taken of n bytes. n 0: nothing to append, but `ready` was called: what is under way goes on. */
int blob_write(struct ctx *c, struct blob_writer *w, const void *data, size_t n,
	       size_t *taken) MUST_CHECK;
/* Durable and, unless a part, visible under its key, replacing what was there in one step. */
int blob_write_commit(struct ctx *c, struct blob_writer *w, char etag[BLOB_ETAG]) MUST_CHECK;
/* Without a commit before it nothing remains: a store on a network takes back what it was sent (parts too) in the
   background. Never waits. NULL is fine. */
void blob_write_close(struct blob_writer *w);

/* ---- signed URLs: the client talks to the store itself. These block. ---- */

struct blob_header { const char *name, *value; };
struct blob_signed {
	const char *url;
	const struct blob_header *headers; /* that the client must send */
	size_t header_count;
};

/* write: a PUT of the whole object, of this content type; else a GET that is saved as file_name (NULL: no name).
   expires_s: 1..BLOB_MAX_EXPIRES. Strings in c's arena. */
struct blob_sign {
	const char *key;
	bool write;
	int64_t expires_s;
	const char *file_name;
	const char *content_type;
};
int blob_sign(struct ctx *c, struct blob *b, const struct blob_sign *s, struct blob_signed *ret) MUST_CHECK;
int blob_sign_part(struct ctx *c, struct blob *b, const char *key, const char *upload_id, unsigned part,
		   int64_t expires_s, const char **url) MUST_CHECK;

/* Multipart uploads. The id is unguessable and good for this key alone: who knows it may upload
 * parts. */
int blob_parts_create(struct ctx *c, struct blob *b, const char *key,
		      const char **upload_id) MUST_CHECK;
int blob_parts_complete(struct ctx *c, struct blob *b, const char *key, const char *upload_id,
			const struct blob_part *parts, size_t count) MUST_CHECK;
int blob_parts_abort(struct ctx *c, struct blob *b, const char *key,
		     const char *upload_id) MUST_CHECK;

#endif
