/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* webhook_send — one attempt to tell a webhook's target: mlflow/webhooks/delivery.py, byte for byte. */
#ifndef REGISTRY_WEBHOOK_SEND_H
#define REGISTRY_WEBHOOK_SEND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "net/net.h"
#include "store/event.h"

/* A URL as MLflow's clients may give it, and with `resolve` a host that has public addresses alone. */
int registry_webhook_url_check(struct ctx *c, const char *url, bool resolve) MUST_CHECK;

/* json.dumps() of the whole payload. `data` is JSON of any layout. NULL: it is none, error set. */
const char *registry_webhook_body(struct ctx *c, enum store_event e, int64_t at_us, const char *data);

/* "v1,<base64>". NULL: no memory, error set. */
const char *registry_webhook_signature(struct ctx *c, const char *secret, const char *delivery_id,
                                       const char *timestamp, const char *body);

/* MLflow's example payload of an event (mlflow/webhooks/types.py), as JSON. */
const char *registry_webhook_example(enum store_event e);

struct webhook_message {
	const char *url;
	const char *secret;             /* encrypted; NULL: not signed */
	const char *delivery_id;
	const char *body;
	int timeout_ms;
	const _Atomic bool *cancel;     /* NULL: never */
};

struct webhook_sent {
	int status;                     /* 0: no answer */
	const char *error;              /* one word, NULL with an answer: struct net_reply.failure, or "secret" */
	const char *message;            /* a sentence for it */
	int64_t started_ms;             /* wall clock */
	int64_t duration_ms;
	int64_t retry_after_ms;
};

/* Never fails: what went wrong is in *ret. */
void registry_webhook_send(struct ctx *c, struct net *n, const struct webhook_message *m, struct webhook_sent *ret);

static inline bool registry_webhook_ok(const struct webhook_sent *s)
{
	return s->status >= 200 && s->status < 300;
}

/* May the same succeed later? */
bool registry_webhook_retriable(const struct webhook_sent *s);

/* Milliseconds until the next attempt, after `tries` that failed: exponential, with jitter. */
int64_t registry_webhook_backoff(int64_t tries, int64_t retry_after_ms);

struct webhook_stats {
	uint64_t attempts, delivered, failed, retried;
};
void registry_webhook_count(const struct webhook_stats *more);
void registry_webhook_stats(struct webhook_stats *ret);

#endif
