/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/experiment.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "store/grant.h"
#include "unsettle.h"

enum {
	EXPERIMENT_CREATE, EXPERIMENT_DEFAULT, EXPERIMENT_GET, EXPERIMENT_TAGS,
	EXPERIMENTS, EXPERIMENTS_REVISIONS, EXPERIMENTS_TAGS, EXPERIMENT_BY_NAME,
	EXPERIMENT_TAGS_BY_NAME, EXPERIMENT_DELETE, EXPERIMENT_RESTORE, EXPERIMENT_RENAME,
	EXPERIMENT_SET_TAG, EXPERIMENT_DELETE_TAG
};

#define COLUMNS \
	"SELECT id::text AS experiment_id, name, artifact_location," \
	" CASE WHEN deleted THEN 'deleted' ELSE 'active' END AS lifecycle_stage," \
	" last_update_time, creation_time, 'default' AS workspace FROM experiments"

static const struct stmt stmts[] = {
	/* A taken name uses up no id. The location's place for the id is between $3 and $4. */
	[EXPERIMENT_CREATE] = { "experiment_create", "ttttiTT",
		"WITH fresh AS MATERIALIZED ("
		"  SELECT nextval(pg_get_serial_sequence('experiments', 'id')) AS id"
		"  WHERE NOT EXISTS (SELECT FROM experiments WHERE name = $1)"
		"), made AS ("
		"  INSERT INTO experiments (id, name, artifact_location, creation_time,"
		" last_update_time)"
		"  SELECT id, $1, coalesce($2, $3 || id || $4), $5, $5 FROM fresh"
		"  ON CONFLICT (name) DO NOTHING RETURNING id"
		"), tagged AS ("
		"  INSERT INTO experiment_tags SELECT made.id, t.key, t.value"
		"  FROM made, unnest($6, $7) AS t (key, value)"
		") SELECT id::text AS id, NULL::boolean AS deleted FROM made"
		" UNION ALL SELECT NULL, deleted FROM experiments WHERE name = $1" },
	[EXPERIMENT_DEFAULT] = { "experiment_default", "ti",
		"INSERT INTO experiments (id, name, artifact_location, creation_time,"
		" last_update_time)"
		" VALUES (0, 'Default', $1, $2, $2) ON CONFLICT DO NOTHING" },
	[EXPERIMENT_GET] = { "experiment_get", "i", COLUMNS " WHERE id = $1" },
	[EXPERIMENT_TAGS] = { "experiment_tags", "i",
		"SELECT key, value FROM experiment_tags WHERE experiment_id = $1 ORDER BY key" },
	[EXPERIMENTS] = { "experiments", "I", COLUMNS " WHERE id = ANY($1) ORDER BY id" },
	[EXPERIMENTS_REVISIONS] = { "experiments_revisions", "I",
		"SELECT revision FROM experiments WHERE id = ANY($1) ORDER BY id" },
	[EXPERIMENTS_TAGS] = { "experiments_tags", "I",
		"SELECT experiment_id AS id, key, value FROM experiment_tags"
		" WHERE experiment_id = ANY($1) ORDER BY experiment_id, key" },
	[EXPERIMENT_BY_NAME] = { "experiment_by_name", "t", COLUMNS " WHERE name = $1" },
	[EXPERIMENT_TAGS_BY_NAME] = { "experiment_tags_by_name", "t",
		"SELECT t.key, t.value FROM experiments e JOIN experiment_tags t ON t.experiment_id"
		" = e.id"
		" WHERE e.name = $1 ORDER BY t.key" },
	[EXPERIMENT_DELETE] = { "experiment_delete", "ii",
		"WITH gone AS (UPDATE experiments SET deleted = true, last_update_time = $2,"
		" revision = DEFAULT WHERE id = $1 AND NOT deleted RETURNING id"
		"), runs_gone AS (UPDATE runs SET deleted = true, deleted_time = $2,"
		" revision = " NEXT_REVISION " FROM gone"
		"  WHERE runs.experiment_id = gone.id AND NOT runs.deleted"
		") SELECT id::text AS id FROM gone" },
	/* All runs come back, also those that were deleted one by one before: as MLflow does. */
	[EXPERIMENT_RESTORE] = { "experiment_restore", "ii",
		"WITH back AS (UPDATE experiments SET deleted = false, last_update_time = $2,"
		" revision = DEFAULT WHERE id = $1 AND deleted RETURNING id"
		"), runs_back AS (UPDATE runs SET deleted = false, deleted_time = NULL,"
		" revision = " NEXT_REVISION " FROM back"
		"  WHERE runs.experiment_id = back.id AND runs.deleted"
		") SELECT id::text AS id FROM back" },
	[EXPERIMENT_RENAME] = { "experiment_rename", "iti",
		"WITH named AS (UPDATE experiments SET name = $2, last_update_time = $3,"
		" revision = DEFAULT WHERE id = $1 AND NOT deleted"
		"  AND NOT EXISTS (SELECT FROM experiments WHERE name = $2 AND id <> $1) RETURNING"
		" id"
		") SELECT (SELECT id::text FROM named) AS id, deleted FROM experiments WHERE id ="
		" $1" },
	[EXPERIMENT_SET_TAG] = { "experiment_set_tag", "ittit",
		"WITH wanted AS (SELECT id, deleted, $5::text IS NULL"
		"  OR EXISTS (SELECT FROM experiment_tags WHERE experiment_id = $1 AND key = $2)"
		"  OR (SELECT count(*) FROM experiment_tags WHERE experiment_id = $1 AND"
		" starts_with(key, $5)) < $4"
		"  AS room FROM experiments WHERE id = $1 FOR NO KEY UPDATE"
		"), revised AS (UPDATE experiments e SET revision = DEFAULT FROM wanted w"
		"  WHERE e.id = w.id AND w.room AND NOT w.deleted"
		"), written AS (INSERT INTO experiment_tags SELECT id, $2, $3 FROM wanted WHERE"
		" room AND NOT deleted"
		"  ON CONFLICT (experiment_id, key) DO UPDATE SET value = excluded.value"
		") SELECT id::text AS id, deleted, room FROM wanted" },
	[EXPERIMENT_DELETE_TAG] = { "experiment_delete_tag", "it",
		"WITH wanted AS (SELECT id, deleted FROM experiments WHERE id = $1"
		"  FOR NO KEY UPDATE"
		"), revised AS (UPDATE experiments e SET revision = DEFAULT FROM wanted w"
		"  WHERE e.id = w.id AND NOT w.deleted"
		"), gone AS (DELETE FROM experiment_tags USING wanted"
		"  WHERE experiment_id = wanted.id AND NOT wanted.deleted AND key = $2 RETURNING"
		" key"
		") SELECT id::text AS id, deleted, EXISTS (SELECT FROM gone) AS room FROM wanted" },
};

struct outcome {
	const char *id;
	const bool *deleted;
	const bool *room;
};

static const struct record outcome_record = { sizeof(struct outcome), (const struct field[]){
	STRING(struct outcome, id,      0),
	BOOL  (struct outcome, deleted, 0),
	BOOL  (struct outcome, room,    0),
	END }};

/* Where a path is appended to a location: before the query and fragment of a URI; a plain path has
   none (mlflow/utils/uri.py append_to_uri_path). The schema's run_uri() does the same. */
static size_t path_end(const char *location)
{
	size_t scheme = strspn(location, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			       "0123456789+.-");

	return isalpha((unsigned char)*location) && location[scheme] == ':'
		? strcspn(location, "?#") : strlen(location);
}

const char *store_experiment_uri(struct arena *a, const char *location, const char *path)
{
	size_t end = path_end(location);
	const char *slash = end && location[end - 1] == '/' ? "" : "/";

	return arena_printf(a, "%.*s%s%s%s", (int)end, location, slash, path, location + end);
}

struct creation {
	const struct new_experiment *experiment;
	struct outcome out;
};

/* The one statement, and its maker's right to manage what it made. */
static int create(struct ctx *c, void *arg)
{
	struct creation *n = arg;
	const struct new_experiment *e = n->experiment;
	const char *location = store_experiment_uri(c->arena, e->artifact_root, "");
	size_t end = path_end(location);
	const char **keys = NEW_ARRAY(c->arena, e->tags.count, const char *);
	const char **values = NEW_ARRAY(c->arena, e->tags.count, const char *);

	for (size_t i = 0; i < e->tags.count; i++) {
		const struct tag *tag = LIST_AT(struct tag, &e->tags, i);

		keys[i] = tag->key;
		values[i] = tag->value ? tag->value : "";
	}
	n->out = (struct outcome){ 0 };
	if (db_one(c, &stmts[EXPERIMENT_CREATE],
	           ARGS(TEXT(e->name), TEXT(e->artifact_location),
	                TEXT(arena_strndup(c->arena, location, end)), TEXT(location + end),
	                BIGINT(e->now),
	                TEXTS(keys, e->tags.count), TEXTS(values, e->tags.count)),
	           &outcome_record, &n->out) < 0)
		return -1;
	if (n->out.id)
		store_grant_manage_queue(c, "experiment", n->out.id);
	return 0;
}

int store_experiment_create(struct ctx *c, const struct new_experiment *e, const char **id,
                            bool *deleted)
{
	struct creation n = { .experiment = e };

	/* Without users the one statement is its own transaction. */
	if (c->user ? tx_run(c, create, &n) : create(c, &n))
		return -1;
	*id = n.out.id;
	*deleted = n.out.deleted && *n.out.deleted;
	/* No row at all: another one took the name this very moment. */
	return n.out.id ? 1 : 0;
}

int store_experiment_default(struct ctx *c, const char *artifact_root, int64_t now)
{
	const char *location = store_experiment_uri(c->arena, artifact_root, "0");
	int64_t made = db_exec(c, &stmts[EXPERIMENT_DEFAULT], ARGS(TEXT(location), BIGINT(now)));

	return made < 0 ? -1 : 0;
}

static int get(struct ctx *c, int statement, int tags_statement, struct db_args args,
               struct experiment **ret)
{
	struct list found = { 0 };
	struct list tags = { 0 };

	db_queue_list(c, &stmts[statement], args, &experiment_record, &found);
	db_queue_list(c, &stmts[tags_statement], args, &tag_record, &tags);
	if (db_flush(c))
		return -1;
	if (!found.count)
		return 0;
	*ret = LIST_AT(struct experiment, &found, 0);
	(*ret)->tags = tags;
	return 1;
}

int store_experiment_get(struct ctx *c, int64_t id, struct experiment **ret)
{
	return get(c, EXPERIMENT_GET, EXPERIMENT_TAGS, ARGS(BIGINT(id)), ret);
}

int store_experiment_get_by_name(struct ctx *c, const char *name, struct experiment **ret)
{
	return get(c, EXPERIMENT_BY_NAME, EXPERIMENT_TAGS_BY_NAME, ARGS(TEXT(name)), ret);
}

struct tag_row {
	const int64_t *id;
	const char *key, *value;
};

static const struct record tag_row_record = { sizeof(struct tag_row), (const struct field[]){
	INT64 (struct tag_row, id,    0),
	STRING(struct tag_row, key,   0),
	STRING(struct tag_row, value, 0),
	END }};

/* The tags' part that is the experiment's, whose rows follow each other. */
static struct list tags_of(struct ctx *c, const struct list *rows, int64_t id)
{
	struct list tags = { 0 };
	size_t first = 0, end;
	struct tag *items;

	while (first < rows->count && *LIST_AT(struct tag_row, rows, first)->id < id)
		first++;
	for (end = first; end < rows->count && *LIST_AT(struct tag_row, rows, end)->id == id;)
		end++;
	items = NEW_ARRAY(c->arena, end - first, struct tag);
	for (; first < end; first++) {
		const struct tag_row *row = LIST_AT(struct tag_row, rows, first);

		items[tags.count++] = (struct tag){ row->key, row->value };
	}
	tags.items = items;
	return tags;
}

static int compare_ids(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Sorted, each once. */
static int64_t *distinct(struct ctx *c, const int64_t *ids, size_t count, size_t *ret)
{
	int64_t *d = arena_memdup(c->arena, ids, count * sizeof(*ids));
	size_t n = 0;

	qsort(d, count, sizeof(*d), compare_ids);
	for (size_t i = 0; i < count; i++) {
		if (!n || d[n - 1] != d[i])
			d[n++] = d[i];
	}
	*ret = n;
	return d;
}

struct revision_row {
	const int64_t *revision;
};

static const struct record revision_row_record = {
	sizeof(struct revision_row), (const struct field[]){
	INT64(struct revision_row, revision, 0),
	END }};

/* With their revisions, which are of the moment of all else. */
static int load(struct ctx *c, const int64_t *ids, size_t count, struct list *found,
                struct list *tags, struct list *revisions)
{
	struct db_args args = ARGS(BIGINTS(ids, count));

	if (revisions)
		db_queue_begin_snapshot(c);
	db_queue_list(c, &stmts[EXPERIMENTS], args, &experiment_record, found);
	db_queue_list(c, &stmts[EXPERIMENTS_TAGS], args, &tag_row_record, tags);
	if (revisions) {
		db_queue_list(c, &stmts[EXPERIMENTS_REVISIONS], args, &revision_row_record,
		              revisions);
		db_queue_commit(c);
	}
	return db_flush(c);
}

int store_experiment_get_many(struct ctx *c, const int64_t *ids, size_t count,
                              struct experiment **out, int64_t *revisions)
{
	struct list found = { 0 }, tags = { 0 }, revised = { 0 };
	size_t n;
	const int64_t *wanted = distinct(c, ids, count, &n);

	if (load(c, wanted, n, &found, &tags, revisions ? &revised : NULL))
		return -1;
	memset(out, 0, count * sizeof(*out));
	for (size_t k = 0; k < found.count; k++) {
		struct experiment *e = LIST_AT(struct experiment, &found, k);
		int64_t id = strtoll(e->experiment_id, NULL, 10);

		e->tags = tags_of(c, &tags, id);
		for (size_t i = 0; i < count; i++) {
			if (ids[i] != id)
				continue;
			out[i] = e;
			if (revisions)
				revisions[i] = *LIST_AT(struct revision_row, &revised, k)->revision;
		}
	}
	return 0;
}

/* ---- changes ---- */

int store_experiment_delete(struct ctx *c, int64_t id, int64_t now)
{
	struct outcome out = { 0 };

	return db_one(c, &stmts[EXPERIMENT_DELETE], ARGS(BIGINT(id), BIGINT(now)), &outcome_record,
	              &out);
}

int store_experiment_restore(struct ctx *c, int64_t id, int64_t now)
{
	struct outcome out = { 0 };

	return db_one(c, &stmts[EXPERIMENT_RESTORE], ARGS(BIGINT(id), BIGINT(now)), &outcome_record,
	              &out);
}

int store_experiment_rename(struct ctx *c, int64_t id, const char *name, int64_t now,
                            enum experiment_change *ret)
{
	struct outcome out = { 0 };
	int got = db_one(c, &stmts[EXPERIMENT_RENAME], ARGS(BIGINT(id), TEXT(name), BIGINT(now)),
	                 &outcome_record, &out);

	if (got < 0 && c->error.code != RESOURCE_ALREADY_EXISTS)
		return -1;
	if (got < 0) {
		error_clear(c);         /* taken this very moment */
		*ret = EXPERIMENT_NAME_TAKEN;
	} else if (!got) {
		*ret = EXPERIMENT_MISSING;
	} else if (*out.deleted) {
		*ret = EXPERIMENT_DELETED;
	} else {
		*ret = out.id ? EXPERIMENT_CHANGED : EXPERIMENT_NAME_TAKEN;
	}
	return 0;
}

int store_experiment_set_tag(struct ctx *c, int64_t id, const struct tag *tag, const char *prefix,
                             int64_t most,
                             enum experiment_change *ret)
{
	struct outcome out = { 0 };
	int got = db_one(c, &stmts[EXPERIMENT_SET_TAG],
	                 ARGS(BIGINT(id), TEXT(tag->key), TEXT(tag->value ? tag->value : ""),
	                      BIGINT(most), TEXT(prefix)),
	                 &outcome_record, &out);

	if (got < 0)
		return -1;
	if (!got)
		*ret = EXPERIMENT_MISSING;
	else if (!*out.room)
		*ret = EXPERIMENT_TAGS_FULL;
	else
		*ret = *out.deleted ? EXPERIMENT_DELETED : EXPERIMENT_CHANGED;
	return 0;
}

int store_experiment_delete_tag(struct ctx *c, int64_t id, const char *key,
                                enum experiment_change *ret)
{
	struct outcome out = { 0 };
	int got = db_one(c, &stmts[EXPERIMENT_DELETE_TAG], ARGS(BIGINT(id), TEXT(key)),
	                 &outcome_record, &out);

	if (got < 0)
		return -1;
	if (!got)
		*ret = EXPERIMENT_MISSING;
	else if (*out.deleted)
		*ret = EXPERIMENT_DELETED;
	else
		*ret = *out.room ? EXPERIMENT_CHANGED : EXPERIMENT_TAG_MISSING;
	return 0;
}
