/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "base/lanes.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

struct line {
	struct lane rule;
	struct queue_node *head;
	struct queue_node **tail;       /* where the next entry is hung */
	_Atomic size_t length;          /* changed under the lock, read anywhere */
	unsigned working;
};

struct lanes {
	pthread_mutex_t lock;
	pthread_cond_t ready;
	size_t waiting;                 /* poppers asleep: nobody is signalled in vain */
	bool closed;
	unsigned count;
	struct line lines[];
};

struct lanes *lanes_new(const struct lane *lanes, unsigned count)
{
	struct lanes *l = calloc(1, sizeof(*l) + count * sizeof(l->lines[0]));

	if (!l)
		return NULL;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->ready, NULL);
	l->count = count;
	for (unsigned i = 0; i < count; i++) {
		assert(lanes[i].limit > 0 && lanes[i].most > 0);
		l->lines[i].rule = lanes[i];
		l->lines[i].tail = &l->lines[i].head;
	}
	return l;
}

void lanes_free(struct lanes *l)
{
	if (!l)
		return;
	assert(!l->waiting);
	pthread_cond_destroy(&l->ready);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static bool may_go_on(const struct line *line)
{
	return line->head && line->working < line->rule.most;
}

/* Under the lock. NULL: none. */
static struct line *first_ready(struct lanes *l)
{
	for (unsigned i = 0; i < l->count; i++) {
		if (may_go_on(&l->lines[i]))
			return &l->lines[i];
	}
	return NULL;
}

bool lanes_push(struct lanes *l, unsigned lane, struct queue_node *n)
{
	struct line *line = &l->lines[lane];
	bool wake;

	assert(lane < l->count);
	n->next = NULL;
	pthread_mutex_lock(&l->lock);
	if (l->closed || line->length >= line->rule.limit) {
		pthread_mutex_unlock(&l->lock);
		return false;
	}
	*line->tail = n;
	line->tail = &n->next;
	line->length++;
	wake = l->waiting && may_go_on(line);
	pthread_mutex_unlock(&l->lock);
	if (wake)
		pthread_cond_signal(&l->ready);
	return true;
}

/* Under the lock: cuts off the first entries that fit; the first of all fits if `any`. */
static struct queue_node *cut(struct line *line, bool any, size_t max_count, size_t max_weight,
                              size_t (*weigh)(const struct queue_node *n), size_t *count)
{
	struct queue_node *first = line->head, **end = &line->head, *rest;
	size_t weight = 0;

	for (*count = 0; *end && *count < max_count; ++*count) {
		size_t more = weigh ? weigh(*end) : 0;

		if (!(any && *count == 0) && (weight > max_weight || more > max_weight - weight))
			break;
		weight += more;
		end = &(*end)->next;
	}
	if (*count == 0)
		return NULL;
	rest = *end;
	*end = NULL;
	line->head = rest;
	if (!rest)
		line->tail = &line->head;
	line->length -= *count;
	return first;
}

struct queue_node *lanes_pop_many(struct lanes *l, size_t max_count, size_t max_weight,
                                  size_t (*weigh)(const struct queue_node *n), size_t *count, unsigned *lane)
{
	struct queue_node *first = NULL;
	struct line *line;
	bool wake;

	*count = 0;
	pthread_mutex_lock(&l->lock);
	while (!(line = first_ready(l)) && !(l->closed && lanes_length(l) == 0)) {
		l->waiting++;
		pthread_cond_wait(&l->ready, &l->lock);
		l->waiting--;
	}
	if (line) {
		*lane = (unsigned)(line - l->lines);
		line->working++;
		first = cut(line, true, max_count, max_weight, weigh, count);
	}
	/* Who waits for the last of closed lanes must see that it is gone. */
	wake = l->waiting && (first_ready(l) || (l->closed && lanes_length(l) == 0));
	pthread_mutex_unlock(&l->lock);
	if (wake)
		pthread_cond_signal(&l->ready);
	return first;
}

struct queue_node *lanes_pop(struct lanes *l, unsigned *lane)
{
	size_t count;

	return lanes_pop_many(l, 1, 0, NULL, &count, lane);
}

struct queue_node *lanes_pop_more(struct lanes *l, unsigned lane, size_t max_count, size_t max_weight,
                                  size_t (*weigh)(const struct queue_node *n), size_t *count)
{
	struct queue_node *first;

	assert(lane < l->count);
	pthread_mutex_lock(&l->lock);
	first = cut(&l->lines[lane], false, max_count, max_weight, weigh, count);
	pthread_mutex_unlock(&l->lock);
	return first;
}

void lanes_done(struct lanes *l, unsigned lane)
{
	bool wake;

	assert(lane < l->count && l->lines[lane].working > 0);
	pthread_mutex_lock(&l->lock);
	l->lines[lane].working--;
	wake = l->waiting && may_go_on(&l->lines[lane]);
	pthread_mutex_unlock(&l->lock);
	if (wake)
		pthread_cond_signal(&l->ready);
}

void lanes_close(struct lanes *l)
{
	pthread_mutex_lock(&l->lock);
	l->closed = true;
	pthread_cond_broadcast(&l->ready);
	pthread_mutex_unlock(&l->lock);
}

size_t lanes_waiting(const struct lanes *l, unsigned lane)
{
	return l->lines[lane].length;
}

size_t lanes_length(const struct lanes *l)
{
	size_t sum = 0;

	for (unsigned i = 0; i < l->count; i++)
		sum += l->lines[i].length;
	return sum;
}
