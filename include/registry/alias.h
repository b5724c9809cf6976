/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* alias — the handlers of aliases. */
#ifndef REGISTRY_ALIAS_H
#define REGISTRY_ALIAS_H

#include "base/ctx.h"
#include "base/empty.h"
#include "base/record.h"
#include "registry/version.h"

/* expected_version, reason: ours; see docs/registry.md. */
struct set_model_alias {
	const char *name;
	const char *alias;
	const char *version;
	const char *expected_version;
	const char *reason;
};
extern const struct record set_model_alias_record;

struct delete_model_alias {
	const char *name;
	const char *alias;
	const char *expected_version;
	const char *reason;
};
extern const struct record delete_model_alias_record;

struct get_model_alias {
	const char *name;
	const char *alias;
};
extern const struct record get_model_alias_record;

int registry_alias_set(struct ctx *c, const struct set_model_alias *in,
                       struct empty *out) MUST_CHECK;
int registry_alias_delete(struct ctx *c, const struct delete_model_alias *in,
                          struct empty *out) MUST_CHECK;
int registry_alias_get(struct ctx *c, const struct get_model_alias *in,
                       struct model_version_reply *out) MUST_CHECK;

#endif
