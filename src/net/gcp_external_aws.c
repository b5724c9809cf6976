/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * A workload on AWS shows who it is by a signed GetCallerIdentity request, which Google sends for it (google/auth/aws.py).
 * Its keys come from where google-auth takes them: the environment or the addresses in the file, not aws.h's chain.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "gcp_impl.h"
#include "net/aws.h"

/* SHA-256 of nothing. */
#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

enum { METADATA_MS = 5000 };

static const char *environment(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

struct metadata {
	struct net *net;
	const struct gcp_file *file;
	const char *session_url, *session; /* of IMDSv2; NULL: none */
};

static int ask(struct ctx *c, const struct metadata *m, const char *method, const char *url,
	       const struct net_header *header, struct net_reply *ret)
{
	struct net_request r = {
		.method = method,
		.url = url,
		.headers = header,
		.header_count = header ? 1 : 0,
		.most = GCP_ANSWER,
		.timeout_ms = METADATA_MS,
		.flags = NET_DIRECT,
		.cancel = identity_cancel(),
	};
	const char *shown = gcp_http_shown(c, url);

	if (net_perform(c, m->net, &r, ret)) {
		const struct error e = c->error;

		error_clear(c);
		return fail_because(c, e.code, e.detail,
				    "The AWS metadata address %s in %s could not be asked: %s",
				    shown, m->file->path, e.message);
	}
	if (ret->status != 200 || !ret->size)
		return fail(c, ret->status >= 500 ? TEMPORARILY_UNAVAILABLE : PERMISSION_DENIED,
			    "The AWS metadata address %s in %s gave nothing (status %d).", shown,
			    m->file->path, ret->status);
	return 0;
}

static int get(struct ctx *c, struct metadata *m, const char *url, struct net_reply *ret)
{
	static const struct net_header life = { "X-aws-ec2-metadata-token-ttl-seconds", "300" };
	struct net_header session;

	if (m->session_url && !m->session) {
		if (ask(c, m, "PUT", m->session_url, &life, ret))
			return -1;
		m->session = ret->body;
	}
	session = (struct net_header){ "X-aws-ec2-metadata-token", m->session };
	return ask(c, m, "GET", url, m->session ? &session : NULL, ret);
}

static int keys(struct ctx *c, struct metadata *m, const char *url, struct aws_credentials *ret)
{
	struct net_reply got;
	const json_t *answer;

	ret->key_id = environment("AWS_ACCESS_KEY_ID");
	ret->secret = environment("AWS_SECRET_ACCESS_KEY");
	ret->token = environment("AWS_SESSION_TOKEN");
	if (ret->key_id && ret->secret)
		return 0;
	if (!url)
		return fail(c, INVALID_STATE,
			    "There are no AWS credentials for %s: set AWS_ACCESS_KEY_ID and "
			    "AWS_SECRET_ACCESS_KEY, or name the metadata server in "
			    "credential_source.url.",
			    m->file->path);
	if (get(c, m, url, &got))
		return -1;
	if (get(c, m, arena_printf(c->arena, "%s/%s", url, net_encode(c, got.body, false)), &got))
		return -1;
	answer = gcp_text_json(c, got.body, got.size);
	ret->key_id = gcp_text_member(answer, "AccessKeyId");
	ret->secret = gcp_text_member(answer, "SecretAccessKey");
	ret->token = gcp_text_member(answer, "Token");
	if (!ret->key_id || !ret->secret)
		return fail(c, TEMPORARILY_UNAVAILABLE,
			    "The AWS metadata address in %s answered without keys.", m->file->path);
	return 0;
}

static int region(struct ctx *c, struct metadata *m, const char *url, const char **ret)
{
	struct net_reply got;

	*ret = environment("AWS_REGION");
	if (!*ret)
		*ret = environment("AWS_DEFAULT_REGION");
	if (*ret)
		return 0;
	if (!url)
		return fail(c, INVALID_STATE,
			    "The AWS region for %s is not known: set AWS_REGION, or name the "
			    "metadata server in "
			    "credential_source.region_url.",
			    m->file->path);
	if (get(c, m, url, &got))
		return -1;
	*ret = arena_strndup(c->arena, got.body,
			     got.size - 1); /* an availability zone: us-east-2b */
	return 0;
}

/* Each "{region}" is replaced. */
static const char *with_region(struct ctx *c, const char *url, const char *name)
{
	static const char hole[] = "{region}";
	struct buf to = BUF(c->arena, GCP_FILE);
	const char *at;

	while ((at = strstr(url, hole))) {
		buf_addn(&to, url, (size_t)(at - url));
		buf_add(&to, name);
		url = at + strlen(hole);
	}
	buf_add(&to, url);
	return buf_text(&to);
}

static void add_header(struct buf *to, const char *name, const char *value)
{
	buf_add(to, to->data[to->size - 1] == '[' ? "{\"key\":" : ",{\"key\":");
	buf_add_json_string(to, name);
	buf_add(to, ",\"value\":");
	buf_add_json_string(to, value);
	buf_addc(to, '}');
}

/* sts.us-east-2.amazonaws.com and sts-fips.us-east-2.amazonaws.com: "sts". */
static const char *service_of(struct ctx *c, const char *host)
{
	static const char fips[] = "-fips";
	size_t n = strcspn(host, "./?#:");

	if (n > strlen(fips) && strncmp(host + n - strlen(fips), fips, strlen(fips)) == 0)
		n -= strlen(fips);
	return arena_strndup(c->arena, host, n);
}

static int sign(struct ctx *c, const struct gcp_file *f, const char *url,
		const struct aws_credentials *k, const char *of_region, const char *audience,
		const char **ret)
{
	/* Signed too, as Google recommends: the request is of no use for another provider. */
	const struct net_header target = { "x-goog-cloud-target-resource", audience };
	const char *authority = strstr(url, "://") ? strstr(url, "://") + 3 : url;
	size_t host = strcspn(authority, "/?#");
	size_t path = strcspn(authority + host, "?#");
	const struct aws_request r = {
		.method = "POST",
		.host = arena_strndup(c->arena, authority, host),
		.path = path ? arena_strndup(c->arena, authority + host, path) : "/",
		.query = authority[host + path] == '?' ? authority + host + path + 1 : NULL,
		.headers = &target,
		.header_count = 1,
		.payload_hash = EMPTY_HASH,
		.region = of_region,
		.service = service_of(c, authority),
		.now = time(NULL),
		.normalize = true,
	};
	struct buf text = BUF(c->arena, GCP_FILE);
	const struct net_header *headers;
	size_t count;

	if (strncmp(url, "https://", 8) != 0 || !host)
		return fail(c, INVALID_STATE,
			    "The regional_cred_verification_url in %s must begin with https://.",
			    f->path);
	headers = aws_sign(c, k, &r, &count);
	buf_add(&text, "{\"headers\":[");
	add_header(&text, "host", r.host);
	for (size_t i = 0; i < count; i++)
		add_header(&text, headers[i].name, headers[i].value);
	buf_add(&text, "],\"method\":\"POST\",\"url\":");
	buf_add_json_string(&text, url);
	buf_addc(&text, '}');
	if (buf_failed(&text))
		return fail(c, INVALID_STATE, "The signed AWS request of %s is too long.", f->path);
	*ret = net_encode(c, buf_text(&text), true);
	return 0;
}

int gcp_external_aws(struct ctx *c, struct net *n, const struct gcp_file *f, const json_t *source,
		     const char *audience, const char **ret)
{
	const char *id = gcp_text_member(source, "environment_id");
	const char *url = gcp_text_member(source, "regional_cred_verification_url");
	struct metadata m = {
		.net = n,
		.file = f,
		.session_url = gcp_text_member(source, "imdsv2_session_token_url"),
	};
	struct aws_credentials k = { 0 };
	const char *of_region;

	if (!id || strcmp(id, "aws1") != 0 || !url)
		return fail(c, INVALID_STATE,
			    "The credential_source of %s must have the environment_id aws1 and a "
			    "regional_cred_verification_url.",
			    f->path);
	if (region(c, &m, gcp_text_member(source, "region_url"), &of_region) ||
	    keys(c, &m, gcp_text_member(source, "url"), &k))
		return -1;
	return sign(c, f, with_region(c, url, of_region), &k, of_region, audience, ret);
}
