/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The first round trip: BEGIN, and what the database knows about all that the group touches. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/id.h"
#include "commit_impl.h"
#include "db/db.h"
#include "store/writers.h"

enum { FIND_RUNS, FIND_EXPERIMENTS, FIND_PARAMS, FIND_TAGS, FIND_MODELS, NEW_RUN_IDS };

/*
 * Experiments that get runs are locked against deletion until COMMIT. Runs are not: a lock is a
 * write to each run in each commit, and a value that arrives while its run is being deleted may as
 * well have come before.
 */
static const struct stmt stmts[] = {
	[FIND_RUNS] = { "commit_runs", "U",
		"SELECT q.n, r.id, r.experiment_id, r.deleted, r.revision IS NOT NULL AS settled"
		" FROM unnest($1) WITH ORDINALITY AS q(uuid, n) JOIN runs r ON r.uuid = q.uuid" },
	[FIND_EXPERIMENTS] = { "commit_experiments", "I",
		"SELECT id, artifact_location, deleted FROM experiments WHERE id = ANY($1)"
		" ORDER BY id FOR SHARE" },
	[FIND_PARAMS] = { "commit_params", "UN",
		"SELECT q.n, p.value FROM unnest($1, $2) WITH ORDINALITY AS q(uuid, key, n)"
		" JOIN runs r ON r.uuid = q.uuid"
		" JOIN params p ON p.run_id = r.id AND p.key_id = q.key" },
	[FIND_TAGS] = { "commit_tags", "UN",
		"SELECT q.n, t.value FROM unnest($1, $2) WITH ORDINALITY AS q(uuid, key, n)"
		" JOIN runs r ON r.uuid = q.uuid"
		" JOIN tags t ON t.run_id = r.id AND t.key_id = q.key" },
	[FIND_MODELS] = { "commit_models", "T",
		"SELECT q.n, m.id FROM unnest($1) WITH ORDINALITY AS q(model_id, n)"
		" JOIN logged_models m ON m.model_id = q.model_id" },
	[NEW_RUN_IDS] = { "commit_new_runs", "n",
		"SELECT nextval('runs_id_seq') AS id FROM generate_series(1, $1)" },
};

struct run_row {
	const int64_t *n;
	const int64_t *id;
	const int64_t *experiment_id;
	const bool *deleted;
	const bool *settled;
};

static const struct record run_row_record = { sizeof(struct run_row), (const struct field[]){
	INT64(struct run_row, n,             0),
	INT64(struct run_row, id,            0),
	INT64(struct run_row, experiment_id, 0),
	BOOL (struct run_row, deleted,       0),
	BOOL (struct run_row, settled,       0),
	END }};

static const struct record experiment_row_record = { sizeof(struct experiment_row),
	(const struct field[]){
	INT64 (struct experiment_row, id,                0),
	STRING(struct experiment_row, artifact_location, 0),
	BOOL  (struct experiment_row, deleted,           0),
	END }};

struct value_row {
	const int64_t *n;
	const char *value;
};

static const struct record value_row_record = { sizeof(struct value_row), (const struct field[]){
	INT64 (struct value_row, n,     0),
	STRING(struct value_row, value, 0),
	END }};

struct id_row {
	const int64_t *n;
	const int64_t *id;
};

static const struct record id_row_record = { sizeof(struct id_row), (const struct field[]){
	INT64(struct id_row, n,  0),
	INT64(struct id_row, id, 0),
	END }};

/* ---- the index ---- */

static void pairs_init(struct arena *a, struct pairs *p, size_t most)
{
	size_t size = 8;

	while (size < most * 2)
		size *= 2;
	p->slots = NEW_ARRAY(a, size, struct pair);
	p->mask = size - 1;
}

static uint32_t *pairs_number(struct pairs *p, uint64_t a, uint64_t b)
{
	uint64_t h = (a ^ (b * 0x9e3779b97f4a7c15u)) * 0xff51afd7ed558ccdu;

	for (size_t i = (h >> 32) & p->mask;; i = (i + 1) & p->mask) {
		struct pair *s = &p->slots[i];

		if (!s->number) {
			s->a = a;
			s->b = b;
			return &s->number;
		}
		if (s->a == a && s->b == b)
			return &s->number;
	}
}

static void cells_init(struct arena *a, struct cells *cells, size_t most)
{
	cells->items = NEW_ARRAY(a, most, struct cell);
	pairs_init(a, &cells->index, most);
}

struct cell *commit_cell(struct cells *cells, uint32_t target, int32_t key)
{
	uint32_t *number = pairs_number(&cells->index, target, (uint32_t)key);

	if (!*number) {
		cells->items[cells->count] = (struct cell){ .target = target, .key = key };
		*number = ++cells->count;
	}
	return &cells->items[*number - 1];
}

/* ---- gathering ---- */

static bool parse_run_id(const char *run_id, uint64_t halves[2])
{
	uint8_t uuid[16];

	if (!id_parse_uuid(run_id, uuid))
		return false;
	memcpy(halves, uuid, sizeof(uuid));
	return true;
}

static uint32_t add_target(struct attempt *a, const struct write *w)
{
	uint64_t halves[2];
	uint32_t *number = NULL;

	if (!w->create && parse_run_id(w->run_id, halves)) {
		number = pairs_number(&a->target_index, halves[0], halves[1]);
		if (*number)
			return *number - 1;
		*number = a->target_count + 1;
	}
	a->created += w->create != NULL;
	a->targets[a->target_count] = (struct target){ .run_id = w->run_id, .create = w->create };
	return a->target_count++;
}

static void add_cells(struct attempt *a, const struct member *m)
{
	const struct write *w = m->write;
	const int32_t *keys = m->keys + w->metrics.count;

	for (size_t i = 0; i < w->params.count; i++)
		commit_cell(&a->params, m->target, keys[i]);
	keys += w->params.count + w->tags.count;
	for (size_t i = 0; i < w->delete_tag_count; i++) {
		commit_cell(&a->tags, m->target, keys[i])->asked = true;
		a->tags_asked = true;
	}
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Only the models of metrics must exist; links of inputs and outputs keep any id, as in MLflow. */
static void gather_models(struct attempt *a)
{
	size_t n = 0;

	a->model_ids = NEW_ARRAY(a->c->arena, a->point_count, const char *);
	for (size_t i = 0; i < a->count; i++) {
		const struct list *metrics = &a->members[i].write->metrics;

		for (size_t j = 0; j < metrics->count; j++) {
			const char *id = LIST_AT(struct metric, metrics, j)->model_id;

			/* Batches name one model over and over. */
			if (id && (n == 0 || strcmp(a->model_ids[n - 1], id) != 0))
				a->model_ids[n++] = id;
		}
	}
	if (n > 1)
		qsort(a->model_ids, n, sizeof(*a->model_ids), compare_texts);
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || strcmp(a->model_ids[i], a->model_ids[a->model_count - 1]) != 0)
			a->model_ids[a->model_count++] = a->model_ids[i];
	}
	a->models = NEW_ARRAY(a->c->arena, a->model_count, int64_t);
}

static void gather(struct attempt *a)
{
	struct arena *arena = a->c->arena;
	size_t params = 0, tags = 0, datasets = 0, links = 0;

	for (size_t i = 0; i < a->count; i++) {
		const struct write *w = a->members[i].write;

		a->point_count += w->metrics.count;
		params += w->params.count;
		tags += w->tags.count + w->delete_tag_count;
		datasets += w->datasets.count;
		links += w->model_inputs.count + w->model_outputs.count;
	}
	a->targets = NEW_ARRAY(arena, a->count, struct target);
	a->points = NEW_ARRAY(arena, a->point_count, struct point);
	a->datasets = NEW_ARRAY(arena, datasets, struct dataset_link);
	a->model_links = NEW_ARRAY(arena, links, struct model_link);
	pairs_init(arena, &a->target_index, a->count);
	cells_init(arena, &a->params, params);
	cells_init(arena, &a->tags, tags);
	for (size_t i = 0; i < a->count; i++) {
		a->members[i].target = add_target(a, a->members[i].write);
		add_cells(a, &a->members[i]);
	}
	gather_models(a);
	if (a->model_count)
		a->model_points = NEW_ARRAY(arena, a->point_count, struct model_point);
	a->point_count = 0;
}

/* ---- asking ---- */

struct answers {
	struct list runs, params, tags, models, new_ids;
	struct cell **asked;            /* tags */
};

static const char *sought(const struct target *t)
{
	uint64_t halves[2];

	return t->create || !parse_run_id(t->run_id, halves) ? NULL : t->run_id;
}

static void queue_runs(struct attempt *a, struct answers *to)
{
	const char **uuids = NEW_ARRAY(a->c->arena, a->target_count, const char *);
	int64_t *experiments = NEW_ARRAY(a->c->arena, a->created, int64_t);
	size_t n = 0;

	for (uint32_t i = 0; i < a->target_count; i++) {
		uuids[i] = sought(&a->targets[i]);
		if (a->targets[i].create)
			experiments[n++] = a->targets[i].create->experiment_id;
	}
	if (a->created < a->target_count)
		db_queue_list(a->c, &stmts[FIND_RUNS], ARGS(UUIDS(uuids, a->target_count)),
		              &run_row_record, &to->runs);
	if (!n)
		return;
	db_queue_list(a->c, &stmts[FIND_EXPERIMENTS], ARGS(BIGINTS(experiments, n)),
	              &experiment_row_record, &a->experiments);
	db_queue_list(a->c, &stmts[NEW_RUN_IDS], ARGS(INTEGER((int64_t)n)), &id_row_record,
	              &to->new_ids);
}

static void queue_cells(struct attempt *a, struct answers *to)
{
	uint32_t most = a->params.count > a->tags.count ? a->params.count : a->tags.count;
	const char **uuids = NEW_ARRAY(a->c->arena, most, const char *);
	int32_t *keys = NEW_ARRAY(a->c->arena, most, int32_t);
	size_t n = 0;

	for (uint32_t i = 0; i < a->params.count; i++) {
		uuids[i] = sought(&a->targets[a->params.items[i].target]);
		keys[i] = a->params.items[i].key;
	}
	if (a->params.count)
		db_queue_list(a->c, &stmts[FIND_PARAMS],
		              ARGS(UUIDS(uuids, a->params.count), INTEGERS(keys, a->params.count)),
		              &value_row_record, &to->params);
	if (!a->tags_asked)
		return;
	to->asked = NEW_ARRAY(a->c->arena, a->tags.count, struct cell *);
	for (uint32_t i = 0; i < a->tags.count; i++) {
		if (!a->tags.items[i].asked)
			continue;
		to->asked[n] = &a->tags.items[i];
		uuids[n] = sought(&a->targets[a->tags.items[i].target]);
		keys[n++] = a->tags.items[i].key;
	}
	db_queue_list(a->c, &stmts[FIND_TAGS], ARGS(UUIDS(uuids, n), INTEGERS(keys, n)),
	              &value_row_record, &to->tags);
}

static void take_runs(struct attempt *a, const struct answers *from)
{
	size_t created = 0;

	for (size_t i = 0; i < from->runs.count; i++) {
		const struct run_row *row = LIST_AT(struct run_row, &from->runs, i);
		struct target *t = &a->targets[*row->n - 1];

		t->id = *row->id;
		t->experiment = *row->experiment_id;
		t->deleted = *row->deleted;
		t->settled = *row->settled;
		t->found = true;
	}
	for (uint32_t i = 0; i < a->target_count; i++) {
		if (a->targets[i].create)
			a->targets[i].id = *LIST_AT(struct id_row, &from->new_ids, created++)->id;
	}
	assert(created == from->new_ids.count);
}

static void take_rest(struct attempt *a, const struct answers *from)
{
	for (size_t i = 0; i < from->params.count; i++) {
		const struct value_row *row = LIST_AT(struct value_row, &from->params, i);
		struct cell *cell = &a->params.items[*row->n - 1];

		cell->value = row->value;
		cell->exists = true;
	}
	for (size_t i = 0; i < from->tags.count; i++)
		from->asked[*LIST_AT(struct value_row, &from->tags, i)->n - 1]->exists = true;
	for (size_t i = 0; i < from->models.count; i++) {
		const struct id_row *row = LIST_AT(struct id_row, &from->models, i);

		a->models[*row->n - 1] = *row->id;
	}
}

int commit_read(struct attempt *a)
{
	struct answers answers = { 0 };

	gather(a);
	db_queue_begin(a->c);
	writers_enter(a->c);
	queue_runs(a, &answers);
	queue_cells(a, &answers);
	if (a->model_count)
		db_queue_list(a->c, &stmts[FIND_MODELS], ARGS(TEXTS(a->model_ids, a->model_count)),
		              &id_row_record, &answers.models);
	if (db_flush(a->c))
		return -1;
	take_runs(a, &answers);
	take_rest(a, &answers);
	return 0;
}
