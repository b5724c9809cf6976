/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/read.h"

#include <string.h>

#include "base/arena.h"
#include "store/experiment.h"
#include "store/run.h"

/* The error of a request whose object is not there, as MLflow says it. */
static void missing(struct read *r)
{
	if (r->run)
		(void)fail(r->ctx, RESOURCE_DOES_NOT_EXIST, "Run with id=%s not found", r->run_id);
	else
		(void)fail(r->ctx, RESOURCE_DOES_NOT_EXIST, "No Experiment with id=%lld exists",
			   (long long)r->experiment_id);
}

static int read_runs(struct ctx *c, struct read *const *reads, size_t count)
{
	const char **ids = NEW_ARRAY(c->arena, count, const char *);
	struct run **runs = NEW_ARRAY(c->arena, count, struct run *);

	for (size_t i = 0; i < count; i++)
		ids[i] = reads[i]->run_id;
	if (store_run_get_many(c, ids, count, runs))
		return -1;
	for (size_t i = 0; i < count; i++) {
		*reads[i]->run = runs[i];
		if (!runs[i])
			missing(reads[i]);
	}
	return 0;
}

static int read_experiments(struct ctx *c, struct read *const *reads, size_t count)
{
	int64_t *ids = NEW_ARRAY(c->arena, count, int64_t);
	struct experiment **experiments = NEW_ARRAY(c->arena, count, struct experiment *);

	for (size_t i = 0; i < count; i++)
		ids[i] = reads[i]->experiment_id;
	if (store_experiment_get_many(c, ids, count, experiments, NULL))
		return -1;
	for (size_t i = 0; i < count; i++) {
		*reads[i]->experiment = experiments[i];
		if (!experiments[i])
			missing(reads[i]);
	}
	return 0;
}

int store_read(struct ctx *c, struct read *const *reads, size_t count)
{
	struct read **runs = NEW_ARRAY(c->arena, count, struct read *);
	struct read **experiments = NEW_ARRAY(c->arena, count, struct read *);
	size_t run_count = 0, experiment_count = 0;

	for (size_t i = 0; i < count; i++) {
		if (reads[i]->run)
			runs[run_count++] = reads[i];
		else
			experiments[experiment_count++] = reads[i];
	}
	if (run_count && read_runs(c, runs, run_count))
		return -1;
	return experiment_count ? read_experiments(c, experiments, experiment_count) : 0;
}
