/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "tracking/dataset.h"

#include "base/limits.h"
#include "tracking/experiment.h"

const struct record search_datasets_record = {
	sizeof(struct search_datasets), (const struct field[]){
	STRINGS(struct search_datasets, experiment_ids, 0),
	END }};

const struct record search_datasets_reply_record = {
	sizeof(struct search_datasets_reply), (const struct field[]){
	LIST(struct search_datasets_reply, dataset_summaries, 0, &dataset_summary_record),
	END }};

int tracking_dataset_search(struct ctx *c, const struct search_datasets *in,
                            struct search_datasets_reply *out)
{
	const struct list *given = &in->experiment_ids;
	const int64_t *ids;

	if (!given->count)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "SearchDatasets request must specify at least one experiment_id.");
	if (given->count > LIMIT_DATASET_EXPERIMENTS)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "SearchDatasets request cannot specify more than %d experiment_ids."
		            " Received %zu"
		            " experiment_ids.", LIMIT_DATASET_EXPERIMENTS, given->count);
	if (tracking_experiment_ids(c, given, &ids))
		return -1;
	return store_dataset_search(c, ids, given->count, LIMIT_DATASET_SUMMARIES,
	                            &out->dataset_summaries);
}
