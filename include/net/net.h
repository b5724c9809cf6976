/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * net — the one HTTP client (libcurl), blocking: for webhooks, import and promote. A client keeps its connections
 * and belongs to one thread at a time. Redirects are never followed, proxies of the environment are honoured only
 * without NET_PUBLIC, TLS is verified, every call has a deadline.
 *
 * Errors: what ended the exchange (refused, DNS, TLS, time-out, a forbidden address) is TEMPORARILY_UNAVAILABLE or
 * INVALID_PARAMETER_VALUE with our own words; libcurl's go to error.detail. An HTTP status is no error: read it.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"

struct net;

/* Once, before threads. Ignores SIGPIPE. */
void net_init(void);

/* NULL: no memory. */
struct net *net_new(void);
void net_free(struct net *n);

enum net_flags {
	NET_PUBLIC = 1 << 0,            /* the connected peer must be a public address (RFC 6890 and IPv4 inside of
	                                   IPv6 decoded), judged on the socket before a byte is sent */
	NET_INSECURE_TLS = 1 << 1,      /* MLFLOW_TRACKING_INSECURE_TLS */
	NET_DIRECT = 1 << 2,            /* no proxy of the environment (NET_PUBLIC implies it) */
};

struct net_header {
	const char *name;
	const char *value;
};

struct net_request {
	const char *method;             /* "GET" ... */
	const char *url;                /* http:// or https:// */
	const struct net_header *headers;
	size_t header_count;
	const char *user, *password;    /* basic auth; NULL: none */
	const char *token;              /* bearer; NULL: none */
	const char *ca_file;            /* NULL: the system's */
	unsigned flags;
	int timeout_ms;                 /* of the whole exchange; with a stream: without progress */

	/* The body: bytes, or a source: returns bytes written to `to` (0 = end), -1 = give up (error set). */
	const void *body;
	size_t size;
	int64_t (*source)(struct ctx *c, void *arg, char *to, size_t n);
	void *source_arg;
	int64_t source_size;            /* -1: chunked */

	/* Where a 2xx body goes: NULL: collected into the reply, at most `most` bytes (0: 16 MiB; more fails). Returns 0
	   or -1 (error set). Other statuses are always collected, at most 64 KiB. */
	int (*sink)(struct ctx *c, void *arg, const char *data, size_t n);
	void *sink_arg;
	size_t most;
	const _Atomic bool *cancel;     /* looked at about once a second; true gives up: failure "cancelled" */
	const char *wanted;             /* the name of a header that the reply shall have; NULL: none */
	bool discard_body;              /* the status is all: nothing is kept, and after at most a second or 64 KiB of
	                                   body the connection is closed */
};

struct net_reply {
	int status;
	const char *body;               /* in the ctx's arena, NUL-terminated */
	size_t size;
	const char *content_type;       /* "" */
	const char *etag;               /* "" */
	const char *wanted;             /* of the header asked for; NULL: absent, or longer than 255 bytes */
	int64_t content_length;         /* -1 unknown */
	int64_t retry_after_s;          /* of the header Retry-After; 0: none */

	/* Also where net_perform() fails: what ended the exchange, in one of few words: "address" (not a public one), "url",
	   "dns", "connect", "tls", "timeout", "reset" (sending or receiving), "protocol" (no HTTP), "too_large", "caller" (a
	   source or sink), "cancelled", "memory"; "" with a status. */
	const char *failure;
};

int net_perform(struct ctx *c, struct net *n, const struct net_request *r, struct net_reply *ret) MUST_CHECK;

/* `path` (already encoded) below a base URL with or without a trailing slash. */
const char *net_url(struct ctx *c, const char *base, const char *path);
/* Percent-encodes all but unreserved characters; with keep_slashes "/" stays. */
const char *net_encode(struct ctx *c, const char *text, bool keep_slashes);

/* What a host name stands for right now. No protection by itself: NET_PUBLIC judges what is really connected. */
struct net_host {
	bool is_public;                 /* all of its addresses */
	char address[46];               /* the first that is not */
	int error;                      /* of getaddrinfo(); 0: found */
	bool timed_out;
};
int net_resolve(struct ctx *c, const char *host, int timeout_ms, struct net_host *ret) MUST_CHECK;
const char *net_resolve_error(int error);

/* Is this address (a numeric one, with or without brackets) reachable from the public Internet? False for what is no
   address. MLflow: mlflow/webhooks/ssrf.py. */
bool net_address_public(const char *address);

#endif
