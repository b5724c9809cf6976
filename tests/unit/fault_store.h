/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * An S3 store that answers by a script, for tests of blob/remote*: each connection is for one request, which takes the
 * script's next step (the last one is for all that follow).
 */
#ifndef FAULT_STORE_H
#define FAULT_STORE_H

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
#include <sys/socket.h>
#include <unistd.h>

#include "../../src/blob/s3.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/thread.h"
#include "with_bell.h"

#include <cmocka.h>            /* last: it defines fail() */

/* Not every test uses all of it. */
#define UNUSED __attribute__((unused))

enum { OBJECT = 1000 << 10, REQUESTS = 32, HELD = 8 };

enum after { CLOSE, RESET, HOLD };

struct step {
	int status;                     /* 0: the object, as the request's Range wants it; -1: no answer */
	const char *headers;            /* more of them, each with its line end */
	const char *body;
	size_t cut;                     /* of the object's bytes only so many are sent, then: */
	enum after after;
	const char *etag;               /* "\"one\"" */
	size_t total;                   /* OBJECT */
	size_t claim;                   /* adds to Content-Length */
	bool ignore_range;
};

static struct {
	int socket;
	unsigned port;
	pthread_t thread;
	_Atomic(const struct step *) steps;
	atomic_uint step_count;
	atomic_uint count;              /* of requests */
	char requests[REQUESTS][4096];
	int held[HELD];
	int held_count;
	atomic_bool stop;
	char object[OBJECT];
} server;

static struct ctx ctx;
static struct s3 *store;

/* ---- the server ---- */

static bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

static bool read_request(int from, char *to, size_t most)
{
	size_t size = 0;

	for (;;) {
		char *head, *length;
		ssize_t n;

		if (!readable(from, 5000) || size + 1 >= most)
			return false;
		n = recv(from, to + size, most - size - 1, 0);
		if (n <= 0)
			return false;
		size += (size_t)n;
		to[size] = '\0';
		head = strstr(to, "\r\n\r\n");
		length = strcasestr(to, "content-length: ");
		if (head && (!length || size - (size_t)(head + 4 - to) >= strtoul(length + 16, NULL, 10)))
			return true;
	}
}

static void send_all(int to, const char *data, size_t n)
{
	while (n) {
		ssize_t k = send(to, data, n, MSG_NOSIGNAL);

		if (k <= 0)
			return;
		data += k;
		n -= (size_t)k;
	}
}

static void send_object(int to, const struct step *s, const char *request)
{
	const char *range = s->ignore_range ? NULL : strcasestr(request, "\r\nrange: bytes=");
	size_t total = s->total ? s->total : OBJECT;
	size_t first = 0, last = total - 1;
	char head[1024];
	size_t n;

	if (range) {
		range += strlen("\r\nrange: bytes=");
		first = strtoul(range, NULL, 10);
		range = strchr(range, '-') + 1;
		if (*range >= '0' && *range <= '9')
			last = strtoul(range, NULL, 10);
		if (last >= total)
			last = total - 1;
	}
	n = last - first + 1;
	snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Length: %zu\r\nETag: %s\r\n"
	         "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n%sConnection: close\r\n",
	         range ? "206 Partial Content" : "200 OK", n + s->claim,
	         s->etag ? s->etag : "\"one\"", s->headers ? s->headers : "");
	send_all(to, head, strlen(head));
	snprintf(head, sizeof(head), "Content-Range: bytes %zu-%zu/%zu\r\n\r\n", first, last, total);
	send_all(to, range ? head : "\r\n", range ? strlen(head) : 2);
	send_all(to, server.object + first, s->cut && s->cut < n ? s->cut : n);
}

static void send_answer(int to, const struct step *s)
{
	const char *body = s->body ? s->body : "";
	char head[1024];

	snprintf(head, sizeof(head),
	         "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n%sConnection: close\r\n\r\n", s->status,
	         strlen(body), s->headers ? s->headers : "");
	send_all(to, head, strlen(head));
	send_all(to, body, strlen(body));
}

static void serve(int fd)
{
	unsigned n = atomic_load(&server.count);
	unsigned steps = atomic_load(&server.step_count);
	const struct step *s = &atomic_load(&server.steps)[n < steps ? n : steps - 1];
	const struct linger none = { .l_onoff = 1 };
	char *request = server.requests[n < REQUESTS ? n : REQUESTS - 1];

	if (!read_request(fd, request, sizeof(server.requests[0]))) {
		close(fd);
		return;
	}
	atomic_fetch_add(&server.count, 1);
	if (s->status > 0)
		send_answer(fd, s);
	else if (!s->status)
		send_object(fd, s, request);
	if (s->after == HOLD && server.held_count < HELD) {
		server.held[server.held_count++] = fd;
		return;
	}
	if (s->after == RESET)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	close(fd);
}

static void *run(void *arg)
{
	(void)arg;
	while (!atomic_load(&server.stop)) {
		int fd;

		if (!readable(server.socket, 20))
			continue;
		fd = accept(server.socket, NULL, NULL);
		if (fd >= 0)
			serve(fd);
	}
	return NULL;
}

UNUSED static int start(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);

	(void)state;
	for (size_t i = 0; i < OBJECT; i++)
		server.object[i] = (char)(i * 7 + i / 4093);
	server.socket = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(server.socket, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(server.socket, 16), 0);
	getsockname(server.socket, (struct sockaddr *)&address, &size);
	server.port = ntohs(address.sin_port);
	setenv("no_proxy", "*", 1);
	setenv("AWS_ACCESS_KEY_ID", "AKID", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "SECRET", 1);
	setenv("AWS_CONFIG_FILE", "/nonexistent/config", 1);
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials", 1);
	unsetenv("AWS_PROFILE");
	unsetenv("AWS_SESSION_TOKEN");
	return thread_start(&server.thread, "faults", run, NULL);
}

UNUSED static int stop(void **state)
{
	(void)state;
	atomic_store(&server.stop, true);
	pthread_join(server.thread, NULL);
	close(server.socket);
	return 0;
}

UNUSED static int begin(void **state)
{
	char url[64];

	(void)state;
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", server.port);
	setenv("MLFLOW_S3_ENDPOINT_URL", url, 1);
	unsetenv("CAPSTAN_ARTIFACT_STALL_SECONDS");
	ctx = (struct ctx){ .arena = arena_new(64 << 20) };
	store = (struct s3 *)blob_open(&ctx, "s3://buck/pre");
	assert_non_null(store);
	return 0;
}

UNUSED static int end(void **state)
{
	(void)state;
	blob_close(&store->remote.blob);
	blob_shutdown();
	arena_free(ctx.arena);
	for (; server.held_count; server.held_count--)
		close(server.held[server.held_count - 1]);
	return 0;
}

UNUSED static void script(const struct step *steps, unsigned count)
{
	atomic_store(&server.count, 0);
	atomic_store(&server.steps, steps);
	atomic_store(&server.step_count, count);
}

#define SCRIPT(...)                                                                                \
	static const struct step steps[] = { __VA_ARGS__ };                                        \
	script(steps, sizeof(steps) / sizeof(steps[0]))

#define ERROR_BODY(code) "<Error><Code>" code "</Code><Message>m</Message></Error>"
#define SLOW { .status = 503, .body = ERROR_BODY("SlowDown") }

UNUSED static bool asked(unsigned i, const char *text)
{
	return strcasestr(server.requests[i], text);
}

UNUSED static void failed(enum error_code code, const char *words)
{
	if (ctx.error.code != code || !strstr(ctx.error.message, words))
		fail_msg("%s: %s", error_name(ctx.error.code),
		         ctx.error.message ? ctx.error.message : "no error");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

#endif
