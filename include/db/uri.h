/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* uri — SQLAlchemy's database URIs as MLflow's users write them, to libpq's. */
#ifndef DB_URI_H
#define DB_URI_H

#include <stdbool.h>

#include "base/ctx.h"

/* postgresql://, postgres://, postgresql+psycopg2:// (any driver suffix), query arguments included,
   to a libpq URI in the arena. Others (sqlite, mysql, mssql, file paths) fail with a sentence that
   says what to do. */
int db_uri_normalize(struct ctx *c, const char *uri, const char **ret) MUST_CHECK;

/* Does a normalized one name a server on this machine? */
bool db_uri_is_local(const char *conninfo);

/* The same without its password, for logs. */
const char *db_uri_redact(struct ctx *c, const char *uri);

#endif
