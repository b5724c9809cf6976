/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "model_text.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/limits.h"

struct entry {
	struct model_revision model;
	size_t size;                    /* with the NUL */
	char text[];
};

/* Open addressing; dropped as a whole when full. */
static struct {
	pthread_mutex_t lock;
	struct entry **slots;           /* NULL: free */
	size_t size;                    /* a power of two, or 0 */
	size_t count;
	size_t bytes;                   /* of all entries */
} kept = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct entry **slot_of(struct entry **slots, size_t size, int64_t id)
{
	size_t i = (size_t)((uint64_t)id * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (size - 1);

	while (slots[i] && slots[i]->model.id != id)
		i = (i + 1) & (size - 1);
	return &slots[i];
}

static const struct entry *find(const struct model_revision *m)
{
	const struct entry *e = kept.size ? *slot_of(kept.slots, kept.size, m->id) : NULL;

	return e && e->model.revision == m->revision ? e : NULL;
}

/* Twice: nothing is allocated in an arena, which may escape, while the lock is held. */
void model_text_find(struct ctx *c, const struct model_revision *models, size_t count,
                     const char **texts)
{
	size_t *sizes = NEW_ARRAY(c->arena, count, size_t);
	char **rooms = NEW_ARRAY(c->arena, count, char *);

	pthread_mutex_lock(&kept.lock);
	for (size_t i = 0; i < count; i++) {
		const struct entry *e = find(&models[i]);

		sizes[i] = e ? e->size : 0;
	}
	pthread_mutex_unlock(&kept.lock);
	for (size_t i = 0; i < count; i++)
		rooms[i] = sizes[i] ? arena_alloc(c->arena, sizes[i]) : NULL;
	pthread_mutex_lock(&kept.lock);
	for (size_t i = 0; i < count; i++) {
		const struct entry *e = rooms[i] ? find(&models[i]) : NULL;

		texts[i] = e && e->size == sizes[i] ? memcpy(rooms[i], e->text, e->size) : NULL;
	}
	pthread_mutex_unlock(&kept.lock);
}

static void forget(void)
{
	for (size_t i = 0; i < kept.size; i++)
		free(kept.slots[i]);
	free(kept.slots);
	kept.slots = NULL;
	kept.size = kept.count = kept.bytes = 0;
}

/* False: no memory. */
static bool grow(void)
{
	size_t size = kept.size ? kept.size * 2 : 256;
	struct entry **slots = calloc(size, sizeof(struct entry *));

	if (!slots)
		return false;
	for (size_t i = 0; i < kept.size; i++) {
		if (kept.slots[i])
			*slot_of(slots, size, kept.slots[i]->model.id) = kept.slots[i];
	}
	free(kept.slots);
	kept.slots = slots;
	kept.size = size;
	return true;
}

/* Takes e, also when it is not kept. */
static void insert(struct entry *e)
{
	struct entry **slot;

	if (kept.bytes + e->size > LIMIT_MODEL_TEXTS)
		forget();
	if ((kept.count + 1) * 2 > kept.size && !grow()) {
		free(e);
		return;
	}
	slot = slot_of(kept.slots, kept.size, e->model.id);
	if (*slot)
		kept.bytes -= (*slot)->size;
	else
		kept.count++;
	free(*slot);
	*slot = e;
	kept.bytes += e->size;
}

void model_text_keep(const struct model_revision *m, const char *text)
{
	size_t size = strlen(text) + 1;
	struct entry *e = size <= LIMIT_MODEL_TEXT ? malloc(sizeof(*e) + size) : NULL;

	if (!e)
		return;
	e->model = *m;
	e->size = size;
	memcpy(e->text, text, size);
	pthread_mutex_lock(&kept.lock);
	insert(e);
	pthread_mutex_unlock(&kept.lock);
}
