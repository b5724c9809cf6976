/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Transfers with a store that says BLOB_AGAIN, takes little at a time and fails on command. */
#include "with_transfers.h"

#include <unistd.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
