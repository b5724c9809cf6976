/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * event — what happened in the registry, for webhooks (mlflow/entities/webhook.py and mlflow/webhooks/types.py of
 * 3.17.2): written in the transaction of the change itself, one outbox row for each subscribed webhook, so that none
 * is lost and none tells of what was rolled back.
 */
#ifndef STORE_EVENT_H
#define STORE_EVENT_H

#include "base/ctx.h"
#include "base/record.h"

/* entity, action: as in MLflow's JSON. */
#define STORE_EVENTS(X) \
	X(REGISTERED_MODEL_CREATED,     "registered_model",    "created") \
	X(MODEL_VERSION_CREATED,        "model_version",       "created") \
	X(MODEL_VERSION_TAG_SET,        "model_version_tag",   "set") \
	X(MODEL_VERSION_TAG_DELETED,    "model_version_tag",   "deleted") \
	X(MODEL_VERSION_ALIAS_CREATED,  "model_version_alias", "created") \
	X(MODEL_VERSION_ALIAS_DELETED,  "model_version_alias", "deleted") \
	X(PROMPT_CREATED,               "prompt",              "created") \
	X(PROMPT_VERSION_CREATED,       "prompt_version",      "created") \
	X(PROMPT_TAG_SET,               "prompt_tag",          "set") \
	X(PROMPT_TAG_DELETED,           "prompt_tag",          "deleted") \
	X(PROMPT_VERSION_TAG_SET,       "prompt_version_tag",  "set") \
	X(PROMPT_VERSION_TAG_DELETED,   "prompt_version_tag",  "deleted") \
	X(PROMPT_ALIAS_CREATED,         "prompt_alias",        "created") \
	X(PROMPT_ALIAS_DELETED,         "prompt_alias",        "deleted") \
	X(BUDGET_POLICY_EXCEEDED,       "budget_policy",       "exceeded")

enum store_event {
#define X(name, entity, action) EVENT_##name,
	STORE_EVENTS(X)
#undef X
	EVENT_COUNT
};

/*
 * Queues (db_queue) the outbox rows of an event; the caller is inside of a transaction and flushes it. `data` is
 * written as JSON by `r`; absent members are left out, so a member that MLflow sends as null is a RAW "null".
 * Without webhooks it costs one index probe in the same round trip.
 */
void store_event_queue(struct ctx *c, enum store_event e, const struct record *r, const void *data);

/* As in MLflow's JSON of the event: "model_version_tag", "set". */
const char *store_event_entity(enum store_event e);
const char *store_event_action(enum store_event e);

/* Once, before threads: fn(arg) is called when an event was queued, a moment before it can be seen. It must not block.
   NULL: no more, when no thread queues any more. */
void store_event_listen(void (*fn)(void *arg), void *arg);
/* Calls it. */
void store_event_wake(void);

#endif
