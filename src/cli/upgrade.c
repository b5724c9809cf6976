/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* capstan db upgrade [URL]: with gc the one command that works on the database itself. */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/database.h"
#include "db/migrate.h"
#include "db/uri.h"

enum { OPTION_URI, OPTION_DATA_DIR, OPTION_PG_BIN_DIR, OPTION_RUN_AS, OPTIONS };

/* clang-format off */
static const struct cli_option options[OPTIONS] = {
	[OPTION_URI] = { .name = "backend-store-uri", .env = "MLFLOW_BACKEND_STORE_URI",
		.value = "URI",
		.help = "The database; the same as the argument." },
	[OPTION_DATA_DIR] = { .name = "data-dir", .env = "CAPSTAN_DATA_DIR", .value = "DIR",
		.fallback = "./capstan-data",
		.help = "Without a URL: the data directory whose private database is meant." },
	[OPTION_PG_BIN_DIR] = { .name = "pg-bin-dir", .env = "CAPSTAN_PG_BIN_DIR", .value = "DIR",
		.help = "Where initdb and postgres are." },
	[OPTION_RUN_AS] = { .name = "run-as", .env = "CAPSTAN_RUN_AS", .value = "USER",
		.help = "Who the private PostgreSQL runs as." },
};
/* clang-format on */

const struct cli_command cli_upgrade_command = {
	.name = "db upgrade",
	.positional = "[URL]",
	.summary = "Bring a database's schema up to this version.",
	.description = "Bring a database's schema up to this version, in one transaction for "
		       "each step. The server does "
		       "the same when it starts. Back up first.",
	.options = options,
	.count = OPTIONS,
};

int cli_upgrade(struct ctx *c, const struct cli_values *v)
{
	struct cli_database database;
	struct cli_database_options o = {
		.uri = v->positional ? v->positional : v->text[OPTION_URI],
		.data_dir = v->text[OPTION_DATA_DIR],
		.pg_bin_dir = v->text[OPTION_PG_BIN_DIR],
		.run_as = v->text[OPTION_RUN_AS],
	};
	int from = 0;
	int to = 0;

	int failed = cli_database_open(c, &o, &database);
	if (!failed)
		failed = migrate_run(c, database.conninfo, &from, &to);
	cli_database_close(&database);
	if (failed)
		return -1;
	if (from == to)
		printf("The schema is up to date (version %d).\n", to);
	else
		printf("The schema went from version %d to %d.\n", from, to);
	return 0;
}
