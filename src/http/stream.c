/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* stream — artifact bodies between libmicrohttpd and the transfer engine: neither side waits for
   the other in a thread. */
#include "http.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#include "artifacts/artifact.h"
#include "artifacts/digest.h"
#include "base/arena.h"
#include "base/limits.h"
#include "base/log.h"
#include "db/db.h"
#include "disposition.h"
#include "mhd_pool.h"

static const char *query(const struct stream_request *r, const char *name)
{
	const struct job *j = r->owner;

	return target_argument(&j->target, name);
}

static const char *path_field(const struct stream_request *r, const char *name)
{
	const struct job *j = r->owner;

	for (size_t i = 0; i < j->match.count; i++) {
		if (strcmp(j->match.names[i], name) == 0)
			return j->match.values[i];
	}
	return NULL;
}

static const char *header(const struct stream_request *r, const char *name)
{
	return job_header(r->owner, name);
}

static bool wants_digest(const struct job *j)
{
	const struct stream_request r = { .header = header, .owner = (void *)(uintptr_t)j };

	return digest_wanted(&r);
}

bool stream_waits(const struct job *j)
{
	return j->match.route->method == METHOD_GET &&
	       (artifacts_redirect_downloads() || wants_digest(j));
}

/* Headers are libmicrohttpd's memory; a worker may read them while the connection is suspended. */
int stream_decide(struct job *j)
{
	struct stream_request *r = &j->stream_request;

	*r = (struct stream_request){
		.query = query,
		.path_field = path_field,
		.range = job_header(j, "Range"),
		.if_none_match = job_header(j, "If-None-Match"),
		.if_range = job_header(j, "If-Range"),
		.content_length = j->length,
		.content_type = job_header(j, "Content-Type"),
		.header = header,
		.owner = j,
	};
	r->path = path_field(r, "path");
	if (!r->path)
		r->path = path_field(r, "artifact_path");
	if (j->match.route->call.stream(&j->ctx, r, &j->stream))
		return -1;
	if (j->stream.kind == STREAM_UPLOAD && j->stream.limit && j->length > j->stream.limit)
		return fail(&j->ctx, PAYLOAD_TOO_LARGE, "The upload is larger than %lld bytes.",
			    (long long)j->stream.limit);
	if (j->stream.kind == STREAM_DOWNLOAD && !j->stream.redirect && wants_digest(j))
		digest_find(&j->ctx, &j->stream);
	return 0;
}

static void wake(void *arg)
{
	job_resume(arg);
}

static void wait_for(struct job *j, enum job_state state)
{
	j->state = state;
	j->hand = HAND_TRANSFER;
}

int stream_begin(struct job *j)
{
	struct transfer_engine *engine = j->server->options.transfers;
	bool download = j->stream.kind == STREAM_DOWNLOAD;

	assert(download == (j->match.route->method == METHOD_GET));
	if (j->stream.redirect) {
		j->status = 307;
		j->state = JOB_REPLY;
		return 0;
	}
	if (engine)
		j->transfer = transfer_begin(engine, &j->stream, wake, j);
	if (!j->transfer)
		return fail(&j->ctx, TEMPORARILY_UNAVAILABLE,
			    "Too many transfers at one time; try again later.");
	j->state = JOB_UPLOAD;
	return download ? stream_open(j) : 0;
}

/* The engine's words are its own memory: they go with the transfer, so they are copied. */
static int failed(struct job *j)
{
	const struct error *e = transfer_error(j->transfer);

	if (!e || !e->code)
		return fail(&j->ctx, INTERNAL_ERROR, "The transfer failed.");
	return fail_because(&j->ctx, e->code, e->detail, "%s",
			    e->message ? e->message : error_name(e->code));
}

/* A piece of which nothing is taken makes libmicrohttpd enlarge its buffer and read more: enough is still to
   come. The transfer has its place, so that no buffers wait in the queue. */
static bool widen(struct job *j, size_t size)
{
	uint64_t passed = transfer_size(j->transfer);

	if (j->wide || !passed || size <= HTTP_POOL / 4 ||
	    (j->length >= 0 && (uint64_t)j->length < passed + 2 * HTTP_WIDE))
		return false;
	j->wide = true;
	j->offered = mhd_pool_offer(j->connection);
	return true;
}

int stream_push(struct job *j, const char *data, size_t *size)
{
	if (widen(j, *size))
		return 0;
	if (j->conn && atomic_load_explicit(&j->conn->phase, memory_order_relaxed) != PHASE_BODY)
		conn_phase(j->conn, PHASE_BODY);
	while (*size) {
		size_t taken = 0;

		switch (transfer_push(j->transfer, data, *size, &taken)) {
		case TRANSFER_READY:
			data += taken;
			*size -= taken;
			break;
		case TRANSFER_WAIT:
			/* What is left over makes libmicrohttpd come again. */
			*size -= taken;
			if (*size)
				wait_for(j, JOB_UPLOAD);
			return 0;
		default:
			return failed(j);
		}
	}
	return 0;
}

static void note(struct job *j)
{
	struct digest_made *m = j->server->options.pool ? digest_note(&j->ctx, &j->stream, j->transfer) : NULL;

	if (m && !queue_push(j->server->record_queue, &m->node))
		digest_forget(&m->node); /* the upload stands without */
}

int stream_finish(struct job *j)
{
	switch (transfer_finish(j->transfer)) {
	case TRANSFER_WAIT:
	case TRANSFER_READY:
		wait_for(j, JOB_FINISH);
		return 0;
	case TRANSFER_DONE:
		note(j);
		j->status = 200;
		j->state = JOB_REPLY;
		return 0;
	default:
		return failed(j);
	}
}

enum {
	RECORDS = 256,
	GATHER_MS = 10, /* a row by itself costs the database as much as ten together */
};

static int record(struct ctx *c, void *arg)
{
	digest_keep(c, arg);
	return 0;
}

static size_t weigh(const struct queue_node *n)
{
	(void)n;
	return 1;
}

void *stream_recorder(void *server)
{
	struct http_server *s = server;
	struct queue_node *first;
	size_t count;

	while ((first = queue_pop_many(s->record_queue, RECORDS, RECORDS, weigh, &count))) {
		struct ctx c = { .arena = arena_new(LIMIT_BODY) };

		if (c.arena && work_run(&c, record, first) && c.db)
			db_recover(&c);
		if (c.db)
			db_put(&c, s->options.pool);
		arena_free(c.arena);
		digest_forget(first);
		nanosleep(&(struct timespec){ .tv_nsec = GATHER_MS * 1000000L }, NULL);
	}
	return NULL;
}

void stream_digest(struct job *j, struct reply *r, const unsigned char *sha256)
{
	reply_header(r, "Repr-Digest", digest_repr(&j->ctx, sha256));
	reply_header(r, "Digest", digest_plain(&j->ctx, sha256));
}

int stream_open(struct job *j)
{
	switch (transfer_open(j->transfer, &j->head)) {
	case TRANSFER_WAIT:
		wait_for(j, JOB_OPEN);
		return 0;
	case TRANSFER_FAILED:
		return failed(j);
	default:
		j->status = j->head.status;
		j->state = JOB_REPLY;
		return 0;
	}
}

/* The status is out already: the client learns it by the missing end, the operator here. */
static void cut(struct job *j)
{
	const struct error *e = transfer_error(j->transfer);

	if (j->cut)
		return;
	j->cut = true;
	log_event(LOG_ERROR, "download cut", "id", j->ctx.request_id, "target",
		  log_fmt("%.300s", j->raw), "error", error_name(e->code), "message", e->message,
		  "detail", e->detail, NULL);
}

static ssize_t pull(void *cls, uint64_t position, char *out, size_t size)
{
	struct job *j = cls;
	size_t got = 0;

	(void)position;
	switch (transfer_pull(j->transfer, out, size, &got)) {
	case TRANSFER_READY:
		if (j->conn &&
		    atomic_load_explicit(&j->conn->phase, memory_order_relaxed) != PHASE_SEND)
			conn_phase(j->conn, PHASE_SEND);
		return (ssize_t)got;
	case TRANSFER_WAIT:
		/* In this order: a wake that comes at once must find the connection suspended. */
		job_suspend(j);
		transfer_arm(j->transfer);
		return 0;
	case TRANSFER_DONE:
		return MHD_CONTENT_READER_END_OF_STREAM;
	default:
		cut(j);
		return MHD_CONTENT_READER_END_WITH_ERROR;
	}
}

/* Nothing that a browser would run: html, scripts, svg and xml become text (as MLflow for the
   first two). */
static const char *safe_type(const char *type)
{
	static const char *const active[] = { "html", "javascript", "ecmascript", "xml", "svg" };

	if (!type)
		return "application/octet-stream";
	for (size_t i = 0; i < sizeof(active) / sizeof(active[0]); i++) {
		if (strstr(type, active[i]))
			return "text/plain";
	}
	return type;
}

static void add_validators(struct job *j, struct reply *r)
{
	const struct transfer_head *h = &j->head;
	char date[40];
	time_t modified = (time_t)h->modified;
	struct tm tm;

	reply_header(r, "ETag", h->etag);
	if (h->modified >= 0 && gmtime_r(&modified, &tm) &&
	    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm))
		reply_header(r, "Last-Modified", date);
}

static size_t block(const struct transfer_head *h)
{
	return h->length && h->length < HTTP_BLOCK ? (size_t)h->length : HTTP_BLOCK;
}

void stream_response(struct job *j, struct reply *r)
{
	const struct transfer_head *h = &j->head;
	struct buf name = BUF(j->ctx.arena, 4096);
	char range[80];

	/* First: what may escape for want of memory would leave the response behind. */
	disposition_write(&name, j->stream.file_name ? j->stream.file_name : "download");
	r->response = h->status == 304 ? MHD_create_response_empty(MHD_RF_NONE)
				       : MHD_create_response_from_callback(h->length, block(h),
									   pull, j, NULL);
	if (!r->response)
		return;
	add_validators(j, r);
	if (h->status == 304)
		return;
	reply_header(r, "Content-Disposition", buf_text(&name));
	reply_header(r, "Content-Type", safe_type(h->content_type));
	reply_header(r, "Content-Security-Policy", "sandbox; default-src 'none'");
	reply_header(r, "Accept-Ranges", "bytes");
	if (h->digest)
		stream_digest(j, r, j->stream.sha256);
	if (h->status == 206) {
		snprintf(range, sizeof(range), "bytes %llu-%llu/%llu", (unsigned long long)h->first,
			 (unsigned long long)(h->first + h->length - 1),
			 (unsigned long long)h->total);
		reply_header(r, "Content-Range", range);
	}
}

void stream_end(struct job *j)
{
	if (j->transfer)
		transfer_close(j->transfer);
	j->transfer = NULL;
}
