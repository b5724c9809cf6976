/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* model_version — changes of model versions; see store/model.h. */
#ifndef STORE_MODEL_VERSION_H
#define STORE_MODEL_VERSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/record.h"
#include "store/registered_model.h"

/* What a client wrote: `number` to look up (0: no version has it), `text` for messages. */
struct version_number {
	int64_t number;
	const char *text;
};

struct new_model_version {
	const char *name;
	const char *description;
	const char *source;
	const char *location;           /* where the artifacts are */
	const char *run_id;
	const char *run_link;
	const char *model_id;           /* NULL: none */
	bool model_must_exist;          /* the logged model: else a missing one is passed over */
	bool prompt;
	struct list tags;               /* struct tag, keys distinct */
	int64_t now;
};

/* *ret: the version as it is, with the number it got. */
int store_model_version_create(struct ctx *c, const struct new_model_version *v,
                               struct model_version **ret) MUST_CHECK;
int store_model_version_get(struct ctx *c, const char *name, const struct version_number *version,
                            struct model_version **ret) MUST_CHECK;
/* description NULL: none any more. */
int store_model_version_update(struct ctx *c, const char *name,
                               const struct version_number *version, const char *description,
                               int64_t now, struct model_version **ret) MUST_CHECK;
/* Its aliases go with it. */
int store_model_version_delete(struct ctx *c, const char *name,
                               const struct version_number *version, int64_t now) MUST_CHECK;

/* raw: the version as the client wrote it, for the event. */
int store_model_version_set_tag(struct ctx *c, const char *name,
                                const struct version_number *version, const char *raw,
                                const char *key, const char *value) MUST_CHECK;
int store_model_version_delete_tag(struct ctx *c, const char *name,
                                   const struct version_number *version, const char *raw,
                                   const char *key) MUST_CHECK;

struct stage_move {
	const char *name;
	struct version_number version;
	int64_t stage;                  /* number in model_stage_names */
	int64_t expected;               /* the stage it must have now; -1: any */
	bool archive;                   /* the other versions of the stage */
	const char *reason;
	int64_t now;
};
int store_model_version_move(struct ctx *c, const struct stage_move *m,
                             struct model_version **ret) MUST_CHECK;

/* ---- what sources of the form models:/... refer to ---- */

struct model_version_pick {
	const char *name;
	int64_t version;                /* > 0: this one */
	const char *alias;              /* else the one it points to; NULL: */
	int64_t stage;                  /* the latest of this stage; -1: of all */
};

struct model_version_origin {
	const bool *prompt;
	const int64_t *version;         /* NULL: no such version */
	const char *location;
	const char *run_id;
	const char *model_id;
};
/* 1, or 0: no such model. */
int store_model_version_origin(struct ctx *c, const struct model_version_pick *pick,
                               struct model_version_origin *ret) MUST_CHECK;

/* Where the artifacts are. */
int store_model_version_location(struct ctx *c, const char *name,
                                 const struct version_number *version,
                                 const char **ret) MUST_CHECK;

#endif
