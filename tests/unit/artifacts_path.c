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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_locations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
