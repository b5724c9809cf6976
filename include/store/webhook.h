/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* webhook — webhooks, and the outbox and log of what is sent to them. Rules are in registry/webhook.h. */
#ifndef STORE_WEBHOOK_H
#define STORE_WEBHOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/record.h"
#include "store/event.h"

enum webhook_delivery_status {
	DELIVERY_PENDING, DELIVERY_DELIVERED, DELIVERY_FAILED, DELIVERY_DROPPED
};

extern const char *const webhook_status_names[];        /* [1] ACTIVE, DISABLED */
extern const char *const webhook_entity_names[];        /* MLflow's enums, by number */
extern const char *const webhook_action_names[];
extern const char *const webhook_delivery_status_names[];

struct webhook_event {
	const char *entity;             /* a name of webhook_entity_names */
	const char *action;
};
extern const struct record webhook_event_record;

/* The record is MLflow's message: without the last two members. */
struct webhook {
	const char *webhook_id;
	const char *name;
	const char *description;
	const char *url;
	struct list events;             /* struct webhook_event */
	const char *status;
	const int64_t *creation_timestamp;
	const int64_t *last_updated_timestamp;
	const int64_t *id;
	const char *secret;             /* encrypted; NULL: none */
};
extern const struct record webhook_record;

struct webhook_change {
	const char *name, *url;         /* NULL: as it is */
	bool set_description;
	const char *description;
	bool set_secret;
	const char *secret;             /* encrypted; NULL: none any more */
	int active;                     /* 1, 0, or -1: as it is */
	const int32_t *events;          /* enum store_event, distinct, in order; NULL: as they are */
	size_t event_count;
	int64_t now;
};

/* The first event with this name, -1: there is none such. */
int store_webhook_event(const char *entity, const char *action);

int store_webhook_create(struct ctx *c, const char *webhook_id, const struct webhook_change *w) MUST_CHECK;
/* 1, or 0: no such webhook. Disabling drops what is pending, deleting takes the log along. */
int store_webhook_get(struct ctx *c, const char *webhook_id, struct webhook **ret) MUST_CHECK;
int store_webhook_update(struct ctx *c, const char *webhook_id, const struct webhook_change *w) MUST_CHECK;
int store_webhook_delete(struct ctx *c, const char *webhook_id) MUST_CHECK;
/* The newest first, those after (creation time, id); `most` of them. */
int store_webhook_list(struct ctx *c, int64_t time, int64_t id, int64_t most, struct list *ret) MUST_CHECK;

/* ---- deliveries ---- */

struct webhook_due {
	const int64_t *webhook;         /* webhook.id */
	const int64_t *next_time;
};
/* Active webhooks with something pending and when its turn is; those that wait longest come first. */
int store_webhook_due(struct ctx *c, struct list *ret) MUST_CHECK;

struct webhook_head {
	const int64_t *id;
	const char *delivery_id;
	const int64_t *event;
	const char *data;
	const int64_t *queued_us;
	const int64_t *tries;
	const int64_t *since;           /* when it was queued, replayed or put off */
	const char *webhook_id;
	const char *url;
	const char *secret;
};
/* The oldest pending delivery of a webhook, if the webhook is active and its turn has come: 1 or 0. */
int store_webhook_head(struct ctx *c, int64_t webhook, int64_t now, struct webhook_head *ret) MUST_CHECK;

struct webhook_outcome {
	int64_t id;                     /* of the delivery */
	enum webhook_delivery_status status;
	int64_t started_time, duration_ms, next_time;
	int response_status;            /* 0: none */
	const char *error;              /* NULL: none */
};
int store_webhook_record(struct ctx *c, const struct webhook_outcome *o) MUST_CHECK;

struct webhook_attempt {
	const int64_t *attempt;
	const int64_t *timestamp;
	const int64_t *duration_ms;
	const int64_t *response_status;
	const char *error;
};

struct webhook_delivery {
	const char *delivery_id;
	const char *webhook_id;
	const char *entity;
	const char *action;
	const char *status;
	const int64_t *creation_timestamp;
	const int64_t *ended_timestamp;
	const int64_t *next_attempt_timestamp;
	const int64_t *attempt_count;
	struct list attempts;           /* struct webhook_attempt, the newest ones */
	const char *data;
	const int64_t *id;              /* not in the record */
};
extern const struct record webhook_delivery_record;

/* The newest first, those with a smaller id; status -1: any. */
int store_webhook_deliveries(struct ctx *c, const struct webhook *w, int64_t before, int status, int64_t most,
                             struct list *ret) MUST_CHECK;
/* Pending again, due at once, with a new budget of tries: 1, or 0: no such delivery. */
int store_webhook_replay(struct ctx *c, const struct webhook *w, const char *delivery_id,
                         int64_t now, struct webhook_delivery *ret) MUST_CHECK;

/* What has ended before `ended_before`, or is not among the newest `keep` of its webhook, or has no webhook. */
int store_webhook_sweep(struct ctx *c, int64_t ended_before, int64_t keep, int64_t now) MUST_CHECK;

#endif
