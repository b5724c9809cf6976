/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * rendered — entities as searches show them, kept in memory as JSON. A text is that of one revision of its entity
 * (the column of this name), which the statement that finds the entity reads along: it is right or
 * not used, whoever changed the entity, through which daemon.
 */
#ifndef STORE_RENDERED_H
#define STORE_RENDERED_H

#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"

enum rendered_kind { RENDERED_MODEL, RENDERED_RUN, RENDERED_EXPERIMENT, RENDERED_KINDS };

struct revision {
	int64_t id;
	int64_t revision;               /* 0: none, its text is not kept */
};

/* texts[i]: that of these[i], in c's arena; NULL: not kept. */
void rendered_find(struct ctx *c, enum rendered_kind kind, const struct revision *these,
                   size_t count, const char **texts);

/* How many have no text: their ids, and where in `these` they are. */
size_t rendered_missing(struct ctx *c, const struct revision *these, size_t count,
                        const char *const *texts, int64_t **ids, size_t **places);

/* Keeps a copy, unless there is no room for it. */
void rendered_keep(enum rendered_kind kind, const struct revision *r, const char *text);

#endif
