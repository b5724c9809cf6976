/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * validate — what clients may call and store things (mlflow/utils/validation.py of 3.17.2), with
 * its messages. `path` is how the message names the value: "key", "tags[3].key". Lengths count
 * characters.
 */
#ifndef TRACKING_VALIDATE_H
#define TRACKING_VALIDATE_H

#include <stddef.h>

#include "base/ctx.h"
#include "store/entities.h"

/* A metric, parameter or tag key: its characters, and that it is no path to elsewhere. */
int tracking_validate_name(struct ctx *c, const char *name, const char *path) MUST_CHECK;

/* At most `limit` characters: "'<what>' exceeds the maximum length of <limit> characters". NULL is
   fine. */
int tracking_validate_length(struct ctx *c, const char *what, size_t limit,
			     const char *value) MUST_CHECK;

/* The run_id of log-batch and log-inputs, before it is looked up. */
int tracking_validate_run_id(struct ctx *c, const char *run_id) MUST_CHECK;

/* path: "" for one, "metrics[3]." in a batch. Also makes it what is stored: step 0 where absent,
   infinities the largest doubles, values of parameters and tags "" where absent and, if
   MLFLOW_TRUNCATE_LONG_VALUES, cut to their limit. */
int tracking_validate_metric(struct ctx *c, struct metric *m, const char *path) MUST_CHECK;
int tracking_validate_param(struct ctx *c, struct tag *p, const char *path) MUST_CHECK;
int tracking_validate_tag(struct ctx *c, struct tag *t, const char *path) MUST_CHECK;

/* A dataset input of log-inputs: the parts that must be there, and all lengths. */
int tracking_validate_dataset_input(struct ctx *c, const struct dataset_input *d) MUST_CHECK;

/* A decimal experiment id. MLflow's error for other text; a number out of range names no
   experiment: -1. */
int tracking_validate_experiment_id(struct ctx *c, const char *text, int64_t *ret) MUST_CHECK;

#endif
