/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "tracking/run_search.h"

#include "base/limits.h"
#include "store/run_search.h"
#include "store/settings.h"
#include "tracking/experiment.h"

enum { DEFAULT_RESULTS = 1000 };

const struct record search_runs_record = { sizeof(struct search_runs), (const struct field[]){
	STRINGS(struct search_runs, experiment_ids, 0),
	STRING (struct search_runs, filter,         0),
	INT64  (struct search_runs, max_results,    0),
	STRINGS(struct search_runs, order_by,       0),
	ENUM   (struct search_runs, run_view_type,  0, view_type_names),
	STRING (struct search_runs, page_token,     0),
	END }};

const struct record run_page_record = { sizeof(struct run_page), (const struct field[]){
	LIST  (struct run_page, runs,            0, &run_record),
	STRING(struct run_page, next_page_token, 0),
	END }};

int tracking_run_search(struct ctx *c, const struct search_runs *in, struct run_page *out)
{
	struct search_query q = {
		.entity = SEARCH_RUNS,
		.view = tracking_view(in->run_view_type),
		.experiment_count = in->experiment_ids.count,
		.filter = in->filter,
		.order_by = in->order_by,
		.max_results = in->max_results ? *in->max_results : DEFAULT_RESULTS,
		.page_token = in->page_token,
		.token_key = store_settings_token_key(),
	};

	/* The request schema's own text, which differs from that of experiments/search. */
	if (q.max_results > LIMIT_PAGE)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Invalid value %lld for parameter 'max_results' supplied:  Hint: Value"
		            " was of type"
		            " 'int'. See the API docs for more information about request"
		            " parameters.",
		            (long long)q.max_results);
	if (tracking_max_results(c, q.max_results)
	    || tracking_experiment_ids(c, &in->experiment_ids, &q.experiment_ids))
		return -1;
	return store_run_search(c, &q, &out->runs, &out->next_page_token);
}
