/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* model_move — the history of aliases and stages, which outlives renames and deletions. */
#ifndef STORE_MODEL_MOVE_H
#define STORE_MODEL_MOVE_H

#include <stdint.h>

#include "base/ctx.h"
#include "base/record.h"

struct model_move {
	const char *id;
	const char *kind;               /* "alias", "stage" */
	const int64_t *timestamp;
	const char *alias;
	const char *version;            /* stage: of which version */
	const char *from_version;       /* NULL: it pointed nowhere */
	const char *to_version;         /* NULL: it was deleted */
	const char *from_stage;
	const char *to_stage;           /* NULL: the version was deleted */
	const char *user;
	const char *reason;
};
extern const struct record model_move_record;

struct model_move_query {
	const char *name;
	const char *alias;              /* NULL: all */
	int64_t version;                /* 0: all; moves from, to or of it */
	int64_t max_results;
	const char *page_token;         /* NULL: from the newest */
};

/* Newest first. 1, or 0: neither a model nor a history has this name. */
int store_model_moves(struct ctx *c, const struct model_move_query *q, struct list *moves,
                      const char **next_token) MUST_CHECK;

/* struct model_alias: what each alias (or the one given) pointed to at a time. 1 or 0, as above. */
int store_model_aliases_at(struct ctx *c, const char *name, const char *alias, int64_t at,
                           struct list *aliases) MUST_CHECK;

#endif
