/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "tracking/experiment.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"
#include "location.h"
#include "store/experiment.h"
#include "store/settings.h"
#include "tracking/tracking.h"
#include "tracking/validate.h"

#define VIEW_TAG_PREFIX "mlflow.customView.view"

const char *const view_type_names[] = { "", "ACTIVE_ONLY", "DELETED_ONLY", "ALL", NULL };

const struct record create_experiment_record = {
	sizeof(struct create_experiment), (const struct field[]){
	STRING(struct create_experiment, name,              REQUIRED),
	STRING(struct create_experiment, artifact_location, 0),
	LIST  (struct create_experiment, tags,              0, &tag_record),
	END }};

const struct record create_experiment_reply_record = {
	sizeof(struct create_experiment_reply), (const struct field[]){
	STRING(struct create_experiment_reply, experiment_id, 0),
	END }};

const struct record experiment_key_record = { sizeof(struct experiment_key), (const struct field[]){
	STRING(struct experiment_key, experiment_id, REQUIRED),
	END }};

const struct record experiment_name_record = {
	sizeof(struct experiment_name), (const struct field[]){
	STRING(struct experiment_name, experiment_name, REQUIRED),
	END }};

const struct record experiment_reply_record = {
	sizeof(struct experiment_reply), (const struct field[]){
	OBJECT(struct experiment_reply, experiment, 0, &experiment_record),
	END }};

const struct record search_experiments_record = {
	sizeof(struct search_experiments), (const struct field[]){
	ENUM   (struct search_experiments, view_type,   0, view_type_names),
	INT64  (struct search_experiments, max_results, 0),
	STRINGS(struct search_experiments, order_by,    0),
	STRING (struct search_experiments, filter,      0),
	STRING (struct search_experiments, page_token,  0),
	END }};

const struct record experiment_page_record = {
	sizeof(struct experiment_page), (const struct field[]){
	LIST  (struct experiment_page, experiments,     0, &experiment_record),
	STRING(struct experiment_page, next_page_token, 0),
	END }};

const struct record update_experiment_record = {
	sizeof(struct update_experiment), (const struct field[]){
	STRING(struct update_experiment, experiment_id, REQUIRED),
	STRING(struct update_experiment, new_name,      REQUIRED),
	END }};

const struct record set_experiment_tag_record = {
	sizeof(struct set_experiment_tag), (const struct field[]){
	STRING(struct set_experiment_tag, experiment_id, REQUIRED),
	STRING(struct set_experiment_tag, key,           REQUIRED),
	STRING(struct set_experiment_tag, value,         0),
	END }};

const struct record delete_experiment_tag_record = {
	sizeof(struct delete_experiment_tag), (const struct field[]){
	STRING(struct delete_experiment_tag, experiment_id, REQUIRED),
	STRING(struct delete_experiment_tag, key,           REQUIRED),
	END }};

/* ---- what other handlers need too ---- */

int tracking_experiment_ids(struct ctx *c, const struct list *texts, const int64_t **ret)
{
	int64_t *ids = NEW_ARRAY(c->arena, texts->count, int64_t);

	for (size_t i = 0; i < texts->count; i++) {
		if (!tracking_validate_experiment_id(c, *LIST_AT(const char *, texts, i), &ids[i]))
			continue;
		if (c->error.code != RESOURCE_DOES_NOT_EXIST)
			return -1;
		error_clear(c);
		ids[i] = -1;
	}
	*ret = ids;
	return 0;
}

int tracking_experiment_missing(struct ctx *c, int64_t id)
{
	return fail(c, RESOURCE_DOES_NOT_EXIST, "No Experiment with id=%lld exists", (long long)id);
}

int tracking_experiment_not_active(struct ctx *c, int64_t id)
{
	return fail(c, INVALID_PARAMETER_VALUE,
	            "The experiment %lld must be in the 'active' state. Current state is deleted.",
	            (long long)id);
}

enum search_view tracking_view(const char *name)
{
	for (int i = VIEW_ACTIVE; name && i <= VIEW_ALL; i++) {
		if (strcmp(name, view_type_names[i]) == 0)
			return (enum search_view)i;
	}
	return VIEW_ACTIVE;
}

int tracking_max_results(struct ctx *c, int64_t max_results)
{
	if (max_results < 1)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Invalid value %lld for parameter 'max_results' supplied. It must be a"
		            " positive integer",
		            (long long)max_results);
	if (max_results > LIMIT_PAGE)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Invalid value %lld for parameter 'max_results' supplied. It must be at"
		            " most %d",
		            (long long)max_results, LIMIT_PAGE);
	return 0;
}

/* ---- checks ---- */

/* A duration as in mlflow.trace.archivalRetention: <int><m|h|d>. */
static bool duration(const char *text)
{
	size_t n = 0;

	while (isspace((unsigned char)*text))
		text++;
	if (*text < '1' || *text > '9')
		return false;
	while (isdigit((unsigned char)text[n]))
		n++;
	if (!text[n] || !strchr("mhd", text[n]) || n + 1 > 32)
		return false;
	return strspn(text + n + 1, " \t\r\n") == strlen(text + n + 1);
}

struct archival {
	const char *type;
	const char *value;
	const char *older_than;
};

static const struct record archival_record = { sizeof(struct archival), (const struct field[]){
	STRING(struct archival, type,       0),
	STRING(struct archival, value,      0),
	STRING(struct archival, older_than, 0),
	END }};

/* The two experiment tags that MLflow's trace archival reads must hold what it can read. */
static int check_archival_tag(struct ctx *c, const struct tag *tag)
{
	bool retention = strcmp(tag->key, "mlflow.trace.archivalRetention") == 0;
	struct archival config = { 0 };
	const char *text;

	if (!tag->value || (!retention && strcmp(tag->key, "mlflow.trace.archiveNow") != 0))
		return 0;
	if (!*tag->value || record_read(c, &archival_record, arena_strdup(c->arena, tag->value),
	                                strlen(tag->value), &config)) {
		error_clear(c);
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Trace archival config must be encoded as a JSON object.");
	}
	if (retention && (!config.type || strcmp(config.type, "duration") != 0))
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Trace archival config must use type 'duration'.");
	text = retention ? config.value : config.older_than;
	if (!retention && !text)
		return 0;
	if (!text || !duration(text))
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Trace archival retention must be in the form `<int><unit>`, where"
		            " unit is one of 'm', 'h', or 'd'.");
	return 0;
}

static int check_tag(struct ctx *c, const struct tag *tag)
{
	if (tracking_validate_name(c, tag->key ? tag->key : "", "key")
	    || tracking_validate_length(c, "key", LIMIT_KEY, tag->key)
	    || tracking_validate_length(c, "value", LIMIT_EXPERIMENT_TAG_VALUE, tag->value))
		return -1;
	return check_archival_tag(c, tag);
}

static bool is_view_tag(const char *key)
{
	return key && strncmp(key, VIEW_TAG_PREFIX, strlen(VIEW_TAG_PREFIX)) == 0;
}

static int too_many_views(struct ctx *c, const char *of)
{
	return fail(c, INVALID_PARAMETER_VALUE,
	            "Unable to create another custom view%s; the maximum number of custom views per"
	            " experiment is"
	            " %d. Delete an existing custom view before creating a new one.", of,
	            LIMIT_CUSTOM_VIEWS);
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int tracking_distinct_keys(struct ctx *c, const struct list *tags, const char *what)
{
	const char **keys = NEW_ARRAY(c->arena, tags->count, const char *);

	for (size_t i = 0; i < tags->count; i++) {
		const char *key = LIST_AT(struct tag, tags, i)->key;

		keys[i] = key ? key : "";
	}
	if (tags->count)
		qsort(keys, tags->count, sizeof(*keys), compare_keys);
	for (size_t i = 1; i < tags->count; i++) {
		if (strcmp(keys[i - 1], keys[i]) == 0)
			return fail(c, INVALID_PARAMETER_VALUE, "Duplicate %s key '%s'", what,
			            keys[i]);
	}
	return 0;
}

static int check_tags(struct ctx *c, const struct list *tags)
{
	int views = 0;

	for (size_t i = 0; i < tags->count; i++)
		views += is_view_tag(LIST_AT(struct tag, tags, i)->key);
	return views > LIMIT_CUSTOM_VIEWS ? too_many_views(c, "") : 0;
}

/* ---- handlers ---- */

static int name_taken(struct ctx *c, const char *name, bool deleted)
{
	return fail(c, RESOURCE_ALREADY_EXISTS, deleted
	            ? "Experiment(name=%s) already exists in deleted state. Restore it, or remove"
	              " it permanently"
	              " before its name is used again."
	            : "Experiment(name=%s) already exists.", name);
}

int tracking_experiment_location(struct ctx *c, const char *given, const char **ret)
{
	return location_resolve(c, given, ret);
}

int tracking_experiment_create(struct ctx *c, const struct create_experiment *in,
                               struct create_experiment_reply *out)
{
	struct new_experiment e = {
		.name = in->name, .artifact_root = tracking_settings()->artifact_root,
		.tags = in->tags,
		.now = clock_wall_ms(),
	};
	bool deleted = false;
	int made;

	if (check_tags(c, &in->tags))
		return -1;
	if (in->artifact_location && *in->artifact_location
	    && location_resolve(c, in->artifact_location, &e.artifact_location))
		return -1;
	if (tracking_validate_length(c, "name", LIMIT_EXPERIMENT_NAME, in->name))
		return -1;
	for (size_t i = 0; i < in->tags.count; i++) {
		if (check_tag(c, LIST_AT(struct tag, &in->tags, i)))
			return -1;
	}
	if (tracking_distinct_keys(c, &in->tags, "tag"))
		return -1;
	made = store_experiment_create(c, &e, &out->experiment_id, &deleted);
	if (made < 0)
		return -1;
	return made ? 0 : name_taken(c, in->name, deleted);
}

int tracking_experiment_get(struct ctx *c, const struct experiment_key *in, struct read *r,
			    struct experiment_reply *out)
{
	r->experiment = &out->experiment;
	return tracking_validate_experiment_id(c, in->experiment_id, &r->experiment_id);
}

int tracking_experiment_get_by_name(struct ctx *c, const struct experiment_name *in,
                                    struct experiment_reply *out)
{
	int found = store_experiment_get_by_name(c, in->experiment_name, &out->experiment);

	if (found < 0)
		return -1;
	if (!found)
		return fail(c, RESOURCE_DOES_NOT_EXIST, "Could not find experiment with name '%s'",
		            in->experiment_name);
	return 0;
}

int tracking_experiment_search(struct ctx *c, const struct search_experiments *in,
                               struct experiment_page *out)
{
	struct search_query q = {
		.entity = SEARCH_EXPERIMENTS,
		.view = tracking_view(in->view_type),
		.filter = in->filter,
		.order_by = in->order_by,
		.max_results = in->max_results ? *in->max_results : 0,
		.page_token = in->page_token,
		.token_key = store_settings_token_key(),
	};

	if (tracking_max_results(c, q.max_results))
		return -1;
	return store_experiment_search(c, &q, &out->experiments, &out->next_page_token);
}

int tracking_experiment_update(struct ctx *c, const struct update_experiment *in, struct empty *out)
{
	enum experiment_change change;
	int64_t id;

	(void)out;
	if (tracking_validate_length(c, "name", LIMIT_EXPERIMENT_NAME, in->new_name)
	    || tracking_validate_experiment_id(c, in->experiment_id, &id)
	    || store_experiment_rename(c, id, in->new_name, clock_wall_ms(), &change))
		return -1;
	if (change == EXPERIMENT_MISSING)
		return tracking_experiment_missing(c, id);
	if (change == EXPERIMENT_DELETED)
		return fail(c, INVALID_STATE, "Cannot rename a non-active experiment.");
	return change == EXPERIMENT_NAME_TAKEN ? name_taken(c, in->new_name, false) : 0;
}

int tracking_experiment_delete(struct ctx *c, const struct experiment_key *in, struct empty *out)
{
	int64_t id;
	int found;

	(void)out;
	if (tracking_validate_experiment_id(c, in->experiment_id, &id))
		return -1;
	found = store_experiment_delete(c, id, clock_wall_ms());
	if (found < 0)
		return -1;
	return found ? 0 : tracking_experiment_missing(c, id);
}

int tracking_experiment_restore(struct ctx *c, const struct experiment_key *in, struct empty *out)
{
	int64_t id;
	int found;

	(void)out;
	if (tracking_validate_experiment_id(c, in->experiment_id, &id))
		return -1;
	found = store_experiment_restore(c, id, clock_wall_ms());
	if (found < 0)
		return -1;
	return found ? 0 : tracking_experiment_missing(c, id);
}

int tracking_experiment_set_tag(struct ctx *c, const struct set_experiment_tag *in,
                                struct empty *out)
{
	struct tag tag = { in->key, in->value };
	enum experiment_change change;
	int64_t id;

	(void)out;
	if (check_tag(c, &tag) || tracking_validate_experiment_id(c, in->experiment_id, &id))
		return -1;
	if (store_experiment_set_tag(c, id, &tag, is_view_tag(in->key) ? VIEW_TAG_PREFIX : NULL,
	                             LIMIT_CUSTOM_VIEWS, &change))
		return -1;
	switch (change) {
	case EXPERIMENT_MISSING:
		return tracking_experiment_missing(c, id);
	case EXPERIMENT_TAGS_FULL:
		return too_many_views(c, arena_printf(c->arena, " for experiment %lld",
		                                      (long long)id));
	case EXPERIMENT_DELETED:
		return tracking_experiment_not_active(c, id);
	default:
		return 0;
	}
}

int tracking_experiment_delete_tag(struct ctx *c, const struct delete_experiment_tag *in,
                                   struct empty *out)
{
	enum experiment_change change;
	int64_t id;

	(void)out;
	if (tracking_validate_experiment_id(c, in->experiment_id, &id)
	    || store_experiment_delete_tag(c, id, in->key, &change))
		return -1;
	switch (change) {
	case EXPERIMENT_MISSING:
		return tracking_experiment_missing(c, id);
	case EXPERIMENT_DELETED:
		return tracking_experiment_not_active(c, id);
	case EXPERIMENT_TAG_MISSING:
		return fail(c, RESOURCE_DOES_NOT_EXIST,
		            "No tag with name: %s in experiment with id %s", in->key,
		            in->experiment_id);
	default:
		return 0;
	}
}
