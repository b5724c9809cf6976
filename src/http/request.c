/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * request — the life of a request in libmicrohttpd's callbacks. libmicrohttpd calls request_begin()
 * when the request line is there, request_step() once the head is complete, again for each piece of
 * the body, at its end, and after each resume; request_end() when the answer is sent or the client
 * is gone. Only then is the arena freed, which holds the job and the answer.
 */
#include "http.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/log.h"
#include "mhd_epoll.h"
#include "mhd_pool.h"

struct beginning {
	struct http_server *server;
	const char *uri;
	struct job *job;
};

/* Unique enough to find a request in the log; no system call per request. */
static const char *request_id(struct arena *a)
{
	static _Thread_local uint32_t prefix[2];
	static _Thread_local uint32_t count;

	if (!prefix[0])
		id_random(prefix, sizeof(prefix));
	return arena_printf(a, "%08x%08x-%08x", prefix[0], prefix[1], ++count);
}

static int begin(struct ctx *c, void *arg)
{
	struct beginning *b = arg;
	struct job *j = NEW(c->arena, struct job);

	j->ctx.arena = c->arena;
	j->server = b->server;
	j->raw = arena_strdup(c->arena, b->uri);
	j->begun_us = clock_us();
	b->job = j;
	return 0;
}

void *request_begin(void *cls, const char *uri, struct MHD_Connection *connection)
{
	struct beginning b = { .server = cls, .uri = uri };
	struct ctx c = { .arena = arena_new(LIMIT_ARENA) };
	const union MHD_ConnectionInfo *info;

	if (!c.arena || work_run(&c, begin, &b)) {
		arena_free(c.arena);
		return NULL; /* request_step() then closes the connection */
	}
	info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	b.job->connection = connection;
	b.job->offered = mhd_pool_offer_head(connection);
	b.job->conn = info ? info->socket_context : NULL;
	atomic_fetch_add(&b.server->jobs, 1);
	return b.job;
}

const char *job_header(const struct job *j, const char *name)
{
	return MHD_lookup_connection_value(j->connection, MHD_HEADER_KIND, name);
}

void job_suspend(struct job *j)
{
	atomic_fetch_add(&j->server->suspended, 1);
	conn_phase(j->conn, PHASE_WORK);
	MHD_suspend_connection(j->connection);
}

void job_resume(struct job *j)
{
	struct http_server *s = j->server;

	MHD_resume_connection(j->connection);
	/* Last: http_server_stop() waits for it before it stops libmicrohttpd. */
	atomic_fetch_sub(&s->suspended, 1);
}

void job_resume_all(struct job *const *jobs, size_t count)
{
	struct http_server *s;

	if (!count)
		return;
	s = jobs[0]->server;
	mhd_wake_hold();
	for (size_t i = 0; i < count; i++)
		MHD_resume_connection(jobs[i]->connection);
	mhd_wake_release();
	atomic_fetch_sub(&s->suspended, (unsigned)count); /* last, as above */
}

/* An id the client chose is kept when it can do no harm in a log or a header. */
static void set_request_id(struct job *j)
{
	const char *given = job_header(j, "X-Request-Id");
	size_t size = given ? strlen(given) : 0;

	if (size && size <= 64 &&
	    strspn(given, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") ==
		    size)
		j->ctx.request_id = arena_strdup(j->ctx.arena, given);
	else
		j->ctx.request_id = request_id(j->ctx.arena);
}

/* ---- bodies ---- */

static int reserve(struct job *j, size_t bytes)
{
	int64_t more = (int64_t)bytes - j->reserved;

	if (more <= 0)
		return 0;
	if (atomic_fetch_add(&j->server->bodies, more) + more > LIMIT_BODIES) {
		atomic_fetch_sub(&j->server->bodies, more);
		return fail(&j->ctx, TEMPORARILY_UNAVAILABLE,
			    "Too many request bodies at one time; try again later.");
	}
	j->reserved += more;
	return 0;
}

static int body_add(struct job *j, const char *data, size_t n)
{
	size_t need = j->size + n + 1; /* record_read() wants a byte behind it */

	if (need > (size_t)LIMIT_BODY + 1)
		return fail(&j->ctx, PAYLOAD_TOO_LARGE, "The request body is larger than %d bytes.",
			    LIMIT_BODY);
	if (need > j->capacity) {
		size_t capacity = j->capacity ? j->capacity * 2 : 1024;

		if (j->length > 0 && j->length < LIMIT_INLINE_BODY)
			capacity = (size_t)j->length + 1;
		if (capacity > (size_t)LIMIT_BODY + 1)
			capacity = (size_t)LIMIT_BODY + 1;
		if (capacity < need)
			capacity = need;
		if (reserve(j, capacity))
			return -1;
		j->body = arena_grow(j->ctx.arena, j->body, j->capacity, capacity);
		j->capacity = capacity;
	}
	memcpy(j->body + j->size, data, n);
	j->size += n;
	j->body[j->size] = '\0';
	return 0;
}

/* ---- steps ---- */

struct step {
	struct job *job;
	const char *method;
	const char *data;
	size_t *size;
};

static bool takes_upload(const struct job *j)
{
	const struct route *r = j->match.route;

	return r && (r->kind == KIND_STREAM || r->kind == KIND_STREAM_DB) &&
	       r->method != METHOD_GET;
}

/* Who asks is known. */
static int step_user(struct job *j)
{
	if (admit_user(j))
		return -1;
	conn_phase(j->conn, j->length ? PHASE_BODY : PHASE_WORK);
	/* Whoever uploads is told where to before the first byte. */
	return takes_upload(j) ? dispatch(j) : 0;
}

/* The head is complete. */
static int step_head(struct job *j, const char *method)
{
	j->method = method_parse(method);
	set_request_id(j);
	j->state = JOB_BODY;
	if (admit(j))
		return -1;
	return j->hand ? 0 : step_user(j);
}

static int step_data(struct job *j, const char *data, size_t *size)
{
	size_t n = *size;

	if (j->conn)
		atomic_fetch_add_explicit(&j->conn->body, n, memory_order_relaxed);
	switch (j->state) {
	case JOB_BODY:
		*size = 0;
		return body_add(j, data, n);
	case JOB_UPLOAD:
		return stream_push(j, data, size);
	default:
		/* Refused: let a little pass, so that the connection can be kept; answer and
		   hang up on more. */
		*size = 0;
		j->discarded += n;
		if (j->state == JOB_DISCARD && j->discarded > HTTP_DISCARD) {
			reply_cut(j);
			j->state = JOB_CUT;
		}
		return 0;
	}
}

static int step_end(struct job *j)
{
	switch (j->state) {
	case JOB_BODY:
		conn_phase(j->conn, PHASE_WORK);
		return dispatch(j);
	case JOB_AWAY:
		dispatch_finish(j);
		return j->ctx.error.code ? -1 : 0;
	case JOB_UPLOAD:
	case JOB_FINISH:
		return stream_finish(j);
	case JOB_OPEN:
		return stream_open(j);
	case JOB_CUT:
		return 0;
	default:
		j->state = JOB_REPLY;
		return 0;
	}
}

static int step(struct ctx *c, void *arg)
{
	struct step *s = arg;

	(void)c;
	if (s->job->state == JOB_HEAD)
		return step_head(s->job, s->method);
	/* libmicrohttpd repeats the first call after a suspension in it; the body comes next. */
	if (s->job->state == JOB_VERDICT) {
		s->job->state = JOB_BODY;
		return auth_known(s->job) ? -1 : step_user(s->job);
	}
	if (s->job->state == JOB_DECIDE) {
		dispatch_finish(s->job);
		return s->job->ctx.error.code ? -1 : 0;
	}
	if (*s->size)
		return step_data(s->job, s->data, s->size);
	return step_end(s->job);
}

/* What follows a failure depends on whether more of the body is to come. */
static void refuse(struct job *j, bool first, bool more, size_t *size)
{
	assert(j->ctx.error.code);
	if (first) {
		const char *expect = j->length ? job_header(j, "Expect") : NULL;

		/* Answered before its end, a request costs its connection; a small body is read
		   for its sake. */
		more = j->length >= 0 && j->length <= HTTP_DISCARD && !expect;
	}
	if (more) {
		*size = 0;
		j->state = JOB_DISCARD;
	} else {
		j->state = JOB_REPLY;
	}
}

enum MHD_Result request_step(void *cls, struct MHD_Connection *connection, const char *url,
			     const char *method, const char *version, const char *data,
			     size_t *size, void **state)
{
	struct job *j = *state;
	bool first = j && (j->state == JOB_HEAD || j->state == JOB_VERDICT ||
			   j->state == JOB_DECIDE);
	bool more = *size > 0;
	struct step s = { .job = j, .method = method, .data = data, .size = size };

	(void)cls, (void)connection, (void)url, (void)version;
	if (!j)
		return MHD_NO;
	if (j->offered) {
		if (j->state == JOB_HEAD)
			j->wide_head = mhd_pool_is_wide(j->offered);
		mhd_pool_take_back(TAKE(j->offered));
	}
	if (j->state == JOB_SENT)
		return MHD_YES;
	j->hand = HAND_NONE;
	if (work_run(&j->ctx, step, &s)) {
		refuse(j, first, more, size);
	} else if (j->hand) {
		dispatch_hand_over(j);
		return MHD_YES;
	}
	if (j->state == JOB_CUT && (!more || j->discarded > HTTP_LINGER))
		return MHD_NO;
	if (j->state != JOB_REPLY)
		return MHD_YES;
	j->state = JOB_SENT;
	conn_phase(j->conn, PHASE_SEND);
	return reply_send(j);
}

static void log_request(const struct job *j, int64_t us)
{
	const struct error *e = &j->ctx.error;
	/* What is not part of this server is nothing for its operator to mend. */
	bool broken = j->status >= 500 && e->code != NOT_IMPLEMENTED;
	enum log_level level = broken ? LOG_ERROR : j->status >= 400 ? LOG_INFO : LOG_DEBUG;

	if (!log_enabled(level))
		return;
	log_event(level, e->code ? "request failed" : "request", "id", j->ctx.request_id, "method",
		  j->method < METHODS ? method_names[j->method] : "?", "target",
		  log_fmt("%.300s", j->raw), "user", j->ctx.user, "status", log_fmt("%d", j->status), "ms",
		  log_fmt("%lld.%03lld", (long long)(us / 1000), (long long)(us % 1000)), "error",
		  e->code ? error_name(e->code) : NULL, "message",
		  e->code && e->message ? log_fmt("%.500s", e->message) : NULL, "detail", e->detail,
		  NULL);
}

/* How much of what the client sent this request was; -1 unknown. */
static int64_t bytes_of(const struct job *j)
{
	const union MHD_ConnectionInfo *head =
		MHD_get_connection_info(j->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

	/* An announced length may be anything up to INT64_MAX. Where a head moved libmicrohttpd does not know its size. */
	return head && !j->wide_head && j->length >= 0 && j->length <= INT64_MAX / 2
		       ? (int64_t)head->header_size + j->length
		       : -1;
}

void request_end(void *cls, struct MHD_Connection *connection, void **state,
		 enum MHD_RequestTerminationCode why)
{
	struct http_server *s = cls;
	struct job *j = *state;
	int64_t us;

	(void)connection, (void)why;
	if (!j)
		return;
	stream_end(j);
	us = clock_us() - j->begun_us;
	/* Without a status libmicrohttpd refused the head, or the client left before an answer. */
	metrics_request(j->match.route, j->method, j->status, us);
	if (j->status)
		log_request(j, us);
	if (j->reserved)
		atomic_fetch_sub(&s->bodies, j->reserved);
	conn_turn(j->conn, bytes_of(j));
	*state = NULL;
	arena_free(j->ctx.arena);
	atomic_fetch_sub(&s->jobs, 1);
}
