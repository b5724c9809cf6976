/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/event.h"

#include <assert.h>
#include <time.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "db/db.h"

enum { EVENT_QUEUE };

static const struct stmt stmts[] = {
	[EVENT_QUEUE] = { "event_queue", "nti",
		"INSERT INTO webhook_deliveries (webhook, event, data, queued_us)"
		" SELECT w.id, $1, $2, $3 FROM webhook_events e JOIN webhooks w ON w.id = e.webhook"
		" WHERE e.event = $1 AND w.active" },
};

static const struct {
	const char *entity, *action;
} names[EVENT_COUNT] = {
#define X(name, entity_, action_) [EVENT_##name] = { entity_, action_ },
	STORE_EVENTS(X)
#undef X
};

static struct {
	void (*fn)(void *arg);
	void *arg;
} listener;

const char *store_event_entity(enum store_event e)
{
	assert((unsigned)e < EVENT_COUNT);
	return names[e].entity;
}

const char *store_event_action(enum store_event e)
{
	assert((unsigned)e < EVENT_COUNT);
	return names[e].action;
}

void store_event_listen(void (*fn)(void *arg), void *arg)
{
	listener.fn = fn;
	listener.arg = arg;
}

void store_event_wake(void)
{
	if (listener.fn)
		listener.fn(listener.arg);
}

void store_event_queue(struct ctx *c, enum store_event e, const struct record *r, const void *data)
{
	struct buf text = BUF(c->arena, 2 * LIMIT_BODY);
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	record_write(&text, r, data);
	assert(!buf_failed(&text));
	db_queue(c, &stmts[EVENT_QUEUE],
	         ARGS(INTEGER(e), TEXT(buf_text(&text)),
	              BIGINT((int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000)), NULL);
	store_event_wake();
}
