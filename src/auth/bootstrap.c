/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* bootstrap — the first admin. There is no default password: mlflow/server/auth/__init__.py
   create_admin_user. */
#include <string.h>

#include "auth/password.h"
#include "auth/user.h"
#include "auth_impl.h"
#include "base/log.h"
#include "store/user.h"

#define LEGACY_ADMIN    "admin"
#define LEGACY_PASSWORD "password1234"
#define HOW "Set MLFLOW_AUTH_ADMIN_PASSWORD, or admin_password in the file that" \
	" MLFLOW_AUTH_CONFIG_PATH names, and start again."

bool auth_bootstrap_is_legacy(const char *password)
{
	return strcmp(password, LEGACY_PASSWORD) == 0;
}

static int check_password(struct ctx *c, const char *name, const char *password)
{
	if (!password || !*password)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "User accounts need a password to create the admin '%s', and none is"
		            " configured; there is no default one. " HOW, name);
	if (auth_bootstrap_is_legacy(password))
		return fail(c, INVALID_PARAMETER_VALUE,
		            "The configured password of the admin '%s' is the default one of old"
		            " MLflow versions, which everybody knows. " HOW, name);
	if (!auth_user_check_password(c, password))
		return 0;
	const char *why = c->error.message;
	error_clear(c);
	return fail(c, INVALID_PARAMETER_VALUE,
	            "The configured password of the admin '%s' is not possible: %s " HOW, name,
	            why);
}

static int create(struct ctx *c, const char *name, const char *password)
{
	struct user made = { 0 };
	const char *hash;
	int result;

	if (auth_user_check_name(c, name) || check_password(c, name, password))
		return -1;
	hash = auth_password_hash(c, password);
	if (!hash)
		return -1;
	/* Another daemon may do so at the same moment. */
	result = store_user_create(c, name, hash, true, &made);
	if (result > 0)
		log_event(LOG_INFO, "admin created", "user", name, NULL);
	return result < 0 ? -1 : 0;
}

/* The default password is rotated where a better one is configured; it never logs an admin in. */
static int replace_legacy(struct ctx *c, const struct user *user, const char *password)
{
	const char *hash;
	int legacy = auth_password_verify(c, LEGACY_PASSWORD, user->password_hash);

	if (legacy <= 0)
		return legacy;
	if (!password || !*password || auth_bootstrap_is_legacy(password)) {
		log_event(LOG_WARN, "a user has the default password of old MLflow versions; as an"
		          " admin he cannot log in with it", "user", user->username, "help",
		          "set MLFLOW_AUTH_ADMIN_PASSWORD and restart", NULL);
		return 0;
	}
	if (check_password(c, user->username, password))
		return -1;
	hash = auth_password_hash(c, password);
	if (!hash || store_user_set_password(c, user->username, hash) < 0)
		return -1;
	log_event(LOG_WARN, "the default password of old MLflow versions was replaced by the"
	          " configured one", "user", user->username, NULL);
	return 0;
}

int auth_bootstrap(struct ctx *c, const struct auth_options *o)
{
	const char *name = o->admin_username ? o->admin_username : LEGACY_ADMIN;
	struct user user = { 0 };
	struct user legacy = { 0 };
	int found;

	if (!*name)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "The configured name of the admin is empty. Set"
		            " MLFLOW_AUTH_ADMIN_USERNAME, or admin_username in the file that"
		            " MLFLOW_AUTH_CONFIG_PATH names, and start again.");
	found = store_user_get(c, name, &user);
	if (found < 0)
		return -1;
	if (!found && (!o->admin_password || !*o->admin_password)) {
		int any = store_user_any_admin(c);

		if (any)
			return any < 0 ? -1 : 0;
	}
	if (found ? replace_legacy(c, &user, o->admin_password)
	          : create(c, name, o->admin_password))
		return -1;
	if (strcmp(name, LEGACY_ADMIN) == 0)
		return 0;
	found = store_user_get(c, LEGACY_ADMIN, &legacy);
	return found <= 0 ? found : replace_legacy(c, &legacy, NULL);
}
