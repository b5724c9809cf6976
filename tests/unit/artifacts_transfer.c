/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The engine against a directory and against a store that is slow, scarce and fails on command. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "artifacts/transfer.h"
#include "base/arena.h"
#include "base/limits.h"
#include "blob/blob.h"
#include "blob/ops.h"

#include <cmocka.h> /* last: its fail() is not ours */

/* ---- a socket: one thread that waits where the contract says so ---- */

struct client {
	pthread_mutex_t lock;
	pthread_cond_t woken;
	bool wake;
	atomic_bool closed;
};

static void client_init(struct client *s)
{
	*s = (struct client){ 0 };
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->woken, NULL);
}

static void client_done(struct client *s)
{
	atomic_store(&s->closed, true);
	pthread_cond_destroy(&s->woken);
	pthread_mutex_destroy(&s->lock);
}

static void wake(void *arg)
{
	struct client *s = arg;

	assert_false(atomic_load(&s->closed));
	pthread_mutex_lock(&s->lock);
	s->wake = true;
	pthread_cond_signal(&s->woken);
	pthread_mutex_unlock(&s->lock);
}

static void suspend(struct client *s, struct transfer *t)
{
	transfer_arm(t);
	pthread_mutex_lock(&s->lock);
	while (!s->wake)
		pthread_cond_wait(&s->woken, &s->lock);
	s->wake = false;
	pthread_mutex_unlock(&s->lock);
}

static struct transfer_engine *engine;

static char byte(size_t i)
{
	return (char)((i * 31) ^ (i >> 8));
}

/* Pushes `cut` of `size` bytes in pieces of `piece`; finishes only when all were pushed. The last
 * state. */
static enum transfer_state upload(const char *key, size_t size, int64_t announced, size_t cut,
				  size_t piece)
{
	struct stream what = { .kind = STREAM_UPLOAD, .key = key, .size = announced };
	enum transfer_state state = TRANSFER_WAIT;
	struct client s;
	struct transfer *t;
	char *data = malloc(piece);
	size_t at = 0;

	client_init(&s);
	t = transfer_begin(engine, &what, wake, &s);
	assert_non_null(t);
	while (at < cut) {
		size_t n = piece < cut - at ? piece : cut - at, taken = 0;

		for (size_t i = 0; i < n; i++)
			data[i] = byte(at + i);
		state = transfer_push(t, data, n, &taken);
		at += taken;
		if (state == TRANSFER_FAILED)
			break;
		if (state == TRANSFER_WAIT)
			suspend(&s, t);
	}
	while (cut == size && (state = transfer_finish(t)) == TRANSFER_WAIT)
		suspend(&s, t);
	transfer_close(t);
	client_done(&s);
	free(data);
	return state;
}

/* Pulls at most `cut` bytes and checks them. How many came; -1 failed. */
static long download(const char *key, size_t cut, size_t piece, const char *range,
		     struct transfer_head *head)
{
	struct stream what = { .kind = STREAM_DOWNLOAD, .key = key, .range = range };
	enum transfer_state state;
	struct client s;
	struct transfer *t;
	char *data = malloc(piece);
	size_t at = 0, got;

	client_init(&s);
	t = transfer_begin(engine, &what, wake, &s);
	assert_non_null(t);
	while ((state = transfer_open(t, head)) == TRANSFER_WAIT)
		suspend(&s, t);
	while (state != TRANSFER_FAILED && state != TRANSFER_DONE && at < cut) {
		state = transfer_pull(t, data, piece, &got);
		for (size_t i = 0; i < got; i++)
			assert_int_equal(data[i], byte((size_t)head->first + at + i));
		at += got;
		if (state == TRANSFER_WAIT)
			suspend(&s, t);
	}
	transfer_close(t);
	client_done(&s);
	free(data);
	return state == TRANSFER_FAILED ? -1 : (long)at;
}

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

/* ---- a store that says BLOB_AGAIN, takes little at a time and fails on command ---- */

struct slow {
	union {
		struct blob_reader reader;
		struct blob_writer writer;
	};
	struct blob_ready ready;
	pthread_t caller;
	bool calling;
	bool again;
};

static atomic_int slow_fail_at; /* which call fails, counted down; < 0 none */
static atomic_int slow_open;
static struct blob_want slow_wanted;
static atomic_int slow_nudges; /* writes of nothing */
static pthread_t slow_writer;
static atomic_int slow_here; /* writes that begin in slow_writer's thread */
static struct blob_ops slow_now; /* slow_ops, and what a test makes of them */

static void *slow_call(void *arg)
{
	struct slow *s = arg;

	usleep(200);
	s->ready.fn(s->ready.arg);
	return NULL;
}

static int slow_wait(struct ctx *c, struct slow *s)
{
	if (atomic_fetch_sub(&slow_fail_at, 1) == 0)
		return fail_because(c, IO_ERROR, "test", "on command");
	s->again = !s->again;
	if (!s->again)
		return 0;
	if (s->calling)
		pthread_join(s->caller, NULL);
	s->calling = pthread_create(&s->caller, NULL, slow_call, s) == 0;
	return BLOB_AGAIN;
}

static struct slow *slow_new(struct blob_ready ready)
{
	struct slow *s = calloc(1, sizeof(*s));

	s->reader.ops = &slow_now;
	s->ready = ready;
	atomic_fetch_add(&slow_open, 1);
	return s;
}

static void slow_free(struct slow *s)
{
	if (s->calling)
		pthread_join(s->caller, NULL);
	free(s);
	atomic_fetch_sub(&slow_open, 1);
}

static int slow_read_open(struct ctx *c, struct blob *b, const char *key,
			  const struct blob_want *want, struct blob_ready ready,
			  struct blob_reader **ret, struct blob_info *info)
{
	(void)b;
	if (*ret == NULL) {
		slow_wanted = want ? *want : (struct blob_want){ 0 };
		*ret = &slow_new(ready)->reader;
	}
	*info = (struct blob_info){ .size = (uint64_t)atoll(key), .modified = -1 };
	return slow_wait(c, (struct slow *)*ret);
}

static int slow_read(struct ctx *c, struct blob_reader *r, uint64_t offset, void *to, size_t n,
		     size_t *got)
{
	int rc = slow_wait(c, (struct slow *)r);

	for (*got = 0; !rc && *got < n && *got < 70000; (*got)++)
		((char *)to)[*got] = byte((size_t)offset + *got);
	return rc;
}

static void slow_read_close(struct blob_reader *r)
{
	slow_free((struct slow *)r);
}

static int slow_write_begin(struct ctx *c, struct blob *b, const struct blob_target *t,
			    struct blob_ready ready, struct blob_writer **ret)
{
	(void)b, (void)t;
	if (pthread_equal(pthread_self(), slow_writer))
		atomic_fetch_add(&slow_here, 1);
	if (atomic_fetch_sub(&slow_fail_at, 1) == 0)
		return fail_because(c, INSUFFICIENT_STORAGE, "test", "on command");
	*ret = &slow_new(ready)->writer;
	return 0;
}

static int slow_write(struct ctx *c, struct blob_writer *w, const void *data, size_t n,
		      size_t *taken)
{
	int rc = n ? slow_wait(c, (struct slow *)w) : 0;

	(void)data;
	if (!n)
		atomic_fetch_add(&slow_nudges, 1);
	*taken = rc ? 0 : n < 70000 ? n : 70000;
	return rc;
}

static int slow_write_commit(struct ctx *c, struct blob_writer *w, char etag[BLOB_ETAG])
{
	strcpy(etag, "\"slow\"");
	return slow_wait(c, (struct slow *)w);
}

static void slow_write_close(struct blob_writer *w)
{
	slow_free((struct slow *)w);
}

static const struct blob_ops slow_ops = {
	.read_open = slow_read_open,
	.read = slow_read,
	.read_close = slow_read_close,
	.write_begin = slow_write_begin,
	.write = slow_write,
	.write_commit = slow_write_commit,
	.write_close = slow_write_close,
};

static int setup_slow(void **state)
{
	static struct blob slow = { &slow_now };

	(void)state;
	slow_now = slow_ops;
	atomic_store(&slow_fail_at, -1);
	engine = transfer_engine_new(&slow, 3);
	return engine ? 0 : -1;
}

/* The same for a store that says so: its bytes come without the engine's threads. */
static int setup_direct(void **state)
{
	static struct blob direct = { &slow_now };

	(void)state;
	slow_now = slow_ops;
	slow_now.abilities = BLOB_NEVER_WAITS;
	atomic_store(&slow_fail_at, -1);
	engine = transfer_engine_new(&direct, 3);
	return engine ? 0 : -1;
}

/* And for a disk of whose bytes every other 100,000 are at hand. */
static atomic_int hands; /* reads that found some */

static int blocking_read(struct ctx *c, struct blob_reader *r, uint64_t offset, void *to, size_t n,
			 size_t *got)
{
	(void)r;
	if (atomic_fetch_sub(&slow_fail_at, 1) == 0)
		return fail_because(c, IO_ERROR, "test", "on command");
	for (*got = 0; *got < n && *got < 30000; (*got)++)
		((char *)to)[*got] = byte((size_t)offset + *got);
	return 0;
}

static int read_at_hand(struct ctx *c, struct blob_reader *r, uint64_t offset, void *to, size_t n,
			size_t *got)
{
	size_t there = 100000 - (size_t)offset % 100000;

	if (offset / 100000 % 2)
		return BLOB_AGAIN;
	atomic_fetch_add(&hands, 1);
	return blocking_read(c, r, offset, to, n < there ? n : there, got);
}

static int setup_at_hand(void **state)
{
	static struct blob at_hand = { &slow_now };

	(void)state;
	slow_now = slow_ops;
	slow_now.abilities = BLOB_READS_AT_HAND;
	slow_now.read = blocking_read;
	slow_now.read_at_hand = read_at_hand;
	atomic_store(&slow_fail_at, -1);
	atomic_store(&hands, 0);
	engine = transfer_engine_new(&at_hand, 3);
	return engine ? 0 : -1;
}

static int teardown_slow(void **state)
{
	(void)state;
	transfer_engine_free(engine);
	return atomic_load(&slow_open);
}

static void test_slow(void **state)
{
	struct transfer_head head;

	(void)state;
	assert_int_equal(upload("x", 600000, -1, 600000, 65536), TRANSFER_DONE);
	assert_int_equal(download("600000", SIZE_MAX, 65536, NULL, &head), 600000);
	for (size_t cut = 1; cut < 600000; cut += 70001) {
		upload("x", 600000, 600000, cut, 30000);
		download("600000", cut, 30000, NULL, &head);
	}
}

static void test_failures(void **state)
{
	struct transfer_head head;

	(void)state;
	for (int at = 0; at < 14; at++) {
		atomic_store(&slow_fail_at, at);
		assert_int_equal(upload("x", 600000, 600000, 600000, 50000), TRANSFER_FAILED);
		atomic_store(&slow_fail_at, at);
		assert_int_equal(download("600000", SIZE_MAX, 50000, NULL, &head), -1);
	}
	atomic_store(&slow_fail_at, -1);
}

/* What is short goes to a store that never waits without the engine's threads. */
static void test_short(void **state)
{
	(void)state;
	for (size_t size = 1; size <= 60000; size += 19999) {
		atomic_store(&slow_fail_at, -1);
		slow_writer = pthread_self();
		assert_int_equal(upload("x", size, (int64_t)size, size, 7000), TRANSFER_DONE);
		assert_true(atomic_load(&slow_here) > 0);
		atomic_store(&slow_here, 0);
		upload("x", size, (int64_t)size, size / 2, 7000);
		for (int at = 0; at < 3; at++) {
			atomic_store(&slow_fail_at, at);
			assert_int_equal(upload("x", size, (int64_t)size, size, 7000),
					 TRANSFER_FAILED);
		}
	}
	atomic_store(&slow_fail_at, -1);
}

/* What lies in memory is read at once, the rest fetched; a failure of either is one of the download. */
static void test_at_hand(void **state)
{
	static const size_t sizes[] = { 1, 99999, 100000, 100001, 200000, 1100000 };
	struct transfer_head head;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char key[20];

		snprintf(key, sizeof(key), "%zu", sizes[i]);
		assert_int_equal(download(key, SIZE_MAX, 7000, NULL, &head), sizes[i]);
		assert_int_equal(download(key, SIZE_MAX, 1 << 20, NULL, &head), sizes[i]);
	}
	assert_true(atomic_load(&hands) > 100);
	assert_int_equal(download("600000", SIZE_MAX, 65536, "bytes=150000-349999", &head), 200000);
	for (size_t cut = 1; cut < 600000; cut += 30001)
		assert_true(download("600000", cut, 30000, NULL, &head) >= (long)cut);
	for (int at = 0; at < 12; at++) {
		atomic_store(&slow_fail_at, at);
		assert_int_equal(download("600000", SIZE_MAX, 50000, NULL, &head), -1);
	}
	atomic_store(&slow_fail_at, -1);
}

/* What will be read is said to the store, before anybody knows how much there is. */
static void test_want(void **state)
{
	struct transfer_head head;

	(void)state;
	assert_int_equal(download("600000", SIZE_MAX, 50000, "bytes=1000-1999", &head), 1000);
	assert_int_equal(slow_wanted.first, 1000);
	assert_int_equal(slow_wanted.length, 1000);
	assert_int_equal(download("600000", SIZE_MAX, 50000, "bytes=-7", &head), 7);
	assert_true(slow_wanted.suffix && slow_wanted.length == 7);
	assert_int_equal(download("600000", SIZE_MAX, 50000, NULL, &head), 600000);
	assert_int_equal(slow_wanted.length, 0);
}

/* A client that pauses does not hold up what the store was given already. */
static void test_nudge(void **state)
{
	struct stream what = { .kind = STREAM_UPLOAD, .key = "x", .size = -1 };
	struct client s;
	struct transfer *t;
	char data[1000] = "";
	size_t taken;

	(void)state;
	client_init(&s);
	t = transfer_begin(engine, &what, wake, &s);
	while (transfer_push(t, data, sizeof(data), &taken) == TRANSFER_WAIT)
		suspend(&s, t);
	atomic_store(&slow_nudges, 0);
	for (int i = 0; i < 5000 && !atomic_load(&slow_nudges); i++) {
		transfer_arm(t);
		usleep(1000);
	}
	assert_true(atomic_load(&slow_nudges) > 0);
	transfer_close(t);
	client_done(&s);
}

/* At the end of the process: what waits for a store fails, its socket side is woken. */
static void test_cut_by_the_engine(void **state)
{
	struct stream what = { .kind = STREAM_UPLOAD, .key = "x", .size = -1 };
	struct client s;
	struct transfer *t;
	char data[1000] = "";
	size_t taken;

	(void)state;
	client_init(&s);
	t = transfer_begin(engine, &what, wake, &s);
	while (transfer_push(t, data, sizeof(data), &taken) == TRANSFER_WAIT)
		suspend(&s, t);
	transfer_engine_cut(engine);
	while (transfer_push(t, data, sizeof(data), &taken) != TRANSFER_FAILED)
		usleep(1000);
	assert_int_equal(transfer_error(t)->code, TEMPORARILY_UNAVAILABLE);
	transfer_close(t);
	client_done(&s);
}

/* ---- SHA-256 ---- */

/* Of byte(0) ... byte(size - 1). */
static const unsigned char *sha256_of(size_t size)
{
	static unsigned char sum[TRANSFER_SHA256];
	unsigned char *data = malloc(size);

	for (size_t i = 0; i < size; i++)
		data[i] = (unsigned char)byte(i);
	assert_true(EVP_Digest(data, size, sum, NULL, EVP_sha256(), NULL));
	free(data);
	return sum;
}

static struct transfer *sent(struct stream *what, struct client *s, enum transfer_state *state)
{
	struct transfer *t = transfer_begin(engine, what, wake, s);
	char data[5000];

	for (size_t at = 0; at < 300000;) {
		size_t taken;

		for (size_t i = 0; i < sizeof(data); i++)
			data[i] = byte(at + i);
		if (transfer_push(t, data, sizeof(data) < 300000 - at ? sizeof(data) : 300000 - at,
				  &taken) == TRANSFER_WAIT)
			suspend(s, t);
		at += taken;
	}
	while ((*state = transfer_finish(t)) == TRANSFER_WAIT)
		suspend(s, t);
	return t;
}

/* What a store takes little by little is hashed once. */
static void test_slow_digest(void **unused)
{
	struct stream what = { .kind = STREAM_UPLOAD, .key = "x", .size = -1 };
	enum transfer_state state;
	struct transfer *t;
	struct client s;

	(void)unused;
	client_init(&s);
	t = sent(&what, &s, &state);
	assert_int_equal(state, TRANSFER_DONE);
	assert_memory_equal(transfer_sha256(t), sha256_of(300000), TRANSFER_SHA256);
	transfer_close(t);
	client_done(&s);
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
		cmocka_unit_test_setup_teardown(test_want, setup_slow, teardown_slow),
		cmocka_unit_test_setup_teardown(test_nudge, setup_slow, teardown_slow),
		cmocka_unit_test_setup_teardown(test_cut_by_the_engine, setup_slow, teardown_slow),
		cmocka_unit_test_setup_teardown(test_slow, setup_slow, teardown_slow),
		cmocka_unit_test_setup_teardown(test_slow_digest, setup_slow, teardown_slow),
		cmocka_unit_test_setup_teardown(test_failures, setup_slow, teardown_slow),
		cmocka_unit_test_setup_teardown(test_want, setup_direct, teardown_slow),
		cmocka_unit_test_setup_teardown(test_slow, setup_direct, teardown_slow),
		cmocka_unit_test_setup_teardown(test_failures, setup_direct, teardown_slow),
		cmocka_unit_test_setup_teardown(test_short, setup_direct, teardown_slow),
		cmocka_unit_test_setup_teardown(test_at_hand, setup_at_hand, teardown_slow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
