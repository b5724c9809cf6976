/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* V4 signed URLs: cloud.google.com/storage/docs/authentication/signatures, canonical-requests. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <openssl/evp.h>

#include "base/arena.h"
#include "gcp_impl.h"

#define ALGORITHM "GOOG4-RSA-SHA256"
#define IAM       "https://iamcredentials.googleapis.com"

enum {
	TEXT_MOST = 1 << 20,
	LONGEST_S = 604800,
	STAMP = sizeof("20190201T090000Z"),
	DAY = 8,
	SHA256 = 32,
};

struct pair {
	const char *name, *value;
	size_t order; /* as it came */
};

struct signing {
	char stamp[STAMP];
	const char *scope;
	const char *query;         /* canonical, and what is sent besides the signature */
	const char *lines, *names; /* of signed headers */
	const char *payload;
};

static int compare(const void *a, const void *b)
{
	const struct pair *x = a;
	const struct pair *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : x->order < y->order ? -1 : x->order > y->order;
}

static int compare_values(const void *a, const void *b)
{
	const struct pair *x = a;
	const struct pair *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : strcmp(x->value, y->value);
}

static const char *hex(struct ctx *c, const unsigned char *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	char *ret = arena_alloc(c->arena, 2 * n + 1);

	for (size_t i = 0; i < n; i++) {
		ret[2 * i] = digits[bytes[i] >> 4];
		ret[2 * i + 1] = digits[bytes[i] & 15];
	}
	return ret;
}

/* ---- headers ---- */

static const char *lower(struct ctx *c, const char *name)
{
	char *ret = arena_strdup(c->arena, name);

	for (char *p = ret; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return ret;
}

/* Without space around it, and with one for each run of them within. */
static const char *collapse(struct ctx *c, const char *value)
{
	char *ret = arena_alloc(c->arena, strlen(value) + 1);
	char *to = ret;

	for (; *value; value++) {
		if (!isspace((unsigned char)*value))
			*to++ = *value;
		else if (to > ret && to[-1] != ' ')
			*to++ = ' ';
	}
	if (to > ret && to[-1] == ' ')
		to--;
	*to = '\0';
	return ret;
}

/* As the request will name it: clients leave their scheme's own port out. */
static const char *host_header(struct ctx *c, const char *host)
{
	const char *port = strrchr(host, ':');

	if (!port || (strcmp(port, ":443") != 0 && strcmp(port, ":80") != 0))
		return host;
	return arena_strndup(c->arena, host, (size_t)(port - host));
}

static void sign_headers(struct ctx *c, struct signing *s, const struct gcp_request *r)
{
	struct pair *pairs = NEW_ARRAY(c->arena, r->header_count + 1, struct pair);
	struct buf lines = BUF(c->arena, TEXT_MOST);
	struct buf names = BUF(c->arena, TEXT_MOST);
	size_t n = 0;

	s->payload = "UNSIGNED-PAYLOAD";
	pairs[n++] = (struct pair){ "host", host_header(c, r->host), 0 };
	for (size_t i = 0; i < r->header_count; i++) {
		struct pair p = { lower(c, r->headers[i].name), collapse(c, r->headers[i].value),
				  n };

		if (strcmp(p.name, "host") == 0)
			continue;
		if (strcmp(p.name, "x-goog-content-sha256") == 0)
			s->payload = p.value;
		pairs[n++] = p;
	}
	qsort(pairs, n, sizeof(*pairs), compare);
	for (size_t i = 0; i < n; i++) {
		if (i && strcmp(pairs[i].name, pairs[i - 1].name) == 0) {
			buf_addf(&lines, ",%s", pairs[i].value);
			continue;
		}
		buf_addf(&lines, "%s%s:%s", i ? "\n" : "", pairs[i].name, pairs[i].value);
		buf_addf(&names, "%s%s", i ? ";" : "", pairs[i].name);
	}
	s->lines = buf_failed(&lines) ? NULL : buf_text(&lines);
	s->names = buf_failed(&names) ? NULL : buf_text(&names);
}

/* ---- the query ---- */

static size_t split(struct ctx *c, const char *query, struct pair *pairs)
{
	char *at = arena_strdup(c->arena, query ? query : "");
	size_t n = 0;

	for (char *part; (part = strsep(&at, "&"));) {
		char *value = strchr(part, '=');

		if (!*part)
			continue;
		if (value)
			*value++ = '\0';
		pairs[n++] = (struct pair){ part, value ? value : "", 0 };
	}
	return n;
}

static void canonical_query(struct ctx *c, struct signing *s, const struct gcp_request *r,
			    const char *email, int64_t expires_s)
{
	size_t most = 6;
	struct buf text = BUF(c->arena, TEXT_MOST);
	struct pair *pairs;
	size_t n;

	for (const char *p = r->query ? r->query : ""; *p; p++)
		most += *p == '&';
	pairs = NEW_ARRAY(c->arena, most, struct pair);
	n = split(c, r->query, pairs);
	pairs[n++] = (struct pair){ "X-Goog-Algorithm", ALGORITHM, 0 };
	pairs[n++] = (struct pair){
		"X-Goog-Credential",
		net_encode(c, arena_printf(c->arena, "%s/%s", email, s->scope), false), 0
	};
	pairs[n++] = (struct pair){ "X-Goog-Date", s->stamp, 0 };
	pairs[n++] = (struct pair){ "X-Goog-Expires",
				    arena_printf(c->arena, "%lld", (long long)expires_s), 0 };
	pairs[n++] = (struct pair){ "X-Goog-SignedHeaders", net_encode(c, s->names, false), 0 };
	qsort(pairs, n, sizeof(*pairs), compare_values);
	for (size_t i = 0; i < n; i++)
		buf_addf(&text, "%s%s=%s", i ? "&" : "", pairs[i].name, pairs[i].value);
	s->query = buf_failed(&text) ? NULL : buf_text(&text);
}

/* False: something is too long. */
static bool begin(struct ctx *c, struct signing *s, const char *email, const struct gcp_request *r,
		  int64_t expires_s)
{
	struct tm tm;

	gmtime_r(&r->now, &tm);
	if (!strftime(s->stamp, sizeof(s->stamp), "%Y%m%dT%H%M%SZ", &tm))
		return false;
	s->scope = arena_printf(c->arena, "%.*s/auto/storage/goog4_request", DAY, s->stamp);
	sign_headers(c, s, r);
	if (!s->names || !s->lines)
		return false;
	canonical_query(c, s, r, email, expires_s);
	return s->query;
}

static const char *canonical(struct ctx *c, const struct signing *s, const struct gcp_request *r)
{
	return arena_printf(c->arena, "%s\n%s\n%s\n%s\n\n%s\n%s", r->method, r->path, s->query,
			    s->lines, s->names, s->payload);
}

static const char *to_sign(struct ctx *c, const struct signing *s, const struct gcp_request *r)
{
	const char *request = canonical(c, s, r);
	unsigned char sum[SHA256];

	if (EVP_Digest(request, strlen(request), sum, NULL, EVP_sha256(), NULL) != 1)
		return NULL;
	return arena_printf(c->arena, ALGORITHM "\n%s\n%s\n%s", s->stamp, s->scope,
			    hex(c, sum, sizeof(sum)));
}

const char *gcp_canonical_request(struct ctx *c, const char *email, const struct gcp_request *r,
				  int64_t expires_s)
{
	struct signing s;

	return begin(c, &s, email, r, expires_s) ? canonical(c, &s, r) : NULL;
}

const char *gcp_string_to_sign(struct ctx *c, const char *email, const struct gcp_request *r,
			       int64_t expires_s)
{
	struct signing s;

	return begin(c, &s, email, r, expires_s) ? to_sign(c, &s, r) : NULL;
}

/* ---- the signature ---- */

/* For tests; a bearer token goes there. */
static const char *iam_endpoint(struct ctx *c)
{
	static const char *const here[] = { "http://127.0.0.1", "http://localhost",
					    "http://[::1]" };
	const char *set = getenv("CAPSTAN_GCP_IAM_ENDPOINT");

	if (!set || !*set)
		return IAM;
	if (strncmp(set, "https://", 8) == 0)
		return set;
	for (size_t i = 0; i < sizeof(here) / sizeof(*here); i++) {
		size_t n = strlen(here[i]);

		if (strncmp(set, here[i], n) == 0 && (!set[n] || set[n] == ':' || set[n] == '/'))
			return set;
	}
	fail(c, INVALID_STATE,
	     "CAPSTAN_GCP_IAM_ENDPOINT must begin with https:// unless it is this machine.");
	return NULL;
}

/* {"payload":...,"delegates":[...]}: the first line of `signer` is the token. */
static const char *blob_body(struct ctx *c, const char *text, const char *signer)
{
	struct buf body = BUF(c->arena, TEXT_MOST);
	const char *at = strchr(signer, '\n');

	buf_addf(&body, "{\"payload\":\"%s\"", gcp_text_base64(c, text, strlen(text)));
	for (bool first = true; at; first = false) {
		size_t n = strcspn(++at, "\n");

		buf_add(&body, first ? ",\"delegates\":[" : ",");
		buf_add_json_stringn(&body, at, n);
		at = at[n] ? at + n : NULL;
		if (!at)
			buf_addc(&body, ']');
	}
	buf_addc(&body, '}');
	return buf_failed(&body) ? NULL : buf_text(&body);
}

static int sign_by_iam(struct ctx *c, struct net *n, const struct identity_value *v,
		       const char *text, const char **ret)
{
	const struct net_header json = { "Content-Type", "application/json" };
	const char *email = v->text[GCP_EMAIL];
	const char *signer = v->text[GCP_SIGNER] ? v->text[GCP_SIGNER] : v->text[GCP_TOKEN];
	const char *token = arena_strndup(c->arena, signer, strcspn(signer, "\n"));
	const char *endpoint = iam_endpoint(c);
	struct gcp_call call = {
		.request = { .method = "POST",
			     .token = token,
			     .headers = &json,
			     .header_count = 1 },
		.what = "Google's IAM credentials API",
		.whose = arena_printf(c->arena, "to sign a URL for %s", email),
		.advice = "grant the server's identity iam.serviceAccounts.signBlob on that "
			  "account (the role Service Account "
			  "Token Creator, also when it is the account itself), or use a service "
			  "account's key file",
		.secrets = { token },
	};
	const unsigned char *signature;
	const char *signed_blob;
	json_t *answer;
	size_t size;

	if (!endpoint)
		return -1;
	call.request.body = blob_body(c, text, signer);
	if (!call.request.body)
		return fail(c, INVALID_STATE,
			    "The delegates of the server's Google Cloud credentials are too long.");
	call.request.size = strlen(call.request.body);
	call.request.url =
		net_url(c, endpoint,
			arena_printf(c->arena, "v1/projects/-/serviceAccounts/%s:signBlob",
				     net_encode(c, email, false)));
	if (gcp_http_ask(c, n, &call, &answer))
		return -1;
	signed_blob = gcp_text_member(answer, "signedBlob");
	signature = signed_blob ? gcp_text_unbase64(c, signed_blob, &size) : NULL;
	if (!signature || !size)
		return fail(c, TEMPORARILY_UNAVAILABLE, "%s (%s) answered without a signature.",
			    call.what, gcp_http_shown(c, call.request.url));
	*ret = hex(c, signature, size);
	return 0;
}

static int sign_by_key(struct ctx *c, const struct identity_value *v, const char *text,
		       const char **ret)
{
	unsigned char signature[GCP_SIGNATURE];
	size_t size;

	if (gcp_text_sign(c, v->text[GCP_KEY], v->text[GCP_EMAIL], text, strlen(text), signature,
			  &size))
		return -1;
	*ret = hex(c, signature, size);
	return 0;
}

int gcp_presign(struct ctx *c, struct net *n, const struct identity_value *v,
		const struct gcp_request *r, int64_t expires_s, const char **query)
{
	const char *text = NULL, *signature = NULL;
	struct signing s;

	if (expires_s < 1 || expires_s > LONGEST_S)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "A signed URL is good for 1 to %d seconds, not for %lld.", LONGEST_S,
			    (long long)expires_s);
	if (!v->text[GCP_EMAIL])
		return fail(
			c, PERMISSION_DENIED,
			"The server's Google Cloud credentials cannot sign URLs: they are %s. Use "
			"a "
			"service account: its key file, impersonation, or a machine that has one.",
			v->text[GCP_TOKEN] && !*v->text[GCP_TOKEN]
				? "none, as for an emulator"
				: "a user's or a federated identity's");
	if (!begin(c, &s, v->text[GCP_EMAIL], r, expires_s) || !(text = to_sign(c, &s, r)))
		return fail(c, INVALID_PARAMETER_VALUE, "The URL to be signed is too long.");
	if (v->text[GCP_KEY] ? sign_by_key(c, v, text, &signature)
			     : sign_by_iam(c, n, v, text, &signature))
		return -1;
	*query = arena_printf(c->arena, "%s&X-Goog-Signature=%s", s.query, signature);
	return 0;
}
