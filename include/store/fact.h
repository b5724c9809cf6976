/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* fact — what a decision about permissions needs to know of a request's subjects, and no more. */
#ifndef STORE_FACT_H
#define STORE_FACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"

/* The experiment of each run or logged model, deleted ones included; -1 where there is none. */
int store_fact_runs(struct ctx *c, const char *const *run_ids, size_t count,
		    int64_t *experiments) MUST_CHECK;
int store_fact_logged_models(struct ctx *c, const char *const *model_ids, size_t count,
			     int64_t *experiments) MUST_CHECK;

/* 1, 0: nothing has that name. */
int store_fact_experiment_named(struct ctx *c, const char *name, int64_t *experiment) MUST_CHECK;
int store_fact_registered_model(struct ctx *c, const char *name, bool *prompt) MUST_CHECK;

/* Experiments whose location is one of texts or, unless inside is NULL, begins with it; at most `most` of
   them, *count more when there are more. */
int store_fact_experiments_at(struct ctx *c, const char *const *texts, size_t text_count,
			      const char *inside, size_t most, int64_t *ids,
			      size_t *count) MUST_CHECK;

#endif
