/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "db/db.h"
#include "store/webhook.h"

enum { ATTEMPTS_KEPT = 50 };            /* of one delivery, which may be replayed any number of times */
enum { SWEEP_AT_ONCE = 5000 };

enum {
	DELIVERY_DUE, DELIVERY_HEAD, DELIVERY_RECORD, DELIVERY_FORGET, DELIVERY_LIST, DELIVERY_ATTEMPTS,
	DELIVERY_REPLAY, SWEEP_DISABLED, SWEEP_OLD, SWEEP_MANY, SWEEP_ORPHANS
};

#define DELIVERY \
	" d.id, d.delivery_id::text AS delivery_id, d.event, d.data, d.queued_us / 1000 AS" \
	" creation_time, d.status, d.attempts, d.next_time, d.ended_time"

static const struct stmt stmts[] = {
	[DELIVERY_DUE] = { "webhook_due", "",
		"SELECT w.id AS webhook, d.next_time FROM webhooks w CROSS JOIN LATERAL ("
		"  SELECT next_time, queued_us FROM webhook_deliveries"
		"  WHERE webhook = w.id AND status = 0 ORDER BY id LIMIT 1) d"
		" WHERE w.active ORDER BY greatest(d.next_time, d.queued_us / 1000) LIMIT 1000" },
	[DELIVERY_HEAD] = { "webhook_head", "ii",
		"SELECT d.id, d.delivery_id::text AS delivery_id, d.event, d.data, d.queued_us, d.tries,"
		" greatest(d.next_time, d.queued_us / 1000) AS since, w.webhook_id, w.url, w.secret FROM webhooks w CROSS JOIN LATERAL ("
		"  SELECT * FROM webhook_deliveries WHERE webhook = w.id AND status = 0"
		"  ORDER BY id LIMIT 1) d WHERE w.id = $1 AND w.active AND d.next_time <= $2" },
	[DELIVERY_RECORD] = { "webhook_record", "iniiint",
		"WITH made AS ("
		"  INSERT INTO webhook_attempts SELECT id, attempts + 1, $3, $4, $6, $7"
		"  FROM webhook_deliveries WHERE id = $1"
		") UPDATE webhook_deliveries SET attempts = attempts + 1, tries = tries + 1,"
		" status = CASE WHEN status = 0 OR $2 = 1 THEN $2 ELSE status END, next_time = $5,"
		" ended_time = CASE WHEN $2 = 0 THEN ended_time ELSE $3 + $4 END WHERE id = $1" },
	[DELIVERY_FORGET] = { "webhook_forget", "in",
		"DELETE FROM webhook_attempts a USING webhook_deliveries d"
		" WHERE d.id = $1 AND a.delivery = d.id AND a.attempt <= d.attempts - $2" },
	[DELIVERY_LIST] = { "webhook_deliveries", "iini",
		"SELECT" DELIVERY " FROM webhook_deliveries d"
		" WHERE d.webhook = $1 AND d.id < $2 AND ($3 < 0 OR d.status = $3)"
		" ORDER BY d.id DESC LIMIT $4" },
	[DELIVERY_ATTEMPTS] = { "webhook_attempts", "I",
		"SELECT delivery, attempt, started_time AS timestamp, duration_ms, response_status, error"
		" FROM webhook_attempts WHERE delivery = ANY ($1) ORDER BY delivery DESC, attempt" },
	[DELIVERY_REPLAY] = { "webhook_replay", "iui",
		"UPDATE webhook_deliveries d SET status = 0, tries = 0, next_time = $3, ended_time = NULL"
		" WHERE webhook = $1 AND delivery_id = $2 RETURNING" DELIVERY },
	[SWEEP_DISABLED] = { "webhook_sweep_disabled", "i",
		"UPDATE webhook_deliveries d SET status = 3, ended_time = $1 FROM webhooks w"
		" WHERE w.id = d.webhook AND NOT w.active AND d.status = 0" },
	[SWEEP_OLD] = { "webhook_sweep_old", "in",
		"DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM webhook_deliveries"
		" WHERE status <> 0 AND ended_time < $1 LIMIT $2)" },
	[SWEEP_MANY] = { "webhook_sweep_many", "i",
		"DELETE FROM webhook_deliveries d USING webhooks w CROSS JOIN LATERAL ("
		"  SELECT id FROM webhook_deliveries x WHERE x.webhook = w.id ORDER BY x.id DESC OFFSET $1"
		"  LIMIT 1) cut WHERE d.webhook = w.id AND d.id <= cut.id AND d.status <> 0" },
	[SWEEP_ORPHANS] = { "webhook_sweep_orphans", "n",
		"DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM webhook_deliveries d"
		" WHERE NOT EXISTS (SELECT FROM webhooks w WHERE w.id = d.webhook) LIMIT $1)" },
};

const char *const webhook_delivery_status_names[] = {
	"PENDING", "DELIVERED", "FAILED", "DROPPED", NULL
};

static const struct record attempt_record = {
	sizeof(struct webhook_attempt), (const struct field[]){
	INT64 (struct webhook_attempt, attempt,         0),
	INT64 (struct webhook_attempt, timestamp,       0),
	INT64 (struct webhook_attempt, duration_ms,     0),
	INT64 (struct webhook_attempt, response_status, 0),
	STRING(struct webhook_attempt, error,           0),
	END }};

const struct record webhook_delivery_record = {
	sizeof(struct webhook_delivery), (const struct field[]){
	STRING(struct webhook_delivery, delivery_id,            0),
	STRING(struct webhook_delivery, webhook_id,             0),
	ENUM  (struct webhook_delivery, entity,                 0, webhook_entity_names),
	ENUM  (struct webhook_delivery, action,                 0, webhook_action_names),
	ENUM  (struct webhook_delivery, status,                 0, webhook_delivery_status_names),
	INT64 (struct webhook_delivery, creation_timestamp,     0),
	INT64 (struct webhook_delivery, ended_timestamp,        0),
	INT64 (struct webhook_delivery, next_attempt_timestamp, 0),
	INT64 (struct webhook_delivery, attempt_count,          0),
	LIST  (struct webhook_delivery, attempts,               0, &attempt_record),
	RAW   (struct webhook_delivery, data,                   0),
	END }};

static const struct record due_record = { sizeof(struct webhook_due), (const struct field[]){
	INT64(struct webhook_due, webhook,   0),
	INT64(struct webhook_due, next_time, 0),
	END }};

static const struct record head_record = { sizeof(struct webhook_head), (const struct field[]){
	INT64 (struct webhook_head, id,          0),
	STRING(struct webhook_head, delivery_id, 0),
	INT64 (struct webhook_head, event,       0),
	STRING(struct webhook_head, data,        0),
	INT64 (struct webhook_head, queued_us,   0),
	INT64 (struct webhook_head, tries,       0),
	INT64 (struct webhook_head, since,       0),
	STRING(struct webhook_head, webhook_id,  0),
	STRING(struct webhook_head, url,         0),
	STRING(struct webhook_head, secret,      0),
	END }};

struct row {
	const int64_t *id;
	const char *delivery_id;
	const int64_t *event;
	const char *data;
	const int64_t *creation_time;
	const char *status;
	const int64_t *attempts, *next_time, *ended_time;
};

static const struct record row_record = { sizeof(struct row), (const struct field[]){
	INT64 (struct row, id,            0),
	STRING(struct row, delivery_id,   0),
	INT64 (struct row, event,         0),
	STRING(struct row, data,          0),
	INT64 (struct row, creation_time, 0),
	ENUM  (struct row, status,        0, webhook_delivery_status_names),
	INT64 (struct row, attempts,      0),
	INT64 (struct row, next_time,     0),
	INT64 (struct row, ended_time,    0),
	END }};

struct attempt_row {
	const int64_t *delivery;
	struct webhook_attempt attempt;
};

#define ATTEMPT(type, ctype, member) \
	{ #member, type, 0, offsetof(struct attempt_row, attempt) \
	  + FIELD_CHECKED(struct webhook_attempt, member, ctype), NULL, NULL }

static const struct record attempt_row_record = {
	sizeof(struct attempt_row), (const struct field[]){
	INT64(struct attempt_row, delivery, 0),
	ATTEMPT(FIELD_INT64, const int64_t *, attempt),
	ATTEMPT(FIELD_INT64, const int64_t *, timestamp),
	ATTEMPT(FIELD_INT64, const int64_t *, duration_ms),
	ATTEMPT(FIELD_INT64, const int64_t *, response_status),
	ATTEMPT(FIELD_STRING, const char *, error),
	END }};

/* ---- sending ---- */

int store_webhook_due(struct ctx *c, struct list *ret)
{
	return db_list(c, &stmts[DELIVERY_DUE], NO_ARGS, &due_record, ret);
}

int store_webhook_head(struct ctx *c, int64_t webhook, int64_t now, struct webhook_head *ret)
{
	return db_one(c, &stmts[DELIVERY_HEAD], ARGS(BIGINT(webhook), BIGINT(now)), &head_record, ret);
}

int store_webhook_record(struct ctx *c, const struct webhook_outcome *o)
{
	struct db_arg status = INTEGER(o->response_status);

	status.null = !o->response_status;
	db_queue(c, &stmts[DELIVERY_RECORD],
	         ARGS(BIGINT(o->id), INTEGER(o->status), BIGINT(o->started_time),
	              BIGINT(o->duration_ms), BIGINT(o->next_time), status, TEXT(o->error)), NULL);
	db_queue(c, &stmts[DELIVERY_FORGET], ARGS(BIGINT(o->id), INTEGER(ATTEMPTS_KEPT)), NULL);
	return db_flush(c);
}

/* ---- the log ---- */

static const char *capitals(const char *const *all, const char *name)
{
	while (*all && strcasecmp(*all, name) != 0)
		all++;
	return *all;
}

static void fill(struct webhook_delivery *d, const struct webhook *w, const struct row *r)
{
	bool pending = strcmp(r->status, webhook_delivery_status_names[DELIVERY_PENDING]) == 0;

	*d = (struct webhook_delivery){
		.delivery_id = r->delivery_id, .webhook_id = w->webhook_id, .status = r->status,
		.creation_timestamp = r->creation_time, .ended_timestamp = r->ended_time,
		.next_attempt_timestamp = pending && *r->next_time ? r->next_time : NULL,
		.attempt_count = r->attempts, .data = r->data, .id = r->id,
	};
	if (*r->event < 0 || *r->event >= EVENT_COUNT)
		return;                 /* of a later version */
	d->entity = capitals(webhook_entity_names, store_event_entity((enum store_event)*r->event));
	d->action = capitals(webhook_action_names, store_event_action((enum store_event)*r->event));
}

/* Both are sorted the same way. */
static int add_attempts(struct ctx *c, struct list *deliveries)
{
	int64_t *ids = NEW_ARRAY(c->arena, deliveries->count, int64_t);
	struct list rows = { 0 };
	size_t at = 0;

	for (size_t i = 0; i < deliveries->count; i++)
		ids[i] = *LIST_AT(struct webhook_delivery, deliveries, i)->id;
	if (db_list(c, &stmts[DELIVERY_ATTEMPTS], ARGS(BIGINTS(ids, deliveries->count)),
	            &attempt_row_record, &rows))
		return -1;
	for (size_t i = 0; i < deliveries->count; i++) {
		struct list *to = &LIST_AT(struct webhook_delivery, deliveries, i)->attempts;
		size_t capacity = 0;

		for (; at < rows.count; at++) {
			const struct attempt_row *r = LIST_AT(struct attempt_row, &rows, at);
			struct webhook_attempt *a;

			if (*r->delivery != ids[i])
				break;
			a = list_add(c->arena, to, &capacity, sizeof(*a));
			*a = r->attempt;
		}
	}
	return 0;
}

int store_webhook_deliveries(struct ctx *c, const struct webhook *w, int64_t before, int status,
                             int64_t most, struct list *ret)
{
	struct list rows = { 0 };

	if (db_list(c, &stmts[DELIVERY_LIST],
	            ARGS(BIGINT(*w->id), BIGINT(before), INTEGER(status), BIGINT(most)), &row_record,
	            &rows))
		return -1;
	*ret = (struct list){ NEW_ARRAY(c->arena, rows.count, struct webhook_delivery), rows.count };
	for (size_t i = 0; i < rows.count; i++)
		fill(LIST_AT(struct webhook_delivery, ret, i), w, LIST_AT(struct row, &rows, i));
	return rows.count ? add_attempts(c, ret) : 0;
}

/* MLflow writes uuids with dashes. NULL: not one. */
static const char *bare_uuid(struct ctx *c, const char *text)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	char *ret = arena_alloc(c->arena, sizeof(form)), *to = ret;

	if (strlen(text) != sizeof(form) - 1)
		return NULL;
	for (size_t i = 0; form[i]; i++) {
		if ((form[i] == '-') != (text[i] == '-'))
			return NULL;
		if (text[i] != '-')
			*to++ = text[i];
	}
	return ret;
}

int store_webhook_replay(struct ctx *c, const struct webhook *w, const char *delivery_id,
                         int64_t now, struct webhook_delivery *ret)
{
	struct row r = { 0 };
	struct list one = { ret, 1 };
	int found = db_one(c, &stmts[DELIVERY_REPLAY],
	                   ARGS(BIGINT(*w->id), UUID(bare_uuid(c, delivery_id)), BIGINT(now)),
	                   &row_record, &r);

	if (found <= 0)
		return found;
	fill(ret, w, &r);
	return add_attempts(c, &one) ? -1 : 1;
}

int store_webhook_sweep(struct ctx *c, int64_t ended_before, int64_t keep, int64_t now)
{
	db_queue(c, &stmts[SWEEP_DISABLED], ARGS(BIGINT(now)), NULL);
	db_queue(c, &stmts[SWEEP_OLD], ARGS(BIGINT(ended_before), INTEGER(SWEEP_AT_ONCE)), NULL);
	db_queue(c, &stmts[SWEEP_MANY], ARGS(BIGINT(keep)), NULL);
	db_queue(c, &stmts[SWEEP_ORPHANS], ARGS(INTEGER(SWEEP_AT_ONCE)), NULL);
	return db_flush(c);
}
