/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* location — where the artifacts of a run or a logged model are. */
#ifndef STORE_LOCATION_H
#define STORE_LOCATION_H

#include "base/ctx.h"

/* 1 found, 0 not. Deleted runs are found, deleted models are not, as MLflow's get-run and
 * get-logged-model. */
int store_run_artifact_uri(struct ctx *c, const char *run_id, const char **ret) MUST_CHECK;
int store_logged_model_artifact_uri(struct ctx *c, const char *model_id,
				    const char **ret) MUST_CHECK;

#endif
