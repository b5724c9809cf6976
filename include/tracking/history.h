/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* history — /mlflow/metrics/get-history, -bulk and -bulk-interval. */
#ifndef TRACKING_HISTORY_H
#define TRACKING_HISTORY_H

#include <stdint.h>

#include "base/ctx.h"
#include "store/history.h"

struct get_history {
	const char *run_id;
	const char *metric_key;
	const char *page_token;
	const int64_t *max_results;
};
extern const struct record get_history_record;

struct history_reply {
	const char *all;                /* the reply's text, or */
	struct list metrics;            /* struct point */
	const char *next_page_token;
};
extern const struct record history_reply_record;

struct get_history_bulk {
	struct list run_id;             /* const char * */
	const char *metric_key;
	const int64_t *max_results;
};
extern const struct record get_history_bulk_record;

/* Unlike all other replies this one has its list also when it is empty. */
struct history_bulk_reply {
	struct list metrics;            /* struct point */
	const char *no_metrics;         /* "[]" */
};
extern const struct record history_bulk_reply_record;

struct get_history_interval {
	struct list run_ids;            /* const char * */
	const char *metric_key;
	const int64_t *start_step;
	const int64_t *end_step;
	const int64_t *max_results;
};
extern const struct record get_history_interval_record;

int tracking_history_get(struct ctx *c, const struct get_history *in,
                         struct history_reply *out) MUST_CHECK;
int tracking_history_bulk(struct ctx *c, const struct get_history_bulk *in,
                          struct history_bulk_reply *out)
	MUST_CHECK;
int tracking_history_interval(struct ctx *c, const struct get_history_interval *in,
                              struct history_reply *out) MUST_CHECK;

#endif
