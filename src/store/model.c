/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/model.h"

#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "db/db.h"
#include "model_impl.h"
#include "store/entities.h"
#include "store/grant.h"
#include "store/text.h"

enum {
	MODEL_LOCK, MODEL_LOCK_MOVE, MODEL_LOCK_NAMES, MODEL_FIND, MODEL_CREATE, MODEL_TAGGED, MODEL_RENAME,
	MODEL_RENAME_VERSIONS, MODEL_RENAME_MOVES, MODEL_UPDATE, MODEL_DELETE, MODEL_SET_TAG,
	MODEL_SET_PROMPT, MODEL_DELETE_TAG, MODEL_DELETE_PROMPT
};

#define LIVING \
	"WITH wanted AS (UPDATE registered_models SET revision = DEFAULT WHERE name = $1" \
	"  RETURNING id, prompt)"
#define WRITE_TAG \
	", written AS (INSERT INTO registered_model_tags SELECT id, $2, $3 FROM wanted" \
	"  ON CONFLICT (model, key) DO UPDATE SET value = excluded.value)" \
	" SELECT id, prompt FROM wanted"
#define DROP_TAG \
	", gone AS (DELETE FROM registered_model_tags t USING wanted" \
	"  WHERE t.model = wanted.id AND t.key = $2)" \
	" SELECT id, prompt FROM wanted"

static const struct stmt stmts[] = {
	[MODEL_LOCK] = { "model_lock", "t",
		"UPDATE registered_models SET revision = DEFAULT WHERE name = $1"
		" RETURNING id, prompt" },
	/* Not before the move it follows, whose request may have come later and found the lock
	   free. A clock that was set back by more than a minute is believed. */
	[MODEL_LOCK_MOVE] = { "model_lock_move", "ti",
		"UPDATE registered_models SET revision = DEFAULT, last_move ="
		" CASE WHEN last_move BETWEEN $2 AND $2 + 60000 THEN last_move ELSE $2 END"
		" WHERE name = $1 RETURNING id, prompt" },
	[MODEL_LOCK_NAMES] = { "model_lock_names", "T",
		"SELECT id, prompt, name FROM registered_models WHERE name = ANY($1)"
		" ORDER BY name FOR UPDATE" },
	[MODEL_FIND] = { "model_find", "t", "SELECT id FROM registered_models WHERE name = $1" },
	[MODEL_CREATE] = { "model_create", "ttibTT",
		"WITH made AS ("
		"  INSERT INTO registered_models (name, description, creation_time,"
		"   last_updated_time, prompt) VALUES ($1, $2, $3, $3, $4)"
		"  ON CONFLICT (name) DO NOTHING RETURNING id"
		"), tagged AS ("
		"  INSERT INTO registered_model_tags SELECT made.id, t.key, t.value"
		"  FROM made, unnest($5, $6) AS t (key, value)"
		") SELECT id FROM made" },
	[MODEL_TAGGED] = { "model_tagged", "tt",
		"SELECT EXISTS (SELECT FROM registered_models m"
		" JOIN registered_model_tags t ON t.model = m.id"
		" WHERE m.name = $1 AND t.key = $2) AS prompt" },
	[MODEL_RENAME] = { "model_rename", "iti",
		"UPDATE registered_models SET name = $2, last_updated_time = $3, revision = DEFAULT"
		" WHERE id = $1" },
	[MODEL_RENAME_VERSIONS] = { "model_rename_versions", "ii",
		"UPDATE model_versions SET last_updated_time = $2 WHERE model = $1 AND NOT deleted" },
	[MODEL_RENAME_MOVES] = { "model_rename_moves", "itt",
		"UPDATE model_moves SET name = $3 WHERE name = $2 AND model = $1" },
	[MODEL_UPDATE] = { "model_update", "tti",
		"UPDATE registered_models SET description = $2, last_updated_time = $3,"
		" revision = DEFAULT WHERE name = $1 RETURNING id" },
	[MODEL_DELETE] = { "model_delete", "i",
		"WITH versions AS (DELETE FROM model_versions WHERE model = $1)"
		" DELETE FROM registered_models WHERE id = $1" },
	[MODEL_SET_TAG] = { "model_set_tag", "ttt", LIVING WRITE_TAG },
	[MODEL_SET_PROMPT] = { "model_set_prompt", "tttb",
		"WITH wanted AS (UPDATE registered_models SET prompt = $4, revision = DEFAULT"
		" WHERE name = $1 RETURNING id, prompt)" WRITE_TAG },
	[MODEL_DELETE_TAG] = { "model_delete_tag", "tt", LIVING DROP_TAG },
	[MODEL_DELETE_PROMPT] = { "model_delete_prompt", "tt",
		"WITH wanted AS (UPDATE registered_models SET prompt = false, revision = DEFAULT"
		" WHERE name = $1 RETURNING id, prompt)" DROP_TAG },
};

const struct record model_row_record = { sizeof(struct model_row), (const struct field[]){
	INT64 (struct model_row, id,     0),
	BOOL  (struct model_row, prompt, 0),
	STRING(struct model_row, name,   0),
	END }};

/* ---- shared ---- */

void model_lock_queue(struct ctx *c, const char *name, struct list *rows)
{
	db_queue_list(c, &stmts[MODEL_LOCK], ARGS(TEXT(name)), &model_row_record, rows);
}

void model_lock_move_queue(struct ctx *c, const char *name, int64_t now, struct list *rows)
{
	db_queue_list(c, &stmts[MODEL_LOCK_MOVE], ARGS(TEXT(name), BIGINT(now)),
	              &model_row_record, rows);
}

void model_lock_names_queue(struct ctx *c, const char *const *names, size_t count,
                            struct list *rows)
{
	db_queue_list(c, &stmts[MODEL_LOCK_NAMES], ARGS(TEXTS(names, count)), &model_row_record,
	              rows);
}

int model_missing(struct ctx *c, const char *name)
{
	return fail(c, RESOURCE_DOES_NOT_EXIST, "Registered Model with name=%s not found", name);
}

int model_version_missing(struct ctx *c, const char *name, const char *version)
{
	return fail(c, RESOURCE_DOES_NOT_EXIST, "Model Version (name=%s, version=%s) not found",
	            name, version);
}

int model_load(struct ctx *c, int64_t id, struct registered_model **ret)
{
	struct list found = { 0 };

	if (store_registered_models_load(c, &id, 1, &found))
		return -1;
	*ret = found.items;
	return found.count ? 1 : 0;
}

int model_version_load(struct ctx *c, int64_t model, int64_t version, struct model_version **ret)
{
	struct model_version_key key = { model, version };
	struct list found = { 0 };

	if (store_model_versions_load(c, &key, 1, &found))
		return -1;
	*ret = found.items;
	return found.count ? 1 : 0;
}

struct tag_arrays model_tags(struct ctx *c, const struct list *tags)
{
	struct tag_arrays a = { NEW_ARRAY(c->arena, tags->count, const char *),
	                        NEW_ARRAY(c->arena, tags->count, const char *) };

	for (size_t i = 0; i < tags->count; i++) {
		a.keys[i] = LIST_AT(struct tag, tags, i)->key;
		a.values[i] = LIST_AT(struct tag, tags, i)->value;
	}
	return a;
}

bool store_model_is_prompt(const struct list *tags)
{
	bool prompt = false;

	for (size_t i = 0; i < tags->count; i++) {
		const struct tag *t = LIST_AT(struct tag, tags, i);

		if (t->key && strcmp(t->key, MODEL_PROMPT_TAG) == 0)
			prompt = t->value && strcasecmp(t->value, "true") == 0;
	}
	return prompt;
}

static const char *resource(bool prompt)
{
	return prompt ? "prompt" : "registered_model";
}

/* ---- create ---- */

static bool has_prompt_tag(const struct list *tags)
{
	for (size_t i = 0; i < tags->count; i++) {
		if (strcmp(LIST_AT(struct tag, tags, i)->key, MODEL_PROMPT_TAG) == 0)
			return true;
	}
	return false;
}

/* Here the tag alone counts, whatever its value: mlflow/prompt/registry_utils.py. */
static int taken(struct ctx *c, const struct new_registered_model *m)
{
	bool prompt = has_prompt_tag(&m->tags);
	struct model_row row = { 0 };
	struct buf name = BUF(c->arena, LIMIT_BODY);

	if (db_one(c, &stmts[MODEL_TAGGED], ARGS(TEXT(m->name), TEXT(MODEL_PROMPT_TAG)),
	           &model_row_record, &row) < 0)
		return -1;
	if (*row.prompt == prompt)
		return fail(c, RESOURCE_ALREADY_EXISTS, "%s (name=%s) already exists.",
		            prompt ? "Prompt" : "Registered Model", m->name);
	store_text_repr(&name, m->name);
	return fail(c, RESOURCE_ALREADY_EXISTS,
	            "Tried to create a %s with name %s, but the name is already taken by a %s."
	            " MLflow does not allow creating a model and a prompt with the same name.",
	            prompt ? "prompt" : "registered model", buf_text(&name),
	            prompt ? "registered model" : "prompt");
}

static int create(struct ctx *c, void *arg)
{
	const struct new_registered_model *m = arg;
	struct tag_arrays tags = model_tags(c, &m->tags);
	bool prompt = store_model_is_prompt(&m->tags);
	struct model_row row = { 0 };
	int made = db_one(c, &stmts[MODEL_CREATE],
	                  ARGS(TEXT(m->name), TEXT(m->description), BIGINT(m->now),
	                       BOOLEAN(prompt), TEXTS(tags.keys, m->tags.count),
	                       TEXTS(tags.values, m->tags.count)), &model_row_record, &row);

	if (made < 0)
		return -1;
	if (!made)
		return taken(c, m);
	store_grant_manage_queue(c, resource(prompt), m->name);
	model_event_created(c, prompt, m->name, &m->tags, m->description);
	return 0;
}

int store_model_create(struct ctx *c, const struct new_registered_model *m)
{
	struct new_registered_model copy = *m;

	return tx_run(c, create, &copy);
}

/* ---- reads ---- */

int store_model_get(struct ctx *c, const char *name, struct registered_model **ret)
{
	struct model_row row = { 0 };
	int found = db_one(c, &stmts[MODEL_FIND], ARGS(TEXT(name)), &model_row_record, &row);

	if (found > 0)
		found = model_load(c, *row.id, ret);
	if (found < 0)
		return -1;
	return found ? 0 : model_missing(c, name);
}

/* ---- changes ---- */

struct change {
	const char *name;
	const char *new_name;
	const char *key;
	const char *value;
	int64_t now;
	struct registered_model **ret;
};

static int rename_model(struct ctx *c, void *arg)
{
	const struct change *g = arg;
	const char *names[] = { g->name, g->new_name };
	const struct model_row *model = NULL, *other = NULL;
	struct list rows = { 0 };

	model_lock_names_queue(c, names, 2, &rows);
	if (db_flush(c))
		return -1;
	for (size_t i = 0; i < rows.count; i++) {
		const struct model_row *row = LIST_AT(struct model_row, &rows, i);

		if (strcmp(row->name, g->name) == 0)
			model = row;
		else
			other = row;
	}
	if (!model)
		return model_missing(c, g->name);
	if (other)
		return fail(c, RESOURCE_ALREADY_EXISTS,
		            "Registered Model (name=%s) already exists.", g->new_name);
	db_queue(c, &stmts[MODEL_RENAME],
	         ARGS(BIGINT(*model->id), TEXT(g->new_name), BIGINT(g->now)), NULL);
	db_queue(c, &stmts[MODEL_RENAME_VERSIONS], ARGS(BIGINT(*model->id), BIGINT(g->now)), NULL);
	db_queue(c, &stmts[MODEL_RENAME_MOVES],
	         ARGS(BIGINT(*model->id), TEXT(g->name), TEXT(g->new_name)), NULL);
	if (strcmp(g->name, g->new_name) != 0)
		store_grant_rename_queue(c, resource(*model->prompt), g->name, g->new_name);
	return model_load(c, *model->id, g->ret) < 0 ? -1 : 0;
}

int store_model_rename(struct ctx *c, const char *name, const char *new_name, int64_t now,
                       struct registered_model **ret)
{
	struct change g = { .name = name, .new_name = new_name, .now = now, .ret = ret };

	if (tx_run(c, rename_model, &g) == 0)
		return 0;
	/* Created after the lock found the name free. */
	if (strcmp(db_constraint(c), "registered_models_name") == 0) {
		error_clear(c);
		return fail(c, RESOURCE_ALREADY_EXISTS,
		            "Registered Model (name=%s) already exists.", new_name);
	}
	return -1;
}

int store_model_update(struct ctx *c, const char *name, const char *description, int64_t now,
                       struct registered_model **ret)
{
	struct model_row row = { 0 };
	int found = db_one(c, &stmts[MODEL_UPDATE],
	                   ARGS(TEXT(name), TEXT(description), BIGINT(now)), &model_row_record,
	                   &row);

	if (found > 0)
		found = model_load(c, *row.id, ret);
	if (found < 0)
		return -1;
	return found ? 0 : model_missing(c, name);
}

static int delete_model(struct ctx *c, void *arg)
{
	const struct change *g = arg;
	struct list rows = { 0 };
	const struct model_row *model;

	model_lock_names_queue(c, &g->name, 1, &rows);
	if (db_flush(c))
		return -1;
	if (!rows.count)
		return model_missing(c, g->name);
	model = rows.items;
	db_queue(c, &stmts[MODEL_LOCK_MOVE], ARGS(TEXT(g->name), BIGINT(g->now)), NULL);
	model_moves_end_queue(c, *model->id, g->name, 0, "model deleted");
	db_queue(c, &stmts[MODEL_DELETE], ARGS(BIGINT(*model->id)), NULL);
	store_grant_remove_queue(c, resource(*model->prompt), g->name);
	return 0;
}

int store_model_delete(struct ctx *c, const char *name, int64_t now)
{
	struct change g = { .name = name, .now = now };

	return tx_run(c, delete_model, &g);
}

/* Events are for prompts, and go by what the model is after the change. */
static int tag_done(struct ctx *c, const struct change *g, int found, const struct model_row *row)
{
	if (found < 0)
		return -1;
	if (!found)
		return model_missing(c, g->name);
	if (*row->prompt)
		model_event_tag(c, g->value ? EVENT_PROMPT_TAG_SET : EVENT_PROMPT_TAG_DELETED,
		                g->name, NULL, g->key, g->value);
	return 0;
}

static int set_tag(struct ctx *c, void *arg)
{
	const struct change *g = arg;
	struct model_row row = { 0 };
	bool prompt = strcasecmp(g->value, "true") == 0;
	int found = strcmp(g->key, MODEL_PROMPT_TAG) == 0
		? db_one(c, &stmts[MODEL_SET_PROMPT],
		         ARGS(TEXT(g->name), TEXT(g->key), TEXT(g->value), BOOLEAN(prompt)),
		         &model_row_record, &row)
		: db_one(c, &stmts[MODEL_SET_TAG],
		         ARGS(TEXT(g->name), TEXT(g->key), TEXT(g->value)), &model_row_record,
		         &row);

	return tag_done(c, g, found, &row);
}

int store_model_set_tag(struct ctx *c, const char *name, const char *key, const char *value)
{
	struct change g = { .name = name, .key = key, .value = value };

	return tx_run(c, set_tag, &g);
}

static int delete_tag(struct ctx *c, void *arg)
{
	const struct change *g = arg;
	bool prompt = strcmp(g->key, MODEL_PROMPT_TAG) == 0;
	struct model_row row = { 0 };
	int found = db_one(c, &stmts[prompt ? MODEL_DELETE_PROMPT : MODEL_DELETE_TAG],
	                   ARGS(TEXT(g->name), TEXT(g->key)), &model_row_record, &row);

	return tag_done(c, g, found, &row);
}

int store_model_delete_tag(struct ctx *c, const char *name, const char *key)
{
	struct change g = { .name = name, .key = key };

	return tx_run(c, delete_tag, &g);
}
