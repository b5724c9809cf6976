/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Looking and removing, where real stores do not show all that may happen. */
#include "fault_store.h"

#include "base/buf.h"

#define NOT_FOUND_HEAD { .status = 404 }
#define NOTHING { .status = 200, .body = "<ListBucketResult></ListBucketResult>" }

static struct blob *blob(void)
{
	return &store->remote.blob;
}

static int add(struct ctx *c, void *arg, const struct blob_entry *e)
{
	(void)c;
	buf_addf(arg, "%s%s:%d ", e->directory ? "d:" : "", e->name, (int)e->size);
	return 0;
}

static void test_list(void **state)
{
	struct buf seen = BUF(ctx.arena, 4096);

	(void)state;
	/* Two pages; the directory itself, names that are none, and one that is no UTF-8 are not shown. */
	SCRIPT({ .status = 200, .body =
		"<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
		"<NextContinuationToken>a+b/=</NextContinuationToken>"
		"<Contents><Key>pre/dir/</Key><Size>0</Size></Contents>"
		"<Contents><Key>pre/dir/z+z%2B</Key><Size>7</Size></Contents>"
		"<Contents><Key>pre/dir/%FF</Key><Size>7</Size></Contents>"
		"<Contents><Key>pre/dir/..</Key><Size>7</Size></Contents>"
		"<CommonPrefixes><Prefix>pre/dir/m/</Prefix></CommonPrefixes>"
		"<CommonPrefixes><Prefix>pre/dir//</Prefix></CommonPrefixes></ListBucketResult>" },
	       { .status = 200, .body =
		"<ListBucketResult><Contents><Key>pre/dir/a%41</Key><Size>3</Size></Contents>"
		"<Contents><Key>pre/dir/m</Key><Size>4</Size></Contents></ListBucketResult>" });
	assert_int_equal(blob_list(&ctx, blob(), "dir", add, &seen), 1);
	/* The second page does not say that its keys are encoded. */
	assert_string_equal(buf_text(&seen), "a%41:3 d:m:0 m:4 z z+:7 ");
	assert_true(asked(0, "prefix=pre%2Fdir%2F&delimiter=%2F HTTP"));
	assert_true(asked(1, "&continuation-token=a%2Bb%2F%3D HTTP"));
}

static void test_list_of_nothing(void **state)
{
	struct buf seen = BUF(ctx.arena, 4096);

	(void)state;
	SCRIPT(NOTHING);
	assert_int_equal(blob_list(&ctx, blob(), "dir", add, &seen), 0);
	assert_int_equal(blob_list(&ctx, blob(), "", add, &seen), 1);
	/* An empty directory that somebody marked is there. */
	static const struct step marked[] = { { .status = 200, .body =
		"<ListBucketResult><Contents><Key>pre/dir/</Key></Contents></ListBucketResult>" } };

	script(marked, 1);
	assert_int_equal(blob_list(&ctx, blob(), "dir", add, &seen), 1);
	assert_string_equal(buf_text(&seen), "");
}

static void test_stat_asks_why(void **state)
{
	struct blob_info info;

	(void)state;
	SCRIPT({ .status = 403 }, { .status = 403, .body = ERROR_BODY("SignatureDoesNotMatch") });
	assert_int_equal(blob_stat(&ctx, blob(), "obj", &info), -1);
	failed(PERMISSION_DENIED, "secret access key");
	error_clear(&ctx);
	/* The list knows what was wrong, and that it is put right. */
	static const struct step learns[] = {
		{ .status = 403 }, { .status = 403, .body = ERROR_BODY("InvalidTokenId") }, NOTHING,
		{ .status = 200 },
	};

	script(learns, 4);
	assert_int_equal(blob_stat(&ctx, blob(), "obj", &info), 1);
	assert_int_equal(atomic_load(&server.count), 4);
	/* It may be just this object. */
	static const struct step just_this[] = { { .status = 403 }, NOTHING, { .status = 403 } };

	script(just_this, 3);
	assert_int_equal(blob_stat(&ctx, blob(), "obj", &info), -1);
	failed(PERMISSION_DENIED, "denied access");
}

#define PAGE                                                                                       \
	{ .status = 200, .body =                                                                    \
		"<ListBucketResult><EncodingType>url</EncodingType>"                                \
		"<Contents><Key>pre/dir/a%3C%26</Key><Size>10</Size></Contents>"                    \
		"<Contents><Key>pre/dir/b</Key><Size>200</Size></Contents>"                         \
		"<Contents><Key>pre/dir/c%01</Key><Size>3000</Size></Contents></ListBucketResult>" }

static void test_remove(void **state)
{
	uint64_t bytes = 1;

	(void)state;
	SCRIPT(NOT_FOUND_HEAD, PAGE, { .status = 204 },
	       { .status = 200, .body = "<DeleteResult><Deleted><Key>pre/dir/b</Key></Deleted><Error>"
	                                "<Key>pre/dir/a&lt;&amp;</Key><Code>InternalError</Code></Error>"
	                                "</DeleteResult>" },
	       { .status = 200, .body = "<DeleteResult/>" });
	assert_int_equal(blob_remove(&ctx, blob(), "dir", &bytes), 1);
	assert_int_equal(bytes, 3211);
	assert_int_equal(atomic_load(&server.count), 5);
	/* A name that XML cannot say goes by itself. */
	assert_true(asked(2, "DELETE /buck/pre/dir/c%01 "));
	assert_true(asked(3, "POST /buck?delete= "));
	assert_true(asked(3, "<Key>pre/dir/a&#60;&#38;</Key>"));
	assert_true(asked(3, "<Key>pre/dir/b</Key>"));
	assert_true(asked(3, "\r\ncontent-md5: "));
	assert_true(asked(3, "\r\nx-amz-checksum-crc32c: "));
	/* Only what failed, and may not fail again, is asked for again. */
	assert_true(asked(4, "<Key>pre/dir/a&#60;&#38;</Key>"));
	assert_false(asked(4, "<Key>pre/dir/b</Key>"));
}

static void test_remove_fails_for_one(void **state)
{
	uint64_t bytes = 0;

	(void)state;
	SCRIPT(NOT_FOUND_HEAD, PAGE, { .status = 204 },
	       { .status = 200, .body = "<DeleteResult><Error><Key>pre/dir/b</Key>"
	                                "<Code>AccessDenied</Code><Message>locked</Message></Error>"
	                                "</DeleteResult>" });
	assert_int_equal(blob_remove(&ctx, blob(), "dir", &bytes), -1);
	failed(PERMISSION_DENIED, "policies");
	assert_non_null(strstr(ctx.error.detail, "locked"));
	/* What is gone is counted nevertheless. */
	assert_int_equal(bytes, 3010);
	assert_int_equal(atomic_load(&server.count), 4);
}

static void test_remove_of_nothing(void **state)
{
	uint64_t bytes = 0;

	(void)state;
	SCRIPT(NOT_FOUND_HEAD, NOTHING);
	assert_int_equal(blob_remove(&ctx, blob(), "dir", &bytes), 0);
	assert_int_equal(bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_list),
		TEST(test_list_of_nothing),
		TEST(test_stat_asks_why),
		TEST(test_remove),
		TEST(test_remove_fails_for_one),
		TEST(test_remove_of_nothing),
	};

	net_init();
	return cmocka_run_group_tests(tests, start, stop);
}
