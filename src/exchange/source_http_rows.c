/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The rows of a server's entities. */
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "rest.h"

#define HISTORY_PAGE "25000"            /* MLflow's most */

static void text(struct emit *e, unsigned column, const json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);

	if (json_is_string(v))
		emit_bytes(e, column, json_string_value(v), json_string_length(v));
	else if (v && !json_is_null(v))
		emit_wrong(e, column);
}

/* A number, or one as text. */
static void number(struct emit *e, unsigned column, const json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);

	if (json_is_integer(v)) {
		emit_int(e, column, json_integer_value(v));
	} else if (json_is_string(v)) {
		char *end;
		errno = 0;
		long long value = strtoll(json_string_value(v), &end, 10);
		if (errno || *end || end == json_string_value(v))
			emit_wrong(e, column);
		else
			emit_int(e, column, value);
	} else if (v && !json_is_null(v)) {
		emit_wrong(e, column);
	}
}

static void real(struct emit *e, unsigned column, const json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);
	char *end;

	if (json_is_number(v)) {
		emit_real(e, column, json_number_value(v));
	} else if (json_is_string(v)) {
		double value = strtod(json_string_value(v), &end);
		if (*end || end == json_string_value(v))
			emit_wrong(e, column);
		else
			emit_real(e, column, value);
	} else if (v && !json_is_null(v)) {
		emit_wrong(e, column);
	}
}

static int experiments(struct ctx *c, struct rest *r, struct emit *e, const json_t *x)
{
	(void)c;
	(void)r;
	if (!emit_row(e))
		return -1;
	number(e, EXPERIMENTS_ID, x, "experiment_id");
	text(e, EXPERIMENTS_NAME, x, "name");
	text(e, EXPERIMENTS_ARTIFACT_LOCATION, x, "artifact_location");
	text(e, EXPERIMENTS_LIFECYCLE, x, "lifecycle_stage");
	number(e, EXPERIMENTS_CREATION_TIME, x, "creation_time");
	number(e, EXPERIMENTS_LAST_UPDATE_TIME, x, "last_update_time");
	return 0;
}

static int experiment_tags(struct ctx *c, struct rest *r, struct emit *e, const json_t *x)
{
	size_t i;
	json_t *tag;

	(void)c;
	(void)r;
	json_array_foreach(json_object_get(x, "tags"), i, tag) {
		if (!emit_row(e))
			return -1;
		number(e, EXPERIMENT_TAGS_EXPERIMENT_ID, x, "experiment_id");
		text(e, EXPERIMENT_TAGS_KEY, tag, "key");
		text(e, EXPERIMENT_TAGS_VALUE, tag, "value");
	}
	return 0;
}

static int runs(struct ctx *c, struct rest *r, struct emit *e, const json_t *x)
{
	const json_t *info = json_object_get(x, "info");

	(void)c;
	(void)r;
	if (!emit_row(e))
		return -1;
	text(e, RUNS_UUID, info, "run_id");
	number(e, RUNS_EXPERIMENT_ID, info, "experiment_id");
	text(e, RUNS_NAME, info, "run_name");
	if (!*mlflow_text(info, "run_name"))
		emit_text(e, RUNS_NAME,
			  mlflow_tag(json_object_get(json_object_get(x, "data"), "tags"),
				     "mlflow.runName"));
	text(e, RUNS_USER_ID, info, "user_id");
	text(e, RUNS_STATUS, info, "status");
	text(e, RUNS_LIFECYCLE, info, "lifecycle_stage");
	number(e, RUNS_START_TIME, info, "start_time");
	number(e, RUNS_END_TIME, info, "end_time");
	text(e, RUNS_ARTIFACT_URI, info, "artifact_uri");
	return 0;
}

static int history(struct ctx *c, struct rest *r, struct emit *e, const char *run_id,
		   const char *key)
{
	const char *token = NULL;

	do {
		CLEANUP(mlflow_json_done) json_t *reply = NULL;
		size_t i;
		json_t *metric;
		int found = mlflow_get(c, r->server, &reply, "metrics/get-history", "run_id", run_id,
				       "metric_key", key, "max_results", HISTORY_PAGE, "page_token",
				       token, NULL);
		if (found < 0)
			return -1;
		json_array_foreach(json_object_get(reply, "metrics"), i, metric) {
			if (!emit_row(e))
				return -1;
			emit_text(e, METRICS_RUN, run_id);
			emit_text(e, METRICS_KEY, key);
			real(e, METRICS_VALUE, metric, "value");
			number(e, METRICS_TIMESTAMP, metric, "timestamp");
			number(e, METRICS_STEP, metric, "step");
		}
		token = *mlflow_text(reply, "next_page_token")
				? arena_strdup(r->group, mlflow_text(reply, "next_page_token"))
				: NULL;
	} while (token);
	return 0;
}

static int metrics(struct ctx *c, struct rest *r, struct emit *e, const json_t *x)
{
	const char *run_id = mlflow_text(json_object_get(x, "info"), "run_id");
	size_t i;
	json_t *metric;

	json_array_foreach(json_object_get(json_object_get(x, "data"), "metrics"), i, metric) {
		if (history(c, r, e, run_id, mlflow_text(metric, "key")))
			return -1;
	}
	return 0;
}

static int latest(struct ctx *c, struct rest *r, struct emit *e, const json_t *x)
{
	const json_t *info = json_object_get(x, "info");
	size_t i;
	json_t *metric;

	(void)c;
	(void)r;
	json_array_foreach(json_object_get(json_object_get(x, "data"), "metrics"), i, metric) {
		if (!emit_row(e))
			return -1;
		text(e, LATEST_RUN, info, "run_id");
		text(e, LATEST_KEY, metric, "key");
		real(e, LATEST_VALUE, metric, "value");
		number(e, LATEST_TIMESTAMP, metric, "timestamp");
		number(e, LATEST_STEP, metric, "step");
	}
	return 0;
}

/* (owner, key, value) rows of an array of {"key", "value"}. */
static int pairs(struct emit *e, const json_t *owner, const char *id, const json_t *list)
{
	size_t i;
	json_t *pair;

	json_array_foreach(list, i, pair) {
		if (!emit_row(e))
			return -1;
		text(e, 0, owner, id);
		text(e, 1, pair, "key");
		text(e, 2, pair, "value");
	}
	return 0;
}

_Static_assert(PARAMS_RUN == 0 && PARAMS_KEY == 1 && PARAMS_VALUE == 2 && TAGS_RUN == 0 &&
		       TAGS_KEY == 1 && TAGS_VALUE == 2 && LOGGED_MODEL_PARAMS_MODEL_ID == 0 &&
		       LOGGED_MODEL_PARAMS_VALUE == 2 && LOGGED_MODEL_TAGS_MODEL_ID == 0 &&
		       LOGGED_MODEL_TAGS_VALUE == 2 && REGISTERED_MODEL_TAGS_NAME == 0 &&
		       REGISTERED_MODEL_TAGS_VALUE == 2,
	       "pairs() writes these");

static int params(struct ctx *c, struct rest *r, struct emit *e, const json_t *x)
{
	(void)c;
	(void)r;
	return pairs(e, json_object_get(x, "info"), "run_id",
		     json_object_get(json_object_get(x, "data"), "params"));
}

static int tags(struct ctx *c, struct rest *r, struct emit *e, const json_t *x)
{
	(void)c;
	(void)r;
	return pairs(e, json_object_get(x, "info"), "run_id",
		     json_object_get(json_object_get(x, "data"), "tags"));
}

static int datasets(struct ctx *c, struct rest *r, struct emit *e, const json_t *x)
{
	const json_t *dataset = json_object_get(x, "dataset");

	(void)c;
	(void)r;
	if (!emit_row(e))
		return -1;
	number(e, DATASETS_EXPERIMENT_ID, x, "experiment_id");
	text(e, DATASETS_NAME, dataset, "name");
	text(e, DATASETS_DIGEST, dataset, "digest");
	text(e, DATASETS_SOURCE_TYPE, dataset, "source_type");
	text(e, DATASETS_SOURCE, dataset, "source");
	text(e, DATASETS_SCHEMA, dataset, "schema");
	text(e, DATASETS_PROFILE, dataset, "profile");
	return 0;
}

_Static_assert((int)INPUTS_RUN == (int)INPUT_TAGS_RUN &&
		       (int)INPUTS_EXPERIMENT_ID == (int)INPUT_TAGS_EXPERIMENT_ID &&
		       (int)INPUTS_NAME == (int)INPUT_TAGS_NAME &&
		       (int)INPUTS_DIGEST == (int)INPUT_TAGS_DIGEST,
	       "input() writes both");

static int input(struct emit *e, const json_t *run, const json_t *one)
{
	const json_t *info = json_object_get(run, "info");
	const json_t *dataset = json_object_get(one, "dataset");

	if (!emit_row(e))
		return -1;
	text(e, INPUTS_RUN, info, "run_id");
	number(e, INPUTS_EXPERIMENT_ID, info, "experiment_id");
	text(e, INPUTS_NAME, dataset, "name");
	text(e, INPUTS_DIGEST, dataset, "digest");
	return 0;
}

static int inputs(struct ctx *c, struct rest *r, struct emit *e, const json_t *x)
{
	const json_t *all = json_object_get(json_object_get(x, "inputs"), "dataset_inputs");
	size_t i;
	json_t *one;

	(void)c;
	(void)r;
	json_array_foreach(all, i, one) {
		if (input(e, x, one))
			return -1;
	}
	return 0;
}

static int input_tags(struct ctx *c, struct rest *r, struct emit *e, const json_t *x)
{
	const json_t *all = json_object_get(json_object_get(x, "inputs"), "dataset_inputs");
	size_t i, k;
	json_t *one, *tag;

	(void)c;
	(void)r;
	json_array_foreach(all, i, one) {
		json_array_foreach(json_object_get(one, "tags"), k, tag) {
			if (input(e, x, one))
				return -1;
			text(e, INPUT_TAGS_KEY, tag, "key");
			text(e, INPUT_TAGS_VALUE, tag, "value");
		}
	}
	return 0;
}

static int run_models_of(struct emit *e, const json_t *run, const json_t *list, bool output)
{
	size_t i;
	json_t *one;

	json_array_foreach(list, i, one) {
		if (!emit_row(e))
			return -1;
		text(e, RUN_MODELS_RUN, json_object_get(run, "info"), "run_id");
		text(e, RUN_MODELS_MODEL_ID, one, "model_id");
		emit_bool(e, RUN_MODELS_OUTPUT, output);
		number(e, RUN_MODELS_STEP, one, "step");
	}
	return 0;
}

/* MLflow's search leaves the models that a run took in away: each run is asked for again. */
static int run_models(struct ctx *c, struct rest *r, struct emit *e, const json_t *x)
{
	CLEANUP(mlflow_json_done) json_t *reply = NULL;

	if (!r->items[REST_MODELS].count)
		return 0;
	if (mlflow_get(c, r->server, &reply, "runs/get", "run_id",
		       mlflow_text(json_object_get(x, "info"), "run_id"), NULL) < 0)
		return -1;
	const json_t *run = json_object_get(reply, "run");
	const json_t *in = json_object_get(json_object_get(run, "inputs"), "model_inputs");
	const json_t *out = json_object_get(json_object_get(run, "outputs"), "model_outputs");
	return run_models_of(e, x, in, false) || run_models_of(e, x, out, true) ? -1 : 0;
}

static void model_status(struct emit *e, const json_t *info)
{
	static const char *const names[] = { "", "LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY",
					     "LOGGED_MODEL_UPLOAD_FAILED" };

	for (int i = 1; i < 4; i++) {
		if (!strcmp(mlflow_text(info, "status"), names[i])) {
			emit_int(e, LOGGED_MODELS_STATUS, i);
			return;
		}
	}
	emit_wrong(e, LOGGED_MODELS_STATUS);
}

static int logged_models(struct ctx *c, struct rest *r, struct emit *e, const json_t *x)
{
	const json_t *info = json_object_get(x, "info");

	(void)c;
	(void)r;
	if (!emit_row(e))
		return -1;
	text(e, LOGGED_MODELS_MODEL_ID, info, "model_id");
	number(e, LOGGED_MODELS_EXPERIMENT_ID, info, "experiment_id");
	text(e, LOGGED_MODELS_NAME, info, "name");
	text(e, LOGGED_MODELS_ARTIFACT_LOCATION, info, "artifact_uri");
	number(e, LOGGED_MODELS_CREATION_TIME, info, "creation_timestamp_ms");
	number(e, LOGGED_MODELS_LAST_UPDATED_TIME, info, "last_updated_timestamp_ms");
	model_status(e, info);
	text(e, LOGGED_MODELS_STATUS_MESSAGE, info, "status_message");
	text(e, LOGGED_MODELS_MODEL_TYPE, info, "model_type");
	text(e, LOGGED_MODELS_SOURCE_RUN_ID, info, "source_run_id");
	return 0;
}

static int model_params(struct ctx *c, struct rest *r, struct emit *e, const json_t *x)
{
	(void)c;
	(void)r;
	return pairs(e, json_object_get(x, "info"), "model_id",
		     json_object_get(json_object_get(x, "data"), "params"));
}

static int model_tags(struct ctx *c, struct rest *r, struct emit *e, const json_t *x)
{
	const json_t *info = json_object_get(x, "info");

	(void)c;
	(void)r;
	return pairs(e, info, "model_id", json_object_get(info, "tags"));
}

static int model_metrics(struct ctx *c, struct rest *r, struct emit *e, const json_t *x)
{
	size_t i;
	json_t *metric;

	(void)c;
	(void)r;
	json_array_foreach(json_object_get(json_object_get(x, "data"), "metrics"), i, metric) {
		if (!emit_row(e))
			return -1;
		text(e, LOGGED_MODEL_METRICS_MODEL_ID, json_object_get(x, "info"), "model_id");
		text(e, LOGGED_MODEL_METRICS_RUN, metric, "run_id");
		text(e, LOGGED_MODEL_METRICS_KEY, metric, "key");
		real(e, LOGGED_MODEL_METRICS_VALUE, metric, "value");
		number(e, LOGGED_MODEL_METRICS_TIMESTAMP, metric, "timestamp");
		number(e, LOGGED_MODEL_METRICS_STEP, metric, "step");
		text(e, LOGGED_MODEL_METRICS_DATASET_NAME, metric, "dataset_name");
		text(e, LOGGED_MODEL_METRICS_DATASET_DIGEST, metric, "dataset_digest");
	}
	return 0;
}

static int registered_models(struct ctx *c, struct rest *r, struct emit *e, const json_t *x)
{
	(void)c;
	(void)r;
	if (!emit_row(e))
		return -1;
	text(e, REGISTERED_MODELS_NAME, x, "name");
	number(e, REGISTERED_MODELS_CREATION_TIME, x, "creation_timestamp");
	number(e, REGISTERED_MODELS_LAST_UPDATED_TIME, x, "last_updated_timestamp");
	text(e, REGISTERED_MODELS_DESCRIPTION, x, "description");
	return 0;
}

static int registered_tags(struct ctx *c, struct rest *r, struct emit *e, const json_t *x)
{
	(void)c;
	(void)r;
	return pairs(e, x, "name", json_object_get(x, "tags"));
}

static int aliases(struct ctx *c, struct rest *r, struct emit *e, const json_t *x)
{
	size_t i;
	json_t *alias;

	(void)c;
	(void)r;
	json_array_foreach(json_object_get(x, "aliases"), i, alias) {
		if (!emit_row(e))
			return -1;
		text(e, MODEL_ALIASES_NAME, x, "name");
		text(e, MODEL_ALIASES_ALIAS, alias, "alias");
		number(e, MODEL_ALIASES_VERSION, alias, "version");
	}
	return 0;
}

/* Where a version that was made of another entity has its files: only the server knows. */
static int storage(struct ctx *c, struct rest *r, struct emit *e, const json_t *x)
{
	CLEANUP(mlflow_json_done) json_t *reply = NULL;

	if (strncmp(mlflow_text(x, "source"), "models:/", 8) != 0)
		return 0;
	int found = mlflow_get(c, r->server, &reply, "model-versions/get-download-uri", "name",
			       mlflow_text(x, "name"), "version", mlflow_text(x, "version"), NULL);
	if (found > 0)
		text(e, MODEL_VERSIONS_STORAGE_LOCATION, reply, "artifact_uri");
	return found < 0 ? -1 : 0;
}

static int model_versions(struct ctx *c, struct rest *r, struct emit *e, const json_t *x)
{
	if (!emit_row(e))
		return -1;
	text(e, MODEL_VERSIONS_NAME, x, "name");
	number(e, MODEL_VERSIONS_VERSION, x, "version");
	number(e, MODEL_VERSIONS_CREATION_TIME, x, "creation_timestamp");
	number(e, MODEL_VERSIONS_LAST_UPDATED_TIME, x, "last_updated_timestamp");
	text(e, MODEL_VERSIONS_DESCRIPTION, x, "description");
	text(e, MODEL_VERSIONS_USER_ID, x, "user_id");
	text(e, MODEL_VERSIONS_STAGE, x, "current_stage");
	text(e, MODEL_VERSIONS_SOURCE, x, "source");
	text(e, MODEL_VERSIONS_RUN_ID, x, "run_id");
	text(e, MODEL_VERSIONS_RUN_LINK, x, "run_link");
	text(e, MODEL_VERSIONS_STATUS, x, "status");
	text(e, MODEL_VERSIONS_STATUS_MESSAGE, x, "status_message");
	text(e, MODEL_VERSIONS_MODEL_ID, x, "model_id");
	return storage(c, r, e, x);
}

static int model_version_tags(struct ctx *c, struct rest *r, struct emit *e, const json_t *x)
{
	size_t i;
	json_t *tag;

	(void)c;
	(void)r;
	json_array_foreach(json_object_get(x, "tags"), i, tag) {
		if (!emit_row(e))
			return -1;
		text(e, MODEL_VERSION_TAGS_NAME, x, "name");
		number(e, MODEL_VERSION_TAGS_VERSION, x, "version");
		text(e, MODEL_VERSION_TAGS_KEY, tag, "key");
		text(e, MODEL_VERSION_TAGS_VALUE, tag, "value");
	}
	return 0;
}

const struct rest_table rest_tables[SOURCE_TABLES] = {
	[SOURCE_EXPERIMENTS] = { REST_EXPERIMENTS, experiments },
	[SOURCE_EXPERIMENT_TAGS] = { REST_EXPERIMENTS, experiment_tags },
	[SOURCE_RUNS] = { REST_RUNS, runs },
	[SOURCE_METRICS] = { REST_RUNS, metrics },
	[SOURCE_LATEST] = { REST_RUNS, latest },
	[SOURCE_PARAMS] = { REST_RUNS, params },
	[SOURCE_TAGS] = { REST_RUNS, tags },
	[SOURCE_DATASETS] = { REST_DATASETS, datasets },
	[SOURCE_INPUTS] = { REST_RUNS, inputs },
	[SOURCE_INPUT_TAGS] = { REST_RUNS, input_tags },
	[SOURCE_LOGGED_MODELS] = { REST_MODELS, logged_models },
	[SOURCE_LOGGED_MODEL_PARAMS] = { REST_MODELS, model_params },
	[SOURCE_LOGGED_MODEL_TAGS] = { REST_MODELS, model_tags },
	[SOURCE_LOGGED_MODEL_METRICS] = { REST_MODELS, model_metrics },
	[SOURCE_RUN_MODELS] = { REST_RUNS, run_models },
	[SOURCE_REGISTERED_MODELS] = { REST_REGISTERED, registered_models },
	[SOURCE_REGISTERED_MODEL_TAGS] = { REST_REGISTERED, registered_tags },
	[SOURCE_MODEL_VERSIONS] = { REST_VERSIONS, model_versions },
	[SOURCE_MODEL_VERSION_TAGS] = { REST_VERSIONS, model_version_tags },
	[SOURCE_MODEL_ALIASES] = { REST_REGISTERED, aliases },
};
