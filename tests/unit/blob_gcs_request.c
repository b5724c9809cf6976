/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What is asked of Google Cloud Storage, and what its answers become. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/blob/gcs.h"
#include "base/arena.h"
#include "base/crc32c.h"
#include "net/gcp.h"

#define REFUSE gcs_remote_ops.refuse    /* before cmocka has its way with fail() */

#include <cmocka.h>

static struct ctx ctx;
static struct gcs gcs = {
	.remote = { .bucket = "b.1", .prefix = "p" },
	.endpoint = "https://storage.googleapis.com",
	.bucket_path = "b.1",
};

static int setup(void **state)
{
	(void)state;
	ctx = (struct ctx){ .arena = arena_new(1 << 20) };
	return ctx.arena ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	arena_free(ctx.arena);
	return 0;
}

/* ---- where ---- */

static void test_endpoints(void **state)
{
	static const struct {
		const char *emulator, *override, *want; /* want NULL: refused */
	} cases[] = {
		{ NULL, NULL, "https://storage.googleapis.com" },
		{ "", "", "https://storage.googleapis.com" },
		{ "localhost:4443", NULL, "http://localhost:4443" },
		{ "http://localhost:4443", NULL, "http://localhost:4443" },
		{ "http://localhost:4443/", NULL, "http://localhost:4443" },
		{ "https://gcs:1/a/b//", NULL, "https://gcs:1/a/b" },
		{ "127.0.0.1:9", "https://other", "http://127.0.0.1:9" },
		{ NULL, "https://storage.example.com", "https://storage.example.com" },
		{ NULL, "storage.example.com", "https://storage.example.com" },
		{ "ftp://x", NULL, NULL },
		{ "http://u:p@x", NULL, NULL },
		{ "http://x?y", NULL, NULL },
		{ "a b", NULL, NULL },
		{ "a\nb", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *url;

		unsetenv("STORAGE_EMULATOR_HOST");
		unsetenv("API_ENDPOINT_OVERRIDE");
		if (cases[i].emulator)
			setenv("STORAGE_EMULATOR_HOST", cases[i].emulator, 1);
		if (cases[i].override)
			setenv("API_ENDPOINT_OVERRIDE", cases[i].override, 1);
		error_clear(&ctx);
		url = gcs_endpoint(&ctx);
		if (cases[i].want) {
			assert_non_null(url);
			assert_string_equal(url, cases[i].want);
		} else {
			assert_null(url);
			assert_int_equal(ctx.error.code, INVALID_PARAMETER_VALUE);
		}
		free(url);
	}
	unsetenv("STORAGE_EMULATOR_HOST");
	unsetenv("API_ENDPOINT_OVERRIDE");
}

static void test_urls(void **state)
{
	(void)state;
	assert_string_equal(gcs_json_url(&ctx, &gcs, NULL),
			    "https://storage.googleapis.com/storage/v1/b/b.1/o");
	assert_string_equal(gcs_json_url(&ctx, &gcs, "p/a b+%2F/\xc3\xa4?#//x"),
			    "https://storage.googleapis.com/storage/v1/b/b.1/o/"
			    "p%2Fa%20b%2B%252F%2F%C3%A4%3F%23%2F%2Fx");
	assert_string_equal(gcs_xml_url(&ctx, &gcs, "p/a b+/\xc3\xa4?"),
			    "https://storage.googleapis.com/b.1/p/a%20b%2B/%C3%A4%3F");
	assert_string_equal(gcs_upload_url(&ctx, &gcs, "p/a &+", "resumable"),
			    "https://storage.googleapis.com/upload/storage/v1/b/b.1/o"
			    "?uploadType=resumable&name=p%2Fa%20%26%2B&fields=generation,size,crc32c");
}

static struct identity_value v;

static struct net_exchange_request prepared(const struct remote_request *q, const char *token)
{
	struct net_exchange_request r = { 0 };

	v.text[GCP_TOKEN] = token;
	assert_int_equal(gcs_remote_ops.prepare(&ctx, &gcs.remote, q, &v, &r), 0);
	return r;
}

static void test_tokens(void **state)
{
	const struct net_header own = { "X-Own", "1" };
	struct remote_request q = { .method = "GET", .object = "k", .query = "alt=media",
				    .headers = &own, .header_count = 1 };
	struct net_exchange_request r = prepared(&q, "T");

	(void)state;
	assert_string_equal(r.url, "https://storage.googleapis.com/storage/v1/b/b.1/o/k?alt=media");
	assert_int_equal(r.header_count, 2);
	assert_string_equal(r.headers[0].name, "X-Own");
	assert_string_equal(r.headers[1].name, "Authorization");
	assert_string_equal(r.headers[1].value, "Bearer T");

	v.text[GCP_QUOTA] = "billed";
	r = prepared(&q, "T");
	assert_int_equal(r.header_count, 3);
	assert_string_equal(r.headers[2].name, "x-goog-user-project");
	assert_string_equal(r.headers[2].value, "billed");
	assert_int_equal(prepared(&q, "").header_count, 1);
	v.text[GCP_QUOTA] = NULL;

	assert_int_equal(prepared(&q, "").header_count, 1);
	assert_int_equal(prepared(&q, NULL).header_count, 1);

	/* A session of the store itself, and one that it wants elsewhere. */
	q.query = NULL;
	q.url = "https://storage.googleapis.com/upload/x?upload_id=1";
	assert_int_equal(prepared(&q, "T").header_count, 2);
	q.query = "y=2";
	assert_string_equal(prepared(&q, "T").url,
			    "https://storage.googleapis.com/upload/x?upload_id=1&y=2");
	q.url = "https://storage.googleapis.com.evil.example/upload";
	assert_int_equal(prepared(&q, "T").header_count, 1);
	q.url = "http://storage.googleapis.com/upload";
	assert_int_equal(prepared(&q, "T").header_count, 1);
}

/* ---- what answers mean ---- */

#define JSON(code, reason, message)                                                                \
	"{\"error\":{\"code\":" #code ",\"message\":\"" message                                    \
	"\",\"errors\":[{\"domain\":\"global\",\"reason\":\"" reason "\",\"message\":\"m\"}]}}"

static const struct {
	int status;
	const char *body;
	bool object;
	enum remote_verdict verdict;
	enum error_code code; /* of refuse() */
	const char *words; /* in its message */
} answers[] = {
	{ 200, "", true, REMOTE_FINE, OK, NULL },
	{ 204, "", true, REMOTE_FINE, OK, NULL },
	{ 401, JSON(401, "authError", "Invalid Credentials"), true, REMOTE_REFRESH,
	  PERMISSION_DENIED, "credentials were refused" },
	{ 403, JSON(403, "forbidden", "x@y does not have storage.objects.get access"), true,
	  REMOTE_REFUSED, PERMISSION_DENIED, "Storage Object Admin" },
	{ 403, JSON(403, "rateLimitExceeded", "slow"), true, REMOTE_RETRY, PERMISSION_DENIED, NULL },
	{ 403, JSON(403, "quotaExceeded", "no more"), true, REMOTE_REFUSED, RESOURCE_EXHAUSTED,
	  "quota" },
	{ 403, JSON(403, "accountDisabled", "billing"), true, REMOTE_REFUSED, PERMISSION_DENIED,
	  "billing" },
	{ 403, "<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>no</Message></Error>",
	  true, REMOTE_REFUSED, PERMISSION_DENIED, "Storage Object Admin" },
	{ 404, JSON(404, "notFound", "No such object: b.1/p/k"), true, REMOTE_REFUSED,
	  RESOURCE_DOES_NOT_EXIST, "No such artifact: 'p/k'" },
	{ 404, JSON(404, "notFound", "The specified bucket does not exist."), true, REMOTE_REFUSED,
	  RESOURCE_DOES_NOT_EXIST, "bucket gs://b.1 does not exist" },
	{ 404, "Not Found", false, REMOTE_REFUSED, RESOURCE_DOES_NOT_EXIST,
	  "bucket gs://b.1 does not exist" },
	{ 404, "<Error><Code>NoSuchBucket</Code></Error>", true, REMOTE_REFUSED,
	  RESOURCE_DOES_NOT_EXIST, "bucket gs://b.1 does not exist" },
	{ 404, "<Error><Code>NoSuchUpload</Code></Error>", true, REMOTE_REFUSED,
	  RESOURCE_DOES_NOT_EXIST, "No such multipart upload" },
	{ 408, "", true, REMOTE_RETRY, TEMPORARILY_UNAVAILABLE, "again" },
	{ 412, JSON(412, "conditionNotMet", "x"), true, REMOTE_REFUSED, RESOURCE_CONFLICT,
	  "changed" },
	{ 429, JSON(429, "rateLimitExceeded", "x"), true, REMOTE_RETRY, TEMPORARILY_UNAVAILABLE,
	  "busy" },
	{ 400, JSON(400, "invalid", "Invalid bucket name"), true, REMOTE_REFUSED, INTERNAL_ERROR,
	  "HTTP 400" },
	{ 400, JSON(400, "invalid", "Provided CRC32C 'a' doesn't match calculated CRC32C 'b'."), true,
	  REMOTE_REFUSED, INTERNAL_ERROR, "damaged" },
	{ 500, "oops", true, REMOTE_RETRY, TEMPORARILY_UNAVAILABLE, "again" },
	{ 503, "", true, REMOTE_RETRY, TEMPORARILY_UNAVAILABLE, "again" },
	{ 403, "{\"error\":", true, REMOTE_REFUSED, PERMISSION_DENIED, "Storage Object Admin" },
	{ 403, "{\"error\":7}", true, REMOTE_REFUSED, PERMISSION_DENIED, "Storage Object Admin" },
	{ 403, "<Error><Code>", true, REMOTE_REFUSED, PERMISSION_DENIED, "Storage Object Admin" },
};

static void test_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		const struct remote_request q = { .method = "GET",
						  .object = answers[i].object ? "p/k" : NULL };
		const struct remote_reply got = { .reply = { .status = answers[i].status,
							     .body = answers[i].body,
							     .size = strlen(answers[i].body),
							     .failure = "" } };

		error_clear(&ctx);
		assert_int_equal(gcs_remote_ops.judge(&ctx, &gcs.remote, &q, &got.reply),
				 answers[i].verdict);
		if (!answers[i].code)
			continue;
		assert_int_equal(REFUSE(&ctx, &gcs.remote, &q, &got.reply), -1);
		if (ctx.error.code != answers[i].code ||
		    (answers[i].words && !strstr(ctx.error.message, answers[i].words)))
			fail_msg("answer %zu: %s: %s", i, error_name(ctx.error.code),
				 ctx.error.message);
		/* The store's own words are for the log. */
		assert_null(strstr(ctx.error.message, "x@y"));
		assert_non_null(ctx.error.detail);
	}
	error_clear(&ctx);
}

/* ---- what they hold ---- */

static void test_times(void **state)
{
	(void)state;
	assert_int_equal(gcs_time("2026-01-02T03:04:05.678Z"), 1767323045);
	assert_int_equal(gcs_time("2026-01-02T03:04:05Z"), 1767323045);
	assert_int_equal(gcs_time("2026-01-02T05:04:05.5+02:00"), 1767323045);
	assert_int_equal(gcs_time("2026-01-01T22:34:05-04:30"), 1767323045);
	assert_int_equal(gcs_time("yesterday"), -1);
	assert_int_equal(gcs_time(NULL), -1);
}

static void test_tags(void **state)
{
	char etag[BLOB_ETAG], crc[GCS_TAG];

	(void)state;
	gcs_etag("1360887759327000", etag);
	assert_string_equal(etag, "\"g1360887759327000\"");
	assert_string_equal(gcs_remote_ops.pin(&ctx, etag), "generation=1360887759327000");
	gcs_etag(NULL, etag);
	assert_string_equal(etag, "");
	gcs_etag("12\"", etag);
	assert_string_equal(etag, "");

	gcs_crc_text(crc32c(0, "123456789", 9), crc);
	assert_string_equal(crc, "4waSgw==");
	gcs_crc_text(0, crc);
	assert_string_equal(crc, "AAAAAA==");
}

static void test_objects(void **state)
{
	static const char good[] =
		"{\"generation\":\"17\",\"size\":\"5\",\"crc32c\":\"4waSgw==\",\"other\":[]}";
	struct gcs_object o;

	(void)state;
	assert_int_equal(gcs_object_read(&ctx, good, strlen(good), &o), 0);
	assert_string_equal(o.generation, "17");
	assert_true(o.has_size && o.has_crc && o.size == 5);
	assert_string_equal(o.crc, "4waSgw==");

	assert_int_equal(gcs_object_read(&ctx, "{}", 2, &o), 0);
	assert_true(!o.has_size && !o.has_crc && !*o.generation);
	assert_int_equal(gcs_object_read(&ctx, "{\"size\":\"-1\"}", 13, &o), 0);
	assert_false(o.has_size);

	assert_int_equal(gcs_object_read(&ctx, "[]", 2, &o), -1);
	assert_int_equal(ctx.error.code, TEMPORARILY_UNAVAILABLE);
	error_clear(&ctx);
	assert_int_equal(gcs_object_read(&ctx, "", 0, &o), -1);
	error_clear(&ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_endpoints, setup, teardown),
		cmocka_unit_test_setup_teardown(test_urls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tokens, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_times, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tags, setup, teardown),
		cmocka_unit_test_setup_teardown(test_objects, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
