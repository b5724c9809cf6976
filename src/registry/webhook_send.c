/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "registry/webhook_send.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "registry/fernet.h"
#include "registry/webhook.h"
#include "webhook_impl.h"

enum { FIRST_BACKOFF_MS = 1000, JITTER_MS = 1000 };

static struct webhook_config config;
static struct fernet key;
static struct {
	_Atomic uint64_t attempts, delivered, failed, retried;
} counts;

int registry_webhook_configure(struct ctx *c, const struct webhook_config *w)
{
	config = *w;
	if (!registry_fernet_key(w->key, &key))
		return fail(c, INVALID_PARAMETER_VALUE,
		            "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY must be 32 url-safe base64-encoded bytes.");
	return 0;
}

const struct webhook_config *registry_webhook_settings(void)
{
	return &config;
}

const struct fernet *registry_webhook_key(void)
{
	return &key;
}

void registry_webhook_count(const struct webhook_stats *more)
{
	atomic_fetch_add(&counts.attempts, more->attempts);
	atomic_fetch_add(&counts.delivered, more->delivered);
	atomic_fetch_add(&counts.failed, more->failed);
	atomic_fetch_add(&counts.retried, more->retried);
}

void registry_webhook_stats(struct webhook_stats *ret)
{
	*ret = (struct webhook_stats){
		.attempts = atomic_load(&counts.attempts), .delivered = atomic_load(&counts.delivered),
		.failed = atomic_load(&counts.failed), .retried = atomic_load(&counts.retried),
	};
}

static int send(struct ctx *c, struct net *n, const struct webhook_message *m, struct webhook_sent *ret)
{
	const char *timestamp = arena_printf(c->arena, "%lld", (long long)time(NULL));
	const char *secret = NULL, *signature = NULL;
	struct net_reply got;

	/* The operator may have changed what is allowed since the webhook was made. */
	ret->error = "url";
	if (registry_webhook_url_check(c, m->url, false))
		return -1;
	ret->error = "secret";
	if (m->secret) {
		int found = registry_fernet_decrypt(c, &key, m->secret, &secret);

		if (found < 0)
			return -1;
		if (!found)
			return fail(c, INVALID_STATE,
			            "The webhook's secret was encrypted with another key.");
		signature = registry_webhook_signature(c, secret, m->delivery_id, timestamp, m->body);
		if (!signature)
			return -1;
	}
	const struct net_header headers[] = {
		{ "Content-Type", "application/json" },
		{ "X-MLflow-Delivery-Id", m->delivery_id },
		{ "X-MLflow-Timestamp", timestamp },
		{ "X-MLflow-Signature", signature },
	};
	const struct net_request r = {
		.method = "POST", .url = m->url, .headers = headers, .header_count = signature ? 4 : 3,
		.flags = NET_DIRECT | (config.allow_private ? 0 : NET_PUBLIC),
		.timeout_ms = m->timeout_ms, .body = m->body, .size = strlen(m->body),
		.cancel = m->cancel, .discard_body = true,
	};
	int failed = net_perform(c, n, &r, &got);

	ret->error = failed ? got.failure : NULL;
	ret->status = got.status;
	if (got.retry_after_s)
		ret->retry_after_ms = (got.retry_after_s < LIMIT_WEBHOOK_RETRY_AFTER / 1000
		                               ? got.retry_after_s * 1000
		                               : LIMIT_WEBHOOK_RETRY_AFTER);
	return failed;
}

void registry_webhook_send(struct ctx *c, struct net *n, const struct webhook_message *m,
                           struct webhook_sent *ret)
{
	int64_t began = clock_ms();

	*ret = (struct webhook_sent){ .started_ms = clock_wall_ms() };
	if (send(c, n, m, ret)) {
		ret->status = 0;
		ret->message = c->error.message;
		error_clear(c);
	}
	ret->duration_ms = clock_ms() - began;
}

bool registry_webhook_retriable(const struct webhook_sent *s)
{
	if (s->error)           /* never again what was refused for our own safety */
		return strcmp(s->error, "address") != 0 && strcmp(s->error, "url") != 0;
	return s->status == 408 || s->status == 425 || s->status == 429
	       || (s->status >= 500 && s->status != 501 && s->status != 505);
}

int64_t registry_webhook_backoff(int64_t tries, int64_t retry_after_ms)
{
	int64_t wait = FIRST_BACKOFF_MS;
	uint32_t jitter;

	for (; tries > 1 && wait < LIMIT_WEBHOOK_BACKOFF; tries--)
		wait *= 2;
	if (wait > LIMIT_WEBHOOK_BACKOFF)
		wait = LIMIT_WEBHOOK_BACKOFF;
	if (wait < retry_after_ms)
		wait = retry_after_ms;
	id_random(&jitter, sizeof(jitter));
	return wait + jitter % JITTER_MS;
}
