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

#include <pthread.h>

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
	REMOTE_TEXT = 8 << 20,          /* an answer that is read whole: a page of a list, 1,000 names of 1 KiB, encoded */
	REMOTE_PAGES = 100000,          /* of one list: a store that never ends is an error */
	REMOTE_PAGES_EMPTY = 1000,      /* in a row */
	REMOTE_PART = 8 << 20,          /* bytes of one part */
	REMOTE_PARTS_IN_FLIGHT = 4,     /* of one upload, while there is memory for them */
	REMOTE_PART_MEMORY = 64 << 20,  /* all parts in memory at one time */
	REMOTE_MOVES = 2,               /* of one call: to another region, by a corrected clock */
	REMOTE_WAIT_MS = 600000,        /* remote_perform(), at most */
	REMOTE_FORGET_MS = 10000,       /* remote_clear() waits so long for forgotten calls */
};

struct remote;
struct remote_request;

struct remote_call;

enum remote_verdict {
	REMOTE_FINE,
	REMOTE_RETRY,
	REMOTE_REFRESH,                 /* the credentials are no longer good */
	REMOTE_MOVED,                   /* ops->judge() learnt how to ask instead: at once, REMOTE_MOVES times */
	REMOTE_REFUSED,
};

/* Both functions are given replies that are the first member of a struct remote_reply: remote_reply_header(). */
struct remote_ops {
	/* URL, headers, ca_file and flags of one try, signed; strings in c's arena. v: this moment's credentials (all NULL
	   without an identity). The rest is set already. */
	int (*prepare)(struct ctx *c, struct remote *r, const struct remote_request *q,
	               const struct identity_value *v, struct net_exchange_request *ret);
	/* What an answer means. body: of a status other than 2xx, whole or its first 64 KiB, NUL-terminated. REMOTE_REFUSED
	   and exhausted retries: then fail() with our own words, the store's in error.detail. */
	enum remote_verdict (*judge)(struct ctx *c, struct remote *r, const struct remote_request *q,
	                             const struct net_reply *reply);
	int (*refuse)(struct ctx *c, struct remote *r, const struct remote_request *q,
	              const struct net_reply *reply);
	/* Of an object that is being read. tag: from the answer's headers (NULL: ETag). pin: a query that asks for the very
	   object of that tag; when that is gone the answer is 404 (NULL: the header If-Match). */
	void (*tag)(const struct remote_call *k, char etag[BLOB_ETAG]);
	const char *(*pin)(struct ctx *c, const char *etag);
};

struct remote {
	struct blob blob;               /* first member */
	const struct remote_ops *ops;
	char *bucket;
	char *prefix;                   /* without slashes at its ends; "" none */
	struct identity *identity;      /* shared by all of its kind; NULL: anonymous */
};

/* remote_parse: of "scheme://bucket/prefix"; -1: INVALID_PARAMETER_VALUE. remote_clear: waits for what was forgotten, at
   most REMOTE_FORGET_MS; frees bucket and prefix. */
int remote_parse(struct ctx *c, struct remote *r, const char *uri) MUST_CHECK;
void remote_clear(struct remote *r);
/* prefix/key, or one of them; in c's arena. */
const char *remote_object(struct ctx *c, const struct remote *r, const char *key);

/* Made when first asked for, ended by blob_shutdown(). NULL: error set. */
struct net_pump *remote_pump(struct ctx *c);
struct identity *remote_aws(struct ctx *c);
struct identity *remote_gcp(struct ctx *c);
void remote_shutdown(void);             /* blob_shutdown() */
void remote_stop(void);                 /* blob_stop() */
bool remote_stopping(void);
bool remote_stats(struct net_pump_stats *ret);
/* What a store says of itself, for a log: without credentials and signatures, which it may repeat. NULL: "". */
const char *remote_said(struct ctx *c, const struct remote *r, const char *text);

/* CAPSTAN_ARTIFACT_STALL_SECONDS, REMOTE_STALL_MS. */
int remote_stall_ms(void);

/* "Sun, 06 Nov 1994 08:49:37 GMT"; -1: no such date. */
int64_t remote_date(const char *text);
/* The header ETag as struct blob_info wants it: quoted and strong, "" otherwise. */
void remote_etag(const char *header, char etag[BLOB_ETAG]);

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
	const short *also;              /* statuses besides 2xx that are answers, ended by 0; NULL: none. Of those judge()
	                                   has its say first: only REMOTE_REFUSED makes one an answer */
	bool no_retry;                  /* the caller goes on by itself (a resumable upload asks how far it got) */
	bool needs_nothing;             /* no credentials: the url has all */
	int delay_ms;                   /* the first try begins only then */
	int patience;                   /* times the usual stall: what a store thinks about for long; 0: 1 */
	bool ranged;                    /* of a reader's: also all of it is asked for as a range, whose answer says the
	                                   length twice */
};

/* A copy to be given to free(); NULL: no memory. The body stays the caller's unless with_body. */
struct remote_request *remote_request_copy(const struct remote_request *q, bool with_body);

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
/* Some try of it ended by the network or with 5xx: what was sent may or may not have been done, also where a later try was
   refused. */
bool remote_call_broke(const struct remote_call *k);
/* Of its last try's answer, also of one that was refused; 0: none. */
int remote_call_status(const struct remote_call *k);
void remote_call_close(struct remote_call *k);

/* For threads that may wait; body and headers in c's arena. Kept are the headers named in remote_call.c, by
   remote_header(). reply.status and broke are set after -1 too: remote_call_status(), remote_call_broke(). */
struct remote_reply {
	struct net_reply reply;         /* first member */
	struct net_header headers[32];
	size_t header_count;
	bool broke;
};
int remote_perform(struct ctx *c, struct remote *r, const struct remote_request *q, struct remote_reply *ret) MUST_CHECK;
const char *remote_header(const struct remote_reply *r, const char *name);
/* Within judge() and refuse(); NULL: absent. */
const char *remote_reply_header(const struct net_reply *reply, const char *name);
/* Of a call whose head is there; strings of the call's. */
void remote_call_reply(const struct remote_call *k, struct remote_reply *ret);

/* A call that nobody waits for, as to abort an upload: begun, and closed by itself when it is over. Copies all of the
   request, its body too. Waits for nothing; from any thread. */
void remote_call_forget(struct remote *r, const struct remote_request *q);

/* ---- for threads that may wait: remote_wait.c ---- */

struct remote_wait {                    /* ours */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool ready;
	int64_t until_ms;
};
/* most_ms: in all; 0: as long as the calls last, which bound themselves. */
void remote_wait_begin(struct remote_wait *w, int most_ms);
void remote_wait_end(struct remote_wait *w);
/* For struct blob_ready: arg is the struct remote_wait. */
void remote_wait_ready(void *wait);
/* After BLOB_AGAIN: until there was a ready. -1: too long, or the server stops. */
int remote_wait(struct ctx *c, struct remote_wait *w) MUST_CHECK;

/* ---- memory for parts: bounded over all uploads ---- */

/* NULL: none left now, or others wait for it. Given back to the system at once. */
void *remote_part_take(size_t n);
/* The same for an upload that has some already: leaves half of all for those that have none. */
void *remote_part_take_more(size_t n);
void remote_part_give(void *part, size_t n);

/* In turn, for who cannot go on without. Who waits holds no part of its own: else all could wait for each other. */
struct remote_part_wait {
	size_t n;
	struct blob_ready ready;        /* called once when it is there, under a lock: not to call back */
	bool queued, granted;           /* ours */
	struct remote_part_wait *next, *previous;
};
int remote_part_await(struct ctx *c, struct remote_part_wait *w, void **ret) MUST_CHECK; /* BLOB_AGAIN */
/* Waits no more; no ready() after this. */
void remote_part_forget(struct remote_part_wait *w);

/* ---- what nobody waits for, on one thread of its own: remote_job.c ---- */

struct remote_job {
	struct remote *remote;
	const char *what;               /* for the log, should it fail */
	/* BLOB_AGAIN: once more after remote_job_ready(). Else it is over. give_up: the store is being closed; it must be
	   over now. */
	int (*step)(struct ctx *c, struct remote_job *j, bool give_up);
	void (*free)(struct remote_job *j);
	bool due, give_up;              /* remote_job.c's */
	struct remote_job *next, *previous;
};
void remote_job_begin(struct remote_job *j);
/* For struct blob_ready: arg is the job. */
void remote_job_ready(void *job);
/* Before a store is freed: waits for its jobs, at most wait_ms, then has them give up. */
void remote_jobs_end(struct remote *r, int wait_ms);
/* Of blob_shutdown(). */
void remote_jobs_stop(void);

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
