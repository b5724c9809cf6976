/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * remote — what S3 and GCS have in common: calls of their HTTP APIs with credentials, retries and clear errors; memory for
 * parts; a reader that goes on where a broken connection left off.
 *
 * A call is signed anew at each try. Tried again, with full jitter, at most REMOTE_TRIES times and REMOTE_TRIES_MS:
 * connections that broke, time-outs, 408, 429, 5xx, SlowDown; once more each after fresh credentials or another region.
 * A call whose body is written piece by piece is tried again only while none of it was taken.
 */
#ifndef BLOB_REMOTE_H
#define BLOB_REMOTE_H

#include "blob/blob.h"
#include "blob/ops.h"
#include "net/identity.h"
#include "net/net.h"
#include "net/pump.h"

enum {
	REMOTE_TRIES = 6,
	REMOTE_TRIES_MS = 30000,        /* no try begins later than this after the first */
	REMOTE_PAUSE_MS = 50,           /* doubles, up to: */
	REMOTE_PAUSE_MOST_MS = 5000,
	REMOTE_CONNECT_MS = 5000,
	REMOTE_STALL_MS = 30000,        /* CAPSTAN_ARTIFACT_STALL_SECONDS */
	REMOTE_TEXT = 1 << 20,          /* an answer that is read whole: a page of a list */
	REMOTE_PAGES = 100000,          /* of one list: a store that never ends is an error */
	REMOTE_PART = 8 << 20,          /* bytes of one part */
	REMOTE_PARTS_IN_FLIGHT = 4,     /* of one upload, while there is memory for them */
	REMOTE_PART_MEMORY = 64 << 20,  /* all parts in memory at one time */
};

struct remote;
struct remote_request;

enum remote_verdict {
	REMOTE_FINE,
	REMOTE_RETRY,
	REMOTE_REFRESH,                 /* the credentials are no longer good */
	REMOTE_MOVED,                   /* ops->judge() learnt where to ask instead: at once, and once */
	REMOTE_REFUSED,
};

struct remote_ops {
	/* URL and headers of one try, signed; strings in c's arena. v: this moment's credentials. */
	int (*prepare)(struct ctx *c, struct remote *r, const struct remote_request *q,
	               const struct identity_value *v, struct net_exchange_request *ret);
	/* What an answer means. body: of a status other than 2xx, whole or its first 64 KiB, NUL-terminated. REMOTE_REFUSED
	   and exhausted retries: then fail() with our own words, the store's in error.detail. */
	enum remote_verdict (*judge)(struct ctx *c, struct remote *r, const struct remote_request *q,
	                             const struct net_reply *reply);
	int (*refuse)(struct ctx *c, struct remote *r, const struct remote_request *q,
	              const struct net_reply *reply);
};

struct remote {
	struct blob blob;               /* first member */
	const struct remote_ops *ops;
	char *bucket;
	char *prefix;                   /* without slashes at its ends; "" none */
	struct identity *identity;      /* shared by all of its kind; NULL: anonymous */
};

/* Frees bucket and prefix. remote_parse: of "scheme://bucket/prefix"; -1: INVALID_PARAMETER_VALUE. */
int remote_parse(struct ctx *c, struct remote *r, const char *uri) MUST_CHECK;
void remote_clear(struct remote *r);
/* prefix/key, or one of them; in c's arena. */
const char *remote_object(struct ctx *c, const struct remote *r, const char *key);

/* Made when first asked for, ended by blob_shutdown(). NULL: error set. */
struct net_pump *remote_pump(struct ctx *c);
struct identity *remote_aws(struct ctx *c);
struct identity *remote_gcp(struct ctx *c);

/* ---- calls ---- */

struct remote_request {
	const char *method;
	const char *object;             /* not encoded; NULL: the bucket itself */
	const char *url;                /* instead of it: complete, as a resumable session's */
	const char *query;              /* encoded, without "?"; NULL */
	const struct net_header *headers;
	size_t header_count;
	const void *body;               /* the caller's until the call is closed */
	size_t size;
	bool written;                   /* instead: remote_call_write(), body_size bytes */
	int64_t body_size;
	const short *also;              /* statuses besides 2xx that are answers, ended by 0; NULL: none */
	bool no_retry;                  /* the caller goes on by itself (a resumable upload asks how far it got) */
	bool needs_nothing;             /* no credentials: the url has all */
};

struct remote_call;

/* Copies what it needs of the request. */
int remote_call_begin(struct ctx *c, struct remote *r, const struct remote_request *q, struct blob_ready ready,
                      struct remote_call **ret) MUST_CHECK;
/* 0: an answer with 2xx or one of `also`; BLOB_AGAIN; -1: refused, or all tries failed. */
int remote_call_head(struct ctx *c, struct remote_call *k, struct net_head *ret) MUST_CHECK;
const char *remote_call_header(const struct remote_call *k, const char *name);
int remote_call_write(struct ctx *c, struct remote_call *k, const void *data, size_t n, size_t *taken) MUST_CHECK;
int remote_call_read(struct ctx *c, struct remote_call *k, void *to, size_t n, size_t *got) MUST_CHECK;
/* The whole body, at most REMOTE_TEXT, NUL-terminated, the call's. BLOB_AGAIN. */
int remote_call_text(struct ctx *c, struct remote_call *k, const char **text, size_t *size) MUST_CHECK;
/* The failure was of the network, not an answer: what was sent may or may not have been done. */
bool remote_call_broke(const struct remote_call *k);
void remote_call_close(struct remote_call *k);

/* For threads that may wait; body in c's arena. Headers by remote_header(). */
struct remote_reply { struct net_reply reply; struct net_header headers[64]; size_t header_count; };
int remote_perform(struct ctx *c, struct remote *r, const struct remote_request *q, struct remote_reply *ret) MUST_CHECK;
const char *remote_header(const struct remote_reply *r, const char *name);

/* A call that nobody waits for, as to abort an upload: begun, and closed by itself when it is over. */
void remote_call_forget(struct remote *r, const struct remote_request *q);

/* ---- memory for parts: bounded over all uploads ---- */

/* NULL: none left now. Given back to the system at once. */
void *remote_part_take(size_t n);
void remote_part_give(void *part, size_t n);

/* ---- reading ---- */

/*
 * A reader over GET with Range. When a connection breaks after bytes were given out, it asks for the rest with If-Match,
 * as often as a call is tried; an object that changed meanwhile, or a length that is not the announced one, is an error.
 * info() reads size, entity tag and time from the answer's headers.
 */
int remote_read_open(struct ctx *c, struct remote *r, const char *key, const struct blob_want *want,
                     struct blob_ready ready, struct blob_reader **ret, struct blob_info *info,
                     const struct remote_request *base) MUST_CHECK;
int remote_read(struct ctx *c, struct blob_reader *reader, uint64_t offset, void *to, size_t n, size_t *got) MUST_CHECK;
void remote_read_close(struct blob_reader *reader);

#endif
