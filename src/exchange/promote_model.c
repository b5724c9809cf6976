/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The copy of a logged model. */
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "promote_impl.h"

enum { SEARCH_IDS = 200, BATCH = 200 };

#define VERSIONS "mlflow.modelVersions"  /* the server's own: which versions were made of the model */

static int find(struct ctx *c, struct promote *p, const char *marker, json_t **ret)
{
	for (size_t at = 0; at < p->experiments.count; at += SEARCH_IDS) {
		CLEANUP(mlflow_json_done) json_t *reply = NULL;
		json_t *ids = json_array();
		for (size_t i = at; i < p->experiments.count && i < at + SEARCH_IDS; i++)
			json_array_append_new(
				ids, json_string(*LIST_AT(const char *, &p->experiments, i)));
		json_t *body = json_pack("{s:o, s:s, s:i}", "experiment_ids", ids, "filter",
					 promote_filter(c, marker), "max_results", 2);
		if (mlflow_send(c, p->to, "POST", "logged-models/search", body, false, &reply) < 0)
			return -1;
		json_t *model = json_array_get(json_object_get(reply, "models"), 0);
		if (model) {
			*ret = promote_keep(c, json_incref(model));
			return 1;
		}
	}
	return 0;
}

/* With params and tags at once, so that what is found later has them. */
static int create(struct ctx *c, struct promote *p, const json_t *from, const char *marker,
		  const char *run_id, json_t **ret)
{
	const json_t *info = json_object_get(from, "info");
	json_t *params = json_object_get(json_object_get(from, "data"), "params");
	json_t *tags = promote_missing(json_object_get(info, "tags"), NULL, VERSIONS);
	json_t *reply = NULL;

	json_array_append_new(tags, promote_pair(PROMOTE_SOURCE, marker));
	json_array_append_new(tags, promote_pair(PROMOTE_FROM, mlflow_uri(p->from)));
	json_t *body = json_pack("{s:s, s:s, s:o}", "experiment_id", p->experiment_id, "name",
				 mlflow_text(info, "name"), "tags", tags);
	if (*mlflow_text(info, "model_type"))
		json_object_set_new(body, "model_type", json_string(mlflow_text(info, "model_type")));
	if (json_array_size(params))
		json_object_set(body, "params", params);
	if (run_id)
		json_object_set_new(body, "source_run_id", json_string(run_id));
	if (mlflow_send(c, p->to, "POST", "logged-models", body, true, &reply) < 0)
		return -1;
	*ret = json_object_get(promote_keep(c, reply), "model");
	if (!*mlflow_text(json_object_get(*ret, "info"), "model_id"))
		return fail(c, BAD_REQUEST,
			    "The destination made a logged model and did not say which.");
	return 0;
}

static bool has_metric(const json_t *metrics, const json_t *metric)
{
	double value = mlflow_double(metric, "value");
	size_t i;
	json_t *other;

	json_array_foreach(metrics, i, other) {
		double v = mlflow_double(other, "value");
		if (!strcmp(mlflow_text(other, "key"), mlflow_text(metric, "key")) &&
		    mlflow_int(other, "timestamp") == mlflow_int(metric, "timestamp") &&
		    mlflow_int(other, "step") == mlflow_int(metric, "step") &&
		    (v == value || (isnan(v) && isnan(value))))
			return true;
	}
	return false;
}

/* The copy of the run that a metric of the model belongs to: the model's own, or one that judged
   it later, whose copy then holds all but its artifacts. */
static int run_of(struct ctx *c, struct promote *p, const json_t *metric,
		  const struct promote_copy *run, const char **ret)
{
	const char *id = mlflow_text(metric, "run_id");
	const json_t *own = run->from ? json_object_get(run->from, "info") : NULL;
	struct promote_copy other;

	*ret = NULL;
	if (!*id || (own && !strcmp(id, mlflow_text(own, "run_id")))) {
		*ret = run->id;
		return 0;
	}
	if (promote_copy_run(c, p, id, false, &other) || promote_close_run(c, p, &other))
		return -1;
	*ret = other.id;
	return 0;
}

/* MLflow gives a model's NaN as 0; its run's curve has it right. */
static int restore_nan(struct ctx *c, struct promote *p, const json_t *metric, json_t *copy)
{
	CLEANUP(mlflow_json_done) json_t *reply = NULL;
	bool nan = false, zero = false;
	size_t i;
	json_t *point;

	if (mlflow_double(metric, "value") != 0 || !*mlflow_text(metric, "run_id"))
		return 0;
	if (mlflow_get(c, p->from, &reply, "metrics/get-history", "run_id",
		       mlflow_text(metric, "run_id"), "metric_key", mlflow_text(metric, "key"),
		       "max_results", "25000", NULL) < 0)
		return -1;
	json_array_foreach(json_object_get(reply, "metrics"), i, point) {
		if (mlflow_int(point, "timestamp") != mlflow_int(metric, "timestamp") ||
		    mlflow_int(point, "step") != mlflow_int(metric, "step"))
			continue;
		nan |= isnan(mlflow_double(point, "value")) != 0;
		zero |= mlflow_double(point, "value") == 0;
	}
	if (nan && !zero)
		json_object_set_new(copy, "value", json_string("NaN"));
	return 0;
}

/* The metric as it is to be logged to the copy. */
static json_t *metric_copy(struct ctx *c, struct promote *p, const json_t *metric,
			   const char *model_id)
{
	json_t *copy = json_deep_copy(metric);

	json_object_del(copy, "run_id");
	json_object_set_new(copy, "model_id", json_string(model_id));
	if (!restore_nan(c, p, metric, copy))
		return copy;
	json_decref(copy);
	return NULL;
}

static int send_metrics(struct ctx *c, struct promote *p, const char *run_id, json_t *batch)
{
	if (!json_array_size(batch)) {
		json_decref(batch);
		return 0;
	}
	json_t *body = json_pack("{s:s, s:o}", "run_id", run_id, "metrics", batch);
	return mlflow_send(c, p->to, "POST", "runs/log-batch", body, false, NULL) < 0 ? -1 : 0;
}

static int copy_metrics(struct ctx *c, struct promote *p, const json_t *from, const json_t *to,
			const char *model_id, const struct promote_copy *run)
{
	const json_t *there = json_object_get(json_object_get(to, "data"), "metrics");
	const json_t *metrics = json_object_get(json_object_get(from, "data"), "metrics");
	const char *last = NULL, *target = NULL;
	json_t *batch = json_array();
	size_t i;
	json_t *metric;

	json_array_foreach(metrics, i, metric) {
		CLEANUP(mlflow_json_done) json_t *copy = metric_copy(c, p, metric, model_id);

		if (!copy)
			return -1;
		if (has_metric(there, copy))
			continue;
		bool other = !last || strcmp(last, mlflow_text(metric, "run_id")) != 0;
		if (other || json_array_size(batch) == BATCH) {
			if (send_metrics(c, p, target, batch))
				return -1;
			batch = json_array();
		}
		if (other) {
			last = mlflow_text(metric, "run_id");
			if (run_of(c, p, metric, run, &target))
				return -1;
		}
		if (target)
			json_array_append(batch, copy);
		else
			promote_note(c, p, "The model's metric '%s' belongs to no run: left out.",
				     mlflow_text(metric, "key"));
	}
	return send_metrics(c, p, target, batch);
}

static int finalize(struct ctx *c, struct promote *p, const json_t *from, const json_t *to)
{
	const char *status = mlflow_text(json_object_get(from, "info"), "status");
	const json_t *info = json_object_get(to, "info");

	if (!strcmp(status, mlflow_text(info, "status")) || !strcmp(status, "LOGGED_MODEL_PENDING"))
		return 0;
	const char *id = mlflow_text(info, "model_id");
	json_t *body = json_pack("{s:s, s:s}", "model_id", id, "status", status);
	return mlflow_send(c, p->to, "PATCH", arena_printf(c->arena, "logged-models/%s", id), body,
			   false, NULL) < 0
		       ? -1
		       : 0;
}

/* Completes the copy `to`; NULL: a dry run counts. */
static int complete(struct ctx *c, struct promote *p, const json_t *from, const json_t *to,
		    const struct promote_copy *run)
{
	const json_t *info = json_object_get(to, "info");
	const char *id = to ? mlflow_text(info, "model_id") : NULL;

	promote_step(p, "artifacts of the logged model");
	if (promote_artifacts(c, p, "the logged model",
			      mlflow_text(json_object_get(from, "info"), "artifact_uri"),
			      to ? mlflow_text(info, "artifact_uri") : NULL))
		return -1;
	if (!to)
		return 0;
	p->to_model = id;
	p->report->model_id = id;
	if (copy_metrics(c, p, from, to, id, run))
		return -1;
	return finalize(c, p, from, to);
}

int promote_copy_model(struct ctx *c, struct promote *p, const char *model_id,
		       const struct promote_copy *run, const char **ret_location)
{
	const char *marker = arena_printf(c->arena, "models:/%s", model_id);
	json_t *reply = NULL, *to = NULL;

	promote_step(p, "logged model");
	int found = mlflow_get(c, p->from, &reply,
			       arena_printf(c->arena, "logged-models/%s",
					    net_encode(c, model_id, false)),
			       NULL);
	if (found < 0)
		return -1;
	if (!found)
		return fail(c, RESOURCE_DOES_NOT_EXIST, "The source has no logged model %s.",
			    model_id);
	const json_t *from = json_object_get(promote_keep(c, reply), "model");
	*ret_location = mlflow_text(json_object_get(from, "info"), "artifact_uri");
	p->from_model = model_id;
	found = find(c, p, marker, &to);
	if (found < 0 && (c->error.code == ENDPOINT_NOT_FOUND || c->error.code == NOT_IMPLEMENTED)) {
		/* MLflow 2: the model's files go to the run, as such a client keeps them. */
		error_clear(c);
		p->no_models = true;
		return 0;
	}
	if (found < 0)
		return -1;
	if (!found && !p->o->dry_run && create(c, p, from, marker, run->id, &to))
		return -1;
	return complete(c, p, from, p->o->dry_run ? NULL : to, run) ? -1 : 1;
}
