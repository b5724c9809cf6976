/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* config — basic_auth.ini, as mlflow/server/auth/config.py reads it. */
#ifndef AUTH_CONFIG_H
#define AUTH_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"

struct auth_config {
	const char *default_permission;
	const char *admin_username;
	const char *admin_password;     /* NULL: none */
	size_t cache_limit;
	int64_t cache_ttl_ms;
};

/* path NULL: the defaults. All strings in c's arena. -1: INVALID_PARAMETER_VALUE, one line that
   names the file. */
int auth_config_read(struct ctx *c, const char *path, struct auth_config *ret) MUST_CHECK;

/* The same of its text; name: for messages. */
int auth_config_parse(struct ctx *c, const char *name, const char *text,
                      struct auth_config *ret) MUST_CHECK;

#endif
