/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* handlers — what artifact.c, multipart.c and version.c share. */
#ifndef ARTIFACTS_HANDLERS_H
#define ARTIFACTS_HANDLERS_H

#include "base/ctx.h"

struct blob;
struct stream;
struct stream_request;

/* 503 without --serve-artifacts. */
int artifacts_proxy_ready(struct ctx *c) MUST_CHECK;

/* What artifacts_configure_default() named. NULL: no directory (yet). */
struct blob *artifacts_default_root(struct ctx *c);

/* A file below an artifact URI, which is judged here: nothing but what is below the root is read. */
int artifacts_download_from(struct ctx *c, const struct stream_request *r, const char *uri,
			    const char *path, struct stream *s) MUST_CHECK;

#endif
