/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "cli/database.h"

#include <unistd.h>

#include "base/arena.h"
#include "db/private.h"
#include "db/uri.h"

enum { COMMAND_CONNECTIONS = 4 };

static int open_private(struct ctx *c, const struct cli_database_options *o,
			struct cli_database *ret)
{
	int pid;
	int running = cli_home_owner(c, o->data_dir, &pid, &ret->conninfo);

	if (running < 0)
		return -1;
	if (running && !*ret->conninfo)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "The capstan on %s (pid %d) uses a database of its own choice: name it "
			    "with "
			    "--backend-store-uri.",
			    o->data_dir, pid);
	if (running)
		return 0;
	const char *cluster = arena_printf(c->arena, "%s/postgres", o->data_dir);
	if (!o->create && access(cluster, F_OK))
		return fail(c, INVALID_PARAMETER_VALUE,
			    "There is no database in %s: name the data directory with --data-dir "
			    "or the database "
			    "with --backend-store-uri.",
			    o->data_dir);
	if (cli_home_open(c, o->data_dir, &ret->home) || cli_home_lock(c, &ret->home))
		return -1;
	struct db_private_options private = {
		.data_dir = ret->home.dir,
		.log_dir = ret->home.logs,
		.bin_dir = o->pg_bin_dir,
		.run_as = o->run_as,
		.connections = COMMAND_CONNECTIONS,
	};
	if (db_private_start(c, &private, &ret->private))
		return -1;
	ret->conninfo = db_private_conninfo(ret->private);
	return 0;
}

int cli_database_open(struct ctx *c, const struct cli_database_options *o, struct cli_database *ret)
{
	*ret = (struct cli_database){ .home = { .lock = -1 } };
	if (o->uri)
		return db_uri_normalize(c, o->uri, &ret->conninfo);
	return open_private(c, o, ret);
}

void cli_database_close(struct cli_database *d)
{
	db_private_stop(d->private);
	d->private = NULL;
	if (d->home.lock >= 0)
		close(d->home.lock);
	d->home.lock = -1;
}
