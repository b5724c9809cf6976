/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* keys — the ids of interned metric, parameter and tag keys, remembered for the whole process. */
#ifndef STORE_KEYS_H
#define STORE_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"

/*
 * ids[i] of names[i]; new names are stored first. Runs statements of its own on c->db, outside of
 * any transaction, so that no id is ever known that a rollback took back.
 */
int keys_resolve(struct ctx *c, const char *const *names, size_t count, int32_t *ids) MUST_CHECK;

/* The names of ids, each looked up once: keys_want() for every id, keys_names(), then
   keys_name(). */
struct key_names;
struct key_names *keys_names_new(struct ctx *c);
void keys_want(struct ctx *c, struct key_names *names, int64_t id);
int keys_names(struct ctx *c, struct key_names *names) MUST_CHECK;
const char *keys_name(const struct key_names *names, int64_t id);

/* After a lost connection: what answers next may be another database (restored, failed over). */
void keys_forget(void);

#endif
