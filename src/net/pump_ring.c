/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "pump_ring.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { RING_LEAST = 16 << 10 };

bool ring_fit(struct ring *r, size_t n, size_t expected)
{
	size_t want = r->capacity ? r->capacity * 2 : RING_LEAST;
	size_t first = r->capacity - r->at;
	char *data;

	assert(n <= ring_room(r));
	if (n <= r->capacity - r->used)
		return true;
	if (!r->capacity && expected < r->most)
		want = expected;
	if (expected >= r->most)
		want = r->most;
	if (want < r->used + n)
		want = r->used + n;
	if (want > r->most)
		want = r->most;
	data = malloc(want);
	if (!data)
		return false;
	if (first > r->used)
		first = r->used;
	if (r->used) {
		memcpy(data, r->data + r->at, first);
		memcpy(data + first, r->data, r->used - first);
	}
	free(r->data);
	r->data = data;
	r->capacity = want;
	r->at = 0;
	return true;
}

void ring_put(struct ring *r, const void *data, size_t n)
{
	size_t to = r->at + r->used;
	size_t first;

	if (!n)
		return;
	to -= to >= r->capacity ? r->capacity : 0;
	first = n < r->capacity - to ? n : r->capacity - to;
	memcpy(r->data + to, data, first);
	memcpy(r->data, (const char *)data + first, n - first);
	r->used += n;
}

size_t ring_take(struct ring *r, void *to, size_t n)
{
	size_t first;

	n = n < r->used ? n : r->used;
	if (!n)
		return 0;
	first = n < r->capacity - r->at ? n : r->capacity - r->at;
	memcpy(to, r->data + r->at, first);
	memcpy((char *)to + first, r->data, n - first);
	r->used -= n;
	r->at = r->used ? (r->at + n) % r->capacity : 0;
	return n;
}

void ring_free(struct ring *r)
{
	free(r->data);
	r->data = NULL;
	r->capacity = r->at = r->used = 0;
}
