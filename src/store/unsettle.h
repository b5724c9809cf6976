/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* unsettle — for who changes runs: store/settle.h. */
#ifndef STORE_UNSETTLE_H
#define STORE_UNSETTLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"

/* In an UPDATE of runs that changes what is shown of them, but no value, parameter or tag. */
#define NEXT_REVISION "CASE WHEN revision IS NOT NULL THEN nextval('run_revisions') END"

/* Queued inside a transaction of a writer (store/writers.h), before anything of these runs is changed: their values
   say where they are ranked. */
void unsettle_queue(struct ctx *c, const int64_t *runs, size_t count);

/* All runs. */
void unsettle_all_queue(struct ctx *c);

#endif
