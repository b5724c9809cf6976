/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Opening connections, and saying why one does not open. */

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "internal.h"

static void ignore_notice(void *arg, const PGresult *result)
{
	(void)arg, (void)result;
}

/* Ours before "dbname" are defaults that the conninfo may change, those after it are not. */
static PGconn *begin_connect(const char *conninfo)
{
	static const char *const keywords[] = { "connect_timeout",           "keepalives_idle",
						"keepalives_interval",       "keepalives_count",
						"tcp_user_timeout",          "gssencmode",
						"fallback_application_name", "dbname",
						"client_encoding",           NULL };
	const char *const values[] = {
		"5", "30", "5", "3", "15000", "disable", "capstan", conninfo, "UTF8", NULL
	};

	return PQconnectStartParams(keywords, values, 1);
}

PGconn *connect_open(const char *conninfo)
{
	PGconn *conn = begin_connect(conninfo);
	PostgresPollingStatusType wants = PGRES_POLLING_WRITING;
	int64_t end = clock_ms() + DB_CONNECT_MS;

	if (!conn || PQstatus(conn) == CONNECTION_BAD)
		return conn;
	PQsetErrorVerbosity(
		conn, PQERRORS_VERBOSE); /* with SQLSTATE: libpq has no other way to tell it */
	PQsetNoticeReceiver(conn, ignore_notice, NULL);
	while (wants != PGRES_POLLING_OK && wants != PGRES_POLLING_FAILED) {
		struct pollfd p = {
			.fd = PQsocket(conn),
			.events = wants == PGRES_POLLING_READING ? POLLIN : POLLOUT,
		};
		int64_t left = end - clock_ms();
		int n = left > 0 ? poll(&p, 1, (int)left) : 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;          /* neither OK nor BAD: the caller sees that it is not OK */
		wants = PQconnectPoll(conn);
	}
	PQsetErrorVerbosity(conn, PQERRORS_DEFAULT);
	return conn;
}

/*
 * One round trip. The isolation level is what our upserts were written for; a commit is durable
 * even where the server's default says otherwise, while its stronger forms (remote_apply) stay.
 * PostgreSQL's own random_page_cost is that of turning disks, for which it reads whole tables where
 * a few hundred probes would do; and its compiler takes longer than any of our statements.
 */
int connect_setup(struct ctx *c, struct db *db, int statement_timeout_ms)
{
	char sql[720];

	snprintf(
		sql, sizeof(sql),
		"SET search_path = capstan, pg_catalog; SET statement_timeout = %d; "
		"SET idle_in_transaction_session_timeout = 60000; SET client_min_messages = error; "
		"SET default_transaction_isolation = 'read committed'; SET "
		"default_transaction_read_only = off; "
		"SET timezone = 'UTC'; SET application_name = 'capstan'; "
		"SET random_page_cost = 1.1; SET jit = off; "
		"SELECT set_config('synchronous_commit', 'on', false)"
		" WHERE current_setting('synchronous_commit') IN ('off', 'local')",
		statement_timeout_ms);
	db->silence_default = statement_timeout_ms > 0 ? statement_timeout_ms + DB_GRACE_MS : -1;
	db->silence_ms = DB_SETUP_MS;
	if (PQsetnonblocking(db->conn, 1) || !PQsendQuery(db->conn, sql))
		return error_lost(c, db);
	while ((db->result = pipeline_result(db))) {
		int failed = PQresultStatus(db->result) == PGRES_FATAL_ERROR ?
			error_result(c, db, db->result) : 0;

		result_forget(db);
		if (failed) {
			db->broken = true;
			return -1;
		}
	}
	if (db->broken || PQstatus(db->conn) != CONNECTION_OK)
		return error_lost(c, db);
	db->silence_ms = db->silence_default;
	return pipeline_enter(c, db);
}

/* The first ": XXXXX: " of a verbose message. */
void connect_sqlstate(const PGconn *conn, char ret[6])
{
	const char *p = PQerrorMessage(conn);

	*ret = '\0';
	while ((p = strstr(p, ":  "))) {
		size_t n = 0;

		p += 3;
		while (n < 5 && (isdigit((unsigned char)p[n]) || isupper((unsigned char)p[n])))
			n++;
		if (n == 5 && p[5] == ':') {
			memcpy(ret, p, 5);
			ret[5] = '\0';
			return;
		}
	}
}

static const char *or_default(const char *s, const char *other)
{
	return s && *s ? s : other;
}

static const char *where(struct ctx *c, const PGconn *conn)
{
	const char *host = or_default(PQhost(conn), "localhost");

	if (*host == '/')
		return arena_printf(c->arena, "socket directory %s", host);
	return arena_printf(c->arena, "%s:%s", host, or_default(PQport(conn), "5432"));
}

/* libpq's first line without its own prefix: "Connection refused". */
static const char *reason(struct ctx *c, const PGconn *conn)
{
	const char *message = or_default(PQerrorMessage(conn), "no answer in time");
	const char *failed = strstr(message, "failed: ");

	if (failed)
		message = failed + strlen("failed: ");
	return arena_strndup(c->arena, message, strcspn(message, "\n"));
}

int connect_explain(struct ctx *c, const PGconn *conn)
{
	const char *detail = arena_strdup(c->arena, PQerrorMessage(conn));
	const char *at = where(c, conn);
	const char *user = or_default(PQuser(conn), "(none)"), *name = or_default(PQdb(conn), user);
	char state[6];

	connect_sqlstate(conn, state);
	if (strncmp(state, "28", 2) == 0 || PQconnectionNeedsPassword(conn))
		return fail_because(
			c, PERMISSION_DENIED, detail,
			"PostgreSQL at %s does not let user \"%s\" in: check the user name and "
			"password in --backend-store-uri",
			at, user);
	if (strcmp(state, "3D000") == 0)
		return fail_because(
			c, RESOURCE_DOES_NOT_EXIST, detail,
			"PostgreSQL at %s has no database \"%s\": create it (createdb %s), or "
			"correct --backend-store-uri",
			at, name, name);
	if (strcmp(state, "42501") == 0)
		return fail_because(
			c, PERMISSION_DENIED, detail,
			"PostgreSQL at %s does not let user \"%s\" connect to database \"%s\": "
			"GRANT CONNECT ON DATABASE to it",
			at, user, name);
	if (strcmp(state, "53300") == 0)
		return fail_because(
			c, TEMPORARILY_UNAVAILABLE, detail,
			"PostgreSQL at %s has no free connection: raise its max_connections, or "
			"close other clients",
			at);
	if (*state)
		return fail_because(c, TEMPORARILY_UNAVAILABLE, detail, "PostgreSQL at %s refuses "
		                    "connections for now (%s): %s", at, state, reason(c, conn));
	return fail_because(
		c, TEMPORARILY_UNAVAILABLE, detail,
		"cannot reach PostgreSQL at %s (%s): check that it is running and that host "
		"and port in --backend-store-uri are right",
		at, reason(c, conn));
}
