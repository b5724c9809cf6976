/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * The statement of a page. Runs: experiment, state, an inner join for each key that the filter's
 * first conjuncts need (the order shares it), EXISTS for the others and below OR and NOT, the
 * keyset condition, ORDER BY, LIMIT:
 *
 *   SELECT p.id, CASE WHEN row_number() OVER () = 100 THEN ARRAY[...]::text[] END AS position
 *   FROM (SELECT r.id, j1.value AS k1, ... FROM runs r JOIN latest j1 ON ...
 *     WHERE ... ORDER BY ... LIMIT 101) p
 *
 * The outer level makes the texts of one row only. The limit is text, an int64 checked before: as
 * an argument it would be unknown to a prepared plan, which would then prepare for a tenth of all.
 *
 * MLflow sorts missing values last in both directions, and NaN between them and the numbers.
 * PostgreSQL has NaN there when ascending; descending, NaN is mapped to -Infinity, which is never
 * stored.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/access.h"
#include "base/arena.h"
#include "base/limits.h"
#include "parse.h"

size_t search_sql_arg(struct builder *b, struct db_arg a)
{
	if (b->arg_count == b->arg_capacity) {
		size_t more = b->arg_capacity ? 2 * b->arg_capacity : 16;
		b->args = arena_grow(b->c->arena, b->args, b->arg_capacity * sizeof(a),
				     more * sizeof(a));
		b->arg_capacity = more;
	}
	b->args[b->arg_count++] = a;
	return b->arg_count;
}

/* As a conjunct, the mark of prompts says nothing when they are hidden anyway: MLflow drops it. */
static bool is_dropped(const struct builder *b, const struct term *t)
{
	return b->hide_prompts && search_scope_is_prompt_mark(b->q->entity, t);
}

/* Models lack the mark: below OR and NOT, "!= 'true'" is true of them, too. Clients append it to
   whatever filter they are given. */
static void write_term(struct builder *b, const struct term *t, bool positive)
{
	bool mark = search_scope_is_prompt_mark(b->q->entity, t);
	enum prompt_mark wanted = mark ? search_scope_mark(t) : MARK_OTHER;
	if (positive && is_dropped(b, t))
		buf_add(&b->where, "true");
	else if (!positive && wanted != MARK_OTHER)
		buf_add(&b->where, wanted == MARK_PROMPTS ? "m.prompt" : "NOT m.prompt");
	else
		search_leaf_write(b, t, positive);
}

/* Bounded by LIMIT_FILTER_DEPTH. */
static void reserve(struct builder *b, const struct node *n)
{
	if (n->kind == NODE_TERM && !is_dropped(b, n->term))
		search_leaf_reserve(b, n->term);
	for (const struct node *child = n->kind == NODE_AND ? n->first : NULL; child;
	     child = child->next)
		reserve(b, child);
}

/* Bounded by LIMIT_FILTER_DEPTH. */
void search_node_write(struct builder *b, const struct node *n, bool positive)
{
	if (n->kind == NODE_TERM) {
		write_term(b, n->term, positive);
		return;
	}
	positive = positive && n->kind == NODE_AND;
	buf_add(&b->where, n->kind == NODE_NOT ? "NOT (" : "(");
	for (const struct node *child = n->first; child; child = child->next) {
		if (child != n->first)
			buf_add(&b->where, n->kind == NODE_OR ? " OR " : " AND ");
		search_node_write(b, child, positive);
	}
	buf_addc(&b->where, ')');
}

static void write_statement(struct builder *b, const struct sort_key *keys, size_t count, struct buf *to)
{
	static const char *const found[] = { "p.id, p.revision", "p.id, p.revision", "p.id", "p.id, p.revision",
					     "p.id, p.version" };
	static const char *const from[] = { "e.id AS id, e.revision", "r.id AS id, r.revision",
					    "l.id AS id", "m.id AS id, m.revision", "v.model AS id, v.version" };
	static const char *const tables[] = {
		"experiments e", "runs r", "logged_models l", "registered_models m",
		"model_versions v JOIN registered_models m ON m.id = v.model"
	};
	buf_addf(to, "SELECT %s, CASE WHEN row_number() OVER () = %lld THEN ARRAY[",
		 found[b->q->entity], (long long)b->q->max_results);
	search_keys_texts(to, keys, count);
	buf_addf(to, "]::text[] END AS position FROM (SELECT %s", from[b->q->entity]);
	search_keys_columns(to, keys, count);
	buf_addf(to, " FROM %s", tables[b->q->entity]);
	buf_addn(to, buf_text(&b->joins), b->joins.size);
	buf_add(to, " WHERE ");
	buf_addn(to, buf_text(&b->where), b->where.size);
	search_keys_order(to, keys, count);
	buf_addf(to, " LIMIT %lld) p", (long long)b->q->max_results + 1);
}

/* The tree, then the filter's datasets when no metric of it names them (logged models). */
static void write_filter(struct builder *b, const struct node *tree, bool has_metric)
{
	if (tree) {
		reserve(b, tree);
		buf_add(&b->where, " AND ");
		search_node_write(b, tree, true);
	}
	if (b->q->entity == SEARCH_LOGGED_MODELS && b->q->datasets.count && !has_metric) {
		buf_add(&b->where,
			" AND EXISTS (SELECT 1 FROM logged_model_metrics x WHERE x.model = l.id");
		search_leaf_datasets(b, "x");
		buf_addc(&b->where, ')');
	}
}

/* One model by its name: the plan is the same for all. Bounded by LIMIT_FILTER_DEPTH. */
static bool names_one_model(const struct builder *b, const struct node *n)
{
	if (n->kind == NODE_TERM)
		return search_is_registry(b->q->entity) && n->term->type == TERM_ATTRIBUTE &&
		       n->term->op == CMP_EQ && !strcmp(n->term->key, "name");
	for (const struct node *child = n->kind == NODE_AND ? n->first : NULL; child;
	     child = child->next)
		if (names_one_model(b, child))
			return true;
	return false;
}

static int check_datasets(struct ctx *c, const struct search_query *q)
{
	for (size_t i = 0; i < q->datasets.count; i++) {
		const char *name = LIST_AT(struct search_dataset, &q->datasets, i)->name;
		if (!name || !*name)
			return fail(c, INVALID_PARAMETER_VALUE,
				    "`dataset_name` in the `datasets` clause must be specified.");
	}
	if (q->datasets.count > LIMIT_FILTER_TERMS)
		return fail(c, INVALID_PARAMETER_VALUE, "`datasets` has more than %d elements",
			    LIMIT_FILTER_TERMS);
	return 0;
}

int search_query_parse(struct ctx *c, const struct search_query *q, struct search_page *ret,
		       struct parsed *p)
{
	assert(q->max_results >= 0 && q->max_results < INT64_MAX);
	*p = (struct parsed){ .seen = *q };
	if (check_datasets(c, q) ||
	    search_filter_parse(c, q->entity, q->filter, &p->tree, &p->has_metric) ||
	    search_order_parse(c, q, &p->sorts, &p->sort_count))
		return -1;
	if (search_token_digest(c, q, ret->digest) ||
	    search_token_position(c, q, ret->digest, p->sort_count, &p->position))
		return -1;
	/* the token stays good for those whose access changes meanwhile */
	p->seen.experiment_ids = access_experiments(c, q->experiment_ids, &p->seen.experiment_count);
	return 0;
}

int search_build_finish(struct builder *b, struct buf *sql, struct search_page *ret)
{
	if (buf_failed(sql) || buf_failed(&b->where) || buf_failed(&b->joins))
		return fail(b->c, INVALID_PARAMETER_VALUE, "Filter is too long");
	ret->sql = buf_text(sql);
	ret->args = (struct db_args){ b->args, b->arg_count };
	return 0;
}

int search_build(struct ctx *c, const struct search_query *q, struct search_page *ret)
{
	struct parsed p;
	if (search_query_parse(c, q, ret, &p))
		return -1;
	struct builder b = { .c = c,
			     .q = &p.seen,
			     .joins = BUF(c->arena, LIMIT_SQL),
			     .where = BUF(c->arena, LIMIT_SQL),
			     .hide_prompts = search_scope_hides_prompts(q->entity, p.tree) };
	struct sort_key *keys = NEW_ARRAY(c->arena, p.sort_count, struct sort_key);
	b.join = NEW_ARRAY(c->arena, LIMIT_FILTER_TERMS + LIMIT_ORDER_BY, struct join);
	search_scope_write(&b);
	write_filter(&b, p.tree, p.has_metric);
	for (size_t i = 0; i < p.sort_count; i++)
		search_key_make(&b, &p.sorts[i], &keys[i]);
	search_leaf_joins(&b);
	if (p.position) {
		buf_add(&b.where, " AND ");
		search_keys_after(&b, keys, p.sort_count, p.position);
	}
	struct buf sql = BUF(c->arena, LIMIT_SQL);
	write_statement(&b, keys, p.sort_count, &sql);
	ret->once = (p.tree && !names_one_model(&b, p.tree)) || (c->access && !b.experiment);
	return search_build_finish(&b, &sql, ret);
}
