/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Readers of remote stores, over a store that breaks off, stalls and lies. */
#include "fault_store.h"

static int open_reader(const struct blob_want *want, struct blob_reader **r, struct blob_info *info)
{
	int rc;

	*r = NULL;
	while ((rc = blob_read_open(&ctx, &store->remote.blob, "obj", want, ready, r, info))
	       == BLOB_AGAIN)
		await();
	return rc;
}

/* Reads up to the end; how many bytes came, all of them right. */
static int read_on(struct blob_reader *r, uint64_t from, uint64_t *to)
{
	static char data[64 << 10];
	size_t got = 1;

	for (*to = from; got; *to += got) {
		int rc = blob_read(&ctx, r, *to, data, sizeof(data), &got);

		if (rc == BLOB_AGAIN) {
			await();
			got = sizeof(data);
			*to -= got;
			continue;
		}
		if (rc)
			return rc;
		assert_memory_equal(data, server.object + *to, got);
	}
	return 0;
}

static int read_all(const struct blob_want *want, uint64_t *to)
{
	struct blob_info info = { 0 };
	struct blob_reader *r;
	int rc = open_reader(want, &r, &info);

	*to = 0;
	if (rc)
		return rc;
	rc = read_on(r, want ? want->first : 0, to);
	blob_read_close(r);
	return rc;
}

static void test_read(void **state)
{
	const struct blob_want part = { .first = 1000, .length = 10 };
	struct blob_info info;
	struct blob_reader *r;
	uint64_t n;

	(void)state;
	SCRIPT({ 0 });
	assert_int_equal(open_reader(NULL, &r, &info), 0);
	assert_int_equal(info.size, OBJECT);
	assert_int_equal(info.modified, 784111777);
	assert_string_equal(info.etag, "\"one\"");
	assert_int_equal(read_on(r, 0, &n), 0);
	assert_int_equal(n, OBJECT);
	assert_true(asked(0, "\r\nrange: bytes=0-\r\n"));
	assert_int_equal(atomic_load(&server.count), 1);
	/* Elsewhere, and what is wanted no longer. */
	assert_int_equal(read_on(r, OBJECT - 5, &n), 0);
	assert_int_equal(n, OBJECT);
	assert_true(asked(1, "\r\nrange: bytes=1023995-1023999\r\n"));
	assert_true(asked(1, "\r\nif-match: \"one\"\r\n"));
	assert_int_equal(read_on(r, OBJECT + 7, &n), 0);
	assert_int_equal(atomic_load(&server.count), 2);
	blob_read_close(r);

	script(steps, 1);
	assert_int_equal(open_reader(&part, &r, &info), 0);
	assert_int_equal(info.size, OBJECT);
	assert_true(asked(0, "\r\nrange: bytes=1000-1009\r\n"));
	/* Behind it there is more of the object. */
	assert_int_equal(read_on(r, 1000, &n), 0);
	assert_int_equal(n, OBJECT);
	assert_true(asked(1, "\r\nrange: bytes=1010-1023999\r\n"));
	blob_read_close(r);
}

static void test_read_goes_on(void **state)
{
	uint64_t n;

	(void)state;
	SCRIPT({ .cut = 300000 }, { .cut = 200000, .after = RESET }, SLOW, { 0 });
	assert_int_equal(read_all(NULL, &n), 0);
	assert_int_equal(n, OBJECT);
	assert_int_equal(atomic_load(&server.count), 4);
	assert_true(asked(1, "\r\nrange: bytes=300000-1023999\r\n"));
	assert_true(asked(1, "\r\nif-match: \"one\"\r\n"));
	/* What a reset took from the kernel is asked for again: from where the reader was. */
	assert_true(asked(2, "\r\nif-match: \"one\"\r\n"));
	assert_true(asked(3, "-1023999\r\n"));
}

static void test_read_goes_on_within_range(void **state)
{
	const struct blob_want part = { .first = 100, .length = 400000 };
	struct blob_info info;
	struct blob_reader *r;
	static char data[400000];
	size_t at = 0, got;

	(void)state;
	SCRIPT({ .cut = 300000 }, { 0 });
	assert_int_equal(open_reader(&part, &r, &info), 0);
	while (at < sizeof(data)) {
		int rc = blob_read(&ctx, r, 100 + at, data + at, sizeof(data) - at, &got);

		assert_true(rc >= 0);
		if (rc == BLOB_AGAIN)
			await();
		else
			at += got;
	}
	assert_memory_equal(data, server.object + 100, sizeof(data));
	assert_true(asked(1, "\r\nrange: bytes=300100-400099\r\n"));
	blob_read_close(r);
}

static void test_changed(void **state)
{
	static const struct step steps_of[][2] = {
		{ { .cut = 300000 }, { .etag = "\"two\"" } },
		{ { .cut = 300000 }, { .total = OBJECT - 1 } },
		{ { .cut = 300000 }, { .status = 412, .body = ERROR_BODY("PreconditionFailed") } },
		{ { .cut = 300000 }, { .status = 416, .body = ERROR_BODY("InvalidRange") } },
	};
	uint64_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(steps_of) / sizeof(steps_of[0]); i++) {
		script(steps_of[i], 2);
		assert_int_equal(read_all(NULL, &n), -1);
		assert_int_equal(n, 300000);
		failed(IO_ERROR, "changed while it was read");
		error_clear(&ctx);
		assert_int_equal(atomic_load(&server.count), 2);
	}
}

static void test_lies(void **state)
{
	static const struct blob_want part = { .first = 5, .length = 10 };
	uint64_t n;

	(void)state;
	/* More is announced than comes, again and again: no end, but an error. */
	SCRIPT({ .claim = 5, .ignore_range = true });
	assert_int_equal(read_all(NULL, &n), -1);
	assert_int_equal(n, OBJECT);
	failed(IO_ERROR, "length");
	error_clear(&ctx);
	/* Of a range the length is said twice: nothing is given out. */
	static const struct step claims[] = { { .claim = 5 } };

	script(claims, 1);
	assert_int_equal(read_all(NULL, &n), -1);
	assert_int_equal(n, 0);
	failed(IO_ERROR, "contradicts itself");
	error_clear(&ctx);
	/* Whoever ignores ranges is not believed. */
	static const struct step ignores[] = { { .cut = 300000 }, { .ignore_range = true } };

	script(ignores, 2);
	assert_int_equal(read_all(NULL, &n), -1);
	assert_int_equal(n, 300000);
	failed(IO_ERROR, "contradicts itself");
	error_clear(&ctx);
	static const struct step other[] = {
		{ .status = 206, .headers = "Content-Range: bytes 4-13/100\r\n", .body = "0123456789" } };

	script(other, 1);
	assert_int_equal(read_all(&part, &n), -1);
	failed(IO_ERROR, "contradicts itself");
	error_clear(&ctx);
	static const struct step bad[] = {
		{ .status = 206, .headers = "Content-Range: bytes 5-14/*\r\n", .body = "0123456789" } };

	script(bad, 1);
	assert_int_equal(read_all(&part, &n), -1);
	failed(IO_ERROR, "contradicts itself");
}

static void test_reads_are_bounded(void **state)
{
	uint64_t n;

	(void)state;
	/* Some progress each time, never enough. */
	SCRIPT({ .cut = 1000 });
	assert_int_equal(read_all(NULL, &n), -1);
	assert_int_equal(n, 1000 * REMOTE_TRIES);
	failed(TEMPORARILY_UNAVAILABLE, "store");
	assert_int_equal(atomic_load(&server.count), REMOTE_TRIES);
}

static void test_stall(void **state)
{
	int64_t begun = clock_ms();
	uint64_t n;

	(void)state;
	setenv("CAPSTAN_ARTIFACT_STALL_SECONDS", "1", 1);
	SCRIPT({ .cut = 300000, .after = HOLD }, { 0 });
	assert_int_equal(read_all(NULL, &n), 0);
	assert_int_equal(n, OBJECT);
	assert_true(asked(1, "\r\nrange: bytes=300000-1023999\r\n"));
	assert_in_range(clock_ms() - begun, 900, 5000);
}

static void test_unsatisfiable(void **state)
{
	static const struct blob_want beyond = { .first = OBJECT + 5, .length = 10 };
	struct blob_info info;
	struct blob_reader *r;
	uint64_t n;

	(void)state;
	SCRIPT({ .status = 416, .body = ERROR_BODY("InvalidRange") }, { 0 });
	assert_int_equal(open_reader(&beyond, &r, &info), 0);
	assert_int_equal(info.size, OBJECT);
	assert_int_equal(read_on(r, beyond.first, &n), 0);
	assert_int_equal(n, beyond.first);
	assert_int_equal(read_on(r, 0, &n), 0);
	assert_int_equal(n, OBJECT);
	assert_int_equal(atomic_load(&server.count), 2);
	blob_read_close(r);
}

static void test_close_early(void **state)
{
	struct blob_reader *r = NULL;
	struct blob_info info;

	(void)state;
	SCRIPT({ .status = -1, .after = HOLD });
	/* Nothing came yet, and nothing will: closing does not wait for it. */
	assert_int_equal(blob_read_open(&ctx, &store->remote.blob, "obj", NULL, ready, &r, &info),
	                 BLOB_AGAIN);
	assert_non_null(r);
	blob_read_close(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_read),
		TEST(test_read_goes_on),
		TEST(test_read_goes_on_within_range),
		TEST(test_changed),
		TEST(test_lies),
		TEST(test_reads_are_bounded),
		TEST(test_stall),
		TEST(test_unsatisfiable),
		TEST(test_close_early),
	};

	net_init();
	return cmocka_run_group_tests(tests, start, stop);
}
