/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* logged_model — logged models, their parameters, tags and metrics. */
#ifndef STORE_LOGGED_MODEL_H
#define STORE_LOGGED_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "search/search.h"
#include "store/entities.h"

struct registration {                   /* the model registry's, when there is one */
	const char *name;
	const char *version;
};

struct logged_model_info {
	const char *model_id;
	const char *experiment_id;
	const char *name;
	const int64_t *creation_timestamp_ms;
	const int64_t *last_updated_timestamp_ms;
	const char *artifact_uri;
	const char *status;             /* a name of logged_model_status_names */
	const char *model_type;
	const char *source_run_id;
	const char *status_message;
	struct list tags;               /* struct tag */
	struct list registrations;      /* struct registration */
};

struct logged_model_data {
	struct list params;             /* struct tag */
	struct list metrics;            /* struct metric */
};

struct logged_model {
	struct logged_model_info *info;
	struct logged_model_data *data;
};
extern const struct record logged_model_record;

struct new_logged_model {
	const char *model_id;
	int64_t experiment_id;
	const char *name;
	const char *model_type;
	const char *source_run_id;
	struct list params;             /* struct tag, keys distinct */
	struct list tags;               /* struct tag, keys distinct */
	int64_t now;
};

enum logged_model_change {
	LOGGED_MODEL_CHANGED,
	LOGGED_MODEL_NO_EXPERIMENT,     /* create */
	LOGGED_MODEL_EXPERIMENT_DELETED,
	LOGGED_MODEL_MISSING,
	LOGGED_MODEL_PARAM_CHANGED,     /* log_params: another value is stored */
	LOGGED_MODEL_TAG_MISSING,       /* delete_tag */
};

int store_logged_model_create(struct ctx *c, const struct new_logged_model *m,
                              enum logged_model_change *ret)
	MUST_CHECK;
int store_logged_model_get(struct ctx *c, const char *model_id, bool allow_deleted,
                           struct logged_model **ret)
	MUST_CHECK;
int store_logged_model_search(struct ctx *c, const struct search_query *q, struct list *models,
                              const char **next_token) MUST_CHECK;

/* Deleted models can still be changed, as in MLflow. 1, or 0: no such model. status: its number. */
int store_logged_model_finalize(struct ctx *c, const char *model_id, int64_t status,
                                int64_t now) MUST_CHECK;
int store_logged_model_delete(struct ctx *c, const char *model_id, int64_t now) MUST_CHECK;
/* Keys distinct. */
int store_logged_model_set_tags(struct ctx *c, const char *model_id,
                                const struct list *tags) MUST_CHECK;

/* All or none. The same value again is no change; *key names the parameter that has another one. */
int store_logged_model_log_params(struct ctx *c, const char *model_id, const struct list *params,
                                  enum logged_model_change *ret, const char **key) MUST_CHECK;
int store_logged_model_delete_tag(struct ctx *c, const char *model_id, const char *key,
                                  enum logged_model_change *ret) MUST_CHECK;

#endif
