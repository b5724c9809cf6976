/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "registry/version.h"

#include <pthread.h>
#include <regex.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "source.h"
#include "store/model.h"
#include "store/model_version.h"
#include "tracking/validate.h"
#include "validate.h"

enum { STAGE_NONE = 0, STAGE_ARCHIVED = 3 };

const struct record create_model_version_record = {
	sizeof(struct create_model_version), (const struct field[]){
	STRING(struct create_model_version, name,        REQUIRED),
	STRING(struct create_model_version, source,      REQUIRED),
	STRING(struct create_model_version, run_id,      0),
	LIST  (struct create_model_version, tags,        0, &registry_tag_record),
	STRING(struct create_model_version, run_link,    0),
	STRING(struct create_model_version, description, 0),
	STRING(struct create_model_version, model_id,    0),
	END }};

const struct record model_version_reply_record = {
	sizeof(struct model_version_reply), (const struct field[]){
	OBJECT(struct model_version_reply, model_version, 0, &model_version_record),
	END }};

const struct record get_model_version_record = {
	sizeof(struct get_model_version), (const struct field[]){
	STRING(struct get_model_version, name,    REQUIRED),
	STRING(struct get_model_version, version, REQUIRED),
	END }};

const struct record update_model_version_record = {
	sizeof(struct update_model_version), (const struct field[]){
	STRING(struct update_model_version, name,        REQUIRED),
	STRING(struct update_model_version, version,     REQUIRED),
	STRING(struct update_model_version, description, 0),
	END }};

const struct record set_model_version_tag_record = {
	sizeof(struct set_model_version_tag), (const struct field[]){
	STRING(struct set_model_version_tag, name,    REQUIRED),
	STRING(struct set_model_version_tag, version, REQUIRED),
	STRING(struct set_model_version_tag, key,     REQUIRED),
	STRING(struct set_model_version_tag, value,   0),
	END }};

const struct record delete_model_version_tag_record = {
	sizeof(struct delete_model_version_tag), (const struct field[]){
	STRING(struct delete_model_version_tag, name,    REQUIRED),
	STRING(struct delete_model_version_tag, version, REQUIRED),
	STRING(struct delete_model_version_tag, key,     REQUIRED),
	END }};

const struct record transition_stage_record = {
	sizeof(struct transition_stage), (const struct field[]){
	STRING(struct transition_stage, name,                      REQUIRED),
	STRING(struct transition_stage, version,                   REQUIRED),
	STRING(struct transition_stage, stage,                     REQUIRED),
	BOOL  (struct transition_stage, archive_existing_versions, 0),
	STRING(struct transition_stage, expected_stage,            0),
	STRING(struct transition_stage, reason,                    0),
	END }};

const struct record get_download_uri_record = {
	sizeof(struct get_download_uri), (const struct field[]){
	STRING(struct get_download_uri, name,    0),
	STRING(struct get_download_uri, version, 0),
	END }};

const struct record download_uri_record = {
	sizeof(struct download_uri), (const struct field[]){
	STRING(struct download_uri, artifact_uri, 0),
	END }};

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

/* ---- create ---- */

/* MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX, as an extended regular expression. */
static struct {
	pthread_once_t once;
	bool set;
	bool broken;
	regex_t regex;
} allowed = { .once = PTHREAD_ONCE_INIT };

static void read_allowed(void)
{
	const char *text = getenv("MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX");

	allowed.set = text && *text;
	if (allowed.set)
		allowed.broken = regcomp(&allowed.regex, text, REG_EXTENDED | REG_NOSUB) != 0;
}

static int check_allowed(struct ctx *c, const char *source)
{
	pthread_once(&allowed.once, read_allowed);
	if (!allowed.set || (!allowed.broken && regexec(&allowed.regex, source, 0, NULL, 0) == 0))
		return 0;
	return fail(c, INVALID_PARAMETER_VALUE, "Invalid model version source: '%s'.", source);
}

static int check_lengths(struct ctx *c, const struct create_model_version *in)
{
	return tracking_validate_length(c, "source", LIMIT_VERSION_SOURCE, in->source) ||
	       tracking_validate_length(c, "run_id", LIMIT_VERSION_RUN_ID, in->run_id) ||
	       tracking_validate_length(c, "run_link", LIMIT_VERSION_RUN_LINK, in->run_link) ||
	       tracking_validate_length(c, "model_id", LIMIT_MODEL_ID, in->model_id) ||
	       validate_description(c, in->description) ? -1 : 0;
}

int registry_version_create(struct ctx *c, const struct create_model_version *in,
                            struct model_version_reply *out)
{
	struct source s = { .source = in->source, .run_id = in->run_id, .model_id = in->model_id,
		.prompt = store_model_is_prompt(&in->tags) };
	struct new_model_version v = { .name = in->name, .run_link = or_empty(in->run_link),
		.description = or_empty(in->description), .prompt = s.prompt,
		.now = clock_wall_ms() };

	if (check_allowed(c, in->source) || check_lengths(c, in) || source_resolve(c, &s) ||
	    validate_model_name(c, in->name, "name") ||
	    validate_registry_tags(c, &in->tags, &v.tags))
		return -1;
	v.source = s.source;
	v.location = s.location;
	v.run_id = s.run_id;
	v.model_id = *s.model_id && !s.prompt ? s.model_id : NULL;
	v.model_must_exist = !s.inherited_model;
	return store_model_version_create(c, &v, &out->model_version);
}

/* ---- the others ---- */

int registry_version_get(struct ctx *c, const struct get_model_version *in,
                         struct model_version_reply *out)
{
	struct version_number v;

	if (validate_model_name(c, in->name, "name") ||
	    validate_version(c, in->version, "version", &v))
		return -1;
	return store_model_version_get(c, in->name, &v, &out->model_version);
}

int registry_version_update(struct ctx *c, const struct update_model_version *in,
                            struct model_version_reply *out)
{
	struct version_number v;

	if (validate_model_name(c, in->name, "name") ||
	    validate_version(c, in->version, "version", &v) ||
	    validate_description(c, in->description))
		return -1;
	return store_model_version_update(c, in->name, &v, in->description, clock_wall_ms(),
	                                  &out->model_version);
}

int registry_version_delete(struct ctx *c, const struct get_model_version *in, struct empty *out)
{
	struct version_number v;

	(void)out;
	if (validate_version(c, in->version, "version", &v) ||
	    validate_model_name(c, in->name, "name"))
		return -1;
	return store_model_version_delete(c, in->name, &v, clock_wall_ms());
}

int registry_version_set_tag(struct ctx *c, const struct set_model_version_tag *in,
                             struct empty *out)
{
	const char *value = or_empty(in->value);
	struct version_number v;

	(void)out;
	if (validate_model_name(c, in->name, "name") ||
	    validate_version(c, in->version, "version", &v) ||
	    validate_registry_tag(c, in->key, value))
		return -1;
	return store_model_version_set_tag(c, in->name, &v, in->version, in->key, value);
}

int registry_version_delete_tag(struct ctx *c, const struct delete_model_version_tag *in,
                                struct empty *out)
{
	struct version_number v;

	(void)out;
	if (validate_model_name(c, in->name, "name") ||
	    validate_version(c, in->version, "version", &v) ||
	    tracking_validate_name(c, in->key, "key"))
		return -1;
	return store_model_version_delete_tag(c, in->name, &v, in->version, in->key);
}

int registry_version_transition(struct ctx *c, const struct transition_stage *in,
                                struct model_version_reply *out)
{
	struct stage_move m = { .name = in->name, .expected = -1, .reason = in->reason,
		.archive = in->archive_existing_versions && *in->archive_existing_versions,
		.now = clock_wall_ms() };

	if (validate_stage(c, in->stage, &m.stage))
		return -1;
	if (m.archive && (m.stage == STAGE_NONE || m.stage == STAGE_ARCHIVED))
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Model version transition cannot archive existing model versions"
		            " because '%s' is not an Active stage. Valid stages are ['Staging',"
		            " 'Production']", in->stage);
	if (validate_model_name(c, in->name, "name") ||
	    validate_version(c, in->version, "version", &m.version) ||
	    (in->expected_stage && validate_stage(c, in->expected_stage, &m.expected)) ||
	    validate_reason(c, in->reason))
		return -1;
	return store_model_version_move(c, &m, &out->model_version);
}

int registry_version_download_uri(struct ctx *c, const struct get_download_uri *in,
                                  struct download_uri *out)
{
	struct version_number v;

	if (validate_model_name(c, in->name, "name") ||
	    validate_version(c, in->version, "version", &v))
		return -1;
	return store_model_version_location(c, in->name, &v, &out->artifact_uri);
}
