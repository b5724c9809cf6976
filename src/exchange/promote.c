/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "exchange/promote.h"

#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "promote_impl.h"

enum { TICK_MS = 200, SCRATCH = 64 << 20, TOLD_MAX = 50 };
#define PAGE "1000"
#define PROMPT "mlflow.prompt.is_prompt"

/* What is to be copied. */
struct subject {
	const char *name, *version;     /* at the source */
	const json_t *mv;               /* model_version */
	const json_t *model;            /* registered_model */
	const char *run_id, *model_id;  /* NULL: none */
	const char *location;           /* of its artifacts; "" for a prompt */
	const char *marker;
	bool prompt;
};

void promote_tick(struct promote *p)
{
	int64_t now = clock_ms();

	if (!p->o->progress || now - p->told_ms < TICK_MS)
		return;
	p->told_ms = now;
	p->o->progress(p->o->progress_arg, p->step, p->report);
}

void promote_step(struct promote *p, const char *step)
{
	p->step = step;
	p->told_ms = 0;
	promote_tick(p);
}

void promote_note(struct ctx *c, struct promote *p, const char *fmt, ...)
{
	struct list *notes = &p->report->notes;
	va_list ap;

	if (notes->count >= TOLD_MAX)
		return;
	const char **grown = NEW_ARRAY(c->arena, notes->count + 1, const char *);
	if (notes->count)
		memcpy(grown, notes->items, notes->count * sizeof(*grown));
	va_start(ap, fmt);
	grown[notes->count] = arena_vprintf(c->arena, fmt, ap);
	va_end(ap);
	notes->items = grown;
	notes->count++;
}

static void release(void *tree)
{
	json_decref(tree);
}

json_t *promote_keep(struct ctx *c, json_t *tree)
{
	if (tree)
		arena_defer(c->arena, release, tree);
	return tree;
}

const char *promote_filter(struct ctx *c, const char *marker)
{
	return arena_printf(c->arena, "tags.`" PROMOTE_SOURCE "` = '%s'", marker);
}

json_t *promote_pair(const char *key, const char *value)
{
	return json_pack("{s:s, s:s}", "key", key, "value", value);
}

bool promote_own_tag(const char *key)
{
	return !strncmp(key, PROMOTE_TAG, sizeof(PROMOTE_TAG) - 1);
}

json_t *promote_missing(const json_t *from, const json_t *to, const char *except)
{
	json_t *missing = json_array();
	size_t i;
	json_t *tag;

	json_array_foreach(from, i, tag) {
		const char *key = mlflow_text(tag, "key");
		if (!promote_own_tag(key) && !mlflow_tag(to, key) && (!except || strcmp(key, except)))
			json_array_append(missing, tag);
	}
	return missing;
}

/* models:/name/3 or models:/name@alias, to a name and a version. */
static int parse_uri(struct ctx *c, struct promote *p, struct subject *s)
{
	const char *uri = p->o->version_uri;
	const char *at = strncmp(uri, "models:/", 8) ? NULL : uri + 8;
	const char *slash = at ? strrchr(at, '/') : NULL;
	const char *sign = at && !slash ? strrchr(at, '@') : NULL;
	json_t *reply = NULL;

	if (sign && sign > at && sign[1]) {
		s->name = arena_strndup(c->arena, at, (size_t)(sign - at));
		int found = mlflow_get(c, p->from, &reply, "registered-models/alias", "name",
				       s->name, "alias", sign + 1, NULL);
		if (found <= 0)
			return found ? -1
				     : fail(c, RESOURCE_DOES_NOT_EXIST,
					    "The source has no registered model '%s'.", s->name);
		const json_t *mv = json_object_get(promote_keep(c, reply), "model_version");
		s->version = mlflow_text(mv, "version");
		return 0;
	}
	if (!slash || slash == at || !slash[1] || strspn(slash + 1, "0123456789") != strlen(slash + 1))
		return fail(c, INVALID_PARAMETER_VALUE,
			    "'%s' names no model version: write models:/NAME/3 or "
			    "models:/NAME@ALIAS.",
			    uri);
	s->name = arena_strndup(c->arena, at, (size_t)(slash - at));
	s->version = slash + 1;
	return 0;
}

/* A name that no filter can break: only what needs no quotes. */
static const char *marker_of(struct ctx *c, const struct subject *s)
{
	return arena_printf(c->arena, "models:/%s/%s?created=%lld", net_encode(c, s->name, false),
			    mlflow_text(s->mv, "version"),
			    (long long)mlflow_int(s->mv, "creation_timestamp"));
}

static int subject_version(struct ctx *c, struct promote *p, struct subject *s)
{
	json_t *reply = NULL;
	int found = mlflow_get(c, p->from, &reply, "model-versions/get", "name", s->name, "version",
			       s->version, NULL);

	if (found < 0)
		return -1;
	if (!found)
		return fail(c, RESOURCE_DOES_NOT_EXIST, "The source, %s, has no models:/%s/%s.",
			    mlflow_uri(p->from), s->name, s->version);
	s->mv = json_object_get(promote_keep(c, reply), "model_version");
	const char *status = mlflow_text(s->mv, "status");
	if (*status && strcmp(status, "READY") != 0)
		return fail(c, INVALID_STATE, "models:/%s/%s is not ready at the source: %s.",
			    s->name, s->version, status);
	s->marker = marker_of(c, s);
	const char *source = mlflow_text(s->mv, "source");
	if (*mlflow_text(s->mv, "run_id"))
		s->run_id = mlflow_text(s->mv, "run_id");
	/* MLflow's registry keeps the logged model in the source alone. */
	if (*mlflow_text(s->mv, "model_id"))
		s->model_id = mlflow_text(s->mv, "model_id");
	else if (!strncmp(source, "models:/m-", 10) && !strchr(source + 10, '/'))
		s->model_id = source + 8;
	return 0;
}

static int subject_read(struct ctx *c, struct promote *p, struct subject *s)
{
	json_t *model = NULL, *uri = NULL;

	promote_step(p, "version");
	if (parse_uri(c, p, s) || subject_version(c, p, s))
		return -1;
	if (mlflow_get(c, p->from, &model, "registered-models/get", "name", s->name, NULL) <= 0)
		return c->error.code ? -1
				     : fail(c, RESOURCE_DOES_NOT_EXIST,
					    "The source has no registered model '%s'.", s->name);
	s->model = json_object_get(promote_keep(c, model), "registered_model");
	s->prompt = mlflow_tag(json_object_get(s->model, "tags"), PROMPT) ||
		    mlflow_tag(json_object_get(s->mv, "tags"), PROMPT);
	s->location = "";
	p->report->model = s->name;
	p->report->version = mlflow_text(s->mv, "version");
	p->report->to_name = p->o->to_name ? p->o->to_name : s->name;
	if (s->prompt)
		return 0;
	if (mlflow_get(c, p->from, &uri, "model-versions/get-download-uri", "name", s->name,
		       "version", s->version, NULL) <= 0)
		return c->error.code ? -1
				     : fail(c, RESOURCE_DOES_NOT_EXIST,
					    "models:/%s/%s is gone from the source.", s->name,
					    s->version);
	s->location = mlflow_text(promote_keep(c, uri), "artifact_uri");
	return 0;
}

/* The version that an earlier promotion made; 0: none. */
static int find_version(struct ctx *c, struct promote *p, const struct subject *s)
{
	const char *filter = promote_filter(c, s->marker);
	char *token = NULL;

	/* Prompts are only found when asked for. */
	if (s->prompt)
		filter = arena_printf(c->arena, "%s AND tags.`" PROMPT "` = 'true'", filter);
	do {
		CLEANUP(mlflow_json_done) json_t *reply = NULL;
		size_t i;
		json_t *mv;
		int found = mlflow_get(c, p->to, &reply, "model-versions/search", "filter", filter,
				       "max_results", PAGE, "page_token", token, NULL);
		if (found < 0)
			return -1;
		json_array_foreach(json_object_get(reply, "model_versions"), i, mv) {
			if (strcmp(mlflow_text(mv, "name"), p->report->to_name) != 0)
				continue;
			p->report->to_version = arena_strdup(c->arena, mlflow_text(mv, "version"));
			p->report->source = arena_strdup(c->arena, mlflow_text(mv, "source"));
			if (*mlflow_text(mv, "run_id"))
				p->report->run_id =
					arena_strdup(c->arena, mlflow_text(mv, "run_id"));
			return 1;
		}
		token = *mlflow_text(reply, "next_page_token")
				? arena_strdup(c->arena, mlflow_text(reply, "next_page_token"))
				: NULL;
	} while (token);
	return 0;
}

static int list_experiments(struct ctx *c, struct promote *p)
{
	const char *token = NULL;
	size_t capacity = 0;

	do {
		CLEANUP(mlflow_json_done) json_t *reply = NULL;
		size_t i;
		json_t *experiment;
		json_t *body = json_pack("{s:i, s:s}", "max_results", 1000, "view_type",
					 "ACTIVE_ONLY");
		if (token)
			json_object_set_new(body, "page_token", json_string(token));
		if (mlflow_send(c, p->to, "POST", "experiments/search", body, false, &reply) < 0)
			return -1;
		json_array_foreach(json_object_get(reply, "experiments"), i, experiment)
			*(const char **)list_add(c->arena, &p->experiments, &capacity,
						 sizeof(char *)) =
				arena_strdup(c->arena, mlflow_text(experiment, "experiment_id"));
		token = *mlflow_text(reply, "next_page_token")
				? arena_strdup(c->arena, mlflow_text(reply, "next_page_token"))
				: NULL;
	} while (token);
	return 0;
}

/* The name of the source's experiment: the run's, or the logged model's. */
static int experiment_name(struct ctx *c, struct promote *p, const struct subject *s,
			   const char **ret)
{
	CLEANUP(mlflow_json_done) json_t *owner = NULL;
	CLEANUP(mlflow_json_done) json_t *reply = NULL;
	int found = 0;

	*ret = p->o->experiment ? p->o->experiment : "Default";
	if (p->o->experiment)
		return 0;
	if (s->run_id)
		found = mlflow_get(c, p->from, &owner, "runs/get", "run_id", s->run_id, NULL);
	else if (s->model_id)
		found = mlflow_get(c, p->from, &owner,
				   arena_printf(c->arena, "logged-models/%s",
						net_encode(c, s->model_id, false)),
				   NULL);
	if (found <= 0)
		return found;
	const json_t *info = json_object_get(json_object_get(owner, s->run_id ? "run" : "model"),
					     "info");
	found = mlflow_get(c, p->from, &reply, "experiments/get", "experiment_id",
			   mlflow_text(info, "experiment_id"), NULL);
	if (found > 0)
		*ret = arena_strdup(c->arena,
				    mlflow_text(json_object_get(reply, "experiment"), "name"));
	return found < 0 ? -1 : 0;
}

static int find_experiment(struct ctx *c, struct promote *p, const char *name)
{
	CLEANUP(mlflow_json_done) json_t *reply = NULL;
	int found = mlflow_get(c, p->to, &reply, "experiments/get-by-name", "experiment_name", name,
			       NULL);
	const json_t *experiment = json_object_get(reply, "experiment");

	if (found <= 0)
		return found;
	if (!strcmp(mlflow_text(experiment, "lifecycle_stage"), "deleted"))
		return fail(c, INVALID_STATE,
			    "The experiment '%s' is deleted at the destination: restore it, or "
			    "choose another with --experiment.",
			    name);
	p->experiment_id = arena_strdup(c->arena, mlflow_text(experiment, "experiment_id"));
	return 1;
}

static int open_experiment(struct ctx *c, struct promote *p, const struct subject *s)
{
	CLEANUP(mlflow_json_done) json_t *reply = NULL;
	const char *name;

	promote_step(p, "experiment");
	if (experiment_name(c, p, s, &name))
		return -1;
	p->report->experiment = name;
	int found = find_experiment(c, p, name);
	if (found < 0)
		return -1;
	if (!found && !p->o->dry_run) {
		if (mlflow_send(c, p->to, "POST", "experiments/create",
				json_pack("{s:s}", "name", name), true, &reply) < 0) {
			/* Somebody else was quicker. */
			if (c->error.code != RESOURCE_ALREADY_EXISTS)
				return -1;
			error_clear(c);
		}
		if (find_experiment(c, p, name) <= 0)
			return c->error.code ? -1
					     : fail(c, RESOURCE_DOES_NOT_EXIST,
						    "The destination made no experiment '%s'.",
						    name);
	}
	return list_experiments(c, p);
}

/* What of `location` lies below `root`; NULL: it does not. */
static const char *inside(const char *location, const char *root)
{
	size_t n = strlen(root);

	while (n && root[n - 1] == '/')
		n--;
	if (!n || strncmp(location, root, n) != 0 || (location[n] && location[n] != '/'))
		return NULL;
	location += n;
	while (*location == '/')
		location++;
	return location;
}

/* A run that carries the artifacts of a version that has none, found again by the version's
   marker. */
static int holder_run(struct ctx *c, struct promote *p, const struct subject *s,
		      struct promote_copy *ret)
{
	CLEANUP(mlflow_json_done) json_t *reply = NULL;
	json_t *made = NULL, *body;

	*ret = (struct promote_copy){ 0 };
	json_t *ids = json_array();
	for (size_t i = 0; i < p->experiments.count; i++)
		json_array_append_new(ids,
				      json_string(*LIST_AT(const char *, &p->experiments, i)));
	body = json_pack("{s:o, s:s, s:i}", "experiment_ids", ids, "filter",
			 promote_filter(c, s->marker), "max_results", 1);
	if (mlflow_send(c, p->to, "POST", "runs/search", body, false, &reply) < 0)
		return -1;
	json_t *run = json_array_get(json_object_get(reply, "runs"), 0);
	if (run) {
		ret->to = promote_keep(c, json_incref(run));
	} else if (!p->o->dry_run) {
		body = json_pack("{s:s, s:I, s:s, s:[o, o]}", "experiment_id", p->experiment_id,
				 "start_time", (json_int_t)clock_wall_ms(), "run_name",
				 arena_printf(c->arena, "%s-%s", s->name, s->version), "tags",
				 promote_pair(PROMOTE_SOURCE, s->marker),
				 promote_pair(PROMOTE_FROM, mlflow_uri(p->from)));
		if (mlflow_send(c, p->to, "POST", "runs/create", body, true, &made) < 0)
			return -1;
		ret->to = json_object_get(promote_keep(c, made), "run");
	}
	const json_t *info = json_object_get(ret->to, "info");
	ret->id = info ? mlflow_text(info, "run_id") : NULL;
	ret->artifact_uri = mlflow_text(info, "artifact_uri");
	return 0;
}

/* The artifacts of a version that lie neither in its run nor in its logged model: into its run, or
   one made for them. */
static int copy_elsewhere(struct ctx *c, struct promote *p, const struct subject *s,
			  struct promote_copy *run, const char *name)
{
	if (!run->from && holder_run(c, p, s, run))
		return -1;
	promote_step(p, "artifacts of the version");
	if (run->id)
		p->report->source = arena_printf(c->arena, "%s/%s", run->artifact_uri, name);
	if (promote_artifacts(c, p, "the version", s->location,
			      run->id && !p->o->dry_run ? p->report->source : NULL))
		return -1;
	/* A holder is done when its files are. */
	if (run->from || !run->id || p->o->dry_run ||
	    !strcmp(mlflow_text(json_object_get(run->to, "info"), "status"), "FINISHED"))
		return 0;
	json_t *body = json_pack("{s:s, s:s, s:I}", "run_id", run->id, "status", "FINISHED",
				 "end_time", (json_int_t)clock_wall_ms());
	return mlflow_send(c, p->to, "POST", "runs/update", body, false, NULL) < 0 ? -1 : 0;
}

/* All that the version stands on; then where it points to. */
static int copy_parts(struct ctx *c, struct promote *p, const struct subject *s,
		      struct promote_copy *run)
{
	const char *model_location = NULL;
	int has_model = 0;

	if (s->prompt) {
		p->report->source = mlflow_text(s->mv, "source");
		return 0;
	}
	if (s->run_id && promote_copy_run(c, p, s->run_id, true, run))
		return -1;
	if (s->model_id) {
		has_model = promote_copy_model(c, p, s->model_id, run, &model_location);
		if (has_model < 0)
			return -1;
	}
	const json_t *from = json_object_get(run->from, "info");
	const char *rest = from ? inside(s->location, mlflow_text(from, "artifact_uri")) : NULL;
	if (has_model)
		p->report->source = arena_printf(c->arena, "models:/%s",
						 p->to_model ? p->to_model : "(new)");
	else if (rest && run->id)
		p->report->source = *rest ? arena_printf(c->arena, "%s/%s", run->artifact_uri, rest)
					  : run->artifact_uri;
	else if (!rest && copy_elsewhere(c, p, s, run, "model"))
		return -1;
	return promote_close_run(c, p, run);
}

static int open_model(struct ctx *c, struct promote *p, const struct subject *s)
{
	CLEANUP(mlflow_json_done) json_t *there = NULL;
	int found = mlflow_get(c, p->to, &there, "registered-models/get", "name",
			       p->report->to_name, NULL);

	if (found)
		return found < 0 ? -1 : 0;
	json_t *tags = promote_missing(json_object_get(s->model, "tags"), NULL, NULL);
	json_t *body = json_pack("{s:s, s:o}", "name", p->report->to_name, "tags", tags);
	if (*mlflow_text(s->model, "description"))
		json_object_set_new(body, "description",
				    json_string(mlflow_text(s->model, "description")));
	if (mlflow_send(c, p->to, "POST", "registered-models/create", body, true, NULL) < 0) {
		if (c->error.code != RESOURCE_ALREADY_EXISTS)
			return -1;
		error_clear(c);
	}
	return 0;
}

static int create_version(struct ctx *c, struct promote *p, const struct subject *s,
			  const struct promote_copy *run)
{
	json_t *reply = NULL;

	promote_step(p, "new version");
	if (open_model(c, p, s))
		return -1;
	json_t *tags = promote_missing(json_object_get(s->mv, "tags"), NULL, NULL);
	json_array_append_new(tags, promote_pair(PROMOTE_SOURCE, s->marker));
	json_array_append_new(tags, promote_pair(PROMOTE_FROM, mlflow_uri(p->from)));
	json_t *body = json_pack("{s:s, s:s, s:o}", "name", p->report->to_name, "source",
				 p->report->source, "tags", tags);
	if (run->id)
		json_object_set_new(body, "run_id", json_string(run->id));
	if (p->to_model)
		json_object_set_new(body, "model_id", json_string(p->to_model));
	if (*mlflow_text(s->mv, "description"))
		json_object_set_new(body, "description",
				    json_string(mlflow_text(s->mv, "description")));
	if (*mlflow_text(s->mv, "run_link"))
		json_object_set_new(body, "run_link", json_string(mlflow_text(s->mv, "run_link")));
	if (mlflow_send(c, p->to, "POST", "model-versions/create", body, true, &reply) < 0)
		return -1;
	const json_t *mv = json_object_get(promote_keep(c, reply), "model_version");
	p->report->to_version = mlflow_text(mv, "version");
	p->report->run_id = run->id;
	return 0;
}

static int set_aliases(struct ctx *c, struct promote *p)
{
	size_t capacity = 0;

	for (size_t i = 0; i < p->o->alias_count; i++) {
		const char *alias = p->o->aliases[i];
		promote_step(p, "aliases");
		json_t *body = json_pack("{s:s, s:s, s:s}", "name", p->report->to_name, "alias",
					 alias, "version", p->report->to_version);
		if (mlflow_send(c, p->to, "POST", "registered-models/alias", body, false, NULL) < 0)
			return -1;
		*(const char **)list_add(c->arena, &p->report->aliases, &capacity, sizeof(char *)) =
			alias;
	}
	return 0;
}

static void sha_done(void *sha)
{
	EVP_MD_CTX_free(sha);
}

static int open_both(struct ctx *c, struct promote *p)
{
	EVP_MD_CTX *sha;

	p->from = mlflow_open(c, "The source", &p->o->from);
	p->to = p->from ? mlflow_open(c, "The destination", &p->o->to) : NULL;
	p->feed = p->to ? mlflow_again(c, p->from) : NULL;
	if (!p->feed)
		return -1;
	p->scratch = arena_child(c->arena, SCRATCH);
	sha = EVP_MD_CTX_new();
	if (!sha || EVP_DigestInit_ex(sha, EVP_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(sha);
		return fail(c, TEMPORARILY_UNAVAILABLE, "No memory for a digest.");
	}
	arena_defer(c->arena, sha_done, sha);
	p->manifest = sha;
	/* A half that ends early must not end the program. */
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

int promote_run(struct ctx *c, const struct promote_options *o, struct promote_report *report)
{
	struct promote p = { .o = o, .report = report };
	struct subject s = { 0 };
	struct promote_copy run = { 0 };

	*report = (struct promote_report){ 0 };
	if (open_both(c, &p) || subject_read(c, &p, &s))
		return -1;
	int found = find_version(c, &p, &s);
	if (found < 0)
		return -1;
	report->existed = found;
	if (!found && !s.prompt && open_experiment(c, &p, &s))
		return -1;
	if (!found && copy_parts(c, &p, &s, &run))
		return -1;
	promote_digest(&p);
	if (o->dry_run)
		return 0;
	if (!found && create_version(c, &p, &s, &run))
		return -1;
	report->url = arena_printf(c->arena, "%s/#/models/%s/versions/%s", mlflow_uri(p.to),
				   net_encode(c, report->to_name, false), report->to_version);
	return set_aliases(c, &p);
}
