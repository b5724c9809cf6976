/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Signature Version 4: the examples of S3's documentation, and the published vectors below CAPSTAN_VECTORS
   (tools/vectors.sh). */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "base/arena.h"
#include "net/aws.h"

#include <cmocka.h>            /* last: it defines fail() */

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static struct ctx c;

static int new_ctx(void **state)
{
	(void)state;
	c = (struct ctx){ .arena = arena_new(64 << 20) };
	return !c.arena;
}

static int free_ctx(void **state)
{
	(void)state;
	arena_free(c.arena);
	return 0;
}

/* ---- docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html, sigv4-query-string-auth.html ---- */

static const struct aws_credentials doc_keys = {
	"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", NULL,
};

static struct aws_request doc_request(const char *method, const char *path, const char *query)
{
	return (struct aws_request){
		.method = method, .host = "examplebucket.s3.amazonaws.com", .path = path, .query = query,
		.payload_hash = EMPTY, .region = "us-east-1", .service = "s3", .now = 1369353600,
	};
}

static const char *header(const struct net_header *h, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcasecmp(h[i].name, name) == 0)
			return h[i].value;
	}
	return "";
}

static void check_signature(const struct aws_request *r, const char *signature)
{
	size_t n;
	const struct net_header *h = aws_sign(&c, &doc_keys, r, &n);
	const char *is = strstr(header(h, n, "Authorization"), "Signature=");

	assert_non_null(is);
	assert_string_equal(is + 10, signature);
	assert_string_equal(header(h, n, "x-amz-content-sha256"), r->payload_hash);
	assert_string_equal(header(h, n, "x-amz-date"), "20130524T000000Z");
}

static void s3_examples(void **state)
{
	(void)state;
	struct aws_request r = doc_request("GET", "/test.txt", NULL);
	static const struct net_header range[] = { { "Range", "bytes=0-9" } };
	static const struct net_header put[] = {
		{ "Date", "Fri, 24 May 2013 00:00:00 GMT" }, { "x-amz-storage-class", "REDUCED_REDUNDANCY" },
	};

	r.headers = range;
	r.header_count = 1;
	check_signature(&r, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
	r = doc_request("PUT", "/test%24file.text", NULL);
	r.headers = put;
	r.header_count = 2;
	r.payload_hash = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
	check_signature(&r, "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
	r = doc_request("GET", "/", "lifecycle");
	check_signature(&r, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
	r = doc_request("GET", "/", "prefix=J&max-keys=2");
	check_signature(&r, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
	r = doc_request("GET", "/test.txt", NULL);
	r.payload_hash = AWS_UNSIGNED_PAYLOAD;
	assert_string_equal(aws_presign(&c, &doc_keys, &r, 86400),
	                    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2F"
	                    "us-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&"
	                    "X-Amz-SignedHeaders=host&X-Amz-Signature="
	                    "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
}

static void canonical(void **state)
{
	(void)state;
	static const struct net_header headers[] = { { "X-B", "  two   words\t " }, { "x-a", "1" }, { "X-b", "more" } };
	struct aws_request r = doc_request("GET", "/a//b/../c%20d", "b=2&a=x%2fy&a=%7e&&c&A=1+2");
	const struct aws_credentials k = { "id", "secret", "to/ken" };
	const struct net_header *sent;
	size_t n;

	r.headers = headers;
	r.header_count = 3;
	assert_string_equal(aws_canonical_request(&c, &k, &r),
	                    "GET\n/a//b/../c%20d\nA=1%2B2&a=x%2Fy&a=~&b=2&c=\nhost:examplebucket.s3.amazonaws.com\n"
	                    "x-a:1\nx-amz-content-sha256:" EMPTY "\nx-amz-date:20130524T000000Z\n"
	                    "x-amz-security-token:to/ken\nx-b:two words,more\n\n"
	                    "host;x-a;x-amz-content-sha256;x-amz-date;x-amz-security-token;x-b\n" EMPTY);
	sent = aws_sign(&c, &k, &r, &n);
	assert_string_equal(header(sent, n, "x-amz-security-token"), "to/ken");
	assert_non_null(strstr(aws_presign(&c, &k, &r, 60), "&X-Amz-Security-Token=to%2Fken&"));
	r.service = "sts";
	r.normalize = r.encode_twice = true;
	assert_non_null(strstr(aws_canonical_request(&c, &k, &r), "GET\n/a/c%2520d\n"));
	assert_null(strstr(aws_canonical_request(&c, &k, &r), "content-sha256"));
}

/* Services other than S3 encode the path once more: the signature is that of the SDK for Rust. */
static void encoded_twice(void **state)
{
	(void)state;
	const struct aws_credentials k = { "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", NULL };
	const struct aws_request r = {
		.method = "POST", .host = "lambda.us-east-2.amazonaws.com", .payload_hash = EMPTY,
		.path = "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-west-2%3A892717189312%3Afunction%3Amy-rusty-fun/invocations",
		.region = "us-east-2", .service = "lambda", .encode_twice = true, .now = 1620747645,
	};
	const struct aws_request connections = {
		.method = "POST", .host = "tj9n5r0m12.execute-api.us-east-1.amazonaws.com", .payload_hash = EMPTY,
		.path = "/test/@connections/JBDvjfGEIAMCERw%3D", .region = "us-east-1", .service = "execute-api",
		.encode_twice = true, .now = 1620747645,
	};
	size_t n;
	const struct net_header *h = aws_sign(&c, &k, &r, &n);

	assert_non_null(strstr(header(h, n, "Authorization"),
	                       "Signature=4b93abbcc68be32bd64c18e2c71150660ab4c29bbd6c32a383a7517a88fc1804"));
	assert_non_null(strstr(aws_canonical_request(&c, &k, &connections),
	                       "POST\n/test/%40connections/JBDvjfGEIAMCERw%253D\n"));
}

/* ---- the vectors ---- */

static const char *read_file(const char *folder, const char *name)
{
	char *path = arena_printf(c.arena, "%s/%s", folder, name);
	char *text = arena_alloc(c.arena, 64 << 10);
	FILE *f = fopen(path, "re");

	if (!f)
		return NULL;
	(void)!fread(text, 1, (64 << 10) - 1, f);
	fclose(f);
	return text;
}

/* As a client would have encoded it: what may not be in a URL, and nothing else. */
static const char *encoded(const char *text)
{
	char *ret = arena_array(c.arena, strlen(text) + 1, 3);
	char *to = ret;

	for (const unsigned char *p = (const unsigned char *)text; *p; p++)
		to += snprintf(to, 4, *p <= ' ' || *p >= 127 ? "%%%02X" : "%c", *p);
	return ret;
}

static void add_header(struct aws_request *r, struct net_header *headers, char *line)
{
	char *colon = strchr(line, ':');
	struct net_header *last = &headers[r->header_count];

	if (*line == ' ' || *line == '\t') {
		last[-1].value = arena_printf(c.arena, "%s %s", last[-1].value, line);
		return;
	}
	assert_non_null(colon);
	*colon = '\0';
	if (strcasecmp(line, "host") == 0)
		r->host = colon + 1;
	else if (strcasecmp(line, "x-amz-date") != 0)
		headers[r->header_count++] = (struct net_header){ line, colon + 1 };
}

/* Returns the body. */
static const char *parse_request(char *text, struct aws_request *r, struct net_header *headers)
{
	char *end = strstr(text, " HTTP/1.1");
	char *path = strchr(text, ' ');
	char *line;
	char *query;

	assert_non_null(end);
	*end = *path++ = '\0';
	r->method = text;
	query = strchr(path, '?');
	if (query) {
		*query = '\0';
		r->query = encoded(query + 1);
	}
	r->path = encoded(path);
	r->headers = headers;
	line = strchr(end + 1, '\n') + 1;
	while (*line && *line != '\n') {
		char *next = strchrnul(line, '\n');
		bool more = *next;

		*next = '\0';
		add_header(r, headers, line);
		line = next + more;
	}
	return *line ? line + 1 : line;
}

static const char *sha256(const char *text)
{
	unsigned char hash[32];
	char *ret = arena_alloc(c.arena, 65);

	EVP_Digest(text, strlen(text), hash, NULL, EVP_sha256(), NULL);
	for (int i = 0; i < 32; i++)
		snprintf(ret + 2 * i, 3, "%02x", hash[i]);
	return ret;
}

static void same(const char *name, const char *what, const char *is, const char *folder, const char *file)
{
	const char *want = read_file(folder, file);

	if (!want || strcmp(is, want) != 0)
		fail_msg("%s: %s:\n%s\nnot\n%s", name, what, is, want ? want : "(no file)");
}

static time_t time_of(const char *text, const char *format)
{
	struct tm tm = { 0 };

	assert_non_null(strptime(text, format, &tm));
	return timegm(&tm);
}

static void check_header(const char *name, const char *folder, const struct aws_credentials *k,
                         const struct aws_request *r)
{
	size_t n;
	const struct net_header *h;

	same(name, "canonical request", aws_canonical_request(&c, k, r), folder, "header-canonical-request.txt");
	same(name, "string to sign", aws_string_to_sign(&c, k, r), folder, "header-string-to-sign.txt");
	h = aws_sign(&c, k, r, &n);
	same(name, "signature", strstr(header(h, n, "Authorization"), "Signature=") + 10, folder,
	     "header-signature.txt");
}

static void check_signatures(const char *name, const char *folder, json_t *context, struct aws_request *r,
                               const char *body)
{
	json_t *keys = json_object_get(context, "credentials");
	struct net_header *headers = arena_array(c.arena, r->header_count + 1, sizeof(*headers));
	struct aws_credentials k = {
		json_string_value(json_object_get(keys, "access_key_id")),
		json_string_value(json_object_get(keys, "secret_access_key")),
		json_string_value(json_object_get(keys, "token")),
	};
	const char *url;

	/* Then it is put in behind the signature. */
	if (json_is_true(json_object_get(context, "omit_session_token")))
		k.token = NULL;
	r->region = json_string_value(json_object_get(context, "region"));
	r->service = json_string_value(json_object_get(context, "service"));
	r->normalize = json_is_true(json_object_get(context, "normalize"));
	r->now = time_of(json_string_value(json_object_get(context, "timestamp")), "%Y-%m-%dT%H:%M:%SZ");
	r->payload_hash = sha256(json_is_true(json_object_get(context, "sign_body")) ? body : "");
	url = aws_presign(&c, &k, r, json_integer_value(json_object_get(context, "expiration_in_seconds")));
	same(name, "presigned", strstr(url, "&X-Amz-Signature=") + 17, folder, "query-signature.txt");
	memcpy(headers, r->headers, r->header_count * sizeof(*headers));
	r->headers = headers;
	if (json_is_true(json_object_get(context, "sign_body")))
		headers[r->header_count++] = (struct net_header){ "x-amz-content-sha256", r->payload_hash };
	check_header(name, folder, &k, r);
}

/* False: the suite has no answer to this request. */
static bool check_case(const char *all, const char *name)
{
	char *folder = arena_printf(c.arena, "%s/%s", all, name);
	char *request = (char *)read_file(folder, "request.txt");
	const char *context = read_file(folder, "context.json");
	struct net_header headers[16];
	struct aws_request r = { .path = NULL };
	const char *body;
	json_t *json;

	if (!request || !context)
		fail_msg("%s: no request.txt or context.json", name);
	if (!read_file(folder, "header-canonical-request.txt"))
		return false;
	body = parse_request(request, &r, headers);
	json = json_loads(context, 0, NULL);
	assert_non_null(json);
	check_signatures(name, folder, json, &r, body);
	json_decref(json);
	return true;
}

static void vectors(void **state)
{
	(void)state;
	const char *root = getenv("CAPSTAN_VECTORS");
	char *all;
	struct dirent *entry;
	DIR *folder;
	int count = 0;

	if (!root)
		skip();
	all = arena_printf(c.arena, "%s/sigv4", root);
	folder = opendir(all);
	if (!folder)
		fail_msg("no vectors at %s", all);
	while ((entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		count += check_case(all, entry->d_name);
	}
	closedir(folder);
	assert_int_equal(count, 38);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, new_ctx, free_ctx)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(s3_examples), TEST(canonical), TEST(encoded_twice), TEST(vectors) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
