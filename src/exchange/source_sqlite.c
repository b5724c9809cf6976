/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* MLflow's database on sqlite, read-only, in one read transaction. Its cells have types of their own. */
#include <sqlite3.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "mlflow_schema.h"
#include "source_marks.h"

enum { BUSY_MS = 10000 };

struct sqlite {
	struct source base;
	sqlite3 *db;
	const char *uri;
	const char *version;
	struct mlflow_catalog *catalog;
	bool elsewhere;
};

static void finalize(sqlite3_stmt **s)
{
	sqlite3_finalize(*s);
}

/* sqlite:///relative, sqlite:////absolute, with or without +pysqlite and a query; a file by its name. */
static const char *path_of(struct ctx *c, const char *uri)
{
	const char *at = strstr(uri, ":///");

	return at ? arena_strndup(c->arena, at + 4, strcspn(at + 4, "?")) : uri;
}

static bool sqlite_accepts(const char *uri)
{
	size_t size = strlen(uri);

	return !strncmp(uri, "sqlite:", 7) || !strncmp(uri, "sqlite+", 7) ||
	       (!strstr(uri, "://") && size > 3 && !strcmp(uri + size - 3, ".db"));
}

static int lite_fail(struct ctx *c, const struct sqlite *s)
{
	if (c->error.code != OK)
		return -1;
	return fail_because(c, sqlite3_errcode(s->db) == SQLITE_NOMEM ? RESOURCE_EXHAUSTED : IO_ERROR,
			    arena_strdup(c->arena, sqlite3_errmsg(s->db)), "The source %s cannot be read: %s.", s->uri,
			    sqlite3_errmsg(s->db));
}

static int prepare(struct ctx *c, const struct sqlite *s, const char *sql, sqlite3_stmt **ret)
{
	return sqlite3_prepare_v2(s->db, sql, -1, ret, NULL) == SQLITE_OK ? 0 : lite_fail(c, s);
}

static int ask_number(struct ctx *c, const struct sqlite *s, const char *sql, int64_t *ret)
{
	CLEANUP(finalize) sqlite3_stmt *stmt = NULL;

	*ret = 0;
	if (!sql)
		return 0;
	if (prepare(c, s, sql, &stmt))
		return -1;
	if (sqlite3_step(stmt) != SQLITE_ROW)
		return lite_fail(c, s);
	*ret = sqlite3_column_int64(stmt, 0);
	return 0;
}

static const char *column_text(struct ctx *c, sqlite3_stmt *stmt, int column)
{
	const unsigned char *text = sqlite3_column_text(stmt, column);

	return text ? arena_strdup(c->arena, (const char *)text) : "";
}

static int read_catalog(struct ctx *c, struct sqlite *s)
{
	CLEANUP(finalize) sqlite3_stmt *stmt = NULL;
	int step;

	if (prepare(c, s,
		    "SELECT m.name, p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p"
		    " WHERE m.type = 'table' ORDER BY 1",
		    &stmt))
		return -1;
	s->catalog = mlflow_catalog_new(c, MLFLOW_SQLITE);
	while ((step = sqlite3_step(stmt)) == SQLITE_ROW)
		mlflow_catalog_add(c, s->catalog, column_text(c, stmt, 0), column_text(c, stmt, 1));
	return step == SQLITE_DONE ? 0 : lite_fail(c, s);
}

static int read_revision(struct ctx *c, const struct sqlite *s, bool auth, const char **ret)
{
	CLEANUP(finalize) sqlite3_stmt *stmt = NULL;
	const char *sql = mlflow_revision(s->catalog, auth);

	*ret = NULL;
	if (!sql)
		return 0;
	if (prepare(c, s, sql, &stmt))
		return -1;
	if (sqlite3_step(stmt) == SQLITE_ROW)
		*ret = column_text(c, stmt, 0);
	return 0;
}

static void close_database(void *arg)
{
	sqlite3_close_v2(((struct sqlite *)arg)->db);
}

/* A file: URI, so that nothing is made where there is nothing. */
static const char *file_uri(struct ctx *c, const char *path)
{
	static const char plain[] = "/-._~";
	struct buf b = BUF(c->arena, LIMIT_SQL);

	buf_add(&b, "file:");
	for (const unsigned char *p = (const unsigned char *)path; *p; p++) {
		bool letter = (*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z');
		if (letter || strchr(plain, *p))
			buf_addc(&b, (char)*p);
		else
			buf_addf(&b, "%%%02X", *p);
	}
	buf_add(&b, "?mode=ro");
	return buf_text(&b);
}

static struct source *sqlite_open(struct ctx *c, const struct source_options *o)
{
	struct sqlite *s = NEW(c->arena, struct sqlite);
	const char *revision = NULL;
	int64_t elsewhere = 0;

	s->base.ops = &source_sqlite;
	s->uri = o->uri;
	const char *path = path_of(c, o->uri);
	int result = sqlite3_open_v2(file_uri(c, path), &s->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
	arena_defer(c->arena, close_database, s);
	if (result != SQLITE_OK) {
		fail(c, INVALID_PARAMETER_VALUE, "Cannot open %s: %s.", path,
		     s->db ? sqlite3_errmsg(s->db) : "no memory");
		return NULL;
	}
	sqlite3_busy_timeout(s->db, BUSY_MS);
	if (sqlite3_exec(s->db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK) {
		lite_fail(c, s);
		return NULL;
	}
	if (read_catalog(c, s) || read_revision(c, s, o->auth, &revision) ||
	    mlflow_check(c, s->catalog, o, revision, &s->version) ||
	    ask_number(c, s, mlflow_count_elsewhere(c, s->catalog), &elsewhere))
		return NULL;
	s->elsewhere = elsewhere > 0;
	mlflow_catalog_workspaces(s->catalog, s->elsewhere);
	return &s->base;
}

static int sqlite_describe(struct ctx *c, struct source *base, struct source_description *ret)
{
	struct sqlite *s = (struct sqlite *)base;
	size_t capacity = 0;

	*ret = (struct source_description){ .uri = s->uri, .kind = "MLflow database on sqlite", .version = s->version };
	for (int t = 0; t < SOURCE_TABLES; t++) {
		if (ask_number(c, s, mlflow_count(c, s->catalog, (enum source_table)t), &ret->rows[t]))
			return -1;
	}
	mlflow_left(c, s->catalog, &ret->left);
	for (size_t i = 0; i < ret->left.count; i++) {
		struct source_left *left = LIST_AT(struct source_left, &ret->left, i);
		if (ask_number(c, s, mlflow_count_table(c, left->name), &left->rows))
			return -1;
	}
	if (s->elsewhere)
		*(const char **)list_add(c->arena, &ret->notes, &capacity, sizeof(char *)) =
			"There are workspaces besides 'default': what is in them stays behind.";
	return 0;
}

/* A number from a cell of any type; false: there is none in it. */
static bool number_of(sqlite3_stmt *stmt, int i, int type, struct source_value *v)
{
	if (type == SQLITE_INTEGER) {
		v->integer = sqlite3_column_int64(stmt, i);
		return true;
	}
	double real = sqlite3_column_double(stmt, i);
	if (type != SQLITE_FLOAT || !(real >= -9.2e18 && real <= 9.2e18) || (double)(int64_t)real != real)
		return false;
	v->integer = (int64_t)real;
	return true;
}

static void value_of(sqlite3_stmt *stmt, int i, enum source_type wanted, struct source_value *v)
{
	int type = sqlite3_column_type(stmt, i);

	*v = (struct source_value){ .null = type == SQLITE_NULL };
	if (v->null)
		return;
	switch (wanted) {
	case SOURCE_TEXT:
		v->text = type == SQLITE_BLOB ? sqlite3_column_blob(stmt, i)
					      : (const char *)sqlite3_column_text(stmt, i);
		v->size = (size_t)sqlite3_column_bytes(stmt, i);
		if (!v->text)
			v->text = "";
		break;
	case SOURCE_INT:
		v->wrong = !number_of(stmt, i, type, v);
		break;
	case SOURCE_BOOL:
		v->wrong = type != SQLITE_INTEGER;
		v->boolean = sqlite3_column_int64(stmt, i) != 0;
		break;
	case SOURCE_REAL:
		v->wrong = type != SQLITE_FLOAT && type != SQLITE_INTEGER;
		v->real = sqlite3_column_double(stmt, i);
		break;
	}
}

static int sqlite_read(struct ctx *c, struct source *base, enum source_table table, const char *after,
		       const struct source_sink *to)
{
	struct sqlite *s = (struct sqlite *)base;
	struct source_marks marks = { .table = table, .to = to };
	CLEANUP(finalize) sqlite3_stmt *stmt = NULL;
	unsigned columns = source_columns(table);
	const char *sql = mlflow_select(c, s->catalog, table, after ? "?1" : NULL);
	bool number = source_tables[table].columns[0].type == SOURCE_INT;
	int step;

	if (!sql)
		return 0;
	if (number && after)
		sql = mlflow_select(c, s->catalog, table, "CAST(?1 AS INTEGER)");
	if (prepare(c, s, sql, &stmt))
		return -1;
	if (after && sqlite3_bind_text(stmt, 1, after, -1, SQLITE_TRANSIENT) != SQLITE_OK)
		return lite_fail(c, s);
	while ((step = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct source_value row[SOURCE_COLUMNS_MAX];
		for (unsigned i = 0; i < columns; i++)
			value_of(stmt, (int)i, source_tables[table].columns[i].type, &row[i]);
		if (source_marks_row(c, &marks, row))
			return -1;
	}
	return step == SQLITE_DONE ? 0 : lite_fail(c, s);
}

/* With the arena of open(). */
static void sqlite_close(struct source *s)
{
	(void)s;
}

const struct source_ops source_sqlite = {
	sqlite_accepts, sqlite_open, sqlite_describe, sqlite_read, sqlite_close,
};
