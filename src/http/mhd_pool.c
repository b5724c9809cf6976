/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * mhd_pool — the memory of libmicrohttpd's connections (cmake/microhttpd.cmake: ld --wrap, as in mhd_epoll.c).
 *
 * Its own pool is one block of fixed size for heads, replies and bodies. A pool that 10,000 idle clients can afford has
 * 3 KiB left for the read buffer: a body of 1 GiB is then 350,000 reads, and a head with a large cookie is refused. This
 * one is the same block and, while an upload or such a head is read, a second one for the read buffer.
 */
#include "mhd_pool.h"

#include <microhttpd.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http.h"

enum { ALIGN = 16 };

/* Its first members are as libmicrohttpd's: a function of a later version that is not here can read them. */
struct MemoryPool {
	uint8_t *memory;
	size_t size;
	size_t pos;                     /* first free byte */
	size_t end;                     /* behind the last free byte */
	bool is_mmap;                   /* false */
	bool offered;
	bool head;                      /* offered, to a head */
	bool counted;                   /* wide is one of wide_heads */
	uint8_t *wide;                  /* the read buffer, once it is too large for the pool; NULL */
	size_t wide_size;
};

struct MemoryPool *__wrap_MHD_pool_create(size_t max);
void __wrap_MHD_pool_destroy(struct MemoryPool *p);
size_t __wrap_MHD_pool_get_free(struct MemoryPool *p);
void *__wrap_MHD_pool_allocate(struct MemoryPool *p, size_t size, bool from_end);
bool __wrap_MHD_pool_is_resizable_inplace(struct MemoryPool *p, void *block, size_t size);
void *__wrap_MHD_pool_try_alloc(struct MemoryPool *p, size_t size, size_t *required);
void *__wrap_MHD_pool_reallocate(struct MemoryPool *p, void *old, size_t old_size, size_t size);
void __wrap_MHD_pool_deallocate(struct MemoryPool *p, void *block, size_t size);
void *__wrap_MHD_pool_reset(struct MemoryPool *p, void *keep, size_t copy, size_t size);

static size_t aligned(size_t n)
{
	return n > SIZE_MAX - ALIGN ? SIZE_MAX : (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static bool in_wide(const struct MemoryPool *p, const void *block)
{
	uintptr_t at = (uintptr_t)block;

	return p->wide && at >= (uintptr_t)p->wide && at <= (uintptr_t)p->wide + p->wide_size;
}

static size_t offset_of(const struct MemoryPool *p, const void *block)
{
	return (uintptr_t)block - (uintptr_t)p->memory;
}

/* ---- the offer ---- */

static _Thread_local struct MemoryPool **asked;

/* The connection's pool is libmicrohttpd's secret; it uses it to add a value. try_alloc() tells, and has no room. */
struct MemoryPool *mhd_pool_offer(struct MHD_Connection *connection)
{
	struct MemoryPool *p = NULL;

	asked = &p;
	(void)MHD_set_connection_value(connection, MHD_FOOTER_KIND, "-", NULL);
	asked = NULL;
	if (p && !p->wide)
		p->offered = true;
	return p;
}

/* Heads come before anybody is known to be a client: what they may take is bounded for all together. */
static atomic_uint wide_heads;

struct MemoryPool *mhd_pool_offer_head(struct MHD_Connection *connection)
{
	struct MemoryPool *p = mhd_pool_offer(connection);

	if (p && p->offered) {
		p->offered = false;
		p->head = true;
	}
	return p;
}

void mhd_pool_take_back(struct MemoryPool *p)
{
	p->offered = p->head = false;
}

bool mhd_pool_is_wide(const struct MemoryPool *p)
{
	return p->wide;
}

/* A head that has to grow moves at once: what it leaves is for the places of its headers and for the reply's head. */
static bool may_widen_head(const struct MemoryPool *p)
{
	return p->head && atomic_load(&wide_heads) < HTTP_WIDE_HEADS;
}

/* The read buffer moves out. */
static void *widen(struct MemoryPool *p, void *old, size_t old_size, size_t size)
{
	bool head = p->head;

	mhd_pool_take_back(p);
	p->wide = malloc(size);
	if (!p->wide)
		return NULL;
	p->counted = head;
	if (head)
		atomic_fetch_add(&wide_heads, 1);
	p->wide_size = size;
	memcpy(p->wide, old, old_size);
	if (aligned(offset_of(p, old) + old_size) == p->pos)
		p->pos = aligned(offset_of(p, old));
	return p->wide;
}

static void narrow(struct MemoryPool *p)
{
	free(p->wide);
	if (p->counted)
		atomic_fetch_sub(&wide_heads, 1);
	p->counted = false;
	p->wide = NULL;
	p->wide_size = 0;
}

/* ---- what libmicrohttpd calls ---- */

struct MemoryPool *__wrap_MHD_pool_create(size_t max)
{
	struct MemoryPool *p = calloc(1, aligned(sizeof(*p)) + aligned(max));

	if (!p)
		return NULL;
	p->memory = (uint8_t *)p + aligned(sizeof(*p));
	p->size = p->end = aligned(max);
	return p;
}

void __wrap_MHD_pool_destroy(struct MemoryPool *p)
{
	if (!p)
		return;
	narrow(p);
	free(p);
}

/* A read buffer is enlarged by an eighth of what is free. */
size_t __wrap_MHD_pool_get_free(struct MemoryPool *p)
{
	return p->offered || may_widen_head(p) ? (size_t)8 * HTTP_WIDE : p->end - p->pos;
}

void *__wrap_MHD_pool_allocate(struct MemoryPool *p, size_t size, bool from_end)
{
	size_t n = aligned(size);

	if (n > p->end - p->pos)
		return NULL;
	if (from_end) {
		p->end -= n;
		return p->memory + p->end;
	}
	p->pos += n;
	return p->memory + p->pos - n;
}

bool __wrap_MHD_pool_is_resizable_inplace(struct MemoryPool *p, void *block, size_t size)
{
	if (!block)
		return false;
	return in_wide(p, block) || p->pos == aligned(offset_of(p, block) + size);
}

/* required: by how much a block that can shrink had to. */
void *__wrap_MHD_pool_try_alloc(struct MemoryPool *p, size_t size, size_t *required)
{
	size_t n = aligned(size);

	if (asked) {
		*asked = p;
		*required = SIZE_MAX;
		return NULL;
	}
	if (n > p->end - p->pos) {
		/* A read buffer elsewhere makes no room here. */
		*required = n <= p->end && !p->wide ? n - (p->end - p->pos) : SIZE_MAX;
		return NULL;
	}
	*required = 0;
	p->end -= n;
	return p->memory + p->end;
}

void *__wrap_MHD_pool_reallocate(struct MemoryPool *p, void *old, size_t old_size, size_t size)
{
	uint8_t *new;

	if (old && in_wide(p, old))
		return size <= p->wide_size - ((uintptr_t)old - (uintptr_t)p->wide) ? old : NULL;
	if (old && size > old_size && (p->offered || may_widen_head(p)))
		return widen(p, old, old_size, size);
	p->offered = false;
	if (size > p->size)
		return NULL;
	if (old) {
		size_t offset = offset_of(p, old);

		if (p->pos == aligned(offset + old_size)) {
			if (size > old_size && aligned(offset + size) > p->end)
				return NULL;
			p->pos = aligned(offset + size);
			return old;
		}
		if (size <= old_size)
			return old;
	}
	new = __wrap_MHD_pool_allocate(p, size, false);
	if (new && old_size)
		memcpy(new, old, old_size);
	return new;
}

void __wrap_MHD_pool_deallocate(struct MemoryPool *p, void *block, size_t size)
{
	size_t offset;

	mhd_pool_take_back(p);
	/* Trailers may lie in the other: it stays until the request ends. */
	if (!block || !size || in_wide(p, block))
		return;
	offset = offset_of(p, block);
	if (offset >= p->end) {
		if (offset == p->end)
			p->end = aligned(offset + size);
	} else if (aligned(offset + size) == p->pos) {
		p->pos = aligned(offset);
	}
}

/* No request finds bytes of another. */
void *__wrap_MHD_pool_reset(struct MemoryPool *p, void *keep, size_t copy, size_t size)
{
	mhd_pool_take_back(p);
	/* More came behind the upload than leaves room for what belongs to it. */
	if (keep && in_wide(p, keep) && size > p->size / 2) {
		memmove(p->wide, keep, copy);
		memset(p->memory, 0, p->size);
		p->pos = 0;
		p->end = p->size;
		return p->wide;
	}
	if (copy)
		memmove(p->memory, keep, copy);
	memset(p->memory + copy, 0, p->size - copy);
	narrow(p);
	p->pos = aligned(size) < p->size ? aligned(size) : p->size;
	p->end = p->size;
	return p->memory;
}
