/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/entities.h"

const char *const run_status_names[] = {
	"", "RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED", NULL
};
const char *const lifecycle_names[] = { "active", "deleted", NULL };
const char *const logged_model_status_names[] = {
	"LOGGED_MODEL_STATUS_UNSPECIFIED", "LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY",
	"LOGGED_MODEL_UPLOAD_FAILED", NULL
};

const struct record tag_record = { sizeof(struct tag), (const struct field[]){
	STRING(struct tag, key,   REQUIRED),
	STRING(struct tag, value, 0),
	END }};

const struct record metric_record = { sizeof(struct metric), (const struct field[]){
	STRING(struct metric, key,            REQUIRED),
	DOUBLE(struct metric, value,          REQUIRED),
	INT64 (struct metric, timestamp,      REQUIRED),
	INT64 (struct metric, step,           0),
	STRING(struct metric, dataset_name,   0),
	STRING(struct metric, dataset_digest, 0),
	STRING(struct metric, model_id,       0),
	STRING(struct metric, run_id,         0),
	END }};

const struct record dataset_record = { sizeof(struct dataset), (const struct field[]){
	STRING(struct dataset, name,        0),
	STRING(struct dataset, digest,      0),
	STRING(struct dataset, source_type, 0),
	STRING(struct dataset, source,      0),
	STRING(struct dataset, schema,      0),
	STRING(struct dataset, profile,     0),
	END }};

const struct record dataset_input_record = { sizeof(struct dataset_input), (const struct field[]){
	LIST  (struct dataset_input, tags,    0, &tag_record),
	OBJECT(struct dataset_input, dataset, 0, &dataset_record),
	END }};

const struct record model_input_record = { sizeof(struct model_input), (const struct field[]){
	STRING(struct model_input, model_id, 0),
	END }};

const struct record model_output_record = { sizeof(struct model_output), (const struct field[]){
	STRING(struct model_output, model_id, 0),
	INT64 (struct model_output, step,     0),
	END }};

const struct record run_info_record = { sizeof(struct run_info), (const struct field[]){
	STRING(struct run_info, run_uuid,        0),
	STRING(struct run_info, experiment_id,   0),
	STRING(struct run_info, user_id,         0),
	ENUM  (struct run_info, status,          0, run_status_names),
	INT64 (struct run_info, start_time,      0),
	INT64 (struct run_info, end_time,        0),
	STRING(struct run_info, artifact_uri,    0),
	STRING(struct run_info, lifecycle_stage, 0),
	STRING(struct run_info, run_id,          0),
	STRING(struct run_info, run_name,        0),
	END }};

const struct record run_data_record = { sizeof(struct run_data), (const struct field[]){
	LIST(struct run_data, metrics, 0, &metric_record),
	LIST(struct run_data, params,  0, &tag_record),
	LIST(struct run_data, tags,    0, &tag_record),
	END }};

const struct record run_inputs_record = { sizeof(struct run_inputs), (const struct field[]){
	LIST(struct run_inputs, dataset_inputs, 0, &dataset_input_record),
	LIST(struct run_inputs, model_inputs,   0, &model_input_record),
	END }};

const struct record run_outputs_record = { sizeof(struct run_outputs), (const struct field[]){
	LIST(struct run_outputs, model_outputs, 0, &model_output_record),
	END }};

const struct record run_record = { sizeof(struct run), (const struct field[]){
	RAW   (struct run, whole,   WHOLE),
	OBJECT(struct run, info,    0, &run_info_record),
	OBJECT(struct run, data,    0, &run_data_record),
	OBJECT(struct run, inputs,  0, &run_inputs_record),
	OBJECT(struct run, outputs, 0, &run_outputs_record),
	END }};

const struct record experiment_record = { sizeof(struct experiment), (const struct field[]){
	RAW   (struct experiment, whole,             WHOLE),
	STRING(struct experiment, experiment_id,     0),
	STRING(struct experiment, name,              0),
	STRING(struct experiment, artifact_location, 0),
	STRING(struct experiment, lifecycle_stage,   0),
	INT64 (struct experiment, last_update_time,  0),
	INT64 (struct experiment, creation_time,     0),
	LIST  (struct experiment, tags,              0, &tag_record),
	STRING(struct experiment, workspace,         0),
	END }};
