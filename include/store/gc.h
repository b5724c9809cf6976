/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * gc — what `capstan gc` removes for good: deleted runs, logged models and experiments. Listed in
 * batches
 * with where their artifacts are; the caller deletes those first, then the rows, so that a crash
 * in between
 * leaves rows that the next gc finds again.
 */
#ifndef STORE_GC_H
#define STORE_GC_H

#include <stdint.h>

#include "base/ctx.h"
#include "base/record.h"

struct gc_item {
	const char *id;           /* run id, model id or experiment id, as clients know it */
	const int64_t *row;       /* inside */
	const char *artifact_uri; /* NULL: an experiment, whose runs and models have theirs */
	const bool *deleted;      /* its lifecycle stage */
	const int64_t *changed;   /* when it was deleted, ms since 1970; 0 unknown */
};
extern const struct record gc_item_record;

enum gc_kind { GC_RUNS, GC_MODELS, GC_EXPERIMENTS };

/* Deleted ones that changed before `before`, row numbers above `after`, at most `limit`. */
int store_gc_list(struct ctx *c, enum gc_kind kind, int64_t before, int64_t after, int64_t limit,
		  struct list *out) MUST_CHECK;

/* The named ones, deleted or not; unknown ids are left out. */
int store_gc_find(struct ctx *c, enum gc_kind kind, const char *const *ids, size_t count,
		  struct list *out) MUST_CHECK;

/* Runs, or logged models, of an experiment, deleted or not, as store_gc_list. */
int store_gc_children(struct ctx *c, enum gc_kind kind, int64_t experiment, int64_t after,
		      int64_t limit, struct list *out) MUST_CHECK;

/* Removes the rows for good, in one transaction. Only what is still deleted goes: *removed says
   how many. */
int store_gc_remove(struct ctx *c, enum gc_kind kind, const int64_t *rows, size_t count,
		    int64_t *removed) MUST_CHECK;

#endif
