/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * The chain: botocore's order and rules (create_credential_resolver in credentials.py). Of what it knows, single sign-on
 * and MFA need a person, which a server has not got: a profile that asks for them is an error. Boto 2's files are not
 * read.
 */
#include <stdlib.h>
#include <string.h>

#include "aws_impl.h"
#include "base/arena.h"
#include "base/clock.h"

enum { ROLES_MOST = 16 };               /* in a chain of source profiles */

struct chain {
	struct net *net;
	struct aws_config config;
	const char *visited[ROLES_MOST];
	size_t visited_count;
	const char *instance;           /* why it gave nothing */
};

static int set(struct identity_value *ret, struct ctx *c, const char *key_id, const char *secret,
               const char *token)
{
	*ret = (struct identity_value){ .text = {
		[AWS_KEY_ID] = arena_strdup(c->arena, key_id),
		[AWS_SECRET] = arena_strdup(c->arena, secret),
		[AWS_TOKEN] = token && *token ? arena_strdup(c->arena, token) : NULL,
	} };
	return 1;
}

static int from_environment(struct ctx *c, struct identity_value *ret)
{
	const char *key_id = aws_variable("AWS_ACCESS_KEY_ID");
	const char *secret = aws_variable("AWS_SECRET_ACCESS_KEY");
	const char *token = aws_variable("AWS_SECURITY_TOKEN");
	const char *expires = aws_variable("AWS_CREDENTIAL_EXPIRATION");

	if (!key_id)
		return 0;
	if (!secret)
		return fail(c, AWS_TROUBLE, "AWS_ACCESS_KEY_ID is set, but not AWS_SECRET_ACCESS_KEY.");
	set(ret, c, key_id, secret, token ? token : aws_variable("AWS_SESSION_TOKEN"));
	if (!expires)
		return 1;
	ret->expires_ms = aws_time(expires);
	if (ret->expires_ms < 0)
		return fail(c, AWS_TROUBLE, "AWS_CREDENTIAL_EXPIRATION is no ISO 8601 time.");
	if (ret->expires_ms <= clock_wall_ms())
		return fail(c, AWS_TROUBLE,
		            "The server's AWS credentials in AWS_ACCESS_KEY_ID have expired "
		            "(AWS_CREDENTIAL_EXPIRATION); restart it with new ones.");
	return 1;
}

/* ---- profiles ---- */

typedef const char *lookup(struct ctx *c, const struct aws_config *f, const char *profile,
                           const char *name);

static int from_keys(struct ctx *c, const struct chain *k, const char *profile, lookup *get,
                     const char *where, struct identity_value *ret)
{
	const char *key_id = get(c, &k->config, profile, "aws_access_key_id");
	const char *secret = get(c, &k->config, profile, "aws_secret_access_key");
	const char *token = get(c, &k->config, profile, "aws_security_token");

	if (!key_id)
		return 0;
	if (!*key_id || !secret || !*secret)
		return fail(c, AWS_TROUBLE, "The AWS profile '%s' in the %s has no %s.", profile, where,
		            *key_id ? "aws_secret_access_key" : "aws_access_key_id");
	if (!token)
		token = get(c, &k->config, profile, "aws_session_token");
	return set(ret, c, key_id, secret, token);
}

static const char *of(struct ctx *c, const struct chain *k, const char *profile, const char *name)
{
	return aws_config_get(c, &k->config, profile, name);
}

/* With the environment's variables where they count: not for a source profile. */
static int from_web_identity(struct ctx *c, struct chain *k, const char *profile, bool environment,
                             struct identity_value *ret)
{
	const char *file = environment ? aws_variable("AWS_WEB_IDENTITY_TOKEN_FILE") : NULL;
	const char *arn = environment ? aws_variable("AWS_ROLE_ARN") : NULL;
	struct aws_role r = {
		.session = environment ? aws_variable("AWS_ROLE_SESSION_NAME") : NULL,
	};

	if (!file)
		file = of(c, k, profile, "web_identity_token_file");
	if (!file || !*file)
		return 0;
	r.arn = arn ? arn : of(c, k, profile, "role_arn");
	if (!r.session)
		r.session = of(c, k, profile, "role_session_name");
	if (!r.arn || !*r.arn)
		return fail(c, AWS_TROUBLE,
		            "A web identity token file is configured, but no role: set AWS_ROLE_ARN, or "
		            "role_arn in the AWS profile '%s'.", profile);
	return aws_sts_assume_web(c, k->net, &k->config, &r, file, ret) ? -1 : 1;
}

static int need_a_person(struct ctx *c, const struct chain *k, const char *profile)
{
	static const char *const names[] = { "sso_role_name", "sso_account_id", "login_session" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (of(c, k, profile, names[i]))
			return fail(c, AWS_TROUBLE,
			            "The AWS profile '%s' has %s: a server cannot sign in with a browser. Use a "
			            "role, credential_process or keys.", profile, names[i]);
	}
	return 0;
}

static int from_profile(struct ctx *c, struct chain *k, const char *profile, bool environment,
                        struct identity_value *ret)
{
	const char *command = of(c, k, profile, "credential_process");
	int found = from_web_identity(c, k, profile, environment, ret);

	if (found)
		return found;
	if (of(c, k, profile, "sso_role_name") || of(c, k, profile, "sso_account_id"))
		return need_a_person(c, k, profile);
	found = from_keys(c, k, profile, aws_config_secret, "AWS credentials file", ret);
	if (found)
		return found;
	if (need_a_person(c, k, profile))
		return -1;
	if (command)
		return aws_process(c, profile, command, ret);
	return from_keys(c, k, profile, aws_config_own, "AWS config file", ret);
}

/* ---- roles of profiles ---- */

static bool has_keys(struct ctx *c, const struct chain *k, const char *profile)
{
	return of(c, k, profile, "aws_access_key_id") || of(c, k, profile, "aws_secret_access_key");
}

static bool has_role(struct ctx *c, const struct chain *k, const char *profile)
{
	return of(c, k, profile, "role_arn") && !of(c, k, profile, "web_identity_token_file");
}

static int from_source(struct ctx *c, struct chain *k, const char *profile, const char *source,
                       struct identity_value *ret)
{
	int found;

	if (strcmp(source, "Environment") == 0)
		found = from_environment(c, ret);
	else if (strcmp(source, "EcsContainer") == 0)
		found = aws_container(c, k->net, ret);
	else if (strcmp(source, "Ec2InstanceMetadata") == 0)
		found = aws_instance(c, k->net, &k->config, ret, &k->instance);
	else
		return fail(c, AWS_TROUBLE,
		            "The credential_source of the AWS profile '%s' is not one of Environment, "
		            "EcsContainer and Ec2InstanceMetadata.", profile);
	if (!found)
		return fail(c, AWS_TROUBLE, "The credential_source %s of the AWS profile '%s' gave no "
		            "credentials%s%s.", source, profile, k->instance ? ": " : "",
		            k->instance ? k->instance : "");
	return found;
}

static int check_source(struct ctx *c, struct chain *k, const char *profile, const char *source)
{
	bool visited = false;

	if (!aws_config_has(c, &k->config, source))
		return fail(c, AWS_TROUBLE, "The source_profile '%s' of the AWS profile '%s' does not exist.",
		            source, profile);
	for (size_t i = 0; i < k->visited_count; i++)
		visited = visited || strcmp(k->visited[i], source) == 0;
	/* One that names itself means its own keys. */
	if (k->visited_count == ROLES_MOST
	    || (visited && (strcmp(source, profile) != 0 || !has_keys(c, k, source))))
		return fail(c, AWS_TROUBLE, "The source_profile of the AWS profile '%s' leads around in a circle.",
		            profile);
	k->visited[k->visited_count++] = source;
	return 0;
}

static const char *whole_number(const char *text)
{
	return text && *text && text[strspn(text, "0123456789")] == '\0' ? text : NULL;
}

static int from_role(struct ctx *c, struct chain *k, const char *profile, struct identity_value *ret)
{
	const char *source = of(c, k, profile, "credential_source");
	const char *other = of(c, k, profile, "source_profile");
	struct identity_value with = { .expires_ms = 0 };
	struct aws_role r = {
		.arn = of(c, k, profile, "role_arn"),
		.session = of(c, k, profile, "role_session_name"),
		.external_id = of(c, k, profile, "external_id"),
		.duration = whole_number(of(c, k, profile, "duration_seconds")),
	};
	int found;

	if (!source == !other)
		return fail(c, AWS_TROUBLE, "The AWS profile '%s' has a role_arn %s source_profile %s "
		            "credential_source: one of them is needed.", profile,
		            source ? "and both" : "but neither", source ? "and" : "nor");
	if (of(c, k, profile, "mfa_serial"))
		return fail(c, AWS_TROUBLE,
		            "The AWS profile '%s' has mfa_serial: a server cannot enter a code.", profile);
	if (source) {
		found = from_source(c, k, profile, source, &with);
	} else {
		if (check_source(c, k, profile, other))
			return -1;
		if (has_keys(c, k, other) || !has_role(c, k, other))
			found = from_profile(c, k, other, false, &with);
		else
			found = from_role(c, k, other, &with);
	}
	if (!found)
		return fail(c, AWS_TROUBLE, "The source_profile '%s' of the AWS profile '%s' has no credentials.",
		            other, profile);
	return found < 0 || aws_sts_assume(c, k->net, &k->config, &r, &with, ret) ? -1 : 1;
}

/* ---- all ---- */

static int nothing(struct ctx *c, const struct chain *k)
{
	char *detail = arena_printf(c->arena, "looked at %s and %s", k->config.credentials_path,
	                            k->config.config_path);

	return fail_because(c, AWS_TROUBLE, detail,
	                    "The server has no AWS credentials. It looked at the environment "
	                    "(AWS_ACCESS_KEY_ID, AWS_WEB_IDENTITY_TOKEN_FILE), the profile '%s' in the AWS "
	                    "credentials and config files, the container "
	                    "(AWS_CONTAINER_CREDENTIALS_FULL_URI, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI) "
	                    "and the EC2 instance metadata service (%s). Set AWS_ACCESS_KEY_ID and "
	                    "AWS_SECRET_ACCESS_KEY or AWS_PROFILE for the server, or give it a role.",
	                    k->config.profile, k->instance);
}

static int fetch(struct ctx *c, struct net *n, void *arg, struct identity_value *ret)
{
	struct chain k = { .net = n };
	int found;

	(void)arg;
	found = from_environment(c, ret);
	if (found)
		return found < 0 ? -1 : 0;
	if (aws_config_read(c, &k.config))
		return -1;
	k.visited[k.visited_count++] = k.config.profile;
	if (has_role(c, &k, k.config.profile))
		return from_role(c, &k, k.config.profile, ret) > 0 ? 0 : -1;
	found = from_profile(c, &k, k.config.profile, true, ret);
	if (!found)
		found = aws_container(c, n, ret);
	if (!found)
		found = aws_instance(c, n, &k.config, ret, &k.instance);
	if (!found)
		return nothing(c, &k);
	return found < 0 ? -1 : 0;
}

struct identity *aws_identity_new(void)
{
	static const struct identity_ops ops = { .fetch = fetch, .name = "aws" };

	return identity_new(&ops, NULL);
}
