/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* model_json — what is kept of an MLmodel sent to log-model. */
#ifndef TRACKING_MODEL_JSON_H
#define TRACKING_MODEL_JSON_H

#include "base/ctx.h"

/* An element of tag mlflow.log-model.history: run_id, artifact_path, utc_time_created, model_uuid,
   flavors (without their "config"), written as Python's json.dumps() does, since clients compare
   and truncate it as text. */
int model_json_entry(struct ctx *c, const char *model_json, const char **ret) MUST_CHECK;

#endif
