/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* reply — the answer's status, headers and body. */
#include "http.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/arena.h"

/* For when there is no memory left to say it better. */
static char last_words[] =
	"{\"error_code\":\"TEMPORARILY_UNAVAILABLE\",\"message\":"
	"\"The server is out of memory; try again later.\",\"sqlstate\":\"XXM00\","
	"\"error_class\":\"CLIENT_INTERNAL_ERROR\"}";

static const char challenge[] = "Basic realm=\"mlflow\"";

static int render_error(struct ctx *c, void *arg)
{
	struct job *j = arg;

	j->reply = (struct buf)BUF(c->arena, 1 << 20);
	error_write(&c->error, &j->reply);
	return 0;
}

/* MLflow's auth app answers in text: make_basic_auth_response(), make_forbidden_response(). */
static const char *auth_text(const struct job *j)
{
	static const char forbidden[] = "Permission denied";

	if (j->unknown_user && j->ctx.error.code == UNAUTHENTICATED)
		return "You are not authenticated. Please see "
		       "https://www.mlflow.org/docs/latest/auth/index.html#authenticating-to-mlflow "
		       "on how to authenticate.";
	if (j->ctx.principal && j->ctx.error.code == PERMISSION_DENIED && j->ctx.error.message &&
	    strcmp(j->ctx.error.message, forbidden) == 0)
		return forbidden;
	return NULL;
}

/* What failed is answered as MLflow does; this replaces whatever had been written. */
static void settle(struct job *j)
{
	const char *text = auth_text(j);
	enum error_code code = j->ctx.error.code;

	if (!code)
		return;
	j->status = error_status(code);
	j->content_type = "application/json";
	stream_end(j);
	if (text) {
		j->content_type = "text/html; charset=utf-8"; /* as Flask sends it */
		j->reply = (struct buf){ .data = (char *)(uintptr_t)text, .size = strlen(text) };
		return;
	}
	if (work_run(&j->ctx, render_error, j)) {
		j->status = 503;
		j->reply = (struct buf){ .data = last_words, .size = sizeof(last_words) - 1 };
	}
}

static const char *frame_options(const struct job *j)
{
	const char *x = j->server->options.x_frame_options;

	return strcasecmp(x, "NONE") == 0 ? NULL : x;
}

void reply_header(struct reply *r, const char *name, const char *value)
{
	if (value && *value && MHD_add_response_header(r->response, name, value) != MHD_YES)
		r->failed = true;
}

/* As starlette's CORSMiddleware with MLflow's settings. */
static void add_cors(struct job *j, struct reply *r)
{
	const struct guard *g = j->server->guard;
	bool any = guard_any_origin(g);

	if (!j->origin)
		return;
	if (any)
		reply_header(r, "Access-Control-Allow-Origin", "*");
	else if (guard_origin_may_read(g, j->origin))
		reply_header(r, "Access-Control-Allow-Origin", j->origin);
	else
		return;
	if (!any)
		reply_header(r, "Access-Control-Allow-Credentials", "true");
	if (!j->preflight) {
		reply_header(r, "Access-Control-Expose-Headers", "*");
		return;
	}
	reply_header(r, "Access-Control-Allow-Methods",
		     any ? "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
			 : "GET, POST, PUT, DELETE, OPTIONS, PATCH");
	reply_header(r, "Access-Control-Max-Age", "600");
	reply_header(r, "Access-Control-Allow-Headers",
		     job_header(j, "Access-Control-Request-Headers"));
}

static void add_headers(struct job *j, struct reply *r)
{
	const struct http_server *s = j->server;
	char range[40];

	if (!s->options.disable_security) {
		reply_header(r, "X-Content-Type-Options", "nosniff");
		reply_header(r, "X-Frame-Options", frame_options(j));
		reply_header(r, "Vary", "Origin");
		add_cors(j, r);
	}
	reply_header(r, "X-Request-Id", j->ctx.request_id);
	reply_header(r, "Allow", j->allow);
	reply_header(r, "WWW-Authenticate", j->status == 401 ? challenge : NULL);
	if (j->status == 503 || j->status == 429)
		reply_header(r, "Retry-After", "1");
	if (j->status == 416 && j->head.total) {
		snprintf(range, sizeof(range), "bytes */%llu", (unsigned long long)j->head.total);
		reply_header(r, "Content-Range", range);
	}
	if (atomic_load_explicit(&s->stopping, memory_order_relaxed))
		reply_header(r, "Connection", "close");
}

struct build {
	struct job *job;
	struct reply reply;
};

static int build(struct ctx *c, void *arg)
{
	struct build *b = arg;
	struct job *j = b->job;
	struct reply *r = &b->reply;

	(void)c;
	if (j->transfer && j->stream.kind == STREAM_DOWNLOAD) {
		stream_response(j, r);
		return 0;
	}
	/* The arena outlives the response: request_end() frees it. */
	r->response = MHD_create_response_from_buffer(j->reply.size, j->reply.data,
						      MHD_RESPMEM_PERSISTENT);
	if (!r->response)
		return 0;
	reply_header(r, "Content-Type", j->content_type);
	if (j->status == 307) {
		reply_header(r, "Location", j->stream.redirect);
		reply_header(r, "Cache-Control", "no-store");
	}
	if (j->transfer && j->status == 200) {
		reply_header(r, "ETag", transfer_etag(j->transfer));
		if (transfer_sha256(j->transfer))
			stream_digest(j, r, transfer_sha256(j->transfer));
	}
	return 0;
}

enum MHD_Result reply_send(struct job *j)
{
	struct build b = { .job = j };
	enum MHD_Result result = MHD_NO;

	settle(j);
	if (work_run(&j->ctx, build, &b) || !b.reply.response)
		return MHD_NO;
	add_headers(j, &b.reply);
	/* Without memory for a header there is no answer: it may be the one that protects. */
	if (!b.reply.failed)
		result = MHD_queue_response(j->connection, (unsigned)j->status, b.reply.response);
	MHD_destroy_response(b.reply.response);
	return result;
}

void reply_cut(struct job *j)
{
	const union MHD_ConnectionInfo *info;
	char head[512];
	int size;

	settle(j);
	info = MHD_get_connection_info(j->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	size = snprintf(head, sizeof(head),
			"HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: %s\r\n"
			"X-Content-Type-Options: nosniff\r\n%s%s%s%sX-Request-Id: %s\r\n"
			"Content-Length: %zu\r\n\r\n",
			j->status, MHD_get_reason_phrase_for((unsigned)j->status),
			j->content_type, j->status == 503 ? "Retry-After: 1\r\n" : "",
			j->status == 401 ? "WWW-Authenticate: " : "",
			j->status == 401 ? challenge : "", j->status == 401 ? "\r\n" : "",
			j->ctx.request_id ? j->ctx.request_id : "-",
			j->reply.size);
	if (!info || size < 0 || (size_t)size >= sizeof(head))
		return;
	/* Best effort: nothing was sent on this connection since the last answer, so its buffer
	   is empty. */
	if (send(info->connect_fd, head, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE) ==
	    size)
		(void)!send(info->connect_fd, j->reply.data, j->reply.size,
			    MSG_NOSIGNAL | MSG_DONTWAIT);
	shutdown(info->connect_fd, SHUT_WR);
}
