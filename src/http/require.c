/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "require.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#include "artifacts/location.h"
#include "artifacts/path.h"
#include "base/arena.h"
#include "facts.h"
#include "http.h"
#include "places.h"
#include "store/fact.h"
#include "tracking/experiment.h"
#include "tracking/validate.h"
#include "version_places.h"

#define PROMPT_TAG "mlflow.prompt.is_prompt"

/* A decision in the making. */
struct need {
	struct job *job;
	struct ctx *ctx;
	struct requirements *list;
};

static int denied(struct need *n)
{
	return fail(n->ctx, PERMISSION_DENIED, "Permission denied");
}

static int missing(struct need *n, const char *name)
{
	return fail(n->ctx, INVALID_PARAMETER_VALUE,
		    "Missing value for required parameter '%s'. See the API docs for more "
		    "information about request parameters.", name);
}

/* ---- requirements ---- */

static struct auth_requirement *add(struct need *n, enum auth_resource type, const char *id,
				    enum auth_action action)
{
	struct requirements *l = n->list;
	struct auth_requirement *r;

	if (l->count == l->capacity) {
		size_t more = l->capacity ? 2 * l->capacity : 8;

		l->items = arena_grow(n->ctx->arena, l->items, l->capacity * sizeof(*r),
				      more * sizeof(*r));
		l->capacity = more;
	}
	r = &l->items[l->count++];
	r->rungs[0].type = type;
	r->rungs[0].id = id;
	r->rungs[0].action = action;
	r->count = 1;
	return r;
}

/* A grant on the child's type decides; without one, a grant on what holds it. */
static void add_child(struct need *n, enum auth_resource child, enum auth_action action,
		      enum auth_resource type, const char *id)
{
	struct auth_requirement *r = add(n, child, NULL, action);

	assert(r->count < AUTH_RUNGS);
	r->rungs[r->count].type = type;
	r->rungs[r->count].id = id;
	r->rungs[r->count].action = action;
	r->count++;
}

static void add_in_experiment(struct need *n, const char *experiment, enum auth_resource child,
			      enum auth_action action)
{
	add(n, AUTH_EXPERIMENT, experiment, ACTION_READ);
	add_child(n, child, action, AUTH_EXPERIMENT, experiment);
}

/* ---- what the request says ---- */

static const char *path_field(const struct job *j, const char *name)
{
	for (size_t i = 0; i < j->match.count; i++) {
		if (strcmp(j->match.names[i], name) == 0)
			return j->match.values[i];
	}
	return NULL;
}

/* "" counts as given. */
static const char *given(const struct job *j, const char *name)
{
	const struct record *r = j->match.route->request;

	if (!r) {
		const char *value = path_field(j, name);

		return value ? value : target_argument(&j->target, name);
	}
	for (const struct field *f = r->fields; f->name; f++) {
		if (f->type == FIELD_STRING && strcmp(f->name, name) == 0)
			return *(const char **)(void *)((char *)j->in + f->offset);
	}
	return NULL;
}

static const struct list *given_list(const struct job *j, const char *name, enum field_type type)
{
	static const struct list none;
	const struct record *r = j->match.route->request;

	for (const struct field *f = r ? r->fields : NULL; f && f->name; f++) {
		if (f->type == type && strcmp(f->name, name) == 0)
			return (const struct list *)(void *)((char *)j->in + f->offset);
	}
	return &none;
}

static const char *text_at(const void *struct_, const struct record *r, const char *name)
{
	for (const struct field *f = r->fields; f->name; f++) {
		if (f->type == FIELD_STRING && strcmp(f->name, name) == 0)
			return *(const char *const *)(const void *)((const char *)struct_ +
								    f->offset);
	}
	return NULL;
}

/* Every model_id of the request: its own and those of its lists' elements. */
static const char **model_ids(struct need *n, size_t *count)
{
	const struct record *r = n->job->match.route->request;
	const char *own = given(n->job, "model_id");
	const char **ids;
	size_t most = 1;

	for (const struct field *f = r->fields; f->name; f++) {
		if (f->type == FIELD_LIST)
			most += ((const struct list *)(void *)((char *)n->job->in + f->offset))->count;
	}
	ids = NEW_ARRAY(n->ctx->arena, most, const char *);
	*count = 0;
	if (own && *own)
		ids[(*count)++] = own;
	for (const struct field *f = r->fields; f->name; f++) {
		const struct list *l = (const struct list *)(void *)((char *)n->job->in + f->offset);

		for (size_t i = 0; f->type == FIELD_LIST && i < l->count; i++) {
			const char *id = text_at((const char *)l->items + i * f->record->size,
						 f->record, "model_id");

			if (id && *id)
				ids[(*count)++] = id;
		}
	}
	return ids;
}

/* 1, 0: what the tags say of being a prompt; -1: nothing. */
static int prompt_marker(const struct job *j)
{
	const struct list *tags = given_list(j, "tags", FIELD_LIST);
	int marker = -1;

	for (size_t i = 0; i < tags->count; i++) {
		const struct tag *t = LIST_AT(struct tag, tags, i);

		if (t->key && strcmp(t->key, PROMPT_TAG) == 0)
			marker = t->value && strcasecmp(t->value, "true") == 0;
	}
	return marker;
}

/* ---- experiments ---- */

static const char *number(struct need *n, int64_t id)
{
	return arena_printf(n->ctx->arena, "%lld", (long long)id);
}

/* As grants spell it: "01" and "+1" are experiment 1. Other text names none, and the handler will
   say so. */
static const char *experiment_text(struct need *n, const char *text)
{
	int64_t id;

	if (tracking_validate_experiment_id(n->ctx, text, &id) == 0)
		return number(n, id);
	error_clear(n->ctx);
	return text;
}

static int on_experiment(struct need *n, enum auth_action action)
{
	const char *id = given(n->job, "experiment_id");

	if (!id || !*id)
		return missing(n, "experiment_id");
	add(n, AUTH_EXPERIMENT, experiment_text(n, id), action);
	return 1;
}

static int on_experiment_named(struct need *n)
{
	const char *name = given(n->job, "experiment_name");
	int64_t id;
	int found;

	if (!name || !*name)
		return missing(n, "experiment_name");
	if (!n->ctx->db)
		return 0;
	found = store_fact_experiment_named(n->ctx, name, &id);
	if (found < 0)
		return -1;
	if (!found)
		return fail(n->ctx, RESOURCE_DOES_NOT_EXIST,
			    "Could not find experiment with name '%s'", name);
	add(n, AUTH_EXPERIMENT, number(n, id), ACTION_READ);
	return 1;
}

static int on_experiments(struct need *n)
{
	const struct list *ids = given_list(n->job, "experiment_ids", FIELD_STRINGS);

	/* Of none the handler refuses to tell anything. */
	for (size_t i = 0; i < ids->count; i++) {
		const char *id = *LIST_AT(const char *, ids, i);

		if (!id)
			return missing(n, "experiment_ids");
		add(n, AUTH_EXPERIMENT, experiment_text(n, id), ACTION_READ);
	}
	return 1;
}

/* What a deleted experiment takes along must be the user's to delete as well. */
static int delete_experiment(struct need *n)
{
	static const enum auth_resource tiers[] = {
		AUTH_RUN, AUTH_TRACE, AUTH_LOGGED_MODEL, AUTH_ASSESSMENT, AUTH_REVIEW_QUEUE,
		AUTH_SCORER, AUTH_SCORER_VERSION,
	};
	const char *id = given(n->job, "experiment_id");

	if (!id || !*id)
		return missing(n, "experiment_id");
	id = experiment_text(n, id);
	add(n, AUTH_EXPERIMENT, id, ACTION_DELETE);
	for (size_t i = 0; i < sizeof(tiers) / sizeof(tiers[0]); i++)
		add_child(n, tiers[i], ACTION_DELETE, AUTH_EXPERIMENT, id);
	return 1;
}

/* ---- runs and logged models ---- */

/* The experiment of each, -1: of none. */
static int experiments_of(struct need *n, enum fact_kind kind, const char *const *ids, size_t count,
			  int64_t *ret)
{
	struct facts *facts = n->job->server->facts;
	struct ctx *c = n->ctx;
	const char **asked;
	size_t *places;
	size_t unknown = 0;
	int64_t *found;

	for (size_t i = 0; i < count; i++) {
		ret[i] = -1;
		unknown += !facts_get(facts, kind, ids[i], &ret[i]);
	}
	if (!unknown)
		return 1;
	if (!c->db)
		return 0;
	asked = NEW_ARRAY(c->arena, unknown, const char *);
	places = NEW_ARRAY(c->arena, unknown, size_t);
	found = NEW_ARRAY(c->arena, unknown, int64_t);
	unknown = 0;
	for (size_t i = 0; i < count; i++) {
		if (ret[i] < 0) {
			asked[unknown] = ids[i];
			places[unknown++] = i;
		}
	}
	if ((kind == FACT_RUN ? store_fact_runs : store_fact_logged_models)(c, asked, unknown, found))
		return -1;
	for (size_t i = 0; i < unknown; i++) {
		ret[places[i]] = found[i];
		if (found[i] >= 0)
			facts_put(facts, kind, asked[i], found[i]);
	}
	return 1;
}

/* One that is missing is refused like one that is not the user's: no answer tells which ids exist. */
static int on_each(struct need *n, enum fact_kind kind, const char *const *ids, size_t count,
		   enum auth_action action, bool tell_missing)
{
	enum auth_resource type = kind == FACT_RUN ? AUTH_RUN : AUTH_LOGGED_MODEL;
	int64_t *experiments = NEW_ARRAY(n->ctx->arena, count, int64_t);
	int got = experiments_of(n, kind, ids, count, experiments);

	if (got <= 0)
		return got;
	for (size_t i = 0; i < count; i++) {
		size_t same = 0;

		if (experiments[i] < 0 && tell_missing)
			return fail(n->ctx, RESOURCE_DOES_NOT_EXIST, "Run with id=%.200s not found",
				    ids[i]);
		if (experiments[i] < 0)
			return denied(n);
		while (experiments[same] != experiments[i])
			same++;
		if (same == i)
			add_in_experiment(n, number(n, experiments[i]), type, action);
	}
	return 1;
}

static int on_run(struct need *n, enum auth_action action)
{
	const char *ids[2];
	size_t count = 0;
	const char *id = given(n->job, "run_id");

	if (id && *id)
		ids[count++] = id;
	/* Handlers of queries take the one or the other; a record has both in one field. */
	id = n->job->match.route->request ? NULL : given(n->job, "run_uuid");
	if (id && *id)
		ids[count++] = id;
	return count ? on_each(n, FACT_RUN, ids, count, action, false) : missing(n, "run_id");
}

static int on_runs(struct need *n)
{
	const struct list *ids = given_list(n->job, "run_ids", FIELD_STRINGS);

	if (!ids->count)
		ids = given_list(n->job, "run_id", FIELD_STRINGS);
	for (size_t i = 0; i < ids->count; i++) {
		if (!*LIST_AT(const char *, ids, i))
			return missing(n, "run_id");
	}
	/* Of none the handler refuses to tell anything. */
	return on_each(n, FACT_RUN, ids->items, ids->count, ACTION_READ, true);
}

static int on_model(struct need *n, enum auth_action action)
{
	const char *id = given(n->job, "model_id");

	if (!id || !*id)
		return missing(n, "model_id");
	return on_each(n, FACT_LOGGED_MODEL, &id, 1, action, false);
}

/* Metrics, inputs and outputs may name models of other experiments. */
static int on_run_and_models(struct need *n)
{
	size_t count;
	const char **ids = model_ids(n, &count);
	int got = on_run(n, ACTION_UPDATE);

	return got <= 0 || !count
		? got : on_each(n, FACT_LOGGED_MODEL, ids, count, ACTION_UPDATE, false);
}

static int on_run_or_model(struct need *n)
{
	const char *run = given(n->job, "run_id"), *model = given(n->job, "model_id");

	if ((run && *run) == (model && *model))
		return fail(n->ctx, INVALID_PARAMETER_VALUE,
			    "Exactly one of run_id and model_id must be provided.");
	return run && *run ? on_run(n, ACTION_UPDATE) : on_model(n, ACTION_UPDATE);
}

static int create_in_experiment(struct need *n, enum auth_resource created)
{
	const char *id = given(n->job, "experiment_id");
	const char *source = given(n->job, "source_run_id");

	if (!id || !*id)
		id = "0"; /* as the handlers take it */
	add(n, AUTH_EXPERIMENT, experiment_text(n, id), ACTION_UPDATE);
	add(n, created, NULL, ACTION_NOT_DENIED);
	return source && *source ? on_each(n, FACT_RUN, &source, 1, ACTION_READ, false) : 1;
}

/* The rows found are filtered, but a filter that selects by run tells of runs all the same. It is
   read as text: who is denied all runs can do without the word in a value, too. */
static int on_filter(struct need *n)
{
	const char *filter = given(n->job, "filter");

	if (filter && strcasestr(filter, "run_id"))
		add(n, AUTH_RUN, NULL, ACTION_NOT_DENIED);
	return 1;
}

/* ---- the artifact proxy ---- */

enum { RUN_ID = 32 };

static bool is_run_folder(const char *name, size_t size)
{
	return size == RUN_ID && strspn(name, "0123456789abcdef") >= RUN_ID;
}

/* A path in a run's, model's or trace's folder is theirs; a deletion is judged by all that it may
   reach (CVE-2024-4263: and needs more than the right to write). */
static int on_key(struct need *n, const char *key, enum auth_action action)
{
	bool whole = action == ACTION_MANAGE;
	const char *experiment, *rest = places_below_experiment(n->ctx, key, &experiment);
	size_t first;

	if (!rest) {
		add(n, AUTH_EXPERIMENT, NULL, action);
		return 1;
	}
	first = strcspn(rest, "/");
	if (!first && whole) {
		add_in_experiment(n, experiment, AUTH_RUN, action);
		add_child(n, AUTH_TRACE, action, AUTH_EXPERIMENT, experiment);
		add_child(n, AUTH_LOGGED_MODEL, action, AUTH_EXPERIMENT, experiment);
	} else if (first == 6 && memcmp(rest, "models", 6) == 0) {
		add_in_experiment(n, experiment, AUTH_LOGGED_MODEL, action);
	} else if (first == 6 && memcmp(rest, "traces", 6) == 0) {
		add_in_experiment(n, experiment, AUTH_TRACE, action);
	} else if (first && (whole || is_run_folder(rest, first) ||
			     strcmp(rest + first, "/artifacts") == 0 ||
			     strncmp(rest + first, "/artifacts/", 11) == 0)) {
		add_in_experiment(n, experiment, AUTH_RUN, action);
	} else {
		add(n, AUTH_EXPERIMENT, experiment, action);
	}
	return 1;
}

/* The key as the handler makes it. -1: it will refuse the path. */
static int artifact_key(struct need *n, const char **key)
{
	/* Where bytes are streamed, the path alone counts, not the query. */
	bool streamed = !n->job->match.route->request;
	const char *folder = streamed ? NULL : given(n->job, "artifact_path");
	const char *path = streamed ? path_field(n->job, "path") : given(n->job, "path");
	const char *slash, *base, *name;

	if (!folder)
		return artifact_path_key(n->ctx, path ? path : "", ARTIFACT_DIRECTORY, key);
	if (artifact_path_key(n->ctx, folder, ARTIFACT_ANY, &base))
		return -1;
	*key = base;
	if (!path)
		return 0;
	slash = strrchr(path, '/');
	return artifact_path_key(n->ctx, slash ? slash + 1 : path, ARTIFACT_ANY, &name) ||
	       artifact_path_join(n->ctx, base, name, key);
}

static int on_artifact(struct need *n, enum auth_action action)
{
	const char *key;

	if (artifact_key(n, &key)) {
		error_clear(n->ctx);
		return denied(n);
	}
	return on_key(n, key, action);
}

static int on_places(struct need *n, const char *place, enum auth_action action, bool inside)
{
	int64_t ids[PLACES];
	size_t count;
	int got = places_experiments(n->ctx, place, inside, ids, &count);

	for (size_t i = 0; got > 0 && i < count; i++)
		add(n, AUTH_EXPERIMENT, number(n, ids[i]), action);
	return got;
}

/* A place that a client chooses must not lie among the files of an experiment that he may not write
   to. */
static int create_experiment(struct need *n)
{
	const char *place = given(n->job, "artifact_location");
	const char *key, *experiment;
	int got;

	add(n, AUTH_EXPERIMENT, NULL, ACTION_NOT_DENIED);
	if (!place || !*place)
		return 1;
	/* What is no place of ours the handler refuses, or nobody ever writes to. */
	if (tracking_experiment_location(n->ctx, place, &place)) {
		error_clear(n->ctx);
		return 1;
	}
	place = places_trim(n->ctx, place);
	got = on_places(n, place, ACTION_UPDATE, false);
	if (got > 0 && !location_to_key(n->ctx, place, &key) &&
	    places_below_experiment(n->ctx, key, &experiment))
		got = on_key(n, key, ACTION_UPDATE);
	if (got > 0)
		error_clear(n->ctx);
	return got;
}

/* What a version's source names in a bucket is read with the server's credentials, by whoever may read
   the version: so whoever makes it must be allowed to read all that lies there. */
static int on_source(struct need *n, const char *source)
{
	const char *place, *key;
	int got;

	if (location_remote(n->ctx, source, &place)) {
		error_clear(n->ctx); /* nothing that is ever opened as a bucket */
		return 1;
	}
	if (location_holds_root(n->ctx, place))
		return denied(n);
	got = on_places(n, place, ACTION_READ, true);
	if (got <= 0)
		return got;
	if (!location_to_key(n->ctx, place, &key))
		return on_key(n, key, ACTION_READ);
	error_clear(n->ctx);
	return 1;
}

/* ---- the registry ---- */

struct container {
	enum auth_resource type;        /* registered model or prompt, as it is stored */
	enum auth_resource version;
	const char *name;
	bool found;
};

static int find_container(struct need *n, const char *name, struct container *ret)
{
	bool prompt = false;
	int found;

	if (!name || !*name)
		return missing(n, "name");
	if (!n->ctx->db)
		return 0;
	found = store_fact_registered_model(n->ctx, name, &prompt);
	if (found < 0)
		return -1;
	*ret = (struct container){
		.type = prompt ? AUTH_PROMPT : AUTH_REGISTERED_MODEL,
		.version = prompt ? AUTH_PROMPT_VERSION : AUTH_REGISTERED_MODEL_VERSION,
		.name = name,
		.found = found > 0,
	};
	return 1;
}

/* One that is missing: the handler says so to whom the default lets. */
static int on_registered_model(struct need *n, enum auth_action action)
{
	struct container of;
	int got = find_container(n, given(n->job, "name"), &of);

	if (got > 0)
		add(n, of.type, of.name, action);
	return got;
}

static int on_version(struct need *n, enum auth_action action)
{
	struct container of;
	int got = find_container(n, given(n->job, "name"), &of);

	if (got <= 0)
		return got;
	if (!of.found)
		return denied(n);
	switch (n->job->match.route->needs) {
	case NEEDS_READ_MODEL_VERSION:
		add(n, of.type, of.name, ACTION_READ);
		add(n, of.version, NULL, ACTION_NOT_DENIED);
		break;
	case NEEDS_CREATE_MODEL_VERSION:
		add(n, of.type, of.name, ACTION_UPDATE);
		add(n, of.version, NULL, ACTION_NOT_DENIED);
		/* Tags that say otherwise than the model: the other type's veto counts too. */
		if (prompt_marker(n->job) == (of.type != AUTH_PROMPT))
			add(n, of.type == AUTH_PROMPT ? AUTH_REGISTERED_MODEL_VERSION
						      : AUTH_PROMPT_VERSION,
			    NULL, ACTION_NOT_DENIED);
		break;
	case NEEDS_DELETE_REGISTERED_MODEL:
		add(n, of.type, of.name, ACTION_DELETE);
		add_child(n, of.version, ACTION_DELETE, of.type, of.name);
		break;
	case NEEDS_MOVE_ALIAS:
	case NEEDS_REMOVE_ALIAS:
		add(n, of.type, of.name, action);
		add_child(n, of.version, ACTION_READ, of.type, of.name);
		break;
	default:
		add(n, of.type, of.name, ACTION_READ);
		add_child(n, of.version, action, of.type, of.name);
		break;
	}
	return 1;
}

/* Its files too, where the route opens them. */
static int read_version(struct need *n)
{
	int64_t ids[PLACES + 1];
	size_t count = 0;
	int got = on_version(n, ACTION_READ);

	if (got > 0 && n->job->match.route->kind == KIND_STREAM_DB)
		got = version_places_experiments(n->ctx, given(n->job, "name"),
						 given(n->job, "version"), ids, &count);
	for (size_t i = 0; got > 0 && i < count; i++)
		add(n, AUTH_EXPERIMENT, number(n, ids[i]), ACTION_READ);
	return got;
}

static int create_registered_model(struct need *n)
{
	const char *name = given(n->job, "name");

	add(n, prompt_marker(n->job) == 1 ? AUTH_PROMPT : AUTH_REGISTERED_MODEL,
	    name && *name ? name : NULL, ACTION_NOT_DENIED);
	return 1;
}

struct models_uri {
	const char *name;               /* of a registered model, or */
	const char *model_id;           /* of a logged one */
};

/* mlflow/store/artifact/utils/models.py _parse_model_uri(). 1, 0: no models:/ URI, -1: a bad one. */
static int read_models_uri(struct need *n, const char *source, struct models_uri *ret)
{
	const char *path, *at;
	size_t first;

	*ret = (struct models_uri){ 0 };
	while (*source && (unsigned char)*source <= ' ')
		source++;
	if (strncasecmp(source, "models:", 7) != 0)
		return 0;
	path = source + 7;
	if (path[0] == '/' && path[1] != '/')
		path++;
	else
		path = "";
	first = strcspn(path, "/");
	at = memrchr(path, '@', first);
	if (first && !path[first] && at && at > path && at[1] && !strpbrk(path, "?;\t\r\n"))
		ret->name = arena_strndup(n->ctx->arena, path, (size_t)(at - path));
	else if (first && path[first] && path[first + 1] && !strchr(path + first + 1, '/') &&
		 !strpbrk(path, "?;\t\r\n"))
		ret->name = arena_strndup(n->ctx->arena, path, first);
	else if (first && !path[first] && !at && !strpbrk(path, "?;\t\r\n"))
		ret->model_id = path;
	else
		return fail(n->ctx, INVALID_PARAMETER_VALUE,
			    "Not a proper models:/ URI: %.500s. Models URIs must be of the form "
			    "'models:/name/suffix' or 'models:/name@alias' where suffix is a version, "
			    "stage, or the string 'latest' and where alias is a registered model alias. "
			    "Only one of suffix or alias can be defined at a time.", source);
	return 1;
}

/* Whoever makes a version of something must be allowed to read it. */
static int create_version(struct need *n)
{
	const char *source = given(n->job, "source");
	const char *run = given(n->job, "run_id"), *model = given(n->job, "model_id");
	struct models_uri uri = { 0 };
	struct container of;
	int got = on_version(n, ACTION_UPDATE);

	if (got <= 0)
		return got;
	if (source && read_models_uri(n, source, &uri) < 0)
		return -1;
	/* A copy: the copied version's run and model are only lineage then. */
	if (uri.name) {
		got = find_container(n, uri.name, &of);
		if (got > 0 && !of.found)
			return denied(n);
		if (got > 0)
			add(n, of.type, of.name, ACTION_READ);
		return got;
	}
	if ((run && !*run) || (model && !*model))
		return denied(n);
	if (run)
		got = on_each(n, FACT_RUN, &run, 1, ACTION_READ, false);
	if (got > 0 && model)
		got = on_each(n, FACT_LOGGED_MODEL, &model, 1, ACTION_READ, false);
	if (got > 0 && uri.model_id)
		got = on_each(n, FACT_LOGGED_MODEL, &uri.model_id, 1, ACTION_READ, false);
	return got > 0 && source ? on_source(n, source) : got;
}

/* ---- rows ---- */

/* Each permission stands here: there is no default, so a new one does not compile until it is
   decided. */
static int decide(struct need *n)
{
	switch (n->job->match.route->needs) {
	case NEEDS_NOTHING:
	case NEEDS_UPLOAD_PART:
	case NEEDS_SIGNED_IN:
	case NEEDS_ACCOUNTS:
	case NEEDS_FILTER_EXPERIMENTS:
	case NEEDS_FILTER_RUNS:
	case NEEDS_FILTER_REGISTERED_MODELS: return 1;
	case NEEDS_ADMIN:
	case NEEDS_ACCOUNTS_ADMIN:
	case NEEDS_MANAGE_WEBHOOKS: return denied(n);
	case NEEDS_CREATE_EXPERIMENT: return create_experiment(n);
	case NEEDS_READ_EXPERIMENT: return on_experiment(n, ACTION_READ);
	case NEEDS_READ_EXPERIMENT_NAMED: return on_experiment_named(n);
	case NEEDS_READ_EXPERIMENTS: return on_experiments(n);
	case NEEDS_EDIT_EXPERIMENT: return on_experiment(n, ACTION_UPDATE);
	case NEEDS_DELETE_EXPERIMENT: return delete_experiment(n);
	case NEEDS_CREATE_RUN: return create_in_experiment(n, AUTH_RUN);
	case NEEDS_READ_RUN: return on_run(n, ACTION_READ);
	case NEEDS_READ_RUNS: return on_runs(n);
	case NEEDS_EDIT_RUN: return on_run(n, ACTION_UPDATE);
	case NEEDS_EDIT_RUN_AND_MODELS: return on_run_and_models(n);
	case NEEDS_DELETE_RUN: return on_run(n, ACTION_DELETE);
	case NEEDS_CREATE_LOGGED_MODEL: return create_in_experiment(n, AUTH_LOGGED_MODEL);
	case NEEDS_READ_LOGGED_MODEL: return on_model(n, ACTION_READ);
	case NEEDS_EDIT_LOGGED_MODEL: return on_model(n, ACTION_UPDATE);
	case NEEDS_DELETE_LOGGED_MODEL: return on_model(n, ACTION_DELETE);
	case NEEDS_EDIT_RUN_OR_LOGGED_MODEL: return on_run_or_model(n);
	case NEEDS_FILTER_LOGGED_MODELS:
	case NEEDS_FILTER_MODEL_VERSIONS: return on_filter(n);
	case NEEDS_READ_ARTIFACTS: return on_artifact(n, ACTION_READ);
	case NEEDS_EDIT_ARTIFACTS: return on_artifact(n, ACTION_UPDATE);
	case NEEDS_DELETE_ARTIFACTS: return on_artifact(n, ACTION_MANAGE);
	case NEEDS_CREATE_REGISTERED_MODEL: return create_registered_model(n);
	case NEEDS_READ_REGISTERED_MODEL: return on_registered_model(n, ACTION_READ);
	case NEEDS_EDIT_REGISTERED_MODEL:
	case NEEDS_RENAME_REGISTERED_MODEL: return on_registered_model(n, ACTION_UPDATE);
	case NEEDS_CREATE_MODEL_VERSION: return create_version(n);
	case NEEDS_READ_MODEL_VERSION: return read_version(n);
	case NEEDS_EDIT_MODEL_VERSION:
	case NEEDS_MOVE_ALIAS: return on_version(n, ACTION_UPDATE);
	case NEEDS_DELETE_MODEL_VERSION:
	case NEEDS_DELETE_REGISTERED_MODEL:
	case NEEDS_REMOVE_ALIAS: return on_version(n, ACTION_DELETE);
	}
	return denied(n);
}

int require_route(struct job *j, struct requirements *ret)
{
	struct need n = { .job = j, .ctx = &j->ctx, .list = ret };

	*ret = (struct requirements){ 0 };
	return decide(&n);
}

bool require_run_folders(struct job *j, struct requirements *ret)
{
	struct need n = { .job = j, .ctx = &j->ctx, .list = ret };
	const char *key, *experiment, *rest;

	*ret = (struct requirements){ 0 };
	if (artifact_key(&n, &key)) {
		error_clear(&j->ctx);
		return false;
	}
	rest = places_below_experiment(&j->ctx, key, &experiment);
	if (!rest || *rest)
		return false;
	add_in_experiment(&n, experiment, AUTH_RUN, ACTION_READ);
	return true;
}
