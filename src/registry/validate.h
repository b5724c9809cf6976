/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* validate — what the things of a registry may be called (mlflow/utils/validation.py of 3.17.2),
   with its messages. */
#ifndef REGISTRY_VALIDATE_H
#define REGISTRY_VALIDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/record.h"
#include "store/model_version.h"

/* A model's name. what: "name", "new_name". NULL counts as empty. */
int validate_model_name(struct ctx *c, const char *name, const char *what) MUST_CHECK;
/* One that is to be stored has a limit too. */
int validate_new_model_name(struct ctx *c, const char *name, const char *what) MUST_CHECK;

/* What Python's int() takes. A number that no version can have is 0. */
int validate_version(struct ctx *c, const char *text, const char *what,
                     struct version_number *ret) MUST_CHECK;

int validate_alias(struct ctx *c, const char *alias) MUST_CHECK;
/* One that may be set: "latest" and v1 mean versions. */
int validate_new_alias(struct ctx *c, const char *alias) MUST_CHECK;

int validate_registry_tag(struct ctx *c, const char *key, const char *value) MUST_CHECK;
/* Each; *ret: the last of equal keys, at the place of the first, never NULL. */
int validate_registry_tags(struct ctx *c, const struct list *tags, struct list *ret) MUST_CHECK;

/* The number of a stage's name, in any case. */
int validate_stage(struct ctx *c, const char *stage, int64_t *ret) MUST_CHECK;

int validate_description(struct ctx *c, const char *text) MUST_CHECK;
int validate_reason(struct ctx *c, const char *text) MUST_CHECK;

/* Tags of requests: any key is judged here, also a missing one. */
extern const struct record registry_tag_record;

#endif
