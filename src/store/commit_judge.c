/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Requests are judged in the order of their arrival, each on what the ones before it leave. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "commit_impl.h"
#include "store/run.h"
#include "store/text.h"

static int copy_error(struct ctx *c, void *arg)
{
	const struct error *e = arg;

	return fail_because(c, e->code, e->detail, "%s", e->message);
}

/* The request's arena may be full as well: then its own error says that. */
void commit_refuse(struct write *w, const struct error *e)
{
	struct error copy = *e;
	int failed = work_run(w->ctx, copy_error, &copy);

	assert(failed);
}

__attribute__((format(printf, 4, 5)))
static bool refuse(struct attempt *a, struct write *w, enum error_code code, const char *fmt, ...)
{
	va_list ap;
	struct error e = { .code = code };

	va_start(ap, fmt);
	e.message = arena_vprintf(a->c->arena, fmt, ap);
	va_end(ap);
	commit_refuse(w, &e);
	return false;
}

/* ---- may it be written? ---- */

static const struct experiment_row *experiment(const struct attempt *a, int64_t id)
{
	for (size_t i = 0; i < a->experiments.count; i++) {
		const struct experiment_row *row =
			LIST_AT(struct experiment_row, &a->experiments, i);

		if (*row->id == id)
			return row;
	}
	return NULL;
}

static bool may_create(struct attempt *a, struct write *w)
{
	int64_t id = w->create->experiment_id;
	const struct experiment_row *e = experiment(a, id);

	if (!e)
		return refuse(a, w, RESOURCE_DOES_NOT_EXIST, "No Experiment with id=%lld exists",
		              (long long)id);
	if (*e->deleted)
		return refuse(a, w, INVALID_PARAMETER_VALUE,
		              "The experiment %lld must be in the 'active' state. "
		              "Current state is deleted.", (long long)id);
	return true;
}

static bool may_change(struct attempt *a, struct write *w, const struct target *t)
{
	if (!t->found)
		return refuse(a, w, RESOURCE_DOES_NOT_EXIST, "Run with id=%s not found", w->run_id);
	if (t->deleted)
		return refuse(a, w, INVALID_PARAMETER_VALUE,
		              "The run %s must be in the 'active' state. Current state is deleted.",
		              w->run_id);
	return true;
}

static void add_conflict(struct buf *to, const struct tag *p, const char *old)
{
	buf_add(to, to->size ? ", {'key': " : "{'key': ");
	store_text_repr(to, p->key);
	buf_add(to, ", 'old_value': ");
	store_text_repr(to, old);
	buf_add(to, ", 'new_value': ");
	store_text_repr(to, p->value);
	buf_addc(to, '}');
}

static bool params_agree(struct attempt *a, struct write *w, const struct member *m)
{
	const int32_t *keys = m->keys + w->metrics.count;
	struct buf conflicts = BUF(a->c->arena, LIMIT_ARENA);

	for (size_t i = 0; i < w->params.count; i++) {
		const struct tag *p = LIST_AT(struct tag, &w->params, i);
		const char *old = commit_cell(&a->params, m->target, keys[i])->value;

		if (!old || strcmp(old, p->value) == 0)
			continue;
		if (w->one_param)
			return refuse(
				a, w, INVALID_PARAMETER_VALUE,
				"Changing param values is not allowed. Param with key='%s' was "
				"already logged with value='%s' for run ID='%s'. Attempted "
				"logging new value '%s'.",
				p->key, old, w->run_id, p->value);
		add_conflict(&conflicts, p, old);
	}
	if (!conflicts.size)
		return true;
	return refuse(a, w, INVALID_PARAMETER_VALUE,
	              "Changing param values is not allowed. Params were already logged='[%s]' for "
	              "run ID='%s'.", buf_text(&conflicts), w->run_id);
}

static bool sets_tag(const struct write *w, const char *key)
{
	for (size_t i = 0; i < w->tags.count; i++) {
		if (strcmp(LIST_AT(struct tag, &w->tags, i)->key, key) == 0)
			return true;
	}
	return false;
}

static bool deletes_exist(struct attempt *a, struct write *w, const struct member *m)
{
	const int32_t *keys = m->keys + w->metrics.count + w->params.count + w->tags.count;

	for (size_t i = 0; i < w->delete_tag_count; i++) {
		if (!commit_cell(&a->tags, m->target, keys[i])->exists &&
		    !sets_tag(w, w->delete_tags[i]))
			return refuse(a, w, RESOURCE_DOES_NOT_EXIST,
			              "No tag with name: %s in run with id %s", w->delete_tags[i],
			              w->run_id);
	}
	return true;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int64_t model(const struct attempt *a, const char *id)
{
	const char **found = bsearch(&id, a->model_ids, a->model_count, sizeof(*a->model_ids),
	                             compare_texts);

	assert(found);
	return a->models[found - a->model_ids];
}

static bool models_exist(struct attempt *a, struct write *w)
{
	for (size_t i = 0; a->model_count && i < w->metrics.count; i++) {
		const char *id = LIST_AT(struct metric, &w->metrics, i)->model_id;

		if (id && !model(a, id))
			return refuse(a, w, INVALID_PARAMETER_VALUE,
			              "Logged model with ID '%s' not found.", id);
	}
	return true;
}

static bool acceptable(struct attempt *a, struct member *m)
{
	struct write *w = m->write;

	if (w->create ? !may_create(a, w) : !may_change(a, w, &a->targets[m->target]))
		return false;
	return params_agree(a, w, m) && deletes_exist(a, w, m) && models_exist(a, w);
}

/* ---- then it is ---- */

struct uri {
	struct write *write;
	const char *location;
};

static int set_artifact_uri(struct ctx *c, void *arg)
{
	struct uri *u = arg;

	u->write->create->info->artifact_uri =
		store_run_uri(c->arena, u->location, u->write->run_id);
	return 0;
}

static bool create(struct attempt *a, struct write *w, struct target *t)
{
	const struct experiment_row *e = experiment(a, w->create->experiment_id);

	t->experiment = *e->id;
	t->created = true;
	return work_run(w->ctx, set_artifact_uri, &(struct uri){ w, e->artifact_location }) == 0;
}

static void add_metrics(struct attempt *a, const struct member *m, const struct target *t)
{
	const struct list *metrics = &m->write->metrics;

	for (size_t i = 0; i < metrics->count; i++) {
		const struct metric *x = LIST_AT(struct metric, metrics, i);

		a->points[a->point_count] = (struct point){
			.run = t->id, .experiment = t->experiment, .key = m->keys[i],
			.timestamp = *x->timestamp, .step = *x->step, .value = *x->value,
			.order = (uint32_t)a->point_count,
		};
		a->point_count++;
		if (x->model_id) {
			a->model_points[a->model_point_count] = (struct model_point){
				.model = model(a, x->model_id), .run = t->id, .metric = x,
				.order = (uint32_t)a->model_point_count,
			};
			a->model_point_count++;
		}
	}
}

static void set_tag(struct attempt *a, const struct member *m, struct target *t,
                    const struct tag *tag, int32_t key)
{
	struct cell *cell;

	if (!m->write->create && strcmp(tag->key, RUN_NAME_TAG) == 0) {
		if (!*tag->value)
			return;         /* as MLflow: no name is no change */
		t->rename = tag->value;
	}
	cell = commit_cell(&a->tags, m->target, key);
	cell->value = tag->value;
	cell->exists = cell->changed = true;
}

static void set_cells(struct attempt *a, const struct member *m, struct target *t)
{
	const struct write *w = m->write;
	const int32_t *keys = m->keys + w->metrics.count;

	for (size_t i = 0; i < w->params.count; i++) {
		struct cell *cell = commit_cell(&a->params, m->target, *keys++);

		if (cell->value)
			continue;
		cell->value = LIST_AT(struct tag, &w->params, i)->value;
		cell->changed = true;
	}
	for (size_t i = 0; i < w->tags.count; i++)
		set_tag(a, m, t, LIST_AT(struct tag, &w->tags, i), *keys++);
	for (size_t i = 0; i < w->delete_tag_count; i++) {
		struct cell *cell = commit_cell(&a->tags, m->target, *keys++);

		cell->value = NULL;
		cell->exists = false;
		cell->changed = true;
	}
}

static void add_links(struct attempt *a, const struct write *w, const struct target *t)
{
	static const int64_t first = 0;

	for (size_t i = 0; i < w->datasets.count; i++) {
		a->datasets[a->dataset_count] = (struct dataset_link){
			.run = t->id, .experiment = t->experiment,
			.input = LIST_AT(struct dataset_input, &w->datasets, i),
			.order = (uint32_t)a->dataset_count,
		};
		a->dataset_count++;
	}
	for (size_t i = 0; i < w->model_inputs.count + w->model_outputs.count; i++) {
		bool output = i >= w->model_inputs.count;
		const struct model_output *o =
			output ? LIST_AT(struct model_output, &w->model_outputs,
					 i - w->model_inputs.count)
			       : NULL;

		a->model_links[a->model_link_count] = (struct model_link){
			.run = t->id,
			.output = output,
			.model_id = o ? o->model_id
				      : LIST_AT(struct model_input, &w->model_inputs, i)->model_id,
			.step = *(o && o->step ? o->step : &first),
			.order = (uint32_t)a->model_link_count,
		};
		a->model_link_count++;
	}
}

bool commit_judge(struct attempt *a)
{
	bool accepted = false;

	for (size_t i = 0; i < a->count; i++) {
		struct member *m = &a->members[i];
		struct target *t = &a->targets[m->target];

		if (!acceptable(a, m))
			continue;
		if (m->write->create && !create(a, m->write, t))
			continue;
		add_metrics(a, m, t);
		set_cells(a, m, t);
		add_links(a, m->write, t);
		t->written = true;
		accepted = true;
	}
	return accepted;
}
