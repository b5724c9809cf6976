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
#include "store/experiment.h"

#define RUN_NAME_TAG "mlflow.runName"

enum {
	RUN_INFO, RUN_METRICS, RUN_TEXTS, RUN_LINKS, RUN_UPDATE, RUN_DELETE, RUN_RESTORE, RUN_LOCK,
	TAG_GET, TAG_SET
};

#define INFO_COLUMNS \
	"r.uuid AS run_id, r.uuid AS run_uuid, r.name AS run_name, r.experiment_id, r.user_id," \
	" r.status, r.start_time, nullif(r.end_time, 0) AS end_time," \
	" coalesce(r.artifact_uri, e.artifact_location) AS artifact_uri," \
	" r.deleted AS lifecycle_stage," \
	" r.artifact_uri IS NULL AS derived"

static const struct stmt stmts[] = {
	[RUN_INFO] = { "run_info", "u",
		"SELECT " INFO_COLUMNS " FROM runs r JOIN experiments e ON e.id = r.experiment_id"
		" WHERE r.uuid = $1" },
	[RUN_METRICS] = { "run_metrics", "u",
		"SELECT k.name AS key, l.value, l.timestamp, l.step FROM latest l"
		" JOIN keys k ON k.id = l.key_id"
		" WHERE l.run_id = (SELECT id FROM runs WHERE uuid = $1)"
		" ORDER BY l.key_id" },
	[RUN_TEXTS] = { "run_texts", "u",
		"SELECT false AS tag, k.name AS key, p.value FROM params p"
		" JOIN keys k ON k.id = p.key_id"
		" WHERE p.run_id = (SELECT id FROM runs WHERE uuid = $1)"
		" UNION ALL"
		" SELECT true, k.name, t.value FROM tags t"
		" JOIN keys k ON k.id = t.key_id"
		" WHERE t.run_id = (SELECT id FROM runs WHERE uuid = $1)" },
	/* Datasets (kind 1) come with one row per tag of theirs, in their order of creation. */
	[RUN_LINKS] = { "run_links", "u",
		"SELECT 1 AS kind, d.id, d.name, d.digest, d.source_type, d.source, d.schema,"
		" d.profile,"
		" t.name AS key, t.value, NULL::bigint AS step"
		" FROM run_datasets l JOIN datasets d ON d.id = l.dataset_id"
		" LEFT JOIN run_dataset_tags t"
		" ON t.run_id = l.run_id AND t.dataset_id = l.dataset_id"
		" WHERE l.run_id = (SELECT id FROM runs WHERE uuid = $1)"
		" UNION ALL"
		" SELECT 2 + m.output::int, 0, m.model_id,"
		" NULL, NULL, NULL, NULL, NULL, NULL, NULL, m.step"
		" FROM run_models m WHERE m.run_id = (SELECT id FROM runs WHERE uuid = $1)"
		" ORDER BY 1, 2, 3, 9" },
	/* One statement, so that name and tag never differ. */
	[RUN_UPDATE] = { "run_update", "unitn",
		"WITH r AS ("
		" UPDATE runs SET status = coalesce($2, status), end_time = coalesce($3, end_time),"
		" name = coalesce($4, name) WHERE uuid = $1 AND NOT deleted RETURNING *), t AS ("
		" INSERT INTO tags (run_id, key_id, experiment_id, value)"
		" SELECT id, $5, experiment_id, $4 FROM r WHERE $4 IS NOT NULL"
		" ON CONFLICT (run_id, key_id) DO UPDATE SET value = excluded.value)"
		" SELECT " INFO_COLUMNS " FROM r JOIN experiments e ON e.id = r.experiment_id" },
	[RUN_DELETE] = { "run_delete", "ui",
		"UPDATE runs SET deleted = true, deleted_time = $2 WHERE uuid = $1" },
	[RUN_RESTORE] = { "run_restore", "u",
		"UPDATE runs SET deleted = false, deleted_time = NULL WHERE uuid = $1" },
	[RUN_LOCK] = { "run_lock", "u",
		"SELECT id, experiment_id, deleted FROM runs WHERE uuid = $1 FOR NO KEY UPDATE" },
	[TAG_GET] = { "run_tag_get", "in",
		"SELECT value FROM tags WHERE run_id = $1 AND key_id = $2" },
	[TAG_SET] = { "run_tag_set", "init",
		"INSERT INTO tags (run_id, key_id, experiment_id, value) VALUES ($1, $2, $3, $4)"
		" ON CONFLICT (run_id, key_id) DO UPDATE SET value = excluded.value" },
};

/* ---- rows ---- */

struct info_row {
	struct run_info info;
	const bool *derived;            /* artifact_uri is the experiment's */
};

#define INFO(type, member) \
	{ #member, FIELD_##type, 0, offsetof(struct info_row, info.member), NULL, NULL }
#define INFO_NAMED(member, names) \
	{ #member, FIELD_ENUM, 0, offsetof(struct info_row, info.member), NULL, names }

static const struct record info_row_record = { sizeof(struct info_row), (const struct field[]){
	INFO(STRING, run_id),
	INFO(STRING, run_uuid),
	INFO(STRING, run_name),
	INFO(STRING, experiment_id),
	INFO(STRING, user_id),
	INFO_NAMED(status, run_status_names),
	INFO(INT64, start_time),
	INFO(INT64, end_time),
	INFO(STRING, artifact_uri),
	INFO_NAMED(lifecycle_stage, lifecycle_names),
	BOOL(struct info_row, derived, 0),
	END }};

struct text_row {
	const bool *tag;
	const char *key;
	const char *value;
};

static const struct record text_row_record = { sizeof(struct text_row), (const struct field[]){
	BOOL  (struct text_row, tag,   0),
	STRING(struct text_row, key,   0),
	STRING(struct text_row, value, 0),
	END }};

enum { LINK_DATASET = 1, LINK_INPUT = 2 };

struct link_row {
	const int64_t *kind;
	const int64_t *id;
	const char *name, *digest, *source_type, *source, *schema, *profile;
	const char *key, *value;
	const int64_t *step;
};

static const struct record link_row_record = { sizeof(struct link_row), (const struct field[]){
	INT64 (struct link_row, kind,        0),
	INT64 (struct link_row, id,          0),
	STRING(struct link_row, name,        0),
	STRING(struct link_row, digest,      0),
	STRING(struct link_row, source_type, 0),
	STRING(struct link_row, source,      0),
	STRING(struct link_row, schema,      0),
	STRING(struct link_row, profile,     0),
	STRING(struct link_row, key,         0),
	STRING(struct link_row, value,       0),
	INT64 (struct link_row, step,        0),
	END }};

/* ---- artifact uri ---- */

const char *store_run_uri(struct arena *a, const char *location, const char *run_id)
{
	return store_experiment_uri(a, location, arena_printf(a, "%s/artifacts", run_id));
}

/* ---- a run whole ---- */

/* MLflow compares ids as text, PostgreSQL takes any case. NULL finds nothing. */
static const char *checked_id(const char *run_id)
{
	uint8_t uuid[16];

	return run_id[strspn(run_id, "0123456789abcdef")] || !id_parse_uuid(run_id, uuid) ? NULL
											  : run_id;
}

static void finish_info(struct ctx *c, struct info_row *row)
{
	if (*row->derived)
		row->info.artifact_uri =
			store_run_uri(c->arena, row->info.artifact_uri, row->info.run_id);
}

static void add_tag(struct ctx *c, struct list *to, size_t *capacity, const char *key,
                    const char *value)
{
	struct tag *t = list_add(c->arena, to, capacity, sizeof(*t));

	*t = (struct tag){ key, value };
}

static void add_texts(struct ctx *c, const struct list *rows, struct run_data *to)
{
	size_t params = 0, tags = 0;

	for (size_t i = 0; i < rows->count; i++) {
		const struct text_row *row = LIST_AT(struct text_row, rows, i);

		if (*row->tag)
			add_tag(c, &to->tags, &tags, row->key, row->value);
		else
			add_tag(c, &to->params, &params, row->key, row->value);
	}
}

/* The room in the lists of a run while links are added. */
struct capacities {
	size_t datasets, tags, inputs, outputs;
};

static struct dataset_input *add_dataset(struct ctx *c, const struct link_row *row, struct run *to,
                                         struct capacities *room)
{
	struct dataset_input *input =
		list_add(c->arena, &to->inputs->dataset_inputs, &room->datasets, sizeof(*input));

	input->dataset = NEW(c->arena, struct dataset);
	*input->dataset = (struct dataset){ row->name, row->digest, row->source_type, row->source,
	                                    row->schema, row->profile };
	room->tags = 0;
	return input;
}

static void add_model(struct ctx *c, const struct link_row *row, struct run *to,
                      struct capacities *room)
{
	struct model_input *input;
	struct model_output *output;

	if (*row->kind == LINK_INPUT) {
		input = list_add(c->arena, &to->inputs->model_inputs, &room->inputs,
		                 sizeof(*input));
		input->model_id = row->name;
		return;
	}
	output = list_add(c->arena, &to->outputs->model_outputs, &room->outputs, sizeof(*output));
	output->model_id = row->name;
	output->step = row->step;
}

static void add_links(struct ctx *c, const struct list *rows, struct run *to)
{
	struct capacities room = { 0 };
	const struct link_row *last = NULL;
	struct dataset_input *dataset = NULL;

	for (size_t i = 0; i < rows->count; i++) {
		const struct link_row *row = LIST_AT(struct link_row, rows, i);

		if (*row->kind != LINK_DATASET) {
			add_model(c, row, to, &room);
			continue;
		}
		if (!last || *last->id != *row->id)
			dataset = add_dataset(c, row, to, &room);
		if (row->key)
			add_tag(c, &dataset->tags, &room.tags, row->key, row->value);
		last = row;
	}
}

int store_run_get(struct ctx *c, const char *run_id, struct run *out)
{
	const char *id = checked_id(run_id);
	struct list infos = { 0 }, texts = { 0 }, links = { 0 };

	if (!id)
		return 0;
	*out = (struct run){ NULL, NEW(c->arena, struct run_data), NEW(c->arena, struct run_inputs),
	                     NEW(c->arena, struct run_outputs) };
	db_queue_list(c, &stmts[RUN_INFO], ARGS(UUID(id)), &info_row_record, &infos);
	db_queue_list(c, &stmts[RUN_METRICS], ARGS(UUID(id)), &metric_record, &out->data->metrics);
	db_queue_list(c, &stmts[RUN_TEXTS], ARGS(UUID(id)), &text_row_record, &texts);
	db_queue_list(c, &stmts[RUN_LINKS], ARGS(UUID(id)), &link_row_record, &links);
	if (db_flush(c))
		return -1;
	if (!infos.count)
		return 0;
	finish_info(c, infos.items);
	out->info = &LIST_AT(struct info_row, &infos, 0)->info;
	add_texts(c, &texts, out->data);
	add_links(c, &links, out);
	return 1;
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

int store_run_update(struct ctx *c, const char *run_id, const struct run_change *change,
		     struct run_info *out)
{
	static const char *const name_tag = RUN_NAME_TAG;
	const char *id = checked_id(run_id);
	struct info_row row = { 0 };
	int32_t key;
	int found;

	if (!id)
		return not_found(c, run_id);
	if (keys_resolve(c, &name_tag, 1, &key))
		return -1;
	found = db_one(c, &stmts[RUN_UPDATE],
	               ARGS(UUID(id), status_number(change->status), BIGINT_P(change->end_time),
	                    TEXT(change->name), INTEGER(key)), &info_row_record, &row);
	if (found < 0)
		return -1;
	if (!found) {
		found = db_one(c, &stmts[RUN_INFO], ARGS(UUID(id)), &info_row_record, &row);
		return found < 0 ? -1 : found ? not_active(c, run_id) : not_found(c, run_id);
	}
	finish_info(c, &row);
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
};

struct run_lock {
	const int64_t *id;
	const int64_t *experiment_id;
	const bool *deleted;
};

static const struct record run_lock_record = { sizeof(struct run_lock), (const struct field[]){
	INT64(struct run_lock, id,            0),
	INT64(struct run_lock, experiment_id, 0),
	BOOL (struct run_lock, deleted,       0),
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
	const struct append *p = arg;
	struct run_lock run = { 0 };
	struct tag tag = { 0 };
	const char *value;
	int found = db_one(c, &stmts[RUN_LOCK], ARGS(UUID(checked_id(p->run_id))), &run_lock_record,
			   &run);

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
	return tx_run(c, append, &p);
}
