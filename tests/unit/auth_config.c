/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* basic_auth.ini */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "auth/config.h"
#include "base/arena.h"
#include "base/limits.h"
#include "base/log.h"

#include <cmocka.h>            /* last: it defines fail() */

static struct ctx c;
static struct auth_config config;

static int set_up(void **state)
{
	(void)state;
	log_configure(LOG_ERROR, LOG_TEXT);
	c = (struct ctx){ .arena = arena_new(LIMIT_ARENA) };
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(c.arena);
	return 0;
}

static void good(const char *text)
{
	if (auth_config_parse(&c, "a.ini", text, &config))
		fail_msg("%s", c.error.message);
}

static void bad(const char *text, const char *message)
{
	assert_int_equal(auth_config_parse(&c, "a.ini", text, &config), -1);
	assert_int_equal(c.error.code, INVALID_PARAMETER_VALUE);
	assert_string_equal(c.error.message, message);
	error_clear(&c);
}

static void defaults(void **state)
{
	(void)state;
	assert_int_equal(auth_config_read(&c, NULL, &config), 0);
	assert_string_equal(config.default_permission, "READ");
	assert_string_equal(config.admin_username, "admin");
	assert_null(config.admin_password);
	assert_int_equal(config.cache_limit, 10000);
	assert_true(config.cache_ttl_ms > 0);
}

static void as_shipped(void **state)
{
	(void)state;
	good("[mlflow]\n"
	     "default_permission = READ\n"
	     "database_uri = sqlite:///basic_auth.db\n"
	     "admin_username = admin\n"
	     "# admin_password =\n"
	     "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
	     "grant_default_workspace_access = false\n"
	     "# auth_cache_ttl_seconds = 0");
	assert_string_equal(config.default_permission, "READ");
	assert_null(config.admin_password);
}

static void settings(void **state)
{
	(void)state;
	good("; a comment\r\n[other]\nadmin_username = x\nnonsense\n[mlflow]\r\n"
	     "Default_Permission: NO_PERMISSIONS\r\n"
	     "admin_username =  the boss \n"
	     "admin_password = 100%% = sure: #1\n"
	     "grant_default_workspace_access = Yes\n"
	     "auth_cache_max_size = 7\nauth_cache_ttl_seconds = 60\n[last]\nadmin_username = y\n");
	assert_string_equal(config.default_permission, "NO_PERMISSIONS");
	assert_string_equal(config.admin_username, "the boss");
	assert_string_equal(config.admin_password, "100% = sure: #1");
	assert_int_equal(config.cache_limit, 7);
	assert_int_equal(config.cache_ttl_ms, 60000);
	good("[mlflow]\nauth_cache_ttl_seconds = 0\nadmin_password =\n");
	assert_int_equal(config.cache_ttl_ms, 0);
	assert_null(config.admin_password);
}

static void mistakes(void **state)
{
	(void)state;
	bad("[mlflow]\n\ndefault_permission = OWNER\n", "a.ini, line 3: default_permission must be"
	    " READ, USE, EDIT, MANAGE or NO_PERMISSIONS.");
	bad("[mlflow]\ndefault_permission = DENY\n", "a.ini, line 2: default_permission must be"
	    " READ, USE, EDIT, MANAGE or NO_PERMISSIONS.");
	bad("[mlflow]\nauthorization_function = my.auth:jwt", "a.ini, line 2: authorization_function"
	    " cannot be changed: there is no Python in this server, users log in by name and"
	    " password.");
	bad("[mlflow]\nauth_cache_ttl_seconds = soon\n", "a.ini, line 2: auth_cache_ttl_seconds must"
	    " be a whole number, and not that large.");
	bad("[mlflow]\nauth_cache_max_size = -1\n", "a.ini, line 2: auth_cache_max_size must be a"
	    " whole number, and not that large.");
	bad("[mlflow]\ngrant_default_workspace_access = maybe\n", "a.ini, line 2:"
	    " grant_default_workspace_access must be true or false.");
	bad("[mlflow]\nadmin_password = %(x)s\n", "a.ini, line 2: admin_password refers to another"
	    " setting by %(...), which is not supported; a percent sign is written %%.");
	bad("[mlflow\n", "a.ini, line 1: [mlflow is no section.");
	bad("[mlflow]\nadmin\n", "a.ini, line 2: admin is no setting: name = value.");
	assert_int_equal(auth_config_read(&c, "/no/such/file.ini", &config), -1);
	assert_string_equal(c.error.message, "MLFLOW_AUTH_CONFIG_PATH: cannot read"
	                    " '/no/such/file.ini': No such file or directory.");
	error_clear(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults), cmocka_unit_test(as_shipped),
		cmocka_unit_test(settings), cmocka_unit_test(mistakes),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
