/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "tracking/tracking.h"

#include <assert.h>

/* Set once before any request, then only read. */
static const struct tracking_config *settings;

void tracking_configure(const struct tracking_config *config)
{
	assert(config && config->artifact_root);
	settings = config;
}

const struct tracking_config *tracking_settings(void)
{
	assert(settings);
	return settings;
}
