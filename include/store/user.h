/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* user — accounts: their names, password hashes and admin flags, and what they were granted. */
#ifndef STORE_USER_H
#define STORE_USER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/record.h"

struct user {
	const int64_t *id;
	const char *username;
	const char *password_hash;      /* never leaves the daemon */
	const bool *is_admin;
};
extern const struct record user_record;

/* One permission of one of a user's roles, in the workspace 'default'. */
struct grant {
	const char *resource_type;
	const char *resource_pattern;   /* "*" or an id */
	const char *permission;
};
extern const struct record grant_record;

/* 1, 0 no such user, -1. */
int store_user_get(struct ctx *c, const char *username, struct user *ret) MUST_CHECK;
/* The same with all the user's grants, both of one moment. */
int store_user_load(struct ctx *c, const char *username, struct user *ret,
                    struct list *grants) MUST_CHECK;
/* By id; without password hashes. */
int store_user_list(struct ctx *c, struct list *users) MUST_CHECK;
/* Whether there is an admin at all: 1, 0, -1. */
int store_user_any_admin(struct ctx *c) MUST_CHECK;

/* 1 made, 0 the name is taken, -1. */
int store_user_create(struct ctx *c, const char *username, const char *password_hash, bool is_admin,
                      struct user *ret) MUST_CHECK;
/* 1, 0 no such user, -1. */
int store_user_set_password(struct ctx *c, const char *username,
                            const char *password_hash) MUST_CHECK;
int store_user_set_admin(struct ctx *c, const char *username, bool is_admin) MUST_CHECK;
/* With the role of its own grants. */
int store_user_delete(struct ctx *c, const char *username) MUST_CHECK;

/* Changes whenever users, roles, assignments or permissions do. */
int store_user_epoch(struct ctx *c, int64_t *ret) MUST_CHECK;

#endif
