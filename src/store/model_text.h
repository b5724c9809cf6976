/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * model_text — registered models as searches show them, kept in memory as JSON. A text is that of one revision of a
 * model (registered_models.revision), which the statement that finds the model reads along: it is right or not used,
 * whoever changed the model, through which daemon.
 */
#ifndef STORE_MODEL_TEXT_H
#define STORE_MODEL_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"

struct model_revision {
	int64_t id;
	int64_t revision;
};

/* texts[i]: that of models[i], in c's arena; NULL: not kept. */
void model_text_find(struct ctx *c, const struct model_revision *models, size_t count,
                     const char **texts);

/* Keeps a copy, unless there is no room for it. */
void model_text_keep(const struct model_revision *m, const char *text);

#endif
