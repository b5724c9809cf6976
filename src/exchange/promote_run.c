/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The copy of a run. */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "promote_impl.h"

enum {
	BATCH = 100,                    /* MLflow's most params or tags in one log-batch */
	BATCH_BYTES = 200 << 10,
	SEARCH_IDS = 200,               /* experiments in one search */
};

#define PARENT "mlflow.parentRunId"

/* The params or tags of `list`, in batches that a server takes. */
static int log_pairs(struct ctx *c, struct promote *p, const char *run_id, const char *kind,
		     const json_t *list)
{
	size_t count = json_array_size(list);

	for (size_t at = 0; at < count;) {
		json_t *batch = json_array();
		for (size_t bytes = 0; at < count && json_array_size(batch) < BATCH; at++) {
			json_t *pair = json_array_get(list, at);
			bytes += strlen(mlflow_text(pair, "value")) + 600;
			if (json_array_size(batch) && bytes > BATCH_BYTES)
				break;
			json_array_append(batch, pair);
		}
		json_t *body = json_pack("{s:s, s:o}", "run_id", run_id, kind, batch);
		if (mlflow_send(c, p->to, "POST", "runs/log-batch", body, false, NULL) < 0)
			return -1;
		promote_tick(p);
	}
	return 0;
}

/* The copy that an earlier promotion made, with its id in *ret; 0: none. */
static int find(struct ctx *c, struct promote *p, const char *marker, const char **ret)
{
	for (size_t at = 0; at < p->experiments.count; at += SEARCH_IDS) {
		CLEANUP(mlflow_json_done) json_t *reply = NULL;
		json_t *ids = json_array();
		for (size_t i = at; i < p->experiments.count && i < at + SEARCH_IDS; i++)
			json_array_append_new(
				ids, json_string(*LIST_AT(const char *, &p->experiments, i)));
		json_t *body = json_pack("{s:o, s:s, s:s, s:i}", "experiment_ids", ids, "filter",
					 promote_filter(c, marker), "run_view_type", "ACTIVE_ONLY",
					 "max_results", 2);
		if (mlflow_send(c, p->to, "POST", "runs/search", body, false, &reply) < 0)
			return -1;
		const json_t *run = json_array_get(json_object_get(reply, "runs"), 0);
		if (run) {
			*ret = arena_strdup(c->arena, mlflow_text(json_object_get(run, "info"),
								  "run_id"));
			return 1;
		}
	}
	return 0;
}

static int create(struct ctx *c, struct promote *p, const json_t *from, const char *marker,
		  const char **ret)
{
	const json_t *info = json_object_get(from, "info");
	CLEANUP(mlflow_json_done) json_t *reply = NULL;
	json_t *tags = json_array();

	json_array_append_new(tags, promote_pair(PROMOTE_SOURCE, marker));
	json_array_append_new(tags, promote_pair(PROMOTE_FROM, mlflow_uri(p->from)));
	json_t *body = json_pack("{s:s, s:s, s:I, s:o}", "experiment_id", p->experiment_id,
				 "user_id", mlflow_text(info, "user_id"), "start_time",
				 (json_int_t)mlflow_int(info, "start_time"), "tags", tags);
	if (*mlflow_text(info, "run_name"))
		json_object_set_new(body, "run_name", json_string(mlflow_text(info, "run_name")));
	/* Once: a second try after an answer that was lost would make a second run. */
	if (mlflow_send(c, p->to, "POST", "runs/create", body, true, &reply) < 0)
		return -1;
	const json_t *run = json_object_get(reply, "run");
	*ret = arena_strdup(c->arena, mlflow_text(json_object_get(run, "info"), "run_id"));
	if (!**ret)
		return fail(c, BAD_REQUEST, "The destination made a run and did not say which.");
	return 0;
}

static int get_run(struct ctx *c, struct mlflow *server, const char *run_id, json_t **ret)
{
	json_t *reply = NULL;
	int found = mlflow_get(c, server, &reply, "runs/get", "run_id", run_id, NULL);

	if (found > 0)
		*ret = json_object_get(promote_keep(c, reply), "run");
	return found;
}

/* Is the dataset among these inputs? */
static bool has_dataset(const json_t *inputs, const json_t *dataset)
{
	size_t i;
	json_t *input;

	json_array_foreach(inputs, i, input) {
		const json_t *other = json_object_get(input, "dataset");
		if (!strcmp(mlflow_text(other, "name"), mlflow_text(dataset, "name")) &&
		    !strcmp(mlflow_text(other, "digest"), mlflow_text(dataset, "digest")))
			return true;
	}
	return false;
}

static int copy_datasets(struct ctx *c, struct promote *p, const struct promote_copy *run)
{
	const json_t *from = json_object_get(json_object_get(run->from, "inputs"), "dataset_inputs");
	const json_t *to = json_object_get(json_object_get(run->to, "inputs"), "dataset_inputs");
	size_t i;
	json_t *input;

	json_array_foreach(from, i, input) {
		p->report->datasets++;
		if (!run->id || has_dataset(to, json_object_get(input, "dataset")))
			continue;
		json_t *body = json_pack("{s:s, s:[O]}", "run_id", run->id, "datasets", input);
		if (mlflow_send(c, p->to, "POST", "runs/log-inputs", body, false, NULL) < 0)
			return -1;
	}
	return 0;
}

static int64_t count_tags(const json_t *tags)
{
	int64_t count = 0;
	size_t i;
	json_t *tag;

	json_array_foreach(tags, i, tag)
		count += !promote_own_tag(mlflow_text(tag, "key"));
	return count;
}

static int complete(struct ctx *c, struct promote *p, const struct promote_copy *run)
{
	const json_t *from = json_object_get(run->from, "data");
	const json_t *to = json_object_get(run->to, "data");
	CLEANUP(mlflow_json_done) json_t *params = promote_missing(
		json_object_get(from, "params"), json_object_get(to, "params"), NULL);
	CLEANUP(mlflow_json_done) json_t *tags = promote_missing(
		json_object_get(from, "tags"), json_object_get(to, "tags"), NULL);

	p->report->runs++;
	p->report->params += (int64_t)json_array_size(json_object_get(from, "params"));
	p->report->tags += count_tags(json_object_get(from, "tags"));
	if (mlflow_tag(json_object_get(from, "tags"), PARENT))
		promote_note(c, p, "Run %s is a child of run %s, which is not copied with it.",
			     mlflow_text(json_object_get(run->from, "info"), "run_id"),
			     mlflow_tag(json_object_get(from, "tags"), PARENT));
	if (run->id && (log_pairs(c, p, run->id, "params", params) ||
			log_pairs(c, p, run->id, "tags", tags)))
		return -1;
	if (copy_datasets(c, p, run))
		return -1;
	promote_step(p, "curves");
	return promote_curves(c, p, run->from, run->id);
}

int promote_copy_run(struct ctx *c, struct promote *p, const char *run_id, bool artifacts,
		     struct promote_copy *ret)
{
	const char *marker = arena_printf(c->arena, "runs:/%s", run_id);

	*ret = (struct promote_copy){ 0 };
	promote_step(p, "run");
	int found = get_run(c, p->from, run_id, &ret->from);
	if (found < 0)
		return -1;
	if (!found)
		return fail(c, RESOURCE_DOES_NOT_EXIST, "The source has no run %s.", run_id);
	found = find(c, p, marker, &ret->id);
	if (found < 0)
		return -1;
	if (!found && !p->o->dry_run && create(c, p, ret->from, marker, &ret->id))
		return -1;
	if (ret->id) {
		found = get_run(c, p->to, ret->id, &ret->to);
		if (found <= 0)
			return found ? -1
				     : fail(c, RESOURCE_DOES_NOT_EXIST,
					    "The destination lost the run %s.", ret->id);
		ret->artifact_uri = mlflow_text(json_object_get(ret->to, "info"), "artifact_uri");
	}
	/* What a dry run finds it leaves alone. */
	struct promote_copy target = *ret;
	if (p->o->dry_run)
		target.id = NULL;
	if (complete(c, p, &target))
		return -1;
	if (!artifacts)
		return 0;
	promote_step(p, "artifacts of the run");
	return promote_artifacts(c, p, arena_printf(c->arena, "run %s", run_id),
				 mlflow_text(json_object_get(ret->from, "info"), "artifact_uri"),
				 target.id ? ret->artifact_uri : NULL);
}

/* The step at which the source's run put the model out; -1: it did not. */
static int64_t output_step(const json_t *run, const char *model_id)
{
	const json_t *outputs = json_object_get(json_object_get(run, "outputs"), "model_outputs");
	size_t i;
	json_t *output;

	json_array_foreach(outputs, i, output) {
		if (!strcmp(mlflow_text(output, "model_id"), model_id))
			return mlflow_int(output, "step");
	}
	return -1;
}

static bool has_input(const json_t *run, const char *model_id)
{
	const json_t *inputs = json_object_get(json_object_get(run, "inputs"), "model_inputs");
	size_t i;
	json_t *input;

	json_array_foreach(inputs, i, input) {
		if (!strcmp(mlflow_text(input, "model_id"), model_id))
			return true;
	}
	return false;
}

static int link_model(struct ctx *c, struct promote *p, const struct promote_copy *run)
{
	int64_t step = output_step(run->from, p->from_model);

	if (step >= 0 && output_step(run->to, p->to_model) < 0) {
		json_t *body = json_pack("{s:s, s:[{s:s, s:I}]}", "run_id", run->id, "models",
					 "model_id", p->to_model, "step", (json_int_t)step);
		if (mlflow_send(c, p->to, "POST", "runs/outputs", body, false, NULL) < 0)
			return -1;
	}
	if (has_input(run->from, p->from_model) && !has_input(run->to, p->to_model)) {
		json_t *body = json_pack("{s:s, s:[{s:s}]}", "run_id", run->id, "models",
					 "model_id", p->to_model);
		if (mlflow_send(c, p->to, "POST", "runs/log-inputs", body, false, NULL) < 0)
			return -1;
	}
	return 0;
}

int promote_close_run(struct ctx *c, struct promote *p, const struct promote_copy *run)
{
	const json_t *from = json_object_get(run->from, "info");
	const json_t *to = json_object_get(run->to, "info");

	if (!run->id || p->o->dry_run)
		return 0;
	if (p->to_model && link_model(c, p, run))
		return -1;
	if (!strcmp(mlflow_text(from, "status"), mlflow_text(to, "status")) &&
	    mlflow_int(from, "end_time") == mlflow_int(to, "end_time"))
		return 0;
	json_t *body = json_pack("{s:s, s:s}", "run_id", run->id, "status",
				 mlflow_text(from, "status"));
	if (json_object_get(from, "end_time"))
		json_object_set_new(body, "end_time", json_integer(mlflow_int(from, "end_time")));
	return mlflow_send(c, p->to, "POST", "runs/update", body, false, NULL) < 0 ? -1 : 0;
}
