/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * write — one request's part of a shared commit. All run writes of clients that wait at the same
 * moment become ONE transaction of array statements (or COPY); each is acknowledged after COMMIT,
 * with its own result: an invalid one fails alone, and nothing of it is left.
 *
 * A handler (tracking/) validates its request without a database and describes it here; the
 * committer resolves runs, checks what only the database knows (run exists and is active,
 * parameters unchanged, experiment active) and writes.
 */
#ifndef STORE_WRITE_H
#define STORE_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/queue.h"
#include "store/entities.h"

struct new_run {
	const char *run_id;             /* 32 hex digits, already chosen */
	const char *name;
	const char *user_id;
	int64_t experiment_id;
	int64_t start_time;
	struct run_info *info;          /* the reply; the commit fills artifact_uri */
};

struct write {
	struct queue_node node;         /* first member */
	struct ctx *ctx;                /* the request's: its arena carries the data and the error; its db stays NULL */
	void (*done)(struct write *w);  /* called once by the committer's thread, after COMMIT or failure (ctx->error) */
	void *owner;                    /* the caller's */

	struct new_run *create;         /* create-run: run_id below is the new run's, tags its tags */
	const char *run_id;
	struct list metrics;            /* struct metric: key, value, timestamp, step set; value never infinite */
	struct list params;             /* struct tag; keys differ */
	bool one_param;                 /* log-parameter, whose conflict has another text than log-batch's */
	struct list tags;               /* struct tag; repeated keys: the last wins */
	struct list datasets;           /* struct dataset_input */
	struct list model_inputs;       /* struct model_input */
	struct list model_outputs;      /* struct model_output */
	const char *const *delete_tags; /* delete-tag: a missing one is RESOURCE_DOES_NOT_EXIST */
	size_t delete_tag_count;
};

/* Work in it, for the cap of a group: points count one each, other rows too, at least 1. */
size_t write_weight(const struct write *w);

/* Applies a group in one transaction on c->db, and sets each write's ctx->error where it failed
   alone. -1: the group as a whole failed (c->error); nothing of it is stored, or, for a COMMIT
   without answer, it is unknown. */
int store_commit(struct ctx *c, struct write *const *writes, size_t count) MUST_CHECK;

/* ---- the committer: threads that gather waiting writes and commit them ---- */

struct committer;
struct db_pool;

struct committer_stats { uint64_t commits, requests, points, failures; size_t queued; };

struct committer *committer_new(struct db_pool *pool, unsigned threads);        /* NULL: no memory or threads */
/* False: the queue is full or closing (answer 503); done is not called then. */
bool committer_submit(struct committer *m, struct write *w);
void committer_stats(struct committer *m, struct committer_stats *ret);
/* Finishes what is queued, joins the threads. */
void committer_free(struct committer *m);

#endif
