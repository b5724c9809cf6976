/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../../src/http/disposition.h"
#include "../../src/http/target.h"
#include "base/arena.h"
#include "base/buf.h"

#include <cmocka.h>

static const struct {
	const char *raw;
	const char *path; /* NULL: refused */
} paths[] = {
	{ "/", "/" },
	{ "/a/b", "/a/b" },
	{ "/a%20b", "/a b" },
	{ "/a+b", "/a+b" },
	{ "/%61%2F%2f", "/a//" },
	{ "/a%252e", "/a%2e" },
	{ "/%2e%2e/x", "/../x" },
	{ "/a%00b", "/a%00b" },
	{ "/%C3%A9", "/\xc3\xa9" },
	{ "/a?b=/c", "/a" },
	{ "/a;b~%5c%3F", "/a;b~\\?" },
	{ "/%", NULL },
	{ "/%4", NULL },
	{ "/%4g", NULL },
	{ "/%-1", NULL },
	{ "/%+1", NULL },
	{ "/% 1", NULL },
	{ "/%ff", NULL },
	{ "/%c0%af", NULL },
	{ "/%ed%a0%80", NULL },
	{ "/%f4%90%80%80", NULL },
	{ "/a#b", NULL },
	{ "/a b", NULL },
	{ "/a\x01", NULL },
	{ "/a\x7f", NULL },
	{ "/\xc3\xa9", NULL },
	{ "", NULL },
	{ "*", NULL },
	{ "a", NULL },
	{ "http://localhost/a", NULL },
	{ "?a", NULL },
};

static void test_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct ctx c = { .arena = arena_new(1 << 20) };
		struct target t;
		int result = target_parse(&c, paths[i].raw, &t);

		if (!paths[i].path != (result != 0))
			fail_msg("%s", paths[i].raw);
		if (paths[i].path)
			assert_string_equal(t.path, paths[i].path);
		else
			assert_int_equal(c.error.code, INVALID_PARAMETER_VALUE);
		arena_free(c.arena);
	}
}

static void test_arguments(void **state)
{
	struct ctx c = { .arena = arena_new(1 << 20) };
	struct target t;

	(void)state;
	assert_int_equal(target_parse(&c, "/p?a=1&b=x+y%2B&&a=2&c&=e&d=%26%3d=", &t), 0);
	assert_int_equal(t.count, 6);
	assert_string_equal(target_argument(&t, "a"), "1");
	assert_string_equal(target_argument(&t, "b"), "x y+");
	assert_string_equal(target_argument(&t, "c"), "");
	assert_string_equal(target_argument(&t, ""), "e");
	assert_string_equal(target_argument(&t, "d"), "&==");
	assert_null(target_argument(&t, "A"));
	arena_free(c.arena);
}

static void test_bad_arguments(void **state)
{
	static const char *const bad[] = { "/?a=%00", "/?%00=a", "/?a=%",     "/?a=%f",
					   "/?a=%zz", "/?a=%ff", "/?a=%c0%80" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct ctx c = { .arena = arena_new(1 << 20) };
		struct target t;

		if (target_parse(&c, bad[i], &t) != -1)
			fail_msg("%s", bad[i]);
		arena_free(c.arena);
	}
}

static void test_disposition(void **state)
{
	static const struct {
		const char *name, *header;
	} rows[] = {
		{ "a.txt", "attachment; filename=a.txt" },
		{ "a b.txt", "attachment; filename=\"a b.txt\"" },
		{ "a\"\\.txt", "attachment; filename=\"a\\\"\\\\.txt\"" },
		{ "a;b", "attachment; filename=\"a;b\"" },
		{ "a\r\nX: y", "attachment; filename=\"a__X: y\"" },
		{ "a\nb", "attachment; filename=a_b" },
		{ "\xe6\x97\xa5", "attachment; filename=download; filename*=UTF-8''%E6%97%A5" },
		{ "x\xe6\x97\xa5.csv",
		  "attachment; filename=x.csv; filename*=UTF-8''x%E6%97%A5.csv" },
		{ "\xe6\x97\xa5\r\n", "attachment; filename=__; filename*=UTF-8''%E6%97%A5__" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arena *a = arena_new(1 << 16);
		struct buf b = BUF(a, 4096);

		disposition_write(&b, rows[i].name);
		assert_string_equal(buf_text(&b), rows[i].header);
		arena_free(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_bad_arguments),
		cmocka_unit_test(test_disposition),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
