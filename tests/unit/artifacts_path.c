/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "artifacts/artifact.h"
#include "artifacts/location.h"
#include "artifacts/path.h"
#include "base/arena.h"

#include <cmocka.h> /* last: its fail() is not ours */

static const struct row {
	const char *in;
	enum artifact_path_use use;
	const char *key; /* NULL: refused */
} rows[] = {
	{ "a", ARTIFACT_FILE, "a" },
	{ "a/b/c.txt", ARTIFACT_FILE, "a/b/c.txt" },
	{ "a//b", ARTIFACT_FILE, "a/b" },
	{ "a///b", ARTIFACT_FILE, "a/b" },
	{ "a;b", ARTIFACT_FILE, "a;b" },
	{ "~", ARTIFACT_FILE, "~" },
	{ "q?z", ARTIFACT_FILE, "q?z" },
	{ "n%00z", ARTIFACT_FILE, "n%00z" },
	{ "dbl%25", ARTIFACT_FILE, "dbl%25" },
	{ "100%", ARTIFACT_FILE, "100%" },
	{ "a%20b", ARTIFACT_FILE, "a%20b" },
	{ "ctl\001x\177", ARTIFACT_FILE, "ctl%01x%7f" },
	{ "\xc3\xa9", ARTIFACT_FILE, "\xc3\xa9" },
	{ "..a", ARTIFACT_FILE, "..a" },
	{ "a..", ARTIFACT_FILE, "a.." },
	{ "...", ARTIFACT_FILE, "..." },
	{ "ab:c", ARTIFACT_FILE, "ab:c" },
	{ "a/file:x", ARTIFACT_FILE, "a/file:x" },
	{ ".capstan-tmpx", ARTIFACT_FILE, ".capstan-tmpx" },
	{ "a/.capstan-tmp", ARTIFACT_FILE, "a/.capstan-tmp" },
	{ "", ARTIFACT_DIRECTORY, "" },
	{ ".", ARTIFACT_DIRECTORY, "" },
	{ "d/", ARTIFACT_DIRECTORY, "d" },
	{ "d/.", ARTIFACT_DIRECTORY, "d" },
	{ "d//", ARTIFACT_ANY, "d" },
	{ "", ARTIFACT_ANY, "" },
	{ "", ARTIFACT_FILE, NULL },
	{ "d/", ARTIFACT_FILE, NULL },
	{ ".", ARTIFACT_FILE, NULL },
	{ "d/./x", ARTIFACT_ANY, NULL },
	{ "..", ARTIFACT_ANY, NULL },
	{ "../x", ARTIFACT_FILE, NULL },
	{ "a/..", ARTIFACT_ANY, NULL },
	{ "a/../b", ARTIFACT_FILE, NULL },
	{ "a//../b", ARTIFACT_FILE, NULL },
	{ "%2e%2e/x", ARTIFACT_FILE, NULL },
	{ "%252e%252e/x", ARTIFACT_FILE, NULL },
	{ "%25252e%25252e%25252fx", ARTIFACT_FILE, NULL },
	{ ".%2e/x", ARTIFACT_FILE, NULL },
	{ "a%2f..%2fx", ARTIFACT_FILE, NULL },
	{ "%2fabs", ARTIFACT_FILE, NULL },
	{ "/abs", ARTIFACT_FILE, NULL },
	{ "//abs", ARTIFACT_FILE, NULL },
	{ "h#z", ARTIFACT_FILE, NULL },
	{ "h%23z", ARTIFACT_FILE, NULL },
	{ "C:/x", ARTIFACT_FILE, NULL },
	{ "c:x", ARTIFACT_FILE, NULL },
	{ "C%3a/x", ARTIFACT_FILE, NULL },
	{ "file:x", ARTIFACT_FILE, NULL },
	{ "FILE:///etc/passwd", ARTIFACT_FILE, NULL },
	{ "fi%6ce:x", ARTIFACT_FILE, NULL },
	{ "..\\x", ARTIFACT_FILE, NULL },
	{ "a\\b", ARTIFACT_FILE, NULL },
	{ "a%5cb", ARTIFACT_FILE, NULL },
	{ "bad\xff", ARTIFACT_FILE, NULL },
	{ ".capstan-tmp", ARTIFACT_ANY, NULL },
	{ ".capstan-tmp/x", ARTIFACT_FILE, NULL },
	{ ".artifact.uploading.x", ARTIFACT_FILE, NULL },
	{ "%2525252525252525252525252525252e", ARTIFACT_FILE, NULL },
};

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ctx c = { .arena = arena_new(1 << 20) };
		const char *key = NULL;
		int rc = artifact_path_key(&c, rows[i].in, rows[i].use, &key);

		if ((rc == 0) != (rows[i].key != NULL) ||
		    (rows[i].key && strcmp(key, rows[i].key) != 0))
			fail_msg("'%s' -> %d '%s'", rows[i].in, rc, key ? key : "");
		if (rc)
			assert_int_equal(c.error.code, INVALID_PARAMETER_VALUE);
		arena_free(c.arena);
	}
}

static void test_lengths(void **state)
{
	struct ctx c = { .arena = arena_new(1 << 20) };
	char path[5000];
	const char *key;

	(void)state;
	memset(path, 'x', sizeof(path));
	path[255] = '\0';
	assert_int_equal(artifact_path_key(&c, path, ARTIFACT_FILE, &key), 0);
	path[255] = 'x';
	path[256] = '\0';
	assert_int_equal(artifact_path_key(&c, path, ARTIFACT_FILE, &key), -1);
	memset(path, 'x', sizeof(path));
	for (size_t i = 1; i < sizeof(path); i += 2)
		path[i] = '/';
	path[4095] = '\0';
	assert_int_equal(artifact_path_key(&c, path, ARTIFACT_FILE, &key), 0);
	path[4095] = '/';
	path[4097] = '\0';
	assert_int_equal(artifact_path_key(&c, path, ARTIFACT_FILE, &key), -1);
	arena_free(c.arena);
}

static const struct {
	const char *uri;
	const char *key; /* NULL: refused */
} locations[] = {
	{ "mlflow-artifacts:/0/r/artifacts", "0/r/artifacts" },
	{ "mlflow-artifacts:0/r", "0/r" },
	{ "mlflow-artifacts://host:5000/0/r/artifacts", "0/r/artifacts" },
	{ "mlflow-artifacts:/", "" },
	{ "mlflow-artifacts://host", "" },
	{ "mlflow-artifacts:/my%20exp/r", "my exp/r" },
	{ "http://h/api/2.0/mlflow-artifacts/artifacts/0/r", "0/r" },
	{ "https://h/prefix/api/2.0/mlflow-artifacts/artifacts/0/r", "0/r" },
	{ "/srv/artifacts/0/r", "0/r" },
	{ "file:///srv/artifacts/0/r", "0/r" },
	{ "file://localhost/srv/artifacts/0/r", "0/r" },
	{ "file:/srv/artifacts/0/r", "0/r" },
	{ "/srv/artifacts", "" },
	{ "/srv/artifactsx/0", NULL },
	{ "/srv/artifacts/../etc", NULL },
	{ "file:///srv/artifacts/%2e%2e/etc", NULL },
	{ "file://other/srv/artifacts/0", NULL },
	{ "/etc", NULL },
	{ "relative/path", NULL },
	{ "s3://bucket/x", NULL },
	{ "http://h/x", NULL },
	{ "http://169.254.169.254/latest", NULL },
	{ "mlflow-artifacts:/0/../../x", NULL },
	{ "mlflow-artifacts:/0/%2e%2e/x", NULL },
	{ "mlflow-artifacts:/0/%252e%252e/x", NULL },
	{ "mlflow-artifacts:/0#x", NULL },
	{ "mlflow-artifacts:/0?x", NULL },
	{ "mlflow-artifacts:/.capstan-tmp/x", NULL },
};

static void test_locations(void **state)
{
	(void)state;
	artifacts_configure((struct blob *)&locations, "file:///srv/artifacts/", true);
	for (size_t i = 0; i < sizeof(locations) / sizeof(locations[0]); i++) {
		struct ctx c = { .arena = arena_new(1 << 20) };
		const char *key = NULL;
		int rc = location_to_key(&c, locations[i].uri, &key);

		if ((rc == 0) != (locations[i].key != NULL) ||
		    (locations[i].key && strcmp(key, locations[i].key) != 0))
			fail_msg("'%s' -> %d '%s'", locations[i].uri, rc, key ? key : "");
		arena_free(c.arena);
	}
	artifacts_configure(NULL, NULL, false);
}

static const struct {
	const char *uri;
	const char *text; /* NULL: refused */
} remotes[] = {
	{ "s3://bucket", "s3://bucket" },
	{ "s3://bucket/", "s3://bucket" },
	{ "s3://bucket/a/b", "s3://bucket/a/b" },
	{ "gs://my_bucket.example.com/a b/c+d/", "gs://my_bucket.example.com/a b/c+d" },
	{ "s3://bucket/100%", "s3://bucket/100%" },
	{ "s3://bucket/a//b", NULL },
	{ "s3://bucket//a", NULL },
	{ "s3://bucket/a/../b", NULL },
	{ "s3://bucket/a\001b", NULL },
	{ "s3://bucket/a/%2e%2e/b", NULL },
	{ "s3://bucket/a/%252e%252e/b", NULL },
	{ "s3://bucket/./b", NULL },
	{ "s3://bucket/a?versionId=1", NULL },
	{ "s3://bucket/a#b", NULL },
	{ "s3://bucket/a%23b", NULL },
	{ "s3://bucket/a\\b", NULL },
	{ "s3://127.0.0.1:9000/x", NULL },
	{ "s3://user@bucket/x", NULL },
	{ "s3://-bucket/x", NULL },
	{ "s3://b/x", NULL },
	{ "s3:///x", NULL },
	{ "s3:/bucket/x", NULL },
	{ "S3://bucket/x", NULL },
	{ "s3a://bucket/x", NULL },
	{ "/srv/x", NULL },
};

static void test_remote(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(remotes) / sizeof(remotes[0]); i++) {
		struct ctx c = { .arena = arena_new(1 << 20) };
		const char *text = NULL;
		int rc = location_remote(&c, remotes[i].uri, &text);

		if ((rc == 0) != (remotes[i].text != NULL) ||
		    (remotes[i].text && strcmp(text, remotes[i].text) != 0))
			fail_msg("'%s' -> %d '%s'", remotes[i].uri, rc, text ? text : "");
		arena_free(c.arena);
	}
}

/* The destination's and the default root's keys are theirs under any name. */
static void test_own_first(void **state)
{
	static const struct { const char *uri, *key; } own[] = {
		{ "s3://bucket/dest", "" },
		{ "s3://bucket/dest/5/r", "5/r" },
		{ "mlflow-artifacts:/5/r", "5/r" },
		{ "s3://bucket/default/6", "6" },
		{ "s3://bucket/destination/5", NULL },
		{ "s3://bucket/dest/../x", NULL },
		{ "s3://bucket/dest//5", NULL },
		{ "s3://other/dest/5", NULL },
		{ "gs://bucket/dest/5", NULL },
		{ "/srv/artifacts/5", NULL },
	};

	(void)state;
	artifacts_configure((struct blob *)&locations, "s3://bucket/dest/", true);
	artifacts_configure_default("s3://bucket/default", NULL);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		struct ctx c = { .arena = arena_new(1 << 20) };
		const char *key = NULL;
		int rc = location_to_key(&c, own[i].uri, &key);

		if ((rc == 0) != (own[i].key != NULL) || (own[i].key && strcmp(key, own[i].key)))
			fail_msg("'%s' -> %d '%s'", own[i].uri, rc, key ? key : "");
		assert_int_equal(location_holds_root(&c, own[i].uri), i == 0);
		arena_free(c.arena);
	}
	artifacts_configure(NULL, NULL, false);
}

static bool found(const char **texts, size_t count, const char *text)
{
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(texts[i], text))
			return true;
	}
	return false;
}

static void test_holders(void **state)
{
	struct ctx c = { .arena = arena_new(1 << 20) };
	const char **texts;
	size_t n;

	(void)state;
	artifacts_configure((struct blob *)&locations, "s3://bucket/dest", true);
	n = location_holders(&c, "s3://team/a/b/", &texts);
	assert_int_equal(n, 3);
	assert_string_equal(texts[0], "s3://team/a/b");
	assert_true(found(texts, n, "s3://team/a") && found(texts, n, "s3://team"));
	n = location_holders(&c, "s3://bucket/dest/custom/x", &texts);
	assert_true(found(texts, n, "mlflow-artifacts:/custom") &&
		    found(texts, n, "s3://bucket/dest/custom/x") &&
		    found(texts, n, "mlflow-artifacts:"));
	n = location_holders(&c, "mlflow-artifacts:/custom/x", &texts);
	assert_true(found(texts, n, "s3://bucket/dest/custom"));
	n = location_holders(&c, "/mnt//team/a", &texts);
	assert_true(found(texts, n, "file:///mnt/team") && found(texts, n, "/mnt/team/a"));
	assert_int_equal(location_holders(&c, "http://host/x", &texts), 0);
	assert_true(location_holds_root(&c, "s3://bucket"));
	assert_false(location_holds_root(&c, "s3://bucket/des"));
	artifacts_configure(NULL, NULL, false);
	arena_free(c.arena);
}

static void test_roots(void **state)
{
	char dir[] = "/tmp/artifacts_path.XXXXXX", below[64], beside[64];
	struct ctx c = { .arena = arena_new(1 << 20) };
	struct blob *store;
	const char *key;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(below, sizeof(below), "%s/x/y", dir);
	snprintf(beside, sizeof(beside), "%s-beside/x", dir);
	artifacts_configure((struct blob *)&locations, "/srv/artifacts", true);
	assert_int_equal(artifacts_configure_roots(&c, "s3://a b", NULL), -1);
	error_clear(&c);
	assert_int_equal(artifacts_configure_roots(&c, "http://host/x", NULL), -1);
	error_clear(&c);
	assert_int_equal(artifacts_configure_roots(&c, dir, dir), -1); /* the private directory */
	error_clear(&c);
	assert_int_equal(artifacts_configure_roots(&c, arena_printf(c.arena, " s3://team/in, %s/,",
								    dir), "/nowhere"), 0);
	assert_int_equal(location_find(&c, below, "f", &store, &key), 0);
	assert_string_equal(key, "x/y/f");
	assert_int_equal(location_find(&c, arena_printf(c.arena, "file://%s", below), "", &store,
				       &key), 0);
	assert_int_equal(location_find(&c, arena_printf(c.arena, "FILE://%s", below), "", &store,
				       &key), -1);
	error_clear(&c);
	assert_int_equal(location_find(&c, arena_printf(c.arena, "file://%s/%%61", dir), "", &store,
				       &key), -1);
	error_clear(&c);
	assert_int_equal(location_find(&c, arena_printf(c.arena, "%s//x", dir), "", &store, &key),
			 -1);
	error_clear(&c);
	assert_int_equal(location_find(&c, beside, "", &store, &key), -1);
	assert_int_equal(c.error.code, NOT_IMPLEMENTED);
	error_clear(&c);
	assert_int_equal(location_find(&c, "s3://team/out/x", "", &store, &key), -1);
	assert_int_equal(c.error.code, NOT_IMPLEMENTED);
	error_clear(&c);
	/* A name below a place that is not ours may be ours: then it is the destination's. */
	assert_int_equal(location_find(&c, "/srv", "artifacts/5", &store, &key), 0);
	assert_ptr_equal(store, &locations);
	assert_string_equal(key, "5");
	arena_free(c.arena);
	artifacts_close();
	artifacts_configure(NULL, NULL, false);
	snprintf(below, sizeof(below), "rm -rf %s", dir);
	assert_int_equal(system(below), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_locations),
		cmocka_unit_test(test_remote),
		cmocka_unit_test(test_own_first),
		cmocka_unit_test(test_holders),
		cmocka_unit_test(test_roots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
