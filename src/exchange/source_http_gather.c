/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* All entities of a server into the spool. */
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "rest.h"

enum { RUNS_PAGE = 1000, MODELS_PAGE = 50, SEARCH_IDS = 50 };
#define PAGE "1000"
#define PROMPTS "tags.`mlflow.prompt.is_prompt` = 'true'"

static int keep(struct ctx *c, struct rest *r, enum rest_kind kind, const char *name,
		const json_t *entity)
{
	char *text = json_dumps(entity, JSON_COMPACT | JSON_REAL_PRECISION(17));
	size_t size = text ? strlen(text) : 0;
	struct rest_item *item;

	for (size_t at = 0; at < size;) {
		ssize_t put = pwrite(r->spool, text + at, size - at, r->spooled + (int64_t)at);
		if (put < 0) {
			free(text);
			return fail(c, INSUFFICIENT_STORAGE, "The temporary file is full: %s. Set TMPDIR.",
				    strerror(errno));
		}
		at += (size_t)put;
	}
	free(text);
	if (!size)
		return fail(c, TEMPORARILY_UNAVAILABLE, "No memory.");
	item = list_add(c->arena, &r->items[kind], &r->capacity[kind], sizeof(*item));
	item->name = arena_strdup(c->arena, name);
	item->at = r->spooled;
	item->size = size;
	r->spooled += (int64_t)size;
	return 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void keep_key(void *key)
{
	(void)key; /* the arena's */
}

static void forget_datasets(void *p)
{
	struct rest *r = p;

	tdestroy(r->datasets, keep_key);
}

/* Each dataset of an experiment once, however many runs take it in. */
static int keep_datasets(struct ctx *c, struct rest *r, const json_t *run)
{
	const char *experiment = mlflow_text(json_object_get(run, "info"), "experiment_id");
	const json_t *inputs = json_object_get(json_object_get(run, "inputs"), "dataset_inputs");
	size_t i;
	json_t *input;

	json_array_foreach(inputs, i, input) {
		json_t *dataset = json_object_get(input, "dataset");
		const char *key = arena_printf(c->arena, "%s\n%s\n%s", experiment,
					       mlflow_text(dataset, "digest"),
					       mlflow_text(dataset, "name"));
		const char *const *found = tsearch(key, &r->datasets, compare);
		if (!found)
			return fail(c, TEMPORARILY_UNAVAILABLE, "No memory.");
		if (*found != key)
			continue;
		json_t *entity = json_pack("{s:s, s:O}", "experiment_id", experiment, "dataset",
					   dataset);
		int failed = keep(c, r, REST_DATASETS, experiment, entity);
		json_decref(entity);
		if (failed)
			return -1;
	}
	return 0;
}

static const char *next_page(struct ctx *c, const json_t *reply)
{
	const char *token = mlflow_text(reply, "next_page_token");

	return *token ? arena_strdup(c->arena, token) : NULL;
}

static int gather_experiments(struct ctx *c, struct rest *r)
{
	const char *token = NULL;

	do {
		CLEANUP(mlflow_json_done) json_t *reply = NULL;
		size_t i;
		json_t *experiment;
		json_t *body = json_pack("{s:i, s:s}", "max_results", 1000, "view_type", "ALL");
		if (token)
			json_object_set_new(body, "page_token", json_string(token));
		if (mlflow_send(c, r->server, "POST", "experiments/search", body, false, &reply) < 0)
			return -1;
		json_array_foreach(json_object_get(reply, "experiments"), i, experiment) {
			if (keep(c, r, REST_EXPERIMENTS, mlflow_text(experiment, "experiment_id"),
				 experiment))
				return -1;
		}
		token = next_page(c, reply);
	} while (token);
	return 0;
}

/* A page of runs; *token: of the next. */
static int gather_runs_page(struct ctx *c, struct rest *r, json_t *ids, const char **token)
{
	CLEANUP(mlflow_json_done) json_t *reply = NULL;
	size_t i;
	json_t *run;
	json_t *body = json_pack("{s:O, s:s, s:i}", "experiment_ids", ids, "run_view_type", "ALL",
				 "max_results", RUNS_PAGE);

	if (*token)
		json_object_set_new(body, "page_token", json_string(*token));
	if (mlflow_send(c, r->server, "POST", "runs/search", body, false, &reply) < 0)
		return -1;
	json_array_foreach(json_object_get(reply, "runs"), i, run) {
		const char *id = mlflow_text(json_object_get(run, "info"), "run_id");
		if (keep(c, r, REST_RUNS, id, run) || keep_datasets(c, r, run))
			return -1;
	}
	*token = next_page(c, reply);
	return 0;
}

static int gather_models_page(struct ctx *c, struct rest *r, json_t *ids, const char **token)
{
	CLEANUP(mlflow_json_done) json_t *reply = NULL;
	size_t i;
	json_t *model;
	json_t *body = json_pack("{s:O, s:i}", "experiment_ids", ids, "max_results", MODELS_PAGE);

	if (*token)
		json_object_set_new(body, "page_token", json_string(*token));
	if (mlflow_send(c, r->server, "POST", "logged-models/search", body, false, &reply) < 0) {
		/* MLflow 2 has none. */
		*token = NULL;
		if (c->error.code != ENDPOINT_NOT_FOUND && c->error.code != NOT_IMPLEMENTED)
			return -1;
		error_clear(c);
		return 0;
	}
	json_array_foreach(json_object_get(reply, "models"), i, model) {
		if (keep(c, r, REST_MODELS,
			 mlflow_text(json_object_get(model, "info"), "model_id"), model))
			return -1;
	}
	*token = next_page(c, reply);
	return 0;
}

/* All of what lies in experiments, some experiments at a time. */
static int gather_in(struct ctx *c, struct rest *r,
		     int (*page)(struct ctx *c, struct rest *r, json_t *ids, const char **token))
{
	const struct list *all = &r->items[REST_EXPERIMENTS];

	for (size_t at = 0; at < all->count; at += SEARCH_IDS) {
		CLEANUP(mlflow_json_done) json_t *ids = json_array();
		const char *token = NULL;
		for (size_t i = at; i < all->count && i < at + SEARCH_IDS; i++)
			json_array_append_new(
				ids, json_string(LIST_AT(struct rest_item, all, i)->name));
		do {
			if (page(c, r, ids, &token))
				return -1;
		} while (token);
	}
	return 0;
}

/* Registered models or versions. Prompts, which are such too, are only given when asked for. */
static int gather_registry(struct ctx *c, struct rest *r, enum rest_kind kind, const char *filter)
{
	bool versions = kind == REST_VERSIONS;
	const char *token = NULL;

	do {
		CLEANUP(mlflow_json_done) json_t *reply = NULL;
		size_t i;
		json_t *entity;
		int found = mlflow_get(c, r->server, &reply,
				       versions ? "model-versions/search"
						: "registered-models/search",
				       "max_results", PAGE, "filter", filter, "page_token", token,
				       NULL);
		if (found < 0)
			return -1;
		const json_t *page = json_object_get(reply, versions ? "model_versions"
								     : "registered_models");
		json_array_foreach(page, i, entity) {
			if (keep(c, r, kind, mlflow_text(entity, "name"), entity))
				return -1;
		}
		token = next_page(c, reply);
	} while (token);
	return 0;
}

int rest_gather(struct ctx *c, struct rest *r)
{
	arena_defer(c->arena, forget_datasets, r);
	if (gather_experiments(c, r) || gather_in(c, r, gather_runs_page) ||
	    gather_in(c, r, gather_models_page))
		return -1;
	for (int kind = REST_REGISTERED; kind <= REST_VERSIONS; kind++) {
		if (gather_registry(c, r, (enum rest_kind)kind, NULL) ||
		    gather_registry(c, r, (enum rest_kind)kind, PROMPTS))
			return -1;
	}
	return 0;
}
