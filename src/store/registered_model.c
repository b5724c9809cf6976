/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Whole messages from one statement each: a union of rows that say whose they are. Several
 * statements would need a transaction of their own to fit together, and callers may be inside of
 * one. OFFSET 0 keeps each part a probe of its index: for a page of some hundred the planner would
 * rather read whole tables, which takes ten times as long. (SELECT $1) keeps the number of rows from
 * it: for a few it would plan anew each time, which takes longer than to run.
 */
#include "store/registered_model.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "db/db.h"
#include "registered_model_load.h"
#include "store/entities.h"

const char *const model_stage_names[] = { "None", "Staging", "Production", "Archived", NULL };
const char *const model_version_status_names[] = {
	"", "PENDING_REGISTRATION", "FAILED_REGISTRATION", "READY", NULL
};

enum { STAGES = 4 };
enum { MODELS_LOAD, VERSIONS_LOAD, LATEST_VERSIONS };

enum { ROW_MODEL = 1, ROW_MODEL_TAG, ROW_MODEL_ALIAS, ROW_VERSION, ROW_VERSION_TAG, ROW_ALIAS };

/* slot: the place of the model or of the version that the row belongs to. */
#define NO_VERSION \
	"NULL::bigint, NULL::bigint, NULL, NULL::smallint, NULL, NULL, NULL, NULL::smallint," \
	" NULL, NULL"
#define VERSION_ROWS \
	"SELECT slot, 4 AS kind, name, version, creation_time AS creation_timestamp," \
	" last_updated_time AS last_updated_timestamp, user_id, stage, description, source," \
	" run_id, status, nullif(status_message, '') AS status_message, run_link," \
	" NULL::text AS value FROM shown" \
	" UNION ALL SELECT shown.slot, 5, t.key, NULL::integer, " NO_VERSION ", t.value" \
	" FROM shown, LATERAL (SELECT * FROM model_version_tags x" \
	"  WHERE x.model = shown.model AND x.version = shown.version OFFSET 0) t"
#define ALIAS_ROWS \
	" UNION ALL SELECT shown.slot, 6, a.alias, NULL, " NO_VERSION ", NULL" \
	" FROM shown, LATERAL (SELECT * FROM model_aliases x" \
	"  WHERE x.model = shown.model AND x.version = shown.version OFFSET 0) a"

/* model_versions_stage finds each; a model's versions may be many. */
#define LATEST_OF \
	" CROSS JOIN (VALUES (0::smallint), (1), (2), (3)) AS s (stage), LATERAL (" \
	"   SELECT * FROM model_versions x" \
	"   WHERE x.model = kept.id AND x.stage = s.stage AND NOT x.deleted" \
	"   ORDER BY x.version DESC LIMIT 1) v"

#define SHOWN_OF_KEYS \
	"WITH shown AS MATERIALIZED (" \
	"  SELECT k.n - 1 AS slot, m.name, v.* FROM unnest((SELECT $1), (SELECT $2))" \
	"   WITH ORDINALITY AS k (model, version, n)" \
	"  CROSS JOIN LATERAL (SELECT * FROM model_versions x WHERE x.model = k.model" \
	"   AND x.version = k.version AND NOT x.deleted OFFSET 0) v" \
	"  CROSS JOIN LATERAL (SELECT x.name FROM registered_models x WHERE x.id = k.model" \
	"   OFFSET 0) m) "

static const struct stmt stmts[] = {
	[MODELS_LOAD] = { "registered_models_load", "I",
		"WITH kept AS MATERIALIZED ("
		"  SELECT k.n - 1 AS n, m.* FROM unnest((SELECT $1)) WITH ORDINALITY AS k (id, n),"
		"  LATERAL (SELECT * FROM registered_models x WHERE x.id = k.id OFFSET 0) m"
		"), shown AS MATERIALIZED ("
		"  SELECT kept.n * 4 + v.stage AS slot, kept.name, v.* FROM kept" LATEST_OF ") "
		VERSION_ROWS
		" UNION ALL SELECT n, 1, name, NULL, creation_time, nullif(last_updated_time, 0),"
		" NULL, NULL, nullif(description, ''), NULL, NULL, NULL, NULL, NULL,"
		" revision::text FROM kept"
		" UNION ALL SELECT kept.n, 2, t.key, NULL, " NO_VERSION ", t.value"
		" FROM kept, LATERAL (SELECT * FROM registered_model_tags x"
		"  WHERE x.model = kept.id OFFSET 0) t"
		" UNION ALL SELECT kept.n, 3, a.alias, a.version, " NO_VERSION ", NULL"
		" FROM kept, LATERAL (SELECT * FROM model_aliases x WHERE x.model = kept.id"
		"  OFFSET 0) a" },
	[VERSIONS_LOAD] = { "model_versions_load", "II",
		SHOWN_OF_KEYS VERSION_ROWS ALIAS_ROWS },
	/* A row of the model itself tells no model from no versions. */
	[LATEST_VERSIONS] = { "model_latest_versions", "tI",
		"WITH kept AS MATERIALIZED ("
		"  SELECT id, name FROM registered_models WHERE name = $1"
		"), shown AS MATERIALIZED ("
		"  SELECT v.stage::bigint AS slot, kept.name, v.* FROM kept" LATEST_OF
		"  WHERE v.stage = ANY($2)) "
		VERSION_ROWS ALIAS_ROWS
		" UNION ALL SELECT 0, 1, name, NULL, " NO_VERSION ", NULL FROM kept" },
};

#define NAMED(type, member, names) { #member, FIELD_ENUM, 0, offsetof(type, member), NULL, names }

const struct record model_alias_record = { sizeof(struct model_alias), (const struct field[]){
	STRING(struct model_alias, alias,   0),
	STRING(struct model_alias, version, 0),
	END }};

const struct record model_version_record = { sizeof(struct model_version), (const struct field[]){
	STRING (struct model_version, name,                   0),
	STRING (struct model_version, version,                0),
	INT64  (struct model_version, creation_timestamp,     0),
	INT64  (struct model_version, last_updated_timestamp, 0),
	STRING (struct model_version, user_id,                0),
	STRING (struct model_version, current_stage,          0),
	STRING (struct model_version, description,            0),
	STRING (struct model_version, source,                 0),
	STRING (struct model_version, run_id,                 0),
	ENUM   (struct model_version, status,                 0, model_version_status_names),
	STRING (struct model_version, status_message,         0),
	LIST   (struct model_version, tags,                   0, &tag_record),
	STRING (struct model_version, run_link,               0),
	STRINGS(struct model_version, aliases,                0),
	STRING (struct model_version, model_id,               0),
	LIST   (struct model_version, model_params,           0, &tag_record),
	LIST   (struct model_version, model_metrics,          0, &metric_record),
	END }};

const struct record registered_model_record = {
	sizeof(struct registered_model), (const struct field[]){
	RAW   (struct registered_model, whole,                  WHOLE),
	STRING(struct registered_model, name,                   0),
	INT64 (struct registered_model, creation_timestamp,     0),
	INT64 (struct registered_model, last_updated_timestamp, 0),
	STRING(struct registered_model, user_id,                0),
	STRING(struct registered_model, description,            0),
	LIST  (struct registered_model, latest_versions,        0, &model_version_record),
	LIST  (struct registered_model, tags,                   0, &tag_record),
	LIST  (struct registered_model, aliases,                0, &model_alias_record),
	STRING(struct registered_model, deployment_job_id,      0),
	END }};

/* name: also a tag's key and an alias; value: of a tag, and a model's revision. */
struct row {
	const int64_t *slot;
	const int64_t *kind;
	const char *name;
	const char *version;
	const int64_t *creation_timestamp;
	const int64_t *last_updated_timestamp;
	const char *user_id;
	const char *stage;
	const char *description;
	const char *source;
	const char *run_id;
	const char *status;
	const char *status_message;
	const char *run_link;
	const char *value;
};

static const struct record row_record = { sizeof(struct row), (const struct field[]){
	INT64 (struct row, slot,                   0),
	INT64 (struct row, kind,                   0),
	STRING(struct row, name,                   0),
	STRING(struct row, version,                0),
	INT64 (struct row, creation_timestamp,     0),
	INT64 (struct row, last_updated_timestamp, 0),
	STRING(struct row, user_id,                0),
	NAMED (struct row, stage,                  model_stage_names),
	STRING(struct row, description,            0),
	STRING(struct row, source,                 0),
	STRING(struct row, run_id,                 0),
	NAMED (struct row, status,                 model_version_status_names),
	STRING(struct row, status_message,         0),
	STRING(struct row, run_link,               0),
	STRING(struct row, value,                  0),
	END }};

/* ---- rows to messages: counted, then filled, then each list put in order ---- */

struct slots {
	struct registered_model *models;
	size_t model_count;             /* places, some of which may stay empty */
	int64_t *revisions;             /* of models */
	struct model_version *versions;
	size_t version_count;
};

static struct list *list_of(struct slots *s, const struct row *row)
{
	size_t slot = (size_t)*row->slot;

	switch (*row->kind) {
	case ROW_MODEL_TAG:
		return &s->models[slot].tags;
	case ROW_MODEL_ALIAS:
		return &s->models[slot].aliases;
	case ROW_VERSION_TAG:
		return &s->versions[slot].tags;
	case ROW_ALIAS:
		return &s->versions[slot].aliases;
	default:
		return NULL;
	}
}

static size_t size_of(const struct row *row)
{
	switch (*row->kind) {
	case ROW_MODEL_ALIAS:
		return sizeof(struct model_alias);
	case ROW_ALIAS:
		return sizeof(const char *);
	default:
		return sizeof(struct tag);
	}
}

static void set_model(struct registered_model *m, const struct row *row)
{
	m->name = row->name;
	m->creation_timestamp = row->creation_timestamp;
	m->last_updated_timestamp = row->last_updated_timestamp;
	m->description = row->description;
}

static void set_version(struct model_version *v, const struct row *row)
{
	v->name = row->name;
	v->version = row->version;
	v->creation_timestamp = row->creation_timestamp;
	v->last_updated_timestamp = row->last_updated_timestamp;
	v->user_id = row->user_id;
	v->current_stage = row->stage;
	v->description = row->description;
	v->source = row->source;
	v->run_id = row->run_id;
	v->status = row->status;
	v->status_message = row->status_message;
	v->run_link = row->run_link;
}

static void add(struct slots *s, const struct row *row)
{
	struct list *to = list_of(s, row);

	switch (*row->kind) {
	case ROW_MODEL:
		if (!s->models)
			break;
		set_model(&s->models[*row->slot], row);
		s->revisions[*row->slot] = strtoll(row->value, NULL, 10);
		break;
	case ROW_VERSION:
		set_version(&s->versions[*row->slot], row);
		break;
	case ROW_MODEL_ALIAS:
		*LIST_AT(struct model_alias, to, to->count++) =
			(struct model_alias){ row->name, row->version };
		break;
	case ROW_ALIAS:
		*LIST_AT(const char *, to, to->count++) = row->name;
		break;
	default:
		*LIST_AT(struct tag, to, to->count++) = (struct tag){ row->name, row->value };
		break;
	}
}

/* Tags and both kinds of aliases begin with their name. */
static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sort(struct list *l, size_t size)
{
	if (l->count > 1)
		qsort(l->items, l->count, size, compare);
}

static void assemble(struct ctx *c, const struct list *rows, struct slots *s)
{
	if (s->model_count) {
		s->models = NEW_ARRAY(c->arena, s->model_count, struct registered_model);
		s->revisions = NEW_ARRAY(c->arena, s->model_count, int64_t);
	}
	s->versions = NEW_ARRAY(c->arena, s->version_count, struct model_version);
	for (size_t i = 0; i < rows->count; i++) {
		struct list *l = list_of(s, LIST_AT(struct row, rows, i));

		if (l)
			l->count++;
	}
	for (size_t i = 0; i < rows->count; i++) {
		const struct row *row = LIST_AT(struct row, rows, i);
		struct list *l = list_of(s, row);

		if (l && !l->items) {
			l->items = arena_array(c->arena, l->count, size_of(row));
			l->count = 0;
		}
		add(s, row);
	}
	for (size_t i = 0; i < s->model_count; i++) {
		sort(&s->models[i].tags, sizeof(struct tag));
		sort(&s->models[i].aliases, sizeof(struct model_alias));
	}
	for (size_t i = 0; i < s->version_count; i++) {
		sort(&s->versions[i].tags, sizeof(struct tag));
		sort(&s->versions[i].aliases, sizeof(const char *));
	}
}

/* Without the places that stayed empty. */
static struct list used_versions(struct model_version *v, size_t count)
{
	struct list l = { .items = v };

	for (size_t i = 0; i < count; i++)
		if (v[i].name)
			v[l.count++] = v[i];
	return l;
}

static int compare_versions(const void *a, const void *b)
{
	long x = strtol(((const struct model_version *)a)->version, NULL, 10);
	long y = strtol(((const struct model_version *)b)->version, NULL, 10);

	return (x > y) - (x < y);
}

static struct list latest(struct model_version *stages)
{
	struct list l = used_versions(stages, STAGES);

	qsort(l.items, l.count, sizeof(*stages), compare_versions);
	return l;
}

/* ---- the loads ---- */

/* Places of models that are gone stay empty. */
static int load_models(struct ctx *c, const int64_t *ids, size_t count, struct slots *ret)
{
	struct list rows = { 0 };

	*ret = (struct slots){ .model_count = count, .version_count = count * STAGES };
	if (db_list(c, &stmts[MODELS_LOAD], ARGS(BIGINTS(ids, count)), &row_record, &rows))
		return -1;
	assemble(c, &rows, ret);
	for (size_t i = 0; i < count; i++) {
		if (ret->models[i].name)
			ret->models[i].latest_versions = latest(&ret->versions[i * STAGES]);
	}
	return 0;
}

int store_registered_models_load(struct ctx *c, const int64_t *ids, size_t count, struct list *ret)
{
	struct slots s;

	*ret = (struct list){ 0 };
	if (!count)
		return 0;
	if (load_models(c, ids, count, &s))
		return -1;
	ret->items = s.models;
	for (size_t i = 0; i < count; i++) {
		if (s.models[i].name)
			s.models[ret->count++] = s.models[i];
	}
	return 0;
}

static const char *text_of(struct ctx *c, const struct registered_model *m)
{
	struct buf text = BUF(c->arena, LIMIT_ARENA);

	record_write(&text, &registered_model_record, m);
	return buf_text(&text);
}

/* Those without a text: it may be of a later revision than the one found, and is kept as that. */
static int load_texts(struct ctx *c, const struct revision *found, size_t count,
                      const char **texts)
{
	int64_t *ids;
	size_t *places;
	size_t missing = rendered_missing(c, found, count, texts, &ids, &places);
	struct slots s;

	if (!missing)
		return 0;
	if (load_models(c, ids, missing, &s))
		return -1;
	for (size_t i = 0; i < missing; i++) {
		struct revision seen = { ids[i], s.revisions[i] };

		if (!s.models[i].name)
			continue;
		texts[places[i]] = text_of(c, &s.models[i]);
		rendered_keep(RENDERED_MODEL, &seen, texts[places[i]]);
	}
	return 0;
}

int registered_model_texts(struct ctx *c, const struct revision *found, size_t count,
                           struct list *ret)
{
	const char **texts = NEW_ARRAY(c->arena, count, const char *);
	struct registered_model *models = NEW_ARRAY(c->arena, count, struct registered_model);

	*ret = (struct list){ .items = models };
	rendered_find(c, RENDERED_MODEL, found, count, texts);
	if (load_texts(c, found, count, texts))
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (texts[i])
			models[ret->count++].whole = texts[i];
	}
	return 0;
}

int store_model_versions_load(struct ctx *c, const struct model_version_key *keys, size_t count,
                              struct list *ret)
{
	struct slots s = { .version_count = count };
	struct list rows = { 0 };
	int64_t *models = NEW_ARRAY(c->arena, count, int64_t);
	int64_t *versions = NEW_ARRAY(c->arena, count, int64_t);

	*ret = (struct list){ 0 };
	if (!count)
		return 0;
	for (size_t i = 0; i < count; i++) {
		models[i] = keys[i].model;
		versions[i] = keys[i].version;
	}
	if (db_list(c, &stmts[VERSIONS_LOAD],
	            ARGS(BIGINTS(models, count), BIGINTS(versions, count)), &row_record, &rows))
		return -1;
	assemble(c, &rows, &s);
	*ret = used_versions(s.versions, count);
	return 0;
}

int store_model_latest_versions(struct ctx *c, const char *name, unsigned stages, struct list *ret)
{
	struct slots s = { .version_count = STAGES };
	struct list rows = { 0 };
	int64_t wanted[STAGES];
	size_t count = 0;

	*ret = (struct list){ 0 };
	for (int64_t i = 0; i < STAGES; i++)
		if (stages & 1u << i)
			wanted[count++] = i;
	if (db_list(c, &stmts[LATEST_VERSIONS], ARGS(TEXT(name), BIGINTS(wanted, count)),
	            &row_record, &rows))
		return -1;
	assemble(c, &rows, &s);
	*ret = latest(s.versions);
	return rows.count ? 1 : 0;
}
