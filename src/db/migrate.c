/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Each migration is one transaction, which also holds the advisory lock: so it works behind a
 * pooler, too. */

#include "db/migrate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/number.h"
#include "internal.h"

/* Any constant, the same in every replica: "capstan" in letters. */
#define LOCK_KEY "27973158295593326"

enum { STARTING_UP_MS = 30000, STARTING_UP_STEP_MS = 200 };

int migrate_latest(void)
{
	return migrations_count;
}

static void clear_result(void *result)
{
	PQclear(result);
}

static void close_connection(void *conn)
{
	PQfinish(conn);
}

/* The server's refusals that have a remedy, in our words. */
static int refused(struct ctx *c, PGconn *conn, const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *detail = arena_strdup(c->arena, PQresultErrorMessage(result));

	if (state && strcmp(state, "42501") == 0)
		return fail_because(
			c, PERMISSION_DENIED, detail,
			"PostgreSQL user \"%s\" may not create schema \"capstan\" or its tables in "
			"database \"%s\": run GRANT CREATE ON DATABASE %s TO %s; as its owner",
			PQuser(conn), PQdb(conn), PQdb(conn), PQuser(conn));
	if (state && strcmp(state, "25006") == 0)
		return fail_because(
			c, INVALID_STATE, detail,
			"database \"%s\" is read-only (a standby?): point --backend-store-uri at "
			"the primary server",
			PQdb(conn));
	if (state && strcmp(state, "53100") == 0)
		return fail_because(c, INSUFFICIENT_STORAGE, detail,
		                    "the database server's disk is full: free some space");
	return fail_because(c, state ? error_of_sqlstate(state) : TEMPORARILY_UNAVAILABLE, detail,
			    "the database could not be prepared: %.*s", (int)strcspn(detail, "\n"),
			    detail);
}

/* Runs SQL; the first value of its last row to *value where wanted (-1: no row). */
static int run(struct ctx *c, PGconn *conn, const char *sql, int *value)
{
	PGresult *result = PQexec(conn, sql);
	ExecStatusType status = PQresultStatus(result);

	/* The connection closes with the arena; its result must not leak when the error's text does
	 * not fit. */
	arena_defer(c->arena, clear_result, result);
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		return refused(c, conn, result);
	if (value)
		*value = PQntuples(result) > 0 ? number_leading(PQgetvalue(result, 0, 0)) : -1;
	return 0;
}

static int check_server(struct ctx *c, PGconn *conn)
{
	const char *encoding = PQparameterStatus(conn, "server_encoding");
	int version = PQserverVersion(conn);

	if (version < DB_OLDEST_SERVER)
		return fail(c, INVALID_STATE, "PostgreSQL %d is too old: Capstan needs %d or newer",
		            version / 10000, DB_OLDEST_SERVER / 10000);
	if (!encoding || strcmp(encoding, "UTF8") != 0)
		return fail(c, INVALID_STATE,
			    "database \"%s\" has encoding %s: create one with ENCODING 'UTF8'",
			    PQdb(conn), encoding ? encoding : "(unknown)");
	return 0;
}

/* A server that is just starting is worth waiting for. */
static int open_connection(struct ctx *c, const char *conninfo, PGconn **ret)
{
	for (int waited = 0;; waited += STARTING_UP_STEP_MS) {
		PGconn *conn = connect_open(conninfo);
		char state[6];

		if (!conn)
			return fail(c, TEMPORARILY_UNAVAILABLE, "out of memory");
		arena_defer(c->arena, close_connection, conn);
		if (PQstatus(conn) == CONNECTION_OK) {
			*ret = conn;
			return run(c, conn,
				   "SET client_min_messages = error; SET statement_timeout = 0;"
				   " SET synchronous_commit = on; SET "
				   "default_transaction_read_only = off",
				   NULL)
				       ? -1
				       : check_server(c, conn);
		}
		connect_sqlstate(conn, state);
		if (strcmp(state, "57P03") != 0 || waited >= STARTING_UP_MS)
			return connect_explain(c, conn);
		nanosleep(&(struct timespec){ .tv_nsec = STARTING_UP_STEP_MS * 1000000L }, NULL);
	}
}

static int read_version(struct ctx *c, PGconn *conn, int *version)
{
	int exists;

	if (run(c, conn,
		"SELECT 1 FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace n ON n.oid = "
		"t.relnamespace"
		" WHERE n.nspname = 'capstan' AND t.relname = 'schema_version'",
		&exists))
		return -1;
	*version = 0;
	if (exists < 0)
		return 0;
	return run(c, conn, "SELECT coalesce(max(version), 0) FROM capstan.schema_version",
		   version);
}

static int check_version(struct ctx *c, PGconn *conn, int version)
{
	if (version <= migrate_latest())
		return 0;
	return fail(c, INVALID_STATE,
		    "database \"%s\" has schema version %d, but capstan " CAPSTAN_VERSION
		    " knows only %d: use the newer capstan that upgraded it, or another database",
		    PQdb(conn), version, migrate_latest());
}

static int make_schema(struct ctx *c, PGconn *conn)
{
	int exists;

	/* CREATE SCHEMA IF NOT EXISTS asks for the right to create even when there is nothing to
	 * do. */
	if (run(c, conn, "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'capstan'",
		&exists))
		return -1;
	if (exists < 0 && run(c, conn, "CREATE SCHEMA IF NOT EXISTS capstan", NULL))
		return -1;
	return run(c, conn, "CREATE TABLE IF NOT EXISTS capstan.schema_version ("
	           "version integer PRIMARY KEY, name text NOT NULL, program text NOT NULL,"
	           " applied timestamptz NOT NULL DEFAULT now())", NULL);
}

static int apply(struct ctx *c, PGconn *conn, const struct migration *m)
{
	const char *done = arena_printf(c->arena,
					"INSERT INTO capstan.schema_version (version, name, "
					"program) VALUES (%d, '%s', '" CAPSTAN_VERSION "')",
					m->version, m->name);

	if (m->version == 1 && make_schema(c, conn))
		return -1;
	return run(c, conn, "SET LOCAL search_path = capstan, pg_catalog", NULL) ||
			       run(c, conn, m->sql, NULL) || run(c, conn, done, NULL)
		       ? -1
		       : 0;
}

/* One step up in one transaction; *version is what the database then has. */
static int step(struct ctx *c, PGconn *conn, int *version)
{
	if (run(c, conn, "BEGIN ISOLATION LEVEL READ COMMITTED", NULL) ||
	    run(c, conn,
		"SELECT 1 FROM (SELECT pg_catalog.pg_advisory_xact_lock(" LOCK_KEY ")) AS l",
		NULL) ||
	    read_version(c, conn, version) || check_version(c, conn, *version))
		return -1;
	if (*version < migrate_latest()) {
		const struct migration *m = &migrations[*version];

		assert(m->version == *version + 1);
		if (apply(c, conn, m))
			return -1;
		*version = m->version;
	}
	return run(c, conn, "COMMIT", NULL);
}

int migrate_run(struct ctx *c, const char *conninfo, int *from, int *to)
{
	PGconn *conn;
	int version;

	if (open_connection(c, conninfo, &conn) || read_version(c, conn, &version))
		return -1;
	if (from)
		*from = version;
	if (check_version(c, conn, version))
		return -1;
	while (version < migrate_latest()) {
		if (step(c, conn, &version))
			return -1;
	}
	if (to)
		*to = version;
	return 0;
}

int migrate_version(struct ctx *c, const char *conninfo, int *version)
{
	PGconn *conn;

	return open_connection(c, conninfo, &conn) ? -1 : read_version(c, conn, version);
}
