/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The engine against a directory. */
#include "with_transfers.h"

#include <dirent.h>
#include <unistd.h>

/* ---- a directory ---- */

static char dir[64];
static struct blob *blob;

static int setup(void **state)
{
	struct ctx c = { .arena = arena_new(1 << 20) };

	(void)state;
	strcpy(dir, "/tmp/artifacts_transfer.XXXXXX");
	assert_non_null(mkdtemp(dir));
	blob = blob_open(&c, dir);
	assert_non_null(blob);
	engine = transfer_engine_new(blob, 4);
	assert_non_null(engine);
	arena_free(c.arena);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	transfer_engine_free(engine);
	blob_close(blob);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static bool exists(const char *key)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", dir, key);
	return access(path, F_OK) == 0;
}

static void test_sizes(void **state)
{
	static const size_t sizes[] = { 0, 1, 2, 4095, 4096, LIMIT_RING - 1, LIMIT_RING,
					LIMIT_RING + 1, 3 * LIMIT_RING + 17, 5 << 20 };
	static const size_t pieces[] = { 1000, 4096, 65537, 1 << 20 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
			struct transfer_head head;
			int64_t announced = k % 2 ? (int64_t)sizes[i] : -1;

			assert_int_equal(upload("s/file", sizes[i], announced, sizes[i], pieces[k]),
					 TRANSFER_DONE);
			assert_int_equal(download("s/file", SIZE_MAX, pieces[k], NULL, &head),
					 sizes[i]);
			assert_int_equal(head.status, 200);
			assert_int_equal(head.length, sizes[i]);
		}
}

static void test_cut_everywhere(void **state)
{
	(void)state;
	for (size_t cut = 0; cut < 300; cut++)
		upload("cut/file", 300, cut % 2 ? 300 : -1, cut, 7);
	for (size_t cut = 0; cut < 3 * LIMIT_RING; cut += 60001)
		upload("cut/file", 3 * LIMIT_RING, -1, cut, 40000);
	/* Finished too early, or too late. */
	assert_int_equal(upload("cut/file", 10, 11, 10, 3), TRANSFER_FAILED);
	assert_int_equal(upload("cut/file", 12, 11, 12, 5), TRANSFER_FAILED);
	transfer_engine_free(engine);
	engine = transfer_engine_new(blob, 4);
	assert_false(exists("cut"));
}

static void test_download_cut(void **state)
{
	struct transfer_head head;

	(void)state;
	assert_int_equal(upload("d/file", 2 << 20, -1, 2 << 20, 65536), TRANSFER_DONE);
	for (size_t cut = 0; cut < 2 << 20; cut += 99991)
		assert_true(download("d/file", cut, 10007, NULL, &head) >= (long)cut);
	assert_int_equal(download("d/none", 1, 1, NULL, &head), -1);
	assert_int_equal(download("d", 1, 1, NULL, &head), -1);
}

static void test_head(void **state)
{
	struct transfer_head head;
	struct stream what = { .kind = STREAM_DOWNLOAD, .key = "h.txt" };
	struct transfer *t;
	struct client s;
	char etag[80];

	(void)state;
	assert_int_equal(upload("h.txt", 100000, -1, 100000, 65536), TRANSFER_DONE);
	assert_int_equal(download("h.txt", SIZE_MAX, 777, "bytes=5000-5999", &head), 1000);
	assert_int_equal(head.status, 206);
	assert_int_equal(head.first, 5000);
	assert_int_equal(head.total, 100000);
	assert_string_equal(head.content_type, "text/plain");
	assert_int_equal(download("h.txt", SIZE_MAX, 777, "bytes=-10", &head), 10);
	assert_int_equal(download("h.txt", SIZE_MAX, 777, "bytes=100000-", &head), -1);
	assert_int_equal(head.status, 416);
	assert_int_equal(head.total, 100000);
	strcpy(etag, head.etag);
	what.if_none_match = etag;
	client_init(&s);
	t = transfer_begin(engine, &what, wake, &s);
	while (transfer_open(t, &head) == TRANSFER_WAIT)
		suspend(&s, t);
	assert_int_equal(head.status, 304);
	assert_int_equal(head.length, 0);
	transfer_close(t);
	client_done(&s);
}

struct worker {
	pthread_t thread;
	unsigned id;
	unsigned failures;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	char key[64];
	unsigned seed = w->id;

	for (int round = 0; round < 15; round++) {
		size_t size = (size_t)rand_r(&seed) % (700 * 1024);
		struct transfer_head head;

		snprintf(key, sizeof(key), "c/%u/d%d/file", w->id % 3, round);
		if (round % 4 == 3) {
			upload(key, size + 1, -1, size, 30011);
			continue;
		}
		if (upload(key, size, -1, size, 30011) != TRANSFER_DONE)
			w->failures++;
		/* Another worker may have replaced it meanwhile: whole in any case. */
		if (download(key, SIZE_MAX, 50021, NULL, &head) != (long)head.length)
			w->failures++;
		download(key, 1000, 50021, NULL, &head);
	}
	return NULL;
}

static void test_many(void **state)
{
	struct worker workers[12];
	struct transfer_stats stats;
	unsigned failures = 0;

	(void)state;
	for (unsigned i = 0; i < 12; i++) {
		workers[i] = (struct worker){ .id = i };
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < 12; i++) {
		pthread_join(workers[i].thread, NULL);
		failures += workers[i].failures;
	}
	assert_int_equal(failures, 0);
	transfer_engine_stats(engine, &stats);
	assert_int_equal(stats.waiting, 0);
}

/* More than there are places: the rest waits in order, also through closes of those that wait. */
static void test_queue(void **state)
{
	enum { COUNT = LIMIT_TRANSFERS + 40 };
	static struct client clients[COUNT];
	static struct transfer *ts[COUNT];
	struct stream what = { .kind = STREAM_UPLOAD, .key = "q/file", .size = 3 };
	struct transfer_stats stats;
	size_t taken;

	(void)state;
	for (int i = 0; i < COUNT; i++) {
		client_init(&clients[i]);
		ts[i] = transfer_begin(engine, &what, wake, &clients[i]);
		assert_non_null(ts[i]);
	}
	transfer_engine_stats(engine, &stats);
	assert_int_equal(stats.active, LIMIT_TRANSFERS);
	assert_int_equal(stats.waiting, 40);
	assert_int_equal(transfer_push(ts[COUNT - 1], "abc", 3, &taken), TRANSFER_WAIT);
	for (int i = LIMIT_TRANSFERS; i < COUNT - 1; i += 2)
		transfer_close(ts[i]);
	transfer_close(ts[LIMIT_TRANSFERS + 1]);
	for (int i = 0; i < LIMIT_TRANSFERS; i++)
		transfer_close(ts[i]);
	while (transfer_push(ts[COUNT - 1], "abc", 3, &taken) == TRANSFER_WAIT)
		suspend(&clients[COUNT - 1], ts[COUNT - 1]);
	while (transfer_finish(ts[COUNT - 1]) == TRANSFER_WAIT)
		suspend(&clients[COUNT - 1], ts[COUNT - 1]);
	for (int i = LIMIT_TRANSFERS + 3; i < COUNT; i += 2)
		transfer_close(ts[i]);
	assert_true(exists("q/file"));
	for (int i = 0; i < COUNT; i++)
		client_done(&clients[i]);
}

static void test_digest(void **unused)
{
	struct stream what = { .kind = STREAM_UPLOAD, .key = "sum/file", .size = -1 };
	enum transfer_state state;
	struct transfer_head head;
	struct transfer *t;
	struct client s;
	char *data = malloc(300000);
	size_t at = 0, got;

	(void)unused;
	client_init(&s);
	t = sent(&what, &s, &state);
	assert_int_equal(state, TRANSFER_DONE);
	assert_memory_equal(transfer_sha256(t), sha256_of(300000), TRANSFER_SHA256);
	assert_int_equal(transfer_size(t), 300000);
	what = (struct stream){ .kind = STREAM_DOWNLOAD, .key = "sum/file", .digest = true,
				.made_size = 300000 };
	memcpy(what.sha256, transfer_sha256(t), TRANSFER_SHA256);
	strcpy(what.made_etag, transfer_etag(t));
	transfer_close(t);

	/* Announced and right; announced and wrong: what was there stays. */
	for (int wrong = 0; wrong < 2; wrong++) {
		struct stream again = { .kind = STREAM_UPLOAD, .key = wrong ? "sum/file" : "sum/other",
					.size = 300000, .digest = true };

		memcpy(again.sha256, what.sha256, TRANSFER_SHA256);
		again.sha256[31] ^= (unsigned char)wrong;
		t = sent(&again, &s, &state);
		assert_int_equal(state, wrong ? TRANSFER_FAILED : TRANSFER_DONE);
		if (wrong)
			assert_int_equal(transfer_error(t)->code, INVALID_PARAMETER_VALUE);
		transfer_close(t);
	}

	/* One that is no longer what it was: its last bytes do not come. */
	for (int wrong = 0; wrong < 2; wrong++) {
		what.sha256[0] ^= (unsigned char)wrong;
		t = transfer_begin(engine, &what, wake, &s);
		while (transfer_open(t, &head) == TRANSFER_WAIT)
			suspend(&s, t);
		assert_true(head.digest);
		for (at = 0; (state = transfer_pull(t, data, 300000, &got)) != TRANSFER_DONE &&
			     state != TRANSFER_FAILED; at += got) {
			if (state == TRANSFER_WAIT)
				suspend(&s, t);
		}
		assert_int_equal(state, wrong ? TRANSFER_FAILED : TRANSFER_DONE);
		assert_true(wrong ? at < 300000 : at == 300000);
		transfer_close(t);
	}
	strcpy(what.made_etag, "\"another\"");
	t = transfer_begin(engine, &what, wake, &s);
	while (transfer_open(t, &head) == TRANSFER_WAIT)
		suspend(&s, t);
	assert_false(head.digest);
	transfer_close(t);
	client_done(&s);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut_everywhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_download_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_head, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_queue, setup, teardown),
		cmocka_unit_test_setup_teardown(test_digest, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
