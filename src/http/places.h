/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* places — whose files lie where a client's URI points to. */
#ifndef HTTP_PLACES_H
#define HTTP_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"

enum { PLACES = 100 };

/* The experiments that hold the place and, with `inside`, those in it. 1; 0: a database is needed;
   -1, also when there are more than PLACES: more than anybody was given one by one. */
int places_experiments(struct ctx *c, const char *place, bool inside, int64_t ids[PLACES],
		       size_t *count) MUST_CHECK;

/* [workspaces/x/]<experiment id>/...: what follows the id, NULL: no experiment's. */
const char *places_below_experiment(struct ctx *c, const char *key, const char **experiment);

/* Without slashes at its end. */
const char *places_trim(struct ctx *c, const char *place);

#endif
