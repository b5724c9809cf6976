/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * What the files of the shared commit share: commit.c (attempts, retries, bisection),
 * commit_read.c (what the database knows), commit_judge.c (requests in order of arrival),
 * commit_points.c and commit_rows.c (the writes).
 */
#ifndef STORE_COMMIT_IMPL_H
#define STORE_COMMIT_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "store/write.h"

#define RUN_NAME_TAG "mlflow.runName"

/* One request of the group, the same in all attempts. */
struct member {
	struct write *write;
	const int32_t *keys;            /* of metrics, params, tags, delete_tags, in this order */
	uint32_t target;                /* index into attempt.targets */
};

/* A run written to. */
struct target {
	const char *run_id;
	const struct new_run *create;   /* NULL: it should exist */
	int64_t id;
	int64_t experiment;
	bool found, deleted;
	bool settled;
	bool written;                   /* by this attempt */
	bool created;                   /* by this attempt */
	const char *rename;             /* NULL: keeps its name */
};

struct experiment_row {
	const int64_t *id;
	const char *artifact_location;
	const bool *deleted;
};

/* A parameter or a tag, as the requests judged so far leave it. */
struct cell {
	uint32_t target;
	int32_t key;
	const char *value;              /* NULL: absent (for tags: deleted, or not known) */
	bool asked;                     /* tags: the database must say whether it exists */
	bool exists;
	bool changed;
};

/* (a, b) -> number: uuids to targets, (target, key) to cells. */
struct pair {
	uint64_t a, b;
	uint32_t number;                /* 0: free */
};

struct pairs {
	struct pair *slots;
	size_t mask;
};

struct cells {
	struct cell *items;
	uint32_t count;
	struct pairs index;
};

struct point {
	int64_t run;
	int64_t experiment;
	int64_t timestamp;
	int64_t step;
	double value;
	int32_t key;
	uint32_t order;                 /* of arrival */
};

struct model_point {
	int64_t model;
	int64_t run;
	const struct metric *metric;
	uint32_t order;
};

struct dataset_link {
	int64_t run;
	int64_t experiment;
	const struct dataset_input *input;
	uint32_t order;
};

struct model_link {
	int64_t run;
	const char *model_id;
	int64_t step;
	bool output;
	uint32_t order;
};

/* One try to commit some members. */
struct attempt {
	struct ctx *c;
	struct member *members;
	size_t count;
	bool upsert_points;             /* duplicates were met, or are expected */

	struct target *targets;
	uint32_t target_count;
	struct pairs target_index;
	uint32_t created;

	struct cells params;
	struct cells tags;
	bool tags_asked;

	struct list experiments;        /* struct experiment_row, those that creates name */
	const char **model_ids;         /* ordered, each once */
	int64_t *models;                /* their ids, 0: unknown */
	size_t model_count;

	struct point *points;
	size_t point_count;
	struct model_point *model_points;
	size_t model_point_count;
	struct dataset_link *datasets;
	size_t dataset_count;
	struct model_link *model_links;
	size_t model_link_count;
};

/* ---- commit_read.c ---- */

/* Gathers what the members touch, begins the transaction and reads it: one round trip. */
int commit_read(struct attempt *a) MUST_CHECK;

/* The cell; registered when new. */
struct cell *commit_cell(struct cells *cells, uint32_t target, int32_t key);

/* ---- commit_judge.c ---- */

/* Refuses members (their ctx->error), gathers the others' rows. False: there are no others. */
bool commit_judge(struct attempt *a);

/* Fails one request with an error of the group's arena, which is copied into its own. */
void commit_refuse(struct write *w, const struct error *e);

/* ---- commit_points.c, commit_rows.c: queue the statements; only a COPY talks to the database at
   once ---- */

int commit_points(struct attempt *a) MUST_CHECK;
void commit_model_points(struct attempt *a);
void commit_unsettle(struct attempt *a);
void commit_runs(struct attempt *a);
void commit_cells(struct attempt *a);
void commit_inputs(struct attempt *a);


#endif
