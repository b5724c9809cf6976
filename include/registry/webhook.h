/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* webhook — /mlflow/webhooks of MLflow 3.17.2, and the delivery log that it does not have. */
#ifndef REGISTRY_WEBHOOK_H
#define REGISTRY_WEBHOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/empty.h"
#include "store/webhook.h"

struct webhook_config {
	const char *schemes;            /* MLFLOW_WEBHOOK_ALLOWED_SCHEMES: "https,http" */
	bool allow_private;             /* MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS */
	int timeout_ms;
	int max_retries;
	unsigned workers;               /* that answer requests: test calls take few of them */
	const char *key;                /* the text of a Fernet key */
};

/* Once, before requests and deliveries; the texts must stay. -1: a key that is none. */
int registry_webhook_configure(struct ctx *c, const struct webhook_config *w) MUST_CHECK;
const struct webhook_config *registry_webhook_settings(void);

struct create_webhook {
	const char *name;
	const char *url;
	struct list events;             /* struct webhook_event */
	const char *description;
	const char *secret;
	const char *status;             /* JSON */
};
extern const struct record create_webhook_record;

struct webhook_reply {
	struct webhook *webhook;
};
extern const struct record webhook_reply_record;

struct list_webhooks {
	const int64_t *max_results;
	const char *page_token;
};
extern const struct record list_webhooks_record;

struct webhook_page {
	struct list webhooks;           /* struct webhook */
	const char *next_page_token;
};
extern const struct record webhook_page_record;

struct webhook_request {
	const char *webhook_id;
};
extern const struct record webhook_request_record;

struct update_webhook {
	const char *webhook_id;
	const char *name;
	const char *description;
	const char *url;
	struct list events;             /* struct webhook_event */
	const char *secret;
	const char *status;             /* JSON */
};
extern const struct record update_webhook_record;

struct test_webhook {
	const char *webhook_id;
	struct webhook_event *event;
};
extern const struct record test_webhook_record;

struct webhook_test_result {
	const bool *success;
	const int64_t *response_status;
	const char *response_body;
	const char *error_message;
};

struct test_webhook_reply {
	struct webhook_test_result *result;
};
extern const struct record test_webhook_reply_record;

struct list_webhook_deliveries {
	const char *webhook_id;
	const char *status;
	const int64_t *max_results;
	const char *page_token;
};
extern const struct record list_webhook_deliveries_record;

struct webhook_delivery_page {
	struct list deliveries;         /* struct webhook_delivery */
	const char *next_page_token;
};
extern const struct record webhook_delivery_page_record;

struct replay_webhook_delivery {
	const char *webhook_id;
	const char *delivery_id;
};
extern const struct record replay_webhook_delivery_record;

struct webhook_delivery_reply {
	struct webhook_delivery *delivery;
};
extern const struct record webhook_delivery_reply_record;

int registry_webhook_create(struct ctx *c, const struct create_webhook *in, struct webhook_reply *out) MUST_CHECK;
int registry_webhook_list(struct ctx *c, const struct list_webhooks *in, struct webhook_page *out) MUST_CHECK;
int registry_webhook_get(struct ctx *c, const struct webhook_request *in, struct webhook_reply *out) MUST_CHECK;
int registry_webhook_update(struct ctx *c, const struct update_webhook *in, struct webhook_reply *out) MUST_CHECK;
int registry_webhook_delete(struct ctx *c, const struct webhook_request *in, struct empty *out) MUST_CHECK;
int registry_webhook_test(struct ctx *c, const struct test_webhook *in, struct test_webhook_reply *out) MUST_CHECK;
int registry_webhook_deliveries(struct ctx *c, const struct list_webhook_deliveries *in,
                                struct webhook_delivery_page *out) MUST_CHECK;
int registry_webhook_replay(struct ctx *c, const struct replay_webhook_delivery *in,
                            struct webhook_delivery_reply *out) MUST_CHECK;

/* 404 with MLflow's text. */
int registry_webhook_find(struct ctx *c, const char *webhook_id, struct webhook **ret) MUST_CHECK;
/* The number of enum store_event; -1: MLflow's text for what does not go together. */
int registry_webhook_event(struct ctx *c, const struct webhook_event *e) MUST_CHECK;

#endif
