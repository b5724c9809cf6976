/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * curve — roll-ups of metric histories (table curves), from which charts are answered.
 *
 * They are only ever behind: what is not rolled up is read point by point. So nobody waits for them, and which curves
 * are worth the work is a hint that may be lost.
 */
#ifndef STORE_CURVE_H
#define STORE_CURVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"

struct curve_id {
	int64_t run;
	int32_t key;
};

/* ---- hints ---- */

/* So many points were written to it. */
void store_curve_grew(struct curve_id id, size_t points);

/* Somebody had to read it point by point. */
void store_curve_want(struct curve_id id);

/* Waits for a curve worth rolling up, for wait_ms at most. False: none, or store_curve_stop(). */
bool store_curve_next(struct curve_id *ret, int wait_ms);

/* Ends the waiting, now and later; `false` allows it again. */
void store_curve_stop(bool stop);

/* ---- rolling up ---- */

struct curve_rolled {
	int64_t points;
	bool again;                     /* what had been rolled up before was out of date */
};

/*
 * Brings a curve's roll-up up to date, in several transactions of c->db (none may be open). Writers of this metric
 * wait for less than a millisecond, all others never. Nothing to do, or another daemon is at it: fine. After -1 the
 * session may still hold a lock: db_abandon().
 */
int store_curve_roll(struct ctx *c, struct curve_id id, struct curve_rolled *ret) MUST_CHECK;

#endif
