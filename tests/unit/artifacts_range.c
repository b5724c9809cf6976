/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "blob/blob.h"
#include "../../src/artifacts/mime.h"
#include "../../src/artifacts/range.h"

#include <cmocka.h> /* last: its fail() is not ours */

static const struct {
	const char *header;
	uint64_t total;
	int status;
	uint64_t first, length;
} ranges[] = {
	{ NULL, 6, 200, 0, 6 },
	{ "bytes=0-1", 6, 206, 0, 2 },
	{ "Bytes=0-1", 6, 206, 0, 2 },
	{ "bytes=0-1 ", 6, 206, 0, 2 },
	{ "bytes=-2", 6, 206, 4, 2 },
	{ "bytes=-9", 6, 206, 0, 6 },
	{ "bytes=2-", 6, 206, 2, 4 },
	{ "bytes=5-5", 6, 206, 5, 1 },
	{ "bytes=0-99999999999999999999", 6, 206, 0, 6 },
	{ "bytes=6-", 6, 416, 0, 6 },
	{ "bytes=9-10", 6, 416, 0, 6 },
	{ "bytes=-0", 6, 416, 0, 6 },
	{ "bytes=0-", 0, 416, 0, 0 },
	{ "bytes=-1", 0, 416, 0, 0 },
	{ "bytes=99999999999999999999-", 6, 416, 0, 6 },
	{ "bytes=0-0,2-3", 6, 200, 0, 6 },
	{ "bytes=5-2", 6, 200, 0, 6 },
	{ "bytes=a-b", 6, 200, 0, 6 },
	{ "bytes=-", 6, 200, 0, 6 },
	{ "bytes=", 6, 200, 0, 6 },
	{ "bytes=1", 6, 200, 0, 6 },
	{ "bytes=--1", 6, 200, 0, 6 },
	{ "bytes=+1-2", 6, 200, 0, 6 },
	{ "items=0-1", 6, 200, 0, 6 },
	{ "", 6, 200, 0, 6 },
};

static void test_ranges(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		uint64_t first, length;
		int status = range_read(ranges[i].header, ranges[i].total, &first, &length);

		if (status != ranges[i].status || first != ranges[i].first ||
		    length != ranges[i].length)
			fail_msg("%s -> %d %llu+%llu", ranges[i].header, status,
				 (unsigned long long)first, (unsigned long long)length);
	}
}

static void test_tags(void **state)
{
	(void)state;
	assert_false(range_none_match(NULL, "\"a\""));
	assert_true(range_none_match("\"a\"", "\"a\""));
	assert_true(range_none_match("W/\"a\"", "\"a\""));
	assert_true(range_none_match("\"b\" , \"a\"", "\"a\""));
	assert_true(range_none_match("*", "\"a\""));
	assert_false(range_none_match("\"b\"", "\"a\""));
	assert_false(range_none_match("\"a", "\"a\""));
	assert_false(range_none_match("a", "\"a\""));
	assert_false(range_none_match("", "\"a\""));
	assert_true(range_if_range(NULL, "\"a\""));
	assert_true(range_if_range("\"a\"", "\"a\""));
	assert_false(range_if_range("W/\"a\"", "\"a\""));
	assert_false(range_if_range("Sun, 22 Nov 2026 07:36:16 GMT", "\"a\""));
}

static const struct {
	const char *name, *type;
} types[] = {
	{ "a.txt", "text/plain" },
	{ "x/y.json", "text/plain" },
	{ "p.js", "text/plain" },
	{ "p.html", "text/plain" },
	{ "p.HTML", "text/plain" },
	{ "u.png", "image/png" },
	{ "u.PNG", "image/png" },
	{ "m.svg", "image/svg+xml" },
	{ "m.svgz", "image/svg+xml" },
	{ "MLmodel", "text/plain" },
	{ "d/MLmodel", "text/plain" },
	{ "noext", "application/octet-stream" },
	{ "x.tar.gz", "application/x-tar" },
	{ "x.csv.gz", "text/csv" },
	{ "x.gz", "application/octet-stream" },
	{ "x.tgz", "application/x-tar" },
	{ "sp ace", "application/octet-stream" },
	{ ".png", "application/octet-stream" },
	{ "a.pkl", "application/octet-stream" },
	{ "a.pdf", "application/pdf" },
	{ "", "application/octet-stream" },
	{ "a.", "application/octet-stream" },
	{ "d.png/x", "application/octet-stream" },
};

static void test_types(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(mime_type(types[i].name), types[i].type) != 0)
			fail_msg("%s -> %s", types[i].name, mime_type(types[i].name));
}

static void test_want(void **state)
{
	static const struct {
		const char *header;
		bool any, suffix;
		uint64_t first, length;
	} wants[] = {
		{ NULL, false, false, 0, 0 },
		{ "bytes=0-0", true, false, 0, 1 },
		{ "bytes=5-9", true, false, 5, 5 },
		{ "bytes=5-", true, false, 5, 0 },
		{ "bytes=-9", true, true, 0, 9 },
		{ "bytes=-0", false, false, 0, 0 },
		{ "bytes=9-5", false, false, 0, 0 },
		{ "bytes=0-1,5-6", false, false, 0, 0 },
		{ "items=0-1", false, false, 0, 0 },
		{ "bytes=0-99999999999999999999", true, false, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wants) / sizeof(wants[0]); i++) {
		struct blob_want w = { 0 };

		assert_int_equal(range_want(wants[i].header, &w), wants[i].any);
		assert_true(w.first == wants[i].first && w.length == wants[i].length &&
			    w.suffix == wants[i].suffix);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_want),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
