/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/model_version.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "db/db.h"
#include "model_impl.h"
#include "store/entities.h"
#include "store/text.h"

enum {
	VERSION_CREATE, VERSION_CREATE_UNHEARD, VERSION_CREATE_PLAIN, VERSION_LINK, VERSION_FIND,
	VERSION_UPDATE, VERSION_DELETE, VERSION_DELETE_ALIASES, VERSION_DELETE_TAGS,
	VERSION_SET_TAG, VERSION_DROP_TAG, VERSION_ARCHIVE, VERSION_MOVE, VERSION_MOVED,
	VERSION_TOUCH, VERSION_ORIGIN, VERSION_ORIGIN_ALIAS, VERSION_ORIGIN_STAGE
};

#define OF_NAME \
	"FROM registered_models m JOIN model_versions v ON v.model = m.id" \
	" WHERE m.name = $1 AND v.version = $2 AND NOT v.deleted"
#define LIVING "WITH wanted AS (SELECT v.model, v.version, m.prompt " OF_NAME ")"
#define ORIGIN(condition) \
	"SELECT m.prompt, v.version, coalesce(nullif(v.storage_location, ''), v.source)" \
	" AS location, v.run_id, v.model_id FROM registered_models m LEFT JOIN LATERAL (" \
	"  SELECT * FROM model_versions x WHERE x.model = m.id AND NOT x.deleted AND " condition \
	"  ORDER BY x.version DESC LIMIT 1) v ON true WHERE m.name = $1"

/* The model's row is locked by its update, so numbers have no gaps and come once. */
#define CREATE(condition, tagged) \
	"WITH model AS (" \
	"  UPDATE registered_models SET last_version = last_version + 1," \
	"   last_updated_time = $2, revision = DEFAULT WHERE name = $1" condition \
	"  RETURNING id, last_version, prompt" \
	"), made AS (" \
	"  INSERT INTO model_versions (model, version, creation_time, last_updated_time," \
	"   description, source, storage_location, run_id, run_link, model_id, user_id)" \
	"  SELECT id, last_version, $2, $2, $3, $4, $5, $6, $7, $8, $9 FROM model" \
	")" tagged " SELECT id AS model, last_version AS version, prompt FROM model"
#define TAGGED \
	", tagged AS (" \
	"  INSERT INTO model_version_tags SELECT id, last_version, t.key, t.value" \
	"  FROM model, unnest((SELECT $10), (SELECT $11)) AS t (key, value))"

static const struct stmt stmts[] = {
	[VERSION_CREATE] = { "model_version_create", "titttttttTT",
		CREATE("", TAGGED) },
	[VERSION_CREATE_UNHEARD] = { "model_version_create_unheard", "titttttttTT",
		CREATE(" AND " MODEL_EVENTS_UNHEARD, TAGGED) },
	[VERSION_CREATE_PLAIN] = { "model_version_create_plain", "titttttttTT",
		CREATE(" AND " MODEL_EVENTS_UNHEARD, "") },
	/* MLflow keeps the versions of a logged model as a JSON list in one of its tags. What is
	   no such list is replaced. */
	[VERSION_LINK] = { "model_version_link", "tt",
		"INSERT INTO logged_model_tags SELECT id, 'mlflow.modelVersions', '[' || $2 || ']'"
		" FROM logged_models WHERE model_id = $1 AND NOT deleted"
		" ON CONFLICT (model, key) DO UPDATE SET value ="
		" CASE WHEN logged_model_tags.value ~ '^\\s*\\[.*\\}\\s*\\]\\s*$'"
		" THEN regexp_replace(logged_model_tags.value, '\\s*\\]\\s*$', '') || ', ' || $2"
		"  || ']' ELSE excluded.value END" },
	[VERSION_FIND] = { "model_version_find", "ti",
		"SELECT v.model, v.version, m.prompt, v.stage::bigint AS stage " OF_NAME },
	[VERSION_UPDATE] = { "model_version_update", "titi",
		"UPDATE model_versions v SET description = $3, last_updated_time = $4"
		" FROM registered_models m WHERE m.name = $1 AND v.model = m.id AND v.version = $2"
		" AND NOT v.deleted RETURNING v.model, v.version" },
	[VERSION_DELETE] = { "model_version_delete", "iii",
		"UPDATE model_versions SET deleted = true, last_updated_time = $3, stage = 0,"
		" description = NULL, user_id = NULL, source = NULL, storage_location = NULL,"
		" run_id = NULL, run_link = NULL, status_message = NULL, model_id = NULL"
		" WHERE model = $1 AND version = $2" },
	[VERSION_DELETE_ALIASES] = { "model_version_delete_aliases", "ii",
		"DELETE FROM model_aliases WHERE model = $1 AND version = $2" },
	[VERSION_DELETE_TAGS] = { "model_version_delete_tags", "ii",
		"DELETE FROM model_version_tags WHERE model = $1 AND version = $2" },
	[VERSION_SET_TAG] = { "model_version_set_tag", "titt",
		LIVING ", written AS ("
		"  INSERT INTO model_version_tags SELECT model, version, $3, $4 FROM wanted"
		"  ON CONFLICT (model, version, key) DO UPDATE SET value = excluded.value"
		") SELECT model, version, prompt FROM wanted" },
	[VERSION_DROP_TAG] = { "model_version_drop_tag", "tit",
		LIVING ", gone AS (DELETE FROM model_version_tags t USING wanted w"
		"  WHERE t.model = w.model AND t.version = w.version AND t.key = $3"
		") SELECT model, version, prompt FROM wanted" },
	[VERSION_ARCHIVE] = { "model_version_archive", "iiiittt",
		"WITH archived AS ("
		"  UPDATE model_versions SET stage = 3, last_updated_time = $4"
		"  WHERE model = $1 AND version <> $2 AND stage = $3 AND NOT deleted"
		"  RETURNING version"
		") INSERT INTO model_moves (model, name, moved_at, version, from_stage, to_stage,"
		"  user_id, reason)"
		" SELECT $1, $5, " MODEL_MOVE_TIME("$1") ", version, $3, 3, $6, $7 FROM archived"
		" ORDER BY version" },
	[VERSION_MOVE] = { "model_version_move", "iiii",
		"UPDATE model_versions SET stage = $3, last_updated_time = $4"
		" WHERE model = $1 AND version = $2" },
	[VERSION_MOVED] = { "model_version_moved", "iiiittt",
		"INSERT INTO model_moves (model, name, moved_at, version, from_stage, to_stage,"
		"  user_id, reason)"
		" SELECT $1, $5, " MODEL_MOVE_TIME("$1") ", $2, $3, $4, $6, $7" },
	[VERSION_TOUCH] = { "model_version_touch", "ii",
		"UPDATE registered_models SET last_updated_time = $2 WHERE id = $1" },
	[VERSION_ORIGIN] = { "model_version_origin", "ti", ORIGIN("x.version = $2") },
	[VERSION_ORIGIN_ALIAS] = { "model_version_origin_alias", "tt",
		ORIGIN("x.version = (SELECT version FROM model_aliases a"
		       " WHERE a.model = m.id AND a.alias = $2)") },
	[VERSION_ORIGIN_STAGE] = { "model_version_origin_stage", "ti",
		ORIGIN("($2 < 0 OR x.stage = $2)") },
};

struct row {
	const int64_t *model;
	const int64_t *version;
	const bool *prompt;
	const int64_t *stage;
};

static const struct record row_record = { sizeof(struct row), (const struct field[]){
	INT64(struct row, model,   0),
	INT64(struct row, version, 0),
	BOOL (struct row, prompt,  0),
	INT64(struct row, stage,   0),
	END }};

static const struct record origin_record = {
	sizeof(struct model_version_origin), (const struct field[]){
	BOOL  (struct model_version_origin, prompt,   0),
	INT64 (struct model_version_origin, version,  0),
	STRING(struct model_version_origin, location, 0),
	STRING(struct model_version_origin, run_id,   0),
	STRING(struct model_version_origin, model_id, 0),
	END }};

/* ---- create ---- */

struct creation {
	const struct new_model_version *new;
	struct row made;
};

/* {"name": ..., "version": ...} as json.dumps() writes it. */
static int link_logged_model(struct ctx *c, const struct creation *g)
{
	struct buf entry = BUF(c->arena, LIMIT_BODY);
	int64_t linked;

	buf_add(&entry, "{\"name\": ");
	store_text_json(&entry, g->new->name);
	buf_addf(&entry, ", \"version\": %lld}", (long long)*g->made.version);
	linked = db_exec(c, &stmts[VERSION_LINK],
	                 ARGS(TEXT(g->new->model_id), TEXT(buf_text(&entry))));
	if (linked < 0)
		return -1;
	if (!linked && g->new->model_must_exist)
		return fail(c, RESOURCE_DOES_NOT_EXIST, "Logged model with ID '%s' not found.",
		            g->new->model_id);
	return 0;
}

/* The frequent case, nobody listens and no tags, has a statement of its own. */
static int insert(struct ctx *c, const struct new_model_version *v, bool unheard, struct row *ret)
{
	struct tag_arrays tags = model_tags(c, &v->tags);
	int statement = !unheard ? VERSION_CREATE : v->tags.count ? VERSION_CREATE_UNHEARD
		: VERSION_CREATE_PLAIN;

	*ret = (struct row){ 0 };
	return db_one(c, &stmts[statement],
	              ARGS(TEXT(v->name), BIGINT(v->now), TEXT(v->description), TEXT(v->source),
	                   TEXT(v->location), TEXT(v->run_id), TEXT(v->run_link),
	                   TEXT(v->model_id), TEXT(c->user),
	                   TEXTS(tags.keys, v->tags.count), TEXTS(tags.values, v->tags.count)),
	              &row_record, ret);
}

static int create(struct ctx *c, void *arg)
{
	struct creation *g = arg;
	const struct new_model_version *v = g->new;
	int made = insert(c, v, false, &g->made);

	if (made < 0)
		return -1;
	if (!made)
		return model_missing(c, v->name);
	model_event_version_created(c, v->prompt, &(struct version_created){
		.name = v->name, .source = v->source, .run_id = v->run_id, .tags = &v->tags,
		.version = arena_printf(c->arena, "%lld", (long long)*g->made.version),
		.description = v->description });
	return v->model_id ? link_logged_model(c, g) : 0;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct tag *)a)->key, ((const struct tag *)b)->key);
}

/* All of a new version is known. */
int store_model_version_create(struct ctx *c, const struct new_model_version *v,
                               struct model_version **ret)
{
	struct creation g = { .new = v };
	struct model_version *made;
	int done = v->model_id ? 0 : insert(c, v, true, &g.made);

	if (done < 0 || (!done && tx_run(c, create, &g)))
		return -1;
	made = NEW(c->arena, struct model_version);
	*made = (struct model_version){
		.name = v->name,
		.version = arena_printf(c->arena, "%lld", (long long)*g.made.version),
		.creation_timestamp = box_int64(c->arena, v->now),
		.last_updated_timestamp = box_int64(c->arena, v->now),
		.user_id = c->user,
		.current_stage = model_stage_names[0],
		.description = v->description,
		.source = v->source,
		.run_id = v->run_id,
		.status = model_version_status_names[3],
		.tags = v->tags,
		.run_link = v->run_link,
	};
	made->tags.items = arena_memdup(c->arena, v->tags.items,
	                                v->tags.count * sizeof(struct tag));
	if (made->tags.count)
		qsort(made->tags.items, made->tags.count, sizeof(struct tag), by_key);
	*ret = made;
	return 0;
}

/* ---- reads ---- */

/* What a lookup found, as the whole message. */
static int reply(struct ctx *c, int found, const struct row *row, const char *name,
                 const struct version_number *version, struct model_version **ret)
{
	if (found > 0)
		found = model_version_load(c, *row->model, *row->version, ret);
	if (found < 0)
		return -1;
	return found ? 0 : model_version_missing(c, name, version->text);
}

int store_model_version_get(struct ctx *c, const char *name, const struct version_number *version,
                            struct model_version **ret)
{
	struct row row = { 0 };
	int found = db_one(c, &stmts[VERSION_FIND], ARGS(TEXT(name), BIGINT(version->number)),
	                   &row_record, &row);

	return reply(c, found, &row, name, version, ret);
}

int store_model_version_origin(struct ctx *c, const struct model_version_pick *pick,
                               struct model_version_origin *ret)
{
	*ret = (struct model_version_origin){ 0 };
	if (pick->version > 0)
		return db_one(c, &stmts[VERSION_ORIGIN],
		              ARGS(TEXT(pick->name), BIGINT(pick->version)), &origin_record, ret);
	if (pick->alias)
		return db_one(c, &stmts[VERSION_ORIGIN_ALIAS],
		              ARGS(TEXT(pick->name), TEXT(pick->alias)), &origin_record, ret);
	return db_one(c, &stmts[VERSION_ORIGIN_STAGE],
	              ARGS(TEXT(pick->name), BIGINT(pick->stage)), &origin_record, ret);
}

int store_model_version_location(struct ctx *c, const char *name,
                                 const struct version_number *version, const char **ret)
{
	struct model_version_origin origin = { 0 };
	int found = db_one(c, &stmts[VERSION_ORIGIN], ARGS(TEXT(name), BIGINT(version->number)),
	                   &origin_record, &origin);

	if (found < 0)
		return -1;
	if (!found || !origin.version)
		return model_version_missing(c, name, version->text);
	*ret = origin.location ? origin.location : "";
	return 0;
}

/* ---- changes ---- */

/* One statement behind the queued lock of the model. 1, 0: no such version, or -1. A model that takes
   its name between the two was not locked: 0 as well, and the transaction must end without it. */
static int locked_one(struct ctx *c, const struct list *locked, const struct stmt *s,
                      struct db_args args, struct row *ret)
{
	struct list found = { 0 };

	db_queue_list(c, s, args, &row_record, &found);
	if (db_flush(c))
		return -1;
	if (!locked->count || !found.count)
		return 0;
	*ret = *LIST_AT(struct row, &found, 0);
	return 1;
}

struct change {
	const char *name;
	const struct version_number *version;
	const char *raw;
	const char *key;
	const char *value;
	int64_t now;
	struct model_version **ret;
};

static int update_version(struct ctx *c, void *arg)
{
	const struct change *g = arg;
	struct list locked = { 0 };
	struct row row = { 0 };
	int found;

	model_lock_queue(c, g->name, &locked);
	found = locked_one(c, &locked, &stmts[VERSION_UPDATE],
	                   ARGS(TEXT(g->name), BIGINT(g->version->number), TEXT(g->value),
	                        BIGINT(g->now)), &row);
	return reply(c, found, &row, g->name, g->version, g->ret);
}

int store_model_version_update(struct ctx *c, const char *name,
                               const struct version_number *version, const char *description,
                               int64_t now, struct model_version **ret)
{
	struct change g = { .name = name, .version = version, .value = description, .now = now,
		.ret = ret };

	return tx_run(c, update_version, &g);
}

/* Locks the model for a move, then finds the version. */
static int lock_version(struct ctx *c, const char *name, const struct version_number *version,
                        int64_t now, struct row *ret)
{
	struct list locked = { 0 };
	int found;

	model_lock_move_queue(c, name, now, &locked);
	found = locked_one(c, &locked, &stmts[VERSION_FIND], ARGS(TEXT(name), BIGINT(version->number)), ret);
	if (found < 0)
		return -1;
	return found ? 0 : model_version_missing(c, name, version->text);
}

static int delete_version(struct ctx *c, void *arg)
{
	const struct change *g = arg;
	struct row v;

	if (lock_version(c, g->name, g->version, g->now, &v))
		return -1;
	model_moves_end_queue(c, *v.model, g->name, *v.version, "version deleted");
	db_queue(c, &stmts[VERSION_DELETE_ALIASES], ARGS(BIGINT(*v.model), BIGINT(*v.version)),
	         NULL);
	db_queue(c, &stmts[VERSION_DELETE],
	         ARGS(BIGINT(*v.model), BIGINT(*v.version), BIGINT(g->now)), NULL);
	db_queue(c, &stmts[VERSION_DELETE_TAGS], ARGS(BIGINT(*v.model), BIGINT(*v.version)), NULL);
	db_queue(c, &stmts[VERSION_TOUCH], ARGS(BIGINT(*v.model), BIGINT(g->now)), NULL);
	return 0;
}

int store_model_version_delete(struct ctx *c, const char *name,
                               const struct version_number *version, int64_t now)
{
	struct change g = { .name = name, .version = version, .now = now };

	return tx_run(c, delete_version, &g);
}

static int set_tag(struct ctx *c, void *arg)
{
	const struct change *g = arg;
	struct list locked = { 0 };
	struct row row = { 0 };
	int found;

	model_lock_queue(c, g->name, &locked);
	found = locked_one(c, &locked, &stmts[VERSION_SET_TAG],
	                   ARGS(TEXT(g->name), BIGINT(g->version->number), TEXT(g->key),
	                        TEXT(g->value)), &row);
	if (found < 0)
		return -1;
	if (!found)
		return model_version_missing(c, g->name, g->version->text);
	model_event_tag(c, *row.prompt ? EVENT_PROMPT_VERSION_TAG_SET : EVENT_MODEL_VERSION_TAG_SET,
	                g->name, g->raw, g->key, g->value);
	return 0;
}

int store_model_version_set_tag(struct ctx *c, const char *name,
                                const struct version_number *version, const char *raw,
                                const char *key, const char *value)
{
	struct change g = { .name = name, .version = version, .raw = raw, .key = key,
		.value = value };

	return tx_run(c, set_tag, &g);
}

static int delete_tag(struct ctx *c, void *arg)
{
	const struct change *g = arg;
	struct list locked = { 0 };
	struct row row = { 0 };
	int found;

	model_lock_queue(c, g->name, &locked);
	found = locked_one(c, &locked, &stmts[VERSION_DROP_TAG],
	                   ARGS(TEXT(g->name), BIGINT(g->version->number), TEXT(g->key)),
	                   &row);
	if (found < 0)
		return -1;
	if (!found)
		return model_version_missing(c, g->name, g->version->text);
	model_event_tag(c, *row.prompt ? EVENT_PROMPT_VERSION_TAG_DELETED
	                : EVENT_MODEL_VERSION_TAG_DELETED, g->name, g->raw, g->key, NULL);
	return 0;
}

int store_model_version_delete_tag(struct ctx *c, const char *name,
                                   const struct version_number *version, const char *raw,
                                   const char *key)
{
	struct change g = { .name = name, .version = version, .raw = raw, .key = key };

	return tx_run(c, delete_tag, &g);
}

/* ---- stages ---- */

struct staging {
	const struct stage_move *move;
	struct model_version **ret;
};

static int move_version(struct ctx *c, void *arg)
{
	const struct staging *g = arg;
	const struct stage_move *m = g->move;
	struct row v;

	if (lock_version(c, m->name, &m->version, m->now, &v))
		return -1;
	if (m->expected >= 0 && m->expected != *v.stage)
		return fail(c, RESOURCE_CONFLICT,
		            "Version %lld of registered model '%s' is in stage '%s' now, not in"
		            " '%s' as expected. Nothing was changed.", (long long)*v.version,
		            m->name, model_stage_names[*v.stage], model_stage_names[m->expected]);
	if (m->archive)
		db_queue(c, &stmts[VERSION_ARCHIVE],
		         ARGS(BIGINT(*v.model), BIGINT(*v.version), BIGINT(m->stage),
		              BIGINT(m->now), TEXT(m->name), TEXT(c->user), TEXT(m->reason)),
		         NULL);
	db_queue(c, &stmts[VERSION_MOVE],
	         ARGS(BIGINT(*v.model), BIGINT(*v.version), BIGINT(m->stage), BIGINT(m->now)),
	         NULL);
	if (*v.stage != m->stage)
		db_queue(c, &stmts[VERSION_MOVED],
		         ARGS(BIGINT(*v.model), BIGINT(*v.version), BIGINT(*v.stage),
		              BIGINT(m->stage), TEXT(m->name), TEXT(c->user), TEXT(m->reason)),
		         NULL);
	db_queue(c, &stmts[VERSION_TOUCH], ARGS(BIGINT(*v.model), BIGINT(m->now)), NULL);
	return model_version_load(c, *v.model, *v.version, g->ret) < 0 ? -1 : 0;
}

int store_model_version_move(struct ctx *c, const struct stage_move *m, struct model_version **ret)
{
	struct staging g = { m, ret };

	return tx_run(c, move_version, &g);
}
