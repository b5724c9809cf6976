/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* search — /mlflow/registered-models/search, model-versions/search,
   registered-models/get-latest-versions. */
#ifndef REGISTRY_SEARCH_H
#define REGISTRY_SEARCH_H

#include <stdint.h>

#include "base/ctx.h"
#include "store/registered_model.h"

struct search_registry {
	const char *filter;
	const int64_t *max_results;
	struct list order_by;           /* const char * */
	const char *page_token;
};
extern const struct record search_registry_record;

struct registered_model_page {
	struct list registered_models;  /* struct registered_model */
	const char *next_page_token;
};
extern const struct record registered_model_page_record;

struct model_version_page {
	struct list model_versions;     /* struct model_version */
	const char *next_page_token;
};
extern const struct record model_version_page_record;

struct latest_versions {
	const char *name;
	struct list stages;             /* const char *; none: all */
};
extern const struct record latest_versions_record;

int registry_search_models(struct ctx *c, const struct search_registry *in,
                           struct registered_model_page *out) MUST_CHECK;
int registry_search_versions(struct ctx *c, const struct search_registry *in,
                             struct model_version_page *out) MUST_CHECK;
int registry_search_latest(struct ctx *c, const struct latest_versions *in,
                           struct model_version_page *out) MUST_CHECK;

#endif
