/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* dataset — the datasets that runs of an experiment used. */
#ifndef STORE_DATASET_H
#define STORE_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/record.h"

struct dataset_summary {
	const char *experiment_id;
	const char *name;
	const char *digest;
	const char *context;            /* the mlflow.data.context tag of an input */
};
extern const struct record dataset_summary_record;

/* Distinct ones, at most `most`. */
int store_dataset_search(struct ctx *c, const int64_t *experiment_ids, size_t count, int64_t most,
                         struct list *summaries) MUST_CHECK;

#endif
