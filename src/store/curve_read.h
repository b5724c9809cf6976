/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* store_history_interval() of runs whose ids can be ids. */
#ifndef STORE_CURVE_READ_H
#define STORE_CURVE_READ_H

#include "base/ctx.h"
#include "store/history.h"

int curve_chart(struct ctx *c, const struct history_interval *in, struct list *points) MUST_CHECK;

#endif
