/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * withhold — replies name more than what was asked for: a run its models, a version its run. What a
 * user is denied (a DENY on all runs, logged models or versions) is cleared from the record of the
 * reply, as the _withhold_* and redact_* functions of MLflow's auth app do. By the names of fields,
 * so that a new record cannot be forgotten. What the row itself gives is not in question: without a
 * right to runs nobody gets to a reply that is one.
 */
#include <string.h>
#include <strings.h>

#include "artifacts/artifact.h"
#include "base/arena.h"
#include "base/empty.h"
#include "http.h"
#include "require.h"
#include "store/entities.h"

static const struct {
	const char *field;
	enum auth_resource tier;
} rules[] = {
	{ "run_id", AUTH_RUN },
	{ "run_uuid", AUTH_RUN },
	{ "run_link", AUTH_RUN },
	{ "source_run_id", AUTH_RUN },
	{ "model_id", AUTH_LOGGED_MODEL },
	{ "model_params", AUTH_LOGGED_MODEL },
	{ "model_metrics", AUTH_LOGGED_MODEL },
	{ "model_inputs", AUTH_LOGGED_MODEL },
	{ "model_outputs", AUTH_LOGGED_MODEL },
};

static const enum auth_resource tiers[] = {
	AUTH_RUN, AUTH_LOGGED_MODEL, AUTH_REGISTERED_MODEL_VERSION, AUTH_PROMPT_VERSION,
};

static void clear(const struct field *f, void *in)
{
	void *at = (char *)in + f->offset;

	if (f->type == FIELD_LIST || f->type == FIELD_STRINGS)
		*(struct list *)at = (struct list){ 0 };
	else
		*(const void **)at = NULL;
}

static bool is_prompt(const struct record *r, const void *in)
{
	for (const struct field *f = r->fields; f->name; f++) {
		const struct list *tags = (const struct list *)(const void *)((const char *)in +
									     f->offset);

		if (f->type != FIELD_LIST || f->record != &tag_record)
			continue;
		for (size_t i = 0; i < tags->count; i++) {
			const struct tag *t = LIST_AT(struct tag, tags, i);

			if (t->key && strcmp(t->key, "mlflow.prompt.is_prompt") == 0)
				return t->value && strcasecmp(t->value, "true") == 0;
		}
	}
	return false;
}

static bool rule_hides(const struct field *f, unsigned denied)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (strcmp(f->name, rules[i].field) == 0)
			return denied & 1u << rules[i].tier;
	}
	return false;
}

static bool hidden(const struct record *r, const struct field *f, const void *in, unsigned denied)
{
	if (strcmp(f->name, "latest_versions") == 0)
		return denied & 1u << (is_prompt(r, in) ? AUTH_PROMPT_VERSION
							: AUTH_REGISTERED_MODEL_VERSION);
	return rule_hides(f, denied);
}

/* What may have to be cleared from a record, if only an instance of it has it. */
static bool may_hide(const struct record *r, unsigned denied)
{
	for (const struct field *f = r->fields; f->name; f++) {
		if (strcmp(f->name, "latest_versions") == 0 || rule_hides(f, denied))
			return true;
		if ((f->type == FIELD_OBJECT || f->type == FIELD_LIST) &&
		    may_hide(f->record, denied))
			return true;
	}
	return false;
}

/* What was made as text becomes a record again. */
static void unpack(struct ctx *c, const struct record *r, void *in)
{
	void *whole = (char *)in + r->fields->offset;
	const char *text = *(const char *const *)whole;
	char *copy;

	if (!text)
		return;
	copy = arena_strdup(c->arena, text);
	memset(in, 0, r->size);
	if (record_read(c, r, copy, strlen(text), in)) {
		memset(in, 0, r->size); /* nothing is shown rather than all */
		error_clear(c);
	}
}

/* Replies are trees of a few levels; no record of theirs holds itself. */
static void walk(struct ctx *c, const struct record *r, void *in, unsigned denied)
{
	if (r->fields->flags & WHOLE && may_hide(r, denied))
		unpack(c, r, in);
	for (const struct field *f = r->fields; f->name; f++) {
		void *at = (char *)in + f->offset;

		if (hidden(r, f, in, denied)) {
			clear(f, in);
		} else if (f->type == FIELD_OBJECT && *(void **)at) {
			walk(c, f->record, *(void **)at, denied);
		} else if (f->type == FIELD_LIST) {
			const struct list *l = at;

			for (size_t i = 0; i < l->count; i++)
				walk(c, f->record, (char *)l->items + i * f->record->size,
				     denied);
		}
	}
}

static bool allowed(const struct job *j, const struct auth_requirement *r, size_t count)
{
	return auth_allows(j->server->options.auth, j->ctx.principal, r, count);
}

/* The folder of an experiment names its runs. */
static void withhold_run_folders(struct job *j)
{
	struct list_artifacts_reply *out = j->out;
	struct requirements needed;
	size_t kept = 0;

	if (!require_run_folders(j, &needed) || allowed(j, needed.items, needed.count))
		return;
	for (size_t i = 0; i < out->files.count; i++) {
		struct artifact_file *files = out->files.items;
		const char *name = files[i].path;

		if (strlen(name) != 32 || strspn(name, "0123456789abcdef") != 32)
			files[kept++] = files[i];
	}
	out->files.count = kept;
}

/* The tiers, a bit each. */
static unsigned denied_to(const struct job *j)
{
	unsigned denied = 0;

	for (size_t i = 0; i < sizeof(tiers) / sizeof(tiers[0]); i++) {
		struct auth_requirement r = {
			.rungs = { { tiers[i], NULL, ACTION_NOT_DENIED } }, .count = 1
		};

		if (!allowed(j, &r, 1))
			denied |= 1u << tiers[i];
	}
	return denied;
}

bool withholds(const struct job *j)
{
	unsigned denied = denied_to(j);

	return denied && may_hide(j->match.route->reply, denied);
}

void withhold(struct job *j)
{
	const struct record *reply = j->match.route->reply;
	unsigned denied;

	if (reply == &empty_record)
		return;
	if (j->match.route->request == &list_proxy_artifacts_record)
		withhold_run_folders(j);
	denied = denied_to(j);
	if (denied)
		walk(&j->ctx, reply, j->out, denied);
}
