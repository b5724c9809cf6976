/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* order_by: one name and at most one ASC or DESC a clause; then MLflow's tie-breakers. */
#include <string.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "parse.h"

struct order {
	struct ctx *c;
	enum search_entity entity;
	struct sort *items;
	size_t count;
};

/* The same column again changes nothing. */
static bool same(const struct sort *a, const struct sort *b)
{
	if (a->type != b->type)
		return false;
	if (a->type == TERM_ATTRIBUTE)
		return !strcmp(a->attribute->sql, b->attribute->sql);
	if ((a->dataset_name ? 1 : 0) != (b->dataset_name ? 1 : 0) ||
	    (a->dataset_digest ? 1 : 0) != (b->dataset_digest ? 1 : 0))
		return false;
	return !strcmp(a->key, b->key) &&
	       (!a->dataset_name || !strcmp(a->dataset_name, b->dataset_name)) &&
	       (!a->dataset_digest || !strcmp(a->dataset_digest, b->dataset_digest));
}

static bool ordered_by(const struct order *o, const struct sort *s)
{
	for (size_t i = 0; i < o->count; i++)
		if (same(&o->items[i], s))
			return true;
	return false;
}

static void add(struct order *o, const struct sort *s)
{
	if (!ordered_by(o, s))
		o->items[o->count++] = *s;
}

static void add_attribute(struct order *o, const char *name, bool ascending)
{
	const struct attribute *a = search_attribute_find(o->entity, name);
	add(o,
	    &(struct sort){
		    .type = TERM_ATTRIBUTE, .attribute = a, .key = name, .ascending = ascending });
}

/* Registered models: MLflow takes no "attribute." here, and "timestamp" in any case. */
static int parse_model_key(struct parser *p, const struct token *name, struct sort *ret)
{
	struct token bare = *name;
	if (bare.size > 2 && bare.text[0] == '`' && bare.text[bare.size - 1] == '`') {
		bare.text++;
		bare.size -= 2;
	}
	const char *echo = search_filter_echo(p->c, &bare);
	ret->type = TERM_ATTRIBUTE;
	ret->key = search_lexer_word(&bare, "TIMESTAMP") ? "timestamp" : echo;
	ret->attribute = search_attribute_find(p->entity, ret->key);
	if (ret->attribute)
		return 0;
	return search_filter_fail(p, name,
				  "Invalid order by key '%s' specified. Valid keys are '{'name', "
				  "'timestamp'}'",
				  echo);
}

static int parse_clause(struct order *o, const char *text, struct sort *ret)
{
	struct parser p = { .c = o->c, .entity = o->entity, .lexer = { text, strlen(text), 0 } };
	struct token all = { TOKEN_NAME, text, p.lexer.size };
	const char *echo = search_filter_echo(o->c, &all);
	if (!utf8_valid(text, p.lexer.size))
		return fail(o->c, INVALID_PARAMETER_VALUE, "order_by is not valid UTF-8");
	struct token name = search_lexer_next(&p.lexer);
	struct token way = search_lexer_next(&p.lexer);
	struct token end = search_lexer_next(&p.lexer);
	bool descending = search_lexer_word(&way, "DESC");
	if (name.kind != TOKEN_NAME || search_lexer_word(&name, "DESC") ||
	    search_lexer_word(&name, "ASC"))
		return search_filter_fail(
			&p, &name, "Invalid order_by clause '%s'. Could not be parsed.", echo);
	if (way.kind == TOKEN_NAME && !descending && !search_lexer_word(&way, "ASC"))
		return search_filter_fail(&p, &way, "Invalid ordering key in order_by clause '%s'.",
					  echo);
	if (way.kind != TOKEN_NAME && way.kind != TOKEN_END)
		return search_filter_fail(
			&p, &way, "Invalid order_by clause '%s'. Could not be parsed.", echo);
	if (end.kind != TOKEN_END)
		return search_filter_fail(
			&p, &end, "Invalid order_by clause '%s'. Could not be parsed.", echo);
	ret->ascending = !descending;
	if (o->entity == SEARCH_REGISTERED_MODELS)
		return parse_model_key(&p, &name, ret);
	return search_term_identifier(&p, &name, true, &ret->type, &ret->key, &ret->attribute);
}

static int duplicate_fail(struct order *o, const struct search_query *q)
{
	struct buf list = BUF(o->c->arena, 4096);
	for (size_t i = 0; i < q->order_by.count; i++) {
		const char *s = *LIST_AT(const char *, &q->order_by, i);
		struct token t = { TOKEN_NAME, s, strlen(s) };
		buf_addf(&list, "%s'%s'", i ? ", " : "", search_filter_echo(o->c, &t));
	}
	return fail(o->c, INVALID_PARAMETER_VALUE, "`order_by` contains duplicate fields: [%s]",
		    buf_text(&list));
}

static int parse_clauses(struct order *o, const struct search_query *q)
{
	for (size_t i = 0; i < q->order_by.count; i++) {
		struct sort s = { 0 };
		if (parse_clause(o, *LIST_AT(const char *, &q->order_by, i), &s))
			return -1;
		if (o->entity == SEARCH_RUNS && s.type == TERM_DATASET)
			return fail(o->c, INVALID_PARAMETER_VALUE,
				    "Invalid identifier type 'dataset'");
		if (o->entity == SEARCH_EXPERIMENTS && s.type != TERM_ATTRIBUTE)
			return fail(o->c, INVALID_PARAMETER_VALUE, "Invalid order_by entity: tag");
		if (o->entity == SEARCH_MODEL_VERSIONS && s.type != TERM_ATTRIBUTE)
			return fail(o->c, INVALID_PARAMETER_VALUE,
				    "Invalid order by key '%s' specified. Valid keys are %s",
				    search_filter_echo(o->c, &(struct token){ TOKEN_NAME, s.key,
									      strlen(s.key) }),
				    search_attribute_names(o->c, o->entity, true));
		if (o->entity != SEARCH_EXPERIMENTS && ordered_by(o, &s))
			return duplicate_fail(o, q);
		add(o, &s);
	}
	return 0;
}

static int parse_models(struct order *o, const struct search_query *q)
{
	for (size_t i = 0; i < q->order_models.count; i++) {
		const struct search_order_field *f =
			LIST_AT(struct search_order_field, &q->order_models, i);
		const char *name = f->field_name ? f->field_name : "";
		struct sort s = { .type = TERM_ATTRIBUTE,
				  .ascending = !f->ascending || *f->ascending };
		struct token t = { TOKEN_NAME, name, strlen(name) };
		const char *echo = search_filter_echo(o->c, &t);
		const char *dot = strchr(name, '.');
		if (dot && (size_t)(dot - name) == strlen("metrics") &&
		    !strncmp(name, "metrics", strlen("metrics"))) {
			s.type = TERM_METRIC;
			s.key = dot + 1;
			s.dataset_name =
				f->dataset_name && *f->dataset_name ? f->dataset_name : NULL;
			s.dataset_digest =
				f->dataset_digest && *f->dataset_digest ? f->dataset_digest : NULL;
		} else if (dot) {
			return fail(o->c, INVALID_PARAMETER_VALUE,
				    "Invalid order by field name: %s. Only metrics are "
				    "supported.",
				    echo);
		} else {
			s.attribute = search_attribute_find(o->entity, name);
			s.key = name;
			if (!s.attribute)
				return fail(o->c, INVALID_PARAMETER_VALUE,
					    "Invalid order by field name: %s", echo);
		}
		add(o, &s);
	}
	return 0;
}

int search_order_parse(struct ctx *c, const struct search_query *q, struct sort **ret,
		       size_t *count)
{
	bool models = q->entity == SEARCH_LOGGED_MODELS;
	size_t given = models ? q->order_models.count : q->order_by.count;
	if (given > LIMIT_ORDER_BY)
		return fail(c, INVALID_PARAMETER_VALUE, "order_by has more than %d clauses",
			    LIMIT_ORDER_BY);
	struct order o = { c, q->entity, NEW_ARRAY(c->arena, given + 3, struct sort), 0 };
	if (models ? parse_models(&o, q) : parse_clauses(&o, q))
		return -1;
	switch (q->entity) {
	case SEARCH_RUNS:
		add_attribute(&o, "start_time", false);
		add_attribute(&o, "run_id", true);
		break;
	case SEARCH_EXPERIMENTS:
		if (!given)
			add_attribute(&o, "creation_time", false);
		add_attribute(&o, "experiment_id", !given);
		break;
	case SEARCH_LOGGED_MODELS:
		add_attribute(&o, "creation_timestamp", false);
		add_attribute(&o, "model_id", true);
		break;
	case SEARCH_REGISTERED_MODELS:
		add_attribute(&o, "name", true);
		break;
	case SEARCH_MODEL_VERSIONS:
		if (!given)
			add_attribute(&o, "last_updated_timestamp", false);
		add_attribute(&o, "name", true);
		add_attribute(&o, "version_number", false);
		break;
	}
	*ret = o.items;
	*count = o.count;
	return 0;
}
