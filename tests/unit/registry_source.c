/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Hostile sources of model versions, class by class as in MLflow's advisories, and honest ones. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "../../src/registry/source.h"
#include "../../src/registry/source_text.h"
#include "base/arena.h"
#include "base/limits.h"
#include "tracking/tracking.h"

#include <cmocka.h>            /* last: it defines fail() */

#define ABSOLUTE "an absolute path must be provided"
#define LOCAL "To use a local path"
#define PARAMS "can't include fragments or params"
#define HOST "addresses a host other than"
#define REMOTE "is not a valid remote uri"

static const struct {
	const char *source;
	const char *refused;            /* part of the message; NULL: fine so far */
} cases[] = {
	/* honest */
	{ "s3://bucket/model", NULL }, { "gs://bucket/a/b", NULL }, { "dbfs:/models/x", NULL },
	{ "s3://bucket/a b+c%20d", NULL }, { "s3://bucket/a;b", NULL },
	{ "mlflow-artifacts:/1/r/artifacts/model", NULL },
	{ "runs:/0123/model", NULL }, { "models:/m/1", NULL }, { "models:/m@champion", NULL },
	{ "models:/a#b/1", NULL }, { "models:/m-0123", NULL },
	{ "/srv/artifacts/1/r/artifacts/model", NULL }, { "file:///srv/x", NULL },
	{ "file:/srv/x", NULL }, { "FILE:///srv/x", NULL }, { "file://localhost/srv/x", NULL },
	/* where ".." leads is judged with the run's directory */
	{ "/srv/r/../../etc/passwd", NULL }, { "file:///srv/r/../etc", NULL },
	{ "relative/path", NULL }, { "s3://bucket/...", NULL }, { "s3://bucket/a..b", NULL },
	{ "s3://bucket//double//slash/", NULL }, { "unknown:/opaque", NULL },
	/* .. in every encoding and every neighbourhood */
	{ "s3://bucket/../x", ABSOLUTE }, { "s3://bucket/a/..", ABSOLUTE },
	{ "s3:/my_bucket/models/path/../../other/path", ABSOLUTE },
	{ "s3://bucket/%2e%2e/x", ABSOLUTE }, { "s3://bucket/%2E%2e/x", ABSOLUTE },
	{ "s3://bucket/%252e%252e/x", ABSOLUTE }, { "s3://bucket/%25252e%25252e%25252f", ABSOLUTE },
	{ "s3://bucket/.%2e/x", ABSOLUTE }, { "s3://bucket/..%2fx", ABSOLUTE },
	{ "s3://bucket/..\\x", ABSOLUTE }, { "s3://bucket/a\\..\\x", ABSOLUTE },
	{ "s3://bucket/..%5cx", ABSOLUTE }, { "s3://bucket/..;/x", ABSOLUTE },
	{ "s3://bucket/x?p=../y", ABSOLUTE }, { "s3://bucket/x?..", ABSOLUTE },
	{ "s3://bucket/x#/../y", ABSOLUTE }, { "dbfs:/a/../../etc", ABSOLUTE },
	{ "mlflow-artifacts:/../x", ABSOLUTE }, { "mlflow-artifacts:/1/%2e%2e/2", ABSOLUTE },
	{ "mlflow-artifacts:/1/..%2f..%2f..%2fetc", ABSOLUTE },
	{ "mlflow-artifacts:/1%2f..%2f2", ABSOLUTE },
	{ "runs:/r/../other", ABSOLUTE }, { "models:/m/../1", ABSOLUTE },
	{ "C:\\..\\windows", ABSOLUTE }, { "unknown:..", ABSOLUTE },
	{ "/srv/r/%2e%2e/etc", LOCAL }, { "/srv/../r/%2e%2e/etc", LOCAL },
	{ "/srv/r/%252e%252e/etc", LOCAL }, { "/srv/r\\..\\etc", LOCAL }, { "..", LOCAL },
	{ "../etc", LOCAL }, { "//srv/../etc", LOCAL }, { "file:///srv/r/../x?y", LOCAL },
	{ "file:///srv/r/%2e%2e/etc", LOCAL }, { "file:///\\..\\..\\etc", LOCAL },
	{ "file:///srv/r/..%5c..%5cetc", LOCAL }, { "fIlE:///srv/%2e./etc", LOCAL },
	/* no paths, no roots, "." */
	{ "s3://bucket", ABSOLUTE }, { "s3://bucket/", ABSOLUTE }, { "s3://bucket/./x", ABSOLUTE },
	{ "s3://bucket/%2e/x", ABSOLUTE }, { "mlflow-artifacts:x", ABSOLUTE },
	{ "databricks", ABSOLUTE }, { "runs:r/x", ABSOLUTE }, { "unknown:opaque", ABSOLUTE },
	{ "models:", ABSOLUTE }, { "models:/", ABSOLUTE },
	/* NUL, controls, blanks */
	{ "s3://bucket/x%00", ABSOLUTE }, { "s3://bucket/x%2500", ABSOLUTE },
	{ "s3://bucket/x\n", ABSOLUTE }, { "s3://bucket/%0ax", ABSOLUTE },
	{ "s3://bucket/x\t/y", ABSOLUTE }, { "s3://bucket/x ", ABSOLUTE },
	{ "/srv/x%00", LOCAL }, { "/srv/x\r", LOCAL }, { " /srv/x", LOCAL }, { "", LOCAL },
	{ " file:///etc/passwd", LOCAL }, { "\x01" "file:///etc/passwd", LOCAL },
	{ "fi\tle:///etc/passwd", LOCAL },
	/* fragments and params */
	{ "s3://bucket/x#y", PARAMS }, { "s3://bucket/x#", PARAMS }, { "s3://bucket/x%23y", PARAMS },
	{ "mlflow-artifacts:/1/r#x", PARAMS }, { "mlflow-artifacts:/1/r?x", PARAMS },
	{ "mlflow-artifacts:/1/r;x", PARAMS }, { "runs:/r/x#y", PARAMS }, { "runs:/r/x?y", PARAMS },
	{ "runs:/r/x%3by", PARAMS },
	{ "/srv/x#y", LOCAL }, { "/srv/x;y", LOCAL }, { "/srv/x%23y", LOCAL },
	{ "file:///srv/x#/y", LOCAL }, { "file:///srv/x?y", LOCAL }, { "file:///srv/x;y", LOCAL },
	{ "#", LOCAL },
	/* other hosts, and what looks like this one */
	{ "http://host/x", HOST }, { "https://host/x", HOST }, { "HTTP://host/x", HOST },
	{ "http:///#/../x", HOST }, { "http:x", HOST }, { "http://169.254.169.254/latest", HOST },
	{ "http://host/api/2.0/mlflow-artifacts/artifacts/x", HOST },
	{ "ftp://host/x", HOST }, { "sftp://host/x", HOST }, { "hdfs:/x", HOST },
	{ "viewfs://a/x", HOST }, { "r2://b@host/x", HOST }, { "b2://b@host/x", HOST },
	{ "abfss://f@host/x", HOST }, { "mlflow-artifacts://host/x", HOST },
	{ "mlflow-artifacts://host:80/../x", HOST },
	{ "file://host/x", REMOTE }, { "file://localhost.evil/x", REMOTE },
	{ "file://127.0.0.1.evil/x", REMOTE }, { "file://user@localhost/x", REMOTE },
	{ "file://localhost:80/x", REMOTE },
	/* file: with something else than an absolute path */
	{ "file:", LOCAL }, { "file:x", LOCAL }, { "file://", LOCAL }, { "file:..", LOCAL },
};

static void judged(void **state)
{
	(void)state;
	tracking_configure(&(struct tracking_config){ .artifact_root = "mlflow-artifacts:/" });
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ctx c = { .arena = arena_new(LIMIT_ARENA) };
		int refused = source_check(&c, cases[i].source);

		if (!refused && cases[i].refused)
			fail_msg("'%s' is let through", cases[i].source);
		if (refused && !cases[i].refused)
			fail_msg("'%s': %s", cases[i].source, c.error.message);
		if (refused && !strstr(c.error.message, cases[i].refused))
			fail_msg("'%s': %s", cases[i].source, c.error.message);
		if (refused)
			assert_int_equal(c.error.code, strcmp(cases[i].refused, REMOTE)
				? INVALID_PARAMETER_VALUE : INTERNAL_ERROR);
		arena_free(c.arena);
	}
}

/* Only the route of the server's own artifact root, on its very host. */
static void own_host(void **state)
{
	static const struct {
		const char *source;
		int result;
	} hosts[] = {
		{ "http://own:5000/api/2.0/mlflow-artifacts/artifacts/1/x", 0 },
		{ "http://OWN:5000/api/2.0/mlflow-artifacts/artifacts/1/x", 0 },
		{ "http://own:5000/elsewhere", -1 },
		{ "http://own:5000/api/2.0/mlflow-artifacts/artifactsX/1", -1 },
		{ "http://own/api/2.0/mlflow-artifacts/artifacts/1/x", -1 },
		{ "https://own:5000/api/2.0/mlflow-artifacts/artifacts/1/x", -1 },
		{ "http://own:5000@evil/api/2.0/mlflow-artifacts/artifacts/1/x", -1 },
		{ "http://own:5000\\@evil/api/2.0/mlflow-artifacts/artifacts/1/x", -1 },
		{ "ftp://own:5000/api/2.0/mlflow-artifacts/artifacts/1/x", -1 },
	};
	static const struct tracking_config config = {
		.artifact_root = "http://own:5000/api/2.0/mlflow-artifacts/artifacts/root",
	};

	(void)state;
	tracking_configure(&config);
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		struct ctx c = { .arena = arena_new(LIMIT_ARENA) };

		if (source_check(&c, hosts[i].source) != hosts[i].result)
			fail_msg("'%s'", hosts[i].source);
		arena_free(c.arena);
	}
}

static const struct {
	const char *source;
	const char *root;
	bool below;
} places[] = {
	{ "/srv/r/artifacts", "/srv/r/artifacts", true },
	{ "/srv/r/artifacts/m", "/srv/r/artifacts", true },
	{ "/srv/r/artifacts//m/./x", "/srv/r/artifacts/", true },
	{ "//srv/r/artifacts/m", "/srv/r/artifacts", true },
	{ "/srv/r/artifactsX", "/srv/r/artifacts", false },
	{ "/srv/r", "/srv/r/artifacts", false },
	{ "/etc/passwd", "/srv/r/artifacts", false },
	{ "//proc/self/root/srv/r/artifacts", "/srv/r/artifacts", false },
	{ "/proc/self/root/etc", "/", false },
	{ "r/artifacts/m", "/tmp/r/artifacts", true },
	{ "r/artifacts/m", "/srv/r/artifacts", false },
	{ "file:///srv/r/artifacts/m", "/srv/r/artifacts", true },
	{ "/srv/r/artifacts/m", "file:///srv/r/artifacts", true },
	{ "file://localhost/srv/r/artifacts/m", "file:///srv/r/artifacts", true },
	{ "file:///srv/r/art%69facts/m", "/srv/r/artifacts", true },
	{ "/srv/r/art%69facts/m", "/srv/r/artifacts", false },
	{ "/srv/r/artifacts/m", "s3://srv/r/artifacts", false },
	{ "/1/r/artifacts/m", "mlflow-artifacts:/1/r/artifacts", false },
	{ "mlflow-artifacts:/1/r/artifacts/m", "mlflow-artifacts:/1/r/artifacts", true },
	{ "mlflow-artifacts:/1/r/artifacts", "mlflow-artifacts:/1/r/artifacts", true },
	{ "mlflow-artifacts:/1/%72/artifacts/m", "mlflow-artifacts:/1/r/artifacts", true },
	{ "mlflow-artifacts:/1%2Fr/artifacts/m", "mlflow-artifacts:/1/r/artifacts", false },
	{ "mlflow-artifacts:/1/rr/artifacts/m", "mlflow-artifacts:/1/r/artifacts", false },
	{ "mlflow-artifacts:/1/r", "mlflow-artifacts:/1/r/artifacts", false },
	{ "mlflow-artifacts://h/1/r/artifacts/m", "mlflow-artifacts:/1/r/artifacts", false },
	{ "mlflow-artifacts:/x", "mlflow-artifacts:/", false },
	{ "http://h/1/r/artifacts/m", "mlflow-artifacts:/1/r/artifacts", false },
	{ "s3://b/1/r/artifacts/m", "s3://b/1/r/artifacts", true },
	{ "s3://c/1/r/artifacts/m", "s3://b/1/r/artifacts", false },
};

static void contained(void **state)
{
	(void)state;
	assert_int_equal(chdir("/tmp"), 0);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct ctx c = { .arena = arena_new(LIMIT_ARENA) };

		if (source_is_below(&c, places[i].source, places[i].root) != places[i].below)
			fail_msg("'%s' in '%s'", places[i].source, places[i].root);
		arena_free(c.arena);
	}
}

static const struct {
	const char *source;
	const char *resolved;           /* NULL: the same */
} parents[] = {
	{ "/srv/r/../x", "/srv/x" }, { "/srv/r/..", "/srv" }, { "/srv/r/../", "/srv" },
	{ "/srv/r//../x", "/srv/x" }, { "/srv/r/./../x", "/srv/x" }, { "/srv/../../x", "/x" },
	{ "/..", "/" }, { "file:///srv/r/../x", "file:///srv/x" },
	{ "FILE://localhost/srv/../x", "FILE://localhost/x" }, { "file:/srv/../x", "file:/x" },
	{ "file:///..", "file:///" },
	{ "/srv/./x", NULL }, { "/srv/r/..x", NULL }, { "../x", NULL }, { "//h/../x", NULL },
	{ "/srv/r/..?x", NULL }, { "/srv/r/..#x", NULL }, { "file:../x", NULL },
	{ "s3://b/r/../x", NULL }, { "/srv/r/%2e%2e/x", NULL }, { "", NULL },
};

static void resolved(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(parents) / sizeof(parents[0]); i++) {
		struct arena *a = arena_new(LIMIT_ARENA);

		assert_string_equal(uri_resolve_local(a, parents[i].source),
		                    parents[i].resolved ? parents[i].resolved : parents[i].source);
		arena_free(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(judged),
		cmocka_unit_test(own_host),
		cmocka_unit_test(contained),
		cmocka_unit_test(resolved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
