/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * path — what clients call an artifact, to the key below the artifact root. Names are bytes after
 * the one percent-decoding that http did; what would turn into something else when decoded again is
 * judged in that form too.
 */
#ifndef ARTIFACTS_PATH_H
#define ARTIFACTS_PATH_H

#include "base/ctx.h"

enum artifact_path_use {
	ARTIFACT_FILE,      /* names a file: a trailing slash is an error, and so is the root */
	ARTIFACT_DIRECTORY, /* to list: "" and "." are the root */
	ARTIFACT_ANY,       /* to read or delete: a trailing slash is dropped, the root is "" */
};

/* The key: a//b collapsed, control characters written %01 as MLflow does. -1:
 * INVALID_PARAMETER_VALUE, "Invalid path". */
int artifact_path_key(struct ctx *c, const char *path, enum artifact_path_use use,
		      const char **key) MUST_CHECK;

/* base/key, either may be "". -1 when it gets too long. */
int artifact_path_join(struct ctx *c, const char *base, const char *key,
		       const char **ret) MUST_CHECK;

/* Decodes %XX once; other '%' stay. */
const char *artifact_path_decode(struct ctx *c, const char *text);

#endif
