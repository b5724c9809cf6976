/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Where requests to S3 go, what they say, and what answers mean: no network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../../src/blob/s3.h"
#include "base/arena.h"

#include <cmocka.h>            /* last: it defines fail() */

static const char *const settings[] = {
	"MLFLOW_S3_ENDPOINT_URL", "MLFLOW_S3_IGNORE_TLS", "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE",
	"MLFLOW_S3_EXPECTED_BUCKET_OWNER", "MLFLOW_S3_UPLOAD_EXTRA_ARGS",
	"MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION", "AWS_REGION", "AWS_DEFAULT_REGION",
	"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE", "AWS_PROFILE",
};

static struct ctx ctx;

static int begin(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		unsetenv(settings[i]);
	setenv("AWS_CONFIG_FILE", "/nonexistent/config", 1);
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials", 1);
	ctx = (struct ctx){ .arena = arena_new(16 << 20) };
	return 0;
}

static int end(void **state)
{
	(void)state;
	arena_free(ctx.arena);
	blob_shutdown();
	return 0;
}

static struct s3 *open_s3(const char *uri)
{
	struct blob *b = blob_open(&ctx, uri);

	if (!b)
		print_error("%s\n", ctx.error.message);
	assert_non_null(b);
	return (struct s3 *)b;
}

static void refused(const char *uri, const char *words)
{
	assert_null(blob_open(&ctx, uri));
	assert_int_equal(ctx.error.code, INVALID_PARAMETER_VALUE);
	if (!strstr(ctx.error.message, words))
		fail_msg("'%s' is not in '%s'", words, ctx.error.message);
	assert_null(strstr(ctx.error.message, "hunter2"));
	error_clear(&ctx);
}

static void check_place(const char *uri, const char *object, const char *host, const char *path,
                        const char *url)
{
	struct s3 *s = open_s3(uri);
	struct s3_place place;

	s3_place(&ctx, s, object, &place);
	assert_string_equal(place.host, host);
	assert_string_equal(place.path, path);
	assert_string_equal(place.url, url);
	blob_close(&s->remote.blob);
}

static void test_places_of_aws(void **state)
{
	(void)state;
	check_place("s3://buck/a", "a/b", "buck.s3.us-east-1.amazonaws.com", "/a/b",
	            "https://buck.s3.us-east-1.amazonaws.com/a/b");
	check_place("s3://buck", NULL, "buck.s3.us-east-1.amazonaws.com", "/",
	            "https://buck.s3.us-east-1.amazonaws.com/");
	setenv("AWS_DEFAULT_REGION", "eu-central-1", 1);
	/* A certificate's wildcard is for one label only. */
	check_place("s3://bu.ck", "k", "s3.eu-central-1.amazonaws.com", "/bu.ck/k",
	            "https://s3.eu-central-1.amazonaws.com/bu.ck/k");
	check_place("s3://Buck", "k", "s3.eu-central-1.amazonaws.com", "/Buck/k",
	            "https://s3.eu-central-1.amazonaws.com/Buck/k");
	setenv("AWS_REGION", "cn-north-1", 1);
	check_place("s3://buck", "k", "buck.s3.cn-north-1.amazonaws.com.cn", "/k",
	            "https://buck.s3.cn-north-1.amazonaws.com.cn/k");
	setenv("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "path", 1);
	check_place("s3://buck", NULL, "s3.cn-north-1.amazonaws.com.cn", "/buck",
	            "https://s3.cn-north-1.amazonaws.com.cn/buck");
}

static void test_places_of_an_endpoint(void **state)
{
	(void)state;
	setenv("MLFLOW_S3_ENDPOINT_URL", "HTTP://Store.Example:80/", 1);
	check_place("s3://buck", "k", "store.example", "/buck/k", "http://store.example/buck/k");
	setenv("MLFLOW_S3_ENDPOINT_URL", "https://store.example:8443/Base//", 1);
	check_place("s3://buck", "k", "store.example:8443", "/Base/buck/k",
	            "https://store.example:8443/Base/buck/k");
	setenv("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "virtual", 1);
	check_place("s3://buck", "k", "buck.store.example:8443", "/Base/k",
	            "https://buck.store.example:8443/Base/k");
	/* There is no host "buck.127.0.0.1". */
	setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:9000", 1);
	check_place("s3://buck", "k", "127.0.0.1:9000", "/buck/k", "http://127.0.0.1:9000/buck/k");
	setenv("MLFLOW_S3_ENDPOINT_URL", "http://[::1]:9000", 1);
	check_place("s3://buck", "k", "[::1]:9000", "/buck/k", "http://[::1]:9000/buck/k");
	unsetenv("MLFLOW_S3_ENDPOINT_URL");
	setenv("AWS_ENDPOINT_URL_S3", "http://other.example", 1);
	check_place("s3://buck", "k", "buck.other.example", "/k", "http://buck.other.example/k");
}

static void test_encoding(void **state)
{
	static const struct {
		const char *object, *path;
	} cases[] = {
		{ "a b", "/buck/a%20b" },
		{ "a+b", "/buck/a%2Bb" },
		{ "100%25", "/buck/100%2525" },
		{ "a//b/../c/./d/", "/buck/a//b/../c/./d/" },
		{ "-._~", "/buck/-._~" },
		{ "!*'();:@&=$,?#[]", "/buck/%21%2A%27%28%29%3B%3A%40%26%3D%24%2C%3F%23%5B%5D" },
		{ "\xc3\xa9\x01\x7f", "/buck/%C3%A9%01%7F" },
	};

	(void)state;
	setenv("MLFLOW_S3_ENDPOINT_URL", "http://h:1", 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_place("s3://buck", cases[i].object, "h:1", cases[i].path,
		            arena_printf(ctx.arena, "http://h:1%s", cases[i].path));
}

static void test_wrong_settings(void **state)
{
	(void)state;
	refused("s3://", "names no bucket");
	refused("s3:///k", "names no bucket");
	refused("s3://b", "bucket name");
	refused("s3://user:hunter2@buck/k", "'@' where the bucket's name");
	refused("s3://bucket/../c", "segments");
	refused("s3://bucket/a//b", "segments");
	refused("s3://buck:80/k", "bucket name");
	refused("s3://..hidden/k", "bucket name");
	refused("s3://arn:aws:s3:us-west-2:1:accesspoint", "ARNs");
	refused("s3://buck/k?x=1", "without '?'");
	refused("s3://buck/k\nx", "Invalid artifact location");
	setenv("MLFLOW_S3_ENDPOINT_URL", "store.example", 1);
	refused("s3://buck", "MLFLOW_S3_ENDPOINT_URL");
	setenv("MLFLOW_S3_ENDPOINT_URL", "ftp://store.example", 1);
	refused("s3://buck", "MLFLOW_S3_ENDPOINT_URL");
	setenv("MLFLOW_S3_ENDPOINT_URL", "http://user:pass@store.example", 1);
	refused("s3://buck", "MLFLOW_S3_ENDPOINT_URL");
	unsetenv("MLFLOW_S3_ENDPOINT_URL");
	setenv("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "hosted", 1);
	refused("s3://buck", "'auto', 'virtual' or 'path'");
	unsetenv("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE");
	setenv("MLFLOW_S3_IGNORE_TLS", "yes", 1);
	refused("s3://buck", "MLFLOW_S3_IGNORE_TLS");
	unsetenv("MLFLOW_S3_IGNORE_TLS");
	setenv("AWS_REGION", "evil.example/", 1);
	refused("s3://buck", "region");
	unsetenv("AWS_REGION");
	setenv("MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION", "s3", 1);
	refused("s3://buck", "'s3v4' or 'unsigned'");
	unsetenv("MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION");
	setenv("MLFLOW_S3_UPLOAD_EXTRA_ARGS", "[]", 1);
	refused("s3://buck", "no JSON object");
	setenv("MLFLOW_S3_UPLOAD_EXTRA_ARGS", "{\"NoSuchArg\": \"x\"}", 1);
	refused("s3://buck", "'NoSuchArg'");
	setenv("MLFLOW_S3_UPLOAD_EXTRA_ARGS", "{\"ACL\": \"a\\r\\nx: y\"}", 1);
	refused("s3://buck", "printable ASCII");
	setenv("MLFLOW_S3_UPLOAD_EXTRA_ARGS", "{\"Metadata\": {\"a b\": \"x\"}}", 1);
	refused("s3://buck", "Metadata");
	setenv("MLFLOW_S3_UPLOAD_EXTRA_ARGS", "{\"ACL\": {}}", 1);
	refused("s3://buck", "the value of ACL is no text");
}

static const char *extra(const struct s3 *s, const char *name)
{
	for (size_t i = 0; i < s->extra_count; i++) {
		if (!strcasecmp(s->extra[i].name, name))
			return s->extra[i].value;
	}
	return "";
}

static void test_extra_args(void **state)
{
	const struct net_header *customer;
	struct s3 *s;
	size_t n;

	(void)state;
	setenv("MLFLOW_S3_UPLOAD_EXTRA_ARGS",
	       "{\"ServerSideEncryption\": \"aws:kms\", \"SSEKMSKeyId\": \"k-1\", \"BucketKeyEnabled\": true,"
	       " \"ContentType\": \"text/x\", \"Metadata\": {\"Team\": \"a b\"},"
	       " \"ChecksumAlgorithm\": \"CRC32C\", \"SSECustomerAlgorithm\": \"AES256\","
	       " \"SSECustomerKey\": \"0123456789abcdef0123456789abcdef\"}", 1);
	s = open_s3("s3://buck");
	assert_int_equal(s->extra_count, 8);
	assert_string_equal(extra(s, "x-amz-server-side-encryption"), "aws:kms");
	assert_string_equal(extra(s, "x-amz-server-side-encryption-aws-kms-key-id"), "k-1");
	assert_string_equal(extra(s, "x-amz-server-side-encryption-bucket-key-enabled"), "true");
	assert_string_equal(extra(s, "content-type"), "text/x");
	assert_string_equal(extra(s, "x-amz-meta-team"), "a b");
	/* As boto3 sends this key: printf %s ... | base64; | openssl md5 -binary | base64 */
	assert_string_equal(extra(s, "x-amz-server-side-encryption-customer-key"),
	                    "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
	assert_string_equal(extra(s, "x-amz-server-side-encryption-customer-key-md5"),
	                    "hRasmdxgYDKV3nvbahU1MA==");
	customer = s3_customer_key(&ctx, s, &n);
	assert_int_equal(n, 3);
	for (size_t i = 0; i < n; i++)
		assert_non_null(strstr(customer[i].name, "-customer-"));
	blob_close(&s->remote.blob);
}

static const char *header_of(const struct net_exchange_request *r, const char *name)
{
	for (size_t i = 0; i < r->header_count; i++) {
		if (!strcasecmp(r->headers[i].name, name))
			return r->headers[i].value;
	}
	return NULL;
}

static void test_requests(void **state)
{
	const struct net_header range = { "Range", "bytes=0-1" };
	const struct remote_request q = { .method = "GET", .object = "a b", .query = "x=1",
		                          .headers = &range, .header_count = 1 };
	const struct identity_value v = { .text = { "AKID", "SECRET", "TOKEN" } };
	const struct identity_value none = { 0 };
	const struct net_header owner = { "X-Amz-Expected-Bucket-Owner", "other" };
	const struct remote_request owned = { .method = "PUT", .object = "k", .headers = &owner,
		                              .header_count = 1 };
	struct net_exchange_request r = { 0 };
	struct s3 *s;

	(void)state;
	setenv("MLFLOW_S3_ENDPOINT_URL", "http://h:1", 1);
	setenv("MLFLOW_S3_EXPECTED_BUCKET_OWNER", "111122223333", 1);
	setenv("MLFLOW_S3_IGNORE_TLS", "TRUE", 1);
	setenv("AWS_CA_BUNDLE", "/some/ca.pem", 1);
	s = open_s3("s3://buck");
	assert_int_equal(s3_remote_ops.prepare(&ctx, &s->remote, &q, &v, &r), 0);
	assert_string_equal(r.url, "http://h:1/buck/a%20b?x=1");
	assert_string_equal(header_of(&r, "x-amz-content-sha256"), "UNSIGNED-PAYLOAD");
	assert_string_equal(header_of(&r, "x-amz-security-token"), "TOKEN");
	assert_string_equal(header_of(&r, "x-amz-expected-bucket-owner"), "111122223333");
	assert_string_equal(header_of(&r, "range"), "bytes=0-1");
	assert_non_null(strstr(header_of(&r, "authorization"), "/us-east-1/s3/aws4_request"));
	assert_non_null(strstr(header_of(&r, "authorization"), "x-amz-expected-bucket-owner"));
	assert_null(strstr(header_of(&r, "authorization"), "SECRET"));
	assert_string_equal(r.ca_file, "/some/ca.pem");
	assert_int_equal(r.flags, NET_INSECURE_TLS);
	r = (struct net_exchange_request){ 0 };
	assert_int_equal(s3_remote_ops.prepare(&ctx, &s->remote, &owned, &v, &r), 0);
	assert_string_equal(header_of(&r, "x-amz-expected-bucket-owner"), "other");
	assert_null(strstr(r.headers[1].name, "owner"));
	r = (struct net_exchange_request){ 0 };
	assert_int_equal(s3_remote_ops.prepare(&ctx, &s->remote, &q, &none, &r), 0);
	assert_null(header_of(&r, "authorization"));
	assert_string_equal(header_of(&r, "range"), "bytes=0-1");
	blob_close(&s->remote.blob);
	setenv("MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION", "UNSIGNED", 1);
	s = open_s3("s3://buck");
	assert_null(s->remote.identity);
	blob_close(&s->remote.blob);
}

/* ---- answers ---- */

static struct remote_reply reply_of(int status, const char *code, const char *more)
{
	const char *body = !code ? "" : arena_printf(ctx.arena,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code>"
		"<Message>the store's words</Message><RequestId>RID</RequestId>%s</Error>", code, more);

	return (struct remote_reply){ .reply = { .status = status, .body = body,
		                                 .size = strlen(body), .content_length = -1 } };
}

static void test_answers(void **state)
{
	static const struct {
		const char *method;
		int status;
		const char *code;
		enum remote_verdict verdict;
		enum error_code error;
		const char *words;
	} cases[] = {
		{ "GET", 404, "NoSuchKey", REMOTE_REFUSED, RESOURCE_DOES_NOT_EXIST, "'dir/file'" },
		{ "GET", 404, "NoSuchBucket", REMOTE_REFUSED, RESOURCE_DOES_NOT_EXIST, "bucket 'buck'" },
		{ "GET", 404, "XAdminUserNotFound", REMOTE_REFRESH, PERMISSION_DENIED, "access key id" },
		{ "GET", 404, "SomethingElse", REMOTE_REFUSED, INTERNAL_ERROR, "404 SomethingElse" },
		{ "HEAD", 404, NULL, REMOTE_REFUSED, RESOURCE_DOES_NOT_EXIST, "'dir/file'" },
		{ "GET", 403, "AccessDenied", REMOTE_REFUSED, PERMISSION_DENIED, "policies" },
		{ "HEAD", 403, NULL, REMOTE_REFUSED, PERMISSION_DENIED, "denied" },
		{ "GET", 403, "InvalidAccessKeyId", REMOTE_REFRESH, PERMISSION_DENIED, "access key id" },
		{ "GET", 403, "SignatureDoesNotMatch", REMOTE_REFUSED, PERMISSION_DENIED, "secret access" },
		{ "GET", 400, "ExpiredToken", REMOTE_REFRESH, PERMISSION_DENIED, "expired" },
		{ "HEAD", 400, NULL, REMOTE_REFRESH, INTERNAL_ERROR, "(400)" },
		{ "GET", 403, "RequestTimeTooSkewed", REMOTE_REFUSED, INTERNAL_ERROR, "clock" },
		{ "GET", 400, "AuthorizationHeaderMalformed", REMOTE_REFUSED, INTERNAL_ERROR, "AWS_REGION" },
		{ "GET", 301, "PermanentRedirect", REMOTE_REFUSED, INTERNAL_ERROR, "AWS_REGION" },
		{ "GET", 503, "SlowDown", REMOTE_RETRY, TEMPORARILY_UNAVAILABLE, "overloaded" },
		{ "GET", 500, "InternalError", REMOTE_RETRY, TEMPORARILY_UNAVAILABLE, "trouble" },
		{ "GET", 502, NULL, REMOTE_RETRY, TEMPORARILY_UNAVAILABLE, "trouble" },
		{ "GET", 429, NULL, REMOTE_RETRY, TEMPORARILY_UNAVAILABLE, "trouble" },
		{ "PUT", 400, "RequestTimeout", REMOTE_RETRY, TEMPORARILY_UNAVAILABLE, "waiting" },
		{ "PUT", 400, "BadDigest", REMOTE_RETRY, TEMPORARILY_UNAVAILABLE, "altered" },
		{ "PUT", 507, "XMinioStorageFull", REMOTE_REFUSED, INSUFFICIENT_STORAGE, "full" },
		{ "PUT", 507, NULL, REMOTE_REFUSED, INSUFFICIENT_STORAGE, "full" },
		{ "PUT", 501, NULL, REMOTE_REFUSED, NOT_IMPLEMENTED, "support" },
		{ "PUT", 400, "KMS.DisabledException", REMOTE_REFUSED, PERMISSION_DENIED, "KMS.Disabled" },
		{ "GET", 403, "InvalidObjectState", REMOTE_REFUSED, INVALID_STATE, "archived" },
		{ "GET", 403, "Evil\nCode", REMOTE_REFUSED, PERMISSION_DENIED, "denied" },
	};
	struct s3 *s;

	(void)state;
	setenv("MLFLOW_S3_ENDPOINT_URL", "http://h:1", 1);
	s = open_s3("s3://buck/pre");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct remote_reply reply = reply_of(cases[i].status, cases[i].code, "");
		const struct remote_request q = { .method = cases[i].method, .object = "pre/dir/file" };

		assert_int_equal(s3_remote_ops.judge(&ctx, &s->remote, &q, &reply.reply),
		                 cases[i].verdict);
		assert_int_equal(ctx.error.code, OK);
		assert_int_equal(s3_remote_ops.refuse(&ctx, &s->remote, &q, &reply.reply), -1);
		if (ctx.error.code != cases[i].error || !strstr(ctx.error.message, cases[i].words))
			fail_msg("%d %s: %s: %s", cases[i].status, cases[i].code ? cases[i].code : "",
			         error_name(ctx.error.code), ctx.error.message);
		/* The store's own words are for the log. */
		assert_null(strstr(ctx.error.message, "the store's words"));
		if (cases[i].code && !strchr(cases[i].code, '\n')) {
			assert_non_null(strstr(ctx.error.detail, "the store's words"));
			assert_non_null(strstr(ctx.error.detail, "store_request_id=RID"));
		}
		error_clear(&ctx);
	}
	blob_close(&s->remote.blob);
}

static void test_regions(void **state)
{
	const struct remote_request get = { .method = "GET", .object = "k" };
	const struct remote_request head = { .method = "HEAD", .object = "k" };
	struct remote_reply wrong = reply_of(400, "AuthorizationHeaderMalformed",
	                                     "<Region>eu-west-1</Region>");
	struct remote_reply evil = reply_of(400, "AuthorizationHeaderMalformed",
	                                    "<Region>evil.example/</Region>");
	struct remote_reply bare = reply_of(400, NULL, "");
	struct s3 *s;

	(void)state;
	s = open_s3("s3://buck");
	assert_int_equal(s3_remote_ops.judge(&ctx, &s->remote, &get, &evil.reply), REMOTE_REFUSED);
	assert_string_equal(s3_region(s), "us-east-1");
	assert_int_equal(s3_remote_ops.judge(&ctx, &s->remote, &get, &wrong.reply), REMOTE_MOVED);
	assert_string_equal(s3_region(s), "eu-west-1");
	/* A HEAD says it in a header; once it is known, 400 has another reason. */
	bare.headers[bare.header_count++] = (struct net_header){ "x-amz-bucket-region", "eu-west-2" };
	assert_int_equal(s3_remote_ops.judge(&ctx, &s->remote, &head, &bare.reply), REMOTE_MOVED);
	assert_string_equal(s3_region(s), "eu-west-2");
	assert_int_equal(s3_remote_ops.judge(&ctx, &s->remote, &head, &bare.reply), REMOTE_REFRESH);
	blob_close(&s->remote.blob);

	setenv("MLFLOW_S3_ENDPOINT_URL", "http://h:1", 1);
	s = open_s3("s3://buck");
	assert_int_equal(s3_remote_ops.judge(&ctx, &s->remote, &get, &wrong.reply), REMOTE_REFUSED);
	assert_string_equal(s3_region(s), "us-east-1");
	assert_int_equal(s3_remote_ops.refuse(&ctx, &s->remote, &get, &wrong.reply), -1);
	assert_non_null(strstr(ctx.error.message, "'eu-west-1'"));
	error_clear(&ctx);
	blob_close(&s->remote.blob);
}

static void test_clock(void **state)
{
	const struct remote_request get = { .method = "GET", .object = "k" };
	const struct remote_request head = { .method = "HEAD", .object = "k" };
	struct remote_reply skewed = reply_of(403, "RequestTimeTooSkewed", "");
	struct remote_reply bare = reply_of(403, NULL, "");
	char date[64];
	time_t there = time(NULL) + 7200;
	struct tm tm;
	struct s3 *s = open_s3("s3://buck");

	(void)state;
	gmtime_r(&there, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	assert_int_equal(remote_date(date), there);
	bare.headers[bare.header_count++] = (struct net_header){ "Date", date };
	skewed.headers[skewed.header_count++] = (struct net_header){ "Date", date };
	assert_int_equal(s3_remote_ops.judge(&ctx, &s->remote, &head, &bare.reply), REMOTE_MOVED);
	assert_true(s3_now(s) - there < 5 && there - s3_now(s) < 5);
	/* Learnt already: a second time it is no reason to try again. */
	assert_int_equal(s3_remote_ops.judge(&ctx, &s->remote, &head, &bare.reply), REMOTE_REFUSED);
	blob_close(&s->remote.blob);
	s = open_s3("s3://buck");
	assert_int_equal(s3_remote_ops.judge(&ctx, &s->remote, &get, &skewed.reply), REMOTE_MOVED);
	assert_true(s3_now(s) - there < 5 && there - s3_now(s) < 5);
	blob_close(&s->remote.blob);
}

static void test_small_things(void **state)
{
	char etag[BLOB_ETAG];

	(void)state;
	remote_etag("\"abc-2\"", etag);
	assert_string_equal(etag, "\"abc-2\"");
	remote_etag("abc", etag);
	assert_string_equal(etag, "\"abc\"");
	remote_etag("W/\"abc\"", etag);
	assert_string_equal(etag, "");
	remote_etag("\"a\"b\"", etag);
	assert_string_equal(etag, "");
	remote_etag(NULL, etag);
	assert_string_equal(etag, "");
	remote_etag("\"0123456789012345678901234567890123456789012345678901234567890123456789012345678\"",
	            etag);
	assert_string_equal(etag, "");
	assert_int_equal(remote_date("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777);
	assert_int_equal(remote_date("yesterday"), -1);
	assert_int_equal(remote_date(NULL), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_places_of_aws, begin, end),
		cmocka_unit_test_setup_teardown(test_places_of_an_endpoint, begin, end),
		cmocka_unit_test_setup_teardown(test_encoding, begin, end),
		cmocka_unit_test_setup_teardown(test_wrong_settings, begin, end),
		cmocka_unit_test_setup_teardown(test_extra_args, begin, end),
		cmocka_unit_test_setup_teardown(test_requests, begin, end),
		cmocka_unit_test_setup_teardown(test_answers, begin, end),
		cmocka_unit_test_setup_teardown(test_regions, begin, end),
		cmocka_unit_test_setup_teardown(test_clock, begin, end),
		cmocka_unit_test_setup_teardown(test_small_things, begin, end),
	};

	net_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
