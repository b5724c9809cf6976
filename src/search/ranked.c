/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Runs in the order of a metric, off the table ranked (store/settle.h), which holds the values of settled runs in an
 * index; those of the others are read as they are, and both merged:
 *
 *   SELECT ... FROM (
 *     SELECT * FROM (SELECT r.id, ... FROM (
 *         SELECT r.id, r.value FROM (
 *           SELECT ... FROM ranked WHERE ... ORDER BY value FETCH FIRST 16384 ROWS WITH TIES) r
 *         WHERE <marks> AND <other metrics> ORDER BY r.value) j1,
 *       LATERAL (the settled run) r WHERE <the rest> ORDER BY j1.value FETCH FIRST 101 ROWS WITH TIES) a
 *     UNION ALL
 *     SELECT * FROM (SELECT r.id, ... FROM runs r JOIN latest j1 ... WHERE <not settled, all conditions>
 *       ORDER BY k1, ... LIMIT 101) b
 *     ORDER BY k1, ... LIMIT 101) p
 *
 * Each level repeats the order that it has, so that PostgreSQL keeps it and stops early. Conditions that are probes of
 * other tables come in the order in which they cost least: the marks, which are at hand, leave few runs that lack a
 * parameter or tag, so metrics are asked for next. Nothing is left to choose for the planner, which must not think
 * that it could: it sees no value of an index condition, only (SELECT $n), so that it plans once for all values.
 *
 * Only numbers are walked. NaN and runs without the metric come behind all numbers, so a full page has none.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/limits.h"
#include "parse.h"

/* Values walked, at about 0.2 us each, before the joins of search_build() are likely to be cheaper. */
#define WALK "16384"
enum { LARGEST_PAGE = 2000 };

static bool suits(const struct parsed *p)
{
	if (p->seen.entity != SEARCH_RUNS || p->seen.experiment_count != 1 ||
	    p->seen.max_results < 1 || p->seen.max_results > LARGEST_PAGE ||
	    p->sorts[0].type != TERM_METRIC)
		return false;
	for (size_t i = 1; i < p->sort_count; i++)
		if (p->sorts[i].type != TERM_ATTRIBUTE)
			return false;
	return !p->position || (p->position[0] && isfinite(strtod(p->position[0], NULL)));
}

bool search_ranked_whole(const struct search_query *q, size_t found, bool last_settled)
{
	/* Where the walk was cut short, what is not settled may have filled the page. */
	return found > (size_t)q->max_results && last_settled;
}

struct ranked {
	struct builder *b;
	const char *metric;
	struct buf range; /* of the values walked */
	struct buf low, high; /* marks wanted */
	struct buf metrics; /* conditions on other metrics */
	struct buf rest;
};

static void add_range(struct ranked *r, const struct term *t)
{
	static const char *const symbols[] = { [CMP_EQ] = "=",  [CMP_LT] = "<", [CMP_LE] = "<=",
					       [CMP_GT] = ">", [CMP_GE] = ">=" };
	if (t->op == CMP_EQ || (t->op >= CMP_LT && t->op <= CMP_GE))
		buf_addf(&r->range, " AND value %s (SELECT $%zu::double precision)", symbols[t->op],
			 search_sql_arg(r->b, REAL(t->number.real)));
}

static void add_marks(struct ranked *r, const struct term *t)
{
	size_t key = search_sql_arg(r->b, TEXT(t->key));
	size_t value = search_sql_arg(r->b, TEXT(t->text));
	buf_addf(&r->low, "%s(SELECT run_marks(0, id, $%zu) FROM keys WHERE name = $%zu)",
		 r->low.size ? " | " : "", value, key);
	buf_addf(&r->high, "%s(SELECT run_marks(12, id, $%zu) FROM keys WHERE name = $%zu)",
		 r->high.size ? " | " : "", value, key);
}

/* A conjunct of the whole filter, to where it costs least. Bounded by LIMIT_FILTER_DEPTH. */
static void add_conjunct(struct ranked *r, const struct node *n)
{
	const struct term *t = n->term;
	bool metric = n->kind == NODE_TERM && t->type == TERM_METRIC;
	bool ordering = metric && !strcmp(t->key, r->metric);
	if (n->kind == NODE_AND) {
		for (const struct node *child = n->first; child; child = child->next)
			add_conjunct(r, child);
		return;
	}
	if (ordering)
		add_range(r, t);
	if (n->kind == NODE_TERM && (t->type == TERM_PARAM || t->type == TERM_TAG) && t->op == CMP_EQ)
		add_marks(r, t);
	r->b->where = metric && !ordering ? r->metrics : r->rest;
	buf_add(&r->b->where, " AND ");
	search_node_write(r->b, n, true);
	*(metric && !ordering ? &r->metrics : &r->rest) = r->b->where;
}

static void write_walk(const struct ranked *r, const struct sort *s, struct buf *to)
{
	const char *direction = s->ascending ? "" : " DESC";
	buf_addf(to,
		 "(SELECT r.id, r.value FROM (SELECT run_id AS id, value, low, high FROM ranked"
		 " WHERE experiment_id %s AND key_id = (SELECT id FROM keys WHERE name = $%zu)"
		 " AND value < 'NaN'%s ORDER BY value%s FETCH FIRST " WALK " ROWS WITH TIES) r"
		 " WHERE true",
		 r->b->experiment, search_sql_arg(r->b, TEXT(s->key)), buf_text(&r->range),
		 direction);
	if (r->low.size)
		buf_addf(to, " AND (%s) & ~r.low = 0 AND (%s) & ~r.high = 0", buf_text(&r->low),
			 buf_text(&r->high));
	buf_addf(to, "%s ORDER BY r.value%s OFFSET 0) j1", buf_text(&r->metrics), direction);
}

static void write_statement(struct ranked *r, const struct parsed *p, const struct sort_key *keys,
			    struct buf *to)
{
	long long limit = (long long)p->seen.max_results + 1;
	buf_addf(to, "SELECT p.id, p.revision, CASE WHEN row_number() OVER () = %lld THEN ARRAY[",
		 limit - 1);
	search_keys_texts(to, keys, p->sort_count);
	buf_add(to, "]::text[] END AS position FROM (SELECT * FROM (SELECT r.id, r.revision");
	search_keys_columns(to, keys, p->sort_count);
	buf_add(to, " FROM ");
	write_walk(r, &p->sorts[0], to);
	buf_addf(to,
		 ", LATERAL (SELECT * FROM runs u WHERE u.id = j1.id AND u.revision IS NOT NULL"
		 " OFFSET 0) r WHERE %s ORDER BY k1%s FETCH FIRST %lld ROWS WITH TIES) a"
		 " UNION ALL SELECT * FROM (SELECT r.id, r.revision",
		 buf_text(&r->rest), p->sorts[0].ascending ? "" : " DESC", limit);
	search_keys_columns(to, keys, p->sort_count);
	buf_addf(to, " FROM runs r%s WHERE r.revision IS NULL AND j1.value < 'NaN' AND %s%s",
		 buf_text(&r->b->joins), buf_text(&r->rest), buf_text(&r->metrics));
	search_keys_order(to, keys, p->sort_count);
	buf_addf(to, " LIMIT %lld) b", limit);
	search_keys_order(to, keys, p->sort_count);
	buf_addf(to, " LIMIT %lld) p", limit);
}

/* The metric's values are numbers, and there: no CASE, no NULLS LAST. */
static void make_keys(struct builder *b, const struct parsed *p, struct sort_key *keys)
{
	keys[0] = (struct sort_key){ .sql = "j1.value",
				     .column = COLUMN_REAL,
				     .ascending = p->sorts[0].ascending };
	for (size_t i = 1; i < p->sort_count; i++)
		search_key_make(b, &p->sorts[i], &keys[i]);
}

int search_build_ranked(struct ctx *c, const struct search_query *q, struct search_page *ret)
{
	struct parsed p;
	if (search_query_parse(c, q, ret, &p))
		return -1;
	if (!suits(&p))
		return 0;
	struct builder b = { .c = c,
			     .q = &p.seen,
			     .joins = BUF(c->arena, LIMIT_SQL),
			     .where = BUF(c->arena, LIMIT_SQL),
			     .ranked = true };
	struct ranked r = { .b = &b, .metric = p.sorts[0].key,
			    .range = BUF(c->arena, LIMIT_SQL),
			    .low = BUF(c->arena, LIMIT_SQL),
			    .high = BUF(c->arena, LIMIT_SQL),
			    .metrics = BUF(c->arena, LIMIT_SQL) };
	struct sort_key *keys = NEW_ARRAY(c->arena, p.sort_count, struct sort_key);
	struct buf sql = BUF(c->arena, LIMIT_SQL);
	b.join = NEW_ARRAY(c->arena, 1, struct join);
	search_leaf_join(&b, TERM_METRIC, p.sorts[0].key, true);
	search_scope_write(&b);
	make_keys(&b, &p, keys);
	if (p.position) {
		buf_addf(&r.range, " AND value %s (SELECT $%zu::double precision)",
			 keys[0].ascending ? ">=" : "<=",
			 search_sql_arg(&b, REAL(strtod(p.position[0], NULL))));
		buf_add(&b.where, " AND ");
		search_keys_after(&b, keys, p.sort_count, p.position);
	}
	r.rest = b.where;
	if (p.tree)
		add_conjunct(&r, p.tree);
	search_leaf_joins(&b);
	write_statement(&r, &p, keys, &sql);
	b.where = r.rest;
	if (buf_failed(&r.range) || buf_failed(&r.low) || buf_failed(&r.high) ||
	    buf_failed(&r.metrics))
		return fail(c, INVALID_PARAMETER_VALUE, "Filter is too long");
	ret->once = false;
	return search_build_finish(&b, &sql, ret) ? -1 : 1;
}
