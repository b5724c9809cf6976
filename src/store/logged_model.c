/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/logged_model.h"

#include <string.h>

#include "base/arena.h"
#include "page.h"
#include "store/experiment.h"

enum {
	MODEL_CREATE, MODEL_GET, MODEL_FINALIZE, MODEL_DELETE, MODEL_SET_TAGS, MODEL_LOG_PARAMS,
	MODEL_DELETE_TAG
};

enum {
	CELL_NAMES = 1, CELL_PLACE, CELL_SOURCE, CELL_PARAM, CELL_TAG, CELL_METRIC,
	CELL_METRIC_DATASET
};

/* The two rows of one metric come one after the other, whatever the plan: VALUES depend on it. */
#define BRANCHES \
	"UNION ALL SELECT kept.at + v.kind, v.key, v.value, v.a, v.b, NULL" \
	" FROM kept JOIN logged_models m ON m.id = kept.id, LATERAL (VALUES" \
	"  (1, m.model_id, m.name, m.experiment_id, m.status)," \
	"  (2, m.artifact_location, m.model_type, m.creation_time, m.last_updated_time)," \
	"  (3, m.source_run_id, m.status_message, NULL, NULL)) AS v (kind, key, value, a, b)" \
	" UNION ALL SELECT kept.at + 4, p.key, p.value, NULL, NULL, NULL" \
	" FROM kept JOIN logged_model_params p ON p.model = kept.id" \
	" UNION ALL SELECT kept.at + 5, t.key, t.value, NULL, NULL, NULL" \
	" FROM kept JOIN logged_model_tags t ON t.model = kept.id" \
	" UNION ALL SELECT kept.at + v.kind, v.key, v.value, m.step, m.timestamp, m.value" \
	" FROM kept JOIN logged_model_metrics m ON m.model = kept.id" \
	" LEFT JOIN runs r ON r.id = m.run_id, LATERAL (VALUES" \
	"  (6, m.key, replace(r.uuid::text, '-', ''))," \
	"  (7, m.dataset_name, m.dataset_digest)) AS v (kind, key, value)"

static const struct stmt stmts[] = {
	[MODEL_CREATE] = { "logged_model_create", "titttiTTTTt",
		"WITH made AS ("
		"  INSERT INTO logged_models (model_id, experiment_id, name, artifact_location,"
		" creation_time,"
		"   last_updated_time, status, model_type, source_run_id)"
		"  VALUES ($1, $2, $3, $4, $6, $6, 1, $5, $11)"
		"  RETURNING id"
		"), params AS ("
		"  INSERT INTO logged_model_params SELECT made.id, p.key, p.value FROM made,"
		" unnest($7, $8)"
		"  AS p (key, value)"
		"), tags AS ("
		"  INSERT INTO logged_model_tags SELECT made.id, t.key, t.value FROM made,"
		" unnest($9, $10)"
		"  AS t (key, value)"
		") SELECT id FROM made" },
	[MODEL_GET] = { "logged_model_get", "tb",
		"WITH kept AS MATERIALIZED ("
		"  SELECT 0::bigint AS at, id FROM logged_models WHERE model_id = $1 AND ($2 OR NOT"
		" deleted)"
		") SELECT at, NULL::text AS key, NULL::text AS value, NULL::bigint AS a,"
		" NULL::bigint AS b,"
		" NULL::double precision AS real FROM kept WHERE false " BRANCHES },
	[MODEL_FINALIZE] = { "logged_model_finalize", "tii",
		"UPDATE logged_models SET status = $2, last_updated_time = $3 WHERE model_id = $1"
		" RETURNING id" },
	[MODEL_DELETE] = { "logged_model_delete", "ti",
		"UPDATE logged_models SET deleted = true, last_updated_time = $2 WHERE model_id ="
		" $1 RETURNING id" },
	[MODEL_SET_TAGS] = { "logged_model_set_tags", "tTT",
		"WITH wanted AS (SELECT id FROM logged_models WHERE model_id = $1"
		"), written AS ("
		"  INSERT INTO logged_model_tags SELECT wanted.id, t.key, t.value FROM wanted,"
		" unnest($2, $3)"
		"  AS t (key, value) ORDER BY t.key"
		"  ON CONFLICT (model, key) DO UPDATE SET value = excluded.value"
		") SELECT id FROM wanted" },
	[MODEL_LOG_PARAMS] = { "logged_model_log_params", "tTT",
		"WITH wanted AS (SELECT id FROM logged_models WHERE model_id = $1 FOR UPDATE"
		"), given AS (SELECT * FROM unnest($2, $3) AS g (key, value)"
		"), clash AS (SELECT given.key FROM wanted JOIN logged_model_params p ON p.model ="
		" wanted.id"
		"  JOIN given ON given.key = p.key WHERE given.value <> p.value ORDER BY given.key"
		" LIMIT 1"
		"), written AS ("
		"  INSERT INTO logged_model_params SELECT wanted.id, given.key, given.value FROM"
		" wanted, given"
		"  WHERE NOT EXISTS (SELECT FROM clash) ON CONFLICT DO NOTHING"
		") SELECT id, (SELECT key FROM clash) AS key FROM wanted" },
	[MODEL_DELETE_TAG] = { "logged_model_delete_tag", "tt",
		"WITH wanted AS (SELECT id FROM logged_models WHERE model_id = $1"
		"), gone AS ("
		"  DELETE FROM logged_model_tags USING wanted WHERE model = wanted.id AND key = $2"
		" RETURNING key"
		") SELECT id, (SELECT key FROM gone) AS key FROM wanted" },
};

static const struct record registration_record = {
	sizeof(struct registration), (const struct field[]){
	STRING(struct registration, name,    0),
	STRING(struct registration, version, 0),
	END }};

static const struct record info_record = { sizeof(struct logged_model_info), (const struct field[]){
	STRING(struct logged_model_info, model_id,                  0),
	STRING(struct logged_model_info, experiment_id,             0),
	STRING(struct logged_model_info, name,                      0),
	INT64 (struct logged_model_info, creation_timestamp_ms,     0),
	INT64 (struct logged_model_info, last_updated_timestamp_ms, 0),
	STRING(struct logged_model_info, artifact_uri,              0),
	ENUM  (struct logged_model_info, status,                    0, logged_model_status_names),
	STRING(struct logged_model_info, model_type,                0),
	STRING(struct logged_model_info, source_run_id,             0),
	STRING(struct logged_model_info, status_message,            0),
	LIST  (struct logged_model_info, tags,                      0, &tag_record),
	LIST  (struct logged_model_info, registrations,             0, &registration_record),
	END }};

static const struct record data_record = { sizeof(struct logged_model_data), (const struct field[]){
	LIST(struct logged_model_data, params,  0, &tag_record),
	LIST(struct logged_model_data, metrics, 0, &metric_record),
	END }};

const struct record logged_model_record = { sizeof(struct logged_model), (const struct field[]){
	OBJECT(struct logged_model, info, 0, &info_record),
	OBJECT(struct logged_model, data, 0, &data_record),
	END }};

struct outcome {
	const int64_t *id;
	const char *key;
};

static const struct record outcome_record = { sizeof(struct outcome), (const struct field[]){
	INT64 (struct outcome, id,  0),
	STRING(struct outcome, key, 0),
	END }};

/* A list of tags as the two arrays that statements take. */
struct pairs {
	const char **keys;
	const char **values;
};

static struct pairs split(struct ctx *c, const struct list *tags)
{
	struct pairs p = { NEW_ARRAY(c->arena, tags->count, const char *),
	                   NEW_ARRAY(c->arena, tags->count, const char *) };

	for (size_t i = 0; i < tags->count; i++) {
		const struct tag *tag = LIST_AT(struct tag, tags, i);

		p.keys[i] = tag->key ? tag->key : "";
		p.values[i] = tag->value ? tag->value : "";
	}
	return p;
}

/* ---- rows to models ---- */

static void add_info(struct ctx *c, struct logged_model_info *info, const struct cell *cell)
{
	switch (cell_kind(cell)) {
	case CELL_NAMES:
		info->model_id = cell->key;
		info->name = cell->value;
		info->experiment_id = arena_printf(c->arena, "%lld", (long long)*cell->a);
		info->status = logged_model_status_names[*cell->b];
		break;
	case CELL_PLACE:
		info->artifact_uri = cell->key;
		info->model_type = cell->value;
		info->creation_timestamp_ms = cell->a;
		info->last_updated_timestamp_ms = cell->b;
		break;
	default:
		info->source_run_id = cell->key;
		info->status_message = cell->value;
		break;
	}
}

static void add(struct ctx *c, struct logged_model *m, const struct cell *cell)
{
	struct list *metrics = &m->data->metrics;
	struct metric *metric;

	switch (cell_kind(cell)) {
	case CELL_PARAM:
		*LIST_AT(struct tag, &m->data->params, m->data->params.count++) =
			(struct tag){ cell->key, cell->value };
		break;
	case CELL_TAG:
		*LIST_AT(struct tag, &m->info->tags, m->info->tags.count++) =
			(struct tag){ cell->key, cell->value };
		break;
	case CELL_METRIC:
		*LIST_AT(struct metric, metrics, metrics->count++) = (struct metric){
			.key = cell->key, .value = cell->real, .step = cell->a,
			.timestamp = cell->b, .model_id = m->info->model_id,
			.run_id = cell->value };
		break;
	case CELL_METRIC_DATASET:
		metric = LIST_AT(struct metric, metrics, metrics->count - 1);
		metric->dataset_name = *cell->key ? cell->key : NULL;
		metric->dataset_digest = *cell->value ? cell->value : NULL;
		break;
	default:
		add_info(c, m->info, cell);
		break;
	}
}

static struct logged_model *assemble(struct ctx *c, const struct list *cells, size_t places)
{
	const uint32_t *all = page_counts(c, cells, places);
	struct logged_model *models = NEW_ARRAY(c->arena, places, struct logged_model);

	for (size_t i = 0; i < places; i++) {
		const uint32_t *counts = &all[i * CELL_KINDS];
		struct logged_model_info *info = NEW(c->arena, struct logged_model_info);
		struct logged_model_data *data = NEW(c->arena, struct logged_model_data);

		info->tags.items = NEW_ARRAY(c->arena, counts[CELL_TAG], struct tag);
		data->params.items = NEW_ARRAY(c->arena, counts[CELL_PARAM], struct tag);
		data->metrics.items = NEW_ARRAY(c->arena, counts[CELL_METRIC], struct metric);
		models[i] = (struct logged_model){ info, data };
	}
	for (size_t i = 0; i < cells->count; i++) {
		const struct cell *cell = LIST_AT(struct cell, cells, i);

		add(c, &models[cell_place(cell)], cell);
	}
	return models;
}

int store_logged_model_get(struct ctx *c, const char *model_id, bool allow_deleted,
                           struct logged_model **ret)
{
	struct list cells = { 0 };

	if (db_list(c, &stmts[MODEL_GET], ARGS(TEXT(model_id), BOOLEAN(allow_deleted)),
	            &cell_record, &cells))
		return -1;
	if (!cells.count)
		return 0;
	*ret = assemble(c, &cells, 1);
	return 1;
}

int store_logged_model_search(struct ctx *c, const struct search_query *q, struct list *models,
                              const char **next_token)
{
	struct page page;

	if (page_fetch(c, q, BRANCHES, &page))
		return -1;
	*models = (struct list){ .items = assemble(c, &page.cells, page.count),
	                        .count = page.count };
	*next_token = page.next_token;
	return 0;
}

/* ---- changes ---- */

int store_logged_model_create(struct ctx *c, const struct new_logged_model *m,
                              enum logged_model_change *ret)
{
	struct pairs params = split(c, &m->params);
	struct pairs tags = split(c, &m->tags);
	struct experiment *e = NULL;
	struct outcome out = { 0 };
	const char *location;
	int got = store_experiment_get(c, m->experiment_id, &e);

	if (got < 0)
		return -1;
	*ret = LOGGED_MODEL_NO_EXPERIMENT;
	if (!got)
		return 0;
	*ret = LOGGED_MODEL_EXPERIMENT_DELETED;
	if (strcmp(e->lifecycle_stage, "active") != 0)
		return 0;
	*ret = LOGGED_MODEL_CHANGED;
	location = store_experiment_uri(c->arena, e->artifact_location,
	                                arena_printf(c->arena, "models/%s/artifacts", m->model_id));
	got = db_one(c, &stmts[MODEL_CREATE],
	             ARGS(TEXT(m->model_id), BIGINT(m->experiment_id), TEXT(m->name),
	                  TEXT(location),
	                  TEXT(m->model_type), BIGINT(m->now), TEXTS(params.keys, m->params.count),
	                  TEXTS(params.values, m->params.count), TEXTS(tags.keys, m->tags.count),
	                  TEXTS(tags.values, m->tags.count), TEXT(m->source_run_id)),
	             &outcome_record, &out);
	return got < 0 ? -1 : 0;
}

int store_logged_model_finalize(struct ctx *c, const char *model_id, int64_t status, int64_t now)
{
	struct outcome out = { 0 };

	return db_one(c, &stmts[MODEL_FINALIZE], ARGS(TEXT(model_id), BIGINT(status), BIGINT(now)),
	              &outcome_record, &out);
}

int store_logged_model_delete(struct ctx *c, const char *model_id, int64_t now)
{
	struct outcome out = { 0 };

	return db_one(c, &stmts[MODEL_DELETE], ARGS(TEXT(model_id), BIGINT(now)), &outcome_record,
	              &out);
}

int store_logged_model_set_tags(struct ctx *c, const char *model_id, const struct list *tags)
{
	struct pairs p = split(c, tags);
	struct outcome out = { 0 };

	return db_one(c, &stmts[MODEL_SET_TAGS],
	              ARGS(TEXT(model_id), TEXTS(p.keys, tags->count),
	                   TEXTS(p.values, tags->count)),
	              &outcome_record, &out);
}

int store_logged_model_log_params(struct ctx *c, const char *model_id, const struct list *params,
                                  enum logged_model_change *ret, const char **key)
{
	struct pairs p = split(c, params);
	struct outcome out = { 0 };
	int got = db_one(c, &stmts[MODEL_LOG_PARAMS],
	                 ARGS(TEXT(model_id), TEXTS(p.keys, params->count),
	                      TEXTS(p.values, params->count)),
	                 &outcome_record, &out);

	if (got < 0)
		return -1;
	*key = out.key;
	if (!got)
		*ret = LOGGED_MODEL_MISSING;
	else
		*ret = out.key ? LOGGED_MODEL_PARAM_CHANGED : LOGGED_MODEL_CHANGED;
	return 0;
}

int store_logged_model_delete_tag(struct ctx *c, const char *model_id, const char *key,
                                  enum logged_model_change *ret)
{
	struct outcome out = { 0 };
	int got = db_one(c, &stmts[MODEL_DELETE_TAG], ARGS(TEXT(model_id), TEXT(key)),
	                 &outcome_record, &out);

	if (got < 0)
		return -1;
	if (!got)
		*ret = LOGGED_MODEL_MISSING;
	else
		*ret = out.key ? LOGGED_MODEL_CHANGED : LOGGED_MODEL_TAG_MISSING;
	return 0;
}
