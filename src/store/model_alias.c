/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/model_alias.h"

#include <assert.h>
#include <stdbool.h>
#include <strings.h>

#include "base/arena.h"
#include "db/db.h"
#include "model_impl.h"

enum { ALIAS_EXPECTED, ALIAS_SET, ALIAS_SET_UNHEARD, ALIAS_DELETE, ALIAS_GET, ALIAS_LATEST };

/* Only of the row that the lock before has written: a model that takes the name between the two was
   not locked. Where the alias pointed is told by its own row: a look into a table before would be planned while
   that is empty, and stay a look at all of it when it no longer is. */
#define SET(condition) \
	"WITH go AS MATERIALIZED (SELECT m.id, m.last_move FROM registered_models m" \
	"  JOIN model_versions v ON v.model = m.id AND v.version = $3" \
	"  WHERE m.name = $1 AND NOT v.deleted AND m.xmin = pg_current_xact_id_if_assigned()::xid" \
	condition ")," \
	" written AS (INSERT INTO model_aliases AS a SELECT id, $2, $3 FROM go" \
	"  ON CONFLICT (model, alias) DO UPDATE" \
	"  SET version = excluded.version, previous = a.version" \
	"  WHERE a.version <> excluded.version RETURNING previous)," \
	" moved AS (INSERT INTO model_moves (model, name, moved_at, alias, from_version," \
	"   to_version, user_id, reason)" \
	"  SELECT id, $1, last_move, $2, previous, $3, $4, $5 FROM go, written)" \
	" SELECT id AS model FROM go"

/* Arguments: name, alias, version (or expected; -1: any), user, reason. They follow the lock of the
   model, so that what they see is what there is. */
static const struct stmt stmts[] = {
	[ALIAS_EXPECTED] = { "model_alias_expected", "tti",
		"SELECT a.version AS old FROM registered_models m"
		" JOIN model_versions v ON v.model = m.id AND v.version = $3 AND NOT v.deleted"
		" LEFT JOIN model_aliases a ON a.model = m.id AND a.alias = $2 WHERE m.name = $1" },
	[ALIAS_SET] = { "model_alias_set", "ttitt", SET("") },
	[ALIAS_SET_UNHEARD] = { "model_alias_set_unheard", "ttitt",
		SET(" AND " MODEL_EVENTS_UNHEARD) },
	[ALIAS_DELETE] = { "model_alias_delete", "ttitt",
		"WITH model AS MATERIALIZED (SELECT id, last_move FROM registered_models"
		"  WHERE name = $1), old AS MATERIALIZED (SELECT a.version FROM model"
		"  JOIN model_aliases a ON a.model = model.id WHERE a.alias = $2),"
		" go AS MATERIALIZED (SELECT model.id, model.last_move, old.version FROM model, old"
		"  WHERE $3 < 0 OR $3 = old.version),"
		" gone AS (DELETE FROM model_aliases a USING go"
		"  WHERE a.model = go.id AND a.alias = $2),"
		" moved AS (INSERT INTO model_moves (model, name, moved_at, alias, from_version,"
		"   user_id, reason)"
		"  SELECT id, $1, last_move, $2, version, $4, $5 FROM go)"
		" SELECT (SELECT version FROM old) AS old FROM model" },
	[ALIAS_GET] = { "model_alias_get", "tt",
		"SELECT m.id AS model, a.version FROM registered_models m"
		" LEFT JOIN model_aliases a ON a.model = m.id AND a.alias = $2 WHERE m.name = $1" },
	[ALIAS_LATEST] = { "model_alias_latest", "t",
		"SELECT m.id AS model, (SELECT max(version) FROM model_versions v"
		" WHERE v.model = m.id AND NOT v.deleted) AS version"
		" FROM registered_models m WHERE m.name = $1" },
};

struct outcome {
	const int64_t *model;
	const int64_t *version;
	const int64_t *old;
};

static const struct record outcome_record = { sizeof(struct outcome), (const struct field[]){
	INT64(struct outcome, model,   0),
	INT64(struct outcome, version, 0),
	INT64(struct outcome, old,     0),
	END }};

static const char *pointing(struct ctx *c, int64_t version)
{
	return version ? arena_printf(c->arena, "version %lld", (long long)version) : "no version";
}

/* 0 when the alias is as expected. */
static int check_expected(struct ctx *c, const struct alias_move *m, const int64_t *old)
{
	int64_t now = old ? *old : 0;

	if (m->expected < 0 || m->expected == now)
		return 0;
	return fail(c, RESOURCE_CONFLICT,
	            "Alias '%s' of registered model '%s' points to %s now, not to %s as expected."
	            " Nothing was changed.", m->alias, m->name, pointing(c, now),
	            pointing(c, m->expected));
}

/* Locks the model; -1 where there is the version and the alias is not as expected. */
static int expect(struct ctx *c, const struct alias_move *m, struct list *locked)
{
	struct list found = { 0 };

	model_lock_move_queue(c, m->name, m->now, locked);
	if (m->expected < 0)
		return 0;
	db_queue_list(c, &stmts[ALIAS_EXPECTED],
	              ARGS(TEXT(m->name), TEXT(m->alias), BIGINT(m->version.number)),
	              &outcome_record, &found);
	if (db_flush(c))
		return -1;
	return found.count ? check_expected(c, m, LIST_AT(struct outcome, &found, 0)->old) : 0;
}

/* Lock and move in one round trip. *prompt: of the model. 1, or 0: no such version, or, if asked
   for, somebody listens. */
static int set_alias(struct ctx *c, const struct alias_move *m, bool unheard, bool *prompt)
{
	struct list locked = { 0 }, done = { 0 };

	if (expect(c, m, &locked))
		return -1;
	db_queue_list(c, &stmts[unheard ? ALIAS_SET_UNHEARD : ALIAS_SET],
	              ARGS(TEXT(m->name), TEXT(m->alias), BIGINT(m->version.number),
	                   TEXT(c->user), TEXT(m->reason)), &outcome_record, &done);
	if (db_flush(c))
		return -1;
	if (!done.count)
		return 0;
	assert(locked.count);
	*prompt = *LIST_AT(struct model_row, &locked, 0)->prompt;
	return 1;
}

static int set_and_tell(struct ctx *c, void *arg)
{
	const struct alias_move *m = arg;
	bool prompt;
	int done = set_alias(c, m, false, &prompt);

	if (done < 0)
		return -1;
	if (!done)
		return model_version_missing(c, m->name, m->version.text);
	model_event_alias(c, prompt ? EVENT_PROMPT_ALIAS_CREATED : EVENT_MODEL_VERSION_ALIAS_CREATED,
	                  m->name, m->alias, m->raw);
	return 0;
}

int store_model_alias_set(struct ctx *c, const struct alias_move *m)
{
	struct alias_move copy = *m;
	bool prompt;
	int done = m->expected < 0 ? set_alias(c, m, true, &prompt) : 0;

	if (done)
		return done < 0 ? -1 : 0;
	return tx_run(c, set_and_tell, &copy);
}

static int delete_alias(struct ctx *c, void *arg)
{
	const struct alias_move *m = arg;
	struct list locked = { 0 }, done = { 0 };
	bool prompt;

	model_lock_move_queue(c, m->name, m->now, &locked);
	db_queue_list(c, &stmts[ALIAS_DELETE],
	              ARGS(TEXT(m->name), TEXT(m->alias), BIGINT(m->expected), TEXT(c->user),
	                   TEXT(m->reason)), &outcome_record, &done);
	if (db_flush(c))
		return -1;
	if (!locked.count || !done.count)
		return model_missing(c, m->name);
	if (check_expected(c, m, LIST_AT(struct outcome, &done, 0)->old))
		return -1;
	prompt = *LIST_AT(struct model_row, &locked, 0)->prompt;
	model_event_alias(c, prompt ? EVENT_PROMPT_ALIAS_DELETED : EVENT_MODEL_VERSION_ALIAS_DELETED,
	                  m->name, m->alias, NULL);
	return 0;
}

int store_model_alias_delete(struct ctx *c, const struct alias_move *m)
{
	struct alias_move copy = *m;

	return tx_run(c, delete_alias, &copy);
}

/* "latest", in any case, needs no alias. */
int store_model_alias_get(struct ctx *c, const char *name, const char *alias,
                          struct model_version **ret)
{
	bool latest = strcasecmp(alias, "latest") == 0;
	struct outcome out = { 0 };
	int found = latest ? db_one(c, &stmts[ALIAS_LATEST], ARGS(TEXT(name)), &outcome_record, &out)
		: db_one(c, &stmts[ALIAS_GET], ARGS(TEXT(name), TEXT(alias)), &outcome_record,
		         &out);

	if (found < 0)
		return -1;
	if (!found)
		return model_missing(c, name);
	found = out.version ? model_version_load(c, *out.model, *out.version, ret) : 0;
	if (found < 0)
		return -1;
	if (found)
		return 0;
	if (latest)
		return fail(c, RESOURCE_DOES_NOT_EXIST, "Latest version not found for model %s.",
		            name);
	return fail(c, INVALID_PARAMETER_VALUE, "Registered model alias %s not found.", alias);
}
