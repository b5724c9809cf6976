/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "base/clock.h"
#include "store/experiment.h"
#include "store/settings.h"
#include "tracking/tracking.h"

int tracking_bootstrap(struct ctx *c)
{
	if (store_settings_load(c))
		return -1;
	return store_experiment_default(c, tracking_settings()->artifact_root, clock_wall_ms());
}
