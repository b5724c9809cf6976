/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* user_grant — /mlflow/users/permissions/...: one permission of one user, and all that a user
   has. */
#include <string.h>

#include "auth/user.h"
#include "auth_impl.h"
#include "base/arena.h"
#include "caller.h"
#include "rules.h"
#include "store/grant.h"

const struct record user_grant_record = { sizeof(struct user_grant), (const struct field[]){
	STRING(struct user_grant, username,      REQUIRED),
	STRING(struct user_grant, resource_type, REQUIRED),
	STRING(struct user_grant, resource_id,   REQUIRED),
	STRING(struct user_grant, permission,    REQUIRED),
	END }};

const struct record user_grant_key_record = {
	sizeof(struct user_grant_key), (const struct field[]){
	STRING(struct user_grant_key, username,      REQUIRED),
	STRING(struct user_grant_key, resource_type, REQUIRED),
	STRING(struct user_grant_key, resource_id,   REQUIRED),
	END }};

const struct record user_grant_reply_record = {
	sizeof(struct user_grant_reply), (const struct field[]){
	BOOL  (struct user_grant_reply, allowed,    0),
	STRING(struct user_grant_reply, permission, 0),
	END }};

const struct record held_permissions_reply_record = {
	sizeof(struct held_permissions_reply), (const struct field[]){
	BOOL(struct held_permissions_reply, is_admin,    0),
	RAW (struct held_permissions_reply, permissions, 0),
	END }};

/* The workspace's own grants have a meaning beyond one resource, and are given through roles. */
static int check_type(struct ctx *c, const char *name, enum auth_resource *ret)
{
	if (strcmp(name, "workspace") == 0)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "resource_type 'workspace' is not supported by the per-user permission "
		            "convenience APIs. Use set_workspace_permission / "
		            "delete_workspace_permission for workspace-wide grants.");
	return auth_rules_type(c, name, ret);
}

/* Those of which MLflow answers for a single one here: prompts are not among them. */
static bool answers_for(enum auth_resource type)
{
	return auth_resource_has_ids(type) && type != AUTH_PROMPT;
}

/* What a user's grants come to on a resource, as a request for it would find. */
static int resolve(struct ctx *c, const char *username, const char *type_name, const char *id,
                   enum auth_permission *ret)
{
	struct auth_grants *grants;
	enum auth_resource type;
	struct user user = { 0 };
	struct list rows = { 0 };

	if (check_type(c, type_name, &type))
		return -1;
	if (strcmp(id, "*") != 0 && !answers_for(type))
		return fail(c, INVALID_PARAMETER_VALUE,
		            "resource_type '%s' is not supported by the per-user permission "
		            "convenience APIs.", type_name);
	if (type == AUTH_SCORER && strcmp(id, "*") != 0 && !strchr(id, '/'))
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Invalid scorer resource_id. Expected"
		            " '<experiment_id>/<scorer_name>'.");
	if (store_user_load(c, username, &user, &rows) < 0)
		return -1;
	grants = auth_grants_new(&rows);
	if (!grants)
		return fail(c, TEMPORARILY_UNAVAILABLE,
		            "The server is out of memory; try again later.");
	*ret = auth_grants_effective(grants, auth_current()->fallback, type, id);
	auth_grants_free(grants);
	return 0;
}

/* Who may give and take permissions on it: its managers; for all of a type, the workspace's. */
static int check_manages(struct ctx *c, const struct caller *k, const char *type_name,
                         const char *id)
{
	enum auth_permission p;
	enum auth_resource type;

	if (k->admin)
		return 0;
	if (strcmp(id, "*") == 0) {
		if (check_type(c, type_name, &type))
			return -1;
		return auth_caller_manages(k, DEFAULT_WORKSPACE) ? 0 : auth_caller_denied(c);
	}
	if (resolve(c, k->user.username, type_name, id, &p))
		return -1;
	return auth_permission_allows(p, ACTION_MANAGE) ? 0 : auth_caller_denied(c);
}

int auth_user_grant_add(struct ctx *c, const struct user_grant *in, struct empty *out)
{
	enum auth_resource type;
	struct caller k;
	struct user user = { 0 };
	int made;

	(void)out;
	if (auth_caller_load(c, &k) || check_manages(c, &k, in->resource_type, in->resource_id)
	    || auth_caller_find_user(c, in->username, &user)
	    || check_type(c, in->resource_type, &type)
	    || auth_rules_pattern(c, in->resource_id, type)
	    || auth_rules_permission(c, in->permission, type))
		return -1;
	made = store_grant_add(c, *user.id, in->resource_type, in->resource_id, in->permission);
	if (made < 0)
		return -1;
	if (!made)
		return fail(c, RESOURCE_ALREADY_EXISTS,
		            "Permission for user=%s on resource_type=%s, resource_id=%s already"
		            " exists.", in->username, in->resource_type, in->resource_id);
	auth_changed(auth_current());
	return 0;
}

int auth_user_grant_revoke(struct ctx *c, const struct user_grant_key *in, struct empty *out)
{
	enum auth_resource type;
	struct caller k;
	struct user user = { 0 };
	int gone;

	(void)out;
	if (auth_caller_load(c, &k) || check_manages(c, &k, in->resource_type, in->resource_id)
	    || auth_caller_find_user(c, in->username, &user)
	    || check_type(c, in->resource_type, &type))
		return -1;
	gone = store_grant_revoke(c, *user.id, in->resource_type, in->resource_id);
	if (gone < 0)
		return -1;
	if (!gone)
		return fail(c, RESOURCE_DOES_NOT_EXIST,
		            "Permission for user=%s on resource_type=%s, resource_id=%s not found.",
		            in->username, in->resource_type, in->resource_id);
	auth_changed(auth_current());
	return 0;
}

int auth_user_grant_get(struct ctx *c, const struct user_grant_key *in,
                        struct user_grant_reply *out)
{
	enum auth_permission p;
	enum auth_resource type;
	struct caller k;
	struct user user = { 0 };

	if (auth_caller_load(c, &k))
		return -1;
	if (strcmp(in->resource_type, "workspace") == 0)
		return check_type(c, in->resource_type, &type);
	if (strcmp(k.user.username, in->username) != 0
	    && !auth_caller_manages(&k, DEFAULT_WORKSPACE))
		return auth_caller_denied(c);
	if (auth_caller_find_user(c, in->username, &user)
	    || resolve(c, in->username, in->resource_type, in->resource_id, &p))
		return -1;
	out->allowed = box_bool(c->arena, auth_permission_allows(p, ACTION_USE));
	out->permission = auth_permission_name(p);
	return 0;
}

/* Not an admin and not himself: only what he has in workspaces that the caller manages. */
static int list(struct ctx *c, const struct caller *k, const struct user *user, bool all,
                struct held_permissions_reply *out)
{
	struct list held = { 0 };
	size_t kept = 0;

	if (store_role_held(c, *user->id, &held))
		return -1;
	for (size_t i = 0; i < held.count; i++) {
		struct held_permission *p = LIST_AT(struct held_permission, &held, i);

		if (all || auth_caller_manages(k, p->workspace))
			*LIST_AT(struct held_permission, &held, kept++) = *p;
	}
	held.count = kept;
	out->is_admin = user->is_admin;
	out->permissions = auth_caller_list_json(c, &held_permission_record, &held);
	return out->permissions ? 0 : -1;
}

int auth_user_grant_list(struct ctx *c, const struct user_key *in,
                         struct held_permissions_reply *out)
{
	struct caller k;
	struct user user = { 0 };
	int may = 1;

	if (auth_caller_load(c, &k))
		return -1;
	bool all = k.admin || strcmp(k.user.username, in->username) == 0;
	int found = store_user_get(c, in->username, &user);
	if (found > 0 && !all)
		may = auth_caller_manages_user(c, &k, *user.id);
	if (found < 0 || may < 0)
		return -1;
	if (!all && (!found || !may))
		return auth_caller_denied(c);
	if (!found)
		return fail(c, RESOURCE_DOES_NOT_EXIST, "User with username=%s not found",
		            in->username);
	return list(c, &k, &user, all, out);
}

int auth_user_grant_current(struct ctx *c, const struct empty *in,
                            struct held_permissions_reply *out)
{
	struct caller k;

	(void)in;
	if (auth_caller_load(c, &k))
		return -1;
	return list(c, &k, &k.user, true, out);
}
