/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * model — changes of registered models. Each is one transaction that locks the model's row first,
 * and carries its webhook events and grants. Refusals are errors with MLflow's texts: a lookup that
 * finds nothing is RESOURCE_DOES_NOT_EXIST.
 */
#ifndef STORE_MODEL_H
#define STORE_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/record.h"
#include "store/registered_model.h"

#define MODEL_PROMPT_TAG "mlflow.prompt.is_prompt"

struct new_registered_model {
	const char *name;
	const char *description;
	struct list tags;               /* struct tag, keys distinct */
	int64_t now;
};

int store_model_create(struct ctx *c, const struct new_registered_model *m) MUST_CHECK;
int store_model_get(struct ctx *c, const char *name, struct registered_model **ret) MUST_CHECK;
int store_model_rename(struct ctx *c, const char *name, const char *new_name, int64_t now,
                       struct registered_model **ret) MUST_CHECK;
int store_model_update(struct ctx *c, const char *name, const char *description, int64_t now,
                       struct registered_model **ret) MUST_CHECK;
int store_model_delete(struct ctx *c, const char *name, int64_t now) MUST_CHECK;

int store_model_set_tag(struct ctx *c, const char *name, const char *key,
                        const char *value) MUST_CHECK;
/* A tag that is not there is fine. */
int store_model_delete_tag(struct ctx *c, const char *name, const char *key) MUST_CHECK;

/* Whether tags (struct tag) make a prompt: the last of equal keys counts, the value in any case. */
bool store_model_is_prompt(const struct list *tags);

#endif
