/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What every query says before its filter: where it looks, what is deleted, hidden or not for this
   user. */
#include <string.h>
#include <strings.h>

#include "base/access.h"
#include "base/arena.h"
#include "parse.h"

/* ---- prompts ---- */

bool search_scope_is_prompt_mark(enum search_entity e, const struct term *t)
{
	return search_is_registry(e) && t->type == TERM_TAG &&
	       !strcmp(t->key, "mlflow.prompt.is_prompt");
}

enum prompt_mark search_scope_mark(const struct term *t)
{
	switch (t->op) {
	case CMP_EQ:
	case CMP_NE:
		if (!strcasecmp(t->text, "true"))
			return t->op == CMP_EQ ? MARK_PROMPTS : MARK_MODELS;
		if (!strcasecmp(t->text, "false"))
			return t->op == CMP_NE ? MARK_PROMPTS : MARK_MODELS;
		return MARK_OTHER;
	case CMP_IN:
		for (size_t i = 0; i < t->count; i++)
			if (!strcasecmp(t->list[i], "true"))
				return MARK_PROMPTS;
		return MARK_OTHER;
	case CMP_IS_NULL:
		return MARK_MODELS;
	default:
		return t->op == CMP_IS_NOT_NULL ? MARK_PROMPTS : MARK_OTHER;
	}
}

/* The first mark among the conjuncts, as MLflow takes it; *asks: one below OR or NOT wants prompts.
   Bounded by LIMIT_FILTER_DEPTH. */
static const struct term *first_mark(enum search_entity e, const struct node *n, bool conjunct,
				     bool negated, bool *asks)
{
	const struct term *found = NULL;
	if (n->kind == NODE_TERM) {
		if (!search_scope_is_prompt_mark(e, n->term))
			return NULL;
		if (conjunct)
			return n->term;
		if (search_scope_mark(n->term) == (negated ? MARK_MODELS : MARK_PROMPTS))
			*asks = true;
		return NULL;
	}
	for (const struct node *child = n->first; child; child = child->next) {
		const struct term *t = first_mark(e, child, conjunct && n->kind == NODE_AND,
						  negated != (n->kind == NODE_NOT), asks);
		found = found ? found : t;
	}
	return found;
}

bool search_scope_hides_prompts(enum search_entity e, const struct node *tree)
{
	bool asks = false;
	if (!search_is_registry(e))
		return false;
	const struct term *mark = tree ? first_mark(e, tree, true, false, &asks) : NULL;
	return mark ? search_scope_mark(mark) != MARK_PROMPTS : !asks;
}

/* ---- access ---- */

static void write_ids(struct builder *b, const struct access_ids *a)
{
	if (a->all && !a->count)
		return;
	buf_addf(&b->where, a->all ? " AND e.id <> ALL($%zu)" : " AND e.id = ANY($%zu)",
		 search_sql_arg(b, BIGINTS(a->ids, a->count)));
}

static bool sees_all(const struct access_names *a)
{
	return a->all && !a->count;
}

static void write_names(struct builder *b, const struct access_names *a)
{
	if (sees_all(a))
		buf_add(&b->where, "true");
	else if (!a->count)
		buf_add(&b->where, "false");
	else
		buf_addf(&b->where, a->all ? "m.name <> ALL($%zu)" : "m.name = ANY($%zu)",
			 search_sql_arg(b, TEXTS(a->names, a->count)));
}

static void write_models(struct builder *b, const struct access *a)
{
	if (sees_all(&a->models) && (b->hide_prompts || sees_all(&a->prompts)))
		return;
	buf_add(&b->where, " AND ");
	if (b->hide_prompts) {
		write_names(b, &a->models);
		return;
	}
	buf_add(&b->where, "(NOT m.prompt AND ");
	write_names(b, &a->models);
	buf_add(&b->where, " OR m.prompt AND ");
	write_names(b, &a->prompts);
	buf_addc(&b->where, ')');
}

/* ---- the scope ---- */

static void write_experiment(struct builder *b, const char *name)
{
	const struct search_query *q = b->q;
	bool one = q->experiment_count == 1;
	size_t arg = search_sql_arg(b, one ? BIGINT(q->experiment_ids[0])
					   : BIGINTS(q->experiment_ids, q->experiment_count));
	b->experiment = arena_printf(b->c->arena,
				     b->ranked ? "= (SELECT $%zu::bigint)"
				     : one     ? "= $%zu"
					       : "= ANY($%zu)",
				     arg);
	buf_addf(&b->where, "%s.experiment_id %s", name, b->experiment);
}

static void write_view(struct builder *b, const char *name)
{
	if (b->q->view != VIEW_ALL)
		buf_addf(&b->where,
			 b->q->view == VIEW_DELETED ? " AND %s.deleted" : " AND NOT %s.deleted",
			 name);
}

void search_scope_write(struct builder *b)
{
	const struct access *a = b->c->access;
	const char *shown = b->hide_prompts ? "NOT m.prompt" : "true";
	switch (b->q->entity) {
	case SEARCH_EXPERIMENTS:
		buf_add(&b->where, "true");
		write_view(b, "e");
		if (a)
			write_ids(b, &a->experiments);
		return;
	case SEARCH_RUNS:
		write_experiment(b, "r");
		write_view(b, "r");
		return;
	case SEARCH_LOGGED_MODELS:
		write_experiment(b, "l");
		buf_add(&b->where, " AND NOT l.deleted");
		return;
	case SEARCH_MODEL_VERSIONS:
		buf_add(&b->where, "NOT v.deleted AND ");
		break;
	case SEARCH_REGISTERED_MODELS:
		break;
	}
	buf_add(&b->where, shown);
	if (a)
		write_models(b, a);
}
