/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What webhooks are told: mlflow/webhooks/types.py, filled as mlflow/server/handlers.py does. */

#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "model_impl.h"
#include "store/entities.h"
#include "store/model.h"

#define PROMPT_TEXT_TAG "mlflow.prompt.text"
#define PROMPT_TYPE_TAG "_mlflow_prompt_type"

struct created {
	const char *name;
	const char *version;
	const char *source;
	const char *run_id;
	const char *template;
	const char *tags;
	const char *description;
};

static const struct record created_record = { sizeof(struct created), (const struct field[]){
	STRING(struct created, name,        0),
	STRING(struct created, version,     0),
	STRING(struct created, source,      0),
	RAW   (struct created, run_id,      0),
	RAW   (struct created, template,    0),
	RAW   (struct created, tags,        0),
	RAW   (struct created, description, 0),
	END }};

struct tag_changed {
	const char *name;
	const char *version;
	const char *key;
	const char *value;
};

static const struct record tag_changed_record = {
	sizeof(struct tag_changed), (const struct field[]){
	STRING(struct tag_changed, name,    0),
	STRING(struct tag_changed, version, 0),
	STRING(struct tag_changed, key,     0),
	STRING(struct tag_changed, value,   0),
	END }};

struct alias_changed {
	const char *name;
	const char *alias;
	const char *version;
};

static const struct record alias_changed_record = {
	sizeof(struct alias_changed), (const struct field[]){
	STRING(struct alias_changed, name,    0),
	STRING(struct alias_changed, alias,   0),
	STRING(struct alias_changed, version, 0),
	END }};

/* A JSON string; "null" for NULL. */
static const char *text_json(struct ctx *c, const char *text)
{
	struct buf b = BUF(c->arena, LIMIT_BODIES);

	if (!text)
		return "null";
	buf_add_json_string(&b, text);
	return buf_text(&b);
}

static const char *or_null(const char *text)
{
	return text && *text ? text : NULL;
}

static bool of_prompts(const char *key)
{
	return strcmp(key, MODEL_PROMPT_TAG) == 0 || strcmp(key, PROMPT_TYPE_TAG) == 0;
}

/* An object of tags, for prompts without those that make them one. */
static const char *tags_json(struct ctx *c, const struct list *tags, bool prompt, const char *leave)
{
	struct buf b = BUF(c->arena, LIMIT_BODIES);

	buf_addc(&b, '{');
	for (size_t i = 0; i < tags->count; i++) {
		const struct tag *t = LIST_AT(struct tag, tags, i);

		if (prompt && (of_prompts(t->key) || (leave && strcmp(t->key, leave) == 0)))
			continue;
		if (b.size > 1)
			buf_addc(&b, ',');
		buf_add_json_string(&b, t->key);
		buf_addc(&b, ':');
		buf_add_json_string(&b, t->value);
	}
	buf_addc(&b, '}');
	return buf_text(&b);
}

static const char *value_of(const struct list *tags, const char *key)
{
	for (size_t i = 0; i < tags->count; i++) {
		const struct tag *t = LIST_AT(struct tag, tags, i);

		if (strcmp(t->key, key) == 0)
			return t->value;
	}
	return NULL;
}

void model_event_created(struct ctx *c, bool prompt, const char *name, const struct list *tags,
                         const char *description)
{
	struct created event = {
		.name = name,
		.tags = tags_json(c, tags, prompt, NULL),
		.description = text_json(c, description),
	};

	store_event_queue(c, prompt ? EVENT_PROMPT_CREATED : EVENT_REGISTERED_MODEL_CREATED,
	                  &created_record, &event);
}

void model_event_version_created(struct ctx *c, bool prompt, const struct version_created *v)
{
	struct created event = {
		.name = v->name,
		.version = v->version,
		.tags = tags_json(c, v->tags, prompt, PROMPT_TEXT_TAG),
		.description = text_json(c, or_null(v->description)),
	};

	if (prompt) {
		event.template = text_json(c, value_of(v->tags, PROMPT_TEXT_TAG));
	} else {
		event.source = v->source;
		event.run_id = text_json(c, or_null(v->run_id));
	}
	store_event_queue(c, prompt ? EVENT_PROMPT_VERSION_CREATED : EVENT_MODEL_VERSION_CREATED,
	                  &created_record, &event);
}

void model_event_tag(struct ctx *c, enum store_event e, const char *name, const char *version,
                     const char *key, const char *value)
{
	struct tag_changed event = { name, version, key, value };

	store_event_queue(c, e, &tag_changed_record, &event);
}

void model_event_alias(struct ctx *c, enum store_event e, const char *name, const char *alias,
                       const char *version)
{
	struct alias_changed event = { name, alias, version };

	store_event_queue(c, e, &alias_changed_record, &event);
}
