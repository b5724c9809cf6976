/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "http.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/thread.h"
#include "blob/blob.h"

static struct http_server *_Atomic current;

const struct http_server *http_current(void)
{
	return atomic_load_explicit(&current, memory_order_acquire);
}

/* ---- workers ---- */

static void *worker(void *arg)
{
	struct http_server *s = arg;
	struct queue_node *n;
	unsigned lane;

	while ((n = lanes_pop(s->lanes, &lane))) {
		dispatch_work((struct job *)n);
		lanes_done(s->lanes, lane);
	}
	return NULL;
}

static void *store_worker(void *arg)
{
	struct http_server *s = arg;
	struct queue_node *n;

	while ((n = queue_pop(s->store_queue)))
		dispatch_work((struct job *)n);
	return NULL;
}

static int start_store_workers(struct ctx *c, struct http_server *s)
{
	char name[24];

	s->store_queue = queue_new(LIMIT_QUEUE);
	s->record_queue = queue_new(LIMIT_QUEUE);
	if (!s->store_queue || !s->record_queue)
		return fail(c, INTERNAL_ERROR, "No memory for the worker threads.");
	s->recording = !thread_start(&s->recorder, "recorder", stream_recorder, s);
	if (!s->recording)
		return fail(c, INTERNAL_ERROR, "Cannot start worker threads: %s", strerror(errno));
	for (; s->store_worker_count < HTTP_STORE_WORKERS; s->store_worker_count++) {
		snprintf(name, sizeof(name), "store-%u", s->store_worker_count);
		if (thread_start(&s->store_workers[s->store_worker_count], name, store_worker, s))
			return fail(c, INTERNAL_ERROR, "Cannot start worker threads: %s",
				    strerror(errno));
	}
	return 0;
}

/* A quarter of the workers, and one at least, is kept for light requests, and one of them for all others. */
static struct lanes *new_lanes(const struct http_server *s)
{
	unsigned workers = s->options.workers, kept = 1 + workers / 4;
	unsigned others = workers > kept ? workers - kept : 1;
	unsigned bodies = others > 2 ? others / 3 : 1;
	unsigned heavy = others > bodies ? others - bodies : 1;

	if (s->options.searches && s->options.searches < heavy)
		heavy = s->options.searches;
	const struct lane lanes[HTTP_LANES] = {
		[HTTP_LIGHT] = { LIMIT_QUEUE, workers > 1 ? workers - 1 : 1 },
		[HTTP_BODIES] = { LIMIT_QUEUE, bodies },
		[HTTP_HEAVY] = { LIMIT_QUEUE, heavy },
	};

	return lanes_new(lanes, HTTP_LANES);
}

static int start_workers(struct ctx *c, struct http_server *s)
{
	unsigned count = s->options.workers;
	char name[24];

	s->lanes = new_lanes(s);
	s->workers = calloc(count, sizeof(*s->workers));
	if (!s->lanes || !s->workers)
		return fail(c, INTERNAL_ERROR, "No memory for the worker threads.");
	for (; s->worker_count < count; s->worker_count++) {
		snprintf(name, sizeof(name), "worker-%u", s->worker_count);
		if (thread_start(&s->workers[s->worker_count], name, worker, s))
			return fail(c, INTERNAL_ERROR, "Cannot start worker threads: %s",
				    strerror(errno));
	}
	return start_store_workers(c, s);
}

static void stop_workers(struct http_server *s)
{
	if (s->lanes)
		lanes_close(s->lanes);
	if (s->store_queue)
		queue_close(s->store_queue);
	if (s->record_queue)
		queue_close(s->record_queue);
	if (s->recording)
		pthread_join(s->recorder, NULL);
	for (unsigned i = 0; i < s->store_worker_count; i++)
		pthread_join(s->store_workers[i], NULL);
	queue_free(s->store_queue);
	queue_free(s->record_queue);
	for (unsigned i = 0; i < s->worker_count; i++)
		pthread_join(s->workers[i], NULL);
	lanes_free(s->lanes);
	free(s->workers);
}

/* ---- listening ---- */

static int try_listen(struct http_server *s, const struct addrinfo *a)
{
	struct sockaddr_storage bound;
	socklen_t size = sizeof(bound);
	int one = 1, zero = 0;
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int saved;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	/* "::" means every address, as elsewhere. */
	if (a->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, 4096) ||
	    getsockname(fd, (struct sockaddr *)&bound, &size)) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	s->port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
						    : ((struct sockaddr_in *)&bound)->sin_port);
	s->listener = fd;
	return 0;
}

static int open_listener(struct ctx *c, struct http_server *s)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *found = NULL;
	const char *host = s->options.host;
	char port[16];
	int error;

	if (*host == '[') {
		size_t n = strcspn(host, "]");

		host = arena_strndup(c->arena, host + 1, n ? n - 1 : 0);
	}
	snprintf(port, sizeof(port), "%u", s->options.port);
	error = getaddrinfo(*host ? host : NULL, port, &hints, &found);
	if (error)
		return fail(c, INVALID_PARAMETER_VALUE, "Cannot listen on %s: %s", host,
			    gai_strerror(error));
	errno = 0;
	for (const struct addrinfo *a = found; a && s->listener < 0; a = a->ai_next) {
		if (try_listen(s, a) == 0)
			break;
	}
	freeaddrinfo(found);
	if (s->listener >= 0)
		return 0;
	if (errno == EADDRINUSE)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Port %s on %s is taken by another program; "
			    "stop it or choose another --port.",
			    port, host);
	return fail(c, INVALID_PARAMETER_VALUE, "Cannot listen on %s port %s: %s", host, port,
		    strerror(errno));
}

/* One descriptor a connection, and some for the rest. */
static unsigned connection_limit(void)
{
	const rlim_t others = 1024;
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r))
		return 512;
	if (r.rlim_cur < LIMIT_CONNECTIONS + others) {
		r.rlim_cur = r.rlim_max < LIMIT_CONNECTIONS + others ? r.rlim_max
								     : LIMIT_CONNECTIONS + others;
		setrlimit(RLIMIT_NOFILE, &r);
		getrlimit(RLIMIT_NOFILE, &r);
	}
	if (r.rlim_cur >= LIMIT_CONNECTIONS + others)
		return LIMIT_CONNECTIONS;
	return (unsigned)(r.rlim_cur > 2 * others ? r.rlim_cur - others : r.rlim_cur / 2);
}

/* ---- libmicrohttpd ---- */

static void mhd_log(void *cls, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
static void mhd_log(void *cls, const char *fmt, va_list ap)
{
	char line[512];
	size_t size;

	(void)cls;
	if (!log_enabled(LOG_DEBUG))
		return;
	vsnprintf(line, sizeof(line), fmt, ap);
	size = strlen(line);
	while (size && line[size - 1] == '\n')
		line[--size] = '\0';
	log_event(LOG_DEBUG, "libmicrohttpd", "message", line, NULL);
}

/* We decode the target ourselves, once (target.c). */
static size_t keep_escaped(void *cls, struct MHD_Connection *connection, char *s)
{
	(void)cls, (void)connection;
	return strlen(s);
}

static int start_mhd(struct ctx *c, struct http_server *s)
{
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC |
			 MHD_USE_ERROR_LOG;
	struct MHD_OptionItem options[] = {
		{ MHD_OPTION_EXTERNAL_LOGGER, (intptr_t)mhd_log, s },
		{ MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)keep_escaped, s },
		{ MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)request_begin, s },
		{ MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)request_end, s },
		{ MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)connections_notify, s },
		{ MHD_OPTION_LISTEN_SOCKET, s->listener, NULL },
		{ MHD_OPTION_CLIENT_DISCIPLINE_LVL, 1, NULL },
		{ MHD_OPTION_CONNECTION_MEMORY_LIMIT, HTTP_POOL, NULL },
		{ MHD_OPTION_CONNECTION_LIMIT, (intptr_t)connection_limit(), NULL },
		{ MHD_OPTION_CONNECTION_TIMEOUT, HTTP_IDLE_S, NULL },
		{ MHD_OPTION_THREAD_STACK_SIZE, 256 << 10, NULL },
		{ MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)s->options.event_threads, NULL },
		{ MHD_OPTION_END, 0, NULL },
	};

	s->mhd = MHD_start_daemon(flags, 0, NULL, NULL, request_step, s, MHD_OPTION_ARRAY, options,
				  MHD_OPTION_END);
	if (!s->mhd)
		return fail(c, INTERNAL_ERROR, "Cannot start the HTTP threads: %s",
			    strerror(errno));
	s->listener = -1; /* libmicrohttpd's now */
	return 0;
}

/* ---- start and stop ---- */

static const char *copy(const char *s, const char *otherwise)
{
	return strdup(s ? s : otherwise);
}

static bool take_options(struct http_server *s, const struct http_options *o)
{
	const char *prefix = o->static_prefix ? o->static_prefix : "";
	char *p;

	s->options = *o;
	s->options.host = copy(o->host, "127.0.0.1");
	s->options.x_frame_options = copy(o->x_frame_options, "SAMEORIGIN");
	s->options.allowed_hosts = s->options.cors_allowed_origins = NULL; /* the guard's */
	s->options.event_threads = o->event_threads ? o->event_threads : HTTP_EVENT_THREADS;
	s->options.workers = o->workers ? o->workers : HTTP_WORKERS;
	p = malloc(strlen(prefix) + 2);
	s->options.static_prefix = p;
	s->guard = guard_new(o->allowed_hosts, o->cors_allowed_origins);
	s->facts = o->auth ? facts_new() : NULL;
	if ((o->auth && !s->facts) || !p || !s->options.host || !s->options.x_frame_options || !s->guard)
		return false;
	for (char *x = (char *)(uintptr_t)s->options.x_frame_options; *x; x++) {
		if (*x >= 'a' && *x <= 'z')
			*x = (char)(*x - 'a' + 'A');
	}
	snprintf(p, strlen(prefix) + 2, "%s%s", *prefix && *prefix != '/' ? "/" : "", prefix);
	s->prefix_length = strlen(p);
	while (s->prefix_length && p[s->prefix_length - 1] == '/')
		p[--s->prefix_length] = '\0';
	return true;
}

static void dispose(struct http_server *s)
{
	stop_workers(s);
	connections_stop(s);
	if (s->listener >= 0)
		close(s->listener);
	guard_free(s->guard);
	facts_free(s->facts);
	free((void *)(uintptr_t)s->options.host);
	free((void *)(uintptr_t)s->options.x_frame_options);
	free((void *)(uintptr_t)s->options.static_prefix);
	free(s);
}

struct http_server *http_server_start(struct ctx *c, const struct http_options *o)
{
	struct http_server *s = calloc(1, sizeof(*s));

	if (!s) {
		fail(c, INTERNAL_ERROR, "No memory for the HTTP server.");
		return NULL;
	}
	routes_init();
	s->listener = -1;
	s->started_ms = clock_wall_ms();
	if (!take_options(s, o)) {
		fail(c, INTERNAL_ERROR, "No memory for the HTTP server.");
		dispose(s);
		return NULL;
	}
	atomic_store_explicit(&current, s, memory_order_release);
	if (open_listener(c, s) || start_workers(c, s) ||
	    (connections_start(s) &&
	     fail(c, INTERNAL_ERROR, "Cannot start threads: %s", strerror(errno))) ||
	    start_mhd(c, s)) {
		atomic_store(&current, NULL);
		dispose(s);
		return NULL;
	}
	return s;
}

unsigned http_server_port(const struct http_server *s)
{
	return s->port;
}

static bool wait_until_zero(_Atomic unsigned *n, int64_t most_ms)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	int64_t until = clock_ms() + most_ms;

	while (atomic_load(n)) {
		if (clock_ms() >= until)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

void http_server_stop(struct http_server *s)
{
	int fd;

	if (!s)
		return;
	atomic_store(&s->stopping, true);
	fd = MHD_quiesce_daemon(s->mhd);
	if (fd >= 0)
		close(fd);
	/* Busy clients of kept connections learn by "Connection: close" in one more answer. */
	nanosleep(&(struct timespec){ .tv_nsec = HTTP_FAREWELL_MS * 1000000L }, NULL);
	if (!wait_until_zero(&s->jobs, HTTP_STOP_MS)) {
		/* Those that wait for a store that does not answer can still be told so. */
		if (s->options.transfers)
			transfer_engine_cut(s->options.transfers);
		blob_stop();
	}
	if (!wait_until_zero(&s->jobs, HTTP_CUT_MS)) {
		log_event(LOG_WARN, "requests cut at shutdown", "count",
			  log_fmt("%u", atomic_load(&s->jobs)), NULL);
		connections_cut(s);
	}
	/* libmicrohttpd must not be stopped with suspended connections. Who works on them has
	   deadlines of his own. */
	lanes_close(s->lanes);
	queue_close(s->store_queue);
	queue_close(s->record_queue);
	if (!wait_until_zero(&s->suspended, 2 * HTTP_STOP_MS)) {
		log_event(LOG_ERROR, "requests hang at shutdown", "count",
			  log_fmt("%u", atomic_load(&s->suspended)), NULL);
		return; /* the process ends anyway; freeing what they use would crash it */
	}
	MHD_stop_daemon(s->mhd);
	atomic_store(&current, NULL);
	dispose(s);
}
