/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "tracking/logged_model.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "store/settings.h"
#include "store/text.h"
#include "tracking/experiment.h"
#include "tracking/validate.h"

enum { DEFAULT_RESULTS = 50, LIMIT_REPR = 64 << 10 };

/* Unlike a run's tags, a model's may have any key, even an empty one. */
static const struct record pair_record = { sizeof(struct tag), (const struct field[]){
	STRING(struct tag, key,   0),
	STRING(struct tag, value, 0),
	END }};

const struct record create_logged_model_record = {
	sizeof(struct create_logged_model), (const struct field[]){
	STRING(struct create_logged_model, experiment_id, REQUIRED),
	STRING(struct create_logged_model, name,          0),
	STRING(struct create_logged_model, model_type,    0),
	STRING(struct create_logged_model, source_run_id, 0),
	LIST  (struct create_logged_model, params,        0, &pair_record),
	LIST  (struct create_logged_model, tags,          0, &pair_record),
	END }};

const struct record get_logged_model_record = {
	sizeof(struct get_logged_model), (const struct field[]){
	STRING(struct get_logged_model, model_id,      REQUIRED),
	STRING(struct get_logged_model, allow_deleted, 0),
	END }};

const struct record logged_model_reply_record = {
	sizeof(struct logged_model_reply), (const struct field[]){
	OBJECT(struct logged_model_reply, model, 0, &logged_model_record),
	END }};

const struct record finalize_logged_model_record = {
	sizeof(struct finalize_logged_model), (const struct field[]){
	STRING(struct finalize_logged_model, model_id, REQUIRED),
	ENUM  (struct finalize_logged_model, status,   REQUIRED, logged_model_status_names),
	END }};

const struct record delete_logged_model_record = {
	sizeof(struct delete_logged_model), (const struct field[]){
	STRING(struct delete_logged_model, model_id, REQUIRED),
	END }};

const struct record log_logged_model_params_record = {
	sizeof(struct log_logged_model_params), (const struct field[]){
	STRING(struct log_logged_model_params, model_id, REQUIRED),
	LIST  (struct log_logged_model_params, params,   0, &pair_record),
	END }};

const struct record set_logged_model_tags_record = {
	sizeof(struct set_logged_model_tags), (const struct field[]){
	STRING(struct set_logged_model_tags, model_id, REQUIRED),
	LIST  (struct set_logged_model_tags, tags,     0, &pair_record),
	END }};

const struct record delete_logged_model_tag_record = {
	sizeof(struct delete_logged_model_tag), (const struct field[]){
	STRING(struct delete_logged_model_tag, model_id, REQUIRED),
	STRING(struct delete_logged_model_tag, tag_key,  0),
	END }};

static const struct record search_dataset_record = {
	sizeof(struct search_dataset), (const struct field[]){
	{ "dataset_name",   FIELD_STRING, 0, offsetof(struct search_dataset, name), NULL, NULL },
	{ "dataset_digest", FIELD_STRING, 0, offsetof(struct search_dataset, digest), NULL, NULL },
	END }};

static const struct record order_record = {
	sizeof(struct search_order_field), (const struct field[]){
	STRING(struct search_order_field, field_name,     0),
	BOOL  (struct search_order_field, ascending,      0),
	STRING(struct search_order_field, dataset_name,   0),
	STRING(struct search_order_field, dataset_digest, 0),
	END }};

const struct record search_logged_models_record = {
	sizeof(struct search_logged_models), (const struct field[]){
	STRINGS(struct search_logged_models, experiment_ids, REQUIRED),
	STRING (struct search_logged_models, filter,         0),
	LIST   (struct search_logged_models, datasets,       0, &search_dataset_record),
	INT64  (struct search_logged_models, max_results,    0),
	LIST   (struct search_logged_models, order_by,       0, &order_record),
	STRING (struct search_logged_models, page_token,     0),
	END }};

const struct record logged_model_page_record = {
	sizeof(struct logged_model_page), (const struct field[]){
	LIST  (struct logged_model_page, models,          0, &logged_model_record),
	STRING(struct logged_model_page, next_page_token, 0),
	END }};

/* ---- checks ---- */

static int missing(struct ctx *c, const char *model_id)
{
	return fail(c, RESOURCE_DOES_NOT_EXIST, "Logged model with ID '%s' not found.", model_id);
}

static const char *repr(struct ctx *c, const char *text)
{
	struct buf b = BUF(c->arena, LIMIT_REPR);

	store_text_repr(&b, text);
	return buf_text(&b);
}

static int check_name(struct ctx *c, const char *name)
{
	if (!name)
		return 0;
	if (tracking_validate_length(c, "name", LIMIT_MODEL_NAME, name))
		return -1;
	if (!strpbrk(name, "/:.%\"'"))
		return 0;
	return fail(c, INVALID_PARAMETER_VALUE,
	            "Invalid model name (%s) provided. Model name must be a non-empty string and"
	            " cannot contain the"
	            " following characters: ('/', ':', '.', '%%', '\"', \"'\")", repr(c, name));
}

static int check_pairs(struct ctx *c, const struct list *pairs)
{
	for (size_t i = 0; i < pairs->count; i++) {
		const char *key = LIST_AT(struct tag, pairs, i)->key;

		if (tracking_validate_length(c, "key", LIMIT_MODEL_KEY, key))
			return -1;
	}
	return 0;
}

static int by_key_then_place(const void *a, const void *b)
{
	const struct tag *const *left = a;
	const struct tag *const *right = b;
	int order = strcmp((*left)->key, (*right)->key);

	return order ? order : (*left > *right) - (*left < *right);
}

/* The last of equal keys, by key: what one upsert statement can take, without deadlocks. */
static struct list last_of_each(struct ctx *c, const struct list *tags)
{
	struct tag *all = NEW_ARRAY(c->arena, tags->count, struct tag);
	const struct tag **sorted = NEW_ARRAY(c->arena, tags->count, const struct tag *);
	struct list kept = { NEW_ARRAY(c->arena, tags->count, struct tag), 0 };

	for (size_t i = 0; i < tags->count; i++) {
		all[i] = *LIST_AT(struct tag, tags, i);
		if (!all[i].key)
			all[i].key = "";
		sorted[i] = &all[i];
	}
	if (tags->count)
		qsort(sorted, tags->count, sizeof(*sorted), by_key_then_place);
	for (size_t i = 0; i < tags->count; i++) {
		if (i + 1 == tags->count || strcmp(sorted[i]->key, sorted[i + 1]->key) != 0)
			*LIST_AT(struct tag, &kept, kept.count++) = *sorted[i];
	}
	return kept;
}

/* ---- handlers ---- */

static int reply(struct ctx *c, const char *model_id, bool allow_deleted,
                 struct logged_model_reply *out)
{
	int found = store_logged_model_get(c, model_id, allow_deleted, &out->model);

	if (found < 0)
		return -1;
	return found ? 0 : missing(c, model_id);
}

int tracking_logged_model_create(struct ctx *c, const struct create_logged_model *in,
                                 struct logged_model_reply *out)
{
	struct new_logged_model m = {
		.model_id = id_model(c->arena),
		.name = in->name && *in->name ? in->name : NULL,
		.model_type = in->model_type ? in->model_type : "",
		.source_run_id = in->source_run_id ? in->source_run_id : "",
		.params = in->params, .tags = in->tags, .now = clock_wall_ms(),
	};
	enum logged_model_change change;

	if (check_name(c, m.name)
	    || tracking_validate_length(c, "model_type", LIMIT_MODEL_TYPE, m.model_type)
	    || tracking_validate_length(c, "source_run_id", 32, m.source_run_id)
	    || check_pairs(c, &m.params) || check_pairs(c, &m.tags)
	    || tracking_distinct_keys(c, &m.params, "parameter")
	    || tracking_distinct_keys(c, &m.tags, "tag")
	    || tracking_validate_experiment_id(c, in->experiment_id, &m.experiment_id))
		return -1;
	if (!m.name)
		m.name = id_run_name(c->arena);
	if (store_logged_model_create(c, &m, &change))
		return -1;
	if (change == LOGGED_MODEL_NO_EXPERIMENT)
		return tracking_experiment_missing(c, m.experiment_id);
	if (change == LOGGED_MODEL_EXPERIMENT_DELETED)
		return tracking_experiment_not_active(c, m.experiment_id);
	return reply(c, m.model_id, true, out);
}

int tracking_logged_model_get(struct ctx *c, const struct get_logged_model *in,
                              struct logged_model_reply *out)
{
	bool allow_deleted = in->allow_deleted && strcasecmp(in->allow_deleted, "true") == 0;

	return reply(c, in->model_id, allow_deleted, out);
}

static int64_t status_number(const char *name)
{
	int64_t i = 0;

	while (strcmp(name, logged_model_status_names[i]) != 0)
		i++;
	return i;
}

int tracking_logged_model_finalize(struct ctx *c, const struct finalize_logged_model *in,
                                   struct logged_model_reply *out)
{
	int found = store_logged_model_finalize(c, in->model_id, status_number(in->status),
	                                        clock_wall_ms());

	if (found < 0)
		return -1;
	return found ? reply(c, in->model_id, true, out) : missing(c, in->model_id);
}

int tracking_logged_model_delete(struct ctx *c, const struct delete_logged_model *in,
                                 struct empty *out)
{
	int found = store_logged_model_delete(c, in->model_id, clock_wall_ms());

	(void)out;
	if (found < 0)
		return -1;
	return found ? 0 : missing(c, in->model_id);
}

int tracking_logged_model_log_params(struct ctx *c, const struct log_logged_model_params *in,
                                     struct empty *out)
{
	enum logged_model_change change;
	const char *key;

	(void)out;
	if (check_pairs(c, &in->params) || tracking_distinct_keys(c, &in->params, "parameter")
	    || store_logged_model_log_params(c, in->model_id, &in->params, &change, &key))
		return -1;
	if (change == LOGGED_MODEL_MISSING)
		return missing(c, in->model_id);
	if (change == LOGGED_MODEL_PARAM_CHANGED)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Changing param values is not allowed. Param with key='%s' was"
		            " already logged with another value for logged model ID='%s'.", key,
		            in->model_id);
	return 0;
}

int tracking_logged_model_set_tags(struct ctx *c, const struct set_logged_model_tags *in,
                                   struct empty *out)
{
	struct list tags = last_of_each(c, &in->tags);
	int found;

	(void)out;
	if (check_pairs(c, &tags))
		return -1;
	found = store_logged_model_set_tags(c, in->model_id, &tags);
	if (found < 0)
		return -1;
	return found ? 0 : missing(c, in->model_id);
}

int tracking_logged_model_delete_tag(struct ctx *c, const struct delete_logged_model_tag *in,
                                     struct empty *out)
{
	const char *key = in->tag_key ? in->tag_key : "";
	enum logged_model_change change;

	(void)out;
	if (store_logged_model_delete_tag(c, in->model_id, key, &change))
		return -1;
	if (change == LOGGED_MODEL_MISSING)
		return missing(c, in->model_id);
	if (change == LOGGED_MODEL_TAG_MISSING)
		return fail(c, RESOURCE_DOES_NOT_EXIST,
		            "No tag with key %s found for model with ID %s.", repr(c, key),
		            repr(c, in->model_id));
	return 0;
}

int tracking_logged_model_search(struct ctx *c, const struct search_logged_models *in,
                                 struct logged_model_page *out)
{
	struct search_query q = {
		.entity = SEARCH_LOGGED_MODELS,
		.view = VIEW_ACTIVE,
		.experiment_count = in->experiment_ids.count,
		.filter = in->filter,
		.order_models = in->order_by,
		.datasets = in->datasets,
		.max_results = DEFAULT_RESULTS,
		.page_token = in->page_token,
		.token_key = store_settings_token_key(),
	};

	if (in->max_results && *in->max_results)
		q.max_results = *in->max_results;
	for (size_t i = 0; i < q.datasets.count; i++) {
		const char *name = LIST_AT(struct search_dataset, &q.datasets, i)->name;

		if (!name || !*name)
			return fail(c, INVALID_PARAMETER_VALUE,
			            "`dataset_name` in the `datasets` clause must be specified.");
	}
	if (q.max_results > LIMIT_PAGE)
		q.max_results = LIMIT_PAGE;     /* a shorter page than asked for, with a token */
	if (tracking_max_results(c, q.max_results)
	    || tracking_experiment_ids(c, &in->experiment_ids, &q.experiment_ids))
		return -1;
	return store_logged_model_search(c, &q, &out->models, &out->next_page_token);
}
