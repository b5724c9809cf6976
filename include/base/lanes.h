/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * lanes — bounded FIFO queues that share their threads. What waits in an earlier lane is taken first, and of no lane
 * are more entries at work at one time than it may have. So what is quick does not wait behind what is slow, and what
 * is slow still finds a thread where the others together may not have them all.
 */
#ifndef BASE_LANES_H
#define BASE_LANES_H

#include "base/queue.h"

struct lanes;

struct lane {
	size_t limit;                   /* entries that may wait */
	unsigned most;                  /* pops whose lanes_done() is still to come */
};

struct lanes *lanes_new(const struct lane *lanes, unsigned count);
void lanes_free(struct lanes *l);

/* False: that lane is full, or all are closed; the caller answers 503. */
bool lanes_push(struct lanes *l, unsigned lane, struct queue_node *n);

/* Waits for an entry of a lane that may go on; NULL once closed and empty. lanes_done() must follow. */
struct queue_node *lanes_pop(struct lanes *l, unsigned *lane);

/* The same of several of one lane, as queue_pop_many(). */
struct queue_node *lanes_pop_many(struct lanes *l, size_t max_count, size_t max_weight,
                                  size_t (*weigh)(const struct queue_node *n), size_t *count, unsigned *lane);

/* What has come to a lane since, for somebody at work on it: without waiting, NULL if nothing fits. */
struct queue_node *lanes_pop_more(struct lanes *l, unsigned lane, size_t max_count, size_t max_weight,
                                  size_t (*weigh)(const struct queue_node *n), size_t *count);

/* The work on what one pop gave is over. */
void lanes_done(struct lanes *l, unsigned lane);

/* Refuses new entries; what waits can still be popped. */
void lanes_close(struct lanes *l);

/* What waits in one, in all. */
size_t lanes_waiting(const struct lanes *l, unsigned lane);
size_t lanes_length(const struct lanes *l);

#endif
