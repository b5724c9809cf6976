/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * mhd_epoll — four calls of libmicrohttpd that pass through here (cmake/microhttpd.cmake: ld
 * --wrap), because 1.0.10 as it stands does not fit. Should a later version call them no more,
 * nothing breaks but what is said below.
 */
#include "mhd_epoll.h"

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/ctx.h"

struct MHD_Connection;

int __real_epoll_wait(int fd, struct epoll_event *events, int max, int timeout);
int __wrap_epoll_wait(int fd, struct epoll_event *events, int max, int timeout);
ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);
struct MHD_Response *__real_MHD_create_response_from_buffer_static(size_t size, const void *text);
struct MHD_Response *__wrap_MHD_create_response_from_buffer_static(size_t size, const void *text);
enum MHD_Result __wrap_MHD_parse_arguments_(struct MHD_Connection *connection,
					    enum MHD_ValueKind kind, char *args, void *cb,
					    void *cls);

/*
 * When epoll_wait() fills its array (128 events), libmicrohttpd's thread waits again before it
 * looks at them; with exactly 128 * k ready clients, each waiting for its answer, that is for ever
 * (daemon.c, MHD_epoll()). It never fills an array one smaller than it believes; what is left comes
 * at the next call, as epoll keeps it ready.
 */
int __wrap_epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
	return __real_epoll_wait(fd, events, max > 1 ? max - 1 : max, timeout);
}

/* ---- many resumed together ---- */

enum { HELD = 16 };

static _Thread_local bool holding;
static _Thread_local int held[HELD];    /* event threads to be woken */
static _Thread_local unsigned held_count;

/*
 * MHD_resume_connection() writes to its thread's eventfd each time. A thread woken by the first of
 * many answers would sleep again before the second.
 */
ssize_t __wrap_write(int fd, const void *data, size_t size)
{
	if (!holding || size != sizeof(uint64_t))
		return __real_write(fd, data, size);
	for (unsigned i = 0; i < held_count; i++) {
		if (held[i] == fd)
			return (ssize_t)size;
	}
	if (held_count == HELD)
		return __real_write(fd, data, size);
	held[held_count++] = fd;
	return (ssize_t)size;
}

void mhd_wake_hold(void)
{
	holding = true;
	held_count = 0;
}

void mhd_wake_release(void)
{
	const uint64_t one = 1;

	holding = false;
	/* It fails only when the count is full: then the thread is awake. */
	for (unsigned i = 0; i < held_count; i++)
		(void)!__real_write(held[i], &one, sizeof(one));
}

/*
 * libmicrohttpd would store each query argument in the connection's small memory, where 100 run ids
 * do not fit; we parse the target ourselves (target.c).
 */
enum MHD_Result __wrap_MHD_parse_arguments_(struct MHD_Connection *connection,
					    enum MHD_ValueKind kind, char *args, void *cb,
					    void *cls)
{
	(void)connection, (void)kind, (void)args, (void)cb, (void)cls;
	return MHD_YES;
}

/* "<html><head><title>Request too big</title></head><body>Your ... </body></html>" -> its body,
   without tags. */
static void strip(struct buf *to, const char *html, size_t size)
{
	const char *end = html + size;
	const char *at = memmem(html, size, "<body>", 6);

	for (at = at ? at + 6 : html; at < end; at++) {
		if (*at == '<') {
			at = memchr(at, '>', (size_t)(end - at));
			if (!at)
				return;
		} else {
			buf_addc(to, (unsigned char)*at < ' ' ? ' ' : *at);
		}
	}
}

struct refusal {
	const char *html;
	size_t size;
	const char *json;
	size_t json_size;
};

static int render(struct ctx *c, void *arg)
{
	struct refusal *r = arg;
	struct buf message = BUF(c->arena, 4096);
	struct buf json = BUF(c->arena, 8192);

	strip(&message, r->html, r->size);
	error_write(&(struct error){ .code = BAD_REQUEST, .message = buf_text(&message) }, &json);
	r->json = buf_text(&json);
	r->json_size = json.size;
	return 0;
}

/* The pages by which libmicrohttpd refuses malformed requests become MLflow's error JSON. */
struct MHD_Response *__wrap_MHD_create_response_from_buffer_static(size_t size, const void *text)
{
	struct refusal r = { .html = text, .size = size };
	struct ctx c = { .arena = arena_new(64 << 10) };
	struct MHD_Response *response = NULL;

	if (c.arena && work_run(&c, render, &r) == 0)
		response = MHD_create_response_from_buffer_copy(r.json_size, r.json);
	if (response &&
	    (!MHD_add_response_header(response, "Content-Type", "application/json") ||
	     !MHD_add_response_header(response, "X-Content-Type-Options", "nosniff"))) {
		MHD_destroy_response(response);
		response = NULL;
	}
	if (!response)
		response = __real_MHD_create_response_from_buffer_static(0, "");
	arena_free(c.arena);
	return response;
}
