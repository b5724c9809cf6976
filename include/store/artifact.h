/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* artifact — what is known of objects that were uploaded through the proxy. */
#ifndef STORE_ARTIFACT_H
#define STORE_ARTIFACT_H

#include <stdint.h>

#include "base/ctx.h"
#include "base/record.h"

struct artifact_object {
	const char *uri;
	const char *etag;
	const int64_t *size;
	const char *sha256; /* 64 hex digits */
};
extern const struct record artifact_object_record;

/* Replaces what was known; of two of one uri the later counts. It may be lost when PostgreSQL crashes within a second: what it waits for
   no flush is worth. */
int store_artifact_put(struct ctx *c, const struct artifact_object *objects, size_t count,
		       int64_t now) MUST_CHECK;
/* 1 found, 0 not. */
int store_artifact_get(struct ctx *c, const char *uri, struct artifact_object *ret) MUST_CHECK;
/* The object's and all below it. */
int store_artifact_forget(struct ctx *c, const char *uri) MUST_CHECK;

#endif
