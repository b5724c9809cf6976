/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* roots — the stores besides the destination: of the default root and of places that clients name.
   Opened when first needed, kept open. */
#ifndef ARTIFACTS_ROOTS_H
#define ARTIFACTS_ROOTS_H

#include "base/ctx.h"

struct blob;

/* A directory or "s3://bucket". It stays open at least as long as c's arena. NULL: error set;
   NOT_IMPLEMENTED for a directory that is not there. Blocks. */
struct blob *roots_open(struct ctx *c, const char *uri);

/* For those who need it longer than the arena. Others' stores are left alone. Never block. */
void roots_hold(struct blob *store);
void roots_release(struct blob *store);

/* "s3://bucket/key" or a path, whichever name led to it; NULL: a store of nobody's. In c's arena. */
const char *roots_uri(struct ctx *c, struct blob *store, const char *key);

/* Which of --artifact-roots text lies in: "s3://bucket/key" or an absolute path. NULL: none. */
const char *roots_allowed(const char *text);

/* The rest of text when it lies in root or is root; NULL: elsewhere. */
const char *roots_below(const char *text, const char *root);

#endif
