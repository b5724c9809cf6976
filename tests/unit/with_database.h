/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * with_database — a private PostgreSQL with our schema for the length of a test program, one connection of it in `c`.
 * Included once, before cmocka.h, which defines fail().
 */
#ifndef WITH_DATABASE_H
#define WITH_DATABASE_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/limits.h"
#include "db/db.h"
#include "db/migrate.h"
#include "db/private.h"
#include "store/settings.h"

static char root[] = "/tmp/capstan-unit-XXXXXX";
static struct db_private *server;
static struct db_pool *pool;
static struct ctx c;

static int database_start(const char *user, unsigned connections)
{
	if (!mkdtemp(root) || chmod(root, 0755))
		return -1;
	c = (struct ctx){ .arena = arena_new(LIMIT_ARENA), .user = user };
	if (db_private_start(&c, &(struct db_private_options){ .data_dir = root, .log_dir = root,
	                     .connections = connections + 4 }, &server)
	    || migrate_run(&c, db_private_conninfo(server), NULL, NULL)) {
		fprintf(stderr, "%s\n", c.error.message);
		return -1;
	}
	pool = db_pool_new(&(struct db_options){ .conninfo = db_private_conninfo(server),
	                                        .size = connections });
	return !pool || db_get(&c, pool, 1000) || store_settings_load(&c) ? -1 : 0;
}

static int database_stop(void)
{
	char command[sizeof(root) + 16];

	db_put(&c, pool);
	arena_free(c.arena);
	db_pool_free(pool);
	db_private_stop(server);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

#endif
