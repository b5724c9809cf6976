/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* experiment — experiments and their tags. */
#ifndef STORE_EXPERIMENT_H
#define STORE_EXPERIMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "search/search.h"
#include "store/entities.h"

struct new_experiment {
	const char *name;
	const char *artifact_location;  /* NULL: <artifact_root>/<id> */
	const char *artifact_root;
	struct list tags;               /* struct tag, keys distinct */
	int64_t now;
};

/* 1: created, *id set. 0: the name is taken, *deleted says by what. */
int store_experiment_create(struct ctx *c, const struct new_experiment *e, const char **id,
                            bool *deleted)
	MUST_CHECK;

/* Experiment 0 "Default", if there is none. */
int store_experiment_default(struct ctx *c, const char *artifact_root, int64_t now) MUST_CHECK;

/* Deleted ones too. */
int store_experiment_get(struct ctx *c, int64_t id, struct experiment **ret) MUST_CHECK;
/* Several at one time, where equal ids share one; out[i]: NULL (none) or the experiment ids[i].
   revisions: of the same moment; NULL: not wanted. */
int store_experiment_get_many(struct ctx *c, const int64_t *ids, size_t count,
                              struct experiment **out, int64_t *revisions) MUST_CHECK;
int store_experiment_get_by_name(struct ctx *c, const char *name,
                                 struct experiment **ret) MUST_CHECK;

int store_experiment_search(struct ctx *c, const struct search_query *q, struct list *experiments,
                            const char **next_token) MUST_CHECK;

/* With all of its runs. 0: there is no active (deleted) one of that id. */
int store_experiment_delete(struct ctx *c, int64_t id, int64_t now) MUST_CHECK;
int store_experiment_restore(struct ctx *c, int64_t id, int64_t now) MUST_CHECK;

enum experiment_change {
	EXPERIMENT_CHANGED,
	EXPERIMENT_MISSING,
	EXPERIMENT_DELETED,
	EXPERIMENT_NAME_TAKEN,          /* rename */
	EXPERIMENT_TAG_MISSING,         /* delete_tag */
	EXPERIMENT_TAGS_FULL,           /* set_tag: `most` tags with that prefix exist */
};

int store_experiment_rename(struct ctx *c, int64_t id, const char *name, int64_t now,
                            enum experiment_change *ret) MUST_CHECK;

/* prefix: NULL, or at most `most` tags whose key begins with it; replacing one always works. */
int store_experiment_set_tag(struct ctx *c, int64_t id, const struct tag *tag, const char *prefix,
                             int64_t most,
                             enum experiment_change *ret) MUST_CHECK;
int store_experiment_delete_tag(struct ctx *c, int64_t id, const char *key,
                                enum experiment_change *ret)
	MUST_CHECK;

/* `path` below a location, before its query (mlflow/utils/uri.py append_to_uri_path). */
const char *store_experiment_uri(struct arena *a, const char *location, const char *path);

#endif
