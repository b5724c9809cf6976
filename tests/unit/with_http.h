/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* A small HTTP server for the tests of clients: one request a connection, answered by a function. */
#ifndef TESTS_WITH_HTTP_H
#define TESTS_WITH_HTTP_H

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/thread.h"

enum { HTTP_REQUEST = 64 << 10 };

static struct {
	int socket;
	unsigned port;
	pthread_t thread;
	atomic_bool stop;
	atomic_int requests;
	char request[HTTP_REQUEST];     /* the last one, whole */
	/* The whole answer, or NULL: closed without one. */
	const char *(*answer)(const char *request);
} http;

static bool http_readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

static bool http_read(int from)
{
	size_t size = 0;

	for (;;) {
		const char *head;
		const char *length;
		ssize_t n;

		if (!http_readable(from, 5000) || size + 1 >= sizeof(http.request))
			return false;
		n = recv(from, http.request + size, sizeof(http.request) - size - 1, 0);
		if (n <= 0)
			return false;
		size += (size_t)n;
		http.request[size] = '\0';
		head = strstr(http.request, "\r\n\r\n");
		length = strcasestr(http.request, "\r\ncontent-length: ");
		if (head && (!length || size - (size_t)(head + 4 - http.request)
		                                >= strtoul(length + 18, NULL, 10)))
			return true;
	}
}

static void *http_serve(void *arg)
{
	(void)arg;
	while (!atomic_load(&http.stop)) {
		int client;

		if (!http_readable(http.socket, 20))
			continue;
		client = accept(http.socket, NULL, NULL);
		if (http_read(client)) {
			const char *text = http.answer(http.request);

			atomic_fetch_add(&http.requests, 1);
			if (text)
				(void)!send(client, text, strlen(text), MSG_NOSIGNAL);
		}
		close(client);
	}
	return NULL;
}

static int http_start(const char *(*answer)(const char *request))
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(at);

	http.answer = answer;
	atomic_store(&http.stop, false);
	http.socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(http.socket, (struct sockaddr *)&at, sizeof(at)) || listen(http.socket, 16)
	    || getsockname(http.socket, (struct sockaddr *)&at, &size))
		return -1;
	http.port = ntohs(at.sin_port);
	return thread_start(&http.thread, "server", http_serve, NULL);
}

static void http_stop(void)
{
	atomic_store(&http.stop, true);
	pthread_join(http.thread, NULL);
	close(http.socket);
}

/* An answer with that status line's end and body. */
static inline const char *http_text(const char *status, const char *body)
{
	static char text[HTTP_REQUEST];

	snprintf(text, sizeof(text), "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
	         status, strlen(body), body);
	return text;
}

#endif
