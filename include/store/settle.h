/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * settle — runs that rest. What searches need of a run beside its rows is derived once it rests: its latest values in
 * order (table ranked) and a number for the state it is in (runs.revision). Who changes a settled run takes both away
 * in the same transaction, or gives the run another revision where its values, parameters and tags stay. That a run is
 * settled, or not, changes what a search costs and never what it finds.
 */
#ifndef STORE_SETTLE_H
#define STORE_SETTLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"

/* ---- who writes, in this process: a bounded memory of the runs that change ---- */

/* The run changed and may rest from `ms` from now on. */
void store_settle_note(int64_t run, int64_t ms);

/* Up to `most` of the runs that rest by now, and forgets them. */
size_t store_settle_rested(int64_t *runs, size_t most);

/* Has the run changed and does not rest yet? */
bool store_settle_is_active(int64_t run);

/* Grows with each note. */
uint64_t store_settle_changes(void);

/* How long runs must be left alone before they rest: those that run, and those that ended. Before any thread starts. */
void store_settle_configure(int64_t rest_ms, int64_t rest_ended_ms);
int64_t store_settle_rest(bool ended);

/* ---- settling ---- */

/* Those of the runs that are not settled, all at once, in a transaction of its own, while all writers of runs wait.
   1; 0: the writers did not leave in time: try later; -1. While an import runs none is settled. */
int store_settle(struct ctx *c, const int64_t *runs, size_t count) MUST_CHECK;

struct settle_place {                   /* behind that run: where the list goes on; zero: at the start */
	int64_t experiment_id;
	int64_t id;
};

/* Up to `most` runs that are not settled, from `place` on, which moves. */
int store_settle_list(struct ctx *c, struct settle_place *place, int64_t *runs, size_t most,
                      size_t *count) MUST_CHECK;

#endif
