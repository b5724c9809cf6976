/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* dispatch — runs a whole request's handler where its kind of row says: here, in a worker, or as
   part of a shared read or commit. */
#include "http.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "db/db.h"

/* ---- request and reply records ---- */

/* The path decides over what a body says about the same field. */
static int set_fields(struct job *j)
{
	const struct record *r = j->match.route->request;

	for (size_t i = 0; i < j->match.count; i++) {
		const struct field *f = r->fields;

		while (f->name && strcmp(f->name, j->match.names[i]) != 0)
			f++;
		assert(f->name); /* a row's {field} is a member of its request */
		if (f->type == FIELD_STRING)
			*(const char **)(void *)((char *)j->in + f->offset) = j->match.values[i];
		else if (record_set(&j->ctx, r, f->name, j->match.values[i], j->in))
			return -1;
	}
	return 0;
}

/* A request that wants to know under which URL it reached us, to hand out URLs of its own, has a
   field for that. What a client says about itself here, it says to itself. */
static void set_base_url(struct job *j)
{
	const struct field *f = j->match.route->request->fields;
	const char *host = job_header(j, "Host"), *proto = job_header(j, "X-Forwarded-Proto");
	const char *prefix = j->server->options.static_prefix;
	const char **field;

	while (f->name && strcmp(f->name, "request_base_url") != 0)
		f++;
	if (!f->name)
		return;
	field = (const char **)(void *)((char *)j->in + f->offset);
	*field = NULL;
	if (host && *host && utf8_valid(host, strlen(host)))
		*field = arena_printf(j->ctx.arena, "%s://%s%s",
				      proto && !strcmp(proto, "https") ? "https" : "http", host,
				      prefix ? prefix : "");
}

/* As MLflow: a query string counts for GET alone, and then instead of a body; users and roles take it for DELETE
   too, where there is no body. */
static bool takes_query(const struct job *j)
{
	if (j->method == METHOD_DELETE)
		return !j->size && route_of_accounts(j->match.route);
	return (j->method == METHOD_GET || j->method == METHOD_HEAD) &&
	       (j->target.count || !j->size);
}

static int decode(struct job *j)
{
	const struct record *r = j->match.route->request;
	struct ctx *c = &j->ctx;

	j->in = arena_alloc(c->arena, r->size);
	j->out = arena_alloc(c->arena, j->match.route->reply->size);
	if (set_fields(j))
		return -1;
	if (takes_query(j)) {
		for (size_t i = 0; i < j->target.count; i++) {
			const struct argument *a = &j->target.arguments[i];

			if (record_set(c, r, a->name, a->value, j->in))
				return -1;
		}
		if (set_fields(j))
			return -1;
		return record_check(c, r, j->in);
	}
	if (!j->body) /* record_read() writes behind its end */
		j->body = arena_alloc(c->arena, 1);
	if (record_read(c, r, j->body, j->size, j->in))
		return -1;
	set_base_url(j);
	return set_fields(j);
}

static int encode(struct job *j)
{
	j->reply = (struct buf)BUF(j->ctx.arena, LIMIT_ARENA);
	record_write(&j->reply, j->match.route->reply, j->out);
	if (buf_failed(&j->reply))
		return fail(&j->ctx, INVALID_PARAMETER_VALUE,
			    "The answer is too large; ask for fewer items.");
	j->status = 200;
	j->content_type = "application/json";
	return 0;
}

/* ---- permission ---- */

/* What is wrong with a request is not told to whom may not ask at all, where enough of it was
   understood to know that. */
static int read_request(struct job *j)
{
	if (j->read)
		return 0;
	j->read = true;
	if (!decode(j))
		return 0;
	if (!auth_judges(j) || j->ctx.error.code != INVALID_PARAMETER_VALUE)
		return -1;
	j->misread = j->ctx.error;
	error_clear(&j->ctx);
	return 0;
}

/* Reads the request; may the user? 1; 0: a database must say; -1. */
static int permit(struct job *j)
{
	struct error *e = &j->ctx.error;
	int got;

	if (j->match.route->request && read_request(j))
		return -1;
	got = auth_judges(j) ? auth_permit(j) : 1;
	if (j->misread.code && (got > 0 || (got < 0 && e->code == INVALID_PARAMETER_VALUE))) {
		*e = j->misread;
		return -1;
	}
	return got;
}

/* ---- handlers that write text ---- */

static const char *text_query(const struct http_text *t, const char *name)
{
	const struct job *j = t->owner;

	return target_argument(&j->target, name);
}

static const char *text_form(const struct http_text *t, const char *name)
{
	const struct job *j = t->owner;

	return target_argument(&j->form, name);
}

/* The only bodies that are no JSON: those of pages that people fill in. */
static int read_form(struct job *j)
{
	static const char form[] = "application/x-www-form-urlencoded";
	const char *type = job_header(j, "Content-Type");

	if (!j->size || !type || strncasecmp(type, form, strlen(form)) != 0)
		return 0;
	if (j->size > LIMIT_INLINE_BODY)
		return fail(&j->ctx, PAYLOAD_TOO_LARGE, "The form is larger than %d bytes.",
			    LIMIT_INLINE_BODY);
	return target_form(&j->ctx, arena_strndup(j->ctx.arena, j->body, j->size), &j->form);
}

static int run_text(struct job *j)
{
	if (read_form(j))
		return -1;
	j->text = (struct http_text){
		.status = 200,
		.content_type = "text/plain; charset=utf-8",
		.body = BUF(j->ctx.arena, 16 << 20),
		.query = text_query,
		.form = text_form,
		.owner = j,
	};
	if (j->match.route->call.text(&j->ctx, &j->text))
		return -1;
	if (buf_failed(&j->text.body))
		return fail(&j->ctx, INTERNAL_ERROR, "The answer is too large.");
	j->status = j->text.status;
	j->content_type = j->text.content_type;
	j->reply = j->text.body;
	return 0;
}

/* ---- shared reads and commits ---- */

static int write_found(struct ctx *c, void *arg)
{
	struct job *j = arg;

	(void)c;
	/* Else nothing was to be withheld when the request was judged, and what was found is also
	   others'. */
	if (j->reading.alone)
		auth_after(j);
	return encode(j);
}

/* What was found goes when this returns. */
static void found(struct read *r)
{
	struct job *j = r->owner;

	if (work_run(&j->ctx, write_found, j))
		assert(j->ctx.error.code); /* dispatch_finish() sees it */
	j->out = NULL;
}

static void answered(struct read *const *reads, size_t count)
{
	struct job *jobs[LIMIT_READS];

	for (size_t i = 0; i < count; i++)
		jobs[i] = reads[i]->owner;
	job_resume_all(jobs, count);
}

static void committed(struct write *w)
{
	job_resume(w->owner);
}

static int prepare_read(struct job *j)
{
	j->reading.ctx = &j->ctx;
	j->reading.found = found;
	j->reading.done = answered;
	j->reading.owner = j;
	j->reading.alone = auth_judges(j) && withholds(j);
	return j->match.route->call.read(&j->ctx, j->in, &j->reading, j->out) ? -1 : 1;
}

/* 1: ready for the reader or the committer; 0: a database must say who may; -1. */
static int prepare(struct job *j)
{
	int got = permit(j);

	if (got <= 0)
		return got;
	if (j->match.route->kind == KIND_READ)
		return prepare_read(j);
	j->write.ctx = &j->ctx;
	j->write.done = committed;
	j->write.owner = j;
	return j->match.route->call.write(&j->ctx, j->in, &j->write, j->out) ? -1 : 1;
}

/* Without memory: here the connection is suspended, and an escape would leave it so. */
static void too_busy(struct job *j, const char *message)
{
	j->ctx.error = (struct error){ .code = TEMPORARILY_UNAVAILABLE, .message = message };
	job_resume(j);
}

/* The connection is suspended; the reader or the committer resumes it. */
static void submit(struct job *j)
{
	j->decoded = true;
	if (j->match.route->kind == KIND_READ) {
		if (!reader_submit(j->server->options.reader, &j->reading))
			too_busy(j, "Too many requests are waiting; try again later.");
		return;
	}
	if (committer_submit(j->server->options.committer, &j->write))
		return;
	too_busy(j, "Too many writes are waiting; try again later.");
}

/* ---- workers ---- */

static bool is_shared(const struct route *r)
{
	return r->kind == KIND_READ || r->kind == KIND_WRITE;
}

static int work(struct ctx *c, void *arg)
{
	struct job *j = arg;
	const struct route *r = j->match.route;
	int got = 1;

	if (clock_ms() - j->queued_ms > HTTP_QUEUE_MS)
		return fail(c, TEMPORARILY_UNAVAILABLE,
			    "The request waited too long; try again later.");
	if (r->kind == KIND_BLOCKING)
		return run_text(j);
	if (r->kind == KIND_STREAM) /* it was permitted with its head */
		return stream_decide(j);
	/* What a client got wrong is said without a database, unless that must say first who asks. */
	if (is_shared(r))
		got = prepare(j);
	else if (r->kind == KIND_ROUTE || auth_judges(j))
		got = permit(j);
	if (got < 0 || (got > 0 && is_shared(r)))
		return got < 0 ? -1 : 0;
	if ((!got || !route_of_proxy(r)) && db_get(c, j->server->options.pool, HTTP_DB_WAIT_MS))
		return -1;
	if (is_shared(r))
		return prepare(j) > 0 ? 0 : -1;
	if (!got && permit(j) <= 0)
		return -1;
	if (r->kind == KIND_STREAM_DB)
		return stream_decide(j);
	if (r->call.route(c, j->in, j->out))
		return -1;
	auth_after(j);
	return 0;
}

static int work_encode(struct ctx *c, void *arg)
{
	(void)c;
	return encode(arg);
}

void dispatch_work(struct job *j)
{
	struct ctx *c = &j->ctx;
	const struct route *r = j->match.route;
	int result = work_run(c, work, j);
	if (c->db) {
		if (result)
			db_recover(c);
		db_put(c, j->server->options.pool);
		c->db = NULL;
	}
	if (result == 0 && is_shared(r)) {
		submit(j);
		return;
	}
	if (result == 0 && r->kind == KIND_ROUTE && work_run(c, work_encode, j))
		assert(c->error.code); /* dispatch_finish() sees it */
	job_resume(j);
}

/* ---- event threads ---- */

int dispatch(struct job *j)
{
	const struct route *r = j->match.route;
	int got;

	if (!r) { /* preflight, OPTIONS */
		j->state = JOB_REPLY;
		return 0;
	}
	switch (r->kind) {
	case KIND_INLINE:
		j->state = JOB_REPLY;
		return run_text(j);
	case KIND_STREAM:
		if (stream_waits(j))
			break;
		if (stream_decide(j))
			return -1;
		return stream_begin(j);
	case KIND_READ:
	case KIND_WRITE:
		if (j->size > LIMIT_INLINE_BODY)
			break;
		got = prepare(j);
		if (got < 0)
			return -1;
		if (!got)
			break;
		j->state = JOB_AWAY;
		j->hand = r->kind == KIND_READ ? HAND_READER : HAND_COMMITTER;
		return 0;
	default:
		break;
	}
	j->state = r->kind == KIND_STREAM_DB && r->method != METHOD_GET ? JOB_DECIDE : JOB_AWAY;
	j->hand = HAND_WORKER;
	return 0;
}

static enum http_lane lane_of(const struct job *j)
{
	if (route_is_heavy(j->match.route))
		return HTTP_HEAVY;
	return j->size > LIMIT_INLINE_BODY ? HTTP_BODIES : HTTP_LIGHT;
}

static bool hand_to_worker(struct job *j)
{
	struct http_server *s = j->server;

	j->queued_ms = clock_ms();
	return route_of_stores(j->match.route) ? queue_push(s->store_queue, &j->node)
					       : lanes_push(s->lanes, lane_of(j), &j->node);
}

void dispatch_hand_over(struct job *j)
{
	/* First: whoever takes it may resume at once. */
	job_suspend(j);
	switch (j->hand) {
	case HAND_TRANSFER:
		transfer_arm(j->transfer);
		return;
	case HAND_AUTH:
		if (!auth_submit(j->server->options.auth, &j->check))
			too_busy(j, "Too many requests wait for their authentication; try again later.");
		return;
	case HAND_READER:
	case HAND_COMMITTER:
		submit(j);
		return;
	default:
		if (!hand_to_worker(j))
			too_busy(j, "Too many requests are waiting; try again later.");
	}
}

/* Back from a worker, the reader or the committer, in the event thread, within work_run(). */
void dispatch_finish(struct job *j)
{
	if (j->ctx.error.code)
		return;
	j->state = JOB_REPLY;
	switch (j->match.route->kind) {
	case KIND_WRITE:
		assert(j->decoded);
		if (j->write.create)
			facts_put(j->server->facts, FACT_RUN, j->write.create->run_id,
				  j->write.create->experiment_id);
		if (encode(j))
			assert(j->ctx.error.code);
		break;
	case KIND_STREAM:
	case KIND_STREAM_DB:
		if (stream_begin(j))
			assert(j->ctx.error.code);
		break;
	default:
		break;
	}
}
