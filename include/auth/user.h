/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* user — /mlflow/users/... and /signup: requests, replies, handlers. */
#ifndef AUTH_USER_H
#define AUTH_USER_H

#include <stdbool.h>

#include "base/ctx.h"
#include "base/empty.h"
#include "base/record.h"
#include "store/role.h"
#include "store/user.h"

/* INVALID_PARAMETER_VALUE: no name or password that one could log in with. */
int auth_user_check_name(struct ctx *c, const char *name) MUST_CHECK;
int auth_user_check_password(struct ctx *c, const char *password) MUST_CHECK;

struct create_user {
	const char *username;
	const char *password;
};
extern const struct record create_user_record;

struct user_reply {
	struct user *user;
};
extern const struct record user_reply_record;

struct user_key {
	const char *username;
};
extern const struct record user_key_record;

struct user_list_reply {
	const char *users;              /* JSON: a list of user_roles */
};
extern const struct record user_list_reply_record;

struct current_user_reply {
	struct user *user;
	const bool *is_basic_auth;
};
extern const struct record current_user_reply_record;

struct update_password {
	const char *username;
	const char *password;
	const char *current_password;
};
extern const struct record update_password_record;

struct update_admin {
	const char *username;
	const bool *is_admin;
};
extern const struct record update_admin_record;

int auth_user_create(struct ctx *c, const struct create_user *in,
                     struct user_reply *out) MUST_CHECK;
int auth_user_get(struct ctx *c, const struct user_key *in, struct user_reply *out) MUST_CHECK;
int auth_user_list(struct ctx *c, const struct empty *in, struct user_list_reply *out) MUST_CHECK;
int auth_user_current(struct ctx *c, const struct empty *in,
                      struct current_user_reply *out) MUST_CHECK;
int auth_user_update_password(struct ctx *c, const struct update_password *in,
                              struct empty *out) MUST_CHECK;
int auth_user_update_admin(struct ctx *c, const struct update_admin *in,
                           struct empty *out) MUST_CHECK;
int auth_user_delete(struct ctx *c, const struct user_key *in, struct empty *out) MUST_CHECK;

/* ---- a user's own grants ---- */

struct user_grant {
	const char *username;
	const char *resource_type;
	const char *resource_id;
	const char *permission;
};
extern const struct record user_grant_record;

struct user_grant_key {
	const char *username;
	const char *resource_type;
	const char *resource_id;
};
extern const struct record user_grant_key_record;

struct user_grant_reply {
	const bool *allowed;
	const char *permission;
};
extern const struct record user_grant_reply_record;

struct held_permissions_reply {
	const bool *is_admin;
	const char *permissions;        /* JSON: a list of held_permission */
};
extern const struct record held_permissions_reply_record;

int auth_user_grant_add(struct ctx *c, const struct user_grant *in, struct empty *out) MUST_CHECK;
int auth_user_grant_revoke(struct ctx *c, const struct user_grant_key *in,
                           struct empty *out) MUST_CHECK;
int auth_user_grant_get(struct ctx *c, const struct user_grant_key *in,
                        struct user_grant_reply *out) MUST_CHECK;
int auth_user_grant_list(struct ctx *c, const struct user_key *in,
                         struct held_permissions_reply *out) MUST_CHECK;
int auth_user_grant_current(struct ctx *c, const struct empty *in,
                            struct held_permissions_reply *out) MUST_CHECK;

#endif
