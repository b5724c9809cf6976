/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * version_places — whose files a model version opens today. Its source was judged when it was made,
 * but whoever put a version where nobody's files were yet must not read what others put there later.
 */
#ifndef HTTP_VERSION_PLACES_H
#define HTTP_VERSION_PLACES_H

#include "base/ctx.h"
#include "places.h"

/* The experiments whose files lie where the version's source in a bucket points to, without that of
   its own run or logged model: who may read the version may read those through it. 1 (a version that
   is not there has none), or -1, also when there are too many to have been given one by one. Needs
   the database. */
int version_places_experiments(struct ctx *c, const char *name, const char *version,
			       int64_t ids[PLACES + 1], size_t *count) MUST_CHECK;

#endif
