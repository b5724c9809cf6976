/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * grant — permissions that follow their resource: who creates an experiment or a registered model
 * manages it, through the synthetic role __user_<id>__; a rename takes grants along, a deletion
 * removes them. The three queue statements (db_queue) into the caller's transaction.
 * store_grant_manage_queue does nothing when c->user is NULL (nobody signed in); the others always
 * work, so that a name used again never inherits.
 */
#ifndef STORE_GRANT_H
#define STORE_GRANT_H

#include <stdint.h>

#include "base/ctx.h"

/* type: "experiment", "registered_model", "prompt". */
void store_grant_manage_queue(struct ctx *c, const char *type, const char *id);
void store_grant_rename_queue(struct ctx *c, const char *type, const char *id, const char *new_id);
void store_grant_remove_queue(struct ctx *c, const char *type, const char *id);

/* A user's own grant. 1, 0 he has one on that already (add), there is none (revoke), -1. */
int store_grant_add(struct ctx *c, int64_t user_id, const char *type, const char *pattern,
                    const char *permission) MUST_CHECK;
int store_grant_revoke(struct ctx *c, int64_t user_id, const char *type,
                       const char *pattern) MUST_CHECK;

#endif
