/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Exchanges against a server whose behaviour is chosen by the path: with_peer.h. */
#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include "base/arena.h"
#include "base/clock.h"
#include "net/net.h"
#include "net/pump.h"
#include "with_peer.h"

#include <cmocka.h>            /* last: it defines fail() */

enum { MANY = 200, PIECE = 100 << 10 };

static struct net_pump *pump;

struct fixture {
	struct ctx c;
	struct net_exchange *x;
	struct net_exchange_request r;
	struct net_head head;
	sem_t ready;
	atomic_bool closed;
	atomic_int late;
	char piece[PIECE], own[PIECE];
};

static void on_ready(void *arg)
{
	struct fixture *f = arg;

	if (atomic_load(&f->closed))
		atomic_fetch_add(&f->late, 1);
	sem_post(&f->ready);
}

static int group_start(void **state)
{
	(void)state;
	net_init();
	pump = net_pump_new();
	return !pump || peer_start();
}

static int group_stop(void **state)
{
	(void)state;
	net_pump_free(pump);
	return peer_stop();
}

static struct fixture *fixture_new(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->c.arena = arena_new(64 << 20);
	sem_init(&f->ready, 0, 0);
	f->r = (struct net_exchange_request){ .method = "GET", .ready = on_ready, .arg = f,
		                              .stall_ms = 5000 };
	return f;
}

static void fixture_free(struct fixture *f)
{
	net_exchange_close(f->x);
	arena_free(f->c.arena);
	sem_destroy(&f->ready);
	free(f);
}

static int setup(void **state)
{
	*state = fixture_new();
	atomic_store(&peer.wrong, 0);
	atomic_store(&peer.sent, 0);
	atomic_store(&peer.received, 0);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int late = atomic_load(&f->late);

	fixture_free(f);
	return late + atomic_load(&peer.wrong);
}

static void begin(struct fixture *f, const char *path)
{
	net_exchange_close(f->x);
	f->x = NULL;
	error_clear(&f->c);
	while (sem_trywait(&f->ready) == 0)
		;
	f->r.url = arena_printf(f->c.arena, "http://127.0.0.1:%u%s", peer.port, path);
	assert_int_equal(net_exchange_start(&f->c, pump, &f->r, &f->x), 0);
}

/* NET_AGAIN was returned: nobody waits in vain. */
static void await(struct fixture *f)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 10;
	while (sem_timedwait(&f->ready, &until))
		if (errno != EINTR)
			fail_msg("never ready");
}

static int head(struct fixture *f)
{
	int rc;

	while ((rc = net_exchange_head(&f->c, f->x, &f->head)) == NET_AGAIN)
		await(f);
	return rc;
}

/* All of the body must be the pattern. -1: it broke, after *size bytes. */
static int read_all(struct fixture *f, int64_t *size)
{
	size_t got;
	int rc;

	*size = 0;
	for (;;) {
		rc = net_exchange_read(&f->c, f->x, f->piece, sizeof(f->piece), &got);
		if (rc == NET_AGAIN) {
			await(f);
			continue;
		}
		if (rc || !got)
			return rc;
		assert_true(pattern_is(f->piece, *size, got));
		*size += (int64_t)got;
	}
}

/* Until all is written, or nothing more is taken (0), or it broke (-1). */
static int write_all(struct fixture *f, int64_t size, int64_t *written)
{
	size_t n, taken;
	int rc;

	for (*written = 0; *written < size;) {
		n = size - *written < PIECE ? (size_t)(size - *written) : (size_t)PIECE;
		pattern_fill(f->piece, *written, n);
		rc = net_exchange_write(&f->c, f->x, f->piece, n, &taken);
		if (rc == NET_AGAIN) {
			assert_int_equal(taken, 0);
			await(f);
			continue;
		}
		if (rc || !taken)
			return rc;
		*written += (int64_t)taken;
	}
	return 0;
}

static void fine(struct fixture *f, int rc)
{
	if (rc)
		fail_msg("%s: %s (%s)", net_exchange_failure(f->x), f->c.error.message,
		         f->c.error.detail);
}

static void broke(struct fixture *f, int rc, const char *failure)
{
	assert_int_equal(rc, -1);
	if (strcmp(net_exchange_failure(f->x), failure) != 0)
		fail_msg("%s instead of %s: %s (%s)", net_exchange_failure(f->x), failure,
		         f->c.error.message, f->c.error.detail);
	assert_null(strstr(f->c.error.message, "curl"));
}

/* ---- answers ---- */

static void gets(void **state)
{
	struct fixture *f = *state;
	static const int64_t sizes[] = { 0, 1, 16384, 131072, 262144, 300001, 5 << 20 };
	static const char *const ways[] = { "get", "chunked", "until" };
	struct net_pump_stats before, after;
	int64_t size, sum = 0;

	net_pump_stats(pump, &before);
	for (size_t w = 0; w < 3; w++)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
			begin(f, arena_printf(f->c.arena, "/%s?size=%lld", ways[w], (long long)sizes[i]));
			fine(f, head(f));
			assert_int_equal(f->head.status, 200);
			assert_int_equal(f->head.content_length, w ? -1 : sizes[i]);
			fine(f, read_all(f, &size));
			assert_int_equal(size, sizes[i]);
			assert_string_equal(net_exchange_failure(f->x), "");
			assert_null(net_exchange_header(f->x, "X-Trailer"));
			sum += size;
		}
	net_pump_stats(pump, &after);
	assert_int_equal(after.exchanges - before.exchanges, 21);
	assert_int_equal(after.bytes_in - before.bytes_in, sum);
	assert_int_equal(after.failures, before.failures);
	assert_int_equal(after.active, 0);
	f->r.method = "HEAD";
	begin(f, "/get?size=12345");
	fine(f, head(f));
	assert_int_equal(f->head.content_length, 12345);
	fine(f, read_all(f, &size));
	assert_int_equal(size, 0);
}

/* What the owner does not read stays with the server, but for a ring and the sockets' buffers. */
static void slow_reader(void **state)
{
	struct fixture *f = *state;
	const int64_t most = 64 << 20;
	long long before;
	int64_t size;

	f->r.stall_ms = 300;            /* the time in which we do not read is no stall */
	begin(f, "/get?size=67108864");
	fine(f, head(f));
	do {
		before = atomic_load(&peer.sent);
		usleep(300000);
	} while (atomic_load(&peer.sent) != before);
	assert_in_range(before, 256 << 10, most / 2);
	usleep(400000);
	fine(f, read_all(f, &size));
	assert_int_equal(size, most);
}

static void lies(void **state)
{
	struct fixture *f = *state;
	int64_t size;

	begin(f, "/short?size=500000&send=400000");
	fine(f, head(f));
	broke(f, read_all(f, &size), "reset");
	assert_int_equal(size, 400000);
	assert_false(net_exchange_unsent(f->x));
	begin(f, "/cut?size=400000");
	broke(f, read_all(f, &size), "reset");
	assert_int_equal(size, 400000);
	begin(f, "/reset?size=3000000&send=10000");
	fine(f, head(f));
	broke(f, read_all(f, &size), "reset");
	begin(f, "/nothing");
	broke(f, head(f), "reset");
	assert_false(net_exchange_unsent(f->x));
	begin(f, "/long");
	fine(f, read_all(f, &size));
	assert_int_equal(size, 3);
}

static void heads(void **state)
{
	struct fixture *f = *state;
	struct net_header headers[] = { { "X-One", "1" }, { "X-Empty", "" } };

	f->r.headers = headers;
	f->r.header_count = 2;
	begin(f, "/headers?size=50&send=9");
	assert_null(net_exchange_header(f->x, "X-1"));
	fine(f, head(f));
	assert_string_equal(net_exchange_header(f->x, "x-49"), "000000049");
	assert_null(net_exchange_header(f->x, "X-50"));
	assert_true(peer_was_sent("X-One: 1\r\n"));
	assert_true(peer_was_sent("X-Empty:\r\n"));
	assert_false(peer_was_sent("expect"));
	assert_false(peer_was_sent("content-type"));
	begin(f, "/headers?size=64&send=1");    /* and Content-Length */
	broke(f, head(f), "too_large");
	begin(f, "/headers?size=60&send=260");
	fine(f, head(f));
	begin(f, "/headers?size=60&send=270");
	broke(f, head(f), "too_large");
	begin(f, "/a/../get/./b?size=1");       /* signed as it is */
	broke(f, head(f), "reset");
	assert_true(peer_was_sent("GET /a/../get/./b?size=1 "));
	net_exchange_close(f->x);
	f->x = NULL;
	error_clear(&f->c);
	headers[1].value = "a\r\nY: b";
	assert_int_equal(net_exchange_start(&f->c, pump, &f->r, &f->x), -1);
	assert_int_equal(f->c.error.code, INVALID_PARAMETER_VALUE);
}

static void collects(void **state)
{
	struct fixture *f = *state;
	struct net_reply got;
	_Atomic bool cancel = false;

	f->r.ready = NULL;
	begin(f, "/get?size=1000000");
	assert_int_equal(net_exchange_collect(&f->c, f->x, 1000000, NULL, &got), 0);
	assert_int_equal(got.status, 200);
	assert_int_equal(got.size, 1000000);
	assert_true(pattern_is(got.body, 0, got.size));
	assert_int_equal(got.body[got.size], 0);
	assert_string_equal(got.etag, "\"e\"");
	begin(f, "/get?size=1000001");
	assert_int_equal(net_exchange_collect(&f->c, f->x, 1000000, NULL, &got), -1);
	assert_string_equal(got.failure, "too_large");
	begin(f, "/chunked?size=1000000");
	assert_int_equal(net_exchange_collect(&f->c, f->x, 1000000, NULL, &got), 0);
	assert_true(pattern_is(got.body, 0, got.size));
	begin(f, "/chunked?size=1000001");
	assert_int_equal(net_exchange_collect(&f->c, f->x, 1000000, NULL, &got), -1);
	begin(f, "/busy");
	assert_int_equal(net_exchange_collect(&f->c, f->x, 0, NULL, &got), 0);
	assert_int_equal(got.status, 503);
	assert_string_equal(got.body, "busy");
	assert_string_equal(got.content_type, "text/x");
	assert_int_equal(got.retry_after_s, 7);
	f->r.method = "HEAD";
	begin(f, "/get?size=1000001");
	assert_int_equal(net_exchange_collect(&f->c, f->x, 0, NULL, &got), 0);
	assert_int_equal(got.size, 0);
	assert_int_equal(got.content_length, 1000001);
	f->r.method = "GET";
	begin(f, "/short?size=10&send=5");
	assert_int_equal(net_exchange_collect(&f->c, f->x, 0, &cancel, &got), -1);
	assert_string_equal(got.failure, "reset");
	begin(f, "/hang");
	atomic_store(&cancel, true);
	assert_int_equal(net_exchange_collect(&f->c, f->x, 0, &cancel, &got), -1);
	assert_string_equal(got.failure, "cancelled");
}

/* ---- requests ---- */

static void puts_fixed(void **state)
{
	struct fixture *f = *state;
	const size_t most = 20 << 20;
	char *body = malloc(most);

	pattern_fill(body, 0, most);
	for (size_t n = 0; n <= most; n = n ? n * 16 + 1 : 1) {
		f->r.method = n % 2 ? "PUT" : "POST";
		f->r.body = n ? body : NULL;
		f->r.size = n;
		begin(f, "/put");
		fine(f, head(f));
		assert_int_equal(f->head.status, 200);
		assert_true(peer_was_sent(arena_printf(f->c.arena, "Content-Length: %zu\r\n", n)));
		assert_true(peer_was_sent(arena_printf(f->c.arena, "%s /put ", f->r.method)));
	}
	f->r.size = most;
	atomic_store(&peer.received, 0);
	begin(f, "/put");
	fine(f, head(f));
	assert_int_equal(atomic_load(&peer.received), most);
	begin(f, "/first");             /* two heads that are none before the one */
	fine(f, head(f));
	assert_int_equal(f->head.status, 201);
	assert_null(net_exchange_header(f->x, "X-A"));
	net_exchange_close(f->x);
	f->x = NULL;
	free(body);
}

static void puts_written(void **state)
{
	struct fixture *f = *state;
	const int64_t most = 8 << 20;
	int64_t written;
	size_t taken;

	f->r.method = "PUT";
	f->r.written = true;
	f->r.body_size = most;
	begin(f, "/put");
	fine(f, write_all(f, most, &written));
	assert_int_equal(written, most);
	fine(f, head(f));
	assert_int_equal(f->head.status, 200);
	assert_int_equal(atomic_load(&peer.received), most);
	f->r.body_size = -1;
	begin(f, "/put");
	fine(f, write_all(f, most, &written));
	assert_int_equal(net_exchange_write(&f->c, f->x, NULL, 0, &taken), 0);
	fine(f, head(f));
	assert_int_equal(f->head.status, 200);
	assert_int_equal(atomic_load(&peer.received), 2 * most);
	begin(f, "/put");               /* nothing at all */
	assert_int_equal(net_exchange_write(&f->c, f->x, NULL, 0, &taken), 0);
	fine(f, head(f));
	f->r.body_size = 3;             /* a few bytes of a slow writer do not wait */
	atomic_store(&peer.received, 0);
	begin(f, "/put");
	usleep(100000);
	assert_int_equal(net_exchange_write(&f->c, f->x, "\0", 1, &taken), 0);
	for (int i = 0; i < 300 && !atomic_load(&peer.received); i++)
		usleep(10000);
	assert_int_equal(atomic_load(&peer.received), 1);
	pattern_fill(f->piece, 1, 2);
	assert_int_equal(net_exchange_write(&f->c, f->x, f->piece, 5, &taken), 0);
	assert_int_equal(taken, 2);
	fine(f, head(f));
}

/* A server that reads slowly holds the writer back. */
static void slow_server(void **state)
{
	struct fixture *f = *state;
	const int64_t most = 64 << 20;
	int64_t written = 0;
	size_t taken = 0;

	f->r.method = "PUT";
	f->r.written = true;
	f->r.body_size = most;
	f->r.stall_ms = 600;
	begin(f, "/deaf");
	for (int calm = 0; calm < 20;) {
		pattern_fill(f->piece, written, PIECE);
		int rc = net_exchange_write(&f->c, f->x, f->piece, PIECE, &taken);

		if (rc == -1)
			break;
		calm = rc == NET_AGAIN ? calm + 1 : 0;
		written += (int64_t)taken;
		if (rc == NET_AGAIN)
			usleep(10000);
	}
	assert_in_range(written, 256 << 10, most / 2);
	broke(f, head(f), "timeout");
	f->r.body_size = 2 << 20;
	f->r.stall_ms = 5000;
	begin(f, "/put?ms=3");
	fine(f, write_all(f, 2 << 20, &written));
	fine(f, head(f));
	assert_int_equal(f->head.status, 200);
}

static void refused_early(void **state)
{
	struct fixture *f = *state;
	static const char *const paths[] = { "/refuse", "/farewell", "/early" };
	const size_t most = 50 << 20;
	char *body = malloc(most);
	struct net_pump *shared = pump;
	struct net_reply got;
	int64_t written;

	pump = net_pump_new();          /* with no kept connections but those of this test */
	pattern_fill(body, 0, most);
	for (size_t i = 0; i < 9; i++) {
		const char *path = arena_printf(f->c.arena, "%s?size=%d", paths[i / 3], 100000);
		int status = i / 3 == 2 ? 200 : 403;
		int connections;

		f->r.method = "PUT";
		f->r.body = i % 3 ? NULL : body;
		f->r.size = i % 3 ? 0 : most;
		f->r.written = i % 3;
		f->r.body_size = i % 3 == 2 ? -1 : (int64_t)most;
		begin(f, path);
		if (i % 3) {
			/* Once all of it, once so that the answer finds the writer idle. */
			fine(f, write_all(f, i % 2 ? (int64_t)most : 100000, &written));
			assert_true(written < (int64_t)most);
		}
		assert_int_equal(net_exchange_collect(&f->c, f->x, 0, NULL, &got), 0);
		assert_int_equal(got.status, status);
		assert_string_equal(got.body, "no");
		if (i % 3) {
			size_t taken = 1;

			assert_int_equal(net_exchange_write(&f->c, f->x, body, 10, &taken), 0);
			assert_int_equal(taken, 0);
		}
		/* Half a request was sent: never used again. */
		connections = atomic_load(&peer.connections);
		net_exchange_close(f->x);
		f->x = NULL;
		f->r = (struct net_exchange_request){ .method = "PUT", .ready = on_ready, .arg = f };
		begin(f, "/get?size=0");
		fine(f, head(f));
		assert_int_equal(atomic_load(&peer.connections), connections + 1);
	}
	net_exchange_close(f->x);
	f->x = NULL;
	net_pump_free(pump);
	pump = shared;
	atomic_store(&peer.wrong, 0);   /* the sizes of chunks were read as their bytes */
	free(body);
}

/* ---- what goes wrong ---- */

static void failures(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *url, *failure;
		bool unsent;
	} cases[] = {
		{ "http://127.0.0.1:1/", "connect", true }, { "http://nothing.invalid/", "dns", true },
		{ "ftp://127.0.0.1/", "url", true }, { "http://", "url", true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		error_clear(&f->c);
		net_exchange_close(f->x);
		f->r.url = cases[i].url;
		assert_int_equal(net_exchange_start(&f->c, pump, &f->r, &f->x), 0);
		broke(f, head(f), cases[i].failure);
		assert_int_equal(net_exchange_unsent(f->x), cases[i].unsent);
		assert_non_null(f->c.error.detail);
	}
	f->r.flags = NET_PUBLIC;
	begin(f, "/get?size=1");
	broke(f, head(f), "address");
	assert_int_equal(f->c.error.code, INVALID_PARAMETER_VALUE);
}

/* A server that does not accept, and whose queue is full. */
static void connects(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(at);
	int full[4], server = socket(AF_INET, SOCK_STREAM, 0);
	int64_t began = clock_ms();

	assert_int_equal(bind(server, (struct sockaddr *)&at, size), 0);
	assert_int_equal(listen(server, 0), 0);
	assert_int_equal(getsockname(server, (struct sockaddr *)&at, &size), 0);
	for (int i = 0; i < 4; i++) {
		full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(full[i], (struct sockaddr *)&at, size);
	}
	usleep(20000);
	f->r.url = arena_printf(f->c.arena, "http://127.0.0.1:%u/", ntohs(at.sin_port));
	f->r.connect_ms = 300;
	assert_int_equal(net_exchange_start(&f->c, pump, &f->r, &f->x), 0);
	broke(f, head(f), "timeout");
	assert_true(net_exchange_unsent(f->x));
	assert_in_range(clock_ms() - began, 290, 3000);
	for (int i = 0; i < 4; i++)
		close(full[i]);
	close(server);
}

static void stalls(void **state)
{
	struct fixture *f = *state;
	int64_t began = clock_ms();
	int64_t size;

	f->r.stall_ms = 200;
	begin(f, "/hang");
	broke(f, head(f), "timeout");
	assert_in_range(clock_ms() - began, 190, 1500);
	assert_false(net_exchange_unsent(f->x));
	begin(f, "/half?size=100000&send=5000");
	fine(f, head(f));
	broke(f, read_all(f, &size), "timeout");
	assert_int_equal(size, 5000);
	f->r.method = "PUT";            /* the server waits for us: no stall of its */
	f->r.written = true;
	f->r.body_size = 1;
	begin(f, "/put");
	usleep(700000);
	pattern_fill(f->piece, 0, 1);
	assert_int_equal(net_exchange_write(&f->c, f->x, f->piece, 1, &(size_t){ 0 }), 0);
	fine(f, head(f));
}

static void delays(void **state)
{
	struct fixture *f = *state;
	int64_t began = clock_ms();
	int requests = atomic_load(&peer.requests);

	f->r.delay_ms = 250;
	begin(f, "/get?size=1");
	usleep(100000);
	assert_int_equal(atomic_load(&peer.requests), requests);
	fine(f, head(f));
	assert_in_range(clock_ms() - began, 250, 2000);
}

static void kept(void **state)
{
	struct fixture *f = *state;
	int before;
	int64_t written, size;

	begin(f, "/get?size=1");
	fine(f, read_all(f, &size));
	before = atomic_load(&peer.connections);
	for (int i = 0; i < 10; i++) {
		begin(f, "/get?size=1000");
		fine(f, read_all(f, &size));
	}
	assert_int_equal(atomic_load(&peer.connections), before);
	/* Closed by the peer, before or while the next request comes: a new one is made. */
	pattern_fill(f->own, 0, PIECE);
	for (int i = 0; i < 60; i++) {
		f->r.method = "GET";
		f->r.body = NULL;
		begin(f, i % 2 ? "/bye" : "/die");
		fine(f, read_all(f, &size));
		if (i % 5 == 4)
			usleep(5000);
		f->r.method = i % 4 < 2 ? "PUT" : "GET";
		f->r.body = i % 4 < 2 ? f->own : NULL;
		f->r.size = i % 8 < 4 ? PIECE : 1000;
		begin(f, i % 4 < 2 ? "/put" : "/get?size=10");
		fine(f, head(f));
		assert_int_equal(f->head.status, 200);
	}
	/* But what an owner has written is gone with it. */
	f->r = (struct net_exchange_request){ .method = "GET", .ready = on_ready, .arg = f };
	begin(f, "/die");
	fine(f, read_all(f, &size));
	f->r.method = "PUT";
	f->r.written = true;
	f->r.body_size = 10;
	begin(f, "/put");
	fine(f, write_all(f, 10, &written));
	broke(f, head(f), "reset");
}

/* ---- many, and the end ---- */

static void idle(void)
{
	struct net_pump_stats stats;

	for (int i = 0; i < 300 && (net_pump_stats(pump, &stats), stats.active); i++)
		usleep(10000);
	assert_int_equal(stats.active, 0);
}

static void many(void **state)
{
	struct fixture *f = *state;
	static struct fixture *all[MANY];
	int64_t moved;

	for (int i = 0; i < MANY; i++) {
		all[i] = fixture_new();
		all[i]->r.delay_ms = i % 3;
		if (i % 2) {
			all[i]->r.method = "PUT";
			all[i]->r.written = true;
			all[i]->r.body_size = 400000 + i;
		}
		begin(all[i], i % 2 ? "/put" : arena_printf(f->c.arena, "/get?size=%d", 400000 + i));
	}
	for (int i = 0; i < MANY; i++) {
		if (i % 2)
			assert_int_equal(write_all(all[i], 400000 + i, &moved), 0);
		else
			assert_int_equal(read_all(all[i], &moved), 0);
		assert_int_equal(moved, 400000 + i);
		assert_int_equal(head(all[i]), 0);
		assert_int_equal(all[i]->head.status, 200);
	}
	for (int i = 0; i < MANY; i++)
		fixture_free(all[i]);
	idle();
	for (int i = 0; i < 300 && atomic_load(&peer.active) > 66; i++)
		usleep(10000);
	assert_in_range(atomic_load(&peer.active), 1, 66);      /* idle connections */
}

/* In every state, and at any moment: neither a call of `ready` nor a read of the body comes later. */
static void closes(void **state)
{
	struct fixture *f = *state;
	static const char *const paths[] = {
		"/get?size=3000000", "/put", "/hang", "/refuse?size=70000", "/deaf", "/half?size=90000&send=100",
		"/get?size=10", "/reset?size=100000&send=50000",
	};
	unsigned seed = 7;

	for (int i = 0; i < 400; i++) {
		struct fixture *one = fixture_new();
		const size_t size = 500000;
		char *body = NULL;
		size_t n;
		int pause = rand_r(&seed) % 8;

		if (i % 3) {
			one->r.method = "PUT";
			one->r.written = i % 3 == 1;
			one->r.body_size = (int64_t)size;
			one->r.size = size;
			one->r.body = body = i % 3 == 2 ? malloc(size) : NULL;
			if (body)
				pattern_fill(body, 0, size);
		}
		one->r.delay_ms = rand_r(&seed) % 4 ? 0 : rand_r(&seed) % 5;
		one->r.stall_ms = 100;
		begin(one, paths[rand_r(&seed) % 8]);
		pattern_fill(one->piece, 0, PIECE);
		for (int64_t until = clock_us() + (1 << pause) * 30; clock_us() < until;) {
			(void)!net_exchange_head(&one->c, one->x, &one->head);
			(void)!net_exchange_read(&one->c, one->x, f->piece, PIECE, &n);
			if (one->r.written && pause < 2)
				(void)!net_exchange_write(&one->c, one->x, one->piece, 20000, &n);
		}
		net_exchange_close(one->x);
		atomic_store(&one->closed, true);
		one->x = NULL;
		free(body);
		if (i % 16 == 0)
			usleep(2000);
		assert_int_equal(atomic_load(&one->late), 0);
		fixture_free(one);
	}
	atomic_store(&peer.wrong, 0);   /* what was written above is not one pattern */
	idle();
}

static void slow_ready(void *arg)
{
	struct fixture *f = arg;

	sem_post(&f->ready);
	usleep(50000);
	on_ready(f);
}

static void close_self(void *arg)
{
	struct fixture *f = arg;

	net_exchange_close(f->x);
	sem_post(&f->ready);
}

/* From within `ready`; and a pump that ends right after its exchanges were closed. */
static void ends(void **state)
{
	struct fixture *f = *state;
	struct net_pump *shared = pump;

	f->r.ready = slow_ready;
	f->r.stall_ms = 100;
	begin(f, "/hang");
	assert_int_equal(net_exchange_head(&f->c, f->x, &f->head), NET_AGAIN);
	await(f);
	net_exchange_close(f->x);       /* waits for the call that is going on */
	f->x = NULL;
	atomic_store(&f->closed, true);
	assert_int_equal(sem_trywait(&f->ready), 0);
	usleep(60000);
	assert_int_equal(atomic_load(&f->late), 0);
	atomic_store(&f->closed, false);
	f->r.ready = close_self;
	begin(f, "/hang");
	assert_int_equal(net_exchange_head(&f->c, f->x, &f->head), NET_AGAIN);
	await(f);
	f->x = NULL;
	pump = net_pump_new();
	f->r.ready = on_ready;
	f->r.stall_ms = 5000;
	begin(f, "/get?size=10000000");
	fine(f, head(f));
	begin(f, "/hang");
	f->r.delay_ms = 100000;
	begin(f, "/hang");
	net_exchange_close(f->x);
	f->x = NULL;
	net_pump_free(pump);
	pump = shared;
	net_pump_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(gets), TEST(slow_reader), TEST(lies), TEST(heads), TEST(collects), TEST(puts_fixed),
		TEST(puts_written), TEST(slow_server), TEST(refused_early), TEST(failures), TEST(connects), TEST(stalls),
		TEST(delays), TEST(kept), TEST(many), TEST(closes), TEST(ends),
	};

	return cmocka_run_group_tests(tests, group_start, group_stop);
}
