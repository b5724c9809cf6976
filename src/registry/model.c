/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "registry/model.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "store/entities.h"
#include "store/model.h"
#include "tracking/validate.h"
#include "validate.h"

const struct record create_registered_model_record = {
	sizeof(struct create_registered_model), (const struct field[]){
	STRING(struct create_registered_model, name,        REQUIRED),
	LIST  (struct create_registered_model, tags,        0, &registry_tag_record),
	STRING(struct create_registered_model, description, 0),
	END }};

const struct record registered_model_name_record = {
	sizeof(struct registered_model_name), (const struct field[]){
	STRING(struct registered_model_name, name, REQUIRED),
	END }};

const struct record registered_model_reply_record = {
	sizeof(struct registered_model_reply), (const struct field[]){
	OBJECT(struct registered_model_reply, registered_model, 0, &registered_model_record),
	END }};

const struct record rename_registered_model_record = {
	sizeof(struct rename_registered_model), (const struct field[]){
	STRING(struct rename_registered_model, name,     REQUIRED),
	STRING(struct rename_registered_model, new_name, REQUIRED),
	END }};

const struct record update_registered_model_record = {
	sizeof(struct update_registered_model), (const struct field[]){
	STRING(struct update_registered_model, name,        REQUIRED),
	STRING(struct update_registered_model, description, 0),
	END }};

const struct record set_registered_model_tag_record = {
	sizeof(struct set_registered_model_tag), (const struct field[]){
	STRING(struct set_registered_model_tag, name,  REQUIRED),
	STRING(struct set_registered_model_tag, key,   REQUIRED),
	STRING(struct set_registered_model_tag, value, 0),
	END }};

const struct record delete_registered_model_tag_record = {
	sizeof(struct delete_registered_model_tag), (const struct field[]){
	STRING(struct delete_registered_model_tag, name, REQUIRED),
	STRING(struct delete_registered_model_tag, key,  REQUIRED),
	END }};

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct tag *)a)->key, ((const struct tag *)b)->key);
}

/* All of a new model is known. */
static struct registered_model *created(struct ctx *c, const struct new_registered_model *m)
{
	struct registered_model *made = NEW(c->arena, struct registered_model);

	*made = (struct registered_model){
		.name = m->name,
		.creation_timestamp = box_int64(c->arena, m->now),
		.last_updated_timestamp = box_int64(c->arena, m->now),
		.description = *m->description ? m->description : NULL,
		.tags = m->tags,
	};
	if (made->tags.count)
		qsort(made->tags.items, made->tags.count, sizeof(struct tag), by_key);
	return made;
}

int registry_model_create(struct ctx *c, const struct create_registered_model *in,
                          struct registered_model_reply *out)
{
	struct new_registered_model m = {
		.name = in->name, .description = or_empty(in->description), .now = clock_wall_ms(),
	};

	if (validate_new_model_name(c, in->name, "name") ||
	    validate_registry_tags(c, &in->tags, &m.tags) ||
	    validate_description(c, m.description) || store_model_create(c, &m))
		return -1;
	out->registered_model = created(c, &m);
	return 0;
}

int registry_model_get(struct ctx *c, const struct registered_model_name *in,
                       struct registered_model_reply *out)
{
	if (validate_model_name(c, in->name, "name"))
		return -1;
	return store_model_get(c, in->name, &out->registered_model);
}

int registry_model_rename(struct ctx *c, const struct rename_registered_model *in,
                          struct registered_model_reply *out)
{
	if (validate_new_model_name(c, in->new_name, "new_name") ||
	    validate_model_name(c, in->name, "name"))
		return -1;
	return store_model_rename(c, in->name, in->new_name, clock_wall_ms(),
	                          &out->registered_model);
}

int registry_model_update(struct ctx *c, const struct update_registered_model *in,
                          struct registered_model_reply *out)
{
	if (validate_model_name(c, in->name, "name") || validate_description(c, in->description))
		return -1;
	return store_model_update(c, in->name, or_empty(in->description), clock_wall_ms(),
	                          &out->registered_model);
}

int registry_model_delete(struct ctx *c, const struct registered_model_name *in, struct empty *out)
{
	(void)out;
	if (validate_model_name(c, in->name, "name"))
		return -1;
	return store_model_delete(c, in->name, clock_wall_ms());
}

int registry_model_set_tag(struct ctx *c, const struct set_registered_model_tag *in,
                           struct empty *out)
{
	const char *value = or_empty(in->value);

	(void)out;
	if (validate_model_name(c, in->name, "name") || validate_registry_tag(c, in->key, value))
		return -1;
	return store_model_set_tag(c, in->name, in->key, value);
}

int registry_model_delete_tag(struct ctx *c, const struct delete_registered_model_tag *in,
                              struct empty *out)
{
	(void)out;
	if (validate_model_name(c, in->name, "name") || tracking_validate_name(c, in->key, "key"))
		return -1;
	return store_model_delete_tag(c, in->name, in->key);
}
