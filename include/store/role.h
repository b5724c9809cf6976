/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* role — named sets of permissions, and who has them. */
#ifndef STORE_ROLE_H
#define STORE_ROLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/record.h"

struct role {
	const int64_t *id;
	const char *name;
	const char *workspace;
	const char *description;        /* JSON: a string or null */
	const char *permissions;        /* JSON: a list of role_permission */
};
extern const struct record role_record;

struct role_permission {
	const int64_t *id;
	const int64_t *role_id;
	const char *resource_type;
	const char *resource_pattern;
	const char *permission;
};
extern const struct record role_permission_record;

struct role_assignment {
	const int64_t *id;
	const int64_t *user_id;
	const int64_t *role_id;
};
extern const struct record role_assignment_record;

/* One permission of one of a user's roles. */
struct held_permission {
	const int64_t *role_id;
	const char *role_name;
	const char *workspace;
	const char *resource_type;
	const char *resource_pattern;
	const char *permission;
};
extern const struct record held_permission_record;

/* A workspace in which a user has a role. */
struct reach {
	const char *workspace;
	const bool *manages;
};
extern const struct record reach_record;

/* A user as lists of users show him. */
struct user_roles {
	const int64_t *id;
	const char *username;
	const bool *is_admin;
	const char *roles;              /* JSON: a list of role */
};
extern const struct record user_roles_record;

/* Lookups and changes by id: 1, 0 there is none, -1. */
int store_role_get(struct ctx *c, int64_t id, struct role *ret) MUST_CHECK;
/* By id. workspaces (const char *): only of these; NULL: all. */
int store_role_list(struct ctx *c, const struct list *workspaces, struct list *roles) MUST_CHECK;
/* 1, 0 the name is taken, -1. description NULL: none. */
int store_role_create(struct ctx *c, const char *workspace, const char *name,
                      const char *description, struct role *ret) MUST_CHECK;
/* NULL: as it is. A taken name is RESOURCE_ALREADY_EXISTS, in words that are not for clients. */
int store_role_update(struct ctx *c, int64_t id, const char *name, const char *description,
                      struct role *ret) MUST_CHECK;
int store_role_delete(struct ctx *c, int64_t id) MUST_CHECK;

int store_role_permission_get(struct ctx *c, int64_t id, struct role_permission *ret) MUST_CHECK;
int store_role_permission_list(struct ctx *c, int64_t role_id, struct list *ret) MUST_CHECK;
/* 1, 0 the role already has one on that (or is gone), -1. */
int store_role_permission_add(struct ctx *c, const struct role_permission *p,
                              struct role_permission *ret) MUST_CHECK;
int store_role_permission_update(struct ctx *c, int64_t id, const char *permission,
                                 struct role_permission *ret) MUST_CHECK;
int store_role_permission_remove(struct ctx *c, int64_t id) MUST_CHECK;

/* 1, 0 he has it already (or one of both is gone), -1. */
int store_role_assign(struct ctx *c, int64_t user_id, int64_t role_id,
                      struct role_assignment *ret) MUST_CHECK;
int store_role_unassign(struct ctx *c, int64_t user_id, int64_t role_id) MUST_CHECK;
int store_role_assignments(struct ctx *c, int64_t role_id, struct list *ret) MUST_CHECK;

/* struct role, struct held_permission, struct reach of a user. */
int store_role_of_user(struct ctx *c, int64_t user_id, struct list *ret) MUST_CHECK;
int store_role_held(struct ctx *c, int64_t user_id, struct list *ret) MUST_CHECK;
int store_role_reach(struct ctx *c, int64_t user_id, struct list *ret) MUST_CHECK;

/* All users (struct user_roles) with their roles: all of them, or all of user `self` and for
   others those in `workspaces` (const char *). */
int store_role_users(struct ctx *c, bool all, int64_t self, const struct list *workspaces,
                     struct list *ret) MUST_CHECK;

#endif
