/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The client against a small server of its own, whose answer is chosen by the path. */
#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/thread.h"
#include "net/net.h"

#include <cmocka.h>            /* last: it defines fail() */

static struct {
	int socket;
	unsigned port;
	pthread_t thread;
	atomic_int connections;
	atomic_bool stop;
	char request[1 << 20];          /* the last one, whole */
	size_t size;
} server;

static void reply(int to, const char *text)
{
	(void)!send(to, text, strlen(text), MSG_NOSIGNAL);
}

static bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

/* A request with Content-Length, or chunked up to the last chunk. */
static bool read_request(int from)
{
	server.size = 0;
	for (;;) {
		char *head, *length;
		ssize_t n;

		if (!readable(from, 5000) || server.size + 1 >= sizeof(server.request))
			return false;
		n = recv(from, server.request + server.size, sizeof(server.request) - server.size - 1, 0);
		if (n <= 0)
			return false;
		server.size += (size_t)n;
		server.request[server.size] = '\0';
		head = strstr(server.request, "\r\n\r\n");
		if (!head)
			continue;
		length = strcasestr(server.request, "content-length: ");
		if (strcasestr(server.request, "transfer-encoding: chunked")) {
			if (strstr(head, "\r\n0\r\n\r\n"))
				return true;
		} else if (!length || server.size - (size_t)(head + 4 - server.request)
		                              >= strtoul(length + 16, NULL, 10)) {
			return true;
		}
	}
}

static void answer(int to)
{
	const char *path = strchr(server.request, ' ');
	static const char filler[8192];

	path = path ? path + 1 : "";
	if (strncmp(path, "/ok", 3) == 0) {
		reply(to, "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nETag: \"e1\" \r\nContent-Length: 3\r\n\r\nabc");
	} else if (strncmp(path, "/redirect", 9) == 0) {
		reply(to, "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n");
	} else if (strncmp(path, "/busy", 5) == 0) {
		reply(to, "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy");
	} else if (strncmp(path, "/short", 6) == 0) {
		reply(to, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
	} else if (strncmp(path, "/garbage", 8) == 0) {
		reply(to, "SSH-2.0-OpenSSH\r\n\r\n");
	} else if (strncmp(path, "/hang", 5) == 0) {
		readable(to, 3000);
	} else if (strncmp(path, "/drip", 5) == 0) {
		reply(to, "HTTP/1.1 200 OK\r\n\r\n");
		for (int i = 0; i < 100 && !readable(to, 50); i++)
			reply(to, "x");
	} else if (strncmp(path, "/flood", 6) == 0) {
		reply(to, strstr(path, "404") ? "HTTP/1.1 404 No\r\n\r\n" : "HTTP/1.1 200 OK\r\n\r\n");
		for (int i = 0; i < 4096 && send(to, filler, sizeof(filler), MSG_NOSIGNAL) > 0; i++)
			;
	}                               /* else: closed without an answer */
}

static void *serve(void *arg)
{
	(void)arg;
	while (!atomic_load(&server.stop)) {
		int client;

		if (!readable(server.socket, 20))
			continue;
		client = accept(server.socket, NULL, NULL);
		atomic_fetch_add(&server.connections, 1);
		while (read_request(client)) {
			answer(client);
			if (!strstr(server.request, " /ok"))
				break;
		}
		close(client);
	}
	return NULL;
}

static int start(void **state)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(at);

	(void)state;
	net_init();
	server.socket = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(server.socket, (struct sockaddr *)&at, sizeof(at)) || listen(server.socket, 16)
	    || getsockname(server.socket, (struct sockaddr *)&at, &size))
		return -1;
	server.port = ntohs(at.sin_port);
	return thread_start(&server.thread, "server", serve, NULL);
}

static int stop(void **state)
{
	(void)state;
	atomic_store(&server.stop, true);
	pthread_join(server.thread, NULL);
	return close(server.socket);
}

struct fixture {
	struct ctx c;
	struct net *net;
	struct net_reply got;
	struct net_request r;
};

static int fixture_new(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->c.arena = arena_new(64 << 20);
	f->net = net_new();
	f->r = (struct net_request){ .method = "GET", .timeout_ms = 5000 };
	*state = f;
	return !f->net || !f->c.arena;
}

static int fixture_free(void **state)
{
	struct fixture *f = *state;

	net_free(f->net);
	arena_free(f->c.arena);
	free(f);
	return 0;
}

static int ask(struct fixture *f, const char *path)
{
	error_clear(&f->c);
	f->r.url = arena_printf(f->c.arena, "http://127.0.0.1:%u%s", server.port, path);
	return net_perform(&f->c, f->net, &f->r, &f->got);
}

static void plain(void **state)
{
	struct fixture *f = *state;
	const struct net_header headers[] = { { "X-One", "1" }, { "X-Empty", "" } };
	int before = atomic_load(&server.connections);

	f->r.headers = headers;
	f->r.header_count = 2;
	assert_int_equal(ask(f, "/ok"), 0);
	assert_int_equal(f->got.status, 200);
	assert_string_equal(f->got.body, "abc");
	assert_int_equal(f->got.size, 3);
	assert_string_equal(f->got.content_type, "text/x");
	assert_string_equal(f->got.etag, "\"e1\"");
	assert_int_equal(f->got.content_length, 3);
	assert_string_equal(f->got.failure, "");
	assert_non_null(strstr(server.request, "X-One: 1\r\n"));
	assert_non_null(strstr(server.request, "X-Empty:\r\n"));
	assert_null(strcasestr(server.request, "content-type"));
	f->r.user = "ann";
	f->r.password = "p:w";
	assert_int_equal(ask(f, "/ok"), 0);
	assert_non_null(strstr(server.request, "Authorization: Basic YW5uOnA6dw==\r\n"));
	f->r.user = f->r.password = NULL;
	f->r.token = "tok";
	assert_int_equal(ask(f, "/ok"), 0);
	assert_non_null(strstr(server.request, "Authorization: Bearer tok\r\n"));
	assert_int_equal(atomic_load(&server.connections), before + 1);        /* kept */
}

static void bodies(void **state)
{
	struct fixture *f = *state;
	const struct net_header type = { "Content-Type", "application/json" };

	f->r.method = "PATCH";
	f->r.body = "{\"a\": 1}";
	f->r.size = 8;
	f->r.headers = &type;
	f->r.header_count = 1;
	assert_int_equal(ask(f, "/ok"), 0);
	assert_int_equal(strncmp(server.request, "PATCH /ok", 9), 0);
	assert_non_null(strstr(server.request, "Content-Type: application/json\r\n"));
	assert_non_null(strstr(server.request, "\r\n\r\n{\"a\": 1}"));
	f->r = (struct net_request){ .method = "POST", .timeout_ms = 5000 };
	assert_int_equal(ask(f, "/ok"), 0);
	assert_non_null(strstr(server.request, "Content-Length: 0\r\n"));
	f->r.headers = &(struct net_header){ "X", "a\r\nY: b" };
	f->r.header_count = 1;
	assert_int_equal(ask(f, "/ok"), -1);
	assert_int_equal(f->c.error.code, INVALID_PARAMETER_VALUE);
}

static int64_t source(struct ctx *c, void *arg, char *to, size_t n)
{
	int *left = arg;

	if (*left < 0)
		return (fail)(c, INVALID_STATE, "the source broke");
	if (!*left)
		return 0;
	--*left;
	memset(to, 'x', n < 1000 ? n : 1000);
	return n < 1000 ? (int64_t)n : 1000;
}

static int sink(struct ctx *c, void *arg, const char *data, size_t n)
{
	size_t *sum = arg;

	(void)data;
	*sum += n;
	if (*sum > 1 << 20)
		return (fail)(c, INVALID_STATE, "enough");
	arena_alloc(c->arena, n);
	return 0;
}

static void streams(void **state)
{
	struct fixture *f = *state;
	int left = 3;
	size_t sum = 0;

	f->r.method = "PUT";
	f->r.source = source;
	f->r.source_arg = &left;
	f->r.source_size = 3000;
	assert_int_equal(ask(f, "/ok"), 0);
	assert_non_null(strstr(server.request, "Content-Length: 3000\r\n"));
	left = 2;
	f->r.source_size = -1;
	assert_int_equal(ask(f, "/ok"), 0);
	assert_non_null(strstr(server.request, "Transfer-Encoding: chunked\r\n"));
	left = -1;
	assert_int_equal(ask(f, "/ok"), -1);
	assert_string_equal(f->c.error.message, "the source broke");
	assert_string_equal(f->got.failure, "caller");

	f->r = (struct net_request){ .method = "GET", .timeout_ms = 5000, .sink = sink, .sink_arg = &sum };
	assert_int_equal(ask(f, "/ok"), 0);
	assert_int_equal(sum, 3);
	assert_int_equal(f->got.size, 0);
	assert_int_equal(ask(f, "/busy"), 0);           /* another status goes to the reply */
	assert_int_equal(sum, 3);
	assert_string_equal(f->got.body, "busy");
	assert_int_equal(ask(f, "/flood"), -1);
	assert_string_equal(f->c.error.message, "enough");
}

static void bounds(void **state)
{
	struct fixture *f = *state;
	int64_t began = clock_ms();

	f->r.most = 1000;
	assert_int_equal(ask(f, "/flood"), -1);
	assert_string_equal(f->got.failure, "too_large");
	assert_int_equal(ask(f, "/flood404"), 0);
	assert_int_equal(f->got.status, 404);
	assert_int_equal(f->got.size, 64 << 10);
	f->r.discard_body = true;
	assert_int_equal(ask(f, "/flood"), 0);
	assert_int_equal(f->got.status, 200);
	assert_int_equal(f->got.size, 0);
	assert_int_equal(ask(f, "/drip"), 0);
	assert_int_equal(f->got.status, 200);
	assert_in_range(clock_ms() - began, 0, 4000);
	f->r.discard_body = false;
	f->r.timeout_ms = 300;
	began = clock_ms();
	assert_int_equal(ask(f, "/hang"), -1);
	assert_string_equal(f->got.failure, "timeout");
	assert_int_equal(f->c.error.code, TEMPORARILY_UNAVAILABLE);
	assert_int_equal(ask(f, "/drip"), -1);
	assert_string_equal(f->got.failure, "timeout");
	assert_in_range(clock_ms() - began, 500, 2500);
}

static void failures(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *path, *failure;
	} cases[] = {
		{ "/short", "reset" }, { "/garbage", "protocol" }, { "/closed", "reset" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(ask(f, cases[i].path), -1);
		if (strcmp(f->got.failure, cases[i].failure) != 0)
			fail_msg("%s: %s (%s)", cases[i].path, f->got.failure, f->c.error.detail);
		assert_null(strstr(f->c.error.message, "curl"));
	}
	assert_int_equal(ask(f, "/redirect"), 0);       /* not followed */
	assert_int_equal(f->got.status, 302);
	assert_int_equal(ask(f, "/busy"), 0);
	assert_int_equal(f->got.status, 503);
	assert_int_equal(f->got.retry_after_s, 7);
	static const struct {
		const char *url, *failure;
	} urls[] = {
		{ "ftp://127.0.0.1/", "url" }, { "file:///etc/passwd", "url" }, { "http://", "url" },
		{ "http://127.0.0.1:1/", "connect" }, { "http://nothing.invalid/", "dns" },
	};
	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
		error_clear(&f->c);
		f->r.url = urls[i].url;
		assert_int_equal(net_perform(&f->c, f->net, &f->r, &f->got), -1);
		if (strcmp(f->got.failure, urls[i].failure) != 0)
			fail_msg("%s: %s (%s)", urls[i].url, f->got.failure, f->c.error.detail);
	}
}

/* Every way of writing our own address: refused, and nothing connects. */
static void public_only(void **state)
{
	struct fixture *f = *state;
	static const char *const hosts[] = {
		"127.0.0.1", "localhost", "0", "0.0.0.0", "2130706433", "0x7f000001", "0177.1", "127.1",
		"[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::127.0.0.1]", "169.254.169.254",
		"100.64.0.1",
	};
	int before;

	assert_int_equal(ask(f, "/ok"), 0);             /* a kept connection is judged too */
	before = atomic_load(&server.connections);
	f->r.flags = NET_PUBLIC;
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	for (size_t i = 0; i < sizeof(hosts) / sizeof(*hosts); i++) {
		error_clear(&f->c);
		f->r.url = arena_printf(f->c.arena, "http://%s:%u/ok", hosts[i], server.port);
		assert_int_equal(net_perform(&f->c, f->net, &f->r, &f->got), -1);
		if (strcmp(f->got.failure, "address") != 0)
			fail_msg("%s: %s (%s)", hosts[i], f->got.failure, f->c.error.detail);
		assert_int_equal(f->c.error.code, INVALID_PARAMETER_VALUE);
	}
	assert_int_equal(atomic_load(&server.connections), before);
	unsetenv("http_proxy");
}

static void proxies(void **state)
{
	struct fixture *f = *state;

	setenv("http_proxy", arena_printf(f->c.arena, "http://127.0.0.1:%u", server.port), 1);
	f->r.url = "http://example.invalid/x";
	assert_int_equal(net_perform(&f->c, f->net, &f->r, &f->got), -1);
	assert_int_equal(strncmp(server.request, "GET http://example.invalid/x ", 29), 0);
	server.request[0] = '\0';
	f->r.flags = NET_DIRECT;
	error_clear(&f->c);
	assert_int_equal(net_perform(&f->c, f->net, &f->r, &f->got), -1);
	assert_string_equal(f->got.failure, "dns");
	f->r.flags = NET_PUBLIC;
	error_clear(&f->c);
	assert_int_equal(net_perform(&f->c, f->net, &f->r, &f->got), -1);
	assert_string_equal(f->got.failure, "dns");
	assert_int_equal(server.request[0], '\0');
	unsetenv("http_proxy");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_new, fixture_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(plain), TEST(bodies), TEST(streams), TEST(bounds), TEST(failures),
		TEST(public_only), TEST(proxies),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
