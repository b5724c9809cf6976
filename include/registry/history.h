/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* history — every move of an alias or stage, and what aliases pointed to at a time. */
#ifndef REGISTRY_HISTORY_H
#define REGISTRY_HISTORY_H

#include "base/ctx.h"
#include "base/record.h"

struct get_model_history {
	const char *name;
	const char *alias;
	const char *version;
	const char *at;                 /* ms since 1970, as text: a number that is none is refused */
	const int64_t *max_results;
	const char *page_token;
};
extern const struct record get_model_history_record;

struct model_history {
	struct list moves;              /* struct model_move, newest first */
	const char *next_page_token;
	const int64_t *at;
	struct list aliases;            /* struct model_alias: with at */
};
extern const struct record model_history_record;

int registry_history_get(struct ctx *c, const struct get_model_history *in,
                         struct model_history *out) MUST_CHECK;

#endif
