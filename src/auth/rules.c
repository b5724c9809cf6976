/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "rules.h"

#include <string.h>

#include "base/limits.h"
#include "base/utf8.h"

int auth_rules_type(struct ctx *c, const char *name, enum auth_resource *ret)
{
	if (auth_resource_parse(name, ret))
		return 0;
	return fail(c, INVALID_PARAMETER_VALUE,
	            "Invalid resource type '%s'. Valid resource types are: ('assessment',"
	            " 'experiment', 'gateway_endpoint', 'gateway_model_definition',"
	            " 'gateway_secret', 'logged_model', 'mcp_server', 'mcp_server_version',"
	            " 'prompt', 'prompt_version', 'registered_model',"
	            " 'registered_model_version', 'review_queue', 'run', 'scorer',"
	            " 'scorer_version', 'trace', 'workspace')", name);
}

int auth_rules_pattern(struct ctx *c, const char *pattern, enum auth_resource type)
{
	if (strcmp(pattern, "*") == 0)
		return 0;
	if (!auth_resource_has_ids(type))
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Invalid resource_pattern '%s' for resource_type='%s'. This resource"
		            " type supports only wildcard ('*') grants.", pattern,
		            auth_resource_name(type));
	if (utf8_length(pattern) > LIMIT_RESOURCE_PATTERN)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Invalid resource_pattern: it is longer than %d characters.",
		            LIMIT_RESOURCE_PATTERN);
	return 0;
}

int auth_rules_permission_name(struct ctx *c, const char *name)
{
	enum auth_permission p;

	if (auth_permission_parse(name, &p))
		return 0;
	return fail(c, INVALID_PARAMETER_VALUE,
	            "Invalid permission '%s'. Valid permissions are: ('READ', 'USE', 'EDIT',"
	            " 'MANAGE', 'NO_PERMISSIONS', 'DENY')", name);
}

int auth_rules_permission(struct ctx *c, const char *name, enum auth_resource type)
{
	enum auth_permission p = AUTH_NO_PERMISSIONS;

	if (auth_rules_permission_name(c, name))
		return -1;
	(void)!auth_permission_parse(name, &p);
	if (type == AUTH_WORKSPACE && p != AUTH_USE && p != AUTH_MANAGE)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Invalid permission '%s' for resource_type='workspace'. Workspace-wide"
		            " grants accept only: ('MANAGE', 'USE').", name);
	if (p == AUTH_NO_PERMISSIONS)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Invalid permission '%s' for resource_type='%s'. Resource-level grants"
		            " accept only: ('DENY', 'EDIT', 'MANAGE', 'READ', 'USE').", name,
		            auth_resource_name(type));
	return 0;
}
