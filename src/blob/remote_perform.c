/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Calls for those that wait, and calls that nobody waits for. */
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "remote.h"

/* ---- waiting ---- */

enum { SLICE_MS = 500 };

struct waiting {
	struct remote_call *call;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool ready;
	int64_t until_ms;
};

static void on_ready(void *arg)
{
	struct waiting *w = arg;

	pthread_mutex_lock(&w->lock);
	w->ready = true;
	pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

/* Also where exhausted memory leaves remote_perform() by the arena's jump. */
static void end_waiting(void *arg)
{
	struct waiting *w = arg;

	remote_call_close(TAKE(w->call));
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
}

static struct waiting *new_waiting(struct ctx *c)
{
	struct waiting *w = NEW(c->arena, struct waiting);
	pthread_condattr_t attr;

	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->changed, &attr);
	pthread_condattr_destroy(&attr);
	w->until_ms = clock_ms() + REMOTE_WAIT_MS;
	arena_defer(c->arena, end_waiting, w);
	return w;
}

static int wait_ready(struct ctx *c, struct waiting *w)
{
	bool late;

	pthread_mutex_lock(&w->lock);
	while (!w->ready && clock_ms() < w->until_ms && !remote_stopping()) {
		/* In slices: nobody wakes those who wait when the process is to end. */
		int64_t at = clock_ms() + SLICE_MS < w->until_ms ? clock_ms() + SLICE_MS : w->until_ms;
		struct timespec until = { .tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000 };

		pthread_cond_timedwait(&w->changed, &w->lock, &until);
	}
	late = !w->ready;
	w->ready = false;
	pthread_mutex_unlock(&w->lock);
	if (late && remote_stopping())
		return fail(c, TEMPORARILY_UNAVAILABLE, "The server is stopping");
	if (late)
		return fail(c, TEMPORARILY_UNAVAILABLE, "The artifact store takes too long to answer");
	return 0;
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
	struct waiting *w = new_waiting(c);
	const char *text = "";
	size_t size = 0;
	int rc;

	assert(!q->written);
	*ret = (struct remote_reply){ .reply = { .content_length = -1, .failure = "" } };
	rc = remote_call_begin(c, r, q, (struct blob_ready){ on_ready, w }, &w->call);
	if (rc)
		return -1;
	while ((rc = remote_call_text(c, w->call, &text, &size)) == BLOB_AGAIN) {
		if (wait_ready(c, w)) {
			rc = -1;
			break;
		}
	}
	ret->reply.status = remote_call_status(w->call);
	ret->broke = remote_call_broke(w->call);
	if (!rc) {
		keep(c, w->call, ret);
		ret->reply.body = arena_strndup(c->arena, text, size);
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
