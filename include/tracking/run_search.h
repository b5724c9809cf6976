/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* run_search — /mlflow/runs/search. */
#ifndef TRACKING_RUN_SEARCH_H
#define TRACKING_RUN_SEARCH_H

#include <stdint.h>

#include "base/ctx.h"
#include "store/entities.h"

struct search_runs {
	struct list experiment_ids;     /* const char * */
	const char *filter;
	const int64_t *max_results;
	struct list order_by;           /* const char * */
	const char *run_view_type;
	const char *page_token;
};
extern const struct record search_runs_record;

struct run_page {
	struct list runs;               /* struct run */
	const char *next_page_token;
};
extern const struct record run_page_record;

int tracking_run_search(struct ctx *c, const struct search_runs *in,
                        struct run_page *out) MUST_CHECK;

#endif
