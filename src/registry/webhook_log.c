/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What a target was told and what it said to it, a test of it, and telling it once more. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "net/net.h"
#include "registry/webhook.h"
#include "registry/webhook_send.h"
#include "search/search.h"
#include "store/settings.h"

enum { DEFAULT_RESULTS = 100, WORKERS_PER_TEST = 2 };

static const char not_shown[] = "The target's answer is not shown.";

const struct record test_webhook_record = { sizeof(struct test_webhook), (const struct field[]){
	STRING(struct test_webhook, webhook_id, REQUIRED),
	OBJECT(struct test_webhook, event,      0, &webhook_event_record),
	END }};

static const struct record result_record = {
	sizeof(struct webhook_test_result), (const struct field[]){
	BOOL  (struct webhook_test_result, success,         0),
	INT64 (struct webhook_test_result, response_status, 0),
	STRING(struct webhook_test_result, response_body,   0),
	STRING(struct webhook_test_result, error_message,   0),
	END }};

const struct record test_webhook_reply_record = {
	sizeof(struct test_webhook_reply), (const struct field[]){
	OBJECT(struct test_webhook_reply, result, 0, &result_record),
	END }};

const struct record list_webhook_deliveries_record = {
	sizeof(struct list_webhook_deliveries), (const struct field[]){
	STRING(struct list_webhook_deliveries, webhook_id,  REQUIRED),
	STRING(struct list_webhook_deliveries, status,      0),
	INT64 (struct list_webhook_deliveries, max_results, 0),
	STRING(struct list_webhook_deliveries, page_token,  0),
	END }};

const struct record webhook_delivery_page_record = {
	sizeof(struct webhook_delivery_page), (const struct field[]){
	LIST  (struct webhook_delivery_page, deliveries,      0, &webhook_delivery_record),
	STRING(struct webhook_delivery_page, next_page_token, 0),
	END }};

const struct record replay_webhook_delivery_record = {
	sizeof(struct replay_webhook_delivery), (const struct field[]){
	STRING(struct replay_webhook_delivery, webhook_id,  REQUIRED),
	STRING(struct replay_webhook_delivery, delivery_id, REQUIRED),
	END }};

const struct record webhook_delivery_reply_record = {
	sizeof(struct webhook_delivery_reply), (const struct field[]){
	OBJECT(struct webhook_delivery_reply, delivery, 0, &webhook_delivery_record),
	END }};

/* ---- test ---- */

static atomic_uint testing;

static void end_test(void *p)
{
	(void)p;
	atomic_fetch_sub(&testing, 1);
}

static void free_net(void *p)
{
	net_free(p);
}

/* A target may hang, and a test waits for it in a worker: most workers stay free for everybody else. */
static int begin_test(struct ctx *c)
{
	unsigned most = registry_webhook_settings()->workers / WORKERS_PER_TEST;

	if (!most)
		return fail(c, FEATURE_DISABLED,
		            "A webhook test needs a server with a --db-pool-size of at least 3.");
	if (most > LIMIT_WEBHOOK_TESTS)
		most = LIMIT_WEBHOOK_TESTS;
	if (atomic_fetch_add(&testing, 1) >= most) {
		atomic_fetch_sub(&testing, 1);
		return fail(c, REQUEST_LIMIT_EXCEEDED,
		            "Too many webhooks are being tested; try again in some seconds.");
	}
	arena_defer(c->arena, end_test, NULL);
	return 0;
}

static int run_test(struct ctx *c, const struct webhook *w, int event, struct webhook_sent *ret)
{
	const char *hex = id_uuid_hex(c->arena);
	int timeout = registry_webhook_settings()->timeout_ms;
	struct webhook_message m = {
		.url = w->url, .secret = w->secret,
		.delivery_id = arena_printf(c->arena, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8,
		                            hex + 12, hex + 16, hex + 20),
		.timeout_ms = timeout < LIMIT_WEBHOOK_TEST ? timeout : LIMIT_WEBHOOK_TEST,
		.body = registry_webhook_body(c, (enum store_event)event, clock_wall_ms() * 1000,
		                              registry_webhook_example((enum store_event)event)),
	};
	struct net *n;

	if (!m.body || begin_test(c))
		return -1;
	n = net_new();
	if (!n)
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	arena_defer(c->arena, free_net, n);
	registry_webhook_send(c, n, &m, ret);
	return 0;
}

int registry_webhook_test(struct ctx *c, const struct test_webhook *in, struct test_webhook_reply *out)
{
	struct webhook_test_result *r = NEW(c->arena, struct webhook_test_result);
	struct webhook_sent sent;
	struct webhook *w;
	int event = in->event ? registry_webhook_event(c, in->event) : 0;

	if (event < 0 || registry_webhook_find(c, in->webhook_id, &w))
		return -1;
	if (!in->event && w->events.count)
		event = registry_webhook_event(c, LIST_AT(struct webhook_event, &w->events, 0));
	if (event < 0 || run_test(c, w, event, &sent))
		return -1;
	r->success = box_bool(c->arena, registry_webhook_ok(&sent));
	if (sent.status) {
		r->response_status = box_int64(c->arena, sent.status);
		r->response_body = not_shown;
	}
	if (sent.message)
		r->error_message = arena_printf(c->arena, "Failed to test webhook: %s", sent.message);
	else if (sent.status >= 300 && sent.status < 400)
		r->error_message = "Failed to test webhook: redirects are not followed.";
	out->result = r;
	return 0;
}

/* ---- the log ---- */

static int status_number(struct ctx *c, const char *name, int *ret)
{
	*ret = -1;
	if (!name || !*name)
		return 0;
	for (int i = 0; webhook_delivery_status_names[i]; i++) {
		if (strcmp(name, webhook_delivery_status_names[i]) == 0)
			*ret = i;
	}
	return *ret >= 0 ? 0
	                 : fail(c, INVALID_PARAMETER_VALUE,
	                        "Invalid value for parameter 'status'; it must be PENDING, DELIVERED,"
	                        " FAILED or DROPPED.");
}

int registry_webhook_deliveries(struct ctx *c, const struct list_webhook_deliveries *in,
                                struct webhook_delivery_page *out)
{
	int64_t most = in->max_results && *in->max_results ? *in->max_results : DEFAULT_RESULTS;
	const char *key = store_settings_token_key(), *position, *purpose;
	long long before = INT64_MAX;
	struct webhook *w;
	int status;

	if (most < 1 || most > LIMIT_WEBHOOK_PAGE)
		return fail(c, INVALID_PARAMETER_VALUE, "max_results must be between 1 and %d.",
		            LIMIT_WEBHOOK_PAGE);
	if (status_number(c, in->status, &status))
		return -1;
	if (registry_webhook_find(c, in->webhook_id, &w))
		return -1;
	purpose = arena_printf(c->arena, "webhook deliveries %s %s", w->webhook_id,
	                       in->status ? in->status : "");
	if (in->page_token && *in->page_token) {
		if (token_open(c, key, purpose, in->page_token, &position))
			return -1;
		if (sscanf(position, "%lld", &before) != 1)
			return fail(c, INVALID_PARAMETER_VALUE, "Invalid page token: not one of this server");
	}
	if (store_webhook_deliveries(c, w, before, status, most + 1,
	                             &out->deliveries))
		return -1;
	if (out->deliveries.count <= (size_t)most)
		return 0;
	out->deliveries.count = (size_t)most;
	const struct webhook_delivery *last = LIST_AT(struct webhook_delivery, &out->deliveries, most - 1);
	out->next_page_token = token_make(c, key, purpose,
		arena_printf(c->arena, "%lld", (long long)*last->id));
	return out->next_page_token ? 0 : -1;
}

int registry_webhook_replay(struct ctx *c, const struct replay_webhook_delivery *in,
                            struct webhook_delivery_reply *out)
{
	struct webhook *w;
	int found;

	if (registry_webhook_find(c, in->webhook_id, &w))
		return -1;
	if (strcmp(w->status, "ACTIVE") != 0)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Webhook with ID %s is disabled; enable it before a replay.", w->webhook_id);
	out->delivery = NEW(c->arena, struct webhook_delivery);
	found = store_webhook_replay(c, w, in->delivery_id, clock_wall_ms(), out->delivery);
	if (found < 0)
		return -1;
	if (!found)
		return fail(c, RESOURCE_DOES_NOT_EXIST, "Delivery with ID %s of webhook %s not found.",
		            in->delivery_id, w->webhook_id);
	store_event_wake();
	return 0;
}
