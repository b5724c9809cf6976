/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* run_load — runs with everything that hangs below them. */
#ifndef STORE_RUN_LOAD_H
#define STORE_RUN_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/record.h"
#include "rendered.h"
#include "store/entities.h"

/* A run's own columns, of runs r and experiments e. */
#define RUN_COLUMNS \
	"r.id, r.uuid AS run_id, r.name AS run_name, r.experiment_id, r.user_id, r.status," \
	" r.start_time, nullif(r.end_time, 0) AS end_time, r.deleted AS lifecycle_stage," \
	" coalesce(r.artifact_uri, e.artifact_location) AS artifact_uri," \
	" r.artifact_uri IS NULL AS derived"

struct run_row {
	const int64_t *id;
	struct run_info info;
	const bool *derived;            /* artifact_uri is the experiment's */
	const bool *linked;             /* has datasets or models; NULL: may have */
	const int64_t *revision;        /* NULL: not settled, or not asked for */
};
extern const struct record run_row_record;

/* The members that are no columns. */
void run_row_finish(struct ctx *c, struct run_row *row);

/* In one round trip, or two when it has datasets or models. 1, 0 (none), -1. */
int run_load_uuid(struct ctx *c, const char *uuid, struct run *out) MUST_CHECK;

/* struct run in the order found, without those that are gone; in one round trip, or none if memory has all of them. A
   run that changed since it was found is shown as it is by now. */
int run_load_found(struct ctx *c, const struct revision *found, size_t count,
                   struct list *ret) MUST_CHECK;

#endif
