/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* history — all points of a metric: whole, in pages, of several runs, or thinned for a chart. */
#ifndef STORE_HISTORY_H
#define STORE_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/record.h"

struct buf;

struct point {
	const char *key;
	const double *value;
	const int64_t *timestamp;
	const int64_t *step;
	const char *run_id;             /* store_history_bulk, _interval; else NULL */
};
extern const struct record point_record;

struct history_page {
	const char *run_id;             /* run ids are 32 hex digits */
	const char *key;
	int64_t max_results;            /* 0: no limit */
	const char *page_token;         /* NULL: from the start */
};

/* In the order timestamp, step, value. A missing run has no points. */
int store_history(struct ctx *c, const struct history_page *p, struct list *points,
                  const char **next_token)
	MUST_CHECK;

/* All points of p's run and key, as a JSON array of point_record: what is in memory is the text and
   a stretch of points. */
int store_history_text(struct ctx *c, const struct history_page *p, struct buf *to) MUST_CHECK;

/* By run id, then timestamp, step, value; at most max_results of all runs together. */
int store_history_bulk(struct ctx *c, const char *const *run_ids, size_t count, const char *key,
                       int64_t max_results, struct list *points) MUST_CHECK;

struct history_interval {
	const char *const *run_ids;
	size_t run_count;
	const char *key;
	int64_t max_results;            /* per run, at least 1 */
	const int64_t *start_step;      /* both or none */
	const int64_t *end_step;
};

/*
 * At most max_results points per run, by step, timestamp, value: all of them where they fit; else,
 * of buckets of about the same size, the points with the smallest and the largest value, and the first and
 * the last point. max_results 1: the last point; 2 or 3: the first and the last. A run named twice
 * comes twice.
 */
int store_history_interval(struct ctx *c, const struct history_interval *i,
                           struct list *points) MUST_CHECK;

#endif
