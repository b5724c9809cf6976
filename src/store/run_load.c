/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Narrow rows, one statement a table, with the ids of keys and not their names: of the ways tried
 * (a union of all, arrays or JSON built in SQL, names joined) the one that costs PostgreSQL least
 * by far, and as much less here. The statements stay prepared. They share one snapshot: half of a
 * batch that is committed meanwhile must not be seen.
 */
#include "run_load.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "db/db.h"
#include "keys.h"
#include "store/run.h"

enum {
	INFO_UUID, METRICS_UUID, PARAMS_UUID, TAGS_UUID,
	INFO_IDS, METRICS_IDS, PARAMS_IDS, TAGS_IDS, LINKS_IDS
};

#define INFO_FROM " FROM runs r JOIN experiments e ON e.id = r.experiment_id WHERE r."
#define METRICS "SELECT run_id, key_id, value, timestamp, step FROM latest WHERE run_id "
#define PARAMS "SELECT run_id, key_id, value FROM params WHERE run_id "
#define TAGS "SELECT run_id, key_id, value FROM tags WHERE run_id "
#define OF_UUID "= (SELECT id FROM runs WHERE uuid = $1)"
#define OF_IDS "= ANY($1)"
#define IN_ORDER " ORDER BY run_id, key_id"      /* that of the primary keys */

static const struct stmt stmts[] = {
	[INFO_UUID] = { "run_info", "u",
		"SELECT " RUN_COLUMNS ","
		" EXISTS (SELECT FROM run_datasets l WHERE l.run_id = r.id)"
		" OR EXISTS (SELECT FROM run_models m WHERE m.run_id = r.id) AS linked"
		INFO_FROM "uuid = $1" },
	[METRICS_UUID] = { "run_metrics", "u", METRICS OF_UUID IN_ORDER },
	[PARAMS_UUID] = { "run_params", "u", PARAMS OF_UUID IN_ORDER },
	[TAGS_UUID] = { "run_tags", "u", TAGS OF_UUID IN_ORDER },
	[INFO_IDS] = { "runs_info", "I", "SELECT " RUN_COLUMNS ", r.revision" INFO_FROM "id " OF_IDS },
	[METRICS_IDS] = { "runs_metrics", "I", METRICS OF_IDS IN_ORDER },
	[PARAMS_IDS] = { "runs_params", "I", PARAMS OF_IDS IN_ORDER },
	[TAGS_IDS] = { "runs_tags", "I", TAGS OF_IDS IN_ORDER },
	/* Datasets (kind 1) come with one row per tag of theirs, in their order of creation. */
	[LINKS_IDS] = { "runs_links", "I",
		"SELECT l.run_id, 1 AS kind, d.id, d.name, d.digest, d.source_type, d.source,"
		" d.schema, d.profile, t.name AS key, t.value, NULL::bigint AS step"
		" FROM run_datasets l JOIN datasets d ON d.id = l.dataset_id"
		" LEFT JOIN run_dataset_tags t"
		" ON t.run_id = l.run_id AND t.dataset_id = l.dataset_id"
		" WHERE l.run_id = ANY($1)"
		" UNION ALL"
		" SELECT m.run_id, 2 + m.output::int, 0, m.model_id,"
		" NULL, NULL, NULL, NULL, NULL, NULL, NULL, m.step"
		" FROM run_models m WHERE m.run_id = ANY($1)"
		" ORDER BY 1, 2, 3, 4, 10" },
};

/* ---- rows ---- */

#define INFO(type, member) \
	{ #member, FIELD_##type, 0, offsetof(struct run_row, info.member), NULL, NULL }
#define INFO_NAMED(member, names) \
	{ #member, FIELD_ENUM, 0, offsetof(struct run_row, info.member), NULL, names }

const struct record run_row_record = { sizeof(struct run_row), (const struct field[]){
	INT64(struct run_row, id, 0),
	INFO(STRING, run_id),
	INFO(STRING, run_name),
	INFO(STRING, experiment_id),
	INFO(STRING, user_id),
	INFO_NAMED(status, run_status_names),
	INFO(INT64, start_time),
	INFO(INT64, end_time),
	INFO(STRING, artifact_uri),
	INFO_NAMED(lifecycle_stage, lifecycle_names),
	BOOL(struct run_row, derived, 0),
	BOOL(struct run_row, linked, 0),
	INT64(struct run_row, revision, 0),
	END }};

void run_row_finish(struct ctx *c, struct run_row *row)
{
	row->info.run_uuid = row->info.run_id;
	if (*row->derived)
		row->info.artifact_uri =
			store_run_uri(c->arena, row->info.artifact_uri, row->info.run_id);
}

/* What each row below a run begins with. */
struct child {
	const int64_t *run_id;
	const int64_t *key_id;
};

struct metric_row {
	struct child child;
	const double *value;
	const int64_t *timestamp;
	const int64_t *step;
};

struct text_row {
	struct child child;
	const char *value;
};

#define CHILD(type) \
	{ "run_id", FIELD_INT64, 0, offsetof(type, child.run_id), NULL, NULL }, \
	{ "key_id", FIELD_INT64, 0, offsetof(type, child.key_id), NULL, NULL }

static const struct record metric_row_record = {
	sizeof(struct metric_row), (const struct field[]){
	CHILD(struct metric_row),
	DOUBLE(struct metric_row, value,     0),
	INT64 (struct metric_row, timestamp, 0),
	INT64 (struct metric_row, step,      0),
	END }};

static const struct record text_row_record = { sizeof(struct text_row), (const struct field[]){
	CHILD(struct text_row),
	STRING(struct text_row, value, 0),
	END }};

enum { LINK_DATASET = 1, LINK_INPUT = 2 };

struct link_row {
	const int64_t *run_id;
	const int64_t *kind;
	const int64_t *id;
	const char *name, *digest, *source_type, *source, *schema, *profile;
	const char *key, *value;
	const int64_t *step;
};

static const struct record link_row_record = { sizeof(struct link_row), (const struct field[]){
	INT64 (struct link_row, run_id,      0),
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

/* All that was read, each list but the first in the order of run ids. */
struct loaded {
	struct list infos;              /* struct run_row */
	struct list metrics;            /* struct metric_row */
	struct list params, tags;       /* struct text_row */
	struct list links;              /* struct link_row */
	struct key_names *names;
};

/* ---- keys: a page has thousands of them, few of which differ ---- */

static void gather(struct ctx *c, struct key_names *names, const struct list *rows, size_t size)
{
	const char *row = rows->items;

	for (size_t i = 0; i < rows->count; i++, row += size)
		keys_want(c, names, *((const struct child *)(const void *)row)->key_id);
}

static int resolve_keys(struct ctx *c, struct loaded *l)
{
	l->names = keys_names_new(c);
	gather(c, l->names, &l->metrics, sizeof(struct metric_row));
	gather(c, l->names, &l->params, sizeof(struct text_row));
	gather(c, l->names, &l->tags, sizeof(struct text_row));
	return keys_names(c, l->names);
}

/* ---- rows to runs ---- */

/* A run while it is put together. */
struct draft {
	struct run *run;
	struct run_row *row;
};

static int compare_drafts(const void *a, const void *b)
{
	int64_t x = *((const struct draft *)a)->row->id, y = *((const struct draft *)b)->row->id;

	return (x > y) - (x < y);
}

/* The draft of a run, searched from `at` on, as rows come in the order of run ids. NULL: it
   appeared or vanished between the statements. */
static struct draft *draft_of(struct draft *drafts, size_t count, size_t *at, int64_t run_id)
{
	while (*at < count && *drafts[*at].row->id < run_id)
		++*at;
	return *at < count && *drafts[*at].row->id == run_id ? &drafts[*at] : NULL;
}

/* A run's rows are one piece of all rows. */
static void add_metrics(struct ctx *c, const struct loaded *l, struct draft *drafts, size_t count)
{
	struct metric *all = NEW_ARRAY(c->arena, l->metrics.count, struct metric);
	size_t at = 0;

	for (size_t i = 0; i < l->metrics.count; i++) {
		const struct metric_row *row = LIST_AT(struct metric_row, &l->metrics, i);
		struct draft *d = draft_of(drafts, count, &at, *row->child.run_id);
		struct list *to;

		if (!d)
			continue;
		to = &d->run->data->metrics;
		all[i] = (struct metric){ .key = keys_name(l->names, *row->child.key_id),
			.value = row->value, .timestamp = row->timestamp, .step = row->step };
		if (!to->count++)
			to->items = &all[i];
	}
}

static void add_texts(struct ctx *c, const struct loaded *l, const struct list *rows, bool tags,
                      struct draft *drafts, size_t count)
{
	struct tag *all = NEW_ARRAY(c->arena, rows->count, struct tag);
	size_t at = 0;

	for (size_t i = 0; i < rows->count; i++) {
		const struct text_row *row = LIST_AT(struct text_row, rows, i);
		struct draft *d = draft_of(drafts, count, &at, *row->child.run_id);
		struct list *to;

		if (!d)
			continue;
		to = tags ? &d->run->data->tags : &d->run->data->params;
		all[i] = (struct tag){ keys_name(l->names, *row->child.key_id), row->value };
		if (!to->count++)
			to->items = &all[i];
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

static void add_links(struct ctx *c, const struct list *rows, struct draft *drafts, size_t count)
{
	struct capacities room = { 0 };
	const struct link_row *last = NULL;
	struct dataset_input *input = NULL;
	size_t at = 0;

	for (size_t i = 0; i < rows->count; i++) {
		const struct link_row *row = LIST_AT(struct link_row, rows, i);
		struct draft *d = draft_of(drafts, count, &at, *row->run_id);
		bool first = !last || *last->run_id != *row->run_id;
		struct tag *tag;

		if (!d)
			continue;
		if (first)
			room = (struct capacities){ 0 };
		if (*row->kind != LINK_DATASET) {
			add_model(c, row, d->run, &room);
		} else {
			if (first || *last->id != *row->id)
				input = add_dataset(c, row, d->run, &room);
			if (row->key) {
				tag = list_add(c->arena, &input->tags, &room.tags, sizeof(*tag));
				*tag = (struct tag){ row->key, row->value };
			}
		}
		last = row;
	}
}

static void run_begin(struct ctx *c, struct run_row *row, struct run *run)
{
	run_row_finish(c, row);
	*run = (struct run){ NULL, &row->info, NEW(c->arena, struct run_data),
	                     NEW(c->arena, struct run_inputs), NEW(c->arena, struct run_outputs) };
}

/* drafts: in the order of run ids. */
static int assemble(struct ctx *c, struct loaded *l, struct draft *drafts, size_t count)
{
	if (resolve_keys(c, l))
		return -1;
	add_metrics(c, l, drafts, count);
	add_texts(c, l, &l->params, false, drafts, count);
	add_texts(c, l, &l->tags, true, drafts, count);
	add_links(c, &l->links, drafts, count);
	return 0;
}

/* ---- one run ---- */

int run_load_uuid(struct ctx *c, const char *uuid, struct run *out)
{
	struct loaded l = { 0 };
	struct run_row *row;

	db_queue_begin_snapshot(c);
	db_queue_list(c, &stmts[INFO_UUID], ARGS(UUID(uuid)), &run_row_record, &l.infos);
	db_queue_list(c, &stmts[METRICS_UUID], ARGS(UUID(uuid)), &metric_row_record, &l.metrics);
	db_queue_list(c, &stmts[PARAMS_UUID], ARGS(UUID(uuid)), &text_row_record, &l.params);
	db_queue_list(c, &stmts[TAGS_UUID], ARGS(UUID(uuid)), &text_row_record, &l.tags);
	db_queue_commit(c);
	if (db_flush(c))
		return -1;
	if (!l.infos.count)
		return 0;
	row = l.infos.items;
	if (*row->linked && db_list(c, &stmts[LINKS_IDS], ARGS(BIGINTS(row->id, 1)),
	                            &link_row_record, &l.links))
		return -1;
	run_begin(c, row, out);
	return assemble(c, &l, &(struct draft){ out, row }, 1) ? -1 : 1;
}

/* ---- a page of runs ---- */

static int fetch(struct ctx *c, const int64_t *ids, size_t count, struct loaded *l)
{
	struct db_args args = ARGS(BIGINTS(ids, count));

	db_queue_begin_snapshot(c);
	db_queue_list(c, &stmts[INFO_IDS], args, &run_row_record, &l->infos);
	db_queue_list(c, &stmts[METRICS_IDS], args, &metric_row_record, &l->metrics);
	db_queue_list(c, &stmts[PARAMS_IDS], args, &text_row_record, &l->params);
	db_queue_list(c, &stmts[TAGS_IDS], args, &text_row_record, &l->tags);
	db_queue_list(c, &stmts[LINKS_IDS], args, &link_row_record, &l->links);
	db_queue_commit(c);
	return db_flush(c);
}

static struct draft *find(struct draft *drafts, size_t count, int64_t id)
{
	struct run_row row = { .id = &id };

	return bsearch(&(struct draft){ NULL, &row }, drafts, count, sizeof(*drafts),
	               compare_drafts);
}

/* Into drafts, in the order of run ids; those that are gone have none. */
static int load(struct ctx *c, const int64_t *ids, size_t count, struct draft **ret, size_t *made)
{
	struct loaded l = { 0 };
	struct draft *drafts;
	struct run *runs;

	if (fetch(c, ids, count, &l))
		return -1;
	drafts = NEW_ARRAY(c->arena, l.infos.count, struct draft);
	runs = NEW_ARRAY(c->arena, l.infos.count, struct run);
	for (size_t i = 0; i < l.infos.count; i++) {
		drafts[i] = (struct draft){ &runs[i], LIST_AT(struct run_row, &l.infos, i) };
		run_begin(c, drafts[i].row, drafts[i].run);
	}
	qsort(drafts, l.infos.count, sizeof(*drafts), compare_drafts);
	*ret = drafts;
	*made = l.infos.count;
	return assemble(c, &l, drafts, l.infos.count);
}

/* Their revisions were read in the snapshot in which they were. */
static void keep(struct ctx *c, const struct draft *drafts, size_t count)
{
	struct buf text = BUF(c->arena, LIMIT_ARENA);

	for (size_t i = 0; i < count; i++) {
		const struct run_row *row = drafts[i].row;

		if (!row->revision)
			continue;
		text.size = 0;
		record_write(&text, &run_record, drafts[i].run);
		rendered_keep(RENDERED_RUN, &(struct revision){ *row->id, *row->revision },
		              buf_text(&text));
	}
}

int run_load_found(struct ctx *c, const struct revision *found, size_t count, struct list *ret)
{
	const char **texts = NEW_ARRAY(c->arena, count, const char *);
	int64_t *ids = NEW_ARRAY(c->arena, count, int64_t);
	struct run *runs = NEW_ARRAY(c->arena, count, struct run);
	struct draft *drafts = NULL;
	size_t missing = 0, made = 0;

	*ret = (struct list){ .items = runs };
	rendered_find(c, RENDERED_RUN, found, count, texts);
	for (size_t i = 0; i < count; i++) {
		if (!texts[i])
			ids[missing++] = found[i].id;
	}
	if (missing && load(c, ids, missing, &drafts, &made))
		return -1;
	if (missing <= LIMIT_RENDERED_PAGE)
		keep(c, drafts, made);
	for (size_t i = 0; i < count; i++) {
		const struct draft *d = texts[i] ? NULL : find(drafts, made, found[i].id);

		if (texts[i])
			runs[ret->count++].whole = texts[i];
		else if (d)
			runs[ret->count++] = *d->run;
	}
	return 0;
}
