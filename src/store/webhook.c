/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/webhook.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "db/db.h"

enum {
	WEBHOOK_CREATE, WEBHOOK_GET, WEBHOOK_UPDATE, WEBHOOK_DELETE, WEBHOOK_LIST
};

#define COLUMNS \
	"SELECT w.id, w.webhook_id, w.name, w.description, w.url, w.secret, w.creation_time," \
	" w.last_updated_time, CASE WHEN w.active THEN 1 ELSE 2 END AS status," \
	" (SELECT string_agg(e.event::text, ',' ORDER BY e.place) FROM webhook_events e" \
	"  WHERE e.webhook = w.id) AS events FROM webhooks w "

static const struct stmt stmts[] = {
	[WEBHOOK_CREATE] = { "webhook_create", "ttttbtiN",
		"WITH made AS ("
		"  INSERT INTO webhooks (webhook_id, name, description, url, active, secret,"
		"   creation_time, last_updated_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $7)"
		"  RETURNING id"
		") INSERT INTO webhook_events SELECT made.id, t.event, t.place"
		" FROM made, unnest($8) WITH ORDINALITY AS t (event, place)" },
	[WEBHOOK_GET] = { "webhook_get", "t", COLUMNS "WHERE w.webhook_id = $1" },
	[WEBHOOK_UPDATE] = { "webhook_update", "ttbttbtnibN",
		"WITH changed AS ("
		"  UPDATE webhooks SET name = coalesce($2, name),"
		"   description = CASE WHEN $3 THEN $4 ELSE description END,"
		"   url = coalesce($5, url), secret = CASE WHEN $6 THEN $7 ELSE secret END,"
		"   active = CASE WHEN $8 >= 0 THEN $8 = 1 ELSE active END,"
		"   last_updated_time = $9"
		"  WHERE webhook_id = $1 RETURNING id, active"
		"), fewer AS ("
		"  DELETE FROM webhook_events e USING changed"
		"  WHERE e.webhook = changed.id AND $10 AND e.event <> ALL ($11)"
		"), more AS ("
		"  INSERT INTO webhook_events SELECT changed.id, t.event, t.place"
		"  FROM changed, unnest($11) WITH ORDINALITY AS t (event, place) WHERE $10"
		"  ON CONFLICT (webhook, event) DO UPDATE SET place = excluded.place"
		"), dropped AS ("
		"  UPDATE webhook_deliveries d SET status = 3, ended_time = $9 FROM changed"
		"  WHERE d.webhook = changed.id AND d.status = 0 AND NOT changed.active"
		") SELECT id FROM changed" },
	[WEBHOOK_DELETE] = { "webhook_delete", "t",
		"WITH gone AS (DELETE FROM webhooks WHERE webhook_id = $1 RETURNING id"
		"), log AS (DELETE FROM webhook_deliveries d USING gone WHERE d.webhook = gone.id"
		") SELECT id FROM gone" },
	[WEBHOOK_LIST] = { "webhook_list", "iii",
		COLUMNS "WHERE (w.creation_time, w.id) < ($1, $2)"
		" ORDER BY w.creation_time DESC, w.id DESC LIMIT $3" },
};

const char *const webhook_status_names[] = { "", "ACTIVE", "DISABLED", NULL };
const char *const webhook_entity_names[] = {
	"", "REGISTERED_MODEL", "MODEL_VERSION", "MODEL_VERSION_TAG", "MODEL_VERSION_ALIAS", "PROMPT",
	"PROMPT_VERSION", "PROMPT_TAG", "PROMPT_VERSION_TAG", "PROMPT_ALIAS", "BUDGET_POLICY", NULL
};
const char *const webhook_action_names[] = {
	"", "CREATED", "UPDATED", "DELETED", "SET", "EXCEEDED", NULL
};

const struct record webhook_event_record = {
	sizeof(struct webhook_event), (const struct field[]){
	ENUM(struct webhook_event, entity, 0, webhook_entity_names),
	ENUM(struct webhook_event, action, 0, webhook_action_names),
	END }};

const struct record webhook_record = { sizeof(struct webhook), (const struct field[]){
	STRING(struct webhook, webhook_id,             0),
	STRING(struct webhook, name,                   0),
	STRING(struct webhook, description,            0),
	STRING(struct webhook, url,                    0),
	LIST  (struct webhook, events,                 0, &webhook_event_record),
	ENUM  (struct webhook, status,                 0, webhook_status_names),
	INT64 (struct webhook, creation_timestamp,     0),
	INT64 (struct webhook, last_updated_timestamp, 0),
	END }};

struct row {
	const int64_t *id;
	const char *webhook_id, *name, *description, *url, *secret;
	const int64_t *creation_time, *last_updated_time;
	const char *status;
	const char *events;
};

static const struct record row_record = { sizeof(struct row), (const struct field[]){
	INT64 (struct row, id,                0),
	STRING(struct row, webhook_id,        0),
	STRING(struct row, name,              0),
	STRING(struct row, description,       0),
	STRING(struct row, url,               0),
	STRING(struct row, secret,            0),
	INT64 (struct row, creation_time,     0),
	INT64 (struct row, last_updated_time, 0),
	ENUM  (struct row, status,            0, webhook_status_names),
	STRING(struct row, events,            0),
	END }};

struct id_row {
	const int64_t *id;
};

static const struct record id_record = { sizeof(struct id_row), (const struct field[]){
	INT64(struct id_row, id, 0),
	END }};

/* ---- events ---- */

/* MLflow writes its enums in capitals on the wire and in lower case elsewhere. */
static const char *capitals(const char *const *all, const char *name)
{
	while (*all && strcasecmp(*all, name) != 0)
		all++;
	assert(*all);
	return *all;
}

int store_webhook_event(const char *entity, const char *action)
{
	for (int e = 0; e < EVENT_COUNT; e++) {
		if (strcasecmp(store_event_entity((enum store_event)e), entity) == 0
		    && strcasecmp(store_event_action((enum store_event)e), action) == 0)
			return e;
	}
	return -1;
}

static void add_events(struct ctx *c, struct list *to, const char *numbers)
{
	size_t capacity = 0;

	while (numbers && *numbers) {
		char *end;
		long e = strtol(numbers, &end, 10);
		struct webhook_event *made;

		numbers = *end == ',' ? end + 1 : end;
		/* Of a later version, perhaps. */
		if (e < 0 || e >= EVENT_COUNT)
			continue;
		made = list_add(c->arena, to, &capacity, sizeof(*made));
		made->entity = capitals(webhook_entity_names, store_event_entity((enum store_event)e));
		made->action = capitals(webhook_action_names, store_event_action((enum store_event)e));
	}
}

static void fill(struct ctx *c, struct webhook *w, const struct row *r)
{
	*w = (struct webhook){
		.webhook_id = r->webhook_id, .name = r->name, .url = r->url, .status = r->status,
		.description = r->description && *r->description ? r->description : NULL,
		.creation_timestamp = r->creation_time,
		.last_updated_timestamp = r->last_updated_time,
		.id = r->id, .secret = r->secret,
	};
	add_events(c, &w->events, r->events);
}

/* ---- webhooks ---- */

int store_webhook_create(struct ctx *c, const char *webhook_id, const struct webhook_change *w)
{
	return db_exec(c, &stmts[WEBHOOK_CREATE],
	               ARGS(TEXT(webhook_id), TEXT(w->name), TEXT(w->description), TEXT(w->url),
	                    BOOLEAN(w->active != 0), TEXT(w->secret), BIGINT(w->now),
	                    INTEGERS(w->events, w->event_count))) < 0 ? -1 : 0;
}

int store_webhook_get(struct ctx *c, const char *webhook_id, struct webhook **ret)
{
	struct row r = { 0 };
	int found = db_one(c, &stmts[WEBHOOK_GET], ARGS(TEXT(webhook_id)), &row_record, &r);

	if (found <= 0)
		return found;
	*ret = NEW(c->arena, struct webhook);
	fill(c, *ret, &r);
	return 1;
}

int store_webhook_update(struct ctx *c, const char *webhook_id, const struct webhook_change *w)
{
	struct id_row r = { 0 };

	return db_one(c, &stmts[WEBHOOK_UPDATE],
	              ARGS(TEXT(webhook_id), TEXT(w->name), BOOLEAN(w->set_description),
	                   TEXT(w->description), TEXT(w->url), BOOLEAN(w->set_secret),
	                   TEXT(w->secret), INTEGER(w->active), BIGINT(w->now),
	                   BOOLEAN(w->events != NULL), INTEGERS(w->events, w->event_count)),
	              &id_record, &r);
}

int store_webhook_delete(struct ctx *c, const char *webhook_id)
{
	struct id_row r = { 0 };

	return db_one(c, &stmts[WEBHOOK_DELETE], ARGS(TEXT(webhook_id)), &id_record, &r);
}

int store_webhook_list(struct ctx *c, int64_t time, int64_t id, int64_t most, struct list *ret)
{
	struct list rows = { 0 };

	if (db_list(c, &stmts[WEBHOOK_LIST], ARGS(BIGINT(time), BIGINT(id), BIGINT(most)), &row_record,
	            &rows))
		return -1;
	*ret = (struct list){ NEW_ARRAY(c->arena, rows.count, struct webhook), rows.count };
	for (size_t i = 0; i < rows.count; i++)
		fill(c, LIST_AT(struct webhook, ret, i), LIST_AT(struct row, &rows, i));
	return 0;
}
