/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Runs as such: created, found, changed, deleted. What is logged to them is in run_write.c. */

#include "tracking/run.h"

#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "store/run.h"
#include "tracking/validate.h"

#define RUN_NAME_TAG "mlflow.runName"

/* ---- records, in the order in which handlers.py checks ---- */

const struct record create_run_record = { sizeof(struct create_run), (const struct field[]){
	STRING(struct create_run, experiment_id, 0),
	INT64 (struct create_run, start_time,    0),
	STRING(struct create_run, run_name,      0),
	STRING(struct create_run, user_id,       0),
	LIST  (struct create_run, tags,          0, &tag_record),
	END }};

const struct record run_reply_record = { sizeof(struct run_reply), (const struct field[]){
	OBJECT(struct run_reply, run, 0, &run_record),
	END }};

const struct record run_request_record = { sizeof(struct run_request), (const struct field[]){
	STRING   (struct run_request, run_id, REQUIRED),
	STRING_AS(struct run_request, run_id, "run_uuid"),
	END }};

const struct record update_run_record = { sizeof(struct update_run), (const struct field[]){
	STRING   (struct update_run, run_id,   REQUIRED),
	STRING_AS(struct update_run, run_id,   "run_uuid"),
	INT64    (struct update_run, end_time, 0),
	ENUM     (struct update_run, status,   0, run_status_names),
	STRING   (struct update_run, run_name, 0),
	END }};

const struct record update_run_reply_record = {
	sizeof(struct update_run_reply),
	(const struct field[]){ OBJECT(struct update_run_reply, run_info, 0, &run_info_record),
				END }
};

/* ---- creating ---- */

/* MLflow's tags of a new run may have any key; what its database refuses is refused here. */
static int validate_tags(struct ctx *c, struct list *tags)
{
	for (size_t i = 0; i < tags->count; i++) {
		struct tag *t = LIST_AT(struct tag, tags, i);

		if (!t->value)
			t->value = "";
		if (tracking_validate_length(c, arena_printf(c->arena, "tags[%zu].key", i),
					     LIMIT_KEY, t->key) ||
		    tracking_validate_length(c, arena_printf(c->arena, "tags[%zu].value", i),
					     LIMIT_TAG_VALUE, t->value))
			return -1;
		for (size_t j = 0; j < i; j++) {
			if (strcmp(LIST_AT(struct tag, tags, j)->key, t->key) == 0)
				return fail(c, INVALID_PARAMETER_VALUE,
					    "Duplicate tag key '%s': a new run takes one value per "
					    "key.",
					    t->key);
		}
	}
	return 0;
}

static const char *named_by_tag(const struct list *tags)
{
	for (size_t i = 0; i < tags->count; i++) {
		const struct tag *t = LIST_AT(struct tag, tags, i);

		if (strcmp(t->key, RUN_NAME_TAG) == 0)
			return t->value && *t->value ? t->value : NULL;
	}
	return NULL;
}

/* The name, and the tags with it. */
static int choose_name(struct ctx *c, const struct create_run *in, const char **name,
		       struct list *tags)
{
	const char *tag = named_by_tag(&in->tags);
	const char *given = in->run_name && *in->run_name ? in->run_name : NULL;
	struct tag *items = NEW_ARRAY(c->arena, in->tags.count + 1, struct tag);

	if (given && tag && strcmp(given, tag) != 0)
		return fail(
			c, INVALID_PARAMETER_VALUE,
			"Both 'run_name' argument and 'mlflow.runName' tag are specified, but with "
			"different values (run_name='%s', mlflow.runName='%s').",
			given, tag);
	*name = given ? given : tag ? tag : id_run_name(c->arena);
	*tags = (struct list){ items, in->tags.count };
	if (in->tags.count)
		memcpy(items, in->tags.items, in->tags.count * sizeof(*items));
	if (!tag)
		items[tags->count++] = (struct tag){ RUN_NAME_TAG, *name };
	return tracking_validate_length(c, "run_name", LIMIT_RUN_NAME, *name);
}

static void reply(struct ctx *c, const struct write *w, struct run_reply *out)
{
	struct run *run = NEW(c->arena, struct run);
	struct new_run *n = w->create;

	run->info = n->info;
	*run->info = (struct run_info){
		.run_id = n->run_id,
		.run_uuid = n->run_id,
		.run_name = n->name,
		.user_id = n->user_id,
		.experiment_id = arena_printf(c->arena, "%lld", (long long)n->experiment_id),
		.status = "RUNNING",
		.start_time = &n->start_time,
		.lifecycle_stage = "active",
	};
	run->data = NEW(c->arena, struct run_data);
	run->data->tags = w->tags;
	run->inputs = NEW(c->arena, struct run_inputs);
	out->run = run;
}

int tracking_run_create(struct ctx *c, const struct create_run *in, struct write *w,
			struct run_reply *out)
{
	struct new_run *n = NEW(c->arena, struct new_run);
	const char *experiment = in->experiment_id && *in->experiment_id ? in->experiment_id : "0";

	if (tracking_validate_experiment_id(c, experiment, &n->experiment_id) ||
	    choose_name(c, in, &n->name, &w->tags) || validate_tags(c, &w->tags) ||
	    tracking_validate_length(c, "user_id", LIMIT_USER_ID, in->user_id))
		return -1;
	n->run_id = id_uuid_hex(c->arena);
	n->user_id = in->user_id ? in->user_id : "";
	n->start_time = in->start_time ? *in->start_time : 0;
	n->info = NEW(c->arena, struct run_info);
	w->create = n;
	w->run_id = n->run_id;
	reply(c, w, out);
	return 0;
}

/* ---- the others ---- */

int tracking_run_get(struct ctx *c, const struct run_request *in, struct read *r,
		     struct run_reply *out)
{
	(void)c;
	r->run_id = in->run_id;
	r->run = &out->run;
	return 0;
}

int tracking_run_update(struct ctx *c, const struct update_run *in, struct update_run_reply *out)
{
	const struct run_change change = {
		.status = in->status,
		.end_time = in->end_time,
		.name = in->run_name && *in->run_name ? in->run_name : NULL,
	};

	if (tracking_validate_length(c, "run_name", LIMIT_RUN_NAME, change.name))
		return -1;
	out->run_info = NEW(c->arena, struct run_info);
	return store_run_update(c, in->run_id, &change, out->run_info);
}

int tracking_run_delete(struct ctx *c, const struct run_request *in, struct empty *out)
{
	(void)out;
	return store_run_delete(c, in->run_id, clock_wall_ms());
}

int tracking_run_restore(struct ctx *c, const struct run_request *in, struct empty *out)
{
	(void)out;
	return store_run_restore(c, in->run_id);
}
