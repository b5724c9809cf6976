/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * registered_model — the registry's entities, shaped as MLflow's messages (mlflow/protos/model_registry.proto), and
 * their searches. Prompts are registered models with the tag mlflow.prompt.is_prompt.
 */
#ifndef STORE_REGISTERED_MODEL_H
#define STORE_REGISTERED_MODEL_H

#include "base/ctx.h"
#include "base/record.h"
#include "search/search.h"

extern const char *const model_stage_names[];           /* None, Staging, Production, Archived */
extern const char *const model_version_status_names[];  /* [1] PENDING_REGISTRATION, FAILED_REGISTRATION, READY */

struct model_alias {
	const char *alias;
	const char *version;
};
extern const struct record model_alias_record;

struct model_version {
	const char *name;
	const char *version;
	const int64_t *creation_timestamp;
	const int64_t *last_updated_timestamp;
	const char *user_id;
	const char *current_stage;
	const char *description;
	const char *source;
	const char *run_id;
	const char *status;
	const char *status_message;
	struct list tags;               /* struct tag */
	const char *run_link;
	struct list aliases;            /* const char * */
	const char *model_id;
	struct list model_params;       /* struct tag-like, from the logged model */
	struct list model_metrics;      /* struct metric, from the logged model */
};
extern const struct record model_version_record;

struct registered_model {
	const char *whole;              /* its JSON; then the other members are not set: as searches find it */
	const char *name;
	const int64_t *creation_timestamp;
	const int64_t *last_updated_timestamp;
	const char *user_id;
	const char *description;
	struct list latest_versions;    /* struct model_version */
	struct list tags;               /* struct tag */
	struct list aliases;            /* struct model_alias */
	const char *deployment_job_id;
};
extern const struct record registered_model_record;

/* ---- by internal id, in the order given; what is not there (any more) is left out ---- */

struct model_version_key {
	int64_t model;
	int64_t version;
};

/* One round trip each, also for 1,000 models: the whole message, latest versions per stage included. */
int store_registered_models_load(struct ctx *c, const int64_t *ids, size_t count, struct list *ret) MUST_CHECK;
int store_model_versions_load(struct ctx *c, const struct model_version_key *keys, size_t count,
                              struct list *ret) MUST_CHECK;

/* The latest version of each stage (bit n: that of model_stage_names[n]), by version. 1, or 0: no such model. */
int store_model_latest_versions(struct ctx *c, const char *name, unsigned stages,
                                struct list *ret) MUST_CHECK;

/* ---- searches: SEARCH_REGISTERED_MODELS, SEARCH_MODEL_VERSIONS; q->max_results checked by the caller ---- */

int store_registered_model_search(struct ctx *c, const struct search_query *q, struct list *models,
                                  const char **next_token) MUST_CHECK;
int store_model_version_search(struct ctx *c, const struct search_query *q, struct list *versions,
                               const char **next_token) MUST_CHECK;

#endif
