/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * pump — HTTP exchanges that nobody waits for: a thread with one curl_multi moves the bytes of all of them, keeps the
 * connections, and says through `ready` when an exchange can go on. For object stores, where net/net.h would hold a
 * thread for each transfer.
 *
 * An exchange belongs to one thread at a time. A call of its that cannot go on returns NET_AGAIN and is repeated after
 * `ready` was called (from the pump's thread, perhaps before the call returned; never after net_exchange_close()).
 * `ready` must not call back into the exchange (but may close it). Bytes of bodies wait in a ring of fixed size each
 * way, with back-pressure to the socket.
 *
 * Redirects are not followed, proxies of the environment are honoured unless NET_DIRECT, TLS is verified.
 */
#ifndef NET_PUMP_H
#define NET_PUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "net/net.h"

enum {
	NET_AGAIN = 2,
	NET_RING = 512 << 10,           /* of a body that is read, unless the request says */
	NET_RING_OUT = 128 << 10,       /* of one that is written: what fills it has a ring or a part of its own */
};

struct net_pump;
struct net_exchange;

/* NULL: no memory or thread. All exchanges are closed before net_pump_free(). */
struct net_pump *net_pump_new(void);
void net_pump_free(struct net_pump *p);

struct net_pump_stats { uint64_t exchanges, connects, failures, bytes_in, bytes_out; unsigned active; };
void net_pump_stats(struct net_pump *p, struct net_pump_stats *ret);

struct net_exchange_request {
	const char *method;
	const char *url;                /* copied, as the headers */
	const struct net_header *headers;
	size_t header_count;
	const char *ca_file;            /* NULL: the system's */
	unsigned flags;                 /* enum net_flags */
	int connect_ms;                 /* 0: 10 s */
	int stall_ms;                   /* no byte in either direction for so long, with room for it, ends the exchange:
	                                   "timeout". The time in which we do not read or write is not counted. 0: 30 s */

	const void *body;               /* the caller's until net_exchange_close(): nothing is copied */
	size_t size;
	bool written;                   /* instead: body_size bytes come by net_exchange_write(); -1: chunked */
	int64_t body_size;

	bool once;                      /* not begun again either when a kept connection turns out to be closed after some of
	                                   the body was sent */
	size_t ring;                    /* 0: NET_RING, NET_RING_OUT */
	int delay_ms;                   /* begins only then: the pause before a retry, without a thread that sleeps */
	void (*ready)(void *arg);
	void *arg;
};

/* Begins; never blocks, never fails for what the network does. */
int net_exchange_start(struct ctx *c, struct net_pump *p, const struct net_exchange_request *r,
                       struct net_exchange **ret) MUST_CHECK;

/* The answer's head (1xx are skipped). NET_AGAIN; -1 with error and net_exchange_failure(). May come before all of the
   body was taken: a store that refuses. */
struct net_head {
	int status;
	int64_t content_length;         /* -1 unknown */
};
int net_exchange_head(struct ctx *c, struct net_exchange *x, struct net_head *ret) MUST_CHECK;

/* A header of the answer, the last of that name (any case); NULL: absent. Valid until close. At most 64 headers, 16 KiB
   in all; more end the exchange ("too_large"). */
const char *net_exchange_header(const struct net_exchange *x, const char *name);

/* Takes up to n bytes of the body; NET_AGAIN with *taken 0. n 0: a chunked body ends here. Once the answer's head is
   there it takes nothing more and returns 0 with *taken 0: look at the head. */
int net_exchange_write(struct ctx *c, struct net_exchange *x, const void *data, size_t n, size_t *taken) MUST_CHECK;

/* Up to n bytes of the answer's body. 0 with *got 0: its end, and as many bytes as were announced. A body that ends
   early is an error, never an end. */
int net_exchange_read(struct ctx *c, struct net_exchange *x, void *to, size_t n, size_t *got) MUST_CHECK;

/* For threads that may wait: the whole answer, as net_perform() gives it (body collected up to most, more fails).
   cancel may be NULL. */
int net_exchange_collect(struct ctx *c, struct net_exchange *x, size_t most, const _Atomic bool *cancel,
                         struct net_reply *ret) MUST_CHECK;

/* What ended it, as net_reply.failure; "" nothing did. */
const char *net_exchange_failure(const struct net_exchange *x);
/* Nothing of the request was sent on this connection before it broke: a kept connection that the peer had closed, a
   refused one. Such an exchange may be begun again whatever its method. */
bool net_exchange_unsent(const struct net_exchange *x);

/* Gives it up (the connection is closed unless the exchange was over) and frees it; never waits for the network, only
   for a `ready` that is being called: hold no lock that it takes. After it returns neither `ready` is called nor `body`
   read. NULL is fine. */
void net_exchange_close(struct net_exchange *x);

#endif
