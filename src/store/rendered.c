/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "rendered.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/limits.h"

struct entry {
	struct revision of;
	size_t size;                    /* with the NUL */
	char text[];
};

/* Open addressing; dropped as a whole when full. */
struct kept {
	pthread_mutex_t lock;
	struct entry **slots;           /* NULL: free */
	size_t size;                    /* a power of two, or 0 */
	size_t count;
	size_t bytes;                   /* of all entries */
};

static struct kept all[RENDERED_KINDS] = {
	[RENDERED_MODEL] = { .lock = PTHREAD_MUTEX_INITIALIZER },
	[RENDERED_RUN] = { .lock = PTHREAD_MUTEX_INITIALIZER },
	[RENDERED_EXPERIMENT] = { .lock = PTHREAD_MUTEX_INITIALIZER },
};

static struct entry **slot_of(struct entry **slots, size_t size, int64_t id)
{
	size_t i = (size_t)((uint64_t)id * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (size - 1);

	while (slots[i] && slots[i]->of.id != id)
		i = (i + 1) & (size - 1);
	return &slots[i];
}

static const struct entry *find(const struct kept *k, const struct revision *r)
{
	const struct entry *e = k->size && r->revision ? *slot_of(k->slots, k->size, r->id) : NULL;

	return e && e->of.revision == r->revision ? e : NULL;
}

/* Twice: nothing is allocated in an arena, which may escape, while the lock is held. */
void rendered_find(struct ctx *c, enum rendered_kind kind, const struct revision *these,
                   size_t count, const char **texts)
{
	struct kept *k = &all[kind];
	size_t *sizes = NEW_ARRAY(c->arena, count, size_t);
	char **rooms = NEW_ARRAY(c->arena, count, char *);

	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < count; i++) {
		const struct entry *e = find(k, &these[i]);

		sizes[i] = e ? e->size : 0;
	}
	pthread_mutex_unlock(&k->lock);
	for (size_t i = 0; i < count; i++)
		rooms[i] = sizes[i] ? arena_alloc(c->arena, sizes[i]) : NULL;
	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < count; i++) {
		const struct entry *e = rooms[i] ? find(k, &these[i]) : NULL;

		texts[i] = e && e->size == sizes[i] ? memcpy(rooms[i], e->text, e->size) : NULL;
	}
	pthread_mutex_unlock(&k->lock);
}

size_t rendered_missing(struct ctx *c, const struct revision *these, size_t count,
                        const char *const *texts, int64_t **ids, size_t **places)
{
	size_t missing = 0;

	*ids = NEW_ARRAY(c->arena, count, int64_t);
	*places = NEW_ARRAY(c->arena, count, size_t);
	for (size_t i = 0; i < count; i++) {
		if (texts[i])
			continue;
		(*ids)[missing] = these[i].id;
		(*places)[missing++] = i;
	}
	return missing;
}

static void forget(struct kept *k)
{
	for (size_t i = 0; i < k->size; i++)
		free(k->slots[i]);
	free(k->slots);
	k->slots = NULL;
	k->size = k->count = k->bytes = 0;
}

/* False: no memory. */
static bool grow(struct kept *k)
{
	size_t size = k->size ? k->size * 2 : 256;
	struct entry **slots = calloc(size, sizeof(struct entry *));

	if (!slots)
		return false;
	for (size_t i = 0; i < k->size; i++) {
		if (k->slots[i])
			*slot_of(slots, size, k->slots[i]->of.id) = k->slots[i];
	}
	free(k->slots);
	k->slots = slots;
	k->size = size;
	return true;
}

/* Takes e over, also where there is no memory to keep it. */
static void insert(struct kept *k, struct entry *e)
{
	struct entry **slot;

	if (k->bytes + e->size > LIMIT_RENDERED)
		forget(k);
	if ((k->count + 1) * 2 > k->size && !grow(k)) {
		free(e);
		return;
	}
	slot = slot_of(k->slots, k->size, e->of.id);
	if (*slot)
		k->bytes -= (*slot)->size;
	else
		k->count++;
	free(*slot);
	*slot = e;
	k->bytes += e->size;
}

void rendered_keep(enum rendered_kind kind, const struct revision *r, const char *text)
{
	struct kept *k = &all[kind];
	size_t size = strlen(text) + 1;
	struct entry *e = r->revision && size <= LIMIT_RENDERED_ONE ? malloc(sizeof(*e) + size) : NULL;

	if (!e)
		return;
	e->of = *r;
	e->size = size;
	memcpy(e->text, text, size);
	pthread_mutex_lock(&k->lock);
	insert(k, e);
	pthread_mutex_unlock(&k->lock);
}
