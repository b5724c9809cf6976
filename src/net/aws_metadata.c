/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What a container or an instance is given: ContainerProvider and InstanceMetadataFetcher of botocore. Never through a
   proxy: whoever reads along has the credentials. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "aws_impl.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/number.h"

enum {
	CONTAINER_MS = 2000,
	CONTAINER_TRIES = 3,
	CONTAINER_PAUSE_MS = 500,
	TOKEN_MOST = 64 << 10,
	ANSWER_MOST = 64 << 10,
	INSTANCE_TRIES_MOST = 20,
	INSTANCE_TRIES_THERE = 3,       /* at least, once the service has answered */
	INSTANCE_PAUSE_MS = 200,
	INSTANCE_SECONDS_MOST = 60,
	EXTENDED_MS = 15 * 60 * 1000,
};

/* ---- both ---- */

static int read_credentials(struct ctx *c, const struct net_reply *reply, struct identity_value *ret)
{
	const json_t *json = aws_json(c, reply->body, reply->size);

	ret->text[AWS_KEY_ID] = aws_json_text(json, "AccessKeyId");
	ret->text[AWS_SECRET] = aws_json_text(json, "SecretAccessKey");
	ret->text[AWS_TOKEN] = aws_json_text(json, "Token");
	ret->expires_ms = aws_time(aws_json_text(json, "Expiration"));
	return ret->text[AWS_KEY_ID] && ret->text[AWS_SECRET] && ret->text[AWS_TOKEN]
	       && ret->expires_ms >= 0 ? 0 : -1;
}

/* ---- containers ---- */

static bool is_loopback(const char *host)
{
	struct in_addr four;
	struct in6_addr six;

	if (inet_pton(AF_INET, host, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

static bool is_allowed(const char *scheme, const char *host)
{
	static const char *const hosts[] = { "169.254.170.2", "169.254.170.23", "fd00:ec2::23", "localhost" };
	size_t n = strlen(host);
	char bare[64];

	if (strcmp(scheme, "https") == 0)
		return true;
	if (strcmp(scheme, "http") != 0 || n >= sizeof(bare))
		return false;
	if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
		host++;
		n -= 2;
	}
	memcpy(bare, host, n);
	bare[n] = '\0';
	for (size_t i = 0; i < sizeof(hosts) / sizeof(*hosts); i++) {
		if (strcasecmp(bare, hosts[i]) == 0)
			return true;
	}
	return is_loopback(bare);
}

/* Judged as libcurl reads it, which asks there. */
static bool may_ask(const char *url)
{
	CURLU *u = curl_url();
	char *scheme = NULL;
	char *host = NULL;
	bool ret = u && !curl_url_set(u, CURLUPART_URL, url, 0)
	           && !curl_url_get(u, CURLUPART_SCHEME, &scheme, 0)
	           && !curl_url_get(u, CURLUPART_HOST, &host, 0) && is_allowed(scheme, host);

	curl_free(scheme);
	curl_free(host);
	curl_url_cleanup(u);
	return ret;
}

/* Read anew each time: the one in the file changes. *ret: NULL: none. */
static int authorization(struct ctx *c, const char **ret)
{
	const char *path = aws_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");

	*ret = aws_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
	if (path) {
		int found = aws_file(c, "token file AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path,
		                     TOKEN_MOST, ret);

		if (!found)
			return fail_because(c, AWS_TROUBLE, path,
			                    "The server's token file AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE "
			                    "does not exist.");
		if (found < 0)
			return -1;
	}
	if (*ret && strpbrk(*ret, "\r\n"))
		return fail(c, AWS_TROUBLE, "The server's token in %s is not valid: it has more than one line.",
		            path ? "the file AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
		                 : "AWS_CONTAINER_AUTHORIZATION_TOKEN");
	return 0;
}

/* 1: try again. */
static int ask_container(struct ctx *c, struct net *n, const struct net_request *q, const char *token,
                         struct identity_value *ret)
{
	struct net_reply reply;
	const json_t *json;
	const char *words;

	if (net_perform(c, n, q, &reply))
		return aws_may_retry(&reply) ? 1 : -1;
	if (reply.status == 200) {
		if (!read_credentials(c, &reply, ret))
			return 0;
		return fail(c, AWS_TROUBLE, "the answer lacks credentials or when they expire");
	}
	json = aws_json(c, reply.body, reply.size);
	words = aws_harmless(aws_json_text(json, "message"), token);
	fail_because(c, reply.status >= 500 ? TEMPORARILY_UNAVAILABLE : AWS_TROUBLE,
	             words ? arena_printf(c->arena, "%.300s", words) : NULL, "it answered HTTP %d",
	             reply.status);
	return reply.status >= 500 || reply.status == 429 ? 1 : -1;
}

static int from_container(struct ctx *c, struct net *n, const char *variable, const char *url,
                          struct identity_value *ret)
{
	struct net_header headers[2] = { { "Accept", "application/json" } };
	const char *token;
	struct net_request q = {
		.method = "GET", .url = url, .headers = headers, .header_count = 1, .flags = NET_DIRECT,
		.timeout_ms = CONTAINER_MS, .most = ANSWER_MOST, .cancel = identity_cancel(),
	};
	int result = 1;
	uint8_t random;

	if (authorization(c, &token))
		return -1;
	if (token)
		headers[q.header_count++] = (struct net_header){ "Authorization", token };
	for (int i = 0; i < CONTAINER_TRIES && result > 0; i++) {
		if (i) {
			id_random(&random, sizeof(random));
			if (aws_pause(c, CONTAINER_PAUSE_MS + random))
				break;
			error_clear(c);
		}
		result = ask_container(c, n, &q, token, ret);
	}
	if (result)
		return aws_explain(c, "The endpoint for container credentials (%s) gave none", variable);
	return 1;
}

int aws_container(struct ctx *c, struct net *n, struct identity_value *ret)
{
	static const char relative_name[] = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
	static const char full_name[] = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
	const char *relative = aws_variable(relative_name);
	const char *full = aws_variable(full_name);

	if (relative)
		return from_container(c, n, relative_name,
		                      arena_printf(c->arena, "http://169.254.170.2%s%s",
		                                   *relative == '/' ? "" : "/", relative), ret);
	if (!full)
		return 0;
	if (!may_ask(full))
		return fail(c, AWS_TROUBLE,
		            "%s must be an https:// URL, or http:// on localhost, a loopback address, "
		            "169.254.170.2, 169.254.170.23 or [fd00:ec2::23]: other hosts would learn the "
		            "authorization token.", full_name);
	return from_container(c, n, full_name, full, ret);
}

/* ---- instances ---- */

struct instance {
	const char *base;
	int timeout_ms, tries;
	bool no_v1;
	const char *token;              /* NULL: version 1 */
};

static bool is_true(const char *value)
{
	return value && strcasecmp(value, "true") == 0;
}

static int bounded(const char *text, int usual, int most)
{
	int n = text ? number_leading(text) : usual;

	return n < 1 ? usual : n > most ? most : n;
}

static int find_instance(struct ctx *c, const struct aws_config *f, struct instance *ret)
{
	const char *mode = aws_config_setting(c, f, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
	                                      "ec2_metadata_service_endpoint_mode");
	bool six = is_true(aws_config_setting(c, f, "AWS_IMDS_USE_IPV6", "imds_use_ipv6"));

	if (mode) {
		six = strcasecmp(mode, "ipv6") == 0;
		if (!six && strcasecmp(mode, "ipv4") != 0)
			return fail(c, INVALID_PARAMETER_VALUE,
			            "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE is neither ipv4 nor ipv6.");
	}
	ret->base = aws_config_setting(c, f, "AWS_EC2_METADATA_SERVICE_ENDPOINT",
	                               "ec2_metadata_service_endpoint");
	if (!ret->base)
		ret->base = six ? "http://[fd00:ec2::254]/" : "http://169.254.169.254/";
	ret->timeout_ms = 1000 * bounded(aws_config_setting(c, f, "AWS_METADATA_SERVICE_TIMEOUT",
	                                                    "metadata_service_timeout"),
	                                 1, INSTANCE_SECONDS_MOST);
	ret->tries = bounded(aws_config_setting(c, f, "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
	                                        "metadata_service_num_attempts"),
	                     1, INSTANCE_TRIES_MOST);
	ret->no_v1 = is_true(aws_config_setting(c, f, "AWS_EC2_METADATA_V1_DISABLED",
	                                        "ec2_metadata_v1_disabled"));
	ret->token = NULL;
	return 0;
}

/* 0: an answer of any status; -1: none (error set, to be cleared where it is no error). */
static int ask(struct ctx *c, struct net *n, const struct instance *i, const char *method,
               const char *path, struct net_reply *reply)
{
	bool is_put = strcmp(method, "PUT") == 0;
	struct net_header header = { "x-aws-ec2-metadata-token", i->token };
	struct net_request q = {
		.method = method, .url = net_url(c, i->base, path), .headers = &header,
		.header_count = i->token || is_put, .flags = NET_DIRECT, .timeout_ms = i->timeout_ms,
		.most = ANSWER_MOST, .cancel = identity_cancel(),
	};

	if (is_put) {
		header = (struct net_header){ "x-aws-ec2-metadata-token-ttl-seconds", "21600" };
		q.body = "";
	}
	return net_perform(c, n, &q, reply);
}

/* The server ends, or the endpoint's URL is wrong: nothing to be tried otherwise. */
static bool is_final(const struct net_reply *reply)
{
	return strcmp(reply->failure, "cancelled") == 0 || strcmp(reply->failure, "url") == 0;
}

/* 1: go on, perhaps with version 1; 0: it is no metadata service; -1. */
static int get_token(struct ctx *c, struct net *n, struct instance *i, const char **why)
{
	struct net_reply reply;

	for (int k = 0; k < i->tries; k++) {
		if (k && aws_pause(c, INSTANCE_PAUSE_MS))
			return -1;
		if (ask(c, n, i, "PUT", "latest/api/token", &reply)) {
			if (is_final(&reply))
				return -1;
			*why = strcmp(reply.failure, "timeout") == 0 ? "no answer" : "no connection";
			error_clear(c);
			if (strcmp(reply.failure, "timeout") == 0)
				break;          /* where a container is one hop too far */
			continue;
		}
		if (reply.status == 200) {
			i->token = reply.body;
			return 1;
		}
		*why = arena_printf(c->arena, "HTTP %d to the request for a token", reply.status);
		if (reply.status == 400)
			return 0;
		if (reply.status == 403 || reply.status == 404 || reply.status == 405)
			break;
		if (i->tries < INSTANCE_TRIES_THERE)
			i->tries = INSTANCE_TRIES_THERE;
	}
	if (i->no_v1)
		return fail(c, AWS_TROUBLE, "The EC2 instance metadata service gave no token (%s), and its "
		            "version 1 is switched off (AWS_EC2_METADATA_V1_DISABLED).", *why);
	return 1;
}

/* 1, 0 (*why), -1. */
static int get(struct ctx *c, struct net *n, const struct instance *i, const char *path,
               const char **why, struct net_reply *reply)
{
	/* With a token it is known to be there. */
	int tries = i->token && i->tries < INSTANCE_TRIES_THERE ? INSTANCE_TRIES_THERE : i->tries;
	bool troubled = false;

	for (int k = 0; k < tries; k++) {
		if (k && aws_pause(c, INSTANCE_PAUSE_MS))
			return -1;
		if (ask(c, n, i, "GET", path, reply)) {
			if (is_final(reply))
				return -1;
			*why = strcmp(reply->failure, "timeout") == 0 ? "no answer" : "no connection";
			troubled = i->token;
			error_clear(c);
		} else if (reply->status == 200 && reply->size) {
			return 1;
		} else {
			troubled = reply->status >= 500 || reply->status == 429;
			*why = reply->status == 404 ? "no role is attached to this instance"
			                            : arena_printf(c->arena, "HTTP %d", reply->status);
		}
		if (!troubled)
			break;
	}
	return troubled ? fail(c, TEMPORARILY_UNAVAILABLE, "The EC2 instance metadata service gives no "
	                       "credentials for now: %s.", *why) : 0;
}

static int get_credentials(struct ctx *c, struct net *n, const struct instance *i,
                           struct identity_value *ret, const char **why)
{
	static const char folder[] = "latest/meta-data/iam/security-credentials/";
	struct net_reply reply;
	const char *path;
	const char *code;
	int found = get(c, n, i, folder, why, &reply);

	if (found <= 0)
		return found;
	path = arena_printf(c->arena, "%s%.*s", folder, (int)strcspn(reply.body, "\r\n"), reply.body);
	found = get(c, n, i, path, why, &reply);
	if (found <= 0)
		return found;
	if (read_credentials(c, &reply, ret)) {
		code = aws_json_text(aws_json(c, reply.body, reply.size), "Code");
		*why = code ? arena_printf(c->arena, "it answered %.100s", code)
		            : "its answer lacks credentials";
		return 0;
	}
	/* When the service is troubled it goes on giving out old credentials, which AWS then accepts longer. */
	if (ret->expires_ms <= clock_wall_ms())
		ret->expires_ms = clock_wall_ms() + EXTENDED_MS;
	return 1;
}

int aws_instance(struct ctx *c, struct net *n, const struct aws_config *f, struct identity_value *ret,
                 const char **why)
{
	struct instance i = { 0 };
	int result;

	*why = "AWS_EC2_METADATA_DISABLED is set";
	if (is_true(aws_variable("AWS_EC2_METADATA_DISABLED")))
		return 0;
	if (find_instance(c, f, &i))
		return -1;
	result = get_token(c, n, &i, why);
	return result > 0 ? get_credentials(c, n, &i, ret, why) : result;
}
