/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * connections — deadlines that a dripping client cannot extend. libmicrohttpd knows only one: time
 * since the last byte. A sweeper looks at each connection about once a second, asks the kernel what
 * moved, and shuts down the socket of one that is too slow; its event thread then sees an end of
 * file and cleans up.
 */
#include "http.h"

#include <errno.h>
#include <linux/tcp.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

void conn_phase(struct conn *conn, enum conn_phase phase)
{
	if (conn)
		atomic_store_explicit(&conn->phase, phase, memory_order_relaxed);
}

void conn_turn(struct conn *conn, int64_t bytes)
{
	if (!conn)
		return;
	if (bytes < 0)
		atomic_store_explicit(&conn->exact, false, memory_order_relaxed);
	else
		atomic_fetch_add_explicit(&conn->taken, (uint64_t)bytes, memory_order_relaxed);
	atomic_store_explicit(&conn->body, 0, memory_order_relaxed);
	atomic_store_explicit(&conn->phase, PHASE_IDLE, memory_order_relaxed);
	atomic_fetch_add_explicit(&conn->turn, 1, memory_order_release);
}

void connections_notify(void *cls, struct MHD_Connection *connection, void **socket_context,
			enum MHD_ConnectionNotificationCode code)
{
	struct http_server *s = cls;
	const union MHD_ConnectionInfo *info;
	struct conn *conn = *socket_context;
	struct shard *shard;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		atomic_fetch_sub(&s->connections, 1);
		atomic_fetch_add(&s->closed, 1);
		if (!conn)
			return;
		/* libmicrohttpd closes the descriptor after this: the sweeper never touches
		   another's. */
		shard = &s->shards[conn->shard];
		pthread_mutex_lock(&shard->lock);
		*conn->link = conn->next;
		if (conn->next)
			conn->next->link = conn->link;
		pthread_mutex_unlock(&shard->lock);
		free(conn);
		*socket_context = NULL;
		return;
	}
	atomic_fetch_add(&s->connections, 1);
	info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	conn = calloc(1, sizeof(*conn));
	/* Without memory for it the connection lives unwatched, under the idle time-out alone. */
	if (!conn || !info) {
		free(conn);
		return;
	}
	conn->fd = info->connect_fd;
	conn->shard = (unsigned)conn->fd % SHARDS;
	conn->exact = true;
	shard = &s->shards[conn->shard];
	pthread_mutex_lock(&shard->lock);
	conn->next = shard->first;
	conn->link = &shard->first;
	if (conn->next)
		conn->next->link = &conn->next;
	shard->first = conn;
	pthread_mutex_unlock(&shard->lock);
	*socket_context = conn;
}

/* Bytes the peer sent, or acknowledged, since the connection began. */
static uint64_t moved(int fd, bool sent)
{
	struct tcp_info info = { 0 };
	socklen_t size = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size))
		return 0;
	return sent ? info.tcpi_bytes_acked : info.tcpi_bytes_received;
}

enum { CLOSE_WAIT = 8 }; /* TCP_CLOSE_WAIT of netinet/tcp.h, which does not go with linux/tcp.h */

/* The peer has said that nothing more comes (FIN), and all that came is read. libmicrohttpd misses
   it when it arrives together with the last bytes: one edge of epoll stands for both. */
static bool ended(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t size = sizeof(info);
	int unread = 0;

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
	       info.tcpi_state == CLOSE_WAIT && ioctl(fd, FIONREAD, &unread) == 0 && !unread;
}

/* ... since a look ago, and we wait for it to say more. */
static bool left(struct conn *conn, unsigned phase)
{
	uint64_t body = atomic_load_explicit(&conn->body, memory_order_relaxed);
	bool gone = (phase == PHASE_IDLE || phase == PHASE_BODY) && ended(conn->fd);
	bool still = gone && conn->gone && body == conn->gone_body;

	conn->gone = gone;
	conn->gone_body = body;
	return still;
}

static void look_anew(struct conn *conn, unsigned turn, int64_t now)
{
	conn->known = true;
	conn->seen = turn;
	conn->looked_ms = now;
	conn->head_ms = -1;
	conn->in_ms = conn->out_ms = 0;
	conn->gone = false;
	conn->sending = false;
	/* Part of the next head may be here already. Where that cannot be told, it counts as
	   idleness. */
	conn->base = atomic_load_explicit(&conn->exact, memory_order_relaxed)
			     ? atomic_load_explicit(&conn->taken, memory_order_relaxed)
			     : moved(conn->fd, false);
}

static bool too_slow(int64_t ms, uint64_t bytes)
{
	return ms > HTTP_GRACE_MS && bytes * 1000 < (uint64_t)(ms - HTTP_GRACE_MS) * HTTP_PROGRESS;
}

/* NULL: fine; else why it must go. */
static const char *verdict(struct conn *conn, int64_t now)
{
	unsigned turn = atomic_load_explicit(&conn->turn, memory_order_acquire);
	unsigned phase = atomic_load_explicit(&conn->phase, memory_order_relaxed);
	int64_t passed;

	if (!conn->known || turn != conn->seen)
		look_anew(conn, turn, now);
	if (left(conn, phase))
		return "client left";
	passed = now - conn->looked_ms;
	conn->looked_ms = now;
	switch (phase) {
	case PHASE_IDLE:
		if (moved(conn->fd, false) <= conn->base)
			return NULL; /* the idle time-out is libmicrohttpd's */
		if (conn->head_ms < 0)
			conn->head_ms = now;
		return now - conn->head_ms > HTTP_HEAD_MS ? "request head too slow" : NULL;
	case PHASE_BODY:
		conn->in_ms += passed;
		return too_slow(conn->in_ms,
				atomic_load_explicit(&conn->body, memory_order_relaxed))
			       ? "request body too slow"
			       : NULL;
	case PHASE_SEND:
		if (!conn->sending) {
			conn->sending = true;
			conn->base = moved(conn->fd, true);
		}
		conn->out_ms += passed;
		return conn->out_ms > HTTP_GRACE_MS &&
				       too_slow(conn->out_ms, moved(conn->fd, true) - conn->base)
			       ? "client reads too slowly"
			       : NULL;
	default:
		return NULL;
	}
}

static void sweep(struct shard *shard, int64_t now)
{
	pthread_mutex_lock(&shard->lock);
	for (struct conn *conn = shard->first; conn; conn = conn->next) {
		const char *why = verdict(conn, now);

		if (why) {
			shutdown(conn->fd, SHUT_RDWR);
			log_event(LOG_DEBUG, "connection closed", "reason", why, NULL);
		}
	}
	pthread_mutex_unlock(&shard->lock);
}

/* Freed connections and requests lie scattered in the heap, which malloc() does not give back by
   itself. Many of either: ask it to. */
static void trim(const struct http_server *s, unsigned *most_jobs)
{
	static uint64_t trimmed;
	uint64_t closed = atomic_load(&s->closed);
	uint64_t gone = closed - trimmed;
	bool calm = *most_jobs >= 512 && atomic_load(&s->jobs) < *most_jobs / 4;

	if (!calm && (gone < 512 || gone < 2 * (uint64_t)atomic_load(&s->connections)))
		return;
	malloc_trim(0);
	trimmed = closed;
	*most_jobs = 0;
}

static void *sweeper(void *arg)
{
	struct http_server *s = arg;
	unsigned most_jobs = 0;

	for (unsigned round = 1; !atomic_load(&s->ended); round++) {
		if (round % 4 == 0)
			trim(s, &most_jobs);
		for (unsigned i = 0; i < SHARDS; i++) {
			struct timespec pause = { .tv_nsec = 1000000000L / SHARDS };

			if (atomic_load(&s->jobs) > most_jobs)
				most_jobs = atomic_load(&s->jobs);
			sweep(&s->shards[i], clock_ms());
			nanosleep(&pause, NULL);
			if (atomic_load(&s->ended))
				break;
		}
	}
	return NULL;
}

int connections_start(struct http_server *s)
{
	for (unsigned i = 0; i < SHARDS; i++)
		pthread_mutex_init(&s->shards[i].lock, NULL);
	if (thread_start(&s->sweeper, "http-sweep", sweeper, s))
		return -1;
	s->sweeping = true;
	return 0;
}

void connections_stop(struct http_server *s)
{
	if (!s->sweeping)
		return;
	atomic_store(&s->ended, true);
	pthread_join(s->sweeper, NULL);
	for (unsigned i = 0; i < SHARDS; i++)
		pthread_mutex_destroy(&s->shards[i].lock);
	s->sweeping = false;
}

void connections_cut(struct http_server *s)
{
	for (unsigned i = 0; i < SHARDS; i++) {
		pthread_mutex_lock(&s->shards[i].lock);
		for (struct conn *conn = s->shards[i].first; conn; conn = conn->next)
			shutdown(conn->fd, SHUT_RDWR);
		pthread_mutex_unlock(&s->shards[i].lock);
	}
}
