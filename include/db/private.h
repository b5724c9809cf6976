/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * private — the daemon's own PostgreSQL: found, initialised, started, supervised and stopped by us.
 * Unix socket only, never TCP; runs as a non-root user even when the daemon is root.
 */
#ifndef DB_PRIVATE_H
#define DB_PRIVATE_H

#include "base/ctx.h"

struct db_private;

struct db_private_options {
	const char *data_dir; /* the daemon's data directory; the cluster is <data_dir>/postgres */
	const char *log_dir;            /* <data_dir>/logs: postgres.log */
	const char *bin_dir;            /* NULL: search (PATH, pg_config --bindir,
					   /usr/lib/postgresql/<newest>/bin, ...) */
	const char *run_as;             /* user for a root daemon; NULL: postgres, then nobody */
	unsigned connections;           /* the pools' sizes together: sets max_connections */
};

/* Finds PostgreSQL (>= 13), initdb on first use, recovers from any earlier crash (stale pid files,
   an orphan postmaster of this directory is adopted or stopped), starts it and waits until it
   answers. On failure one clear line in c->error saying what to do. */
int db_private_start(struct ctx *c, const struct db_private_options *o,
		     struct db_private **ret) MUST_CHECK;

/* libpq conninfo of database "capstan" on it. */
const char *db_private_conninfo(const struct db_private *p);

/* pid of the postmaster, for logs and tests. */
int db_private_pid(const struct db_private *p);

/* Fast shutdown, waits; frees. NULL is fine. A supervising thread restarts a postmaster that died.
 */
void db_private_stop(struct db_private *p);

#endif
