/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * A server on loopback that behaves as its path says ("/get?size=10"), a thread for each connection. Bodies in both
 * directions are a pattern, so that a byte lost or out of place is seen.
 */
#ifndef WITH_PEER_H
#define WITH_PEER_H

#include <arpa/inet.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/thread.h"

static struct {
	int socket;
	unsigned port;
	pthread_t thread;
	atomic_int connections, active, requests;
	atomic_llong sent, received;
	atomic_bool stop;
	atomic_int wrong;               /* bytes of a request's body that were not the pattern's */
	pthread_mutex_t lock;
	char head[64 << 10];            /* of the last request */
} peer = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct link {
	int fd;
	char buffer[64 << 10];
	size_t used;                    /* of a body's beginning, behind the head */
	char head[64 << 10];
	long long size, send, ms;       /* the query's */
	int64_t at;                     /* in the request's body */
	bool die;                       /* without an answer to the next request */
};

static unsigned char pattern(int64_t i)
{
	return (unsigned char)(i * 31 + (i >> 12));
}

static void pattern_fill(char *to, int64_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (char)pattern(from + (int64_t)i);
}

static bool pattern_is(const char *data, int64_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)data[i] != pattern(from + (int64_t)i))
			return false;
	return true;
}

static bool peer_readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (; ms > 0 && !atomic_load(&peer.stop); ms -= 20)
		if (poll(&p, 1, ms < 20 ? ms : 20) > 0)
			return true;
	return false;
}

static bool peer_say(struct link *l, const char *data, size_t n)
{
	while (n) {
		ssize_t done = send(l->fd, data, n, MSG_NOSIGNAL);

		if (done <= 0)
			return false;
		data += done;
		n -= (size_t)done;
	}
	return true;
}

static bool peer_text(struct link *l, const char *text)
{
	return peer_say(l, text, strlen(text));
}

static bool peer_body(struct link *l, long long size)
{
	char piece[32 << 10];

	for (int64_t at = 0; at < size;) {
		size_t n = size - at < (int64_t)sizeof(piece) ? (size_t)(size - at) : sizeof(piece);

		pattern_fill(piece, at, n);
		if (!peer_say(l, piece, n))
			return false;
		at += (int64_t)n;
		atomic_fetch_add(&peer.sent, (long long)n);
	}
	return true;
}

static bool peer_answer(struct link *l, const char *status, long long length)
{
	char head[256];

	snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Length: %lld\r\nETag: \"e\"\r\n\r\n", status,
	         length);
	return peer_text(l, head);
}

static long long peer_query(const char *head, const char *name)
{
	const char *line = strstr(head, "\r\n");
	const char *at = strstr(head, name);

	return at && at < line ? atoll(at + strlen(name)) : 0;
}

static bool peer_head(struct link *l)
{
	for (;;) {
		char *end = memmem(l->buffer, l->used, "\r\n\r\n", 4);
		ssize_t n;

		if (end) {
			size_t size = (size_t)(end + 4 - l->buffer);

			memcpy(l->head, l->buffer, size);
			l->head[size] = '\0';
			l->used -= size;
			memmove(l->buffer, l->buffer + size, l->used);
			l->size = peer_query(l->head, "size=");
			l->send = peer_query(l->head, "send=");
			l->ms = peer_query(l->head, "ms=");
			return true;
		}
		if (l->used == sizeof(l->buffer) || !peer_readable(l->fd, 20000))
			return false;
		n = recv(l->fd, l->buffer + l->used, sizeof(l->buffer) - l->used, 0);
		if (n <= 0)
			return false;
		l->used += (size_t)n;
	}
}

/* The next bytes of the connection, at most n. */
static ssize_t peer_bytes(struct link *l, char *to, size_t n)
{
	if (l->used) {
		n = n < l->used ? n : l->used;
		memcpy(to, l->buffer, n);
		l->used -= n;
		memmove(l->buffer, l->buffer + n, l->used);
		return (ssize_t)n;
	}
	return peer_readable(l->fd, 20000) ? recv(l->fd, to, n, 0) : -1;
}

/* n bytes of the request's body. */
static bool peer_take(struct link *l, long long n)
{
	char piece[32 << 10];

	while (n > 0) {
		ssize_t got = peer_bytes(l, piece, n < (long long)sizeof(piece) ? (size_t)n : sizeof(piece));

		if (got <= 0)
			return false;
		if (!pattern_is(piece, l->at, (size_t)got))
			atomic_fetch_add(&peer.wrong, 1);
		l->at += got;
		n -= got;
		atomic_fetch_add(&peer.received, got);
		if (l->ms)
			usleep((useconds_t)l->ms * 1000);
	}
	return true;
}

static bool peer_line(struct link *l, char *to, size_t n)
{
	for (size_t i = 0; i + 1 < n; i++) {
		if (peer_bytes(l, to + i, 1) != 1)
			return false;
		if (to[i] == '\n') {
			to[i + 1] = '\0';
			return true;
		}
	}
	return false;
}

/* All of the request's body. */
static bool peer_upload(struct link *l)
{
	const char *length = strcasestr(l->head, "\r\ncontent-length:");
	char line[64];

	l->at = 0;
	if (!strcasestr(l->head, "\r\ntransfer-encoding: chunked"))
		return peer_take(l, length ? atoll(length + 17) : 0);
	for (;;) {
		long long n;

		if (!peer_line(l, line, sizeof(line)))
			return false;
		n = strtoll(line, NULL, 16);
		if (n && !peer_take(l, n))
			return false;
		if (!peer_line(l, line, sizeof(line)))
			return false;
		if (!n)
			return true;
	}
}

static void peer_reset(struct link *l)
{
	struct linger now = { 1, 0 };

	setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static bool peer_chunked(struct link *l, bool whole)
{
	char line[64];
	char piece[1000];

	if (!peer_text(l, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"))
		return false;
	for (int64_t at = 0; at < l->size; at += (int64_t)sizeof(piece)) {
		size_t n = l->size - at < (int64_t)sizeof(piece) ? (size_t)(l->size - at) : sizeof(piece);

		snprintf(line, sizeof(line), "%zx\r\n", n);
		pattern_fill(piece, at, n);
		if (!peer_text(l, line) || !peer_say(l, piece, n) || !peer_text(l, "\r\n"))
			return false;
	}
	return whole && peer_text(l, "0\r\nX-Trailer: t\r\n\r\n");
}

static bool peer_many_headers(struct link *l)
{
	char line[512];

	peer_text(l, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < l->size; i++) {
		snprintf(line, sizeof(line), "X-%d: %0*d\r\n", i, (int)l->send, i);
		peer_text(l, line);
	}
	return peer_text(l, "Content-Length: 0\r\n\r\n");
}

/* Early: an answer while the body is still coming. */
static bool peer_refuse(struct link *l, const char *status, const char *more)
{
	char head[256];
	char piece[4096];

	l->at = 0;
	if (!peer_take(l, l->size))
		return false;
	snprintf(head, sizeof(head), "HTTP/1.1 %s\r\n%sContent-Length: 2\r\n\r\nno", status, more);
	peer_text(l, head);
	/* What else comes is read for a while: a close now could overtake the answer. */
	while (peer_readable(l->fd, 2000) && recv(l->fd, piece, sizeof(piece), 0) > 0)
		;
	return false;
}

/* Has the last request's head this text? */
static bool peer_was_sent(const char *text)
{
	bool found;

	pthread_mutex_lock(&peer.lock);
	found = strcasestr(peer.head, text);
	pthread_mutex_unlock(&peer.lock);
	return found;
}

static bool peer_is(const struct link *l, const char *path)
{
	const char *at = strchr(l->head, ' ');

	return at && strncmp(at + 1, path, strlen(path)) == 0;
}

/* True: the connection goes on. */
static bool peer_serve(struct link *l)
{
	static const char longer[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\0\037\076and more";

	if (l->die)
		return false;
	if (peer_is(l, "/get"))
		return peer_answer(l, "200 OK", l->size)
		       && (memcmp(l->head, "HEAD", 4) == 0 || peer_body(l, l->size));
	if (peer_is(l, "/put"))
		return peer_upload(l) && peer_answer(l, "200 OK", 3) && peer_text(l, "yes");
	if (peer_is(l, "/chunked"))
		return peer_chunked(l, true);
	if (peer_is(l, "/cut"))
		return peer_chunked(l, false);
	if (peer_is(l, "/short"))
		return peer_answer(l, "200 OK", l->size) && peer_body(l, l->send) && false;
	if (peer_is(l, "/reset")) {
		peer_answer(l, "200 OK", l->size);
		peer_body(l, l->send);
		usleep(50000);          /* so that it does not overtake the bytes */
		peer_reset(l);
		return false;
	}
	if (peer_is(l, "/long"))
		return peer_say(l, longer, sizeof(longer) - 1);
	if (peer_is(l, "/until"))
		return peer_text(l, "HTTP/1.1 200 OK\r\n\r\n") && peer_body(l, l->size) && false;
	if (peer_is(l, "/refuse"))
		return peer_refuse(l, "403 No", "");
	if (peer_is(l, "/farewell"))
		return peer_refuse(l, "403 No", "Connection: close\r\n");
	if (peer_is(l, "/early"))
		return peer_refuse(l, "200 OK", "");
	if (peer_is(l, "/first"))
		return peer_text(l, "HTTP/1.1 100 Continue\r\nX-A: 1\r\n\r\nHTTP/1.1 103 Early\r\nX-A: 2\r\n\r\n")
		       && peer_upload(l) && peer_answer(l, "201 Made", 0);
	if (peer_is(l, "/headers"))
		return peer_many_headers(l);
	if (peer_is(l, "/busy"))
		return peer_text(l, "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Type: text/x\r\n"
		                    "Content-Length: 4\r\n\r\nbusy");
	if (peer_is(l, "/bye"))
		return peer_answer(l, "200 OK", 0) && false;
	if (peer_is(l, "/die")) {
		l->die = true;
		return peer_answer(l, "200 OK", 0);
	}
	if (peer_is(l, "/half")) {
		peer_answer(l, "200 OK", l->size);
		peer_body(l, l->send);
	}
	if (peer_is(l, "/half") || peer_is(l, "/hang"))
		peer_readable(l->fd, 5000);
	if (peer_is(l, "/deaf"))
		for (int i = 0; i < 250 && !atomic_load(&peer.stop); i++)
			usleep(20000);
	return false;
}

static void *peer_connection(void *arg)
{
	struct link *l = arg;

	while (peer_head(l)) {
		pthread_mutex_lock(&peer.lock);
		memcpy(peer.head, l->head, strlen(l->head) + 1);
		pthread_mutex_unlock(&peer.lock);
		atomic_fetch_add(&peer.requests, 1);
		if (!peer_serve(l))
			break;
	}
	close(l->fd);
	free(l);
	atomic_fetch_sub(&peer.active, 1);
	return NULL;
}

static void *peer_thread(void *arg)
{
	(void)arg;
	while (!atomic_load(&peer.stop)) {
		pthread_t thread;
		struct link *l;

		if (!peer_readable(peer.socket, 20))
			continue;
		l = calloc(1, sizeof(*l));
		l->fd = accept(peer.socket, NULL, NULL);
		atomic_fetch_add(&peer.connections, 1);
		atomic_fetch_add(&peer.active, 1);
		if (thread_start(&thread, "peer", peer_connection, l))
			abort();
		pthread_detach(thread);
	}
	return NULL;
}

static int peer_start(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(at);

	peer.socket = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(peer.socket, (struct sockaddr *)&at, sizeof(at)) || listen(peer.socket, 512)
	    || getsockname(peer.socket, (struct sockaddr *)&at, &size))
		return -1;
	peer.port = ntohs(at.sin_port);
	return thread_start(&peer.thread, "peer", peer_thread, NULL);
}

/* After all clients have gone. */
static int peer_stop(void)
{
	atomic_store(&peer.stop, true);
	pthread_join(peer.thread, NULL);
	for (int i = 0; i < 500 && atomic_load(&peer.active); i++)
		usleep(10000);
	return close(peer.socket);
}

#endif
