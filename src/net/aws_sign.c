/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Signature Version 4: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html, and for S3
   docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html. */
#include "net/aws.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/arena.h"
#include "base/buf.h"

#define ALGORITHM "AWS4-HMAC-SHA256"

enum {
	SHA = 32,
	TEXT_MOST = 1 << 20,
	DATE_SIZE = sizeof("20150830T123600Z"),
	DAY = 8,                        /* characters of it */
};

/* One header or parameter, as it is sorted. */
struct pair {
	const char *name, *value;
	size_t order;
};

struct signing {
	const struct aws_request *request;
	char date[DATE_SIZE];
	const char *scope;
	const char *query;              /* canonical */
	const char *names;              /* of signed headers: "a;b" */
	const char *lines;              /* of them, canonical */
};

static int compare(const void *a, const void *b)
{
	const struct pair *x = a;
	const struct pair *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : x->order < y->order ? -1 : x->order > y->order;
}

static int compare_with_value(const void *a, const void *b)
{
	const struct pair *x = a;
	const struct pair *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : strcmp(x->value, y->value);
}

static const char *hex(struct ctx *c, const unsigned char *bytes)
{
	static const char digits[] = "0123456789abcdef";
	char *ret = arena_alloc(c->arena, 2 * SHA + 1);

	for (size_t i = 0; i < SHA; i++) {
		ret[2 * i] = digits[bytes[i] >> 4];
		ret[2 * i + 1] = digits[bytes[i] & 15];
	}
	return ret;
}

/* ---- the query ---- */

static int digit(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	if ((ch | 32) >= 'a' && (ch | 32) <= 'f')
		return (ch | 32) - 'a' + 10;
	return -1;
}

/* In the one encoding that is signed, whatever it came in: of "%7e", "~". */
static const char *encode_again(struct ctx *c, const char *from, size_t n)
{
	static const char digits[] = "0123456789ABCDEF";
	char *ret = arena_array(c->arena, n + 1, 3);
	char *to = ret;

	for (size_t i = 0; i < n; i++) {
		unsigned char ch = (unsigned char)from[i];

		if (ch == '%' && i + 2 < n && digit(from[i + 1]) >= 0 && digit(from[i + 2]) >= 0) {
			ch = (unsigned char)(digit(from[i + 1]) << 4 | digit(from[i + 2]));
			i += 2;
		}
		if ((ch >= '0' && ch <= '9') || ((ch | 32) >= 'a' && (ch | 32) <= 'z')
		    || (ch && strchr("-._~", ch))) {
			*to++ = (char)ch;
			continue;
		}
		*to++ = '%';
		*to++ = digits[ch >> 4];
		*to++ = digits[ch & 15];
	}
	*to = '\0';
	return ret;
}

static const char *canonical_query(struct ctx *c, const char *query)
{
	struct buf to = BUF(c->arena, TEXT_MOST);
	struct pair *pairs;
	size_t count = 0;
	size_t most = 1;

	if (!query || !*query)
		return "";
	for (const char *p = query; (p = strchr(p, '&')); p++)
		most++;
	pairs = NEW_ARRAY(c->arena, most, struct pair);
	for (const char *p = query; p; p = *(p += strcspn(p, "&")) ? p + 1 : NULL) {
		size_t size = strcspn(p, "&");
		const char *equals = memchr(p, '=', size);
		size_t name = equals ? (size_t)(equals - p) : size;

		if (!size)
			continue;
		pairs[count].name = encode_again(c, p, name);
		pairs[count++].value = equals ? encode_again(c, equals + 1, size - name - 1) : "";
	}
	qsort(pairs, count, sizeof(*pairs), compare_with_value);
	for (size_t i = 0; i < count; i++) {
		buf_add(&to, i ? "&" : "");
		buf_add(&to, pairs[i].name);
		buf_addc(&to, '=');
		buf_add(&to, pairs[i].value);
	}
	return buf_text(&to);
}

/* ---- the path ---- */

/* RFC 3986 5.2.4, and of several slashes one. */
static const char *normal_path(struct ctx *c, const char *path)
{
	char *ret = arena_alloc(c->arena, strlen(path) + 2);
	char *to = ret;

	*to++ = '/';
	for (const char *p = path; *p;) {
		size_t n = strcspn(p, "/");

		if (n == 2 && p[0] == '.' && p[1] == '.') {
			/* Without the slash at the end, and the segment before it. */
			for (to -= to > ret + 1; to > ret + 1 && to[-1] != '/'; to--)
				;
		} else if (n && !(n == 1 && *p == '.')) {
			memcpy(to, p, n);
			to += n;
			if (p[n] == '/')
				*to++ = '/';
		}
		p += n + (p[n] == '/');
	}
	*to = '\0';
	return ret;
}

static const char *canonical_path(struct ctx *c, const struct aws_request *r)
{
	const char *path = *r->path ? r->path : "/";

	if (r->normalize)
		path = normal_path(c, path);
	return r->encode_twice ? net_encode(c, path, true) : path;
}

/* ---- headers ---- */

static const char *lower(struct ctx *c, const char *name)
{
	char *ret = arena_strdup(c->arena, name);

	for (char *p = ret; *p; p++)
		*p = *p >= 'A' && *p <= 'Z' ? (char)(*p | 32) : *p;
	return ret;
}

static bool is_space(char ch)
{
	return ch == ' ' || ch == '\t';
}

static const char *trim(struct ctx *c, const char *value)
{
	char *ret = arena_alloc(c->arena, strlen(value) + 1);
	char *to = ret;

	for (const char *p = value; *p; p++) {
		if (!is_space(*p))
			*to++ = *p;
		else if (to > ret && p[1] && !is_space(p[1]))
			*to++ = ' ';
	}
	*to = '\0';
	return ret;
}

static void canonical_headers(struct ctx *c, struct signing *s, const struct net_header *headers,
                              size_t count)
{
	struct pair *pairs = NEW_ARRAY(c->arena, count + 1, struct pair);
	struct buf lines = BUF(c->arena, TEXT_MOST);
	struct buf names = BUF(c->arena, TEXT_MOST);

	pairs[0] = (struct pair){ "host", trim(c, s->request->host), 0 };
	for (size_t i = 0; i < count; i++)
		pairs[i + 1] = (struct pair){ lower(c, headers[i].name), trim(c, headers[i].value), i + 1 };
	qsort(pairs, count + 1, sizeof(*pairs), compare);
	for (size_t i = 0; i <= count; i++) {
		bool again = i && strcmp(pairs[i].name, pairs[i - 1].name) == 0;
		bool more = i < count && strcmp(pairs[i].name, pairs[i + 1].name) == 0;

		if (!again) {
			buf_add(&names, i ? ";" : "");
			buf_add(&names, pairs[i].name);
			buf_add(&lines, pairs[i].name);
		}
		buf_add(&lines, again ? "," : ":");
		buf_add(&lines, pairs[i].value);
		buf_add(&lines, more ? "" : "\n");
	}
	s->names = buf_text(&names);
	s->lines = buf_text(&lines);
}

/* ---- what is signed ---- */

static void begin(struct ctx *c, struct signing *s, const struct aws_request *r)
{
	struct tm tm;

	s->request = r;
	gmtime_r(&r->now, &tm);
	strftime(s->date, sizeof(s->date), "%Y%m%dT%H%M%SZ", &tm);
	s->scope = arena_printf(c->arena, "%.8s/%s/%s/aws4_request", s->date, r->region, r->service);
}

static const char *canonical(struct ctx *c, const struct signing *s)
{
	const struct aws_request *r = s->request;

	return arena_printf(c->arena, "%s\n%s\n%s\n%s\n%s\n%s", r->method, canonical_path(c, r),
	                    s->query, s->lines, s->names, r->payload_hash);
}

static const char *to_sign(struct ctx *c, const struct signing *s)
{
	const char *text = canonical(c, s);
	unsigned char hash[SHA];

	EVP_Digest(text, strlen(text), hash, NULL, EVP_sha256(), NULL);
	return arena_printf(c->arena, ALGORITHM "\n%s\n%s\n%s", s->date, s->scope, hex(c, hash));
}

static void mac(const unsigned char *key, size_t n, const char *text, size_t size,
                unsigned char ret[SHA])
{
	HMAC(EVP_sha256(), key, (int)n, (const unsigned char *)text, size, ret, NULL);
}

static const char *signature(struct ctx *c, const struct aws_credentials *k, const struct signing *s)
{
	size_t n = strlen(k->secret) + 4;
	char *first = arena_printf(c->arena, "AWS4%s", k->secret);
	const char *text = to_sign(c, s);
	const struct aws_request *r = s->request;
	unsigned char keys[2][SHA];

	mac((unsigned char *)first, n, s->date, DAY, keys[0]);
	mac(keys[0], SHA, r->region, strlen(r->region), keys[1]);
	mac(keys[1], SHA, r->service, strlen(r->service), keys[0]);
	mac(keys[0], SHA, "aws4_request", strlen("aws4_request"), keys[1]);
	mac(keys[1], SHA, text, strlen(text), keys[0]);
	text = hex(c, keys[0]);
	OPENSSL_cleanse(first, n);
	OPENSSL_cleanse(keys, sizeof(keys));
	return text;
}

/* ---- headers ---- */

static struct net_header *begin_headers(struct ctx *c, const struct aws_credentials *k,
                                        const struct aws_request *r, struct signing *s, size_t *count)
{
	struct net_header *ret = NEW_ARRAY(c->arena, r->header_count + 4, struct net_header);
	size_t n = r->header_count;

	begin(c, s, r);
	if (n)
		memcpy(ret, r->headers, n * sizeof(*ret));
	ret[n++] = (struct net_header){ "x-amz-date", arena_strdup(c->arena, s->date) };
	if (k->token && *k->token)
		ret[n++] = (struct net_header){ "x-amz-security-token", k->token };
	if (strcmp(r->service, "s3") == 0)
		ret[n++] = (struct net_header){ "x-amz-content-sha256", r->payload_hash };
	s->query = canonical_query(c, r->query);
	canonical_headers(c, s, ret, n);
	*count = n;
	return ret;
}

const struct net_header *aws_sign(struct ctx *c, const struct aws_credentials *k,
                                  const struct aws_request *r, size_t *count)
{
	struct signing s;
	size_t n;
	struct net_header *ret = begin_headers(c, k, r, &s, &n);

	ret[n++] = (struct net_header){ "Authorization", arena_printf(c->arena,
		ALGORITHM " Credential=%s/%s, SignedHeaders=%s, Signature=%s", k->key_id, s.scope,
		s.names, signature(c, k, &s)) };
	*count = n;
	return ret;
}

const char *aws_canonical_request(struct ctx *c, const struct aws_credentials *k,
                                  const struct aws_request *r)
{
	struct signing s;
	size_t n;

	begin_headers(c, k, r, &s, &n);
	return canonical(c, &s);
}

const char *aws_string_to_sign(struct ctx *c, const struct aws_credentials *k,
                               const struct aws_request *r)
{
	struct signing s;
	size_t n;

	begin_headers(c, k, r, &s, &n);
	return to_sign(c, &s);
}

/* ---- signed URLs ---- */

const char *aws_presign(struct ctx *c, const struct aws_credentials *k, const struct aws_request *r,
                        int64_t expires_s)
{
	struct buf query = BUF(c->arena, TEXT_MOST);
	struct signing s;

	begin(c, &s, r);
	canonical_headers(c, &s, r->headers, r->header_count);
	buf_add(&query, r->query ? r->query : "");
	buf_addf(&query, "&X-Amz-Algorithm=" ALGORITHM "&X-Amz-Credential=%s%%2F%s&X-Amz-Date=%s"
	                 "&X-Amz-Expires=%lld&X-Amz-SignedHeaders=%s", net_encode(c, k->key_id, false),
	         net_encode(c, s.scope, false), s.date, (long long)expires_s,
	         net_encode(c, s.names, false));
	if (k->token && *k->token)
		buf_addf(&query, "&X-Amz-Security-Token=%s", net_encode(c, k->token, false));
	s.query = canonical_query(c, buf_text(&query));
	return arena_printf(c->arena, "%s&X-Amz-Signature=%s", s.query, signature(c, k, &s));
}
