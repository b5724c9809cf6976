/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* SQLSTATE to error code, once. */

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "internal.h"

#define UNAVAILABLE_TEXT "The service is temporarily unavailable. Please try again."

static const struct {
	const char *prefix;             /* the first that matches counts */
	enum error_code code;
	const char *message;
} states[] = {
	{ "23505", RESOURCE_ALREADY_EXISTS, "The resource already exists." },
	{ "40001", TEMPORARILY_UNAVAILABLE, UNAVAILABLE_TEXT },
	{ "40P01", TEMPORARILY_UNAVAILABLE, UNAVAILABLE_TEXT },
	{ "57014", TEMPORARILY_UNAVAILABLE,
	  "The request took too long and was stopped. Ask for less, or try again." },
	{ "53100", INSUFFICIENT_STORAGE, "The server's disk is full." },
	{ "53", TEMPORARILY_UNAVAILABLE, UNAVAILABLE_TEXT }, /* out of memory, connections */
	{ "08", TEMPORARILY_UNAVAILABLE, UNAVAILABLE_TEXT },
	{ "57P", TEMPORARILY_UNAVAILABLE, UNAVAILABLE_TEXT },
	{ "55P03", TEMPORARILY_UNAVAILABLE, UNAVAILABLE_TEXT }, /* lock_timeout */
	{ "25006", TEMPORARILY_UNAVAILABLE,
	  UNAVAILABLE_TEXT }, /* read only: a standby, after a failover */
	{ "25P03", TEMPORARILY_UNAVAILABLE, UNAVAILABLE_TEXT }, /* idle in transaction too long */
	{ "58030", TEMPORARILY_UNAVAILABLE, UNAVAILABLE_TEXT }, /* I/O error */
	{ "", INTERNAL_ERROR, "An internal error occurred." },
};

static size_t find(const char *sqlstate)
{
	size_t i = 0;

	while (strncmp(states[i].prefix, sqlstate, strlen(states[i].prefix)) != 0)
		i++;
	return i;
}

enum error_code error_of_sqlstate(const char *sqlstate)
{
	return states[find(sqlstate)].code;
}

/* After these the session is gone, is another's, or has forgotten its statements. */
static bool ends_session(const char *sqlstate)
{
	return strncmp(sqlstate, "08", 2) == 0 || strncmp(sqlstate, "57P", 3) == 0 ||
	       strcmp(sqlstate, "25006") == 0 || strcmp(sqlstate, "25P03") == 0 ||
	       strcmp(sqlstate, "26000") == 0 || strcmp(sqlstate, "42P05") == 0 ||
	       strcmp(sqlstate, "0A000") == 0; /* "cached plan must not change result type" */
}

int error_result(struct ctx *c, struct db *db, const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
	size_t i;

	if (!state)
		return error_lost(c, db);
	if (!*db->sqlstate) {
		snprintf(db->sqlstate, sizeof(db->sqlstate), "%s", state);
		snprintf(db->constraint, sizeof(db->constraint), "%s",
			 constraint ? constraint : "");
	}
	if (ends_session(state))
		db->broken = true;
	i = find(state);
	return fail_because(c, states[i].code, PQresultErrorMessage(result), "%s",
			    states[i].message);
}

int error_unavailable(struct ctx *c, const char *detail)
{
	return fail_because(c, TEMPORARILY_UNAVAILABLE, detail, "%s", UNAVAILABLE_TEXT);
}

int error_lost(struct ctx *c, struct db *db)
{
	const char *words = db->conn ? PQerrorMessage(db->conn) : "";

	db->broken = true;
	if (!*db->sqlstate)
		snprintf(db->sqlstate, sizeof(db->sqlstate), "%s", "08006");
	return error_unavailable(c, *words ? words : "no answer from PostgreSQL");
}

const char *db_sqlstate(const struct ctx *c)
{
	return c->db ? c->db->sqlstate : "";
}

const char *db_constraint(const struct ctx *c)
{
	return c->db ? c->db->constraint : "";
}
