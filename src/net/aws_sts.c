/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Roles: docs.aws.amazon.com/STS/latest/APIReference (AssumeRole, AssumeRoleWithWebIdentity). */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>

#include "aws_impl.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "net/xml.h"

enum {
	TOKEN_MOST = 64 << 10,
	FORM_MOST = 256 << 10,
	ANSWER_MOST = 1 << 20,
	TIMEOUT_MS = 15000,
	TRIES = 3,
	PAUSE_MS = 200,
};

struct endpoint {
	const char *url, *host, *path, *region;
	const char *ca_file;
};

static const char *suffix(const char *region)
{
	static const struct {
		const char *prefix, *suffix;
	} all[] = {
		{ "cn-", "amazonaws.com.cn" }, { "us-isob-", "sc2s.sgov.gov" }, { "us-isof-", "csp.hci.ic.gov" },
		{ "us-iso-", "c2s.ic.gov" }, { "eu-isoe-", "cloud.adc-e.uk" }, { "eusc-", "amazonaws.eu" },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		if (strncmp(region, all[i].prefix, strlen(all[i].prefix)) == 0)
			return all[i].suffix;
	}
	return "amazonaws.com";
}

/* botocore's list: where AWS_STS_REGIONAL_ENDPOINTS=legacy means the one endpoint that all have in common. */
static bool is_legacy(const char *region)
{
	static const char *const all[] = {
		"ap-northeast-1", "ap-south-1", "ap-southeast-1", "ap-southeast-2", "aws-global",
		"ca-central-1", "eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3",
		"sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2",
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		if (strcmp(region, all[i]) == 0)
			return true;
	}
	return false;
}

/* It becomes part of a host name. */
static bool is_region(const char *region)
{
	return *region && strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(region);
}

static int find_endpoint(struct ctx *c, const struct aws_config *f, struct endpoint *ret)
{
	const char *mode = aws_config_setting(c, f, "AWS_STS_REGIONAL_ENDPOINTS", "sts_regional_endpoints");
	const char *region = aws_config_region(c, f);
	const char *url;
	const char *host;

	if (region && !is_region(region))
		return fail(c, INVALID_PARAMETER_VALUE, "The AWS region '%s' is not valid.", region);
	ret->ca_file = aws_config_setting(c, f, "AWS_CA_BUNDLE", "ca_bundle");
	ret->region = region ? region : "us-east-1";
	if (aws_config_endpoint(c, f, "sts", &url))
		return -1;
	if (url) {
		host = strstr(url, "://");
		if (!host)
			return fail(c, INVALID_PARAMETER_VALUE,
			            "The AWS endpoint URL is neither http:// nor https://.");
		host += 3;
		ret->url = *host && strchr(host, '/') ? url : arena_printf(c->arena, "%s/", url);
		ret->host = arena_strndup(c->arena, host, strcspn(host, "/"));
		ret->path = strchr(strstr(ret->url, "://") + 3, '/');
		return 0;
	}
	if (!region || strcmp(region, "aws-global") == 0
	    || (mode && strcasecmp(mode, "legacy") == 0 && is_legacy(region))) {
		ret->region = "us-east-1";
		ret->host = "sts.amazonaws.com";
	} else {
		ret->host = arena_printf(c->arena, "sts.%s.%s", region, suffix(region));
	}
	ret->path = "/";
	ret->url = arena_printf(c->arena, "https://%s/", ret->host);
	return 0;
}

/* ---- the call ---- */

static void add(struct ctx *c, struct buf *form, const char *name, const char *value)
{
	if (!value)
		return;
	buf_addf(form, "%s%s=", form->size ? "&" : "", name);
	buf_add(form, net_encode(c, value, false));
}

static void begin_form(struct ctx *c, struct buf *form, const char *action, const struct aws_role *r)
{
	const char *name = r->session;

	if (!name)
		name = arena_printf(c->arena, "capstan-%lld", (long long)clock_wall_ms());
	add(c, form, "Action", action);
	add(c, form, "Version", "2011-06-15");
	add(c, form, "RoleArn", r->arn);
	add(c, form, "RoleSessionName", name);
	add(c, form, "ExternalId", r->external_id);
	add(c, form, "DurationSeconds", r->duration);
}

static const char *payload_hash(struct ctx *c, const struct buf *form)
{
	unsigned char hash[32];
	char *ret = arena_alloc(c->arena, 2 * sizeof(hash) + 1);

	EVP_Digest(form->data, form->size, hash, NULL, EVP_sha256(), NULL);
	for (size_t i = 0; i < sizeof(hash); i++)
		snprintf(ret + 2 * i, 3, "%02x", hash[i]);
	return ret;
}

static void prepare(struct ctx *c, const struct endpoint *e, const struct buf *form,
                    const struct identity_value *source, struct net_request *ret)
{
	static const struct net_header plain[] = {
		{ "Content-Type", "application/x-www-form-urlencoded; charset=utf-8" },
	};
	struct aws_request r = {
		.method = "POST", .host = e->host, .path = e->path, .headers = plain, .header_count = 1,
		.region = e->region, .service = "sts", .normalize = true, .encode_twice = true,
		.now = (time_t)(clock_wall_ms() / 1000), .payload_hash = payload_hash(c, form),
	};

	*ret = (struct net_request){
		.method = "POST", .url = e->url, .body = form->data, .size = form->size,
		.headers = plain, .header_count = 1, .ca_file = e->ca_file, .timeout_ms = TIMEOUT_MS,
		.most = ANSWER_MOST, .cancel = identity_cancel(),
	};
	if (!source)
		return;
	ret->headers = aws_sign(c, &(struct aws_credentials){ source->text[AWS_KEY_ID],
	                                                      source->text[AWS_SECRET],
	                                                      source->text[AWS_TOKEN] },
	                        &r, &ret->header_count);
}

/* The log gets its code and words, clients its code; words that repeat what is secret, as those about a wrong signature
   do, nobody. */
static int refused(struct ctx *c, const struct net_reply *reply, const char *secret)
{
	const struct net_xml *root = NULL;
	const struct net_xml *error = NULL;
	const char *code;
	const char *words;

	if (!net_xml_read(c, reply->body, reply->size, &root))
		error = net_xml_find(root, NULL, "Error");
	error_clear(c);
	code = net_xml_text(error, "Code");
	words = aws_harmless(net_xml_text(error, "Message"), secret);
	return fail_because(c, reply->status >= 500 ? TEMPORARILY_UNAVAILABLE : AWS_TROUBLE,
	                    words ? arena_printf(c->arena, "%.500s", words) : NULL, "%.100s (HTTP %d)",
	                    code && *code ? code : "it refused", reply->status);
}

/* 1: try again. */
static int once(struct ctx *c, struct net *n, const struct net_request *q, const char *secret,
                struct net_reply *reply)
{
	if (net_perform(c, n, q, reply))
		return aws_may_retry(reply) ? 1 : -1;
	if (reply->status == 200)
		return 0;
	refused(c, reply, secret);
	return reply->status >= 500 || reply->status == 429
	       || strncmp(c->error.message, "IDPCommunicationError", 21) == 0
	       || strncmp(c->error.message, "Throttling", 10) == 0 ? 1 : -1;
}

static int call(struct ctx *c, struct net *n, const struct endpoint *e, const struct buf *form,
                const struct identity_value *source, const char *secret, struct net_reply *reply)
{
	struct net_request q;
	uint8_t random;
	int result = 1;

	if (buf_failed(form))
		return fail(c, AWS_TROUBLE, "the request would be too long");
	for (int i = 0; i < TRIES && result > 0; i++) {
		if (i) {
			id_random(&random, sizeof(random));
			if (aws_pause(c, PAUSE_MS * i + random))
				return -1;
			error_clear(c);
		}
		prepare(c, e, form, source, &q);
		result = once(c, n, &q, secret, reply);
	}
	return result ? -1 : 0;
}

static int read_answer(struct ctx *c, const struct net_reply *reply, struct identity_value *ret)
{
	const struct net_xml *root;
	const struct net_xml *found;

	if (net_xml_read(c, reply->body, reply->size, &root))
		return -1;
	found = net_xml_find(root, NULL, "Credentials");
	ret->text[AWS_KEY_ID] = net_xml_text(found, "AccessKeyId");
	ret->text[AWS_SECRET] = net_xml_text(found, "SecretAccessKey");
	ret->text[AWS_TOKEN] = net_xml_text(found, "SessionToken");
	ret->expires_ms = aws_time(net_xml_text(found, "Expiration"));
	if (!ret->text[AWS_KEY_ID] || !ret->text[AWS_SECRET] || !ret->text[AWS_TOKEN]
	    || ret->expires_ms < 0)
		return fail(c, AWS_TROUBLE, "the answer lacks credentials or when they expire");
	return 0;
}

static int assume(struct ctx *c, struct net *n, const struct aws_config *f, const struct buf *form,
                  const struct identity_value *source, const char *secret,
                  const struct aws_role *r, struct identity_value *ret)
{
	struct endpoint e = { 0 };
	struct net_reply reply;

	if (find_endpoint(c, f, &e))
		return -1;
	if (call(c, n, &e, form, source, secret, &reply) || read_answer(c, &reply, ret))
		return aws_explain(c, "The server could not assume the role %s at %s", r->arn, e.host);
	return 0;
}

int aws_sts_assume(struct ctx *c, struct net *n, const struct aws_config *f, const struct aws_role *r,
                   const struct identity_value *source, struct identity_value *ret)
{
	struct buf form = BUF(c->arena, FORM_MOST);

	begin_form(c, &form, "AssumeRole", r);
	return assume(c, n, f, &form, source, source->text[AWS_TOKEN], r, ret);
}

int aws_sts_assume_web(struct ctx *c, struct net *n, const struct aws_config *f,
                       const struct aws_role *r, const char *token_file, struct identity_value *ret)
{
	struct buf form = BUF(c->arena, FORM_MOST);
	const char *token;
	int found = aws_file(c, "web identity token file (AWS_WEB_IDENTITY_TOKEN_FILE)", token_file,
	                     TOKEN_MOST, &token);

	if (!found)
		return fail_because(c, AWS_TROUBLE, token_file,
		                    "The server's web identity token file (AWS_WEB_IDENTITY_TOKEN_FILE) "
		                    "does not exist.");
	if (found < 0)
		return -1;
	token = arena_strndup(c->arena, token, strcspn(token, "\r\n"));
	begin_form(c, &form, "AssumeRoleWithWebIdentity", r);
	add(c, &form, "WebIdentityToken", token);
	return assume(c, n, f, &form, NULL, token, r, ret);
}
