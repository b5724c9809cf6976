/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/model_move.h"

#include <stdlib.h>

#include "base/arena.h"
#include "db/db.h"
#include "model_impl.h"
#include "search/search.h"
#include "store/registered_model.h"
#include "store/settings.h"

enum { MOVES_KNOWN, MOVES_PAGE, MOVES_AT, MOVES_END_ALIASES, MOVES_END_STAGES };

static const struct stmt stmts[] = {
	[MOVES_KNOWN] = { "model_moves_known", "t",
		"SELECT EXISTS (SELECT FROM registered_models WHERE name = $1)"
		" OR EXISTS (SELECT FROM model_moves WHERE name = $1) AS prompt" },
	[MOVES_PAGE] = { "model_moves_page", "ttiii",
		"SELECT id, CASE WHEN alias IS NULL THEN 'stage' ELSE 'alias' END AS kind,"
		" moved_at AS timestamp, alias, version, from_version, to_version, from_stage,"
		" to_stage, user_id AS user, reason FROM model_moves"
		" WHERE name = $1 AND ($2 IS NULL OR alias = $2)"
		" AND ($3 = 0 OR version = $3 OR from_version = $3 OR to_version = $3)"
		" AND id < $4 ORDER BY id DESC LIMIT $5" },
	/* A name may have belonged to several models, one renamed to what another was called at
	   that time: then the one that has the name now is meant, else the younger. */
	[MOVES_AT] = { "model_moves_at", "tti",
		"SELECT DISTINCT ON (alias) alias, to_version AS version FROM ("
		"  SELECT DISTINCT ON (model, alias) model, alias, to_version FROM model_moves"
		"  WHERE name = $1 AND alias IS NOT NULL AND ($2 IS NULL OR alias = $2)"
		"  AND moved_at <= $3 ORDER BY model, alias, id DESC) AS last"
		" LEFT JOIN registered_models m ON m.id = last.model"
		" WHERE to_version IS NOT NULL ORDER BY alias, m.id IS NULL, model DESC" },
	[MOVES_END_ALIASES] = { "model_moves_end_aliases", "ittti",
		"INSERT INTO model_moves (model, name, moved_at, alias, from_version, user_id,"
		" reason) SELECT $1, $2, " MODEL_MOVE_TIME("$1") ", alias, version, $3, $4"
		" FROM model_aliases WHERE model = $1 AND ($5 = 0 OR version = $5)"
		" ORDER BY alias" },
	[MOVES_END_STAGES] = { "model_moves_end_stages", "ittti",
		"INSERT INTO model_moves (model, name, moved_at, version, from_stage, user_id,"
		" reason) SELECT $1, $2, " MODEL_MOVE_TIME("$1") ", version, stage, $3, $4"
		" FROM model_versions WHERE model = $1 AND ($5 = 0 OR version = $5)"
		" AND stage <> 0 AND NOT deleted ORDER BY version" },
};

#define STAGE(member) \
	{ #member, FIELD_ENUM, 0, offsetof(struct model_move, member), NULL, model_stage_names }

const struct record model_move_record = { sizeof(struct model_move), (const struct field[]){
	STRING(struct model_move, id,           0),
	STRING(struct model_move, kind,         0),
	INT64 (struct model_move, timestamp,    0),
	STRING(struct model_move, alias,        0),
	STRING(struct model_move, version,      0),
	STRING(struct model_move, from_version, 0),
	STRING(struct model_move, to_version,   0),
	STAGE (from_stage),
	STAGE (to_stage),
	STRING(struct model_move, user,         0),
	STRING(struct model_move, reason,       0),
	END }};

void model_moves_end_queue(struct ctx *c, int64_t model, const char *name, int64_t version,
                           const char *reason)
{
	struct db_args args = ARGS(BIGINT(model), TEXT(name), TEXT(c->user), TEXT(reason),
	                           BIGINT(version));

	db_queue(c, &stmts[MOVES_END_ALIASES], args, NULL);
	db_queue(c, &stmts[MOVES_END_STAGES], args, NULL);
}

static void known_queue(struct ctx *c, const char *name, struct list *known)
{
	db_queue_list(c, &stmts[MOVES_KNOWN], ARGS(TEXT(name)), &model_row_record, known);
}

static bool is_known(const struct list *known)
{
	return *LIST_AT(struct model_row, known, 0)->prompt;
}

/* What a page token continues. */
static const char *purpose(struct ctx *c, const struct model_move_query *q)
{
	return arena_printf(c->arena, "model moves\n%s\n%s\n%lld", q->name,
	                    q->alias ? q->alias : "", (long long)q->version);
}

int store_model_moves(struct ctx *c, const struct model_move_query *q, struct list *moves,
                      const char **next_token)
{
	const char *key = store_settings_token_key();
	const char *before = NULL;
	struct list known = { 0 };

	if (q->page_token && token_open(c, key, purpose(c, q), q->page_token, &before))
		return -1;
	known_queue(c, q->name, &known);
	db_queue_list(c, &stmts[MOVES_PAGE],
	              ARGS(TEXT(q->name), TEXT(q->alias), BIGINT(q->version),
	                   BIGINT(before ? strtoll(before, NULL, 10) : INT64_MAX),
	                   BIGINT(q->max_results + 1)), &model_move_record, moves);
	if (db_flush(c))
		return -1;
	*next_token = NULL;
	if (moves->count > (size_t)q->max_results) {
		moves->count--;
		*next_token = token_make(c, key, purpose(c, q),
		                         LIST_AT(struct model_move, moves, moves->count - 1)->id);
		if (!*next_token)
			return -1;
	}
	return is_known(&known) ? 1 : 0;
}

int store_model_aliases_at(struct ctx *c, const char *name, const char *alias, int64_t at,
                           struct list *aliases)
{
	struct list known = { 0 };

	known_queue(c, name, &known);
	db_queue_list(c, &stmts[MOVES_AT], ARGS(TEXT(name), TEXT(alias), BIGINT(at)),
	              &model_alias_record, aliases);
	if (db_flush(c))
		return -1;
	return is_known(&known) ? 1 : 0;
}
