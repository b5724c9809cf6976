/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * MLflow's database on PostgreSQL, in one snapshot, streamed by COPY. The connection is an ordinary one of db/'s, in a
 * ctx of its own, since the caller's c->db is the target.
 */
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "db/copy_out.h"
#include "db/uri.h"
#include "mlflow_schema.h"
#include "source_marks.h"

enum { CONNECT_MS = 10000 };

struct postgres {
	struct source base;
	struct ctx own;                 /* its db is the source; its arena the one of open() */
	struct db_pool *pool;
	const char *uri;
	const char *version;
	struct mlflow_catalog *catalog;
	bool elsewhere;
};

/* The database's own search path, where MLflow's tables are: db/ set ours. */
static const struct stmt path = { "source_path", "", "RESET search_path" };
/* Sorting the metrics in memory; idle while the target writes. */
static const struct stmt memory = { "source_memory", "", "SET work_mem = '256MB'" };
static const struct stmt idle = { "source_idle", "", "SET idle_in_transaction_session_timeout = 0" };

static bool postgres_accepts(const char *uri)
{
	return !strncmp(uri, "postgres://", 11) || !strncmp(uri, "postgresql://", 13) ||
	       !strncmp(uri, "postgresql+", 11);
}

static int own_failure(struct ctx *c, const struct postgres *p)
{
	const struct error *e = &p->own.error;

	if (c->error.code != OK)
		return -1;
	if (e->detail)
		return fail_because(c, e->code, arena_strdup(c->arena, e->detail), "The source: %s", e->message);
	return fail(c, e->code == OK ? INTERNAL_ERROR : e->code, "The source: %s", e->message ? e->message : "failed");
}

/* ---- what there is ---- */

struct texts {
	const char *a, *b;
};

/* clang-format off */
static const struct record texts_record = { sizeof(struct texts), (const struct field[]){
	STRING(struct texts, a, 0),
	STRING(struct texts, b, 0),
	END }};
/* clang-format on */

static int read_catalog(struct postgres *p)
{
	struct ctx *own = &p->own;
	struct list rows = { 0 };

	if (db_list_once(own,
			 "SELECT c.relname::text AS a, a.attname::text AS b FROM pg_catalog.pg_class c"
			 " JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
			 " WHERE c.relkind IN ('r', 'p') AND pg_catalog.pg_table_is_visible(c.oid)"
			 " AND c.relnamespace <> 'pg_catalog'::regnamespace ORDER BY 1, a.attnum",
			 NO_ARGS, &texts_record, &rows))
		return -1;
	p->catalog = mlflow_catalog_new(own, MLFLOW_POSTGRES);
	for (size_t i = 0; i < rows.count; i++) {
		const struct texts *t = LIST_AT(struct texts, &rows, i);
		mlflow_catalog_add(own, p->catalog, t->a, t->b);
	}
	return 0;
}

/* The first value of a query as text; NULL: none. */
static int ask(struct ctx *own, const char *sql, const char **ret)
{
	struct list rows = { 0 };

	*ret = NULL;
	if (db_list_once(own, arena_printf(own->arena, "SELECT (q.v)::text AS a FROM (%s) AS q (v)", sql), NO_ARGS,
			 &texts_record, &rows))
		return -1;
	if (rows.count)
		*ret = LIST_AT(struct texts, &rows, 0)->a;
	return 0;
}

static int ask_number(struct ctx *own, const char *sql, int64_t *ret)
{
	const char *text = NULL;

	*ret = 0;
	if (!sql)
		return 0;
	if (ask(own, sql, &text))
		return -1;
	for (; text && *text >= '0' && *text <= '9'; text++)
		*ret = *ret * 10 + (*text - '0');
	return 0;
}

static int look(struct postgres *p, const struct source_options *o)
{
	struct ctx *own = &p->own;
	const char *revision = NULL;
	int64_t elsewhere;

	if (db_get(own, p->pool, CONNECT_MS) || db_exec(own, &path, NO_ARGS) < 0 ||
	    db_exec(own, &memory, NO_ARGS) < 0 || db_exec(own, &idle, NO_ARGS) < 0)
		return -1;
	db_queue_begin_snapshot(own);
	if (read_catalog(p))
		return -1;
	const char *sql = mlflow_revision(p->catalog, o->auth);
	if ((sql && ask(own, sql, &revision)) || mlflow_check(own, p->catalog, o, revision, &p->version) ||
	    ask_number(own, mlflow_count_elsewhere(own, p->catalog), &elsewhere))
		return -1;
	p->elsewhere = elsewhere > 0;
	mlflow_catalog_workspaces(p->catalog, p->elsewhere);
	return 0;
}

static void close_pool(void *arg)
{
	struct postgres *p = arg;

	if (p->own.db)
		db_put(&p->own, p->pool);
	db_pool_free(p->pool);
	p->pool = NULL;
}

static struct source *postgres_open(struct ctx *c, const struct source_options *o)
{
	struct postgres *p = NEW(c->arena, struct postgres);
	struct db_options options = { .size = 1 };

	p->base.ops = &source_postgres;
	p->own.arena = c->arena;
	if (db_uri_normalize(c, o->uri, &options.conninfo))
		return NULL;
	p->uri = db_uri_redact(c, o->uri);
	p->pool = db_pool_new(&options);
	if (!p->pool) {
		fail(c, INTERNAL_ERROR, "No memory.");
		return NULL;
	}
	arena_defer(c->arena, close_pool, p);
	if (look(p, o)) {
		own_failure(c, p);
		return NULL;
	}
	return &p->base;
}

static int postgres_describe(struct ctx *c, struct source *s, struct source_description *ret)
{
	struct postgres *p = (struct postgres *)s;
	struct ctx *own = &p->own;
	size_t capacity = 0;

	*ret = (struct source_description){ .uri = p->uri, .kind = "MLflow database on PostgreSQL",
					    .version = p->version };
	for (int t = 0; t < SOURCE_TABLES; t++) {
		if (ask_number(own, mlflow_count(own, p->catalog, (enum source_table)t), &ret->rows[t]))
			return own_failure(c, p);
	}
	mlflow_left(c, p->catalog, &ret->left);
	for (size_t i = 0; i < ret->left.count; i++) {
		struct source_left *left = LIST_AT(struct source_left, &ret->left, i);
		if (ask_number(own, mlflow_count_table(own, left->name), &left->rows))
			return own_failure(c, p);
	}
	if (p->elsewhere)
		*(const char **)list_add(c->arena, &ret->notes, &capacity, sizeof(char *)) =
			"There are workspaces besides 'default': what is in them stays behind.";
	return 0;
}

/* ---- reading ---- */

struct reading {
	struct ctx *c;
	struct source_marks marks;
	enum source_type types[SOURCE_COLUMNS_MAX];
	unsigned columns;
};

static int take(struct ctx *own, void *arg, const struct db_cell *cells)
{
	struct reading *r = arg;
	struct source_value row[SOURCE_COLUMNS_MAX];

	(void)own;
	for (unsigned i = 0; i < r->columns; i++) {
		struct source_value *v = &row[i];
		*v = (struct source_value){ .null = cells[i].size < 0 };
		if (v->null)
			continue;
		switch (r->types[i]) {
		case SOURCE_TEXT:
			v->text = cells[i].data;
			v->size = (size_t)cells[i].size;
			break;
		case SOURCE_INT:
			v->integer = db_cell_int64(&cells[i]);
			break;
		case SOURCE_REAL:
			v->real = db_cell_double(&cells[i]);
			break;
		case SOURCE_BOOL:
			v->boolean = db_cell_bool(&cells[i]);
			break;
		}
	}
	return source_marks_row(r->c, &r->marks, row);
}

/* Positions are our own, but they come from a table: quoted all the same. */
static const char *quoted(struct ctx *c, enum source_table table, const char *text)
{
	struct buf b = BUF(c->arena, LIMIT_SQL);
	bool number = source_tables[table].columns[0].type == SOURCE_INT;

	buf_addc(&b, '\'');
	for (; *text; text++) {
		if (*text == '\'')
			buf_addc(&b, '\'');
		buf_addc(&b, *text);
	}
	buf_add(&b, number ? "'::bigint" : "'");
	return buf_text(&b);
}

static int postgres_read(struct ctx *c, struct source *s, enum source_table table, const char *after,
			 const struct source_sink *to)
{
	struct postgres *p = (struct postgres *)s;
	struct reading r = { .c = c, .marks = { .table = table, .to = to }, .columns = source_columns(table) };
	const char *sql = mlflow_select(c, p->catalog, table, after ? quoted(c, table, after) : NULL);

	if (!sql)
		return 0;
	for (unsigned i = 0; i < r.columns; i++)
		r.types[i] = source_tables[table].columns[i].type;
	if (db_copy_out(&p->own, arena_printf(c->arena, "COPY (%s) TO STDOUT (FORMAT binary)", sql), r.columns, take,
			&r))
		return own_failure(c, p);
	return 0;
}

/* With the arena of open(). */
static void postgres_close(struct source *s)
{
	(void)s;
}

const struct source_ops source_postgres = {
	postgres_accepts, postgres_open, postgres_describe, postgres_read, postgres_close,
};
