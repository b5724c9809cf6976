/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* caller — who asks, as the handlers of users and roles need to know him: read anew, not from
   memory. */
#ifndef AUTH_CALLER_H
#define AUTH_CALLER_H

#include <stdbool.h>

#include "base/ctx.h"
#include "base/record.h"
#include "store/user.h"

#define DEFAULT_WORKSPACE "default"

struct caller {
	struct user user;
	bool admin;
	struct list reach;              /* struct reach; not read for an admin */
};

int auth_caller_load(struct ctx *c, struct caller *ret) MUST_CHECK;

/* Any role in the workspace; MANAGE on it, or an admin. */
bool auth_caller_present(const struct caller *k, const char *workspace);
bool auth_caller_manages(const struct caller *k, const char *workspace);

/* Those he manages (const char *). */
struct list auth_caller_managed(struct ctx *c, const struct caller *k);

/* Does he manage a workspace in which that user has a role? 1, 0, -1. */
int auth_caller_manages_user(struct ctx *c, const struct caller *k, int64_t user_id) MUST_CHECK;

/* PERMISSION_DENIED */
int auth_caller_denied(struct ctx *c);

/* The user of that name, RESOURCE_DOES_NOT_EXIST where there is none. */
int auth_caller_find_user(struct ctx *c, const char *username, struct user *ret) MUST_CHECK;

/* [...] of a list of records. */
const char *auth_caller_list_json(struct ctx *c, const struct record *r,
                                  const struct list *items) MUST_CHECK;

#endif
