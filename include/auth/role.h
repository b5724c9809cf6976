/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* role — /mlflow/roles/... and /mlflow/users/roles/list: requests, replies, handlers. */
#ifndef AUTH_ROLE_H
#define AUTH_ROLE_H

#include <stdint.h>

#include "auth/user.h"
#include "base/ctx.h"
#include "base/empty.h"
#include "base/record.h"
#include "store/role.h"

struct create_role {
	const char *name;
	const char *workspace;
	const char *description;
};
extern const struct record create_role_record;

struct role_reply {
	struct role *role;
};
extern const struct record role_reply_record;

struct role_key {
	const int64_t *role_id;
};
extern const struct record role_key_record;

struct list_roles {
	struct list workspace;          /* const char * */
};
extern const struct record list_roles_record;

struct role_list_reply {
	const char *roles;              /* JSON: a list of role */
};
extern const struct record role_list_reply_record;

struct update_role {
	const int64_t *role_id;
	const char *name;
	const char *description;
};
extern const struct record update_role_record;

struct add_role_permission {
	const int64_t *role_id;
	const char *resource_type;
	const char *resource_pattern;
	const char *permission;
};
extern const struct record add_role_permission_record;

struct role_permission_key {
	const int64_t *role_permission_id;
};
extern const struct record role_permission_key_record;

struct update_role_permission {
	const int64_t *role_permission_id;
	const char *permission;
};
extern const struct record update_role_permission_record;

struct role_permission_reply {
	struct role_permission *role_permission;
};
extern const struct record role_permission_reply_record;

struct role_permission_list_reply {
	const char *role_permissions;   /* JSON: a list of role_permission */
};
extern const struct record role_permission_list_reply_record;

struct assign_role {
	const char *username;
	const int64_t *role_id;
};
extern const struct record assign_role_record;

struct assignment_reply {
	struct role_assignment *assignment;
};
extern const struct record assignment_reply_record;

struct assignment_list_reply {
	const char *assignments;        /* JSON: a list of role_assignment */
};
extern const struct record assignment_list_reply_record;

int auth_role_create(struct ctx *c, const struct create_role *in,
                     struct role_reply *out) MUST_CHECK;
int auth_role_get(struct ctx *c, const struct role_key *in, struct role_reply *out) MUST_CHECK;
int auth_role_list(struct ctx *c, const struct list_roles *in,
                   struct role_list_reply *out) MUST_CHECK;
int auth_role_update(struct ctx *c, const struct update_role *in,
                     struct role_reply *out) MUST_CHECK;
int auth_role_delete(struct ctx *c, const struct role_key *in, struct empty *out) MUST_CHECK;
int auth_role_add_permission(struct ctx *c, const struct add_role_permission *in,
                             struct role_permission_reply *out) MUST_CHECK;
int auth_role_remove_permission(struct ctx *c, const struct role_permission_key *in,
                                struct empty *out) MUST_CHECK;
int auth_role_list_permissions(struct ctx *c, const struct role_key *in,
                               struct role_permission_list_reply *out) MUST_CHECK;
int auth_role_update_permission(struct ctx *c, const struct update_role_permission *in,
                                struct role_permission_reply *out) MUST_CHECK;
int auth_role_assign(struct ctx *c, const struct assign_role *in,
                     struct assignment_reply *out) MUST_CHECK;
int auth_role_unassign(struct ctx *c, const struct assign_role *in, struct empty *out) MUST_CHECK;
int auth_role_users(struct ctx *c, const struct role_key *in,
                    struct assignment_list_reply *out) MUST_CHECK;
int auth_role_of_user(struct ctx *c, const struct user_key *in,
                      struct role_list_reply *out) MUST_CHECK;

#endif
