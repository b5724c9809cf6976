/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "workspace.h"

#include <string.h>

#include "base/arena.h"
#include "http.h"

#define ONLY "default"
#define ROUTES "3.0/mlflow/workspaces"

static const struct record workspace_record = { sizeof(struct workspace), (const struct field[]){
	STRING(struct workspace, name,        0),
	STRING(struct workspace, description, 0),
	END }};
const struct record workspace_reply_record = { sizeof(struct workspace_reply),
	(const struct field[]){
	OBJECT(struct workspace_reply, workspace, 0, &workspace_record),
	END }};
const struct record workspace_page_record = { sizeof(struct workspace_page),
	(const struct field[]){
	LIST(struct workspace_page, workspaces, 0, &workspace_record),
	END }};
const struct record workspace_key_record = { sizeof(struct workspace_key), (const struct field[]){
	STRING(struct workspace_key, workspace_name, REQUIRED),
	END }};
const struct record create_workspace_record = { sizeof(struct create_workspace),
	(const struct field[]){
	STRING(struct create_workspace, name,                  REQUIRED),
	STRING(struct create_workspace, description,           0),
	STRING(struct create_workspace, default_artifact_root, 0),
	END }};
const struct record update_workspace_record = { sizeof(struct update_workspace),
	(const struct field[]){
	STRING(struct update_workspace, workspace_name,        REQUIRED),
	STRING(struct update_workspace, description,           0),
	STRING(struct update_workspace, default_artifact_root, 0),
	RAW   (struct update_workspace, trace_archival_config, 0),
	END }};

/* As in MLflow's database. */
static const struct workspace only = { ONLY, "Default workspace for legacy resources" };

/* ---- names ---- */

static bool is_alphanumeric(char ch)
{
	return (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9');
}

/* WorkspaceNameValidator of mlflow/store/workspace/abstract_store.py. */
static int check_name(struct ctx *c, const char *name)
{
	static const char *const reserved[] = { "workspaces", "api", "ajax-api", "static-files" };
	size_t size = strlen(name);

	if (size < 2 || size > 63)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Workspace name '%s' must be between 2 and 63 characters.", name);
	if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != size ||
	    !is_alphanumeric(name[0]) || !is_alphanumeric(name[size - 1]))
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Workspace name '%s' must match the pattern "
			    "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$ (lowercase alphanumeric with optional "
			    "internal hyphens).", name);
	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
		if (strcmp(name, reserved[i]) == 0)
			return fail(c, INVALID_PARAMETER_VALUE,
				    "Workspace name '%s' is reserved and cannot be used.", name);
	}
	return 0;
}

/* 0: it is the one there is. */
static int check_exists(struct ctx *c, const char *name)
{
	if (strcmp(name, ONLY) == 0)
		return 0;
	return check_name(c, name)
		       ? -1
		       : fail(c, RESOURCE_DOES_NOT_EXIST, "Workspace '%s' not found", name);
}

/* ---- requests ---- */

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

int workspace_check_header(struct job *j)
{
	static const char blank[] = " \t";
	const char *name = job_header(j, "X-MLFLOW-WORKSPACE");
	size_t size;

	if (!name)
		return 0;
	name += strspn(name, blank);
	size = strlen(name);
	while (size && strchr(blank, name[size - 1]))
		size--;
	/* Whoever does not know yet whether there are workspaces asks there. */
	if (!size || ends_with(j->target.path, "/mlflow/server-info"))
		return 0;
	if (!j->server->options.workspaces)
		return fail(&j->ctx, FEATURE_DISABLED,
			    "Workspace APIs are not available: workspaces are not enabled on this "
			    "server");
	return check_exists(&j->ctx, arena_strndup(j->ctx.arena, name, size));
}

int workspace_check_route(struct job *j)
{
	const struct route *r = j->match.route;

	if (j->server->options.workspaces || strncmp(r->path, ROUTES, strlen(ROUTES)) != 0)
		return 0;
	return fail(&j->ctx, TEMPORARILY_UNAVAILABLE,
		    "Endpoint: %s disabled because the server is running without workspaces "
		    "support. To enable workspace, run `mlflow server` with `--enable-workspaces`",
		    j->target.path);
}

/* ---- handlers ---- */

static struct workspace *copy(struct ctx *c)
{
	struct workspace *w = NEW(c->arena, struct workspace);

	*w = only;
	return w;
}

int http_workspace_list(struct ctx *c, const struct empty *in, struct workspace_page *out)
{
	(void)in;
	out->workspaces = (struct list){ copy(c), 1 };
	return 0;
}

int http_workspace_get(struct ctx *c, const struct workspace_key *in, struct workspace_reply *out)
{
	if (check_exists(c, in->workspace_name))
		return -1;
	out->workspace = copy(c);
	return 0;
}

/* What MLflow answers where a provider's workspaces are not its own to change. */
int http_workspace_create(struct ctx *c, const struct create_workspace *in,
			  struct workspace_reply *out)
{
	(void)out;
	if (strcmp(in->name, ONLY) == 0)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "The 'default' workspace is reserved and cannot be created");
	if (check_name(c, in->name))
		return -1;
	return fail(c, FEATURE_DISABLED, "Workspace creation is not supported by this provider");
}

int http_workspace_update(struct ctx *c, const struct update_workspace *in,
			  struct workspace_reply *out)
{
	(void)out;
	if (strcmp(in->workspace_name, ONLY) != 0 && check_name(c, in->workspace_name))
		return -1;
	if (!in->description && !in->default_artifact_root && !in->trace_archival_config)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Workspace update must have at least one key");
	if (check_exists(c, in->workspace_name))
		return -1;
	return fail(c, FEATURE_DISABLED, "Workspace updates are not supported by this provider");
}

int http_workspace_delete(struct ctx *c, const struct workspace_key *in, struct empty *out)
{
	(void)out;
	if (strcmp(in->workspace_name, ONLY) == 0)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "The 'default' workspace is reserved and cannot be deleted");
	return check_exists(c, in->workspace_name);
}
