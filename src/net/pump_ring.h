/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* ring — bytes between two threads, under a lock of theirs: no memory until the first, and no more than `most`. */
#ifndef NET_PUMP_RING_H
#define NET_PUMP_RING_H

#include <stdbool.h>
#include <stddef.h>

#include "base/ctx.h"

struct ring {
	char *data;
	size_t capacity, at, used, most;
};

static inline size_t ring_room(const struct ring *r)
{
	return r->most - r->used;
}

/* Memory for n more, which are within its room; a whole of `expected` bytes is to come. False: no memory. */
bool ring_fit(struct ring *r, size_t n, size_t expected) MUST_CHECK;
void ring_put(struct ring *r, const void *data, size_t n);
size_t ring_take(struct ring *r, void *to, size_t n);
void ring_free(struct ring *r);

#endif
