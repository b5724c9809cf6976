/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * database — which PostgreSQL a command works on: the one a URI names, the private one of a
 * daemon that runs on the
 * data directory, or that directory's private one, started for the command.
 */
#ifndef CLI_DATABASE_H
#define CLI_DATABASE_H

#include <stdbool.h>

#include "base/ctx.h"
#include "cli/home.h"

struct db_private;

struct cli_database_options {
	const char *uri; /* NULL: the data directory's */
	const char *data_dir;
	const char *pg_bin_dir;
	const char *run_as;
	bool create; /* make the private one where there is none */
};

struct cli_database {
	const char *conninfo;
	struct db_private *private; /* NULL: not ours to stop */
	struct cli_home home;       /* lock -1: not taken */
};

int cli_database_open(struct ctx *c, const struct cli_database_options *o,
		      struct cli_database *ret) MUST_CHECK;
void cli_database_close(struct cli_database *d);

#endif
