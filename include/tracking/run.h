/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * run — runs and what is logged to them. Handlers with a struct write validate and describe; the
 * shared commit does the rest (store/write.h). Requests are theirs: they may put defaults and
 * limits into the lists of one.
 */
#ifndef TRACKING_RUN_H
#define TRACKING_RUN_H

#include "base/ctx.h"
#include "base/empty.h"
#include "base/record.h"
#include "store/entities.h"
#include "store/read.h"
#include "store/write.h"

struct create_run {
	const char *experiment_id;      /* absent or "": "0" */
	const char *user_id;
	const char *run_name;
	const int64_t *start_time;
	struct list tags;               /* struct tag */
};
extern const struct record create_run_record;

struct run_reply {
	struct run *run;
};
extern const struct record run_reply_record;
int tracking_run_create(struct ctx *c, const struct create_run *in, struct write *w,
			struct run_reply *out) MUST_CHECK;

struct run_request {                    /* get, delete, restore */
	const char *run_id;
};
extern const struct record run_request_record;
int tracking_run_get(struct ctx *c, const struct run_request *in, struct read *r,
		     struct run_reply *out) MUST_CHECK;
int tracking_run_delete(struct ctx *c, const struct run_request *in, struct empty *out) MUST_CHECK;
int tracking_run_restore(struct ctx *c, const struct run_request *in, struct empty *out) MUST_CHECK;

struct update_run {
	const char *run_id;
	const char *status;
	const int64_t *end_time;
	const char *run_name;
};
extern const struct record update_run_record;

struct update_run_reply {
	struct run_info *run_info;
};
extern const struct record update_run_reply_record;
int tracking_run_update(struct ctx *c, const struct update_run *in,
			struct update_run_reply *out) MUST_CHECK;

struct log_metric {
	const char *run_id;
	const char *key;
	const double *value;
	const int64_t *timestamp;
	const int64_t *step;
	const char *model_id;
	const char *dataset_name;
	const char *dataset_digest;
};
extern const struct record log_metric_record;
int tracking_log_metric(struct ctx *c, const struct log_metric *in, struct write *w,
			struct empty *out) MUST_CHECK;

struct run_tag_request {                /* log-parameter, set-tag */
	const char *run_id;
	const char *key;
	const char *value;
};
extern const struct record run_tag_request_record;
int tracking_log_param(struct ctx *c, const struct run_tag_request *in, struct write *w,
		       struct empty *out) MUST_CHECK;
int tracking_run_set_tag(struct ctx *c, const struct run_tag_request *in, struct write *w,
			 struct empty *out) MUST_CHECK;

struct run_delete_tag {
	const char *run_id;
	const char *key;
};
extern const struct record run_delete_tag_record;
int tracking_run_delete_tag(struct ctx *c, const struct run_delete_tag *in, struct write *w,
			    struct empty *out) MUST_CHECK;

struct log_batch {
	const char *run_id;
	struct list metrics;            /* struct metric */
	struct list params;             /* struct tag */
	struct list tags;               /* struct tag */
};
extern const struct record log_batch_record;
int tracking_log_batch(struct ctx *c, const struct log_batch *in, struct write *w,
		       struct empty *out) MUST_CHECK;

struct log_model {
	const char *run_id;
	const char *model_json;
};
extern const struct record log_model_record;
int tracking_log_model(struct ctx *c, const struct log_model *in, struct empty *out) MUST_CHECK;

struct log_inputs {
	const char *run_id;
	struct list datasets;           /* struct dataset_input */
	struct list models;             /* struct model_input */
};
extern const struct record log_inputs_record;
int tracking_log_inputs(struct ctx *c, const struct log_inputs *in, struct write *w,
			struct empty *out) MUST_CHECK;

struct log_outputs {
	const char *run_id;
	struct list models;             /* struct model_output */
};
extern const struct record log_outputs_record;
int tracking_log_outputs(struct ctx *c, const struct log_outputs *in, struct write *w,
			 struct empty *out) MUST_CHECK;

#endif
