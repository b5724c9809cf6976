/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/user.h"

#include "db/db.h"

enum {
	USER_GET, USER_GRANTS, USER_LIST, USER_ANY_ADMIN, USER_CREATE, USER_SET_PASSWORD,
	USER_SET_ADMIN, USER_DELETE, USER_EPOCH
};

static const struct stmt stmts[] = {
	[USER_GET] = { "user_get", "t",
		"SELECT id, username, password_hash, is_admin FROM users WHERE username = $1" },
	[USER_GRANTS] = { "user_grants", "t",
		"SELECT p.resource_type, p.resource_pattern, p.permission"
		" FROM users u JOIN user_role_assignments a ON a.user_id = u.id"
		" JOIN roles r ON r.id = a.role_id AND r.workspace = 'default'"
		" JOIN role_permissions p ON p.role_id = r.id WHERE u.username = $1" },
	[USER_LIST] = { "user_list", "", "SELECT id, username, is_admin FROM users ORDER BY id" },
	[USER_ANY_ADMIN] = { "user_any_admin", "",
		"SELECT id FROM users WHERE is_admin LIMIT 1" },
	/* A taken name uses up no id. */
	[USER_CREATE] = { "user_create", "ttb",
		"INSERT INTO users (username, password_hash, is_admin) SELECT $1, $2, $3"
		" WHERE NOT EXISTS (SELECT FROM users WHERE username = $1)"
		" ON CONFLICT (username) DO NOTHING RETURNING id, username, is_admin" },
	[USER_SET_PASSWORD] = { "user_set_password", "tt",
		"UPDATE users SET password_hash = $2 WHERE username = $1" },
	[USER_SET_ADMIN] = { "user_set_admin", "tb",
		"UPDATE users SET is_admin = $2 WHERE username = $1" },
	[USER_DELETE] = { "user_delete", "t",
		"WITH gone AS (DELETE FROM users WHERE username = $1 RETURNING id"
		"), own AS (DELETE FROM roles USING gone"
		"  WHERE roles.name = '__user_' || gone.id || '__'"
		") SELECT id FROM gone" },
	[USER_EPOCH] = { "user_epoch", "", "SELECT epoch FROM auth_epoch" },
};

const struct record user_record = { sizeof(struct user), (const struct field[]){
	INT64 (struct user, id,            0),
	STRING(struct user, username,      0),
	STRING(struct user, password_hash, INPUT_ONLY),
	BOOL  (struct user, is_admin,      0),
	END }};

const struct record grant_record = { sizeof(struct grant), (const struct field[]){
	STRING(struct grant, resource_type,    0),
	STRING(struct grant, resource_pattern, 0),
	STRING(struct grant, permission,       0),
	END }};

struct epoch {
	const int64_t *epoch;
};

static const struct record epoch_record = { sizeof(struct epoch), (const struct field[]){
	INT64(struct epoch, epoch, 0),
	END }};

int store_user_get(struct ctx *c, const char *username, struct user *ret)
{
	return db_one(c, &stmts[USER_GET], ARGS(TEXT(username)), &user_record, ret);
}

int store_user_load(struct ctx *c, const char *username, struct user *ret, struct list *grants)
{
	struct list found = { 0 };

	db_queue_begin_snapshot(c);
	db_queue_list(c, &stmts[USER_GET], ARGS(TEXT(username)), &user_record, &found);
	db_queue_list(c, &stmts[USER_GRANTS], ARGS(TEXT(username)), &grant_record, grants);
	db_queue_commit(c);
	if (db_flush(c))
		return -1;
	if (!found.count)
		return 0;
	*ret = *LIST_AT(struct user, &found, 0);
	return 1;
}

int store_user_list(struct ctx *c, struct list *users)
{
	return db_list(c, &stmts[USER_LIST], NO_ARGS, &user_record, users);
}

int store_user_any_admin(struct ctx *c)
{
	struct user found = { 0 };

	return db_one(c, &stmts[USER_ANY_ADMIN], NO_ARGS, &user_record, &found);
}

int store_user_create(struct ctx *c, const char *username, const char *password_hash, bool is_admin,
                      struct user *ret)
{
	return db_one(c, &stmts[USER_CREATE],
	              ARGS(TEXT(username), TEXT(password_hash), BOOLEAN(is_admin)), &user_record,
	              ret);
}

static int changed(int64_t rows)
{
	return rows < 0 ? -1 : rows > 0;
}

int store_user_set_password(struct ctx *c, const char *username, const char *password_hash)
{
	return changed(db_exec(c, &stmts[USER_SET_PASSWORD],
	                       ARGS(TEXT(username), TEXT(password_hash))));
}

int store_user_set_admin(struct ctx *c, const char *username, bool is_admin)
{
	return changed(db_exec(c, &stmts[USER_SET_ADMIN], ARGS(TEXT(username), BOOLEAN(is_admin))));
}

int store_user_delete(struct ctx *c, const char *username)
{
	struct user gone = { 0 };

	return db_one(c, &stmts[USER_DELETE], ARGS(TEXT(username)), &user_record, &gone);
}

int store_user_epoch(struct ctx *c, int64_t *ret)
{
	struct epoch now = { 0 };
	int got = db_one(c, &stmts[USER_EPOCH], NO_ARGS, &epoch_record, &now);

	if (got < 0)
		return -1;
	if (!got)
		return fail(c, INVALID_STATE, "The database's table auth_epoch is empty.");
	*ret = *now.epoch;
	return 0;
}
