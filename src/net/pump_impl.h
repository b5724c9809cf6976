/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * pump — what its files share. State is the exchange's owner's, or the pump's thread's, or lies between them under the
 * exchange's lock. The pump's own lock guards the inbox, by which owners tell the thread about an exchange (to begin, to
 * go on, to end); the two locks are never held together.
 */
#ifndef NET_PUMP_IMPL_H
#define NET_PUMP_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "easy.h"
#include "net/pump.h"
#include "pump_ring.h"

enum {
	PUMP_HEADERS = 64,
	PUMP_HEAD = 16 << 10,
};

enum pump_waiting {                     /* for what the owner got NET_AGAIN */
	WAIT_HEAD = 1 << 0,
	WAIT_READ = 1 << 1,
	WAIT_WRITE = 1 << 2,
};

enum pump_place { PLACE_NEW, PLACE_DELAYED, PLACE_ACTIVE, PLACE_OVER };

struct net_exchange {
	struct net_pump *pump;
	void (*ready)(void *arg);
	void *arg;
	int64_t body_size;              /* -1: chunked, or none */
	int stall_ms, delay_ms;
	size_t step;                    /* libcurl's buffer: what one read of the socket may bring */
	bool written, fixed, repeatable, bodiless;
	bool copied;                    /* libcurl has the body */

	/* the owner's alone */
	const char *own_failure;
	bool head_given;

	/* the pump's thread alone */
	struct easy easy;
	struct net_exchange *next, *previous;   /* of its place */
	struct net_exchange *dirty_next;
	enum pump_place place;
	bool dirty, too_large, no_memory;
	CURLcode broke;                 /* outside of libcurl's own work */
	int status;                     /* of the head being read */
	int64_t due_ms, moved_ms;
	uint64_t moved;

	/* under the pump's lock */
	struct net_exchange *inbox_next;
	bool queued, over, abandoned;

	/* under its lock */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	const char *body;
	struct ring in, out;
	unsigned waiting;
	bool waking;                    /* `ready` is being called */
	bool closed;
	bool recv_paused, send_paused, asked;   /* asked: the inbox was told of room or bytes */
	bool ended;                     /* the owner has written all of its body */
	bool sent_all;                  /* libcurl has taken all of it */
	bool done;
	int64_t taken, sent, received;
	struct net_head head;
	bool head_done;                 /* then head, heads and header_count change no more */
	char *heads;                    /* name, NUL, value, NUL, ... */
	size_t heads_size, heads_capacity;
	unsigned header_count;
	const struct easy_end *end;     /* NULL: well */
	CURLcode code;
	bool unsent;
	int64_t retry_after_s;
};

struct net_pump {
	pthread_t thread;
	CURLM *multi;
	int epoll, event;
	struct net_exchange *delayed, *active;
	struct net_exchange *dirty;
	int64_t timer_ms, due_ms, scan_ms;      /* INT64_MAX: never */
	_Atomic uint64_t exchanges, connects, failures, bytes_in, bytes_out;
	atomic_uint count;              /* of the active */

	pthread_mutex_t lock;
	struct net_exchange *first, *last;
	bool stopping, woken;
};

/* pump.c */
void pump_post(struct net_exchange *x);
/* The owner leaves. */
void pump_leave(struct net_exchange *x);

/* pump_transfer.c: in the pump's thread */
void pump_callbacks(struct net_exchange *x);
/* Calls `ready` if the owner waits for what there is now. */
void pump_notify(struct net_exchange *x);
/* The body from its beginning, if all of it is still there. */
bool pump_rewind(struct net_exchange *x);
/* Lifts pauses that have lost their reason. */
void pump_resume(struct net_exchange *x);

/* pump_exchange.c */
void pump_exchange_free(struct net_exchange *x);
/* Under its lock. */
bool pump_can_go_on(const struct net_exchange *x, unsigned waiting);

#endif
