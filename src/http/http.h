/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * http — what the files of this layer share: the server, its connections, and the life of a
 * request.
 *
 * A job is touched by one thread at a time. An event thread owns it until it suspends the
 * connection and hands it over (worker queue, committer, transfer engine); whoever finishes it
 * calls job_resume(), after which the event thread owns it again.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "artifacts/transfer.h"
#include "auth/auth.h"
#include "base/buf.h"
#include "base/ctx.h"
#include "base/lanes.h"
#include "base/queue.h"
#include "facts.h"
#include "guard.h"
#include "http/server.h"
#include "routes.h"
#include "store/read.h"
#include "store/write.h"
#include "target.h"

enum {
	HTTP_WORKERS = 8,
	HTTP_STORE_WORKERS = 8,         /* wait for artifact stores, so that others need not */
	HTTP_EVENT_THREADS = 2,
	/* Per connection, for the heads of request and reply. libmicrohttpd clears it all at each
	   request, so it is resident: 10,000 idle clients must fit in 100 MB. */
	HTTP_POOL = 6 << 10,
	HTTP_IDLE_S = 75,
	HTTP_HEAD_MS = 10000,
	HTTP_GRACE_MS = 30000,          /* then at least HTTP_PROGRESS bytes a second, in and out */
	HTTP_PROGRESS = 1000,
	HTTP_DISCARD = 64 << 10,        /* of a refused body: then the connection is closed */
	HTTP_LINGER = 1 << 20,          /* dropped after a refusal, so that the client sees it */
	HTTP_QUEUE_MS = 20000,          /* wait for a worker */
	HTTP_DB_WAIT_MS = 5000,         /* wait for a database connection */
	HTTP_STOP_MS = 10000,
	HTTP_CUT_MS = 1500,             /* then, for those whose store was given up */
	HTTP_FAREWELL_MS = 200,
	HTTP_BLOCK = 256 << 10,         /* of a download, per write */
	HTTP_WIDE = 64 << 10,           /* of an upload, per read; of a large head */
	HTTP_WIDE_HEADS = 256,          /* such heads at one time */
};

enum conn_phase {
	PHASE_IDLE,                     /* nothing, or part of a request head */
	PHASE_BODY,
	PHASE_WORK,                     /* suspended: not the client's turn */
	PHASE_SEND,
};

struct http_server;

/* Of the workers, in the order they are served. */
enum http_lane {
	HTTP_LIGHT,                     /* a few rows by their keys: never behind the others */
	HTTP_BODIES,                    /* large ones to be decoded */
	HTTP_HEAVY,                     /* what may look at much: searches, histories */
	HTTP_LANES,
};

/* One client connection; made and freed by the event thread, watched by the sweeper. */
struct conn {
	struct conn *next, **link;      /* its shard's list; under the shard's lock */
	int fd;
	unsigned shard;
	_Atomic unsigned phase;
	_Atomic unsigned turn;          /* requests ended */
	_Atomic uint64_t body;          /* bytes of the present body */
	_Atomic uint64_t taken;         /* bytes of all ended requests */
	_Atomic bool exact;             /* ... are known: none was chunked or cut */
	/* the sweeper's own, about the present turn */
	bool known;
	unsigned seen;
	int64_t looked_ms;              /* last time */
	int64_t head_ms;                /* when it saw the head begin, -1: not yet */
	int64_t in_ms, out_ms;          /* spent waiting for the client's body, for its reading */
	bool sending;
	bool gone;                      /* the client ended its side ... */
	uint64_t gone_body;             /* ... after so much of the body */
	uint64_t base;                  /* bytes moved before this turn, before PHASE_SEND */
};

enum { SHARDS = 16 };

struct shard {
	pthread_mutex_t lock;
	struct conn *first;
};

struct http_server {
	struct http_options options;    /* strings are the server's */
	struct MHD_Daemon *mhd;
	struct guard *guard;
	struct facts *facts;            /* NULL: no auth */
	struct lanes *lanes;            /* of the workers */
	pthread_t *workers;
	unsigned worker_count;
	struct queue *store_queue;      /* of requests that wait for artifact stores */
	pthread_t store_workers[HTTP_STORE_WORKERS];
	unsigned store_worker_count;
	struct queue *record_queue;     /* of what uploads were: struct digest_made */
	pthread_t recorder;
	bool recording;
	pthread_t sweeper;
	bool sweeping;
	unsigned port;
	int listener;
	int64_t started_ms;             /* wall */
	size_t prefix_length;
	_Atomic bool stopping;
	_Atomic bool ended;             /* the sweeper may go */
	_Atomic unsigned connections;
	_Atomic uint64_t closed;        /* connections, ever */
	_Atomic unsigned jobs;          /* requests begun and not yet answered */
	_Atomic unsigned suspended;
	_Atomic int64_t bodies;         /* bytes of request bodies in memory */
	struct shard shards[SHARDS];
};

enum job_state {
	JOB_HEAD,                       /* the head is being read */
	JOB_VERDICT,                    /* suspended there: auth looks at the credentials */
	JOB_DECIDE,                     /* suspended there: a worker decides where an upload goes */
	JOB_BODY,                       /* a body is collected */
	JOB_UPLOAD,                     /* a body goes to the transfer engine */
	JOB_FINISH,                     /* it is whole, not yet durable */
	JOB_DISCARD,                    /* refused; what still comes is dropped */
	JOB_CUT,                        /* the refusal was sent past libmicrohttpd; close soon */
	JOB_AWAY,                       /* suspended, at a worker, the reader or the committer */
	JOB_OPEN,                       /* suspended until a download's head is known */
	JOB_REPLY,                      /* decided: answer */
	JOB_SENT,
};

/* Who goes on with a job, once the event thread has let go of it: after work_run(), which
   touches the arena last. */
enum job_hand {
	HAND_NONE, HAND_AUTH, HAND_WORKER, HAND_READER, HAND_COMMITTER, HAND_TRANSFER
};

struct job {
	struct queue_node node;         /* first member */
	struct ctx ctx;
	struct http_server *server;
	struct MHD_Connection *connection;
	struct conn *conn;
	enum job_state state;
	enum job_hand hand;
	enum http_method method;
	const char *raw;                /* the request target as sent */
	struct target target;
	struct route_match match;
	const char *origin;             /* header, NULL: none */
	struct principal principal;     /* ctx.principal, once known */
	struct auth_check check;
	bool unknown_user;              /* what failed is the authentication */
	int64_t begun_us;
	int64_t queued_ms;
	int64_t length;                 /* announced; -1 chunked; 0 none */
	char *body;
	size_t size, capacity;
	size_t discarded;
	int64_t reserved;               /* of server->bodies */
	void *in, *out;                 /* the route's records */
	bool read;                      /* in is as the request says, or */
	struct error misread;           /* it is not, which is said to whom may hear it */
	struct read reading;
	struct write write;
	struct stream_request stream_request;
	struct stream stream;
	struct transfer *transfer;
	struct MemoryPool *offered;     /* mhd_pool.h */
	bool wide;
	bool wide_head;
	struct transfer_head head;
	bool cut;                       /* a download that failed after its head: it is in the log */
	struct http_text text;
	struct target form;             /* BLOCKING: the arguments of a posted one */
	/* the reply */
	int status;                     /* 0: none yet */
	const char *content_type;       /* NULL: none */
	struct buf reply;
	const char *allow;              /* 405, OPTIONS */
	bool preflight;
	bool decoded;                   /* READ, WRITE: validated, ready for the reader, the committer */
};

/* request.c: libmicrohttpd's callbacks */
void *request_begin(void *cls, const char *uri, struct MHD_Connection *connection);
enum MHD_Result request_step(void *cls, struct MHD_Connection *connection, const char *url,
                             const char *method, const char *version, const char *data,
                             size_t *size, void **state);
void request_end(void *cls, struct MHD_Connection *connection, void **state,
                 enum MHD_RequestTerminationCode why);

/* From any thread: the connection's event thread goes on with the job. Touch the job no more. */
void job_resume(struct job *j);
/* Of one server: each event thread is woken once, and finds all of its own. */
void job_resume_all(struct job *const *jobs, size_t count);
/* Before handing over; event thread only. */
void job_suspend(struct job *j);
const char *job_header(const struct job *j, const char *name);

/* admit.c: everything that is decided from a request's head. -1: refused (c->error). First who asks,
   which may set j->hand; once that is known, what he asks for. */
int admit(struct job *j) MUST_CHECK;
int admit_user(struct job *j) MUST_CHECK;

/* dispatch.c: runs a whole request, or sets j->hand (event thread). */
int dispatch(struct job *j) MUST_CHECK;
/* Suspends the connection and hands the job over; touch it no more. */
void dispatch_hand_over(struct job *j);
/* The worker's and the committer's parts. */
void dispatch_work(struct job *j);
/* Renders a route's reply record (or the failure) once it is back. */
void dispatch_finish(struct job *j);

/* What is built to be sent. */
struct reply {
	struct MHD_Response *response;  /* NULL: no memory */
	bool failed;                    /* a header is missing */
};

/* stream.c */
int stream_begin(struct job *j) MUST_CHECK;
int stream_decide(struct job *j) MUST_CHECK;
/* Uploads: takes what it can of data. */
int stream_push(struct job *j, const char *data, size_t *size) MUST_CHECK;
int stream_finish(struct job *j) MUST_CHECK;
int stream_open(struct job *j) MUST_CHECK;
/* Has to be decided by a worker: an event thread must not wait for what it needs. */
bool stream_waits(const struct job *j);
/* The thread that keeps what uploads were, those that wait at one moment together. */
void *stream_recorder(void *server);
void stream_response(struct job *j, struct reply *r);
void stream_digest(struct job *j, struct reply *r, const unsigned char *sha256);
void stream_end(struct job *j);

/* reply.c */
enum MHD_Result reply_send(struct job *j);
/* Without a value there is no header. */
void reply_header(struct reply *r, const char *name, const char *value);
/* Answers past libmicrohttpd, which cannot while a body comes in; the connection must be closed
   then. */
void reply_cut(struct job *j);

/* connections.c */
int connections_start(struct http_server *s) MUST_CHECK;
void connections_stop(struct http_server *s);
void connections_notify(void *cls, struct MHD_Connection *connection, void **socket_context,
                        enum MHD_ConnectionNotificationCode code);
void conn_phase(struct conn *conn, enum conn_phase phase);
/* A request is over; bytes: its size, -1 unknown. */
void conn_turn(struct conn *conn, int64_t bytes);
/* Closes those that are still open, softly: their event threads see an end of file. */
void connections_cut(struct http_server *s);

/* auth.c: who asks. May set j->hand: then auth_known() comes when the job is back. */
int auth_identify(struct job *j) MUST_CHECK;
int auth_known(struct job *j) MUST_CHECK;
/* Is there a user whose rights are to be judged? */
bool auth_judges(const struct job *j);
/* May he? From the decoded request. 1; 0: a database is needed (c->db is NULL); -1. */
int auth_permit(struct job *j) MUST_CHECK;
/* After a ROUTE's handler: what its reply must not tell the user; what it changed in his rights. */
void auth_after(struct job *j);

/* withhold.c: clears what of a reply the user may not know; is there anything? */
void withhold(struct job *j);
bool withholds(const struct job *j);

/* metrics.c */
struct http_counters;
void metrics_request(const struct route *r, enum http_method method, int status, int64_t us);
void metrics_write(const struct http_server *s, struct buf *to);

/* The one server of this process, for handlers of INLINE rows. */
const struct http_server *http_current(void);

#endif
