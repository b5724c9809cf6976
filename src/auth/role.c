/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "auth/role.h"

#include <string.h>

#include "auth/auth.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "caller.h"
#include "rules.h"
#include "store/text.h"

const struct record create_role_record = { sizeof(struct create_role), (const struct field[]){
	STRING(struct create_role, name,        REQUIRED),
	STRING(struct create_role, workspace,   REQUIRED),
	STRING(struct create_role, description, 0),
	END }};

const struct record role_reply_record = { sizeof(struct role_reply), (const struct field[]){
	OBJECT(struct role_reply, role, 0, &role_record),
	END }};

const struct record role_key_record = { sizeof(struct role_key), (const struct field[]){
	INT64(struct role_key, role_id, REQUIRED),
	END }};

const struct record list_roles_record = { sizeof(struct list_roles), (const struct field[]){
	STRINGS(struct list_roles, workspace, 0),
	END }};

const struct record role_list_reply_record = {
	sizeof(struct role_list_reply), (const struct field[]){
	RAW(struct role_list_reply, roles, 0),
	END }};

const struct record update_role_record = { sizeof(struct update_role), (const struct field[]){
	INT64 (struct update_role, role_id,     REQUIRED),
	STRING(struct update_role, name,        0),
	STRING(struct update_role, description, 0),
	END }};

const struct record add_role_permission_record = {
	sizeof(struct add_role_permission), (const struct field[]){
	INT64 (struct add_role_permission, role_id,          REQUIRED),
	STRING(struct add_role_permission, resource_type,    REQUIRED),
	STRING(struct add_role_permission, resource_pattern, REQUIRED),
	STRING(struct add_role_permission, permission,       REQUIRED),
	END }};

const struct record role_permission_key_record = {
	sizeof(struct role_permission_key), (const struct field[]){
	INT64(struct role_permission_key, role_permission_id, REQUIRED),
	END }};

const struct record update_role_permission_record = {
	sizeof(struct update_role_permission), (const struct field[]){
	INT64 (struct update_role_permission, role_permission_id, REQUIRED),
	STRING(struct update_role_permission, permission,         REQUIRED),
	END }};

const struct record role_permission_reply_record = {
	sizeof(struct role_permission_reply), (const struct field[]){
	OBJECT(struct role_permission_reply, role_permission, 0, &role_permission_record),
	END }};

const struct record role_permission_list_reply_record = {
	sizeof(struct role_permission_list_reply), (const struct field[]){
	RAW(struct role_permission_list_reply, role_permissions, 0),
	END }};

const struct record assign_role_record = { sizeof(struct assign_role), (const struct field[]){
	STRING(struct assign_role, username, REQUIRED),
	INT64 (struct assign_role, role_id,  REQUIRED),
	END }};

const struct record assignment_reply_record = {
	sizeof(struct assignment_reply), (const struct field[]){
	OBJECT(struct assignment_reply, assignment, 0, &role_assignment_record),
	END }};

const struct record assignment_list_reply_record = {
	sizeof(struct assignment_list_reply), (const struct field[]){
	RAW(struct assignment_list_reply, assignments, 0),
	END }};

/* ---- what several need ---- */

static int role_missing(struct ctx *c, int64_t id)
{
	return fail(c, RESOURCE_DOES_NOT_EXIST, "Role with id=%lld not found", (long long)id);
}

static int permission_missing(struct ctx *c, int64_t id)
{
	return fail(c, RESOURCE_DOES_NOT_EXIST, "Role permission with id=%lld not found",
	            (long long)id);
}

enum right { VIEW, MANAGE };

/* The caller may do it with the role's workspace. A role that is not there is denied like one of
   another workspace, except to admins. */
static int check_role(struct ctx *c, struct caller *k, enum right right, int64_t role_id,
                      struct role *ret)
{
	int found;

	if (!k->user.id && auth_caller_load(c, k))
		return -1;
	found = store_role_get(c, role_id, ret);
	if (found < 0)
		return -1;
	if (!found)
		return k->admin ? role_missing(c, role_id) : auth_caller_denied(c);
	if (right == VIEW ? auth_caller_present(k, ret->workspace)
	                  : auth_caller_manages(k, ret->workspace))
		return 0;
	return auth_caller_denied(c);
}

static int check_permission(struct ctx *c, int64_t id, struct role_permission *ret)
{
	struct caller k = { 0 };
	struct role role = { 0 };
	int found;

	if (auth_caller_load(c, &k))
		return -1;
	found = store_role_permission_get(c, id, ret);
	if (found < 0)
		return -1;
	if (!found)
		return k.admin ? permission_missing(c, id) : auth_caller_denied(c);
	return check_role(c, &k, MANAGE, *ret->role_id, &role);
}

static bool blank(const char *s)
{
	return s[strspn(s, " \t\n\r\f\v")] == 0;
}

/* The prefix is that of users' own roles: a role of such a name would be given their grants. */
static int check_name(struct ctx *c, const char *name)
{
	struct buf shown = BUF(c->arena, LIMIT_BODY);

	if (blank(name))
		return fail(c, INVALID_PARAMETER_VALUE, "Role name cannot be empty.");
	if (utf8_length(name) > LIMIT_ROLE_NAME)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Role name cannot be longer than %d characters.", LIMIT_ROLE_NAME);
	if (strncmp(name, "__user_", 7) != 0)
		return 0;
	store_text_repr(&shown, name);
	return fail(c, INVALID_PARAMETER_VALUE,
	            "Role name %s uses the reserved '__user_' prefix, which is held for the"
	            " per-user permission representation. Choose a different name.",
	            buf_text(&shown));
}

static int check_description(struct ctx *c, const char *text)
{
	if (!text || utf8_length(text) <= LIMIT_ROLE_DESCRIPTION)
		return 0;
	return fail(c, INVALID_PARAMETER_VALUE,
	            "Role description cannot be longer than %d characters.",
	            LIMIT_ROLE_DESCRIPTION);
}

static int changed(void)
{
	auth_changed(auth_current());
	return 0;
}

/* ---- roles ---- */

int auth_role_create(struct ctx *c, const struct create_role *in, struct role_reply *out)
{
	struct caller k;
	int made;

	if (auth_caller_load(c, &k))
		return -1;
	if (blank(in->workspace))
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Parameter 'workspace' must be a non-empty string.");
	if (!auth_caller_manages(&k, in->workspace))
		return auth_caller_denied(c);
	if (check_name(c, in->name) || check_description(c, in->description))
		return -1;
	if (utf8_length(in->workspace) > LIMIT_WORKSPACE)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Workspace cannot be longer than %d characters.", LIMIT_WORKSPACE);
	out->role = NEW(c->arena, struct role);
	made = store_role_create(c, in->workspace, in->name, in->description, out->role);
	if (made < 0)
		return -1;
	if (!made)
		return fail(c, RESOURCE_ALREADY_EXISTS,
		            "Role (name=%s, workspace=%s) already exists.", in->name,
		            in->workspace);
	return changed();
}

int auth_role_get(struct ctx *c, const struct role_key *in, struct role_reply *out)
{
	struct caller k = { 0 };

	out->role = NEW(c->arena, struct role);
	return check_role(c, &k, VIEW, *in->role_id, out->role);
}

static int role_list_reply(struct ctx *c, const struct list *roles, struct role_list_reply *out)
{
	out->roles = auth_caller_list_json(c, &role_record, roles);
	return out->roles ? 0 : -1;
}

int auth_role_list(struct ctx *c, const struct list_roles *in, struct role_list_reply *out)
{
	struct list roles = { 0 };
	struct caller k;

	if (auth_caller_load(c, &k))
		return -1;
	if (!k.admin && !in->workspace.count)
		return auth_caller_denied(c);
	for (size_t i = 0; i < in->workspace.count; i++) {
		const char *workspace = *LIST_AT(const char *, &in->workspace, i);

		if (blank(workspace))
			return fail(c, INVALID_PARAMETER_VALUE, "Parameter 'workspace' must be a"
			            " non-empty string when provided.");
		if (!auth_caller_present(&k, workspace))
			return auth_caller_denied(c);
	}
	if (store_role_list(c, in->workspace.count ? &in->workspace : NULL, &roles))
		return -1;
	return role_list_reply(c, &roles, out);
}

int auth_role_update(struct ctx *c, const struct update_role *in, struct role_reply *out)
{
	struct caller k = { 0 };
	struct role old = { 0 };
	int found;

	if (check_role(c, &k, MANAGE, *in->role_id, &old))
		return -1;
	if (!in->name && !in->description)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "At least one of 'name' or 'description' must be provided to update a"
		            " role.");
	if ((in->name && check_name(c, in->name)) || check_description(c, in->description))
		return -1;
	out->role = NEW(c->arena, struct role);
	found = store_role_update(c, *in->role_id, in->name, in->description, out->role);
	if (found < 0) {
		if (c->error.code != RESOURCE_ALREADY_EXISTS)
			return -1;
		error_clear(c);
		return fail(c, RESOURCE_ALREADY_EXISTS,
		            "Role with name=%s already exists in workspace=%s", in->name,
		            old.workspace);
	}
	return found ? changed() : role_missing(c, *in->role_id);
}

int auth_role_delete(struct ctx *c, const struct role_key *in, struct empty *out)
{
	struct caller k = { 0 };
	struct role role = { 0 };
	int gone;

	(void)out;
	if (check_role(c, &k, MANAGE, *in->role_id, &role))
		return -1;
	gone = store_role_delete(c, *in->role_id);
	if (gone < 0)
		return -1;
	return gone ? changed() : role_missing(c, *in->role_id);
}

/* ---- their permissions ---- */

int auth_role_add_permission(struct ctx *c, const struct add_role_permission *in,
                             struct role_permission_reply *out)
{
	const struct role_permission wanted = { NULL, in->role_id, in->resource_type,
	                                        in->resource_pattern, in->permission };
	struct caller k = { 0 };
	struct role role = { 0 };
	enum auth_resource type;
	int made;

	if (check_role(c, &k, MANAGE, *in->role_id, &role)
	    || auth_rules_permission_name(c, in->permission)
	    || auth_rules_type(c, in->resource_type, &type)
	    || auth_rules_permission(c, in->permission, type)
	    || auth_rules_pattern(c, in->resource_pattern, type))
		return -1;
	out->role_permission = NEW(c->arena, struct role_permission);
	made = store_role_permission_add(c, &wanted, out->role_permission);
	if (made < 0)
		return -1;
	if (!made)
		return fail(c, RESOURCE_ALREADY_EXISTS,
		            "Role permission (role_id=%lld, resource_type=%s, resource_pattern=%s)"
		            " already exists.", (long long)*in->role_id, in->resource_type,
		            in->resource_pattern);
	return changed();
}

int auth_role_remove_permission(struct ctx *c, const struct role_permission_key *in,
                                struct empty *out)
{
	struct role_permission old = { 0 };
	int gone;

	(void)out;
	if (check_permission(c, *in->role_permission_id, &old))
		return -1;
	gone = store_role_permission_remove(c, *in->role_permission_id);
	if (gone < 0)
		return -1;
	return gone ? changed() : permission_missing(c, *in->role_permission_id);
}

int auth_role_list_permissions(struct ctx *c, const struct role_key *in,
                               struct role_permission_list_reply *out)
{
	struct caller k = { 0 };
	struct role role = { 0 };

	if (check_role(c, &k, VIEW, *in->role_id, &role))
		return -1;
	out->role_permissions = role.permissions;
	return 0;
}

int auth_role_update_permission(struct ctx *c, const struct update_role_permission *in,
                                struct role_permission_reply *out)
{
	struct role_permission old = { 0 };
	enum auth_resource type;
	int found;

	if (check_permission(c, *in->role_permission_id, &old)
	    || auth_rules_type(c, old.resource_type, &type)
	    || auth_rules_permission(c, in->permission, type))
		return -1;
	out->role_permission = NEW(c->arena, struct role_permission);
	found = store_role_permission_update(c, *in->role_permission_id, in->permission,
	                                     out->role_permission);
	if (found < 0)
		return -1;
	return found ? changed() : permission_missing(c, *in->role_permission_id);
}

/* ---- who has them ---- */

int auth_role_assign(struct ctx *c, const struct assign_role *in, struct assignment_reply *out)
{
	struct caller k = { 0 };
	struct role role = { 0 };
	struct user user = { 0 };
	int made;

	if (check_role(c, &k, MANAGE, *in->role_id, &role)
	    || auth_caller_find_user(c, in->username, &user))
		return -1;
	out->assignment = NEW(c->arena, struct role_assignment);
	made = store_role_assign(c, *user.id, *in->role_id, out->assignment);
	if (made < 0)
		return -1;
	if (!made)
		return fail(c, RESOURCE_ALREADY_EXISTS,
		            "User role assignment (user_id=%lld, role_id=%lld) already exists",
		            (long long)*user.id, (long long)*in->role_id);
	return changed();
}

int auth_role_unassign(struct ctx *c, const struct assign_role *in, struct empty *out)
{
	struct caller k = { 0 };
	struct role role = { 0 };
	struct user user = { 0 };
	int gone;

	(void)out;
	if (check_role(c, &k, MANAGE, *in->role_id, &role)
	    || auth_caller_find_user(c, in->username, &user))
		return -1;
	gone = store_role_unassign(c, *user.id, *in->role_id);
	if (gone < 0)
		return -1;
	if (!gone)
		return fail(c, RESOURCE_DOES_NOT_EXIST,
		            "User role assignment (user_id=%lld, role_id=%lld) not found",
		            (long long)*user.id, (long long)*in->role_id);
	return changed();
}

int auth_role_users(struct ctx *c, const struct role_key *in, struct assignment_list_reply *out)
{
	struct caller k = { 0 };
	struct role role = { 0 };
	struct list found = { 0 };

	if (check_role(c, &k, MANAGE, *in->role_id, &role)
	    || store_role_assignments(c, *in->role_id, &found))
		return -1;
	out->assignments = auth_caller_list_json(c, &role_assignment_record, &found);
	return out->assignments ? 0 : -1;
}

int auth_role_of_user(struct ctx *c, const struct user_key *in, struct role_list_reply *out)
{
	struct list roles = { 0 };
	struct caller k;
	struct user user = { 0 };
	size_t kept = 0;
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
	if (store_role_of_user(c, *user.id, &roles))
		return -1;
	for (size_t i = 0; i < roles.count; i++) {
		struct role *r = LIST_AT(struct role, &roles, i);

		if (all || auth_caller_manages(&k, r->workspace))
			*LIST_AT(struct role, &roles, kept++) = *r;
	}
	roles.count = kept;
	return role_list_reply(c, &roles, out);
}
