/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * grants — what a set of grants permits: the rules of mlflow/server/auth/requirements.py and
 * permissions.py, pure. Within a key a DENY wins, otherwise the highest; across the rungs of a
 * requirement the first key that holds any grant decides; without any the default does. MANAGE on
 * the workspace stands above all of it.
 */
#ifndef AUTH_GRANTS_H
#define AUTH_GRANTS_H

#include <stdbool.h>
#include <stddef.h>

#include "auth/auth.h"
#include "base/record.h"

enum auth_permission {
	AUTH_DENY = -1, AUTH_NO_PERMISSIONS, AUTH_READ, AUTH_USE, AUTH_EDIT, AUTH_MANAGE
};

/* False: no such name. */
bool auth_permission_parse(const char *name, enum auth_permission *ret);
const char *auth_permission_name(enum auth_permission p);
bool auth_permission_allows(enum auth_permission p, enum auth_action action);

bool auth_resource_parse(const char *name, enum auth_resource *ret);
const char *auth_resource_name(enum auth_resource type);
/* False: only "*" can be granted, no single id. */
bool auth_resource_has_ids(enum auth_resource type);

struct auth_grants;

/* Of rows (struct grant); unknown types and permissions, and patterns that a type does not have,
   grant nothing. NULL: no memory. */
struct auth_grants *auth_grants_new(const struct list *rows);
void auth_grants_free(struct auth_grants *g);

/* MANAGE on the workspace. */
bool auth_grants_manage_workspace(const struct auth_grants *g);

/* What applies to a key; id NULL: "*". False: no grant there. */
bool auth_grants_at(const struct auth_grants *g, enum auth_resource type, const char *id,
                    enum auth_permission *ret);

/* What a key comes to, with the default: users/permissions/get. */
enum auth_permission auth_grants_effective(const struct auth_grants *g,
                                           enum auth_permission fallback,
                                           enum auth_resource type, const char *id);

bool auth_grants_allow(const struct auth_grants *g, enum auth_permission fallback,
                       const struct auth_requirement *r);

/* Ids in c's arena. */
void auth_grants_view(struct ctx *c, const struct auth_grants *g, enum auth_permission fallback,
                      enum auth_resource type, struct auth_view *ret);

#endif
