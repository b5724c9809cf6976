/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* rules — what may be granted: mlflow/server/auth/permissions.py's checks and their words. All
   INVALID_PARAMETER_VALUE. */
#ifndef AUTH_RULES_H
#define AUTH_RULES_H

#include "auth/grants.h"

int auth_rules_type(struct ctx *c, const char *name, enum auth_resource *ret) MUST_CHECK;
int auth_rules_pattern(struct ctx *c, const char *pattern, enum auth_resource type) MUST_CHECK;
int auth_rules_permission_name(struct ctx *c, const char *name) MUST_CHECK;
int auth_rules_permission(struct ctx *c, const char *name, enum auth_resource type) MUST_CHECK;

#endif
