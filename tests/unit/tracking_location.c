/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Artifact locations: what MLflow 3.17.2 answers to the same ones. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "../../src/tracking/location.h"
#include "base/arena.h"
#include "base/limits.h"

#include <cmocka.h>            /* last: it defines fail() */

static const struct {
	const char *location;
	const char *result;             /* NULL: refused; from the working directory /tmp */
} cases[] = {
	{ "rel/dir", "/tmp/rel/dir" }, { "./x", "/tmp/x" }, { "../up", "/tmp/../up" }, {
		"a//b/./c/", "/tmp/a/b/c" },
	{ "  /sp", "/tmp/  /sp" }, { "rel%20x", "/tmp/rel x" }, { "rel/?q=1", "/tmp/rel/?q=1" },
	{ "/abs/path", "/abs/path" }, { "/a/../b", "/a/../b" }, { "/a%20b", "/a%20b" }, { "/tmp/a/",
		"/tmp/a/" },
	{ "//host/p", "//host/p" }, { "databricks", "databricks" }, { "C:/x", "C:/x" }, { "a:b",
		"a:b" },
	{ "file:///tmp/abs", "file:///tmp/abs" }, { "file:rel2", "file:///tmp/rel2" }, { "file:",
		"file:///tmp" },
	{ "file:r?x=1", "file:///tmp/r?x=1" }, { "file://localhost/p", "file://localhost/p" },
	{ "file://LOCALHOST:80/p", "file://LOCALHOST:80/p" }, { "file://remote/p", NULL },
	{ "s3://b/p", "s3://b/p" }, { "s3://b/p?x=1", "s3://b/p?x=1" }, { "s3://b/p;par",
		"s3://b/p;par" },
	{ "s3://b/p#", "s3://b/p#" }, { "unknown://x/y", "unknown://x/y" }, { "mlflow-artifacts:/p",
		"mlflow-artifacts:/p" },
	{ "s3://b/p#f", NULL }, { "/a#b", NULL }, { "/a;b", NULL }, { "a;b/c", "/tmp/a;b/c" }, {
		"/a;", "/a;" },
	{ "s3://b/p?x=../1", NULL }, { "s3://b/p?x=%2e%2e", NULL }, { "s3://b/p?x=%252e%252e", NULL
		},
	{ "rel?q=..", NULL }, { "rel%00x", NULL }, { "rel%ffx", NULL },
	{ "http://h/p", NULL }, { "HTTP://h/p", NULL }, { "http:x", NULL }, { " \x01http://h/p",
		NULL },
	{ "ht\ttp://h/p", NULL }, { "https://h/p", NULL }, { "ftp://h/p", NULL }, { "sftp://h/p",
		NULL },
	{ "hdfs:/p", NULL }, { "viewfs://x/y", NULL }, { "r2://b@a/x", NULL }, { "b2://x/y", NULL },
	{ "abfss://f@a/p", NULL }, { "mlflow-artifacts://h/p", NULL }, { "runs:/x/y", NULL },
};

static void resolves_like_mlflow(void **state)
{
	(void)state;
	assert_int_equal(chdir("/tmp"), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ctx c = { .arena = arena_new(LIMIT_ARENA) };
		const char *result = NULL;
		int failed = location_resolve(&c, cases[i].location, &result);

		if (failed)
			assert_int_equal(c.error.code, INVALID_PARAMETER_VALUE);
		if (failed != (cases[i].result ? 0 : -1)
		    || (!failed && strcmp(result, cases[i].result) != 0))
			fail_msg("%s: %s", cases[i].location, failed ? c.error.message : result);
		arena_free(c.arena);
	}
}

static void bounds_length(void **state)
{
	struct ctx c = { .arena = arena_new(LIMIT_ARENA) };
	char *text = arena_alloc(c.arena, LIMIT_ARTIFACT_LOCATION + 2);
	const char *result;

	(void)state;
	memset(text, 'x', LIMIT_ARTIFACT_LOCATION + 1);
	text[0] = '/';
	assert_int_equal(location_resolve(&c, text, &result), -1);
	error_clear(&c);
	text[LIMIT_ARTIFACT_LOCATION] = '\0';
	assert_int_equal(location_resolve(&c, text, &result), 0);
	text[0] = 'x';                  /* fits, but not once it is absolute */
	assert_int_equal(location_resolve(&c, text, &result), -1);
	arena_free(c.arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resolves_like_mlflow),
		cmocka_unit_test(bounds_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
