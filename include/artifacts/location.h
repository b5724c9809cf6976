/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* location — an artifact URI of a run, model or experiment, to the key below the artifact root. */
#ifndef ARTIFACTS_LOCATION_H
#define ARTIFACTS_LOCATION_H

#include "base/ctx.h"

/*
 * mlflow-artifacts:/k and mlflow-artifacts://host/k,
 * http(s)://host/.../api/2.0/mlflow-artifacts/artifacts/k (never connected to), and a plain path or
 * file:// below the artifact destination or the default artifact root. Anything else:
 * NOT_IMPLEMENTED.
 */
int location_to_key(struct ctx *c, const char *artifact_uri, const char **key) MUST_CHECK;

/* The same with the store that the key is of. A directory that is not there: NOT_IMPLEMENTED. */
struct blob;
int location_find(struct ctx *c, const char *artifact_uri, struct blob **store,
		  const char **key) MUST_CHECK;

/* "mlflow-artifacts", "s3", ... ; "" for a plain path. */
const char *location_scheme(struct ctx *c, const char *artifact_uri);

/* Whether the server's own proxy serves it: MLflow's http, https and mlflow-artifacts. */
bool location_proxied(struct ctx *c, const char *artifact_uri);

#endif
