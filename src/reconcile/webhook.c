/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "reconcile/webhook.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/thread.h"
#include "db/db.h"
#include "net/net.h"
#include "reconcile/reconcile.h"
#include "registry/webhook.h"
#include "registry/webhook_send.h"
#include "store/event.h"
#include "store/webhook.h"

enum {
	SENDERS_MOST = 64,
	AT_A_STRETCH = 32,              /* deliveries of one webhook, then another one may have its turn */
	CONNECTION_MS = 10000,
	SWEEP_MS = 60000,
};

/* A thread that sends. webhook: whose deliveries, 0: idle; under the loop's lock. */
struct sender {
	struct webhook_loop *loop;
	struct net *net;
	pthread_t thread;
	int64_t webhook;
};

struct webhook_loop {
	struct reconcile *reconcile;
	struct db_pool *pool;
	pthread_mutex_t lock;
	pthread_cond_t assigned;
	atomic_bool stop;
	int64_t sweep_at;               /* the reconciling thread's */
	unsigned count;
	struct sender senders[];
};

/* ---- one delivery ---- */

struct delivery {
	struct webhook_loop *loop;
	struct net *net;
	int64_t webhook;
	bool more;                      /* the next one may follow at once */
};

static void judge(const struct webhook_head *h, const struct webhook_sent *s, struct webhook_outcome *o)
{
	int64_t tries = *h->tries + 1;
	struct webhook_stats count = { .attempts = 1 };

	if (registry_webhook_ok(s)) {
		o->status = DELIVERY_DELIVERED;
		count.delivered = 1;
	} else if (registry_webhook_retriable(s) && tries <= registry_webhook_settings()->max_retries) {
		o->status = DELIVERY_PENDING;
		o->next_time = clock_wall_ms() + registry_webhook_backoff(tries, s->retry_after_ms);
		count.retried = 1;
	} else {
		o->status = DELIVERY_FAILED;
		count.failed = 1;
	}
	registry_webhook_count(&count);
	if (o->status == DELIVERY_FAILED)
		log_event(LOG_WARN, "webhook delivery given up", "webhook", h->webhook_id, "delivery",
		          h->delivery_id, "tries", log_fmt("%lld", (long long)tries), "status",
		          s->status ? log_fmt("%d", s->status) : NULL, "error", s->error, NULL);
}

static int send(struct ctx *c, struct delivery *d, const struct webhook_head *h, struct webhook_sent *ret)
{
	struct webhook_message m = {
		.url = h->url, .secret = h->secret, .delivery_id = h->delivery_id,
		.timeout_ms = registry_webhook_settings()->timeout_ms, .cancel = &d->loop->stop,
	};

	*ret = (struct webhook_sent){ .started_ms = clock_wall_ms() };
	if (clock_wall_ms() - *h->since > LIMIT_WEBHOOK_AGE) {
		ret->error = "expired";
		return 0;
	}
	if (*h->event < 0 || *h->event >= EVENT_COUNT)
		return fail(c, INVALID_STATE, "The event is one of a later version.");
	m.body = registry_webhook_body(c, (enum store_event)*h->event, *h->queued_us, h->data);
	if (!m.body)
		return -1;
	registry_webhook_send(c, d->net, &m, ret);
	return 0;
}

/* The connection is taken for the statements alone: all senders share one. */
static int next_head(struct ctx *c, struct delivery *d, struct webhook_head *ret)
{
	int found;

	if (db_get(c, d->loop->pool, CONNECTION_MS))
		return -1;
	found = store_webhook_head(c, d->webhook, clock_wall_ms(), ret);
	db_put(c, d->loop->pool);
	return found;
}

static int record(struct ctx *c, struct delivery *d, const struct webhook_outcome *o)
{
	int failed;

	if (db_get(c, d->loop->pool, CONNECTION_MS))
		return -1;
	failed = store_webhook_record(c, o);
	db_put(c, d->loop->pool);
	return failed;
}

static int deliver(struct ctx *c, void *arg)
{
	struct delivery *d = arg;
	struct webhook_head h = { 0 };
	struct webhook_sent sent;
	struct webhook_outcome o = { 0 };
	int found = next_head(c, d, &h);

	if (found <= 0)
		return found;
	if (!reconcile_leads(d->loop->reconcile))
		return 0;
	if (send(c, d, &h, &sent)) {
		/* Nothing that time mends: it must not hold up what follows. */
		sent.error = "payload";
		error_clear(c);
	}
	if (sent.error && strcmp(sent.error, "cancelled") == 0)
		return 0;               /* the next daemon sends it again */
	o = (struct webhook_outcome){
		.id = *h.id, .started_time = sent.started_ms, .duration_ms = sent.duration_ms,
		.response_status = sent.status, .error = sent.error,
	};
	judge(&h, &sent, &o);
	d->more = o.status != DELIVERY_PENDING;
	if (record(c, d, &o)) {
		d->more = false;
		return -1;
	}
	return 0;
}

static bool deliver_one(struct webhook_loop *l, struct net *net, int64_t webhook)
{
	struct delivery d = { .loop = l, .net = net, .webhook = webhook };
	struct ctx c = { .arena = arena_new(LIMIT_ARENA) };

	if (!c.arena)
		return false;
	if (work_run(&c, deliver, &d)) {
		log_event(LOG_WARN, "webhook delivery is put off", "error", c.error.message, "detail",
		          c.error.detail, NULL);
		d.more = false;
	}
	if (c.db)                       /* memory ran out between taking it and giving it back */
		db_put(&c, l->pool);
	arena_free(c.arena);
	return d.more;
}

/* ---- senders ---- */

static int64_t wait_for_work(struct sender *s)
{
	struct webhook_loop *l = s->loop;
	int64_t webhook;

	pthread_mutex_lock(&l->lock);
	while (!s->webhook && !atomic_load(&l->stop))
		pthread_cond_wait(&l->assigned, &l->lock);
	webhook = atomic_load(&l->stop) ? 0 : s->webhook;
	pthread_mutex_unlock(&l->lock);
	return webhook;
}

static void *run(void *arg)
{
	struct sender *s = arg;
	struct webhook_loop *l = s->loop;
	int64_t webhook;

	while ((webhook = wait_for_work(s))) {
		for (int i = 0; i < AT_A_STRETCH && !atomic_load(&l->stop); i++) {
			if (!deliver_one(l, s->net, webhook))
				break;
		}
		pthread_mutex_lock(&l->lock);
		s->webhook = 0;
		pthread_mutex_unlock(&l->lock);
		reconcile_wake(l->reconcile);
	}
	return NULL;
}

/* To an idle sender, unless one is at it already. False: all are busy. */
static bool assign(struct webhook_loop *l, int64_t webhook)
{
	struct sender *idle = NULL;
	bool at_it = false;

	pthread_mutex_lock(&l->lock);
	for (unsigned i = 0; i < l->count; i++) {
		at_it = at_it || l->senders[i].webhook == webhook;
		if (!l->senders[i].webhook)
			idle = &l->senders[i];
	}
	if (!at_it && idle) {
		idle->webhook = webhook;
		pthread_cond_broadcast(&l->assigned);
	}
	pthread_mutex_unlock(&l->lock);
	return at_it || idle;
}

/* ---- looking ---- */

static int sweep(struct ctx *c, struct webhook_loop *l)
{
	int64_t now = clock_wall_ms();

	if (clock_ms() < l->sweep_at)
		return 0;
	l->sweep_at = clock_ms() + SWEEP_MS;
	return store_webhook_sweep(c, now - LIMIT_WEBHOOK_LOG_AGE, LIMIT_WEBHOOK_LOG, now);
}

static int pass(struct ctx *c, void *arg, int *wait_ms)
{
	struct webhook_loop *l = arg;
	struct list due = { 0 };
	int64_t now = clock_wall_ms();

	if (store_webhook_due(c, &due))
		return -1;
	for (size_t i = 0; i < due.count; i++) {
		const struct webhook_due *d = LIST_AT(struct webhook_due, &due, i);

		if (*d->next_time > now) {
			if (*d->next_time - now < *wait_ms)
				*wait_ms = (int)(*d->next_time - now);
		} else if (!assign(l, *d->webhook)) {
			break;          /* a sender that ends wakes us */
		}
	}
	return sweep(c, l);
}

static void wake(void *arg)
{
	struct webhook_loop *l = arg;

	reconcile_wake(l->reconcile);
}

/* ---- start and stop ---- */

static void stop_senders(struct webhook_loop *l)
{
	pthread_mutex_lock(&l->lock);
	atomic_store(&l->stop, true);
	pthread_cond_broadcast(&l->assigned);
	pthread_mutex_unlock(&l->lock);
	for (unsigned i = 0; i < l->count; i++) {
		pthread_join(l->senders[i].thread, NULL);
		net_free(l->senders[i].net);
	}
}

static void free_loop(struct webhook_loop *l)
{
	pthread_cond_destroy(&l->assigned);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

struct webhook_loop *reconcile_webhook_start(struct db_pool *pool, unsigned senders)
{
	static struct reconcile_kind kind = { .name = "webhooks", .lock = LEADER_WEBHOOKS, .pass = pass };
	unsigned most = senders < 1 ? 1 : senders > SENDERS_MOST ? SENDERS_MOST : senders;
	struct webhook_loop *l = calloc(1, sizeof(*l) + most * sizeof(l->senders[0]));

	if (!l)
		return NULL;
	l->pool = pool;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->assigned, NULL);
	for (; l->count < most; l->count++) {
		struct sender *sender = &l->senders[l->count];

		sender->loop = l;
		sender->net = net_new();
		if (!sender->net || thread_start(&sender->thread, "webhook", run, sender)) {
			net_free(sender->net);
			break;
		}
	}
	kind.arg = l;
	/* Its first look waits for the lock, and so do senders, until they can ask who leads. */
	pthread_mutex_lock(&l->lock);
	if (l->count == most)
		l->reconcile = reconcile_start(&kind, pool);
	pthread_mutex_unlock(&l->lock);
	if (!l->reconcile) {
		stop_senders(l);
		free_loop(l);
		return NULL;
	}
	store_event_listen(wake, l);
	return l;
}

void reconcile_webhook_stop(struct webhook_loop *l)
{
	store_event_listen(NULL, NULL);
	/* Senders ask it and wake it until they end; its pass assigns to them until it ends. */
	stop_senders(l);
	reconcile_stop(l->reconcile);
	free_loop(l);
}
