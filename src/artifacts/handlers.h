/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* handlers — what artifact.c, multipart.c, presigned.c and version.c share. */
#ifndef ARTIFACTS_HANDLERS_H
#define ARTIFACTS_HANDLERS_H

#include <stdbool.h>

#include "base/ctx.h"

struct blob;
struct stream;
struct stream_request;

/* 503 without --serve-artifacts. */
int artifacts_proxy_ready(struct ctx *c) MUST_CHECK;

/* A file below an artifact URI, which is judged here: nothing but what is below the root is read. */
int artifacts_download_from(struct ctx *c, const struct stream_request *r, const char *uri,
			    const char *path, struct stream *s) MUST_CHECK;

/* Where a run or model keeps its artifacts. */
int artifacts_run_uri(struct ctx *c, const char *run_id, const char **uri) MUST_CHECK;
int artifacts_model_uri(struct ctx *c, const char *model_id, const char **uri) MUST_CHECK;

/* location_find(), for what the server may serve. The last that a handler needs of the database: its
   connection is given back, since a store may take long. */
int artifacts_find(struct ctx *c, const char *uri, const char *below, struct blob **store,
		   const char **key) MUST_CHECK;

/* What was kept of an object or all below it is no longer so. Never fails. */
void artifacts_forget(struct ctx *c, struct blob *store, const char *key);

/* --artifacts-presigned-only: downloads from this store are redirected; uploads to it are refused. */
bool artifacts_redirects(const struct blob *store);
int artifacts_redirect(struct ctx *c, struct blob *store, const char *key,
		       const char **url) MUST_CHECK;
int artifacts_uploads_allowed(struct ctx *c, const struct blob *store) MUST_CHECK;

#endif
