/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* One comparison as SQL. Every client value becomes an argument. */
#include <assert.h>
#include <string.h>

#include "base/arena.h"
#include "base/limits.h"
#include "parse.h"

/* Conditions that the planner may turn into joins, in any order: its time grows as their factorial
   (3 tables: 0.2 ms, 5: 2 ms, 8: 45 ms; 200 EXISTS, which it turns into joins: minutes). Two choose
   the rows; those beyond stay probes of what is left: IS TRUE keeps them so. */
enum { MOST_JOINS = 2 };

/* params_experiment, tags_experiment and the registry's tags hold this many characters of the
   value. */
#define INDEXED "64"
enum { INDEXED_BYTES = 64 };

static const char *const symbols[] = {
	[CMP_EQ] = "=",  [CMP_NE] = "<>", [CMP_LT] = "<",
	[CMP_LE] = "<=", [CMP_GT] = ">",  [CMP_GE] = ">=",
};

/* The key-value table of a type: of the row `self`, found by `owner`. */
struct side {
	const char *table;
	const char *owner;
	const char *self;
	bool interned; /* keyed by keys.id and carrying experiment_id */
	const char *more; /* the second column of an owner that has two */
};

static const struct side *side_of(const struct builder *b, enum term_type type)
{
	static const struct side run_sides[] = {
		[TERM_METRIC] = { "latest", "run_id", "r.id", true, NULL },
		[TERM_PARAM] = { "params", "run_id", "r.id", true, NULL },
		[TERM_TAG] = { "tags", "run_id", "r.id", true, NULL },
	};
	static const struct side model_sides[] = {
		[TERM_METRIC] = { "logged_model_metrics", "model", "l.id", false, NULL },
		[TERM_PARAM] = { "logged_model_params", "model", "l.id", false, NULL },
		[TERM_TAG] = { "logged_model_tags", "model", "l.id", false, NULL },
	};
	static const struct side experiment_tag = { "experiment_tags", "experiment_id", "e.id",
						    false, NULL };
	static const struct side registered_model_tag = { "registered_model_tags", "model", "m.id",
							  false, NULL };
	static const struct side version_tag = { "model_version_tags", "model", "v.model", false,
						 "version" };
	assert(type == TERM_METRIC || type == TERM_PARAM || type == TERM_TAG);
	switch (b->q->entity) {
	case SEARCH_RUNS:
		return &run_sides[type];
	case SEARCH_EXPERIMENTS:
		return &experiment_tag;
	case SEARCH_REGISTERED_MODELS:
		return &registered_model_tag;
	case SEARCH_MODEL_VERSIONS:
		return &version_tag;
	default:
		return &model_sides[type];
	}
}

/* The rows of `alias` that belong to the row searched and to the key. */
static void write_key(struct builder *b, struct buf *to, const struct side *s, const char *alias,
		      const char *key)
{
	size_t arg = search_sql_arg(b, TEXT(key));
	buf_addf(to, "%s.%s = %s AND ", alias, s->owner, s->self);
	if (s->more)
		buf_addf(to, "%s.%s = v.%s AND ", alias, s->more, s->more);
	if (s->interned)
		buf_addf(to, "%s.key_id = (SELECT id FROM keys WHERE name = $%zu)", alias, arg);
	else
		buf_addf(to, "%s.key = $%zu", alias, arg);
}

static struct join *find_join(const struct builder *b, enum term_type type, const char *key)
{
	for (size_t i = 0; i < b->join_count; i++)
		if (b->join[i].type == type && !strcmp(b->join[i].key, key))
			return &b->join[i];
	return NULL;
}

unsigned search_leaf_join(struct builder *b, enum term_type type, const char *key, bool inner)
{
	struct join *j = find_join(b, type, key);
	if (j) {
		j->inner = j->inner || inner;
		return j->alias;
	}
	b->join[b->join_count++] = (struct join){ type, key, ++b->aliases, inner };
	return b->aliases;
}

/* The joins were gathered; now they are written, each with what is known of it by then. */
void search_leaf_joins(struct builder *b)
{
	for (size_t i = 0; i < b->join_count; i++) {
		const struct join *j = &b->join[i];
		const struct side *s = side_of(b, j->type);
		const char *alias = arena_printf(b->c->arena, "j%u", j->alias);
		buf_addf(&b->joins, "%s %s %s ON ", j->inner ? " JOIN" : " LEFT JOIN", s->table,
			 alias);
		write_key(b, &b->joins, s, alias, j->key);
		if (s->interned)
			buf_addf(&b->joins, " AND %s.experiment_id %s", alias, b->experiment);
	}
}

/* PostgreSQL takes NaN for the greatest number; MLflow's NaN is != to all and nothing else. */
static void write_real(struct builder *b, const char *sql, enum comparator op, double v)
{
	bool greater = op == CMP_GT || op == CMP_GE;
	buf_addf(&b->where, greater ? "(%s %s $%zu AND %s <> 'NaN')" : "%s %s $%zu", sql,
		 symbols[op], search_sql_arg(b, REAL(v)), sql);
}

/* The integers that compare so with v, which is no int64. */
static void write_rounded(struct builder *b, const char *sql, enum comparator op, double v)
{
	bool above = v >= 0x1p63;
	bool below = v < -0x1p63;
	int64_t whole = above || below ? 0 : (int64_t)v;
	if (!above && !below && (double)whole > v) /* the cast rounds to zero */
		whole--;
	bool between = (double)whole < v;
	if (above || below || (between && (op == CMP_EQ || op == CMP_NE))) {
		bool all = op == CMP_NE || (above && (op == CMP_LT || op == CMP_LE)) ||
			   (below && (op == CMP_GT || op == CMP_GE));
		buf_addf(&b->where, all ? "%s IS NOT NULL" : "false", sql);
		return;
	}
	if (between && op == CMP_GE)
		op = CMP_GT;
	if (between && op == CMP_LT)
		op = CMP_LE;
	buf_addf(&b->where, "%s %s $%zu", sql, symbols[op], search_sql_arg(b, BIGINT(whole)));
}

static void write_integer(struct builder *b, const char *sql, const struct term *t)
{
	if (t->ids)
		buf_addf(&b->where, t->op == CMP_IN ? "%s = ANY($%zu)" : "%s <> ALL($%zu)", sql,
			 search_sql_arg(b, BIGINTS(t->ids, t->count)));
	else if (t->number.exact || (t->attribute->flags & IDENTIFIER))
		buf_addf(&b->where, "%s %s $%zu", sql, symbols[t->op],
			 search_sql_arg(b, BIGINT(t->number.integer)));
	else
		write_rounded(b, sql, t->op, t->number.real);
}

/* sql is a text expression without loose operators. */
static void write_text(struct builder *b, const char *sql, const struct term *t)
{
	switch (t->op) {
	case CMP_IN:
	case CMP_NOT_IN:
		buf_addf(&b->where, t->op == CMP_IN ? "%s = ANY($%zu)" : "%s <> ALL($%zu)", sql,
			 search_sql_arg(b, TEXTS(t->list, t->count)));
		return;
	case CMP_LIKE:
		buf_addf(&b->where, "%s LIKE $%zu", sql, search_sql_arg(b, TEXT(t->text)));
		return;
	case CMP_ILIKE: /* "C" would fold ASCII only */
		buf_addf(&b->where, "%s COLLATE \"default\" ILIKE $%zu", sql,
			 search_sql_arg(b, TEXT(t->text)));
		return;
	default:
		buf_addf(&b->where, "%s %s $%zu", sql, symbols[t->op],
			 search_sql_arg(b, TEXT(t->text)));
	}
}

/* As MLflow writes its ids; another spelling equals none. */
static bool is_run_id(const char *text)
{
	return strlen(text) == 32 && strspn(text, "0123456789abcdef") == 32;
}

static void write_uuid(struct builder *b, const char *sql, const struct term *t)
{
	if (t->op == CMP_EQ || t->op == CMP_NE) {
		if (is_run_id(t->text))
			buf_addf(&b->where, "%s %s $%zu", sql, symbols[t->op],
				 search_sql_arg(b, UUID(t->text)));
		else
			buf_add(&b->where, t->op == CMP_EQ ? "false" : "true");
	} else if (t->op == CMP_IN || t->op == CMP_NOT_IN) {
		const char **ids = NEW_ARRAY(b->c->arena, t->count, const char *);
		size_t n = 0;
		for (size_t i = 0; i < t->count; i++)
			if (is_run_id(t->list[i]))
				ids[n++] = t->list[i];
		buf_addf(&b->where, t->op == CMP_IN ? "%s = ANY($%zu)" : "%s <> ALL($%zu)", sql,
			 search_sql_arg(b, UUIDS(ids, n)));
	} else {
		write_text(b, arena_printf(b->c->arena, "replace(%s::text, '-', '')", sql), t);
	}
}

/* What an index of the first characters can find: the whole text, or the literal start of a
   pattern. Says nothing that `t` does not say. */
static void write_head(struct builder *b, const char *sql, const struct term *t)
{
	enum { MOST = 200 };
	size_t n = t->op == CMP_LIKE ? strcspn(t->text, "%_\\") : 0;
	if (t->op == CMP_EQ) {
		buf_addf(&b->where, "left(%s, 256) = left($%zu, 256) AND ", sql,
			 search_sql_arg(b, TEXT(t->text)));
	} else if (n) {
		if (n > MOST)
			n = MOST;
		while (n && ((unsigned char)t->text[n] & 0xc0) == 0x80)
			n--;
		buf_addf(&b->where, "left(%s, 256) LIKE $%zu AND ", sql,
			 search_sql_arg(b, TEXT(arena_printf(b->c->arena, "%.*s%%", (int)n,
							     t->text))));
	}
}

static void write_attribute(struct builder *b, const struct term *t, bool positive)
{
	const struct attribute *a = t->attribute;
	bool known = !positive && (a->flags & NULLABLE);
	const char *sql = arena_printf(b->c->arena, "(%s)", a->sql);
	if (known)
		buf_addc(&b->where, '(');
	if (a->flags & HEAD_INDEXED)
		write_head(b, sql, t);
	if (a->column == COLUMN_INTEGER)
		write_integer(b, a->sql, t);
	else if (a->column == COLUMN_UUID)
		write_uuid(b, a->sql, t);
	else
		write_text(b, sql, t);
	if (known)
		buf_add(&b->where, ") IS TRUE");
}

/* Shorter than what is indexed, and so equal to that alone; bytes, as characters are no more. */
static bool is_short(const char *text)
{
	return strlen(text) < INDEXED_BYTES;
}

static bool all_short(const struct term *t)
{
	for (size_t i = 0; i < t->count; i++)
		if (!is_short(t->list[i]))
			return false;
	return true;
}

/* Found by the index of values: these joins choose the rows. */
static bool is_indexed(const struct builder *b, const struct term *t)
{
	bool values = b->q->entity == SEARCH_RUNS || search_is_registry(b->q->entity);
	return values && (t->type == TERM_PARAM || t->type == TERM_TAG) &&
	       (t->op == CMP_EQ || (t->op == CMP_IN && all_short(t)));
}

static void write_indexed(struct builder *b, const struct term *t, const char *sql)
{
	if (t->op == CMP_IN) {
		buf_addf(&b->where, "left(%s, " INDEXED ") = ANY($%zu)", sql,
			 search_sql_arg(b, TEXTS(t->list, t->count)));
		return;
	}
	size_t arg = search_sql_arg(b, TEXT(t->text));
	if (is_short(t->text))
		buf_addf(&b->where, "left(%s, " INDEXED ") = $%zu", sql, arg);
	else
		buf_addf(&b->where,
			 "(left(%s, " INDEXED ") = left($%zu, " INDEXED ") AND %s = $%zu)", sql,
			 arg, sql, arg);
}

static void write_value(struct builder *b, const struct term *t, const char *sql)
{
	if (t->type == TERM_METRIC)
		write_real(b, sql, t->op, t->number.real);
	else
		write_text(b, sql, t);
}

static void close_exists(struct builder *b)
{
	bool probe = ++b->probes + b->join_count > MOST_JOINS || b->ranked;
	buf_add(&b->where, probe ? ") IS TRUE" : ")");
}

static void write_dataset(struct builder *b, const struct term *t)
{
	if (!strcmp(t->key, "context")) {
		buf_add(&b->where, "EXISTS (SELECT 1 FROM run_dataset_tags x WHERE x.run_id = r.id"
				   " AND x.name = 'mlflow.data.context' AND ");
		write_text(b, "x.value", t);
	} else {
		buf_add(&b->where, "EXISTS (SELECT 1 FROM run_datasets y JOIN datasets x ON x.id = "
				   "y.dataset_id"
				   " WHERE y.run_id = r.id AND ");
		write_text(b, strcmp(t->key, "name") ? "x.digest" : "x.name", t);
	}
	close_exists(b);
}

void search_leaf_datasets(struct builder *b, const char *alias)
{
	const struct list *l = &b->q->datasets;
	for (size_t i = 0; i < l->count; i++) {
		const struct search_dataset *d = LIST_AT(struct search_dataset, l, i);
		buf_addf(&b->where, "%s%s.dataset_name = $%zu", i ? ") OR (" : " AND ((", alias,
			 search_sql_arg(b, TEXT(d->name)));
		if (d->digest)
			buf_addf(&b->where, " AND %s.dataset_digest = $%zu", alias,
				 search_sql_arg(b, TEXT(d->digest)));
	}
	if (l->count)
		buf_add(&b->where, "))");
}

static void write_exists(struct builder *b, const struct term *t)
{
	const struct side *s = side_of(b, t->type);
	bool model_metric = t->type == TERM_METRIC && b->q->entity == SEARCH_LOGGED_MODELS;
	bool presence = t->op == CMP_IS_NULL || t->op == CMP_IS_NOT_NULL;
	buf_addf(&b->where, "%sEXISTS (SELECT 1 FROM %s x WHERE ",
		 t->op == CMP_IS_NULL ? "NOT " : "", s->table);
	write_key(b, &b->where, s, "x", t->key);
	if (!presence) {
		buf_add(&b->where, " AND ");
		write_value(b, t, "x.value");
	}
	if (model_metric)
		search_leaf_datasets(b, "x");
	close_exists(b);
}

void search_leaf_reserve(struct builder *b, const struct term *t)
{
	if (is_indexed(b, t) && (b->join_count < MOST_JOINS || find_join(b, t->type, t->key)))
		search_leaf_join(b, t->type, t->key, true);
}

void search_leaf_write(struct builder *b, const struct term *t, bool positive)
{
	if (t->type == TERM_ATTRIBUTE) {
		write_attribute(b, t, positive);
		return;
	}
	if (t->type == TERM_DATASET) {
		write_dataset(b, t);
		return;
	}
	bool single = !(t->type == TERM_METRIC && b->q->entity == SEARCH_LOGGED_MODELS);
	bool room = (b->join_count + b->probes < MOST_JOINS && !b->ranked) ||
		    find_join(b, t->type, t->key);
	if (!positive || !single || t->op == CMP_IS_NULL || !room) {
		write_exists(b, t);
		return;
	}
	const char *value = arena_printf(b->c->arena, "j%u.value",
					 search_leaf_join(b, t->type, t->key, true));
	if (t->op == CMP_IS_NOT_NULL)
		buf_add(&b->where, "true");
	else if (is_indexed(b, t))
		write_indexed(b, t, value);
	else
		write_value(b, t, value);
}
