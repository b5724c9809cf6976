/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * read — one request's part of a shared read. What clients ask for by its id at the same moment is
 * fetched by the same few statements, which cost PostgreSQL hardly more for many ids than for one.
 * Each request has its own result, and one that fails does not fail the others.
 *
 * A handler (tracking/) validates its request without a database and describes it here.
 */
#ifndef STORE_READ_H
#define STORE_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/queue.h"
#include "store/entities.h"

struct read {
	struct queue_node node;         /* first member */
	struct ctx *ctx;                /* the request's: its error; its db stays NULL */
	/* Called once by a reader's thread, when something was found and while it is in memory: until
	   it returns. */
	void (*found)(struct read *r);
	/* Then once in any case (ctx->error), for all of one done and one group together. */
	void (*done)(struct read *const *reads, size_t count);
	void *owner;                    /* the caller's */
	bool alone;                     /* what is found will be changed, so nobody else may see it */

	/* One of the two, and where it goes. */
	const char *run_id;
	struct run **run;
	int64_t experiment_id;
	struct experiment **experiment;
};

/* Reads a group on c->db into c->arena, and sets each read's ctx->error where there is nothing to
   be found. -1: the group as a whole failed (c->error). */
int store_read(struct ctx *c, struct read *const *reads, size_t count) MUST_CHECK;

/* ---- the reader: threads that gather waiting reads ---- */

struct reader;
struct db_pool;

struct reader_stats { uint64_t groups, requests; size_t queued; };

struct reader *reader_new(struct db_pool *pool, unsigned threads);      /* NULL: no memory or threads */
/* False: the queue is full or closing (answer 503); nothing is called then. */
bool reader_submit(struct reader *m, struct read *r);
void reader_stats(struct reader *m, struct reader_stats *ret);
/* Finishes what is queued, joins the threads. */
void reader_free(struct reader *m);

#endif
