/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * ring — bytes on their way from one producer to one consumer. The positions are changed under the
 * transfer's lock; the bytes are copied outside of it, each side in the region that is its own.
 */
#ifndef ARTIFACTS_RING_H
#define ARTIFACTS_RING_H

#include <stdbool.h>
#include <stddef.h>

struct ring {
	char *data; /* NULL until needed */
	size_t capacity;
	size_t start; /* of the bytes in it */
	size_t used;
};

/* False: no memory. */
bool ring_open(struct ring *r, size_t capacity);
void ring_close(struct ring *r);

/* The longest run of free or filled bytes. 0: none. */
size_t ring_space(const struct ring *r, char **at);
size_t ring_bytes(const struct ring *r, char **at);

void ring_filled(struct ring *r, size_t n);
void ring_drained(struct ring *r, size_t n);

#endif
