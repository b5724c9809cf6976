/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * identity — credentials that are kept fresh: fetched when first asked for, again well before they expire, by one thread,
 * one fetch at a time however many ask. A fetch that fails is tried again with growing pauses; while the old value is
 * still good it is given out, afterwards callers get the failure at once.
 *
 * What they are fetched from is in aws.h and gcp.h.
 */
#ifndef NET_IDENTITY_H
#define NET_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"

enum { IDENTITY_TEXTS = 5, IDENTITY_TEXT = 8192 };

/* What a fetch gives. Strings in the ctx's arena; NULL: not set. */
struct identity_value {
	const char *text[IDENTITY_TEXTS];
	int64_t expires_ms;             /* clock_wall_ms(); 0: never */
};

struct identity;
struct net;

struct identity_ops {
	/* Blocks, on the identity's own thread, with a client of its own. Fails with a clear text: what was tried and what
	   to do. */
	int (*fetch)(struct ctx *c, struct net *n, void *arg, struct identity_value *ret);
	void (*free)(void *arg);        /* NULL: nothing to free */
	const char *name;               /* for the log: "aws", "gcp" */
};

/* Within fetch(): for net_request.cancel, so that identity_free() need not wait. NULL on other threads. */
const _Atomic bool *identity_cancel(void);

/* NULL: no memory. Takes arg over, also then. The thread begins when first asked. */
struct identity *identity_new(const struct identity_ops *ops, void *arg);
void identity_free(struct identity *i);

/* For threads that may wait: the value, waiting at most wait_ms for a first one. Strings copied to c's arena. */
int identity_get(struct ctx *c, struct identity *i, int wait_ms, struct identity_value *ret) MUST_CHECK;

/* For those that may not: 0; NET_AGAIN (2): ready(arg) is called once there is a value or a failure; -1: the failure. */
int identity_poll(struct ctx *c, struct identity *i, void (*ready)(void *arg), void *arg,
                  struct identity_value *ret) MUST_CHECK;
/* No ready(arg) after this returns. */
void identity_forget(struct identity *i, void *arg);

/* Overwrites in text what it says of the current value, of those texts whose bits (1 << index) are set: stores repeat in
   their errors what they were asked. */
void identity_conceal(struct identity *i, unsigned texts, char *text);

/* The store refused this value ("expired token"): fetches anew, at most once in ten seconds. */
void identity_refused(struct identity *i, const struct identity_value *value);

#endif
