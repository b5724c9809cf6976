/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* run — runs one at a time: fetched whole, updated, deleted, restored. Their other writes share
   commits: store/write.h. */
#ifndef STORE_RUN_H
#define STORE_RUN_H

#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "store/entities.h"

struct arena;

/* Where a run's artifacts are: <location>/<run id>/artifacts, before the location's query if it
   has one. */
const char *store_run_uri(struct arena *a, const char *location, const char *run_id);

/* A run with its data, inputs and outputs, deleted or not, in one round trip. 1, 0 (none), -1. */
int store_run_get(struct ctx *c, const char *run_id, struct run *out) MUST_CHECK;

/* Several at one time, where equal ids share one run; out[i]: NULL (none) or the run of ids[i]. */
int store_run_get_many(struct ctx *c, const char *const *ids, size_t count,
		       struct run **out) MUST_CHECK;

/* The run must exist and be active, else the errors are MLflow's. NULL members stay as they are; a
   new name is also written to the tag mlflow.runName. out: the run as it is then. */
struct run_change {
	const char *status;             /* a name of run_status_names */
	const int64_t *end_time;
	const char *name;
};
int store_run_update(struct ctx *c, const char *run_id, const struct run_change *change,
		     struct run_info *out) MUST_CHECK;

/* Idempotent. RESOURCE_DOES_NOT_EXIST: no such run. */
int store_run_delete(struct ctx *c, const char *run_id, int64_t now_ms) MUST_CHECK;
int store_run_restore(struct ctx *c, const char *run_id) MUST_CHECK;

/*
 * Appends JSON text to the JSON list in a tag of an active run, which begins as [element].
 * Concurrent appends all survive. The result is at most `limit` characters, else
 * INVALID_PARAMETER_VALUE.
 */
int store_run_append_tag(struct ctx *c, const char *run_id, const char *key, const char *element,
			 size_t limit) MUST_CHECK;

#endif
