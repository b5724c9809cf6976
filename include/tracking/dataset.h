/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* dataset — /mlflow/experiments/search-datasets. */
#ifndef TRACKING_DATASET_H
#define TRACKING_DATASET_H

#include "base/ctx.h"
#include "store/dataset.h"

struct search_datasets {
	struct list experiment_ids;     /* const char * */
};
extern const struct record search_datasets_record;

struct search_datasets_reply {
	struct list dataset_summaries;  /* struct dataset_summary */
};
extern const struct record search_datasets_reply_record;

int tracking_dataset_search(struct ctx *c, const struct search_datasets *in,
                            struct search_datasets_reply *out)
	MUST_CHECK;

#endif
