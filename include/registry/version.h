/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* version — the handlers of model versions. */
#ifndef REGISTRY_VERSION_H
#define REGISTRY_VERSION_H

#include "base/ctx.h"
#include "base/empty.h"
#include "base/record.h"
#include "store/registered_model.h"

struct create_model_version {
	const char *name;
	const char *source;
	const char *run_id;             /* NULL differs from "" where source is a version */
	struct list tags;               /* struct tag */
	const char *run_link;
	const char *description;
	const char *model_id;
};
extern const struct record create_model_version_record;

struct model_version_reply {
	struct model_version *model_version;
};
extern const struct record model_version_reply_record;

struct get_model_version {
	const char *name;
	const char *version;
};
extern const struct record get_model_version_record;

struct update_model_version {
	const char *name;
	const char *version;
	const char *description;        /* NULL: none any more, as in MLflow */
};
extern const struct record update_model_version_record;

struct set_model_version_tag {
	const char *name;
	const char *version;
	const char *key;
	const char *value;
};
extern const struct record set_model_version_tag_record;

struct delete_model_version_tag {
	const char *name;
	const char *version;
	const char *key;
};
extern const struct record delete_model_version_tag_record;

/* expected_stage, reason: ours; see docs/registry.md. */
struct transition_stage {
	const char *name;
	const char *version;
	const char *stage;
	const bool *archive_existing_versions;
	const char *expected_stage;
	const char *reason;
};
extern const struct record transition_stage_record;

/* MLflow checks these two by itself, not as required parameters. */
struct get_download_uri {
	const char *name;
	const char *version;
};
extern const struct record get_download_uri_record;

struct download_uri {
	const char *artifact_uri;
};
extern const struct record download_uri_record;

int registry_version_create(struct ctx *c, const struct create_model_version *in,
                            struct model_version_reply *out) MUST_CHECK;
int registry_version_get(struct ctx *c, const struct get_model_version *in,
                         struct model_version_reply *out) MUST_CHECK;
int registry_version_update(struct ctx *c, const struct update_model_version *in,
                            struct model_version_reply *out) MUST_CHECK;
int registry_version_delete(struct ctx *c, const struct get_model_version *in,
                            struct empty *out) MUST_CHECK;
int registry_version_set_tag(struct ctx *c, const struct set_model_version_tag *in,
                             struct empty *out) MUST_CHECK;
int registry_version_delete_tag(struct ctx *c, const struct delete_model_version_tag *in,
                                struct empty *out) MUST_CHECK;
int registry_version_transition(struct ctx *c, const struct transition_stage *in,
                                struct model_version_reply *out) MUST_CHECK;
int registry_version_download_uri(struct ctx *c, const struct get_download_uri *in,
                                  struct download_uri *out) MUST_CHECK;

#endif
