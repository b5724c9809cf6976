/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* A batch of rows: into its temporary table, then by a few statements over all of them into ours. */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "import_tables.h"
#include "keys.h"

enum { TEXT_LETTER = 't', INT_LETTER = 'i', REAL_LETTER = 'd', BOOL_LETTER = 'b' };

struct shape {
	char letters[IMPORT_CELLS_MAX];
	const char *columns[IMPORT_CELLS_MAX];
};

/* clang-format off */
static const struct shape shapes[IMPORT_TABLES] = {
#define TABLE(name, text)
#define COLUMN(table, index, name, type, flags) \
	[IMPORT_##table].letters[index] = type##_LETTER, [IMPORT_##table].columns[index] = #name,
#include "store/import_tables.def"
#undef TABLE
#undef COLUMN
};

const char *const import_table_names[IMPORT_TABLES] = {
#define TABLE(name, text) [IMPORT_##name] = text,
#define COLUMN(table, index, name, type, flags)
#include "store/import_tables.def"
#undef TABLE
#undef COLUMN
};
/* clang-format on */

struct counted {
	const int64_t *rows;
};

/* clang-format off */
static const struct record counted_record = { sizeof(struct counted), (const struct field[]){
	INT64(struct counted, rows, 0),
	END }};

static const struct record dropped_record = { sizeof(struct import_dropped), (const struct field[]){
	INT64 (struct import_dropped, hash,  0),
	STRING(struct import_dropped, label, 0),
	END }};
/* clang-format on */

const char *store_import_letters(enum import_table t)
{
	return shapes[t].letters;
}

/* ---- building ---- */

/* SQL with "@" replaced by the import's id. */
static void add(struct buf *sql, const char *text, int64_t import)
{
	for (; *text; text++) {
		if (*text == '@')
			buf_add_int64(sql, import);
		else
			buf_addc(sql, *text);
	}
}

static struct buf begin(struct ctx *c)
{
	return (struct buf)BUF(c->arena, LIMIT_SQL);
}

static const char *type_name(char letter)
{
	return letter == 't' ? "text COLLATE \"C\""
	     : letter == 'i' ? "bigint"
	     : letter == 'd' ? "double precision"
			     : "boolean";
}

int store_import_prepare(struct ctx *c, enum import_table t)
{
	struct buf sql = begin(c);
	struct list none = { 0 };

	buf_addf(&sql, "CREATE TEMPORARY TABLE IF NOT EXISTS import_%s (", import_table_names[t]);
	for (size_t i = 0; shapes[t].columns[i]; i++)
		buf_addf(&sql, "%s %s, ", shapes[t].columns[i], type_name(shapes[t].letters[i]));
	buf_add(&sql, "hash bigint, n bigint) ON COMMIT DELETE ROWS");
	return db_list_once(c, buf_text(&sql), NO_ARGS, NULL, &none);
}

static int run(struct ctx *c, const char *text, int64_t import)
{
	struct buf sql = begin(c);
	struct list none = { 0 };

	if (!text)
		return 0;
	add(&sql, text, import);
	return db_list_once(c, buf_text(&sql), NO_ARGS, NULL, &none);
}

/* DELETE ... RETURNING the hashes, to be taken off the sum, and what the rows are called. */
static int drop(struct ctx *c, enum import_table t, const char *which, int64_t import, struct list *out)
{
	struct buf sql = begin(c);

	buf_addf(&sql, "DELETE FROM import_%s s WHERE s.n ", import_table_names[t]);
	add(&sql, which, import);
	buf_addf(&sql, " RETURNING s.hash, concat_ws('/', %s) AS label", import_plans[t].key);
	return db_list_once(c, buf_text(&sql), NO_ARGS, &dropped_record, out);
}

static int drop_repeats(struct ctx *c, enum import_table t, int64_t import, struct list *out)
{
	const struct import_plan *p = &import_plans[t];
	const char *name = import_table_names[t];

	return drop(c, t,
		    arena_printf(c->arena, "IN (SELECT a.n FROM import_%s a JOIN import_%s b USING (%s) WHERE %s)", name,
				 name, p->key, p->repeats ? p->repeats : "a.n > b.n"),
		    import, out);
}

static int drop_orphans(struct ctx *c, enum import_table t, int64_t import, struct list *out)
{
	const struct import_plan *p = &import_plans[t];

	if (!*p->parents)
		return 0;
	return drop(c, t,
		    arena_printf(c->arena, "NOT IN (SELECT s.n FROM import_%s s%s)", import_table_names[t], p->parents),
		    import, out);
}

static int drop_conflicts(struct ctx *c, enum import_table t, int64_t import, struct list *out)
{
	const struct import_plan *p = &import_plans[t];

	return drop(c, t,
		    arena_printf(c->arena, "IN (SELECT s.n FROM import_%s s%s JOIN %s WHERE NOT (%s))",
				 import_table_names[t], p->parents, p->target, p->same),
		    import, out);
}

static int insert(struct ctx *c, enum import_table t, int64_t import, int64_t *written)
{
	const struct import_plan *p = &import_plans[t];
	const char *name = import_table_names[t];
	struct list rows = { 0 };
	struct buf sql = begin(c);

	add(&sql,
	    arena_printf(c->arena,
			 "WITH x AS (INSERT INTO %s SELECT %s FROM import_%s s%s ORDER BY s.n ON CONFLICT DO NOTHING"
			 " RETURNING %s)%s SELECT count(*) AS rows FROM x",
			 p->into, p->values, name, p->parents, p->returning ? p->returning : "1", p->also ? p->also : ""),
	    import);
	if (db_list_once(c, buf_text(&sql), NO_ARGS, &counted_record, &rows))
		return -1;
	*written = *LIST_AT(struct counted, &rows, 0)->rows;
	if (!p->item)
		return 0;
	return run(c,
		   arena_printf(c->arena,
				"INSERT INTO import_items SELECT @, %s FROM import_%s s%s JOIN %s"
				" ON CONFLICT DO NOTHING",
				p->item, name, p->parents, p->target),
		   import);
}

int store_import_rows(struct ctx *c, int64_t import, enum import_table t, const struct db_arg *values, size_t rows,
		      struct import_outcome *ret)
{
	const struct import_plan *p = &import_plans[t];
	const char *name = import_table_names[t];
	const char *letters = arena_printf(c->arena, "%sii", shapes[t].letters);

	*ret = (struct import_outcome){ 0 };
	if (run(c, arena_printf(c->arena, "TRUNCATE import_%s", name), import) ||
	    db_copy(c, arena_printf(c->arena, "COPY import_%s FROM STDIN (FORMAT binary)", name), letters, values, rows))
		return -1;
	if (drop_repeats(c, t, import, &ret->repeats) || run(c, p->before, import) ||
	    drop_orphans(c, t, import, &ret->orphans) || drop_conflicts(c, t, import, &ret->conflicts) ||
	    insert(c, t, import, &ret->written))
		return -1;
	ret->present = (int64_t)rows - ret->written -
		       (int64_t)(ret->repeats.count + ret->orphans.count + ret->conflicts.count);
	return run(c, p->after[0], import) || run(c, p->after[1], import) ? -1 : 0;
}

/* ---- points ---- */

enum { POINT_COLUMNS = 5, COPY_ROWS = 8192 };

static const struct stmt has_points = {
	"import_has_points", "I",
	"SELECT count(*) AS rows FROM unnest($1) AS q (id) WHERE EXISTS (SELECT 1 FROM points WHERE run_id = id)"
};

static const struct stmt forget_curves = {
	"import_forget_curves", "",
	"UPDATE latest SET fresh_timestamp = NULL, fresh_step = NULL WHERE fresh_timestamp IS NOT NULL"
	" AND (run_id, key_id) IN (SELECT DISTINCT run_id, key_id FROM import_points)"
};

static int copy_points(struct ctx *c, const char *sql, const struct import_point *points, size_t count)
{
	struct db_arg *values = NEW_ARRAY(c->arena, (size_t)COPY_ROWS * POINT_COLUMNS, struct db_arg);

	for (size_t done = 0; done < count;) {
		size_t n = count - done < COPY_ROWS ? count - done : COPY_ROWS;
		struct db_arg *v = values;

		for (size_t i = 0; i < n; i++, v += POINT_COLUMNS) {
			const struct import_point *p = &points[done + i];
			v[0] = BIGINT(p->run_id);
			v[1] = INTEGER(p->key_id);
			v[2] = BIGINT(p->timestamp);
			v[3] = BIGINT(p->step);
			v[4] = REAL(p->value);
		}
		if (db_copy(c, sql, "iniid", values, n))
			return -1;
		done += n;
	}
	return 0;
}

/* Whether some of these runs have points already: then COPY could meet the same again. */
static int points_exist(struct ctx *c, const struct import_point *points, size_t count, bool *exist)
{
	int64_t *runs = NEW_ARRAY(c->arena, count, int64_t);
	struct counted row = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		if (!n || runs[n - 1] != points[i].run_id)
			runs[n++] = points[i].run_id;
	}
	if (db_one(c, &has_points, ARGS(BIGINTS(runs, n)), &counted_record, &row) < 0)
		return -1;
	*exist = *row.rows > 0;
	return 0;
}

int store_import_points(struct ctx *c, const struct import_point *points, size_t count, int64_t *written)
{
	struct list rows = { 0 };
	bool exist;

	*written = (int64_t)count;
	if (points_exist(c, points, count, &exist))
		return -1;
	if (!exist)
		return copy_points(c,
				   "COPY points (run_id, key_id, timestamp, step, value) FROM STDIN (FORMAT binary)",
				   points, count);
	if (run(c, "CREATE TEMPORARY TABLE IF NOT EXISTS import_points (LIKE points) ON COMMIT DELETE ROWS", 0) ||
	    run(c, "TRUNCATE import_points", 0) ||
	    copy_points(c, "COPY import_points (run_id, key_id, timestamp, step, value) FROM STDIN (FORMAT binary)",
			points, count))
		return -1;
	if (db_list_once(c,
			 "WITH x AS (INSERT INTO points SELECT * FROM import_points ON CONFLICT DO NOTHING RETURNING 1)"
			 " SELECT count(*) AS rows FROM x",
			 NO_ARGS, &counted_record, &rows))
		return -1;
	*written = *LIST_AT(struct counted, &rows, 0)->rows;
	/* Clients may have logged, and charts have been made, in between. */
	return db_exec(c, &forget_curves, NO_ARGS) < 0 ? -1 : 0;
}

int store_import_keys(struct ctx *c, const char *const *names, size_t count, int32_t *ids)
{
	return keys_resolve(c, names, count, ids);
}

/* ---- reading back ---- */

static int read_sql(struct ctx *c, int64_t import, const char *text, unsigned columns,
		    int (*row)(struct ctx *c, void *arg, const struct db_cell *cells), void *arg)
{
	struct buf sql = begin(c);

	buf_add(&sql, "COPY (");
	add(&sql, text, import);
	buf_add(&sql, ") TO STDOUT (FORMAT binary)");
	return db_copy_out(c, buf_text(&sql), columns, row, arg);
}

int store_import_read(struct ctx *c, int64_t import, enum import_table t,
		      int (*row)(struct ctx *c, void *arg, const struct db_cell *cells), void *arg)
{
	return read_sql(c, import, import_plans[t].read, (unsigned)strlen(shapes[t].letters), row, arg);
}

int store_import_read_runs(struct ctx *c, int64_t import,
			   int (*row)(struct ctx *c, void *arg, const struct db_cell *cells), void *arg)
{
	return read_sql(c, import,
			"SELECT r.id, r.uuid FROM import_items i JOIN runs r ON r.id = i.item"
			" WHERE i.import = @ AND i.kind = " ITEM_RUN,
			2, row, arg);
}

int store_import_read_keys(struct ctx *c, int (*row)(struct ctx *c, void *arg, const struct db_cell *cells), void *arg)
{
	return read_sql(c, 0, "SELECT id, name FROM keys", 2, row, arg);
}

int store_import_read_points(struct ctx *c, int64_t import,
			     int (*row)(struct ctx *c, void *arg, const struct db_cell *cells), void *arg)
{
	return read_sql(c, import,
			"SELECT run_id, key_id, value, timestamp, step FROM points"
			" WHERE run_id IN (SELECT item FROM import_items WHERE import = @ AND kind = " ITEM_RUN ")",
			5, row, arg);
}
