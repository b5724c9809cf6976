/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/run.h"

#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/id.h"
#include "base/utf8.h"
#include "db/db.h"
#include "keys.h"
#include "run_load.h"
#include "store/experiment.h"
#include "store/settle.h"
#include "store/writers.h"
#include "unsettle.h"

#define RUN_NAME_TAG "mlflow.runName"

enum { RUN_IDS, RUN_INFO, RUN_UPDATE, RUN_DELETE, RUN_RESTORE, RUN_LOCK, TAG_GET, TAG_SET };

static const struct stmt stmts[] = {
	[RUN_IDS] = { "run_ids", "U",
		"SELECT id, uuid AS run_id, revision FROM runs WHERE uuid = ANY($1)" },
	[RUN_INFO] = { "run_row", "u",
		"SELECT " RUN_COLUMNS " FROM runs r JOIN experiments e ON e.id = r.experiment_id"
		" WHERE r.uuid = $1" },
	/* One statement, so that name and tag never differ. A name changes a tag, and so unsettles. */
	[RUN_UPDATE] = { "run_update", "unitn",
		"WITH ranks AS (SELECT l.* FROM runs r JOIN latest l ON l.run_id = r.id"
		" WHERE r.uuid = $1 AND NOT r.deleted AND r.revision IS NOT NULL AND $4 IS NOT NULL"
		"), unranked AS (DELETE FROM ranked k USING ranks l"
		" WHERE k.experiment_id = l.experiment_id AND k.key_id = l.key_id"
		" AND k.value = l.value AND k.run_id = l.run_id"
		"), r AS ("
		" UPDATE runs SET status = coalesce($2, status), end_time = coalesce($3, end_time),"
		" name = coalesce($4, name),"
		" revision = CASE WHEN $4 IS NULL THEN " NEXT_REVISION " END WHERE uuid = $1 AND NOT deleted RETURNING *), t AS ("
		" INSERT INTO tags (run_id, key_id, experiment_id, value)"
		" SELECT id, $5, experiment_id, $4 FROM r WHERE $4 IS NOT NULL"
		" ON CONFLICT (run_id, key_id) DO UPDATE SET value = excluded.value)"
		" SELECT " RUN_COLUMNS " FROM r JOIN experiments e ON e.id = r.experiment_id" },
	[RUN_DELETE] = { "run_delete", "ui",
		"UPDATE runs SET deleted = true, deleted_time = $2, revision = " NEXT_REVISION
		" WHERE uuid = $1" },
	[RUN_RESTORE] = { "run_restore", "u",
		"UPDATE runs SET deleted = false, deleted_time = NULL, revision = " NEXT_REVISION
		" WHERE uuid = $1" },
	[RUN_LOCK] = { "run_lock", "u",
		"SELECT id, experiment_id, deleted, revision IS NOT NULL AS settled FROM runs"
		" WHERE uuid = $1 FOR NO KEY UPDATE" },
	[TAG_GET] = { "run_tag_get", "in",
		"SELECT value FROM tags WHERE run_id = $1 AND key_id = $2" },
	[TAG_SET] = { "run_tag_set", "init",
		"INSERT INTO tags (run_id, key_id, experiment_id, value) VALUES ($1, $2, $3, $4)"
		" ON CONFLICT (run_id, key_id) DO UPDATE SET value = excluded.value" },
};

/* ---- artifact uri ---- */

const char *store_run_uri(struct arena *a, const char *location, const char *run_id)
{
	return store_experiment_uri(a, location, arena_printf(a, "%s/artifacts", run_id));
}

/* ---- a run whole ---- */

/* NULL, which finds nothing, for what is no id. */
static const char *checked_id(const char *run_id)
{
	uint8_t uuid[16];

	return id_parse_uuid(run_id, uuid) ? run_id : NULL;
}

int store_run_get(struct ctx *c, const char *run_id, struct run *out)
{
	const char *id = checked_id(run_id);

	return id ? run_load_uuid(c, id, out) : 0;
}

struct run_key {
	const int64_t *id;
	const char *run_id;
	const int64_t *revision;        /* NULL: not settled */
};

static const struct record run_key_record = { sizeof(struct run_key), (const struct field[]){
	INT64 (struct run_key, id,       0),
	STRING(struct run_key, run_id,   0),
	INT64 (struct run_key, revision, 0),
	END }};

static int get_each(struct ctx *c, const char *const *ids, size_t count, struct run **out)
{
	for (size_t i = 0; i < count; i++) {
		struct run *run = NEW(c->arena, struct run);
		int found = store_run_get(c, ids[i], run);

		if (found < 0)
			return -1;
		out[i] = found ? run : NULL;
	}
	return 0;
}

int store_run_get_many(struct ctx *c, const char *const *ids, size_t count, struct run **out)
{
	const char **uuids = NEW_ARRAY(c->arena, count, const char *);
	struct list keys = { 0 }, runs = { 0 };
	struct revision *found;

	if (count == 1)                 /* one round trip instead of two */
		return get_each(c, ids, count, out);
	for (size_t i = 0; i < count; i++)
		uuids[i] = checked_id(ids[i]);
	if (db_list(c, &stmts[RUN_IDS], ARGS(UUIDS(uuids, count)), &run_key_record, &keys))
		return -1;
	found = NEW_ARRAY(c->arena, keys.count, struct revision);
	for (size_t i = 0; i < keys.count; i++) {
		const struct run_key *k = LIST_AT(struct run_key, &keys, i);

		found[i] = (struct revision){ *k->id, k->revision ? *k->revision : 0 };
	}
	if (run_load_found(c, found, keys.count, &runs))
		return -1;
	if (runs.count != keys.count)   /* one vanished in between */
		return get_each(c, ids, count, out);
	for (size_t i = 0; i < count; i++) {
		out[i] = NULL;
		for (size_t k = 0; uuids[i] && k < keys.count && !out[i]; k++) {
			if (memcmp(LIST_AT(struct run_key, &keys, k)->run_id, uuids[i], 32) == 0)
				out[i] = LIST_AT(struct run, &runs, k);
		}
	}
	return 0;
}

/* ---- changes ---- */

static int not_found(struct ctx *c, const char *run_id)
{
	return fail(c, RESOURCE_DOES_NOT_EXIST, "Run with id=%s not found", run_id);
}

static int not_active(struct ctx *c, const char *run_id)
{
	return fail(c, INVALID_PARAMETER_VALUE,
	            "The run %s must be in the 'active' state. Current state is deleted.", run_id);
}

static struct db_arg status_number(const char *status)
{
	for (int i = 0; status && run_status_names[i]; i++) {
		if (strcmp(run_status_names[i], status) == 0)
			return INTEGER(i);
	}
	return (struct db_arg){ .type = 'n', .null = true };
}

struct update {
	const char *id;
	const struct run_change *change;
	int32_t key;
	struct list found;              /* struct run_row */
};

static int update(struct ctx *c, void *arg)
{
	struct update *u = arg;
	const struct run_change *change = u->change;

	writers_enter(c);
	db_queue_list(c, &stmts[RUN_UPDATE],
	              ARGS(UUID(u->id), status_number(change->status), BIGINT_P(change->end_time),
	                   TEXT(change->name), INTEGER(u->key)), &run_row_record, &u->found);
	return 0;
}

static bool has_ended(const char *status)
{
	return strcmp(status, "RUNNING") != 0 && strcmp(status, "SCHEDULED") != 0;
}

int store_run_update(struct ctx *c, const char *run_id, const struct run_change *change,
		     struct run_info *out)
{
	static const char *const name_tag = RUN_NAME_TAG;
	struct update u = { .id = checked_id(run_id), .change = change };
	struct run_row row = { 0 };

	if (!u.id)
		return not_found(c, run_id);
	if (keys_resolve(c, &name_tag, 1, &u.key) || tx_run(c, update, &u))
		return -1;
	if (!u.found.count) {
		int found = db_one(c, &stmts[RUN_INFO], ARGS(UUID(u.id)), &run_row_record, &row);

		return found < 0 ? -1 : found ? not_active(c, run_id) : not_found(c, run_id);
	}
	row = *LIST_AT(struct run_row, &u.found, 0);
	store_settle_note(*row.id, store_settle_rest(has_ended(row.info.status)));
	run_row_finish(c, &row);
	*out = row.info;
	return 0;
}

int store_run_delete(struct ctx *c, const char *run_id, int64_t now_ms)
{
	int64_t n = db_exec(c, &stmts[RUN_DELETE], ARGS(UUID(checked_id(run_id)), BIGINT(now_ms)));

	return n < 0 ? -1 : n ? 0 : not_found(c, run_id);
}

int store_run_restore(struct ctx *c, const char *run_id)
{
	int64_t n = db_exec(c, &stmts[RUN_RESTORE], ARGS(UUID(checked_id(run_id))));

	return n < 0 ? -1 : n ? 0 : not_found(c, run_id);
}

/* ---- a tag that is a list ---- */

struct append {
	const char *run_id;
	const char *element;
	size_t limit;
	int32_t key;
	int64_t run;
};

struct run_lock {
	const int64_t *id;
	const int64_t *experiment_id;
	const bool *deleted;
	const bool *settled;
};

static const struct record run_lock_record = { sizeof(struct run_lock), (const struct field[]){
	INT64(struct run_lock, id,            0),
	INT64(struct run_lock, experiment_id, 0),
	BOOL (struct run_lock, deleted,       0),
	BOOL (struct run_lock, settled,       0),
	END }};

/* The list closes with ']', or the tag was set to something else: then it is replaced, as nothing
   can be appended. */
static const char *appended(struct ctx *c, const char *list, const char *element)
{
	size_t n = list ? strlen(list) : 0;

	if (n < 2 || list[0] != '[' || list[n - 1] != ']')
		return arena_printf(c->arena, "[%s]", element);
	return arena_printf(c->arena, "%.*s%s%s]", (int)(n - 1), list, n > 2 ? ", " : "", element);
}

static int append(struct ctx *c, void *arg)
{
	struct append *p = arg;
	struct run_lock run = { 0 };
	struct tag tag = { 0 };
	const char *value;
	int found;

	writers_enter(c);
	found = db_one(c, &stmts[RUN_LOCK], ARGS(UUID(checked_id(p->run_id))), &run_lock_record, &run);
	if (found <= 0)
		return found ? -1 : not_found(c, p->run_id);
	if (*run.deleted)
		return not_active(c, p->run_id);
	if (db_one(c, &stmts[TAG_GET], ARGS(BIGINT(*run.id), INTEGER(p->key)), &tag_record, &tag) <
	    0)
		return -1;
	value = appended(c, tag.value, p->element);
	if (utf8_length(value) > p->limit)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "'value' exceeds the maximum length of %zu characters", p->limit);
	if (*run.settled)
		unsettle_queue(c, run.id, 1);
	p->run = *run.id;
	db_queue(c, &stmts[TAG_SET],
		 ARGS(BIGINT(*run.id), INTEGER(p->key), BIGINT(*run.experiment_id), TEXT(value)),
		 NULL);
	return 0;
}

int store_run_append_tag(struct ctx *c, const char *run_id, const char *key, const char *element,
			 size_t limit)
{
	struct append p = { .run_id = run_id, .element = element, .limit = limit };

	if (keys_resolve(c, &key, 1, &p.key))
		return -1;
	if (tx_run(c, append, &p))
		return -1;
	store_settle_note(p.run, store_settle_rest(false));
	return 0;
}
