/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "registry/webhook.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "registry/webhook_send.h"
#include "search/search.h"
#include "store/settings.h"
#include "store/text.h"
#include "tracking/validate.h"
#include "webhook_impl.h"

enum { DEFAULT_RESULTS = 100, MESSAGE = 64 << 10, NAME_MOST = 63 };

const struct record create_webhook_record = { sizeof(struct create_webhook), (const struct field[]){
	STRING(struct create_webhook, name,        REQUIRED),
	STRING(struct create_webhook, url,         REQUIRED),
	LIST  (struct create_webhook, events,      REQUIRED, &webhook_event_record),
	STRING(struct create_webhook, description, 0),
	STRING(struct create_webhook, secret,      0),
	RAW   (struct create_webhook, status,      0),
	END }};

const struct record webhook_reply_record = { sizeof(struct webhook_reply), (const struct field[]){
	OBJECT(struct webhook_reply, webhook, 0, &webhook_record),
	END }};

const struct record list_webhooks_record = { sizeof(struct list_webhooks), (const struct field[]){
	INT64 (struct list_webhooks, max_results, 0),
	STRING(struct list_webhooks, page_token,  0),
	END }};

const struct record webhook_page_record = { sizeof(struct webhook_page), (const struct field[]){
	LIST  (struct webhook_page, webhooks,        0, &webhook_record),
	STRING(struct webhook_page, next_page_token, 0),
	END }};

const struct record webhook_request_record = {
	sizeof(struct webhook_request), (const struct field[]){
	STRING(struct webhook_request, webhook_id, REQUIRED),
	END }};

const struct record update_webhook_record = { sizeof(struct update_webhook), (const struct field[]){
	STRING(struct update_webhook, webhook_id,  REQUIRED),
	STRING(struct update_webhook, name,        0),
	STRING(struct update_webhook, description, 0),
	STRING(struct update_webhook, url,         0),
	LIST  (struct update_webhook, events,      0, &webhook_event_record),
	STRING(struct update_webhook, secret,      0),
	RAW   (struct update_webhook, status,      0),
	END }};

/* ---- checks ---- */

static const char *lower(struct arena *a, const char *s)
{
	char *ret = arena_strdup(a, s);

	for (char *p = ret; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return ret;
}

static const char *valid_actions(struct ctx *c, const char *entity)
{
	/* In the order of Python's sorted(). */
	static const char *const sorted[] = { "created", "deleted", "exceeded", "set", "updated" };
	struct buf b = BUF(c->arena, MESSAGE);

	for (size_t i = 0; i < sizeof(sorted) / sizeof(*sorted); i++) {
		if (store_webhook_event(entity, sorted[i]) >= 0)
			buf_addf(&b, "%s'%s'", b.size ? ", " : "", sorted[i]);
	}
	return buf_text(&b);
}

int registry_webhook_event(struct ctx *c, const struct webhook_event *e)
{
	int event;

	if (!e->entity || !e->action)
		return fail(c, INVALID_PARAMETER_VALUE, "A webhook event must have an entity and an action.");
	event = store_webhook_event(e->entity, e->action);
	if (event >= 0)
		return event;
	return fail(c, INVALID_PARAMETER_VALUE,
	            "Invalid action '%s' for entity '%s'. Valid actions are: [%s]",
	            lower(c->arena, e->action), lower(c->arena, e->entity), valid_actions(c, e->entity));
}

static int check_events(struct ctx *c, const struct list *events, struct webhook_change *to)
{
	int32_t *numbers = NEW_ARRAY(c->arena, EVENT_COUNT, int32_t);
	bool seen[EVENT_COUNT] = { false };
	size_t n = 0;

	for (size_t i = 0; i < events->count; i++) {
		int event = registry_webhook_event(c, LIST_AT(struct webhook_event, events, i));

		if (event < 0)
			return -1;
		if (seen[event])
			return fail(c, INVALID_PARAMETER_VALUE, "Webhook event '%s.%s' is listed twice.",
			            store_event_entity((enum store_event)event),
			            store_event_action((enum store_event)event));
		seen[event] = true;
		numbers[n++] = event;
	}
	to->events = numbers;
	to->event_count = n;
	return 0;
}

static int check_some(struct ctx *c, const struct list *events)
{
	return events->count ? 0
	                     : fail(c, INVALID_PARAMETER_VALUE,
	                            "Webhook events must be a non-empty list of WebhookEvent objects: [].");
}

/* Letters without case: Python's IGNORECASE also lets two others through (U+017F, U+212A). */
static bool name_valid(const char *name)
{
	size_t n = strlen(name);

	return n >= 1 && n <= NAME_MOST && isalnum((unsigned char)name[0])
	       && isalnum((unsigned char)name[n - 1])
	       && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

static int check_name(struct ctx *c, const char *name)
{
	struct buf b = BUF(c->arena, MESSAGE);

	if (name_valid(name))
		return 0;
	store_text_repr(&b, name);
	return fail(c, INVALID_PARAMETER_VALUE,
	            "Webhook name %s is invalid. It must start and end with a letter or digit, be less"
	            " than 63 characters long, and contain only letters, digits, dots (.), underscores"
	            " (_), and hyphens (-).", buf_text(&b));
}

static int check_url(struct ctx *c, const char *url)
{
	if (tracking_validate_length(c, "url", LIMIT_WEBHOOK_URL, url))
		return -1;
	return registry_webhook_url_check(c, url, true);
}

static int set_texts(struct ctx *c, const char *description, const char *secret,
                     struct webhook_change *to)
{
	if (tracking_validate_length(c, "description", LIMIT_WEBHOOK_DESCRIPTION, description)
	    || tracking_validate_length(c, "secret", LIMIT_WEBHOOK_SECRET, secret))
		return -1;
	to->set_description = description != NULL;
	to->description = description;
	to->set_secret = secret != NULL;
	if (!secret || !*secret)
		return 0;
	to->secret = registry_fernet_encrypt(c, registry_webhook_key(), secret);
	return to->secret ? 0 : -1;
}

/* JSON: protobuf takes an enum's name or number. It would ignore what it does not know; a webhook must not become
   active by a slip of the pen. */
static int set_status(struct ctx *c, const char *status, struct webhook_change *to)
{
	static const struct {
		const char *json;
		int active;
	} known[] = {
		{ "\"ACTIVE\"", 1 }, { "1", 1 }, { "\"DISABLED\"", 0 }, { "2", 0 }, { "\"\"", -1 }, { "null", -1 },
	};

	to->active = -1;
	if (!status)
		return 0;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		to->active = known[i].active;
		if (strcmp(status, known[i].json) == 0)
			return 0;
	}
	return fail(c, INVALID_PARAMETER_VALUE,
	            "Invalid value for parameter 'status'; it must be ACTIVE or DISABLED.");
}

/* ---- handlers ---- */

int registry_webhook_find(struct ctx *c, const char *webhook_id, struct webhook **ret)
{
	int found = store_webhook_get(c, webhook_id, ret);

	if (found < 0)
		return -1;
	return found ? 0 : fail(c, RESOURCE_DOES_NOT_EXIST, "Webhook with ID %s not found.", webhook_id);
}

/* str(uuid.uuid4()) */
static const char *new_id(struct arena *a)
{
	const char *hex = id_uuid_hex(a);

	return arena_printf(a, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

int registry_webhook_create(struct ctx *c, const struct create_webhook *in, struct webhook_reply *out)
{
	struct webhook_change w = {
		.name = in->name, .url = in->url, .now = clock_wall_ms(),
	};
	const char *id = new_id(c->arena);

	/* In MLflow's order. */
	if (set_status(c, in->status, &w) || check_events(c, &in->events, &w)
	    || check_name(c, in->name) || check_url(c, in->url) || check_some(c, &in->events)
	    || set_texts(c, in->description, in->secret, &w) || store_webhook_create(c, id, &w))
		return -1;
	return registry_webhook_find(c, id, &out->webhook);
}

int registry_webhook_get(struct ctx *c, const struct webhook_request *in, struct webhook_reply *out)
{
	return registry_webhook_find(c, in->webhook_id, &out->webhook);
}

int registry_webhook_update(struct ctx *c, const struct update_webhook *in, struct webhook_reply *out)
{
	struct webhook_change w = {
		.name = in->name && *in->name ? in->name : NULL,
		.url = in->url && *in->url ? in->url : NULL,
		.now = clock_wall_ms(),
	};
	int found;

	if (set_status(c, in->status, &w) || (in->events.count && check_events(c, &in->events, &w))
	    || registry_webhook_find(c, in->webhook_id, &out->webhook)
	    || (w.name && check_name(c, w.name)) || (w.url && check_url(c, w.url))
	    || set_texts(c, in->description, in->secret, &w))
		return -1;
	found = store_webhook_update(c, in->webhook_id, &w);
	if (found < 0)
		return -1;
	return registry_webhook_find(c, in->webhook_id, &out->webhook);
}

int registry_webhook_delete(struct ctx *c, const struct webhook_request *in, struct empty *out)
{
	int found = store_webhook_delete(c, in->webhook_id);

	(void)out;
	if (found < 0)
		return -1;
	return found ? 0
	             : fail(c, RESOURCE_DOES_NOT_EXIST, "Webhook with ID %s not found.", in->webhook_id);
}

int registry_webhook_list(struct ctx *c, const struct list_webhooks *in, struct webhook_page *out)
{
	int64_t most = in->max_results && *in->max_results ? *in->max_results : DEFAULT_RESULTS;
	long long time = INT64_MAX, id = INT64_MAX;
	const char *key = store_settings_token_key(), *position;

	if (most < 1 || most > LIMIT_WEBHOOK_PAGE)
		return fail(c, INVALID_PARAMETER_VALUE, "max_results must be between 1 and %d.",
		            LIMIT_WEBHOOK_PAGE);
	if (in->page_token && *in->page_token) {
		if (token_open(c, key, "webhooks", in->page_token, &position))
			return -1;
		if (sscanf(position, "%lld:%lld", &time, &id) != 2)
			return fail(c, INVALID_PARAMETER_VALUE, "Invalid page token: not one of this server");
	}
	if (store_webhook_list(c, time, id, most + 1, &out->webhooks))
		return -1;
	if (out->webhooks.count <= (size_t)most)
		return 0;
	out->webhooks.count = (size_t)most;
	const struct webhook *last = LIST_AT(struct webhook, &out->webhooks, most - 1);
	out->next_page_token = token_make(c, key, "webhooks",
		arena_printf(c->arena, "%lld:%lld", (long long)*last->creation_timestamp,
		             (long long)*last->id));
	return out->next_page_token ? 0 : -1;
}
