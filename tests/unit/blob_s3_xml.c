/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Answers of S3, and things that only look like one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../../src/blob/s3_list.h"
#include "base/arena.h"
#include "base/buf.h"
#include "net/xml.h"

#include <cmocka.h>            /* last: it defines fail() */

static struct ctx ctx;

static int begin(void **state)
{
	(void)state;
	ctx = (struct ctx){ .arena = arena_new(64 << 20) };
	return 0;
}

static int end(void **state)
{
	(void)state;
	arena_free(ctx.arena);
	return 0;
}

static const char page[] =
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	"<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><Prefix>p/</Prefix>"
	"<NextContinuationToken>1&amp;2=</NextContinuationToken><IsTruncated>true</IsTruncated>"
	"<Contents><Key>p/a&lt;&#233;</Key><Size>12</Size><Owner><ID>x</ID><Key>not this</Key></Owner></Contents>"
	"<Contents><Size>0</Size><Key></Key></Contents>"
	"<CommonPrefixes><Prefix>p/sub/</Prefix></CommonPrefixes></ListBucketResult>";

static void test_text(void **state)
{
	const size_t n = sizeof(page) - 1;

	(void)state;
	assert_string_equal(s3_xml_text(&ctx, page, n, "NextContinuationToken"), "1&2=");
	assert_string_equal(s3_xml_text(&ctx, page, n, "IsTruncated"), "true");
	assert_string_equal(s3_xml_text(&ctx, page, n, "Key"), "p/a<\xc3\xa9");
	assert_null(s3_xml_text(&ctx, page, n, "Nothing"));
	/* No XML at all, or only its beginning: no text, and no error of the caller's. */
	assert_null(s3_xml_text(&ctx, "", 0, "Code"));
	assert_null(s3_xml_text(&ctx, "<html><body>", 12, "body"));
	assert_null(s3_xml_text(&ctx, page, n - 20, "Key"));
	assert_int_equal(ctx.error.code, OK);
}

static void test_read(void **state)
{
	const struct net_xml *root;

	(void)state;
	assert_int_equal(s3_xml_read(&ctx, page, sizeof(page) - 1, "ListBucketResult", &root), 0);
	assert_string_equal(net_xml_text(root, "IsTruncated"), "true");
	/* What lies deeper is not the page's own. */
	assert_null(net_xml_text(root, "Key"));
	assert_string_equal(net_xml_text(net_xml_child(root, "Contents"), "Key"), "p/a<\xc3\xa9");
}

static void refused(const char *xml, size_t n)
{
	const struct net_xml *root;

	assert_int_equal(s3_xml_read(&ctx, xml, n, "ListBucketResult", &root), -1);
	assert_int_equal(ctx.error.code, TEMPORARILY_UNAVAILABLE);
	assert_non_null(strstr(ctx.error.message, "MLFLOW_S3_ENDPOINT_URL"));
	error_clear(&ctx);
}

static void test_refused(void **state)
{
	static const char dtd[] = "<!DOCTYPE a [<!ENTITY x \"xxxx\">]><a><Contents>&x;</Contents></a>";
	static const char html[] = "<html><head><title>502 Bad Gateway</title></head><hr></html>";
	static const char page_for_people[] = "<html><body>fine</body></html>";
	struct buf deep = BUF(ctx.arena, 1 << 20);

	(void)state;
	refused(dtd, sizeof(dtd) - 1);
	refused(html, sizeof(html) - 1);
	refused(page_for_people, sizeof(page_for_people) - 1);
	refused("", 0);
	refused("{}", 2);
	refused(page, sizeof(page) - 2);
	refused("<a>\xff</a>", 8);
	for (int i = 0; i < 1000; i++)
		buf_add(&deep, "<a>");
	for (int i = 0; i < 1000; i++)
		buf_add(&deep, "</a>");
	refused(deep.data, deep.size);
}

static void test_decode(void **state)
{
	(void)state;
	assert_string_equal(s3_decode(&ctx, "a+b%2Bc%20d%C3%A9/%25"), "a b+c d\xc3\xa9/%");
	assert_string_equal(s3_decode(&ctx, "%"), "%");
	assert_string_equal(s3_decode(&ctx, "%2"), "%2");
	assert_string_equal(s3_decode(&ctx, "%zz%4"), "%zz%4");
	assert_string_equal(s3_decode(&ctx, ""), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_text, begin, end),
		cmocka_unit_test_setup_teardown(test_read, begin, end),
		cmocka_unit_test_setup_teardown(test_refused, begin, end),
		cmocka_unit_test_setup_teardown(test_decode, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
