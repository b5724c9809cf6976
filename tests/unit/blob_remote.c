/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Calls of remote stores: what is tried again, how often, and what is not. */
#include "fault_store.h"

/* Gets the object by a call of its own; how many bytes came. */
static int get(size_t *n)
{
	const struct remote_request q = { .method = "GET", .object = "pre/obj" };
	struct remote_reply reply;
	int rc = remote_perform(&ctx, &store->remote, &q, &reply);

	*n = reply.reply.size;
	return rc;
}

static void test_tried_again(void **state)
{
	struct blob_info info;

	(void)state;
	SCRIPT(SLOW, { .status = 500 }, { .status = 200, .headers = "ETag: \"x\"\r\n" });
	assert_int_equal(blob_stat(&ctx, &store->remote.blob, "obj", &info), 1);
	assert_string_equal(info.etag, "\"x\"");
	assert_int_equal(atomic_load(&server.count), 3);
	assert_true(asked(0, "HEAD /buck/pre/obj HTTP/1.1\r\n"));
}

static void test_names_are_not_tidied_up(void **state)
{
	const struct remote_request q = { .method = "GET", .object = "x//../y/./z+ %/" };
	struct remote_reply reply;

	(void)state;
	SCRIPT({ .status = 200 });
	assert_int_equal(remote_perform(&ctx, &store->remote, &q, &reply), 0);
	assert_true(asked(0, "GET /buck/x//../y/./z%2B%20%25/ HTTP/1.1\r\n"));
}

static void test_tries_are_bounded(void **state)
{
	struct blob_info info;

	(void)state;
	SCRIPT(SLOW);
	assert_int_equal(blob_stat(&ctx, &store->remote.blob, "obj", &info), -1);
	failed(TEMPORARILY_UNAVAILABLE, "store");
	assert_int_equal(atomic_load(&server.count), REMOTE_TRIES);
}

static void test_connections_that_break(void **state)
{
	struct blob_info info;

	(void)state;
	SCRIPT({ .status = -1 }, { .status = -1, .after = RESET }, { .status = 200 });
	assert_int_equal(blob_stat(&ctx, &store->remote.blob, "obj", &info), 1);
	assert_int_equal(atomic_load(&server.count), 3);
}

static void test_answers_that_break(void **state)
{
	struct blob_info info;

	(void)state;
	/* A page of a list that ends early is asked for again, whole. */
	SCRIPT({ .status = 404 }, { .cut = 100, .after = RESET },
	       { .status = 200, .body = "<ListBucketResult><Contents><Key>pre/obj/a</Key></Contents>"
	                                "</ListBucketResult>" });
	assert_int_equal(blob_stat(&ctx, &store->remote.blob, "obj", &info), 1);
	assert_true(info.directory);
	assert_int_equal(atomic_load(&server.count), 3);
}

static void test_refusals_are_final(void **state)
{
	size_t n;

	(void)state;
	SCRIPT({ .status = 403, .body = ERROR_BODY("AccessDenied") });
	assert_int_equal(get(&n), -1);
	failed(PERMISSION_DENIED, "credentials");
	assert_int_equal(atomic_load(&server.count), 1);
}

static void test_retry_after(void **state)
{
	struct blob_info info;
	int64_t begun = clock_ms();

	(void)state;
	SCRIPT({ .status = 503, .headers = "Retry-After: 1\r\n" },
	       { .status = 429, .headers = "Retry-After: 3600\r\n" });
	assert_int_equal(blob_stat(&ctx, &store->remote.blob, "obj", &info), -1);
	failed(TEMPORARILY_UNAVAILABLE, "store");
	/* The first is waited for; the second is longer than anybody would. */
	assert_int_equal(atomic_load(&server.count), 2);
	assert_in_range(clock_ms() - begun, 950, 5000);
}

static void test_credentials_refused(void **state)
{
	size_t n;

	(void)state;
	SCRIPT({ .status = 400, .body = ERROR_BODY("ExpiredToken") },
	       { .status = 400, .body = ERROR_BODY("ExpiredToken") }, { 0 });
	assert_int_equal(get(&n), -1);
	failed(PERMISSION_DENIED, "expired");
	assert_int_equal(atomic_load(&server.count), 2);
}

static void test_credentials_replaced(void **state)
{
	size_t n;

	(void)state;
	SCRIPT({ 0 }, { .status = 403, .body = ERROR_BODY("InvalidAccessKeyId") }, { 0 });
	assert_int_equal(get(&n), 0);
	setenv("AWS_ACCESS_KEY_ID", "AKNEW", 1);
	assert_int_equal(get(&n), 0);
	assert_int_equal(n, OBJECT);
	assert_true(asked(1, "Credential=AKID/"));
	assert_true(asked(2, "Credential=AKNEW/"));
	setenv("AWS_ACCESS_KEY_ID", "AKID", 1);
}

static void test_clock_is_learnt(void **state)
{
	size_t n;

	(void)state;
	SCRIPT({ .status = 403, .headers = "Date: Wed, 01 Jan 2098 00:00:30 GMT\r\n",
	         .body = ERROR_BODY("RequestTimeTooSkewed") }, { 0 });
	assert_int_equal(get(&n), 0);
	assert_int_equal(n, OBJECT);
	assert_true(asked(1, "x-amz-date: 20980101T0000"));
}

static void test_lists_that_never_end(void **state)
{
	(void)state;
	SCRIPT({ .status = 200, .body = "<ListBucketResult><IsTruncated>true</IsTruncated>"
	                                "<NextContinuationToken>t</NextContinuationToken>"
	                                "</ListBucketResult>" });
	assert_int_equal(blob_list(&ctx, &store->remote.blob, "dir", NULL, NULL), -1);
	failed(TEMPORARILY_UNAVAILABLE, "continuation token");
	assert_int_equal(atomic_load(&server.count), 2);
}

static void test_no_s3(void **state)
{
	(void)state;
	SCRIPT({ .status = 200, .body = "<html><body>Welcome to nginx!<hr></body></html>" });
	assert_int_equal(blob_list(&ctx, &store->remote.blob, "dir", NULL, NULL), -1);
	failed(TEMPORARILY_UNAVAILABLE, "MLFLOW_S3_ENDPOINT_URL");
}

static int write_five(const struct remote_request *q, struct remote_call **k)
{
	struct net_head head;
	size_t taken = 0;
	int rc = remote_call_begin(&ctx, &store->remote, q, ready, k);

	while (!rc && !taken) {
		rc = remote_call_write(&ctx, *k, "12345", 5, &taken);
		if (rc == BLOB_AGAIN) {
			await();
			rc = 0;
		}
	}
	while (!rc && (rc = remote_call_head(&ctx, *k, &head)) == BLOB_AGAIN) {
		await();
		rc = 0;
	}
	return rc;
}

static void test_taken_bodies_are_not_sent_again(void **state)
{
	const struct remote_request q = { .method = "PUT", .object = "o", .written = true, .body_size = 5 };
	struct remote_call *k = NULL;

	(void)state;
	SCRIPT(SLOW, { .status = 200 });
	assert_int_equal(write_five(&q, &k), -1);
	failed(TEMPORARILY_UNAVAILABLE, "overloaded");
	assert_true(remote_call_broke(k));
	assert_int_equal(remote_call_status(k), 503);
	remote_call_close(k);
	assert_int_equal(atomic_load(&server.count), 1);
	assert_true(asked(0, "\r\n\r\n12345"));
}

static void test_bodies_are_sent_again(void **state)
{
	const struct remote_request q = { .method = "PUT", .object = "o", .body = "12345", .size = 5 };
	struct remote_reply reply;

	(void)state;
	SCRIPT(SLOW, { .status = -1, .after = RESET }, { .status = 200 });
	assert_int_equal(remote_perform(&ctx, &store->remote, &q, &reply), 0);
	assert_true(reply.broke);
	assert_int_equal(atomic_load(&server.count), 3);
	for (unsigned i = 0; i < 3; i++)
		assert_true(asked(i, "\r\n\r\n12345"));
}

static void test_no_retry(void **state)
{
	const struct remote_request q = { .method = "PUT", .object = "o", .body = "12345", .size = 5,
		                          .no_retry = true };
	struct remote_reply reply;

	(void)state;
	SCRIPT(SLOW);
	assert_int_equal(remote_perform(&ctx, &store->remote, &q, &reply), -1);
	assert_int_equal(reply.reply.status, 503);
	assert_true(reply.broke);
	assert_int_equal(atomic_load(&server.count), 1);
}

static void test_wanted_statuses(void **state)
{
	static const short also[] = { 404, 0 };
	const struct remote_request q = { .method = "DELETE", .object = "o", .also = also };
	struct remote_reply reply;

	(void)state;
	SCRIPT({ .status = 404, .body = ERROR_BODY("NoSuchUpload") },
	       { .status = 404, .body = ERROR_BODY("XAdminUserNotFound") });
	assert_int_equal(remote_perform(&ctx, &store->remote, &q, &reply), 0);
	assert_int_equal(reply.reply.status, 404);
	assert_non_null(strstr(reply.reply.body, "NoSuchUpload"));
	/* Not every 404 is about the object. */
	assert_int_equal(remote_perform(&ctx, &store->remote, &q, &reply), -1);
	failed(PERMISSION_DENIED, "access key id");
}

static void test_forgotten_calls(void **state)
{
	char body[] = "gone soon";
	const struct remote_request q = { .method = "DELETE", .object = "o", .body = body,
		                          .size = sizeof(body) - 1 };

	(void)state;
	SCRIPT(SLOW, { .status = 204 });
	remote_call_forget(&store->remote, &q);
	memset(body, 'x', sizeof(body));
	/* Closing waits for it. */
	blob_close(&store->remote.blob);
	assert_int_equal(atomic_load(&server.count), 2);
	assert_true(asked(1, "DELETE /buck/o "));
	assert_true(asked(1, "gone soon"));
	store = (struct s3 *)blob_open(&ctx, "s3://buck/pre");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_tried_again),
		TEST(test_names_are_not_tidied_up),
		TEST(test_tries_are_bounded),
		TEST(test_connections_that_break),
		TEST(test_answers_that_break),
		TEST(test_refusals_are_final),
		TEST(test_retry_after),
		TEST(test_credentials_refused),
		TEST(test_credentials_replaced),
		TEST(test_clock_is_learnt),
		TEST(test_lists_that_never_end),
		TEST(test_no_s3),
		TEST(test_taken_bodies_are_not_sent_again),
		TEST(test_bodies_are_sent_again),
		TEST(test_no_retry),
		TEST(test_wanted_statuses),
		TEST(test_forgotten_calls),
	};

	net_init();
	return cmocka_run_group_tests(tests, start, stop);
}
