/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "blob/blob.h"

#include <cmocka.h> /* last: its fail() is not ours */

struct fixture {
	char dir[64];
	char root[80];
	struct blob *blob;
	struct ctx c;
};

static struct fixture f;
static const struct blob_ready nobody;

static int setup(void **state)
{
	(void)state;
	f = (struct fixture){ 0 };
	strcpy(f.dir, "/tmp/blob_local.XXXXXX");
	assert_non_null(mkdtemp(f.dir));
	snprintf(f.root, sizeof(f.root), "%s/a/root", f.dir);
	f.c.arena = arena_new(64 << 20);
	f.blob = blob_open(&f.c, f.root);
	assert_non_null(f.blob);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	blob_close(f.blob);
	arena_free(f.c.arena);
	snprintf(command, sizeof(command), "rm -rf %s", f.dir);
	return system(command);
}

static const char *at(const char *key)
{
	return arena_printf(f.c.arena, "%s/%s", f.root, key);
}

static int put_as(const struct blob_target *t, const char *text, char etag[BLOB_ETAG])
{
	struct blob_writer *w = NULL;
	size_t taken;
	int rc;

	error_clear(&f.c);
	rc = blob_write_begin(&f.c, f.blob, t, nobody, &w);
	if (!rc && *text)
		rc = blob_write(&f.c, w, text, strlen(text), &taken);
	if (!rc)
		rc = blob_write_commit(&f.c, w, etag);
	blob_write_close(w);
	return rc;
}

static int put(const char *key, const char *text)
{
	char etag[BLOB_ETAG];

	return put_as(&(struct blob_target){ .key = key, .size = -1 }, text, etag);
}

static const char *get(const char *key)
{
	struct blob_reader *r = NULL;
	struct blob_info info;
	char *text = arena_alloc(f.c.arena, 256);
	size_t got = 0;

	error_clear(&f.c);
	if (blob_read_open(&f.c, f.blob, key, NULL, nobody, &r, &info))
		return NULL;
	assert_int_equal(blob_read(&f.c, r, 0, text, 255, &got), 0);
	assert_int_equal(got, info.size);
	blob_read_close(r);
	return text;
}

/* What was just written lies in memory; what is not there is not waited for; behind the end is nothing. */
static void test_at_hand(void **state)
{
	struct blob_reader *r = NULL;
	struct blob_info info;
	char text[16] = "";
	size_t got = 0;
	int rc, fd;

	(void)state;
	assert_true(blob_abilities(f.blob) & BLOB_READS_AT_HAND);
	assert_int_equal(put("at/hand", "0123456789"), 0);
	assert_int_equal(blob_read_open(&f.c, f.blob, "at/hand", NULL, nobody, &r, &info), 0);
	rc = blob_read_at_hand(&f.c, r, 3, text, sizeof(text), &got);
	/* Not every file system can tell. */
	assert_true(rc == BLOB_AGAIN || (rc == 0 && got == 7 && !memcmp(text, "3456789", 7)));
	if (rc == 0) {
		assert_int_equal(blob_read_at_hand(&f.c, r, 10, text, sizeof(text), &got), 0);
		assert_int_equal(got, 0);
	}
	fd = open(at("at/hand"), O_RDONLY);
	assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	close(fd);
	rc = blob_read_at_hand(&f.c, r, 3, text, sizeof(text), &got);
	assert_true(rc == BLOB_AGAIN || (rc == 0 && got == 7));
	assert_int_equal(blob_read(&f.c, r, 3, text, sizeof(text), &got), 0);
	assert_int_equal(got, 7);
	blob_read_close(r);
}

static int add(struct ctx *c, void *arg, const struct blob_entry *e)
{
	char *all = arg;

	(void)c;
	sprintf(all + strlen(all), "%s%s%llu ", e->name, e->directory ? "/" : ":",
		(unsigned long long)e->size);
	return 0;
}

static const char *list(const char *key)
{
	char *all = arena_alloc(f.c.arena, 4096);

	return blob_list(&f.c, f.blob, key, add, all) < 0 ? "error" : all;
}

/* Files below the temporary area. */
static int temporaries(void)
{
	char command[160];
	FILE *p;
	int n = -1;

	snprintf(command, sizeof(command), "find %s/.capstan-tmp -mindepth 2 | wc -l", f.root);
	p = popen(command, "r");
	assert_int_equal(fscanf(p, "%d", &n), 1);
	pclose(p);
	return n;
}

static void test_objects(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(put("e/r/artifacts/x.txt", "hello"), 0);
	assert_string_equal(get("e/r/artifacts/x.txt"), "hello");
	assert_int_equal(put("e/r/artifacts/x.txt", "again, longer"), 0);
	assert_string_equal(get("e/r/artifacts/x.txt"), "again, longer");
	assert_int_equal(put("e/r/artifacts/empty", ""), 0);
	assert_string_equal(list("e/r/artifacts"), "empty:0 x.txt:13 ");
	assert_string_equal(list(""), "e/0 ");
	assert_string_equal(list("nope"), "");
	assert_string_equal(list("e/r/artifacts/x.txt"), "");
	assert_int_equal(stat(at("e/r"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(stat(at("e/r/artifacts/x.txt"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(temporaries(), 0);
}

static void test_in_the_way(void **state)
{
	(void)state;
	assert_int_equal(put("d/f", "1"), 0);
	assert_int_equal(put("d", "2"), -1);
	assert_int_equal(f.c.error.code, INVALID_PARAMETER_VALUE);
	assert_int_equal(put("d/f/g", "3"), -1);
	assert_int_equal(f.c.error.code, INVALID_PARAMETER_VALUE);
	assert_null(get("d"));
	assert_int_equal(f.c.error.code, INVALID_PARAMETER_VALUE);
	assert_null(get("d/f/g"));
	assert_int_equal(f.c.error.code, RESOURCE_DOES_NOT_EXIST);
	assert_string_equal(get("d/f"), "1");
	assert_string_equal(list(""), "d/0 ");
	assert_int_equal(temporaries(), 0);
}

static void test_symlinks(void **state)
{
	uint64_t bytes = 0;

	(void)state;
	assert_int_equal(put("r/f", "1"), 0);
	assert_int_equal(symlink("/etc", at("r/etc")), 0);
	assert_int_equal(symlink("/etc/passwd", at("r/passwd")), 0);
	assert_int_equal(symlink("f", at("r/inside")), 0);
	assert_int_equal(symlink("..", at("r/up")), 0);
	assert_int_equal(mkfifo(at("r/fifo"), 0600), 0);
	assert_string_equal(list("r"), "f:1 ");
	assert_null(get("r/etc/passwd"));
	assert_null(get("r/passwd"));
	assert_null(get("r/inside"));
	assert_null(get("r/up/r/f"));
	assert_null(get("r/fifo"));
	assert_null(get("../../etc/passwd"));
	assert_int_equal(put("r/etc/x", "x"), -1);
	assert_int_equal(put("r/passwd", "x"), -1);
	assert_int_equal(put("r/up/y", "x"), -1);
	assert_int_equal(put("../outside", "x"), -1);
	assert_int_equal(access(at("../outside"), F_OK), -1);
	assert_int_equal(put(".capstan-tmp/x", "x"), -1);
	assert_string_equal(list("r/etc"), "");
	error_clear(&f.c);
	assert_int_equal(blob_remove(&f.c, f.blob, "r/etc/passwd", &bytes), 0);
	assert_int_equal(blob_remove(&f.c, f.blob, "r", &bytes), 1);
	assert_int_equal(bytes, 1);
	assert_int_equal(access("/etc/passwd", F_OK), 0);
}

static void test_cut(void **state)
{
	struct blob_writer *w = NULL;
	size_t taken;

	(void)state;
	assert_int_equal(
		blob_write_begin(&f.c, f.blob, &(struct blob_target){ .key = "x/y/z" }, nobody, &w),
		0);
	assert_int_equal(blob_write(&f.c, w, "abc", 3, &taken), 0);
	assert_string_equal(list(""), "");
	blob_write_close(w);
	assert_string_equal(list(""), "");
	assert_int_equal(temporaries(), 0);
}

static void test_deep_delete(void **state)
{
	char key[4096] = "t";
	uint64_t bytes = 0;

	(void)state;
	for (int i = 0; i < 1500; i++)
		strcat(key, "/d");
	strcat(key, "/x");
	assert_int_equal(put(key, "12345"), 0);
	assert_int_equal(put("t/y", "678"), 0);
	assert_int_equal(blob_remove(&f.c, f.blob, "t", &bytes), 1);
	assert_int_equal(bytes, 8);
	assert_string_equal(list(""), "");
	assert_int_equal(blob_remove(&f.c, f.blob, "t", &bytes), 0);
	assert_int_equal(temporaries(), 0);
}

static void test_parts(void **state)
{
	const char *id = NULL;
	char e1[BLOB_ETAG], e2[BLOB_ETAG];
	struct blob_part parts[2] = { { 1, e1 }, { 2, e2 } };
	struct blob_target t = { .key = "m/big", .size = -1, .part = 2 };

	(void)state;
	assert_int_equal(blob_parts_create(&f.c, f.blob, "m/big", &id), 0);
	t.upload_id = id;
	assert_int_equal(put_as(&t, "world", e2), 0);
	t.part = 1;
	assert_int_equal(put_as(&t, "first try", e1), 0);
	assert_int_equal(put_as(&t, "hello ", e1), 0);
	assert_string_equal(list(""), "");
	t.key = "m/other";
	assert_int_equal(put_as(&t, "x", e1), -1);
	assert_int_equal(f.c.error.code, RESOURCE_DOES_NOT_EXIST);
	t.key = "m/big";
	t.upload_id = "00000000000000000000000000000000";
	assert_int_equal(put_as(&t, "x", e1), -1);
	t.upload_id = "../../../../../../../../../../../../../etc/abcdef";
	assert_int_equal(put_as(&t, "x", e1), -1);
	error_clear(&f.c);
	assert_int_equal(blob_parts_complete(&f.c, f.blob, "m/other", id, parts, 2), -1);
	error_clear(&f.c);
	parts[0].etag = "\"wrong\"";
	assert_int_equal(blob_parts_complete(&f.c, f.blob, "m/big", id, parts, 2), -1);
	assert_int_equal(f.c.error.code, INVALID_PARAMETER_VALUE);
	error_clear(&f.c);
	parts[0].etag = e1;
	assert_int_equal(blob_parts_complete(&f.c, f.blob, "m/big", id, parts, 2), 0);
	assert_string_equal(get("m/big"), "hello world");
	assert_int_equal(temporaries(), 0);
	assert_int_equal(blob_parts_complete(&f.c, f.blob, "m/big", id, parts, 2), -1);
	error_clear(&f.c);
	assert_int_equal(blob_parts_create(&f.c, f.blob, "m/gone", &id), 0);
	assert_int_equal(blob_parts_abort(&f.c, f.blob, "m/gone", id), 0);
	assert_int_equal(temporaries(), 0);
}

static void test_sweep(void **state)
{
	struct blob *second;
	int fd;

	(void)state;
	/* What a killed daemon leaves, and a living one's folder. */
	assert_int_equal(mkdir(at(".capstan-tmp/dead"), 0700), 0);
	assert_int_equal(mkdir(at(".capstan-tmp/dead/sub"), 0700), 0);
	fd = open(at(".capstan-tmp/dead/sub/t1"), O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	second = blob_open(&f.c, arena_printf(f.c.arena, "file://%s", f.root));
	assert_non_null(second);
	assert_int_equal(access(at(".capstan-tmp/dead"), F_OK), -1);
	assert_int_equal(put("still/works", "1"), 0);
	blob_close(second);
	assert_int_equal(put("still/works", "2"), 0);
	assert_int_equal(temporaries(), 0);
	assert_null(blob_open(&f.c, "wasbs://container@account/x"));
	assert_int_equal(f.c.error.code, NOT_IMPLEMENTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_objects, setup, teardown),
		cmocka_unit_test_setup_teardown(test_at_hand, setup, teardown),
		cmocka_unit_test_setup_teardown(test_in_the_way, setup, teardown),
		cmocka_unit_test_setup_teardown(test_symlinks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deep_delete, setup, teardown),
		cmocka_unit_test_setup_teardown(test_parts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sweep, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
