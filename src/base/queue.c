/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "base/queue.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	struct queue_node *head;
	struct queue_node **tail;       /* where the next entry is hung */
	_Atomic size_t length;          /* changed under the lock, read anywhere */
	size_t limit;
	size_t waiting;                 /* poppers asleep: nobody is signalled in vain */
	bool closed;
};

struct queue *queue_new(size_t limit)
{
	struct queue *q = calloc(1, sizeof(*q));

	assert(limit > 0);
	if (!q)
		return NULL;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->filled, NULL);
	q->tail = &q->head;
	q->limit = limit;
	return q;
}

void queue_free(struct queue *q)
{
	if (!q)
		return;
	assert(!q->waiting);
	pthread_cond_destroy(&q->filled);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

bool queue_push(struct queue *q, struct queue_node *n)
{
	bool wake;

	n->next = NULL;
	pthread_mutex_lock(&q->lock);
	if (q->closed || q->length >= q->limit) {
		pthread_mutex_unlock(&q->lock);
		return false;
	}
	*q->tail = n;
	q->tail = &n->next;
	q->length++;
	wake = q->waiting > 0;
	pthread_mutex_unlock(&q->lock);
	if (wake)
		pthread_cond_signal(&q->filled);
	return true;
}

struct queue_node *queue_pop(struct queue *q)
{
	size_t count;

	return queue_pop_many(q, 1, 0, NULL, &count);
}

/* Under the lock, the queue not empty: cuts off the first entries that fit. */
static struct queue_node *take(struct queue *q, size_t max_count, size_t max_weight,
                               size_t (*weigh)(const struct queue_node *n), size_t *count)
{
	struct queue_node *first = q->head;
	struct queue_node *last = first;
	size_t weight = weigh ? weigh(first) : 0;

	for (*count = 1; last->next && *count < max_count; ++*count) {
		size_t more = weigh ? weigh(last->next) : 0;

		if (weight > max_weight || more > max_weight - weight)
			break;
		weight += more;
		last = last->next;
	}
	q->head = last->next;
	if (!q->head)
		q->tail = &q->head;
	last->next = NULL;
	q->length -= *count;
	return first;
}

struct queue_node *queue_pop_many(struct queue *q, size_t max_count, size_t max_weight,
                                  size_t (*weigh)(const struct queue_node *n), size_t *count)
{
	struct queue_node *first = NULL;
	bool wake;

	*count = 0;
	pthread_mutex_lock(&q->lock);
	while (!q->head && !q->closed) {
		q->waiting++;
		pthread_cond_wait(&q->filled, &q->lock);
		q->waiting--;
	}
	if (q->head)
		first = take(q, max_count, max_weight, weigh, count);
	wake = q->head && q->waiting;
	pthread_mutex_unlock(&q->lock);
	if (wake)
		pthread_cond_signal(&q->filled);
	return first;
}

void queue_close(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->closed = true;
	pthread_cond_broadcast(&q->filled);
	pthread_mutex_unlock(&q->lock);
}

size_t queue_length(const struct queue *q)
{
	return q->length;
}
