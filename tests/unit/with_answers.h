/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* A small HTTP server of a test, on loopback: it answers by a table and keeps what it was asked. */
#ifndef TESTS_WITH_ANSWERS_H
#define TESTS_WITH_ANSWERS_H

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/thread.h"

enum { ANSWERS_MOST = 16, ASKED_MOST = 32, ASKED_SIZE = 16 << 10 };

struct answer {
	const char *begins;             /* "POST /token" */
	int status;
	const char *headers;            /* each with "\r\n"; NULL: none */
	const char *body;
	int times;                      /* 0: always; then the next one that fits */
};

static struct {
	int socket;
	unsigned port;
	pthread_t thread;
	atomic_bool stop;
	pthread_mutex_t lock;           /* the following */
	struct answer answers[ANSWERS_MOST];
	size_t answer_count;
	char asked[ASKED_MOST][ASKED_SIZE];     /* requests, whole */
	size_t asked_count;
} with = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool with_readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

/* A request with its body (Content-Length). */
static bool with_read(int from, char *to)
{
	size_t size = 0;

	for (;;) {
		ssize_t n;
		char *head, *length;

		if (!with_readable(from, 2000) || size + 1 >= ASKED_SIZE)
			return false;
		n = recv(from, to + size, ASKED_SIZE - 1 - size, 0);
		if (n <= 0)
			return false;
		size += (size_t)n;
		to[size] = '\0';
		head = strstr(to, "\r\n\r\n");
		length = strcasestr(to, "\r\ncontent-length:");
		if (head && (!length || size - (size_t)(head + 4 - to) >= strtoul(length + 17, NULL, 10)))
			return true;
	}
}

static void with_answer(int to, const char *request)
{
	static const struct answer none = { "", 404, NULL, "not found", 0 };
	struct answer a = none;
	char head[1024];

	pthread_mutex_lock(&with.lock);
	if (with.asked_count < ASKED_MOST)
		snprintf(with.asked[with.asked_count++], ASKED_SIZE, "%s", request);
	for (size_t i = 0; i < with.answer_count; i++) {
		struct answer *one = &with.answers[i];

		if (one->times < 0 || strncmp(request, one->begins, strlen(one->begins)) != 0)
			continue;
		a = *one;
		if (one->times > 0 && --one->times == 0)
			one->times = -1;
		break;
	}
	pthread_mutex_unlock(&with.lock);
	snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\n%sConnection: close\r\nContent-Length: %zu\r\n\r\n", a.status,
	         a.headers ? a.headers : "", strlen(a.body));
	(void)!send(to, head, strlen(head), MSG_NOSIGNAL);
	(void)!send(to, a.body, strlen(a.body), MSG_NOSIGNAL);
}

static void *with_serve(void *arg)
{
	static char request[ASKED_SIZE];

	(void)arg;
	while (!atomic_load(&with.stop)) {
		int client;

		if (!with_readable(with.socket, 20))
			continue;
		client = accept(with.socket, NULL, NULL);
		if (with_read(client, request))
			with_answer(client, request);
		close(client);
	}
	return NULL;
}

static int with_start(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(at);

	with.socket = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(with.socket, (struct sockaddr *)&at, sizeof(at)) || listen(with.socket, 16)
	    || getsockname(with.socket, (struct sockaddr *)&at, &size))
		return -1;
	with.port = ntohs(at.sin_port);
	return thread_start(&with.thread, "answers", with_serve, NULL);
}

static int with_stop(void)
{
	atomic_store(&with.stop, true);
	pthread_join(with.thread, NULL);
	return close(with.socket);
}

/* Forgets answers and requests. */
static void with_clear(void)
{
	pthread_mutex_lock(&with.lock);
	with.answer_count = with.asked_count = 0;
	pthread_mutex_unlock(&with.lock);
}

/* Its texts must live as long as it is in the table. */
static void with_add(struct answer a)
{
	pthread_mutex_lock(&with.lock);
	if (with.answer_count < ANSWERS_MOST)
		with.answers[with.answer_count++] = a;
	pthread_mutex_unlock(&with.lock);
}

/* How many requests began so. */
static size_t with_count(const char *begins)
{
	size_t n = 0;

	pthread_mutex_lock(&with.lock);
	for (size_t i = 0; i < with.asked_count; i++)
		n += strncmp(with.asked[i], begins, strlen(begins)) == 0;
	pthread_mutex_unlock(&with.lock);
	return n;
}

/* The n-th of them, "" when there is none. No requests may be under way. */
static const char *with_asked(const char *begins, size_t n)
{
	for (size_t i = 0; i < with.asked_count; i++)
		if (strncmp(with.asked[i], begins, strlen(begins)) == 0 && n-- == 0)
			return with.asked[i];
	return "";
}

#endif
