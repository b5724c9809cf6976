/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* model — the handlers of registered models; prompts are registered models with a tag. */
#ifndef REGISTRY_MODEL_H
#define REGISTRY_MODEL_H

#include "base/ctx.h"
#include "base/empty.h"
#include "base/record.h"
#include "store/registered_model.h"

struct create_registered_model {
	const char *name;
	struct list tags;               /* struct tag */
	const char *description;
};
extern const struct record create_registered_model_record;

struct registered_model_name {
	const char *name;
};
extern const struct record registered_model_name_record;

struct registered_model_reply {
	struct registered_model *registered_model;
};
extern const struct record registered_model_reply_record;

struct rename_registered_model {
	const char *name;
	const char *new_name;
};
extern const struct record rename_registered_model_record;

struct update_registered_model {
	const char *name;
	const char *description;
};
extern const struct record update_registered_model_record;

struct set_registered_model_tag {
	const char *name;
	const char *key;
	const char *value;
};
extern const struct record set_registered_model_tag_record;

struct delete_registered_model_tag {
	const char *name;
	const char *key;
};
extern const struct record delete_registered_model_tag_record;

int registry_model_create(struct ctx *c, const struct create_registered_model *in,
                          struct registered_model_reply *out) MUST_CHECK;
int registry_model_get(struct ctx *c, const struct registered_model_name *in,
                       struct registered_model_reply *out) MUST_CHECK;
int registry_model_rename(struct ctx *c, const struct rename_registered_model *in,
                          struct registered_model_reply *out) MUST_CHECK;
int registry_model_update(struct ctx *c, const struct update_registered_model *in,
                          struct registered_model_reply *out) MUST_CHECK;
int registry_model_delete(struct ctx *c, const struct registered_model_name *in,
                          struct empty *out) MUST_CHECK;
int registry_model_set_tag(struct ctx *c, const struct set_registered_model_tag *in,
                           struct empty *out) MUST_CHECK;
int registry_model_delete_tag(struct ctx *c, const struct delete_registered_model_tag *in,
                              struct empty *out) MUST_CHECK;

#endif
