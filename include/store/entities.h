/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * entities — what the store keeps, shaped as MLflow's messages (mlflow/protos/service.proto), with
 * the record of each. Scalars are pointers, NULL = absent. Experiment ids are decimal strings at
 * the edge.
 */
#ifndef STORE_ENTITIES_H
#define STORE_ENTITIES_H

#include "base/record.h"

extern const char *const run_status_names[];            /* [1] RUNNING ... [5] KILLED */
extern const char *const lifecycle_names[];             /* "active", "deleted" */
extern const char *const logged_model_status_names[];   /* [1] LOGGED_MODEL_PENDING, _READY, _UPLOAD_FAILED */

struct tag {                            /* also parameters, dataset tags, experiment tags: key, value */
	const char *key;
	const char *value;
};
extern const struct record tag_record;

struct metric {
	const char *key;
	const double *value;
	const int64_t *timestamp;
	const int64_t *step;
	const char *dataset_name;
	const char *dataset_digest;
	const char *model_id;
	const char *run_id;
};
extern const struct record metric_record;

struct dataset {
	const char *name;
	const char *digest;
	const char *source_type;
	const char *source;
	const char *schema;
	const char *profile;
};
extern const struct record dataset_record;

struct dataset_input {
	struct list tags;               /* struct tag */
	struct dataset *dataset;
};
extern const struct record dataset_input_record;

struct model_input {
	const char *model_id;
};
extern const struct record model_input_record;

struct model_output {
	const char *model_id;
	const int64_t *step;
};
extern const struct record model_output_record;

struct run_info {
	const char *run_id;
	const char *run_uuid;
	const char *run_name;
	const char *experiment_id;
	const char *user_id;
	const char *status;             /* a name of run_status_names */
	const int64_t *start_time;
	const int64_t *end_time;
	const char *artifact_uri;
	const char *lifecycle_stage;
};
extern const struct record run_info_record;

struct run_data {
	struct list metrics;            /* struct metric: latest values */
	struct list params;             /* struct tag */
	struct list tags;               /* struct tag */
};
extern const struct record run_data_record;

struct run_inputs {
	struct list dataset_inputs;     /* struct dataset_input */
	struct list model_inputs;       /* struct model_input */
};
extern const struct record run_inputs_record;

struct run_outputs {
	struct list model_outputs;      /* struct model_output */
};
extern const struct record run_outputs_record;

struct run {
	const char *whole;              /* JSON of all of it, which stands for the rest; NULL: see there */
	struct run_info *info;
	struct run_data *data;
	struct run_inputs *inputs;      /* always written, {} when empty */
	struct run_outputs *outputs;
};
extern const struct record run_record;

struct experiment {
	const char *whole;              /* as of a run */
	const char *experiment_id;
	const char *name;
	const char *artifact_location;
	const char *lifecycle_stage;
	const int64_t *last_update_time;
	const int64_t *creation_time;
	struct list tags;               /* struct tag */
	const char *workspace;          /* "default": MLflow's only one while workspaces are off */
};
extern const struct record experiment_record;

#endif
