/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "source.h"

#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "source_text.h"
#include "store/location.h"
#include "store/logged_model.h"
#include "store/model_version.h"
#include "store/registered_model.h"
#include "tracking/tracking.h"
#include "validate.h"

#define INVALID "Invalid model version source: '%s'. "

/* ---- refusals, in MLflow's words ---- */

static int not_contained(struct ctx *c, const char *source, const char *id)
{
	return fail(c, INVALID_PARAMETER_VALUE,
	            INVALID "The %s request parameter must identify the resource that contains the"
	            " source.", source, id);
}

static int not_absolute(struct ctx *c, const char *source)
{
	return fail(c, INVALID_PARAMETER_VALUE,
	            INVALID "If supplying a source as an http, https, local file path, ftp,"
	            " objectstore, or mlflow-artifacts uri, an absolute path must be provided"
	            " without relative path references present. Please provide an absolute path.",
	            source);
}

static int not_local(struct ctx *c, const char *source, const char *id)
{
	return fail(c, INVALID_PARAMETER_VALUE,
	            INVALID "To use a local path as a model version source, the %s request"
	            " parameter has to be specified and the local path has to be contained within"
	            " the artifact directory of the run specified by the %s.", source, id, id);
}

/* ---- without the database ---- */

/* Schemes whose use makes a server connect to the host they name. Ours never connects; a source
   that only other readers would follow there is refused as in MLflow. */
static int check_host(struct ctx *c, const char *source, const struct uri *u)
{
	static const char *const host_addressed[] = { "ftp", "sftp", "hdfs", "viewfs", "http",
		"https", "mlflow-artifacts", "r2", "b2", "abfss", NULL };
	struct uri root;

	if (!uri_scheme_in(u, host_addressed) ||
	    (strcmp(u->scheme, "mlflow-artifacts") == 0 && !*u->host))
		return 0;
	root = uri_parse(c->arena, tracking_settings()->artifact_root);
	if (*u->host && strcmp(u->scheme, root.scheme) == 0 && strcmp(u->host, root.host) == 0 &&
	    uri_is_artifact_route(c->arena, source))
		return 0;
	return fail(c, INVALID_PARAMETER_VALUE,
	            "'source' cannot use the '%s' scheme: the '%s' scheme addresses a host other"
	            " than the tracking server's configured artifact storage, so the server would"
	            " connect to the host named in the URI.", u->scheme, u->scheme);
}

static int check_file(struct ctx *c, const char *source, const struct uri *u)
{
	if (strcmp(u->scheme, "file") == 0 && *u->host && strcmp(u->host, "localhost") != 0)
		/* The code is MLflow's. */
		return fail(c, INTERNAL_ERROR,
		            "%s is not a valid remote uri. For remote access on windows, please"
		            " consider using a different scheme such as SMB (e.g."
		            " smb://<hostname>/<path>).", source);
	if ((strcmp(u->scheme, "file") == 0 && *u->path != '/') || uri_has_params(source, u) ||
	    !uri_is_clean(c->arena, uri_resolve_local(c->arena, source)))
		return not_local(c, source, "run_id");
	return 0;
}

int source_check(struct ctx *c, const char *source)
{
	struct uri u = uri_parse(c->arena, source);

	if (check_host(c, source, &u))
		return -1;
	if (uri_is_local(&u) && strcmp(source, "databricks") != 0)
		return check_file(c, source, &u);
	if (!uri_is_clean(c->arena, source) || !uri_is_absolute(c->arena, source, &u))
		return not_absolute(c, source);
	if (uri_has_params(source, &u))
		return fail(c, INVALID_PARAMETER_VALUE,
		            INVALID "A source can't include fragments or params.", source);
	return 0;
}

/* ---- containment ---- */

/* The artifact directory of the run or model that the request names, in *root. */
static int find_root(struct ctx *c, const struct source *s, bool by_model, const char **root)
{
	const char *id = by_model ? s->model_id : s->run_id;
	int found = 0;

	if (id && *id)
		found = by_model ? store_logged_model_artifact_uri(c, id, root)
			: store_run_artifact_uri(c, id, root);
	return found;
}

static int check_contained(struct ctx *c, struct source *s, const struct uri *u,
                           bool by_model)
{
	const char *id = by_model ? "model_id" : "run_id";
	const char *given = by_model ? s->model_id : s->run_id;
	bool local = uri_is_local(u);
	const char *plain = uri_resolve_local(c->arena, s->source);
	const char *root = NULL;
	int found = find_root(c, s, by_model, &root);

	if (found < 0)
		return -1;
	if (found && source_is_below(c, plain, root)) {
		s->source = plain;
		return 0;
	}
	/* MLflow: an id that names nothing has another text than one that contains nothing. */
	return local && (found || !given || !*given) ? not_local(c, s->source, id)
		: not_contained(c, s->source, id);
}

bool source_is_below(struct ctx *c, const char *source, const char *root)
{
	struct uri s = uri_parse(c->arena, source), r = uri_parse(c->arena, root);

	if (uri_is_local(&s) != uri_is_local(&r))
		return false;
	return uri_is_local(&s) ? uri_path_below(c->arena, &s, &r) : uri_below(c->arena, &s, &r);
}

/* runs:/<run id>/...: the run is the one that the request names. */
static int check_runs(struct ctx *c, const struct source *s, const struct uri *u)
{
	const char *run = u->path + 1;
	size_t n = strcspn(run, "/");

	if (*u->host || !n || !s->run_id || strlen(s->run_id) != n ||
	    strncmp(run, s->run_id, n) != 0)
		return not_contained(c, s->source, "run_id");
	return 0;
}

/* ---- models:/... ---- */

struct model_uri {
	const char *model_id;           /* models:/<model id>; else: */
	struct model_version_pick pick;
	const char *stage;
};

static bool is_number(const char *text)
{
	return *text && !text[strspn(text, "0123456789")];
}

/* _parse_model_uri(). */
static int parse_models(struct ctx *c, const char *source, struct model_uri *ret)
{
	const char *path = strchr(source, ':') + 1;
	char *name, *suffix, *at;

	*ret = (struct model_uri){ .pick = { .stage = -1 } };
	if (*path != '/')
		return not_contained(c, source, "model_id");
	name = arena_strdup(c->arena, path + strspn(path, "/"));
	suffix = strchr(name, '/');
	if (suffix)
		*suffix++ = '\0';
	if (!name[strspn(name, " ")] || (suffix && (strchr(suffix, '/') ||
	                                            !suffix[strspn(suffix, " ")])))
		return not_contained(c, source, "model_id");
	ret->pick.name = name;
	if (suffix && is_number(suffix)) {
		struct version_number v;

		if (validate_version(c, suffix, "version", &v))
			return -1;
		ret->pick.version = v.number ? v.number : INT64_MAX;
		return 0;
	}
	if (suffix) {
		if (strcasecmp(suffix, "latest") != 0)
			ret->stage = suffix;
		return 0;
	}
	at = strrchr(name, '@');
	if (!at) {
		ret->model_id = name;
		return 0;
	}
	*at++ = '\0';
	ret->pick.alias = at;
	return at[strspn(at, " ")] ? 0 : not_contained(c, source, "model_id");
}

static int no_version(struct ctx *c, const struct model_uri *m, const char *source)
{
	if (m->pick.version)
		return fail(c, RESOURCE_DOES_NOT_EXIST,
		            "Model Version (name=%s, version=%s) not found", m->pick.name,
		            strrchr(source, '/') + 1);
	if (m->pick.alias)
		return fail(c, INVALID_PARAMETER_VALUE, "Registered model alias %s not found.",
		            m->pick.alias);
	return fail(c, INVALID_PARAMETER_VALUE, "No versions of model with name '%s'%s%s%s found",
	            m->pick.name, m->stage ? " and stage '" : "", m->stage ? m->stage : "",
	            m->stage ? "'" : "");
}

/* "" and absent are the same here. */
static bool differs(const char *given, const char *stored)
{
	return given && strcmp(given, stored ? stored : "") != 0;
}

/* The ids of the version that the source names go over, unless the request gives the same. */
static int inherit(struct ctx *c, struct source *s, struct model_uri *m)
{
	struct model_version_origin origin;
	int found;

	if (validate_model_name(c, m->pick.name, "name") ||
	    (m->stage && validate_stage(c, m->stage, &m->pick.stage)))
		return -1;
	if (m->pick.alias && strcasecmp(m->pick.alias, "latest") == 0)
		m->pick.alias = NULL;
	found = store_model_version_origin(c, &m->pick, &origin);
	if (found < 0)
		return -1;
	if (!found)
		return fail(c, RESOURCE_DOES_NOT_EXIST,
		            "Registered Model with name=%s not found", m->pick.name);
	if (*origin.prompt)
		return fail(c, INVALID_PARAMETER_VALUE,
		            INVALID "Prompt versions cannot be used as model version sources.",
		            s->source);
	if (!origin.version)
		return no_version(c, m, s->source);
	if (differs(s->run_id, origin.run_id) || differs(s->model_id, origin.model_id))
		return fail(c, INVALID_PARAMETER_VALUE,
		            INVALID "The run_id and model_id request parameters must match the"
		            " referenced model version.", s->source);
	s->source = arena_printf(c->arena, "models:/%s/%lld", m->pick.name,
	                         (long long)*origin.version);
	s->location = origin.location;
	s->inherited_model = !s->model_id && origin.model_id && *origin.model_id;
	s->run_id = origin.run_id;
	s->model_id = origin.model_id;
	return 0;
}

static int resolve_models(struct ctx *c, struct source *s, const struct uri *u)
{
	struct model_uri m;
	const char *location = NULL;
	int found;

	if (*u->host)
		return fail(c, INVALID_PARAMETER_VALUE,
		            INVALID "Registered model sources must use the active model registry.",
		            s->source);
	if (parse_models(c, s->source, &m))
		return -1;
	if (!m.model_id)
		return inherit(c, s, &m);
	if (!s->model_id || strcmp(m.model_id, s->model_id) != 0)
		return not_contained(c, s->source, "model_id");
	found = store_logged_model_artifact_uri(c, m.model_id, &location);
	if (found < 0)
		return -1;
	if (!found)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Unable to fetch model from model URI source artifact location '%s'."
		            "Error: Logged model with ID '%s' not found.", s->source, m.model_id);
	s->location = location;
	return 0;
}

/* ---- all of it ---- */

static int check_kind(struct ctx *c, struct source *s)
{
	struct uri u = uri_parse(c->arena, s->source);
	bool by_model = s->model_id && *s->model_id;

	if (strcmp(u.scheme, "models") == 0)
		return resolve_models(c, s, &u);
	if (uri_is_local(&u) || uri_is_artifact_route(c->arena, s->source))
		return check_contained(c, s, &u, by_model);
	if (strcmp(u.scheme, "runs") == 0)
		return by_model ? not_contained(c, s->source, "model_id") : check_runs(c, s, &u);
	return 0;
}

/* Without a run of its own a version has that of its logged model. */
static int run_of_model(struct ctx *c, struct source *s)
{
	struct logged_model *m;
	int found;

	if (*s->run_id || !*s->model_id)
		return 0;
	found = store_logged_model_get(c, s->model_id, false, &m);
	if (found < 0)
		return -1;
	if (found)
		s->run_id = m->info->source_run_id ? m->info->source_run_id : "";
	else if (!s->inherited_model)
		return fail(c, RESOURCE_DOES_NOT_EXIST, "Logged model with ID '%s' not found.",
		            s->model_id);
	return 0;
}

int source_resolve(struct ctx *c, struct source *s)
{
	s->location = NULL;
	if (s->prompt) {
		/* A tag that the client sets: it opens nothing but these two words. */
		if (strcmp(s->source, "dummy-source") != 0 &&
		    strcmp(s->source, "prompt-template") != 0)
			return fail(c, INVALID_PARAMETER_VALUE,
			            "Invalid prompt source: '%s'. Prompt sources must use an MLflow"
			            " placeholder.", s->source);
	} else if (source_check(c, s->source) || check_kind(c, s)) {
		return -1;
	}
	if (!s->location)
		s->location = s->source;
	s->run_id = s->run_id ? s->run_id : "";
	s->model_id = s->model_id ? s->model_id : "";
	return run_of_model(c, s);
}
