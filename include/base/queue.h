/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * queue — a bounded, intrusive, many-producer many-consumer FIFO between threads.
 */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue;

struct queue_node {
	struct queue_node *next;
};

struct queue *queue_new(size_t limit);
void queue_free(struct queue *q);

/* False: full or closed; the caller answers 503. */
bool queue_push(struct queue *q, struct queue_node *n);

/* Waits for an entry; NULL once closed and empty. */
struct queue_node *queue_pop(struct queue *q);

/*
 * Waits for an entry, then takes entries in order while weigh(entry) keeps the sum within
 * max_weight (the first is always taken) and their count within max_count. Returns a chain, NULL
 * once closed and empty.
 */
struct queue_node *queue_pop_many(struct queue *q, size_t max_count, size_t max_weight,
                                  size_t (*weigh)(const struct queue_node *n), size_t *count);

/* Refuses new entries and wakes all waiters; what is queued can still be popped. */
void queue_close(struct queue *q);

size_t queue_length(const struct queue *q);

#endif
