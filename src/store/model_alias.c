/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/model_alias.h"

#include <stdbool.h>
#include <strings.h>

#include "base/arena.h"
#include "db/db.h"
#include "model_impl.h"

enum { ALIAS_SET, ALIAS_SET_UNHEARD, ALIAS_DELETE, ALIAS_GET, ALIAS_LATEST };

#define OLD \
	"WITH model AS MATERIALIZED (SELECT id FROM registered_models WHERE name = $1)," \
	" old AS MATERIALIZED (SELECT a.version FROM model" \
	"  JOIN model_aliases a ON a.model = model.id WHERE a.alias = $2)"

#define SET(condition) \
	OLD ", target AS MATERIALIZED (SELECT v.version FROM model" \
	"  JOIN model_versions v ON v.model = model.id" \
	"  WHERE v.version = $3 AND NOT v.deleted)," \
	" go AS MATERIALIZED (SELECT model.id FROM model, target" \
	"  WHERE ($4 < 0 OR $4 = coalesce((SELECT version FROM old), 0))" condition ")," \
	" written AS (INSERT INTO model_aliases SELECT id, $2, $3 FROM go" \
	"  ON CONFLICT (model, alias) DO UPDATE SET version = excluded.version" \
	"  WHERE model_aliases.version <> excluded.version)," \
	" moved AS (INSERT INTO model_moves (model, name, moved_at, alias, from_version," \
	"   to_version, user_id, reason)" \
	"  SELECT id, $1, " MODEL_MOVE_TIME("$1", "$5") ", $2, (SELECT version FROM old), $3, $6," \
	"   $7" \
	"  FROM go WHERE $3 IS DISTINCT FROM (SELECT version FROM old))" \
	" SELECT (SELECT version FROM target) AS version, (SELECT version FROM old) AS old," \
	" EXISTS (SELECT FROM go) AS moved FROM model"

/* Arguments: name, alias, version, expected (-1: any, 0: none), now, user, reason. They follow the
   lock of the model, so that what they see is what there is. */
static const struct stmt stmts[] = {
	[ALIAS_SET] = { "model_alias_set", "ttiiitt", SET("") },
	[ALIAS_SET_UNHEARD] = { "model_alias_set_unheard", "ttiiitt",
		SET(" AND " MODEL_EVENTS_UNHEARD) },
	[ALIAS_DELETE] = { "model_alias_delete", "ttiitt",
		OLD ", go AS MATERIALIZED (SELECT model.id, old.version FROM model, old"
		"  WHERE $3 < 0 OR $3 = old.version),"
		" gone AS (DELETE FROM model_aliases a USING go"
		"  WHERE a.model = go.id AND a.alias = $2),"
		" moved AS (INSERT INTO model_moves (model, name, moved_at, alias, from_version,"
		"   user_id, reason)"
		"  SELECT id, $1, " MODEL_MOVE_TIME("$1", "$4") ", $2, version, $5, $6 FROM go)"
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
	const bool *moved;
};

static const struct record outcome_record = { sizeof(struct outcome), (const struct field[]){
	INT64(struct outcome, model,   0),
	INT64(struct outcome, version, 0),
	INT64(struct outcome, old,     0),
	BOOL (struct outcome, moved,   0),
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

/* Lock and move in one round trip. *prompt: of the model. 1, or 0: somebody listens, nothing is
   moved. */
static int set_alias(struct ctx *c, const struct alias_move *m, bool unheard, bool *prompt)
{
	struct list locked = { 0 }, done = { 0 };
	const struct outcome *out;

	model_lock_queue(c, m->name, &locked);
	db_queue_list(c, &stmts[unheard ? ALIAS_SET_UNHEARD : ALIAS_SET],
	              ARGS(TEXT(m->name), TEXT(m->alias), BIGINT(m->version.number),
	                   BIGINT(m->expected), BIGINT(m->now), TEXT(c->user), TEXT(m->reason)),
	              &outcome_record, &done);
	if (db_flush(c))
		return -1;
	out = done.items;
	if (!locked.count || !done.count || !out->version)
		return model_version_missing(c, m->name, m->version.text);
	if (check_expected(c, m, out->old))
		return -1;
	*prompt = *LIST_AT(struct model_row, &locked, 0)->prompt;
	return *out->moved ? 1 : 0;
}

static int set_and_tell(struct ctx *c, void *arg)
{
	const struct alias_move *m = arg;
	bool prompt;

	if (set_alias(c, m, false, &prompt) < 0)
		return -1;
	model_event_alias(c, prompt ? EVENT_PROMPT_ALIAS_CREATED : EVENT_MODEL_VERSION_ALIAS_CREATED,
	                  m->name, m->alias, m->raw);
	return 0;
}

int store_model_alias_set(struct ctx *c, const struct alias_move *m)
{
	struct alias_move copy = *m;
	bool prompt;
	int done = set_alias(c, m, true, &prompt);

	if (done)
		return done < 0 ? -1 : 0;
	return tx_run(c, set_and_tell, &copy);
}

static int delete_alias(struct ctx *c, void *arg)
{
	const struct alias_move *m = arg;
	struct list locked = { 0 }, done = { 0 };
	bool prompt;

	model_lock_queue(c, m->name, &locked);
	db_queue_list(c, &stmts[ALIAS_DELETE],
	              ARGS(TEXT(m->name), TEXT(m->alias), BIGINT(m->expected), BIGINT(m->now),
	                   TEXT(c->user), TEXT(m->reason)), &outcome_record, &done);
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
