/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* logged_model — /mlflow/logged-models. */
#ifndef TRACKING_LOGGED_MODEL_H
#define TRACKING_LOGGED_MODEL_H

#include <stdint.h>

#include "base/ctx.h"
#include "base/empty.h"
#include "store/logged_model.h"

struct create_logged_model {
	const char *experiment_id;
	const char *name;
	const char *model_type;
	const char *source_run_id;
	struct list params;             /* struct tag */
	struct list tags;               /* struct tag */
};
extern const struct record create_logged_model_record;

struct get_logged_model {
	const char *model_id;
	const char *allow_deleted;      /* "true" in any case; all else is false */
};
extern const struct record get_logged_model_record;

struct logged_model_reply {
	struct logged_model *model;
};
extern const struct record logged_model_reply_record;

struct finalize_logged_model {
	const char *model_id;
	const char *status;             /* a name of logged_model_status_names */
};
extern const struct record finalize_logged_model_record;

struct delete_logged_model {
	const char *model_id;
};
extern const struct record delete_logged_model_record;

struct log_logged_model_params {
	const char *model_id;
	struct list params;             /* struct tag */
};
extern const struct record log_logged_model_params_record;

struct set_logged_model_tags {
	const char *model_id;
	struct list tags;               /* struct tag */
};
extern const struct record set_logged_model_tags_record;

struct delete_logged_model_tag {
	const char *model_id;
	const char *tag_key;
};
extern const struct record delete_logged_model_tag_record;

struct search_logged_models {
	struct list experiment_ids;     /* const char * */
	const char *filter;
	struct list datasets;           /* struct search_dataset */
	const int64_t *max_results;
	struct list order_by;           /* struct search_order_field */
	const char *page_token;
};
extern const struct record search_logged_models_record;

struct logged_model_page {
	struct list models;             /* struct logged_model */
	const char *next_page_token;
};
extern const struct record logged_model_page_record;

int tracking_logged_model_create(struct ctx *c, const struct create_logged_model *in,
                                 struct logged_model_reply *out) MUST_CHECK;
int tracking_logged_model_get(struct ctx *c, const struct get_logged_model *in,
                              struct logged_model_reply *out) MUST_CHECK;
int tracking_logged_model_finalize(struct ctx *c, const struct finalize_logged_model *in,
                                   struct logged_model_reply *out) MUST_CHECK;
int tracking_logged_model_delete(struct ctx *c, const struct delete_logged_model *in,
                                 struct empty *out)
	MUST_CHECK;
int tracking_logged_model_log_params(struct ctx *c, const struct log_logged_model_params *in,
                                     struct empty *out) MUST_CHECK;
int tracking_logged_model_set_tags(struct ctx *c, const struct set_logged_model_tags *in,
                                   struct empty *out)
	MUST_CHECK;
int tracking_logged_model_delete_tag(struct ctx *c, const struct delete_logged_model_tag *in,
                                     struct empty *out) MUST_CHECK;
int tracking_logged_model_search(struct ctx *c, const struct search_logged_models *in,
                                 struct logged_model_page *out) MUST_CHECK;

#endif
