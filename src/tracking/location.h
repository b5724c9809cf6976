/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* location — artifact locations that clients name. */
#ifndef TRACKING_LOCATION_H
#define TRACKING_LOCATION_H

#include "base/ctx.h"

/*
 * Checks an experiment's artifact_location as MLflow does and resolves a relative path against the
 * working directory. What lies below which root is decided where artifacts are read and written,
 * not here.
 */
int location_resolve(struct ctx *c, const char *location, const char **ret) MUST_CHECK;

#endif
