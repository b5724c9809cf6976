/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* migrate — numbered, transactional schema migrations, embedded from
 * src/db/migrations/NNNN_name.sql. */
#ifndef DB_MIGRATE_H
#define DB_MIGRATE_H

#include "base/ctx.h"

/* The newest version this program knows. */
int migrate_latest(void);

/* Brings the schema (in schema "capstan" of the database) to migrate_latest() under an advisory
   lock. 0; -1 with a clear text: newer schema than this program's, no right to create, wrong
   password, no such database ... `from` and `to` (may be NULL) receive the versions. Opens its own
   connection. */
int migrate_run(struct ctx *c, const char *conninfo, int *from, int *to) MUST_CHECK;

/* Only reports: 0 and *version (0 = none). */
int migrate_version(struct ctx *c, const char *conninfo, int *version) MUST_CHECK;

#endif
