/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* V4 signed URLs: Google's own conformance cases (tools/vectors.sh fetches them), and what they do not say. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/arena.h"
#include "base/buf.h"
#include "net/gcp.h"

#include <cmocka.h>            /* last: it defines fail() */

/* Below CAPSTAN_VECTORS. */
#define GCS_CASES "gcs/v4_signatures.json"
#define GCS_ACCOUNT "gcs/service-account"

#define EMAIL "signer@project.iam.gserviceaccount.com"

struct fixture {
	struct ctx c;
	EVP_PKEY *key;
	struct identity_value value;
};

static const char *pem_of(struct ctx *c, EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data = NULL;
	const char *ret;
	long n;

	assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
	n = BIO_get_mem_data(bio, &data);
	ret = arena_strndup(c->arena, data, (size_t)n);
	BIO_free(bio);
	return ret;
}

static int fixture_new(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->c.arena = arena_new(64 << 20);
	f->key = EVP_RSA_gen(2048);
	f->value.text[GCP_TOKEN] = "token";
	f->value.text[GCP_EMAIL] = EMAIL;
	f->value.text[GCP_KEY] = pem_of(&f->c, f->key);
	*state = f;
	return 0;
}

static int fixture_free(void **state)
{
	struct fixture *f = *state;

	EVP_PKEY_free(f->key);
	arena_free(f->c.arena);
	free(f);
	return 0;
}

/* ---- Google's cases ---- */

static const char *text(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static const char *after_scheme(const char *url)
{
	const char *at = url ? strstr(url, "://") : NULL;

	return at ? at + 3 : url;
}

/* The host as the request would name it: what the case calls it, in the case's order of precedence. */
static const char *host_of(struct ctx *c, const json_t *test)
{
	const char *style = text(test, "urlStyle");
	const char *universe = text(test, "universeDomain");
	const char *host = text(test, "hostname");

	if (style && strcmp(style, "BUCKET_BOUND_HOSTNAME") == 0)
		return text(test, "bucketBoundHostname");
	if (!host)
		host = after_scheme(text(test, "clientEndpoint"));
	if (!host)
		host = after_scheme(text(test, "emulatorHostname"));
	if (!host)
		host = arena_printf(c->arena, "storage.%s", universe ? universe : "googleapis.com");
	return style && strcmp(style, "VIRTUAL_HOSTED_STYLE") == 0
	               ? arena_printf(c->arena, "%s.%s", text(test, "bucket"), host) : host;
}

/*
 * Google's cases sign the host alone where the endpoint has a port of its own. A server that verifies what it was sent
 * finds the port in the header Host, as google-cloud-storage for Python signs it and we do: so the port is not part of
 * the host of those cases.
 */
static const char *without_port(struct ctx *c, const char *host)
{
	const char *port = strstr(host, ":8080");

	return port ? arena_strndup(c->arena, host, (size_t)(port - host)) : host;
}

static const char *path_of(struct ctx *c, const json_t *test)
{
	const char *object = text(test, "object");
	const char *key = object ? arena_printf(c->arena, "/%s", net_encode(c, object, true)) : "";

	return text(test, "urlStyle") ? key : arena_printf(c->arena, "/%s%s", text(test, "bucket"), key);
}

static const char *query_of(struct ctx *c, const json_t *test)
{
	struct buf query = BUF(c->arena, 1 << 16);
	const char *name;
	json_t *value;

	json_object_foreach(json_object_get(test, "queryParameters"), name, value)
		buf_addf(&query, "%s%s=%s", query.size ? "&" : "", net_encode(c, name, false),
		         net_encode(c, json_string_value(value), false));
	return query.size ? buf_text(&query) : NULL;
}

static time_t time_of(const char *stamp)
{
	struct tm tm = { 0 };

	assert_non_null(strptime(stamp, "%Y-%m-%dT%H:%M:%SZ", &tm));
	return timegm(&tm);
}

/* Google's last case has a canonical request that is not the one of its string to sign and URL. */
static bool contradicts_itself(struct ctx *c, const json_t *test)
{
	const char *request = text(test, "expectedCanonicalRequest");
	unsigned char sum[32];
	struct buf hex = BUF(c->arena, 128);

	assert_int_equal(EVP_Digest(request, strlen(request), sum, NULL, EVP_sha256(), NULL), 1);
	for (size_t i = 0; i < sizeof(sum); i++)
		buf_addf(&hex, "%02x", sum[i]);
	return !strstr(text(test, "expectedStringToSign"), buf_text(&hex));
}

/* Whether the case can be met in all it says. */
static bool conforms(struct fixture *f, const json_t *test, const struct identity_value *v)
{
	struct ctx *c = &f->c;
	bool whole = !contradicts_itself(c, test);
	struct net_header headers[16];
	struct gcp_request r = {
		.method = text(test, "method"), .host = without_port(c, host_of(c, test)), .path = path_of(c, test),
		.query = query_of(c, test), .headers = headers, .now = time_of(text(test, "timestamp")),
	};
	int64_t expires = json_integer_value(json_object_get(test, "expiration"));
	const char *query, *name, *url;
	json_t *value;

	json_object_foreach(json_object_get(test, "headers"), name, value)
		headers[r.header_count++] = (struct net_header){ name, json_string_value(value) };
	print_message("  %s\n", text(test, "description"));
	if (whole)
		assert_string_equal(gcp_canonical_request(c, v->text[GCP_EMAIL], &r, expires),
		                    text(test, "expectedCanonicalRequest"));
	assert_string_equal(gcp_string_to_sign(c, v->text[GCP_EMAIL], &r, expires), text(test, "expectedStringToSign"));
	assert_int_equal(gcp_presign(c, NULL, v, &r, expires, &query), 0);
	url = arena_printf(c->arena, "%s%s?%s", host_of(c, test), r.path, query);
	assert_string_equal(url, after_scheme(text(test, "expectedUrl")));
	return whole;
}

static json_t *load(const char *folder, const char *name)
{
	static char bytes[1 << 20];
	char path[PATH_MAX];
	json_error_t error;
	json_t *ret;
	size_t n, from;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "r");
	if (!file)
		fail_msg("%s is missing: tools/vectors.sh fetches it", path);
	n = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	from = n > 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	ret = json_loadb(bytes + from, n - from, 0, &error);
	if (!ret)
		fail_msg("%s: %s", path, error.text);
	return ret;
}

static void vectors(void **state)
{
	struct fixture *f = *state;
	const char *folder = getenv("CAPSTAN_VECTORS");
	struct identity_value v = { 0 };
	json_t *file, *account, *test;
	size_t i, count = 0, whole = 0;

	if (!folder || !*folder)
		skip();
	file = load(folder, GCS_CASES);
	account = load(folder, GCS_ACCOUNT);
	v.text[GCP_EMAIL] = text(account, "client_email");
	v.text[GCP_KEY] = text(account, "private_key");
	json_array_foreach(json_object_get(file, "signingV4Tests"), i, test) {
		whole += conforms(f, test, &v);
		count++;
	}
	assert_true(count >= 29);
	assert_true(whole + 1 >= count);
	json_decref(file);
	json_decref(account);
}

/* ---- without them ---- */

static const struct gcp_request plain = {
	.method = "GET", .host = "storage.googleapis.com", .path = "/bucket/a%20b", .now = 1548975600,
};

static void canonical(void **state)
{
	struct fixture *f = *state;
	const struct net_header headers[] = {
		{ "X-Goog-Meta-B", " two\t \tparts " }, { "x-goog-meta-b", "more" }, { "Host", "ignored" },
		{ "Content-Type", "" },
	};
	struct gcp_request r = plain;

	r.query = "b=2&&a&b=1&X-Goog-A=z";
	r.headers = headers;
	r.header_count = 4;
	r.host = "[::1]:8080";
	assert_string_equal(gcp_canonical_request(&f->c, EMAIL, &r, 604800),
	                    "GET\n/bucket/a%20b\nX-Goog-A=z&X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential="
	                    "signer%40project.iam.gserviceaccount.com%2F20190131%2Fauto%2Fstorage%2Fgoog4_request"
	                    "&X-Goog-Date=20190131T230000Z&X-Goog-Expires=604800"
	                    "&X-Goog-SignedHeaders=content-type%3Bhost%3Bx-goog-meta-b&a=&b=1&b=2\n"
	                    "content-type:\nhost:[::1]:8080\nx-goog-meta-b:two parts,more\n\n"
	                    "content-type;host;x-goog-meta-b\nUNSIGNED-PAYLOAD");
}

static bool verifies(EVP_PKEY *key, const char *signed_text, const char *hex)
{
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	long n = 0;
	unsigned char *signature = OPENSSL_hexstr2buf(hex, &n);
	bool ret = signature && EVP_DigestVerifyInit(digest, NULL, EVP_sha256(), NULL, key) == 1
	           && EVP_DigestVerify(digest, signature, (size_t)n, (const unsigned char *)signed_text,
	                               strlen(signed_text)) == 1;

	OPENSSL_free(signature);
	EVP_MD_CTX_free(digest);
	return ret;
}

static void with_key(void **state)
{
	struct fixture *f = *state;
	const char *signed_text = gcp_string_to_sign(&f->c, EMAIL, &plain, 60);
	const char *query = NULL;
	const char *signature;

	assert_int_equal(gcp_presign(&f->c, NULL, &f->value, &plain, 60, &query), 0);
	signature = strstr(query, "&X-Goog-Signature=");
	assert_non_null(signature);
	signature += strlen("&X-Goog-Signature=");
	assert_int_equal(strlen(signature), 512);
	assert_true(verifies(f->key, signed_text, signature));
	assert_false(verifies(f->key, gcp_string_to_sign(&f->c, EMAIL, &plain, 61), signature));
}

static void refuse(struct fixture *f, const struct identity_value *v, int64_t expires, const char *says)
{
	const char *query = NULL;

	error_clear(&f->c);
	assert_int_equal(gcp_presign(&f->c, NULL, v, &plain, expires, &query), -1);
	assert_null(query);
	if (!strstr(f->c.error.message, says))
		fail_msg("\"%s\" is not in: %s", says, f->c.error.message);
	assert_null(strstr(f->c.error.message, "BEGIN"));
	assert_null(strstr(f->c.error.message, "token"));
}

static void refused(void **state)
{
	struct fixture *f = *state;
	struct identity_value v = { .text = { [GCP_TOKEN] = "token" } };
	EVP_PKEY *ec = EVP_EC_gen("P-256");
	char *cut;

	refuse(f, &f->value, 0, "1 to 604800 seconds");
	refuse(f, &f->value, 604801, "1 to 604800 seconds");
	refuse(f, &v, 60, "a user's or a federated identity's");
	v.text[GCP_TOKEN] = "";
	refuse(f, &v, 60, "none, as for an emulator");
	v = f->value;
	v.text[GCP_KEY] = pem_of(&f->c, ec);
	refuse(f, &v, 60, "no RSA key");
	EVP_PKEY_free(ec);
	cut = arena_strdup(f->c.arena, f->value.text[GCP_KEY]);
	cut[400] = '\0';
	v.text[GCP_KEY] = cut;
	refuse(f, &v, 60, "no RSA key");
	/* One that wants a password does not wait for it on the terminal. */
	v.text[GCP_KEY] = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
	                  "DEK-Info: AES-128-CBC,00000000000000000000000000000000\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
	refuse(f, &v, 60, "no RSA key");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(vectors, fixture_new, fixture_free),
		cmocka_unit_test_setup_teardown(canonical, fixture_new, fixture_free),
		cmocka_unit_test_setup_teardown(with_key, fixture_new, fixture_free),
		cmocka_unit_test_setup_teardown(refused, fixture_new, fixture_free),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
