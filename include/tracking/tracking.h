/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* tracking — the rules of experiments, runs and logged models; one header per family beside this
 * one. */
#ifndef TRACKING_TRACKING_H
#define TRACKING_TRACKING_H

#include "base/ctx.h"

struct tracking_config {
	const char
		*artifact_root; /* new experiments' artifact_location is <root>/<experiment_id> */
	bool truncate_long_values;      /* MLFLOW_TRUNCATE_LONG_VALUES */
};

/* Once, before any request; keeps the pointers. */
void tracking_configure(const struct tracking_config *config);
const struct tracking_config *tracking_settings(void);

/* After migration, on a connection: experiment 0 "Default" exists, shared settings are read. */
int tracking_bootstrap(struct ctx *c) MUST_CHECK;

#endif
