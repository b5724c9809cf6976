/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/grant.h"

#include "db/db.h"

enum {
	GRANT_MANAGE, GRANT_RENAME_CLEAR, GRANT_RENAME, GRANT_REMOVE, GRANT_ADD, GRANT_REVOKE
};

/* The user's own role, made when it is first needed, and his. */
#define OWN_ROLE \
	"role AS (INSERT INTO roles (workspace, name)" \
	"  SELECT 'default', '__user_' || who.id || '__' FROM who" \
	"  ON CONFLICT (workspace, name) DO UPDATE SET name = excluded.name RETURNING id" \
	"), assigned AS (INSERT INTO user_role_assignments (user_id, role_id)" \
	"  SELECT who.id, role.id FROM who, role ON CONFLICT (user_id, role_id) DO NOTHING)"
/* Only users' own roles follow a resource; what an admin wrote into others stays as he wrote it. */
#define OWN_ROLES \
	"role_id IN (SELECT id FROM roles WHERE name ~ '^__user_[0-9]+__$' AND workspace ="\
	" 'default')"

static const struct stmt stmts[] = {
	[GRANT_MANAGE] = { "grant_manage", "ttt",
		"WITH who AS (SELECT id FROM users WHERE username = $1), " OWN_ROLE
		" INSERT INTO role_permissions (role_id, resource_type, resource_pattern,"
		" permission) SELECT role.id, $2, $3, 'MANAGE' FROM role"
		" ON CONFLICT (role_id, resource_type, resource_pattern)"
		" DO UPDATE SET permission = excluded.permission" },
	/* What is left over from an earlier resource of the new name. */
	[GRANT_RENAME_CLEAR] = { "grant_rename_clear", "tt",
		"DELETE FROM role_permissions WHERE resource_type = $1 AND resource_pattern = $2"
		" AND " OWN_ROLES },
	[GRANT_RENAME] = { "grant_rename", "ttt",
		"UPDATE role_permissions SET resource_pattern = $3 WHERE resource_type = $1"
		" AND resource_pattern = $2 AND " OWN_ROLES },
	[GRANT_REMOVE] = { "grant_remove", "tt",
		"DELETE FROM role_permissions WHERE resource_type = $1 AND resource_pattern = $2"
		" AND " OWN_ROLES },
	[GRANT_ADD] = { "grant_add", "ittt",
		"WITH who AS (SELECT id FROM users WHERE id = $1), " OWN_ROLE
		" INSERT INTO role_permissions (role_id, resource_type, resource_pattern,"
		" permission) SELECT role.id, $2, $3, $4 FROM role"
		" ON CONFLICT (role_id, resource_type, resource_pattern) DO NOTHING" },
	[GRANT_REVOKE] = { "grant_revoke", "itt",
		"DELETE FROM role_permissions p USING roles r WHERE r.id = p.role_id"
		" AND r.workspace = 'default' AND r.name = '__user_' || $1 || '__'"
		" AND p.resource_type = $2 AND p.resource_pattern = $3" },
};

void store_grant_manage_queue(struct ctx *c, const char *type, const char *id)
{
	if (!c->user)
		return;
	db_queue(c, &stmts[GRANT_MANAGE], ARGS(TEXT(c->user), TEXT(type), TEXT(id)), NULL);
}

void store_grant_rename_queue(struct ctx *c, const char *type, const char *id, const char *new_id)
{
	db_queue(c, &stmts[GRANT_RENAME_CLEAR], ARGS(TEXT(type), TEXT(new_id)), NULL);
	db_queue(c, &stmts[GRANT_RENAME], ARGS(TEXT(type), TEXT(id), TEXT(new_id)), NULL);
}

void store_grant_remove_queue(struct ctx *c, const char *type, const char *id)
{
	db_queue(c, &stmts[GRANT_REMOVE], ARGS(TEXT(type), TEXT(id)), NULL);
}

static int changed(int64_t rows)
{
	return rows < 0 ? -1 : rows > 0;
}

int store_grant_add(struct ctx *c, int64_t user_id, const char *type, const char *pattern,
                    const char *permission)
{
	return changed(db_exec(c, &stmts[GRANT_ADD],
	                       ARGS(BIGINT(user_id), TEXT(type), TEXT(pattern), TEXT(permission))));
}

int store_grant_revoke(struct ctx *c, int64_t user_id, const char *type, const char *pattern)
{
	return changed(db_exec(c, &stmts[GRANT_REVOKE],
	                       ARGS(BIGINT(user_id), TEXT(type), TEXT(pattern))));
}
