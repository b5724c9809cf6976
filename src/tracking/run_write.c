/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What is logged to runs. Nothing here knows the database: it validates and describes the write. */

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "model_json.h"
#include "store/run.h"
#include "store/text.h"
#include "tracking/run.h"
#include "tracking/validate.h"

/* ---- records, in the order in which handlers.py checks ---- */

const struct record log_metric_record = { sizeof(struct log_metric), (const struct field[]){
	STRING   (struct log_metric, run_id,         REQUIRED),
	STRING_AS(struct log_metric, run_id,         "run_uuid"),
	STRING   (struct log_metric, key,            REQUIRED),
	DOUBLE   (struct log_metric, value,          REQUIRED),
	INT64    (struct log_metric, timestamp,      REQUIRED),
	INT64    (struct log_metric, step,           0),
	STRING   (struct log_metric, model_id,       0),
	STRING   (struct log_metric, dataset_name,   0),
	STRING   (struct log_metric, dataset_digest, 0),
	END }};

const struct record run_tag_request_record = {
	sizeof(struct run_tag_request),
	(const struct field[]){ STRING(struct run_tag_request, run_id, REQUIRED),
				STRING_AS(struct run_tag_request, run_id, "run_uuid"),
				STRING(struct run_tag_request, key, REQUIRED),
				STRING(struct run_tag_request, value, 0), END }
};

const struct record run_delete_tag_record = { sizeof(struct run_delete_tag), (const struct field[]){
	STRING   (struct run_delete_tag, run_id, REQUIRED),
	STRING_AS(struct run_delete_tag, run_id, "run_uuid"),
	STRING   (struct run_delete_tag, key,    REQUIRED),
	END }};

const struct record log_batch_record = { sizeof(struct log_batch), (const struct field[]){
	STRING   (struct log_batch, run_id,  REQUIRED),
	STRING_AS(struct log_batch, run_id,  "run_uuid"),
	LIST     (struct log_batch, metrics, 0, &metric_record),
	LIST     (struct log_batch, params,  0, &tag_record),
	LIST     (struct log_batch, tags,    0, &tag_record),
	END }};

const struct record log_model_record = { sizeof(struct log_model), (const struct field[]){
	STRING   (struct log_model, run_id,     REQUIRED),
	STRING_AS(struct log_model, run_id,     "run_uuid"),
	STRING   (struct log_model, model_json, REQUIRED),
	END }};

const struct record log_inputs_record = { sizeof(struct log_inputs), (const struct field[]){
	STRING   (struct log_inputs, run_id,   REQUIRED),
	STRING_AS(struct log_inputs, run_id,   "run_uuid"),
	LIST     (struct log_inputs, datasets, 0, &dataset_input_record),
	LIST     (struct log_inputs, models,   0, &model_input_record),
	END }};

const struct record log_outputs_record = { sizeof(struct log_outputs), (const struct field[]){
	STRING   (struct log_outputs, run_id, REQUIRED),
	STRING_AS(struct log_outputs, run_id, "run_uuid"),
	LIST     (struct log_outputs, models, REQUIRED, &model_output_record),
	END }};

/* ---- one value ---- */

int tracking_log_metric(struct ctx *c, const struct log_metric *in, struct write *w,
			struct empty *out)
{
	struct metric *m = NEW(c->arena, struct metric);

	(void)out;
	*m = (struct metric){
		.key = in->key, .value = in->value, .timestamp = in->timestamp, .step = in->step,
		.model_id = in->model_id, .dataset_name = in->dataset_name,
		.dataset_digest = in->dataset_digest,
	};
	w->run_id = in->run_id;
	w->metrics = (struct list){ m, 1 };
	return tracking_validate_metric(c, m, "");
}

static struct list one_tag(struct ctx *c, const struct run_tag_request *in)
{
	struct tag *t = NEW(c->arena, struct tag);

	*t = (struct tag){ in->key, in->value };
	return (struct list){ t, 1 };
}

int tracking_log_param(struct ctx *c, const struct run_tag_request *in, struct write *w,
		       struct empty *out)
{
	(void)out;
	w->run_id = in->run_id;
	w->params = one_tag(c, in);
	w->one_param = true;
	return tracking_validate_param(c, w->params.items, "");
}

int tracking_run_set_tag(struct ctx *c, const struct run_tag_request *in, struct write *w,
			 struct empty *out)
{
	(void)out;
	w->run_id = in->run_id;
	w->tags = one_tag(c, in);
	return tracking_validate_tag(c, w->tags.items, "");
}

int tracking_run_delete_tag(struct ctx *c, const struct run_delete_tag *in, struct write *w,
			    struct empty *out)
{
	const char **keys = NEW(c->arena, const char *);

	(void)out;
	*keys = in->key;
	w->run_id = in->run_id;
	w->delete_tags = keys;
	w->delete_tag_count = 1;
	/* No tag can have such a key, and the store's index of keys does not take it. */
	if (tracking_validate_length(c, "key", LIMIT_KEY, in->key)) {
		error_clear(c);
		return fail(c, RESOURCE_DOES_NOT_EXIST, "No tag with name: %s in run with id %s",
			    in->key, in->run_id);
	}
	return 0;
}

/* ---- a batch ---- */

static int at_most(struct ctx *c, const char *what, size_t limit, size_t count)
{
	if (count <= limit)
		return 0;
	return fail(c, INVALID_PARAMETER_VALUE,
		    "A batch logging request can contain at most %zu %s. Got %zu %s. Please split "
		    "up %s across "
		    "multiple requests and try again.",
		    limit, what, count, what, what);
}

static int validate_counts(struct ctx *c, const struct log_batch *in)
{
	if (at_most(c, "metrics", LIMIT_BATCH_METRICS, in->metrics.count) ||
	    at_most(c, "params", LIMIT_BATCH_PARAMS, in->params.count) ||
	    at_most(c, "tags", LIMIT_BATCH_TAGS, in->tags.count))
		return -1;
	return at_most(c, "metrics, params, and tags", LIMIT_BATCH_TOTAL,
	               in->metrics.count + in->params.count + in->tags.count);
}

/* Tried first without a path, as its text would cost more than all the rest; a failure is then
   told again. */
#define VALIDATE_EACH(c, list, type, validate, name) \
	for (size_t i = 0; i < (list)->count; i++) { \
		type *x = LIST_AT(type, list, i); \
		if (validate(c, x, "")) { \
			error_clear(c); \
			return validate(c, x, arena_printf((c)->arena, name "[%zu].", i)); \
		} \
	}

static int validate_values(struct ctx *c, const struct log_batch *in)
{
	VALIDATE_EACH(c, &in->metrics, struct metric, tracking_validate_metric, "metrics");
	VALIDATE_EACH(c, &in->params, struct tag, tracking_validate_param, "params");
	VALIDATE_EACH(c, &in->tags, struct tag, tracking_validate_tag, "tags");
	return 0;
}

/* Later ones of the same key, in their order, as a Python list. */
static int validate_unique(struct ctx *c, const struct list *params)
{
	struct buf found = BUF(c->arena, LIMIT_BODY);

	for (size_t i = 1; i < params->count; i++) {
		const char *key = LIST_AT(struct tag, params, i)->key;

		for (size_t j = 0; j < i; j++) {
			if (strcmp(LIST_AT(struct tag, params, j)->key, key) != 0)
				continue;
			if (found.size)
				buf_add(&found, ", ");
			store_text_repr(&found, key);
			break;
		}
	}
	if (!found.size)
		return 0;
	return fail(c, INVALID_PARAMETER_VALUE,
		    "Duplicate parameter keys have been submitted: [%s]. Please ensure the request "
		    "contains only "
		    "one param value per param key.",
		    buf_text(&found));
}

int tracking_log_batch(struct ctx *c, const struct log_batch *in, struct write *w,
		       struct empty *out)
{
	(void)out;
	if (tracking_validate_run_id(c, in->run_id) || validate_values(c, in) ||
	    validate_counts(c, in) || validate_unique(c, &in->params))
		return -1;
	w->run_id = in->run_id;
	w->metrics = in->metrics;
	w->params = in->params;
	w->tags = in->tags;
	return 0;
}

/* ---- inputs and outputs ---- */

static int validate_model_id(struct ctx *c, size_t i, const char *model_id)
{
	if (!model_id || !*model_id)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Missing value for required parameter 'models[%zu].model_id'. See the "
			    "API docs for "
			    "more information about request parameters.",
			    i);
	return tracking_validate_length(c, "model_id", LIMIT_MODEL_ID, model_id);
}

int tracking_log_inputs(struct ctx *c, const struct log_inputs *in, struct write *w,
			struct empty *out)
{
	(void)out;
	if (tracking_validate_run_id(c, in->run_id))
		return -1;
	for (size_t i = 0; i < in->datasets.count; i++) {
		if (tracking_validate_dataset_input(
			    c, LIST_AT(struct dataset_input, &in->datasets, i)))
			return -1;
	}
	for (size_t i = 0; i < in->models.count; i++) {
		if (validate_model_id(c, i, LIST_AT(struct model_input, &in->models, i)->model_id))
			return -1;
	}
	w->run_id = in->run_id;
	w->datasets = in->datasets;
	w->model_inputs = in->models;
	return 0;
}

int tracking_log_outputs(struct ctx *c, const struct log_outputs *in, struct write *w,
			 struct empty *out)
{
	(void)out;
	for (size_t i = 0; i < in->models.count; i++) {
		if (validate_model_id(c, i, LIST_AT(struct model_output, &in->models, i)->model_id))
			return -1;
	}
	w->run_id = in->run_id;
	w->model_outputs = in->models;
	return 0;
}

/* ---- log-model: the list of a run's models is a tag ---- */

int tracking_log_model(struct ctx *c, const struct log_model *in, struct empty *out)
{
	const char *entry;

	(void)out;
	if (model_json_entry(c, in->model_json, &entry))
		return -1;
	return store_run_append_tag(c, in->run_id, "mlflow.log-model.history", entry,
				    LIMIT_TAG_VALUE);
}
