/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/role.h"

#include "db/db.h"

enum {
	ROLE_GET, ROLE_LIST, ROLE_LIST_IN, ROLE_CREATE, ROLE_UPDATE, ROLE_DELETE, PERMISSION_GET,
	PERMISSION_LIST, PERMISSION_ADD, PERMISSION_UPDATE, PERMISSION_REMOVE, ROLE_ASSIGN,
	ROLE_UNASSIGN, ROLE_ASSIGNMENTS, ROLE_OF_USER, ROLE_HELD, ROLE_REACH, ROLE_USERS
};

#define PERMISSIONS \
	"coalesce((SELECT json_agg(json_build_object('id', p.id, 'role_id', p.role_id," \
	" 'resource_type', p.resource_type, 'resource_pattern', p.resource_pattern," \
	" 'permission', p.permission) ORDER BY p.id)" \
	" FROM role_permissions p WHERE p.role_id = r.id), '[]')"
#define ROLE \
	"r.id, r.name, r.workspace," \
	" coalesce(to_json(r.description)::text, 'null') AS description, " PERMISSIONS "::text AS permissions"
#define PERMISSION "p.id, p.role_id, p.resource_type, p.resource_pattern, p.permission"

static const struct stmt stmts[] = {
	[ROLE_GET] = { "role_get", "i", "SELECT " ROLE " FROM roles r WHERE r.id = $1" },
	[ROLE_LIST] = { "role_list", "", "SELECT " ROLE " FROM roles r ORDER BY r.id" },
	[ROLE_LIST_IN] = { "role_list_in", "T",
		"SELECT " ROLE " FROM roles r WHERE r.workspace = ANY ($1) ORDER BY r.id" },
	[ROLE_CREATE] = { "role_create", "ttt",
		"INSERT INTO roles AS r (workspace, name, description) SELECT $1, $2, $3"
		" WHERE NOT EXISTS (SELECT FROM roles WHERE workspace = $1 AND name = $2)"
		" ON CONFLICT (workspace, name) DO NOTHING RETURNING " ROLE },
	[ROLE_UPDATE] = { "role_update", "itt",
		"UPDATE roles AS r SET name = coalesce($2, name),"
		" description = coalesce($3, description) WHERE r.id = $1 RETURNING " ROLE },
	[ROLE_DELETE] = { "role_delete", "i", "DELETE FROM roles WHERE id = $1" },
	[PERMISSION_GET] = { "role_permission_get", "i",
		"SELECT " PERMISSION " FROM role_permissions p WHERE p.id = $1" },
	[PERMISSION_LIST] = { "role_permission_list", "i",
		"SELECT " PERMISSION " FROM role_permissions p WHERE p.role_id = $1"
		" ORDER BY p.id" },
	[PERMISSION_ADD] = { "role_permission_add", "ittt",
		"INSERT INTO role_permissions AS p"
		" (role_id, resource_type, resource_pattern, permission)"
		" SELECT r.id, $2, $3, $4 FROM roles r WHERE r.id = $1"
		" AND NOT EXISTS (SELECT FROM role_permissions WHERE role_id = $1"
		"  AND resource_type = $2 AND resource_pattern = $3)"
		" ON CONFLICT (role_id, resource_type, resource_pattern) DO NOTHING"
		" RETURNING " PERMISSION },
	[PERMISSION_UPDATE] = { "role_permission_update", "it",
		"UPDATE role_permissions AS p SET permission = $2 WHERE p.id = $1"
		" RETURNING " PERMISSION },
	[PERMISSION_REMOVE] = { "role_permission_remove", "i",
		"DELETE FROM role_permissions WHERE id = $1" },
	[ROLE_ASSIGN] = { "role_assign", "ii",
		"INSERT INTO user_role_assignments AS a (user_id, role_id)"
		" SELECT u.id, r.id FROM users u, roles r WHERE u.id = $1 AND r.id = $2"
		" AND NOT EXISTS (SELECT FROM user_role_assignments WHERE user_id = $1"
		"  AND role_id = $2)"
		" ON CONFLICT (user_id, role_id) DO NOTHING RETURNING a.id, a.user_id, a.role_id" },
	[ROLE_UNASSIGN] = { "role_unassign", "ii",
		"DELETE FROM user_role_assignments WHERE user_id = $1 AND role_id = $2" },
	[ROLE_ASSIGNMENTS] = { "role_assignments", "i",
		"SELECT id, user_id, role_id FROM user_role_assignments WHERE role_id = $1"
		" ORDER BY id" },
	[ROLE_OF_USER] = { "role_of_user", "i",
		"SELECT " ROLE " FROM user_role_assignments a JOIN roles r ON r.id = a.role_id"
		" WHERE a.user_id = $1 ORDER BY r.id" },
	[ROLE_HELD] = { "role_held", "i",
		"SELECT r.id AS role_id, r.name AS role_name, r.workspace, p.resource_type,"
		" p.resource_pattern, p.permission FROM user_role_assignments a"
		" JOIN roles r ON r.id = a.role_id JOIN role_permissions p ON p.role_id = r.id"
		" WHERE a.user_id = $1 ORDER BY r.id, p.id" },
	[ROLE_REACH] = { "role_reach", "i",
		"SELECT r.workspace, bool_or(p.id IS NOT NULL) AS manages"
		" FROM user_role_assignments a JOIN roles r ON r.id = a.role_id"
		" LEFT JOIN role_permissions p ON p.role_id = r.id AND p.resource_type ="
		" 'workspace' AND p.resource_pattern = '*' AND p.permission = 'MANAGE'"
		" WHERE a.user_id = $1 GROUP BY r.workspace" },
	[ROLE_USERS] = { "role_users", "biT",
		"SELECT u.id, u.username, u.is_admin, coalesce((SELECT json_agg(json_build_object("
		"  'id', r.id, 'name', r.name, 'workspace', r.workspace, 'description',"
		" r.description, 'permissions', " PERMISSIONS ") ORDER BY r.id)"
		"  FROM user_role_assignments a JOIN roles r ON r.id = a.role_id"
		"  WHERE a.user_id = u.id AND ($1 OR u.id = $2 OR r.workspace = ANY ($3))), '[]')"
		"::text AS roles FROM users u ORDER BY u.id" },
};

const struct record role_record = { sizeof(struct role), (const struct field[]){
	INT64 (struct role, id,          0),
	STRING(struct role, name,        0),
	STRING(struct role, workspace,   0),
	RAW   (struct role, description, 0),
	RAW   (struct role, permissions, 0),
	END }};

const struct record role_permission_record = {
	sizeof(struct role_permission), (const struct field[]){
	INT64 (struct role_permission, id,               0),
	INT64 (struct role_permission, role_id,          0),
	STRING(struct role_permission, resource_type,    0),
	STRING(struct role_permission, resource_pattern, 0),
	STRING(struct role_permission, permission,       0),
	END }};

const struct record role_assignment_record = {
	sizeof(struct role_assignment), (const struct field[]){
	INT64(struct role_assignment, id,      0),
	INT64(struct role_assignment, user_id, 0),
	INT64(struct role_assignment, role_id, 0),
	END }};

const struct record held_permission_record = {
	sizeof(struct held_permission), (const struct field[]){
	INT64 (struct held_permission, role_id,          0),
	STRING(struct held_permission, role_name,        0),
	STRING(struct held_permission, workspace,        0),
	STRING(struct held_permission, resource_type,    0),
	STRING(struct held_permission, resource_pattern, 0),
	STRING(struct held_permission, permission,       0),
	END }};

const struct record reach_record = { sizeof(struct reach), (const struct field[]){
	STRING(struct reach, workspace, 0),
	BOOL  (struct reach, manages,   0),
	END }};

const struct record user_roles_record = { sizeof(struct user_roles), (const struct field[]){
	INT64 (struct user_roles, id,       0),
	STRING(struct user_roles, username, 0),
	BOOL  (struct user_roles, is_admin, 0),
	RAW   (struct user_roles, roles,    0),
	END }};

static int changed(int64_t rows)
{
	return rows < 0 ? -1 : rows > 0;
}

int store_role_get(struct ctx *c, int64_t id, struct role *ret)
{
	return db_one(c, &stmts[ROLE_GET], ARGS(BIGINT(id)), &role_record, ret);
}

int store_role_list(struct ctx *c, const struct list *workspaces, struct list *roles)
{
	if (!workspaces)
		return db_list(c, &stmts[ROLE_LIST], NO_ARGS, &role_record, roles);
	return db_list(c, &stmts[ROLE_LIST_IN], ARGS(TEXTS(workspaces->items, workspaces->count)),
	               &role_record, roles);
}

int store_role_create(struct ctx *c, const char *workspace, const char *name,
                      const char *description, struct role *ret)
{
	return db_one(c, &stmts[ROLE_CREATE],
	              ARGS(TEXT(workspace), TEXT(name), TEXT(description)), &role_record, ret);
}

int store_role_update(struct ctx *c, int64_t id, const char *name, const char *description,
                      struct role *ret)
{
	return db_one(c, &stmts[ROLE_UPDATE], ARGS(BIGINT(id), TEXT(name), TEXT(description)),
	              &role_record, ret);
}

int store_role_delete(struct ctx *c, int64_t id)
{
	return changed(db_exec(c, &stmts[ROLE_DELETE], ARGS(BIGINT(id))));
}

int store_role_permission_get(struct ctx *c, int64_t id, struct role_permission *ret)
{
	return db_one(c, &stmts[PERMISSION_GET], ARGS(BIGINT(id)), &role_permission_record, ret);
}

int store_role_permission_list(struct ctx *c, int64_t role_id, struct list *ret)
{
	return db_list(c, &stmts[PERMISSION_LIST], ARGS(BIGINT(role_id)), &role_permission_record,
	               ret);
}

int store_role_permission_add(struct ctx *c, const struct role_permission *p,
                              struct role_permission *ret)
{
	return db_one(c, &stmts[PERMISSION_ADD],
	              ARGS(BIGINT(*p->role_id), TEXT(p->resource_type), TEXT(p->resource_pattern),
	                   TEXT(p->permission)), &role_permission_record, ret);
}

int store_role_permission_update(struct ctx *c, int64_t id, const char *permission,
                                 struct role_permission *ret)
{
	return db_one(c, &stmts[PERMISSION_UPDATE], ARGS(BIGINT(id), TEXT(permission)),
	              &role_permission_record, ret);
}

int store_role_permission_remove(struct ctx *c, int64_t id)
{
	return changed(db_exec(c, &stmts[PERMISSION_REMOVE], ARGS(BIGINT(id))));
}

int store_role_assign(struct ctx *c, int64_t user_id, int64_t role_id, struct role_assignment *ret)
{
	return db_one(c, &stmts[ROLE_ASSIGN], ARGS(BIGINT(user_id), BIGINT(role_id)),
	              &role_assignment_record, ret);
}

int store_role_unassign(struct ctx *c, int64_t user_id, int64_t role_id)
{
	return changed(db_exec(c, &stmts[ROLE_UNASSIGN], ARGS(BIGINT(user_id), BIGINT(role_id))));
}

int store_role_assignments(struct ctx *c, int64_t role_id, struct list *ret)
{
	return db_list(c, &stmts[ROLE_ASSIGNMENTS], ARGS(BIGINT(role_id)), &role_assignment_record,
	               ret);
}

int store_role_of_user(struct ctx *c, int64_t user_id, struct list *ret)
{
	return db_list(c, &stmts[ROLE_OF_USER], ARGS(BIGINT(user_id)), &role_record, ret);
}

int store_role_held(struct ctx *c, int64_t user_id, struct list *ret)
{
	return db_list(c, &stmts[ROLE_HELD], ARGS(BIGINT(user_id)), &held_permission_record, ret);
}

int store_role_reach(struct ctx *c, int64_t user_id, struct list *ret)
{
	return db_list(c, &stmts[ROLE_REACH], ARGS(BIGINT(user_id)), &reach_record, ret);
}

int store_role_users(struct ctx *c, bool all, int64_t self, const struct list *workspaces,
                     struct list *ret)
{
	return db_list(c, &stmts[ROLE_USERS],
	               ARGS(BOOLEAN(all), BIGINT(self),
	                    TEXTS(workspaces->items, workspaces->count)), &user_roles_record, ret);
}
