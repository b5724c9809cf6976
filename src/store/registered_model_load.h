/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* registered_model_load — models and versions as searches show them: MLflow leaves the aliases of
   versions out. */
#ifndef STORE_REGISTERED_MODEL_LOAD_H
#define STORE_REGISTERED_MODEL_LOAD_H

#include <stdbool.h>
#include <stddef.h>

#include "model_text.h"
#include "store/registered_model.h"

int registered_model_load_versions(struct ctx *c, const struct model_version_key *keys,
                                   size_t count, bool aliases, struct list *ret) MUST_CHECK;

/* By their texts alone, from memory where it has that revision. */
int registered_model_texts(struct ctx *c, const struct model_revision *found, size_t count,
                           struct list *ret) MUST_CHECK;

#endif
