/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "auth/user.h"

#include <string.h>

#include "auth/auth.h"
#include "auth/password.h"
#include "base/arena.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "caller.h"

const struct record create_user_record = { sizeof(struct create_user), (const struct field[]){
	STRING(struct create_user, username, REQUIRED),
	STRING(struct create_user, password, REQUIRED),
	END }};

const struct record user_reply_record = { sizeof(struct user_reply), (const struct field[]){
	OBJECT(struct user_reply, user, 0, &user_record),
	END }};

const struct record user_key_record = { sizeof(struct user_key), (const struct field[]){
	STRING(struct user_key, username, REQUIRED),
	END }};

const struct record user_list_reply_record = {
	sizeof(struct user_list_reply), (const struct field[]){
	RAW(struct user_list_reply, users, 0),
	END }};

const struct record current_user_reply_record = {
	sizeof(struct current_user_reply), (const struct field[]){
	OBJECT(struct current_user_reply, user,          0, &user_record),
	BOOL  (struct current_user_reply, is_basic_auth, 0),
	END }};

const struct record update_password_record = {
	sizeof(struct update_password), (const struct field[]){
	STRING(struct update_password, username,         REQUIRED),
	STRING(struct update_password, password,         REQUIRED),
	STRING(struct update_password, current_password, 0),
	END }};

const struct record update_admin_record = { sizeof(struct update_admin), (const struct field[]){
	STRING(struct update_admin, username, REQUIRED),
	BOOL  (struct update_admin, is_admin, REQUIRED),
	END }};

/* ---- rules ---- */

int auth_user_check_name(struct ctx *c, const char *name)
{
	if (!*name)
		return fail(c, INVALID_PARAMETER_VALUE, "Username cannot be empty.");
	if (utf8_length(name) > LIMIT_USERNAME)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Username cannot be longer than %d characters.", LIMIT_USERNAME);
	/* HTTP's basic authentication could not say such a name. */
	if (strchr(name, ':'))
		return fail(c, INVALID_PARAMETER_VALUE, "Username cannot contain a colon.");
	for (const char *s = name; *s; s++) {
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return fail(c, INVALID_PARAMETER_VALUE,
			            "Username cannot contain control characters.");
	}
	return 0;
}

int auth_user_check_password(struct ctx *c, const char *password)
{
	size_t length = utf8_length(password);

	if (length < 12)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Password must be at least 12 characters.");
	if (length > LIMIT_PASSWORD)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Password cannot be longer than %d characters.", LIMIT_PASSWORD);
	return 0;
}

static bool is_caller(const struct caller *k, const char *username)
{
	return strcmp(k->user.username, username) == 0;
}

/* Admins, and who manages any workspace: he may want to give the new user a role there. */
static bool may_create(struct ctx *c, const struct caller *k)
{
	return k->admin || auth_caller_managed(c, k).count;
}

static int changed(struct ctx *c, int result, const char *username)
{
	if (result < 0)
		return -1;
	if (!result)
		return fail(c, RESOURCE_DOES_NOT_EXIST, "User with username=%s not found",
		            username);
	auth_changed(auth_current());
	return 0;
}

/* ---- handlers ---- */

int auth_user_create(struct ctx *c, const struct create_user *in, struct user_reply *out)
{
	struct caller k;
	const char *hash;
	int made;

	if (auth_caller_load(c, &k))
		return -1;
	if (!may_create(c, &k))
		return auth_caller_denied(c);
	if (auth_user_check_name(c, in->username) || auth_user_check_password(c, in->password))
		return -1;
	hash = auth_password_hash(c, in->password);
	if (!hash)
		return -1;
	out->user = NEW(c->arena, struct user);
	made = store_user_create(c, in->username, hash, false, out->user);
	if (made < 0)
		return -1;
	if (!made)
		return fail(c, RESOURCE_ALREADY_EXISTS, "User (username=%s) already exists.",
		            in->username);
	/* Somebody may have tried to log in already, and be remembered as wrong. */
	auth_changed(auth_current());
	return 0;
}

int auth_user_get(struct ctx *c, const struct user_key *in, struct user_reply *out)
{
	struct caller k;

	if (auth_caller_load(c, &k))
		return -1;
	if (!k.admin && !is_caller(&k, in->username))
		return auth_caller_denied(c);
	out->user = NEW(c->arena, struct user);
	return auth_caller_find_user(c, in->username, out->user);
}

int auth_user_list(struct ctx *c, const struct empty *in, struct user_list_reply *out)
{
	struct list users = { 0 };
	struct list managed;
	struct caller k;

	(void)in;
	if (auth_caller_load(c, &k))
		return -1;
	managed = auth_caller_managed(c, &k);
	if (store_role_users(c, k.admin, *k.user.id, &managed, &users))
		return -1;
	out->users = auth_caller_list_json(c, &user_roles_record, &users);
	return out->users ? 0 : -1;
}

int auth_user_current(struct ctx *c, const struct empty *in, struct current_user_reply *out)
{
	struct caller k;

	(void)in;
	if (auth_caller_load(c, &k))
		return -1;
	out->user = arena_memdup(c->arena, &k.user, sizeof(k.user));
	out->is_basic_auth = box_bool(c->arena, true);
	return 0;
}

/* Who changes his own must say the old one, so that a stolen browser session cannot lock him
   out. */
static int check_current(struct ctx *c, const struct caller *k, const struct update_password *in)
{
	int right;

	if (!in->current_password || !*in->current_password)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Current password is required when changing your own password.");
	right = auth_password_verify(c, in->current_password, k->user.password_hash);
	if (right < 0)
		return -1;
	if (!right)
		return fail(c, INVALID_PARAMETER_VALUE, "Current password does not match.");
	if (strcmp(in->password, in->current_password) == 0)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "New password must differ from the current password.");
	return 0;
}

int auth_user_update_password(struct ctx *c, const struct update_password *in, struct empty *out)
{
	struct caller k;
	struct user user = { 0 };
	const char *hash;

	(void)out;
	if (auth_caller_load(c, &k))
		return -1;
	if (!is_caller(&k, in->username) && !k.admin)
		return auth_caller_denied(c);
	if (is_caller(&k, in->username) ? check_current(c, &k, in)
	                                : auth_caller_find_user(c, in->username, &user))
		return -1;
	if (auth_user_check_password(c, in->password))
		return -1;
	hash = auth_password_hash(c, in->password);
	if (!hash)
		return -1;
	return changed(c, store_user_set_password(c, in->username, hash), in->username);
}

int auth_user_update_admin(struct ctx *c, const struct update_admin *in, struct empty *out)
{
	struct caller k;

	(void)out;
	if (auth_caller_load(c, &k))
		return -1;
	if (!k.admin)
		return auth_caller_denied(c);
	return changed(c, store_user_set_admin(c, in->username, *in->is_admin), in->username);
}

int auth_user_delete(struct ctx *c, const struct user_key *in, struct empty *out)
{
	struct caller k;

	(void)out;
	if (auth_caller_load(c, &k))
		return -1;
	if (!k.admin)
		return auth_caller_denied(c);
	if (is_caller(&k, in->username))
		return fail(c, BAD_REQUEST,
		            "Users cannot delete their own account. Ask another admin to delete"
		            " this user instead.");
	return changed(c, store_user_delete(c, in->username), in->username);
}
