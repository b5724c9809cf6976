/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Calls for those that wait, and calls that nobody waits for. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "remote.h"

/* ---- waiting ---- */

struct waiting {
	struct remote_call *call;
	struct remote_wait wait;
};

/* Also where exhausted memory leaves remote_perform() by the arena's jump. */
static void end_waiting(void *arg)
{
	struct waiting *w = arg;

	remote_call_close(TAKE(w->call));
	remote_wait_end(&w->wait);
}

static void keep(struct ctx *c, const struct remote_call *k, struct remote_reply *ret)
{
	remote_call_reply(k, ret);
	for (size_t i = 0; i < ret->header_count; i++)
		ret->headers[i].value = arena_strdup(c->arena, ret->headers[i].value);
	ret->reply.content_type = arena_strdup(c->arena, ret->reply.content_type);
	ret->reply.etag = arena_strdup(c->arena, ret->reply.etag);
	ret->reply.body = "";
}

int remote_perform(struct ctx *c, struct remote *r, const struct remote_request *q,
                   struct remote_reply *ret)
{
	struct waiting *w = NEW(c->arena, struct waiting);
	const char *text = "";
	size_t size = 0;
	int rc;

	assert(!q->written);
	remote_wait_begin(&w->wait, REMOTE_WAIT_MS);
	arena_defer(c->arena, end_waiting, w);
	*ret = (struct remote_reply){ .reply = { .content_length = -1, .failure = "" } };
	rc = remote_call_begin(c, r, q, (struct blob_ready){ remote_wait_ready, &w->wait },
	                       &w->call);
	if (rc)
		return -1;
	while ((rc = remote_call_text(c, w->call, &text, &size)) == BLOB_AGAIN) {
		if (remote_wait(c, &w->wait)) {
			rc = -1;
			break;
		}
	}
	ret->reply.status = remote_call_status(w->call);
	ret->broke = remote_call_broke(w->call);
	if (!rc) {
		keep(c, w->call, ret);
		/* Whatever it holds: a NUL is no end. */
		char *body = arena_alloc(c->arena, size + 1);

		memcpy(body, text, size);
		body[size] = '\0';
		ret->reply.body = body;
		ret->reply.size = size;
	}
	remote_call_close(TAKE(w->call));
	return rc;
}

/* ---- forgetting ---- */

struct forgotten {
	struct remote_job job;          /* first member */
	struct remote_request *q;
	struct remote_call *call;
};

static int step(struct ctx *c, struct remote_job *j, bool give_up)
{
	struct forgotten *f = (struct forgotten *)j;
	const char *text;
	size_t size;
	int rc = 0;

	if (give_up)
		return fail(c, TEMPORARILY_UNAVAILABLE, "The server is stopping");
	if (!f->call)
		rc = remote_call_begin(c, j->remote, f->q, (struct blob_ready){ remote_job_ready, j },
		                       &f->call);
	if (!rc)
		rc = remote_call_text(c, f->call, &text, &size);
	return rc;
}

static void end_forgotten(struct remote_job *j)
{
	struct forgotten *f = (struct forgotten *)j;

	remote_call_close(f->call);
	free(f->q);
	free(f);
}

void remote_call_forget(struct remote *r, const struct remote_request *q)
{
	struct forgotten *f = calloc(1, sizeof(*f));

	assert(!q->written);
	if (f)
		f->q = remote_request_copy(q, true);
	if (!f || !f->q) {
		free(f);
		log_event(LOG_WARN, "no memory to clean up at the artifact store", "method", q->method,
		          "bucket", r->bucket, NULL);
		return;
	}
	f->job.remote = r;
	f->job.step = step;
	f->job.free = end_forgotten;
	remote_job_begin(&f->job);
}
