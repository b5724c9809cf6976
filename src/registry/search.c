/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "registry/search.h"

#include "base/limits.h"
#include "store/settings.h"
#include "validate.h"

enum { DEFAULT_MODELS = 100, DEFAULT_VERSIONS = 10000 };

const struct record search_registry_record = {
	sizeof(struct search_registry), (const struct field[]){
	STRING (struct search_registry, filter,      0),
	INT64  (struct search_registry, max_results, 0),
	STRINGS(struct search_registry, order_by,    0),
	STRING (struct search_registry, page_token,  0),
	END }};

const struct record registered_model_page_record = {
	sizeof(struct registered_model_page), (const struct field[]){
	LIST  (struct registered_model_page, registered_models, 0, &registered_model_record),
	STRING(struct registered_model_page, next_page_token,   0),
	END }};

const struct record model_version_page_record = {
	sizeof(struct model_version_page), (const struct field[]){
	LIST  (struct model_version_page, model_versions,  0, &model_version_record),
	STRING(struct model_version_page, next_page_token, 0),
	END }};

const struct record latest_versions_record = {
	sizeof(struct latest_versions), (const struct field[]){
	STRING (struct latest_versions, name,   REQUIRED),
	STRINGS(struct latest_versions, stages, 0),
	END }};

/* These routes are GET: MLflow's schema sees a string. Below `least`, its store says so for
   versions; of models it answers an empty page whose token leads to itself. */
static int query(struct ctx *c, const struct search_registry *in, int64_t least, int64_t most,
                 struct search_query *q)
{
	if (in->max_results)
		q->max_results = *in->max_results;
	if (q->max_results > most)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Invalid value \"%lld\" for parameter 'max_results' supplied:  Hint:"
		            " Value was of type 'str'. See the API docs for more information about"
		            " request parameters.", (long long)q->max_results);
	if (q->max_results < least)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Invalid value for max_results. It must be a %s integer, but got %lld",
		            least ? "positive" : "non-negative", (long long)q->max_results);
	q->view = VIEW_ALL;
	q->filter = in->filter;
	q->order_by = in->order_by;
	q->page_token = in->page_token;
	q->token_key = store_settings_token_key();
	return 0;
}

int registry_search_models(struct ctx *c, const struct search_registry *in,
                           struct registered_model_page *out)
{
	struct search_query q = { .entity = SEARCH_REGISTERED_MODELS,
	                          .max_results = DEFAULT_MODELS };

	if (query(c, in, 0, LIMIT_MODEL_PAGE, &q))
		return -1;
	return store_registered_model_search(c, &q, &out->registered_models,
	                                     &out->next_page_token);
}

int registry_search_versions(struct ctx *c, const struct search_registry *in,
                             struct model_version_page *out)
{
	struct search_query q = { .entity = SEARCH_MODEL_VERSIONS,
	                          .max_results = DEFAULT_VERSIONS };

	if (query(c, in, 1, LIMIT_VERSION_PAGE, &q))
		return -1;
	return store_model_version_search(c, &q, &out->model_versions, &out->next_page_token);
}

int registry_search_latest(struct ctx *c, const struct latest_versions *in,
                           struct model_version_page *out)
{
	unsigned stages = in->stages.count ? 0 : ~0u;
	int found;

	if (validate_model_name(c, in->name, "name"))
		return -1;
	for (size_t i = 0; i < in->stages.count; i++) {
		int64_t stage;

		if (validate_stage(c, *LIST_AT(const char *, &in->stages, i), &stage))
			return -1;
		stages |= 1u << stage;
	}
	found = store_model_latest_versions(c, in->name, stages, &out->model_versions);
	if (found < 0)
		return -1;
	if (!found)
		return fail(c, RESOURCE_DOES_NOT_EXIST, "Registered Model with name=%s not found",
		            in->name);
	return 0;
}
