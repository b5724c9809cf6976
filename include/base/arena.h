/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * arena — memory of one unit of work (a request, a shared commit, a reconciler pass).
 *
 * Allocation never returns NULL: when memory or the arena's limit is exhausted the unit of work is
 * abandoned, by a jump back to work_run() (base/ctx.h), which answers with an error. So between two
 * arena calls hold nothing that the arena does not know of: register handles with arena_defer().
 * With -DARENA_DEBUG every object is its own malloc, so that ASan sees overruns.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct arena;

/* A new arena of at most `limit` bytes. NULL: no memory (the only call here that says so). */
struct arena *arena_new(size_t limit);

/* Runs the deferred calls, last first, then frees everything. NULL is fine. */
void arena_free(struct arena *a);

/* Zeroed, aligned for any object. Size 0 gives a valid pointer. */
void *arena_alloc(struct arena *a, size_t size);

/* count * size, overflow checked (an overflow abandons the work like any exhaustion). */
void *arena_array(struct arena *a, size_t count, size_t size);

char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n);
void *arena_memdup(struct arena *a, const void *p, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *a, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

/* Grows the newest allocation in place where possible, else copies; new bytes are zero. `old` may
   be NULL and is dead afterwards. */
void *arena_grow(struct arena *a, void *old, size_t old_size, size_t new_size);

/* The same for text: new bytes are undefined, so that pages nobody writes to are never touched. */
void *arena_grow_text(struct arena *a, void *old, size_t old_size, size_t new_size);

/* Memory of the same work that can be given back sooner, by arena_reset(). It ends with its parent,
   and its exhaustion abandons the parent's work. */
struct arena *arena_child(struct arena *parent, size_t limit);

/* Runs the deferred calls and frees everything; the arena can be used again. */
void arena_reset(struct arena *a);

/* Calls fn(p) when the arena is freed. */
void arena_defer(struct arena *a, void (*fn)(void *p), void *p);

/* Bytes handed out so far. */
size_t arena_used(const struct arena *a);

/* Where exhaustion jumps to; set by work_run() only. NULL: exhaustion aborts. Returns the old one.
 */
jmp_buf *arena_escape(struct arena *a, jmp_buf *where);

#define NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define NEW_ARRAY(a, count, type) ((type *)arena_array((a), (count), sizeof(type)))

#endif
