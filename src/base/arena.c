/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "base/arena.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena_escape.h"

enum {
	ALIGN = 16,
	FIRST_BLOCK = 4096,             /* most requests need no second one */
	LARGEST_BLOCK = 1 << 20,
};

struct block {
	_Alignas(ALIGN) struct block *next;
	size_t size;                    /* of the memory behind this header */
};

struct deferred {
	struct deferred *next;
	void (*fn)(void *p);
	void *p;
};

struct arena {
	_Alignas(ALIGN) char *at;       /* free memory of the current block */
	char *end;
	size_t used;
	size_t limit;
	size_t next_block;
	struct block *blocks;           /* of many objects; the first is behind this struct */
	struct block *large;            /* one object each, newest first */
	struct deferred *deferred;
	jmp_buf *escape;
#ifdef ARENA_DEBUG
	void **objects;
	size_t count;
	size_t capacity;
#endif
};

static size_t aligned(size_t size)
{
	return (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

struct arena *arena_new(size_t limit)
{
	struct arena *a = malloc(FIRST_BLOCK);

	if (!a)
		return NULL;
	memset(a, 0, sizeof(*a));
	a->limit = limit;
	a->next_block = FIRST_BLOCK * 2;
	a->at = (char *)a + sizeof(*a);
	a->end = (char *)a + FIRST_BLOCK;
	return a;
}

static void free_blocks(struct block *b)
{
	while (b) {
		struct block *next = b->next;

		free(b);
		b = next;
	}
}

void arena_reset(struct arena *a)
{
	while (a->deferred) {
		struct deferred *d = a->deferred;

		a->deferred = d->next;
		d->fn(d->p);
	}
#ifdef ARENA_DEBUG
	for (size_t i = 0; i < a->count; i++)
		free(a->objects[i]);
	free(a->objects);
#endif
	free_blocks(a->large);
	free_blocks(a->blocks);
	*a = (struct arena){ .limit = a->limit, .escape = a->escape };
	a->next_block = FIRST_BLOCK * 2;
	a->at = (char *)a + sizeof(*a);
	a->end = (char *)a + FIRST_BLOCK;
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	arena_reset(a);
	free(a);
}

static _Noreturn void escape(struct arena *a, enum arena_escape why)
{
	if (!a->escape)
		abort();
	longjmp(*a->escape, (int)why);
}

#ifdef ARENA_DEBUG

static enum arena_escape take(struct arena *a, size_t size, void **ret)
{
	if (size > a->limit || aligned(size) > a->limit - a->used)
		return ARENA_LIMIT;
	if (a->count == a->capacity) {
		size_t capacity = a->capacity ? a->capacity * 2 : 64;
		void **objects = realloc(a->objects, capacity * sizeof(*objects));

		if (!objects)
			return ARENA_MEMORY;
		a->objects = objects;
		a->capacity = capacity;
	}
	*ret = malloc(size ? size : 1);
	if (!*ret)
		return ARENA_MEMORY;
	a->objects[a->count++] = *ret;
	a->used += aligned(size);
	return 0;
}

/* Grown objects always move here, and the old one is freed, so that ASan sees who still uses it. */
static bool grow_in_place(struct arena *a, void **p, size_t old_size, size_t new_size)
{
	(void)a, (void)p, (void)old_size, (void)new_size;
	return false;
}

static void forget(struct arena *a, void *p)
{
	for (size_t i = a->count; i-- > 0;) {
		if (a->objects[i] == p) {
			a->objects[i] = NULL;
			free(p);
			return;
		}
	}
}

#else

static struct block *new_block(size_t size)
{
	struct block *b = malloc(sizeof(*b) + size);

	if (b)
		b->size = size;
	return b;
}

/* A new block for `size` bytes. Large objects get their own, and the current block stays in use. */
static enum arena_escape take_slowly(struct arena *a, size_t size, void **ret)
{
	struct block *b;

	if (size >= a->next_block / 4) {
		b = new_block(size);
		if (!b)
			return ARENA_MEMORY;
		b->next = a->large;
		a->large = b;
		*ret = b + 1;
		return 0;
	}
	b = new_block(a->next_block - sizeof(*b));
	if (!b)
		return ARENA_MEMORY;
	b->next = a->blocks;
	a->blocks = b;
	*ret = b + 1;
	a->at = (char *)(b + 1) + size;
	a->end = (char *)(b + 1) + b->size;
	if (a->next_block < LARGEST_BLOCK)
		a->next_block *= 2;
	return 0;
}

static inline enum arena_escape take(struct arena *a, size_t size, void **ret)
{
	enum arena_escape why;

	if (size > a->limit)
		return ARENA_LIMIT;     /* also: rounding up cannot overflow below */
	size = aligned(size);
	if (size > a->limit - a->used)
		return ARENA_LIMIT;
	if (size <= (size_t)(a->end - a->at)) {
		*ret = a->at;
		a->at += size;
	} else {
		why = take_slowly(a, size, ret);
		if (why)
			return why;
	}
	a->used += size;
	return 0;
}

static bool grow_in_place(struct arena *a, void **p, size_t old_size, size_t new_size)
{
	size_t more = aligned(new_size) - aligned(old_size);
	struct block *b = a->large;

	if (more > a->limit - a->used)
		return false;
	if ((char *)*p + aligned(old_size) == a->at && more <= (size_t)(a->end - a->at)) {
		a->at += more;
	} else if (b && *p == b + 1) {
		/* The kernel moves large blocks by remapping: a text of 100 MB is not copied. */
		b = realloc(b, sizeof(*b) + aligned(new_size));
		if (!b)
			return false;
		b->size = aligned(new_size);
		a->large = b;
		*p = b + 1;
	} else {
		return false;
	}
	a->used += more;
	return true;
}

static void forget(struct arena *a, void *p)
{
	(void)a, (void)p;
}

#endif

/* Not zeroed. */
static inline void *must_take(struct arena *a, size_t size)
{
	void *p;
	enum arena_escape why = take(a, size, &p);

	if (why)
		escape(a, why);
	return p;
}

void *arena_alloc(struct arena *a, size_t size)
{
	return memset(must_take(a, size), 0, size);
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes))
		escape(a, ARENA_LIMIT);
	return arena_alloc(a, bytes);
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_memdup(a, s, strlen(s) + 1);
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	size_t size = strnlen(s, n);
	char *p = must_take(a, size + 1);

	memcpy(p, s, size);
	p[size] = '\0';
	return p;
}

void *arena_memdup(struct arena *a, const void *p, size_t n)
{
	void *copy = must_take(a, n);

	if (n)
		memcpy(copy, p, n);
	return copy;
}

char *arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
	char small[256];
	va_list again;
	char *p;
	int n;

	va_copy(again, ap);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	assert(n >= 0);
	if ((size_t)n < sizeof(small)) {
		p = arena_memdup(a, small, (size_t)n + 1);
	} else {
		p = must_take(a, (size_t)n + 1);
		vsnprintf(p, (size_t)n + 1, fmt, again);
	}
	va_end(again);
	return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *p;

	va_start(ap, fmt);
	p = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return p;
}

void *arena_grow_text(struct arena *a, void *old, size_t old_size, size_t new_size)
{
	void *p = old;

	assert(new_size >= old_size);
	if (new_size > a->limit)
		escape(a, ARENA_LIMIT);
	if (!old || !grow_in_place(a, &p, old_size, new_size)) {
		p = must_take(a, new_size);
		if (old && old_size) {
			memcpy(p, old, old_size);
			forget(a, old);
		}
	}
	return p;
}

void *arena_grow(struct arena *a, void *old, size_t old_size, size_t new_size)
{
	char *p = arena_grow_text(a, old, old_size, new_size);

	memset(p + old_size, 0, new_size - old_size);
	return p;
}

/* The handle is in good hands whatever happens: what cannot be remembered is closed at once. */
void arena_defer(struct arena *a, void (*fn)(void *p), void *p)
{
	void *memory;
	struct deferred *d;
	enum arena_escape why = take(a, sizeof(*d), &memory);

	if (why) {
		fn(p);
		escape(a, why);
	}
	d = memory;
	d->fn = fn;
	d->p = p;
	d->next = a->deferred;
	a->deferred = d;
}

static void free_child(void *child)
{
	arena_free(child);
}

struct arena *arena_child(struct arena *parent, size_t limit)
{
	struct arena *a = arena_new(limit);

	if (!a)
		escape(parent, ARENA_MEMORY);
	arena_defer(parent, free_child, a);
	a->escape = parent->escape;
	return a;
}

size_t arena_used(const struct arena *a)
{
	return a->used;
}

jmp_buf *arena_escape(struct arena *a, jmp_buf *where)
{
	jmp_buf *old = a->escape;

	a->escape = where;
	return old;
}
