/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* registered_model_load — models as searches show them. */
#ifndef STORE_REGISTERED_MODEL_LOAD_H
#define STORE_REGISTERED_MODEL_LOAD_H

#include <stddef.h>

#include "rendered.h"
#include "store/registered_model.h"

/* By their texts alone, from memory where it has that revision. */
int registered_model_texts(struct ctx *c, const struct revision *found, size_t count,
                           struct list *ret) MUST_CHECK;

#endif
