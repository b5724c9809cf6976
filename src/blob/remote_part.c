/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Memory for parts: mappings of their own, so that what is given back leaves the process at once,
 * counted over all uploads. Who waits is served in turn, and before those who only try.
 *
 * While there are others, a part that is given back is kept for the next: fresh pages cost as much
 * time as sending them. What is used and what is kept is together no more than REMOTE_PART_MEMORY.
 */
#include <assert.h>
#include <pthread.h>
#include <sys/mman.h>

#include "remote.h"

struct spare {
	struct spare *next;
};

static struct {
	pthread_mutex_t lock;
	size_t used, kept;
	struct spare *spares; /* of REMOTE_PART each */
	struct remote_part_wait *first, *last;
} memory = { .lock = PTHREAD_MUTEX_INITIALIZER };

static size_t rounded(size_t n)
{
	return (n + 4095) & ~(size_t)4095;
}

static void unmap(struct spare *s)
{
	while (s) {
		struct spare *next = s->next;

		munmap(s, REMOTE_PART);
		s = next;
	}
}

static struct spare *take_spare(void)
{
	struct spare *s = memory.spares;

	if (s) {
		memory.spares = s->next;
		s->next = NULL;
		memory.kept -= REMOTE_PART;
	}
	return s;
}

static void uncount(size_t n)
{
	struct spare *unused = NULL;

	pthread_mutex_lock(&memory.lock);
	assert(memory.used >= n);
	memory.used -= n;
	while (memory.first && memory.used + rounded(memory.first->n) <= REMOTE_PART_MEMORY) {
		struct remote_part_wait *w = memory.first;

		memory.first = w->next;
		if (w->next)
			w->next->previous = NULL;
		else
			memory.last = NULL;
		w->queued = false;
		w->granted = true;
		memory.used += rounded(w->n);
		w->ready.fn(w->ready.arg);
	}
	if (!memory.used) {
		unused = TAKE(memory.spares);
		memory.kept = 0;
	}
	pthread_mutex_unlock(&memory.lock);
	unmap(unused);
}

/* Of what is counted already. */
static void *map(size_t n)
{
	struct spare *spare = NULL, *excess = NULL;
	void *p;

	pthread_mutex_lock(&memory.lock);
	if (n == REMOTE_PART)
		spare = take_spare();
	while (!spare && memory.spares && memory.used + memory.kept > REMOTE_PART_MEMORY) {
		struct spare *s = take_spare();

		s->next = excess;
		excess = s;
	}
	pthread_mutex_unlock(&memory.lock);
	unmap(excess);
	if (spare)
		return spare;
	p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p != MAP_FAILED)
		return p;
	uncount(n);
	return NULL;
}

static void *take(size_t n, size_t most)
{
	bool fits;

	n = rounded(n);
	pthread_mutex_lock(&memory.lock);
	fits = !memory.first && n <= most && memory.used <= most - n;
	if (fits)
		memory.used += n;
	pthread_mutex_unlock(&memory.lock);
	return fits ? map(n) : NULL;
}

void *remote_part_take(size_t n)
{
	return take(n, REMOTE_PART_MEMORY);
}

void *remote_part_take_more(size_t n)
{
	return take(n, REMOTE_PART_MEMORY / 2);
}

void remote_part_give(void *part, size_t n)
{
	bool keep;

	if (!part)
		return;
	n = rounded(n);
	pthread_mutex_lock(&memory.lock);
	keep = n == REMOTE_PART && memory.used > n && memory.used + memory.kept <= REMOTE_PART_MEMORY;
	if (keep) {
		struct spare *s = part;

		s->next = memory.spares;
		memory.spares = s;
		memory.kept += n;
	}
	pthread_mutex_unlock(&memory.lock);
	if (!keep)
		munmap(part, n);
	uncount(n);
}

int remote_part_await(struct ctx *c, struct remote_part_wait *w, void **ret)
{
	size_t n = rounded(w->n);
	bool granted;

	assert(n <= REMOTE_PART_MEMORY);
	pthread_mutex_lock(&memory.lock);
	granted = w->granted;
	w->granted = false;
	if (!granted && !w->queued && !memory.first && memory.used <= REMOTE_PART_MEMORY - n) {
		memory.used += n;
		granted = true;
	}
	if (!granted && !w->queued) {
		w->next = NULL;
		w->previous = memory.last;
		if (memory.last)
			memory.last->next = w;
		else
			memory.first = w;
		memory.last = w;
		w->queued = true;
	}
	pthread_mutex_unlock(&memory.lock);
	if (!granted)
		return BLOB_AGAIN;
	*ret = map(n);
	return *ret ? 0 : fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
}

void remote_part_forget(struct remote_part_wait *w)
{
	bool granted;

	pthread_mutex_lock(&memory.lock);
	granted = w->granted;
	if (w->queued) {
		if (w->previous)
			w->previous->next = w->next;
		else
			memory.first = w->next;
		if (w->next)
			w->next->previous = w->previous;
		else
			memory.last = w->previous;
	}
	w->queued = w->granted = false;
	pthread_mutex_unlock(&memory.lock);
	/* With nothing to give it still lets the next in that was behind a larger one. */
	uncount(granted ? rounded(w->n) : 0);
}
