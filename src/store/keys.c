/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "keys.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/id.h"
#include "base/limits.h"
#include "db/db.h"

enum { KEYS_FIND, KEYS_ADD, KEYS_NAMES };

static const struct stmt stmts[] = {
	[KEYS_FIND] = { "keys_find", "T", "SELECT id, name FROM keys WHERE name = ANY($1)" },
	[KEYS_ADD] = { "keys_add", "T",
		"INSERT INTO keys (name) SELECT unnest($1)"
		" ON CONFLICT DO NOTHING RETURNING id, name" },
	[KEYS_NAMES] = { "keys_names", "I", "SELECT id, name FROM keys WHERE id = ANY($1)" },
};

struct key_row {
	const int64_t *id;
	const char *name;
};

static const struct record key_row_record = { sizeof(struct key_row), (const struct field[]){
	INT64 (struct key_row, id,   0),
	STRING(struct key_row, name, 0),
	END }};

/* ---- the memory: open addressing, by name and by id, dropped as a whole when full ---- */

struct slot {
	char *name;                     /* NULL: free */
	uint64_t hash;
	int32_t id;
};

struct id_slot {
	int64_t id;                     /* 0: free */
	const char *name;
};

static struct {
	pthread_rwlock_t lock;
	struct slot *slots;
	struct id_slot *by_id;          /* as large */
	size_t size;                    /* a power of two, or 0 */
	size_t count;
	uint64_t seed;                  /* clients choose keys: they must not choose collisions */
	unsigned generation;            /* of keys_forget() */
} known = { .lock = PTHREAD_RWLOCK_INITIALIZER };

static uint64_t hash_of(const char *name, size_t n)
{
	uint64_t h = known.seed ^ n;

	while (n) {
		size_t step = n < 8 ? n : 8;
		uint64_t word = 0;

		memcpy(&word, name, step);
		h = (h ^ word) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
		name += step;
		n -= step;
	}
	return h;
}

/* The name's slot, or the free one where it would stand. The table is never full. */
static struct slot *slot_of(struct slot *slots, size_t size, const char *name, uint64_t hash)
{
	for (size_t i = hash & (size - 1);; i = (i + 1) & (size - 1)) {
		if (!slots[i].name || (slots[i].hash == hash && strcmp(slots[i].name, name) == 0))
			return &slots[i];
	}
}

/* The id's slot, or the free one where it would stand. */
static struct id_slot *id_slot_of(struct id_slot *slots, size_t size, int64_t id)
{
	for (size_t i = (size_t)id & (size - 1);; i = (i + 1) & (size - 1)) {
		if (!slots[i].id || slots[i].id == id)
			return &slots[i];
	}
}

static void drop(void)
{
	for (size_t i = 0; i < known.size; i++)
		free(known.slots[i].name);
	free(known.slots);
	free(known.by_id);
	known.slots = NULL;
	known.by_id = NULL;
	known.size = known.count = 0;
}

/* Room for one more at half load; false: no memory, then the key is simply not remembered. */
static bool make_room(void)
{
	size_t size = known.size ? known.size * 2 : 256;
	struct slot *slots;
	struct id_slot *by_id;

	if (known.count >= LIMIT_KEYS_CACHED)
		drop();
	if (known.count < known.size / 2)
		return true;
	if (!known.size) {
		id_random(&known.seed, sizeof(known.seed));
		size = 256;
	}
	slots = calloc(size, sizeof(*slots));
	by_id = calloc(size, sizeof(*by_id));
	if (!slots || !by_id) {
		free(slots);
		free(by_id);
		return false;
	}
	for (size_t i = 0; i < known.size; i++) {
		struct slot *old = &known.slots[i];

		if (!old->name)
			continue;
		*slot_of(slots, size, old->name, old->hash) = *old;
		*id_slot_of(by_id, size, old->id) = (struct id_slot){ old->id, old->name };
	}
	free(known.slots);
	free(known.by_id);
	known.slots = slots;
	known.by_id = by_id;
	known.size = size;
	return true;
}

static void remember(const char *name, int32_t id)
{
	uint64_t hash;
	struct slot *s;

	if (!make_room())
		return;
	hash = hash_of(name, strlen(name));
	s = slot_of(known.slots, known.size, name, hash);
	if (s->name)
		return;
	s->name = strdup(name);
	if (!s->name)
		return;
	s->hash = hash;
	s->id = id;
	*id_slot_of(known.by_id, known.size, id) = (struct id_slot){ id, s->name };
	known.count++;
}

void keys_forget(void)
{
	pthread_rwlock_wrlock(&known.lock);
	drop();
	known.generation++;
	pthread_rwlock_unlock(&known.lock);
}

/* Fills what is known, 0 where not; returns how many are not. */
static size_t recall(const char *const *names, size_t count, int32_t *ids, unsigned *generation)
{
	size_t missing = 0;

	pthread_rwlock_rdlock(&known.lock);
	*generation = known.generation;
	for (size_t i = 0; i < count; i++) {
		const struct slot *s = NULL;

		if (known.size)
			s = slot_of(known.slots, known.size, names[i],
			            hash_of(names[i], strlen(names[i])));
		ids[i] = s && s->name ? s->id : 0;
		missing += ids[i] == 0;
	}
	pthread_rwlock_unlock(&known.lock);
	return missing;
}

/* ---- asking the database ---- */

struct unknown {
	const char **names;             /* ordered, each once: daemons insert in the same order */
	int32_t *ids;                   /* 0: not found yet */
	size_t count;
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int32_t *unknown_id(const struct unknown *u, const char *name)
{
	const char **found = bsearch(&name, u->names, u->count, sizeof(*u->names), compare_names);

	return found ? &u->ids[found - u->names] : NULL;
}

static void gather(struct ctx *c, const char *const *names, size_t count, const int32_t *ids,
                   size_t missing, struct unknown *u)
{
	size_t n = 0;

	u->names = NEW_ARRAY(c->arena, missing, const char *);
	u->ids = NEW_ARRAY(c->arena, missing, int32_t);
	for (size_t i = 0; i < count; i++) {
		if (!ids[i])
			u->names[n++] = names[i];
	}
	qsort(u->names, n, sizeof(*u->names), compare_names);
	u->count = 0;
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || strcmp(u->names[i], u->names[i - 1]) != 0)
			u->names[u->count++] = u->names[i];
	}
}

/* Runs a statement for the names without an id; returns how many remain without, or -1. */
static int ask(struct ctx *c, const struct stmt *s, struct unknown *u, unsigned generation)
{
	const char **names = NEW_ARRAY(c->arena, u->count, const char *);
	struct list rows = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < u->count; i++) {
		if (!u->ids[i])
			names[n++] = u->names[i];
	}
	if (db_list(c, s, ARGS(TEXTS(names, n)), &key_row_record, &rows))
		return -1;
	pthread_rwlock_wrlock(&known.lock);
	for (size_t i = 0; i < rows.count; i++) {
		struct key_row *row = LIST_AT(struct key_row, &rows, i);
		int32_t *id = unknown_id(u, row->name);

		assert(id);
		*id = (int32_t)*row->id;
		if (generation == known.generation)
			remember(row->name, *id);
	}
	pthread_rwlock_unlock(&known.lock);
	assert(rows.count <= n);
	return (int)(n - rows.count);
}

int keys_resolve(struct ctx *c, const char *const *names, size_t count, int32_t *ids)
{
	unsigned generation;
	size_t missing = recall(names, count, ids, &generation);
	struct unknown u;
	int left = 1;

	if (!missing)
		return 0;
	gather(c, names, count, ids, missing, &u);
	/* Looked for first: an insert that meets a conflict would use up an id each time. Another
	   daemon may insert a name in between; it is found by the next look. */
	for (int tries = 0; left > 0 && tries < 3; tries++) {
		left = ask(c, &stmts[KEYS_FIND], &u, generation);
		if (left > 0)
			left = ask(c, &stmts[KEYS_ADD], &u, generation);
		if (left < 0)
			return -1;
	}
	if (left > 0)
		return fail(c, TEMPORARILY_UNAVAILABLE, "The keys could not be stored; try again.");
	for (size_t i = 0; i < count; i++) {
		if (!ids[i])
			ids[i] = *unknown_id(&u, names[i]);
	}
	return 0;
}

/* ---- names of ids ---- */

struct key_names {
	struct id_slot *slots;
	size_t size;                    /* a power of two */
	size_t count;
};

struct key_names *keys_names_new(struct ctx *c)
{
	struct key_names *n = NEW(c->arena, struct key_names);

	n->size = 64;
	n->slots = NEW_ARRAY(c->arena, n->size, struct id_slot);
	return n;
}

void keys_want(struct ctx *c, struct key_names *n, int64_t id)
{
	struct id_slot *s = id_slot_of(n->slots, n->size, id), *slots;

	if (s->id)
		return;
	s->id = id;
	if (++n->count < n->size / 2)
		return;
	slots = NEW_ARRAY(c->arena, n->size * 2, struct id_slot);
	for (size_t i = 0; i < n->size; i++) {
		if (n->slots[i].id)
			*id_slot_of(slots, n->size * 2, n->slots[i].id) = n->slots[i];
	}
	n->slots = slots;
	n->size *= 2;
}

/* The name that is remembered, or NULL; for as long as the lock is held. */
static const char *recall_name(int64_t id)
{
	return known.size ? id_slot_of(known.by_id, known.size, id)->name : NULL;
}

/* Copies what is remembered; no memory can be taken from an arena under the lock, so that its size
   is asked first. Returns how many are missing. */
static size_t recall_names(struct ctx *c, struct key_names *n, unsigned *generation)
{
	size_t size = 0, missing = 0;
	char *to;

	pthread_rwlock_rdlock(&known.lock);
	for (size_t i = 0; i < n->size; i++) {
		const char *name = n->slots[i].id ? recall_name(n->slots[i].id) : NULL;

		size += name ? strlen(name) + 1 : 0;
	}
	pthread_rwlock_unlock(&known.lock);
	to = arena_alloc(c->arena, size);
	pthread_rwlock_rdlock(&known.lock);
	*generation = known.generation;
	for (size_t i = 0; i < n->size; i++) {
		const char *name = n->slots[i].id ? recall_name(n->slots[i].id) : NULL;
		size_t length = name ? strlen(name) + 1 : 0;

		missing += n->slots[i].id && (!name || length > size);
		if (!name || length > size)
			continue;
		n->slots[i].name = memcpy(to, name, length);
		to += length;
		size -= length;
	}
	pthread_rwlock_unlock(&known.lock);
	return missing;
}

int keys_names(struct ctx *c, struct key_names *n)
{
	unsigned generation;
	size_t missing = recall_names(c, n, &generation), count = 0;
	int64_t *ids;
	struct list rows = { 0 };

	if (!missing)
		return 0;
	ids = NEW_ARRAY(c->arena, missing, int64_t);
	for (size_t i = 0; i < n->size; i++) {
		if (n->slots[i].id && !n->slots[i].name)
			ids[count++] = n->slots[i].id;
	}
	if (db_list(c, &stmts[KEYS_NAMES], ARGS(BIGINTS(ids, count)), &key_row_record, &rows))
		return -1;
	for (size_t i = 0; i < rows.count; i++) {
		const struct key_row *row = LIST_AT(struct key_row, &rows, i);

		id_slot_of(n->slots, n->size, *row->id)->name = row->name;
	}
	pthread_rwlock_wrlock(&known.lock);
	for (size_t i = 0; i < rows.count && generation == known.generation; i++) {
		const struct key_row *row = LIST_AT(struct key_row, &rows, i);

		remember(row->name, (int32_t)*row->id);
	}
	pthread_rwlock_unlock(&known.lock);
	return 0;
}

const char *keys_name(const struct key_names *n, int64_t id)
{
	return id_slot_of(n->slots, n->size, id)->name;
}
