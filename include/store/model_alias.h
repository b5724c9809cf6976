/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* model_alias — names that point to a version of a registered model; see store/model.h. */
#ifndef STORE_MODEL_ALIAS_H
#define STORE_MODEL_ALIAS_H

#include <stdint.h>

#include "base/ctx.h"
#include "store/model_version.h"

struct alias_move {
	const char *name;
	const char *alias;
	struct version_number version;  /* set */
	const char *raw;                /* set: the version as the client wrote it, for the event */
	int64_t expected;               /* the version it must point to now, 0: none; -1: any */
	const char *reason;
	int64_t now;
};

/* A move that expects something else than there is: RESOURCE_CONFLICT, nothing is changed. */
int store_model_alias_set(struct ctx *c, const struct alias_move *m) MUST_CHECK;
/* An alias that is not there is fine. */
int store_model_alias_delete(struct ctx *c, const struct alias_move *m) MUST_CHECK;
/* An alias that is not there is INVALID_PARAMETER_VALUE, as in MLflow. */
int store_model_alias_get(struct ctx *c, const char *name, const char *alias,
                          struct model_version **ret) MUST_CHECK;

#endif
