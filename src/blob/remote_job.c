/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * What nobody waits for, as taking back an upload whose client is gone: one thread, made with the
 * first job, steps those that are due.
 */
#include <pthread.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "remote.h"

enum { STEP_ARENA = 1 << 20 };

static struct {
	pthread_mutex_t lock;
	pthread_cond_t due, over;
	pthread_t thread;
	bool started, stopping;
	struct remote_job *first;
	const struct remote *freeing; /* whose job is unlinked and not yet gone */
} jobs = { .lock = PTHREAD_MUTEX_INITIALIZER,
	   .due = PTHREAD_COND_INITIALIZER,
	   .over = PTHREAD_COND_INITIALIZER };

struct step {
	struct remote_job *job;
	bool give_up;
	int rc;
};

static int run(struct ctx *c, void *arg)
{
	struct step *s = arg;

	s->rc = s->job->step(c, s->job, s->give_up);
	return s->rc < 0 ? -1 : 0;
}

/* Whether it is over. */
static bool step(struct remote_job *j, bool give_up)
{
	struct step s = { .job = j, .give_up = give_up, .rc = -1 };
	struct ctx c = { .arena = arena_new(STEP_ARENA) };
	int rc = -1;

	if (c.arena)
		rc = work_run(&c, run, &s);
	if (rc)
		log_event(LOG_WARN, "what an upload left could not be taken back", "bucket",
			  j->remote->bucket, "object", j->what, "error",
			  c.error.message ? c.error.message : "out of memory", "detail",
			  c.error.detail, NULL);
	arena_free(c.arena);
	return rc || s.rc != BLOB_AGAIN;
}

static struct remote_job *next_due(void)
{
	for (struct remote_job *j = jobs.first; j; j = j->next)
		if (j->due)
			return j;
	return NULL;
}

static void unlink_job(struct remote_job *j)
{
	if (j->previous)
		j->previous->next = j->next;
	else
		jobs.first = j->next;
	if (j->next)
		j->next->previous = j->previous;
}

static void *job_thread(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&jobs.lock);
	while (!jobs.stopping) {
		struct remote_job *j = next_due();
		bool give_up, over;

		if (!j) {
			pthread_cond_wait(&jobs.due, &jobs.lock);
			continue;
		}
		j->due = false;
		give_up = j->give_up;
		pthread_mutex_unlock(&jobs.lock);
		over = step(j, give_up) || give_up;
		pthread_mutex_lock(&jobs.lock);
		if (!over)
			continue;
		unlink_job(j);
		jobs.freeing = j->remote;
		pthread_mutex_unlock(&jobs.lock);
		j->free(j); /* until it closed its calls, remote_job_ready() may still come for it */
		pthread_mutex_lock(&jobs.lock);
		jobs.freeing = NULL;
		pthread_cond_broadcast(&jobs.over);
	}
	pthread_mutex_unlock(&jobs.lock);
	return NULL;
}

void remote_job_begin(struct remote_job *j)
{
	bool begun;

	pthread_mutex_lock(&jobs.lock);
	j->due = true;
	if (!jobs.started)
		jobs.started = !thread_start(&jobs.thread, "store-jobs", job_thread, NULL);
	begun = jobs.started;
	if (begun) {
		j->previous = NULL;
		j->next = jobs.first;
		if (jobs.first)
			jobs.first->previous = j;
		jobs.first = j;
		pthread_cond_signal(&jobs.due);
	}
	pthread_mutex_unlock(&jobs.lock);
	if (begun)
		return;
	log_event(LOG_WARN, "what an upload left could not be taken back", "bucket",
		  j->remote->bucket, "object", j->what, "error", "no thread", NULL);
	j->free(j);
}

void remote_job_ready(void *job)
{
	struct remote_job *j = job;

	pthread_mutex_lock(&jobs.lock);
	j->due = true;
	pthread_cond_signal(&jobs.due);
	pthread_mutex_unlock(&jobs.lock);
}

static bool has_jobs(const struct remote *r)
{
	for (const struct remote_job *j = jobs.first; j; j = j->next)
		if (j->remote == r)
			return true;
	return jobs.freeing == r;
}

static void rush(const struct remote *r)
{
	for (struct remote_job *j = jobs.first; j; j = j->next)
		if (j->remote == r)
			j->due = j->give_up = true;
	pthread_cond_signal(&jobs.due);
}

void remote_jobs_end(struct remote *r, int wait_ms)
{
	struct timespec until = clock_deadline(wait_ms);

	pthread_mutex_lock(&jobs.lock);
	while (has_jobs(r))
		if (pthread_cond_clockwait(&jobs.over, &jobs.lock, CLOCK_MONOTONIC, &until))
			break;
	rush(r);
	while (has_jobs(r))
		pthread_cond_wait(&jobs.over, &jobs.lock);
	pthread_mutex_unlock(&jobs.lock);
}

void remote_jobs_stop(void)
{
	bool started;

	pthread_mutex_lock(&jobs.lock);
	started = jobs.started;
	jobs.stopping = true;
	pthread_cond_signal(&jobs.due);
	pthread_mutex_unlock(&jobs.lock);
	if (started)
		pthread_join(jobs.thread, NULL);
	jobs.started = jobs.stopping = false;
}
