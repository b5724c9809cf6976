/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* registered_model_load — versions as they are shown: MLflow's searches leave their aliases out. */
#ifndef STORE_REGISTERED_MODEL_LOAD_H
#define STORE_REGISTERED_MODEL_LOAD_H

#include <stdbool.h>
#include <stddef.h>

#include "store/registered_model.h"

int registered_model_load_versions(struct ctx *c, const struct model_version_key *keys,
                                   size_t count, bool aliases, struct list *ret) MUST_CHECK;

#endif
