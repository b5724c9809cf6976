/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* location — an artifact URI of a run, model or experiment, to the store and key where it is. */
#ifndef ARTIFACTS_LOCATION_H
#define ARTIFACTS_LOCATION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/ctx.h"

struct blob;

/*
 * The key below the artifact destination or the default artifact root: of mlflow-artifacts:/k and
 * mlflow-artifacts://host/k, http(s)://host/.../api/2.0/mlflow-artifacts/artifacts/k (never connected
 * to), and what lies in one of them by its own name: a plain path, file://, s3:// or gs://. Anything
 * else: NOT_IMPLEMENTED.
 */
int location_to_key(struct ctx *c, const char *artifact_uri, const char **key) MUST_CHECK;

/*
 * What is at `below` (a checked key, "" for itself) of the location, with the store that the key is of:
 * the destination and the default root first, so that what is theirs has their keys under any name,
 * then what --artifact-roots names. Anything else: NOT_IMPLEMENTED. May block: it opens stores.
 */
int location_find(struct ctx *c, const char *artifact_uri, const char *below, struct blob **store,
		  const char **key) MUST_CHECK;

/* s3://bucket/key or gs://bucket/key without slashes at its end. -1: it is none, or not clean (`..`, `//`, '?', '#',
   in no encoding). */
int location_remote(struct ctx *c, const char *uri, const char **ret) MUST_CHECK;

/* All texts by which this place and those that hold it may be stored as locations, without slashes at their ends.
   0: it is no place of ours. */
size_t location_holders(struct ctx *c, const char *uri, const char ***texts);

/* Whether the destination or the default root lies in it. */
bool location_holds_root(struct ctx *c, const char *uri);

/* "mlflow-artifacts", "s3", ... ; "" for a plain path. */
const char *location_scheme(struct ctx *c, const char *artifact_uri);

/* Whether the server's own proxy serves it: MLflow's http, https and mlflow-artifacts. */
bool location_proxied(struct ctx *c, const char *artifact_uri);

#endif
