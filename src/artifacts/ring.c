/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "ring.h"

#include <assert.h>
#include <stdlib.h>

bool ring_open(struct ring *r, size_t capacity)
{
	assert(!r->data && capacity);
	r->data = malloc(capacity);
	r->capacity = r->data ? capacity : 0;
	r->start = r->used = 0;
	return r->data;
}

void ring_close(struct ring *r)
{
	free(r->data);
	*r = (struct ring){ 0 };
}

size_t ring_space(const struct ring *r, char **at)
{
	size_t end = r->start + r->used;

	if (end >= r->capacity) {
		*at = r->data ? r->data + (end - r->capacity) : NULL;
		return r->capacity - r->used;
	}
	*at = r->data + end;
	return r->capacity - end;
}

size_t ring_bytes(const struct ring *r, char **at)
{
	size_t run = r->capacity - r->start;

	*at = r->data ? r->data + r->start : NULL;
	return r->used < run ? r->used : run;
}

void ring_filled(struct ring *r, size_t n)
{
	assert(n <= r->capacity - r->used);
	r->used += n;
}

/* An emptied ring keeps its position: the producer may be copying to it at this moment. */
void ring_drained(struct ring *r, size_t n)
{
	assert(n <= r->used);
	r->used -= n;
	r->start += n;
	if (r->start >= r->capacity)
		r->start -= r->capacity;
}
