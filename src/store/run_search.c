/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/run_search.h"

#include "base/arena.h"
#include "page.h"
#include "store/experiment.h"

enum {
	CELL_NAMES = 1, CELL_REST, CELL_METRIC, CELL_PARAM, CELL_TAG, CELL_DATASET, CELL_SOURCE,
	CELL_SCHEMA, CELL_DATASET_TAG, CELL_MODEL_INPUT, CELL_MODEL_OUTPUT
};

/*
 * CELL_REST's b: the status' number, whether deleted, and whether the artifact uri is only the
 * experiment's. The rows of one dataset come one after the other, whatever the plan: the VALUES
 * depend on it.
 */
static const char branches[] =
	"UNION ALL SELECT kept.at + v.kind, v.key, v.value, v.a, v.b, NULL"
	" FROM kept JOIN runs r ON r.id = kept.id JOIN experiments e ON e.id = r.experiment_id,"
	" LATERAL (VALUES"
	"  (1, replace(r.uuid::text, '-', ''), r.name, r.start_time, r.end_time),"
	"  (2, r.user_id, coalesce(r.artifact_uri, e.artifact_location), r.experiment_id,"
	"   r.status * 4 + r.deleted::int * 2 + (r.artifact_uri IS NULL)::int)) AS v (kind, key,"
	" value, a, b)"
	" UNION ALL SELECT kept.at + 3, k.name, NULL, m.step, m.timestamp, m.value"
	" FROM kept JOIN latest m ON m.run_id = kept.id JOIN keys k ON k.id = m.key_id"
	" UNION ALL SELECT kept.at + 4, k.name, p.value, NULL, NULL, NULL"
	" FROM kept JOIN params p ON p.run_id = kept.id JOIN keys k ON k.id = p.key_id"
	" UNION ALL SELECT kept.at + 5, k.name, t.value, NULL, NULL, NULL"
	" FROM kept JOIN tags t ON t.run_id = kept.id JOIN keys k ON k.id = t.key_id"
	" UNION ALL SELECT kept.at + v.kind, v.key, v.value, d.id, NULL, NULL"
	" FROM kept JOIN run_datasets i ON i.run_id = kept.id JOIN datasets d ON d.id ="
	" i.dataset_id,"
	" LATERAL (VALUES (6, d.name, d.digest), (7, d.source_type, d.source), (8, d.schema,"
	" d.profile))"
	" AS v (kind, key, value)"
	" UNION ALL SELECT kept.at + 9, t.name, t.value, t.dataset_id, NULL, NULL"
	" FROM kept JOIN run_dataset_tags t ON t.run_id = kept.id"
	" UNION ALL SELECT kept.at + 10 + m.output::int, m.model_id, NULL, m.step, NULL, NULL"
	" FROM kept JOIN run_models m ON m.run_id = kept.id";

/* A run while it is put together. */
struct draft {
	struct run *run;
	const int64_t **dataset_ids;    /* of its dataset inputs, in their order */
};

static void draft_begin(struct ctx *c, struct draft *d, struct run *run, const uint32_t *counts)
{
	struct arena *a = c->arena;
	struct run_data *data = NEW(a, struct run_data);
	struct run_inputs *inputs = NEW(a, struct run_inputs);
	struct run_outputs *outputs = NEW(a, struct run_outputs);

	data->metrics.items = NEW_ARRAY(a, counts[CELL_METRIC], struct metric);
	data->params.items = NEW_ARRAY(a, counts[CELL_PARAM], struct tag);
	data->tags.items = NEW_ARRAY(a, counts[CELL_TAG], struct tag);
	inputs->dataset_inputs.items = NEW_ARRAY(a, counts[CELL_DATASET], struct dataset_input);
	inputs->model_inputs.items = NEW_ARRAY(a, counts[CELL_MODEL_INPUT], struct model_input);
	outputs->model_outputs.items = NEW_ARRAY(a, counts[CELL_MODEL_OUTPUT], struct model_output);
	*run = (struct run){ NEW(a, struct run_info), data, inputs, outputs };
	d->run = run;
	d->dataset_ids = NEW_ARRAY(a, counts[CELL_DATASET], const int64_t *);
}

/* Of what the dataset with that id was an input of the run; NULL: not of this one. */
static struct dataset_input *input_of(const struct draft *d, int64_t dataset_id)
{
	struct list *inputs = &d->run->inputs->dataset_inputs;

	for (size_t i = 0; i < inputs->count; i++) {
		if (*d->dataset_ids[i] == dataset_id)
			return LIST_AT(struct dataset_input, inputs, i);
	}
	return NULL;
}

static void add_info(struct ctx *c, struct run_info *info, const struct cell *cell)
{
	if (cell_kind(cell) == CELL_NAMES) {
		info->run_id = cell->key;
		info->run_uuid = cell->key;
		info->run_name = cell->value;
		info->start_time = cell->a;
		info->end_time = cell->b;
		return;
	}
	info->user_id = cell->key;
	info->artifact_uri = cell->value;
	info->experiment_id = arena_printf(c->arena, "%lld", (long long)*cell->a);
	info->status = run_status_names[*cell->b >> 2];
	info->lifecycle_stage = lifecycle_names[*cell->b >> 1 & 1];
}

static void add_dataset(struct ctx *c, struct draft *d, const struct cell *cell)
{
	struct list *inputs = &d->run->inputs->dataset_inputs;
	struct dataset_input *input;
	struct dataset *dataset;

	if (cell_kind(cell) == CELL_DATASET) {
		dataset = NEW(c->arena, struct dataset);
		dataset->name = cell->key;
		dataset->digest = cell->value;
		d->dataset_ids[inputs->count] = cell->a;
		LIST_AT(struct dataset_input, inputs, inputs->count++)->dataset = dataset;
		return;
	}
	input = input_of(d, *cell->a);
	if (cell_kind(cell) == CELL_SOURCE) {
		input->dataset->source_type = cell->key;
		input->dataset->source = cell->value;
	} else {
		input->dataset->schema = cell->key;
		input->dataset->profile = cell->value;
	}
}

/* After all datasets are known; a run has a few tags per dataset. */
static void add_dataset_tag(struct ctx *c, const struct draft *d, const struct cell *cell)
{
	struct dataset_input *input = input_of(d, *cell->a);
	struct list *tags;
	size_t size = sizeof(struct tag);

	if (!input)
		return;
	tags = &input->tags;
	tags->items = arena_grow(c->arena, tags->items, tags->count * size,
	                         (tags->count + 1) * size);
	*LIST_AT(struct tag, tags, tags->count++) = (struct tag){ cell->key, cell->value };
}

static void add(struct ctx *c, struct draft *d, const struct cell *cell)
{
	struct run_data *data = d->run->data;
	struct list *models;

	switch (cell_kind(cell)) {
	case CELL_NAMES:
	case CELL_REST:
		add_info(c, d->run->info, cell);
		break;
	case CELL_METRIC:
		*LIST_AT(struct metric, &data->metrics, data->metrics.count++) = (struct metric){
			.key = cell->key, .value = cell->real, .step = cell->a,
			.timestamp = cell->b };
		break;
	case CELL_PARAM:
		*LIST_AT(struct tag, &data->params, data->params.count++) =
			(struct tag){ cell->key, cell->value };
		break;
	case CELL_TAG:
		*LIST_AT(struct tag, &data->tags, data->tags.count++) =
			(struct tag){ cell->key, cell->value };
		break;
	case CELL_DATASET:
	case CELL_SOURCE:
	case CELL_SCHEMA:
		add_dataset(c, d, cell);
		break;
	case CELL_MODEL_INPUT:
		models = &d->run->inputs->model_inputs;
		LIST_AT(struct model_input, models, models->count++)->model_id = cell->key;
		break;
	case CELL_MODEL_OUTPUT:
		models = &d->run->outputs->model_outputs;
		*LIST_AT(struct model_output, models, models->count++) =
			(struct model_output){ cell->key, cell->a };
		break;
	default:
		break;
	}
}

/* What needs all of a run: its own artifact uri, and the tags of its datasets. */
static void finish(struct ctx *c, const struct draft *d, const struct cell *cell)
{
	struct run_info *info = d->run->info;

	if (cell_kind(cell) == CELL_DATASET_TAG)
		add_dataset_tag(c, d, cell);
	else if (cell_kind(cell) == CELL_REST && *cell->b & 1)
		info->artifact_uri = store_experiment_uri(c->arena, info->artifact_uri,
			arena_printf(c->arena, "%s/artifacts", info->run_id));
}

int store_run_search(struct ctx *c, const struct search_query *q, struct list *runs,
                     const char **next_token)
{
	struct page page;
	struct draft *drafts;
	const uint32_t *counts;

	if (page_fetch(c, q, branches, &page))
		return -1;
	counts = page_counts(c, &page.cells, page.count);
	drafts = NEW_ARRAY(c->arena, page.count, struct draft);
	*runs = (struct list){ .items = NEW_ARRAY(c->arena, page.count, struct run),
	                      .count = page.count };
	for (size_t i = 0; i < page.count; i++)
		draft_begin(c, &drafts[i], LIST_AT(struct run, runs, i), &counts[i * CELL_KINDS]);
	for (size_t i = 0; i < page.cells.count; i++) {
		const struct cell *cell = LIST_AT(struct cell, &page.cells, i);

		add(c, &drafts[cell_place(cell)], cell);
	}
	for (size_t i = 0; i < page.cells.count; i++) {
		const struct cell *cell = LIST_AT(struct cell, &page.cells, i);

		finish(c, &drafts[cell_place(cell)], cell);
	}
	*next_token = page.next_token;
	return 0;
}
