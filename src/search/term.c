/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * What a comparison means: SearchUtils, SearchExperimentsUtils and search_logged_model_utils of
 * MLflow, with their error texts (its sets, printed in no order there, have ours here). The checks
 * come in MLflow's order: name, value, comparator; logged models: name, comparator, value.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "parse.h"

#define SET(op) (1u << (op))

enum {
	ORDER_OPS =
		SET(CMP_EQ) | SET(CMP_NE) | SET(CMP_LT) | SET(CMP_LE) | SET(CMP_GT) | SET(CMP_GE),
	LIST_OPS = SET(CMP_IN) | SET(CMP_NOT_IN),
	TEXT_OPS = SET(CMP_EQ) | SET(CMP_NE) | SET(CMP_LIKE) | SET(CMP_ILIKE),
	NULL_OPS = SET(CMP_IS_NULL) | SET(CMP_IS_NOT_NULL),
};

#define NUMERIC_NAMES "'{'=', '!=', '>', '>=', '<', '<='}'"
#define TEXT_NAMES    "'{'=', '!=', 'LIKE', 'ILIKE', 'IN', 'NOT IN'}'"
#define TAG_NAMES     "'{'=', '!=', 'LIKE', 'ILIKE', 'IN', 'NOT IN', 'IS NULL', 'IS NOT NULL'}'"

static const char *const type_names[] = {
	[TERM_ATTRIBUTE] = "attribute", [TERM_METRIC] = "metric",
	[TERM_PARAM] = "parameter",     [TERM_TAG] = "tag",
	[TERM_DATASET] = "dataset",
};

static const char *const model_type_names[] = {
	[TERM_ATTRIBUTE] = "attributes",
	[TERM_METRIC] = "metrics",
	[TERM_PARAM] = "params",
	[TERM_TAG] = "tags",
};

static bool accepts(unsigned set, enum comparator op)
{
	return set & SET(op);
}

static bool quoted_by(const char *s, size_t n, char quote)
{
	return n >= 2 && s[0] == quote && s[n - 1] == quote;
}

/* The text without its quotes, then without its backticks. */
static const char *unquote(struct ctx *c, const char *s, size_t n)
{
	if (quoted_by(s, n, '\'') || quoted_by(s, n, '"')) {
		s++;
		n -= 2;
	}
	if (quoted_by(s, n, '`')) {
		s++;
		n -= 2;
	}
	return arena_strndup(c->arena, s, n);
}

static const char *upper(struct ctx *c, const char *s)
{
	char *out = arena_strdup(c->arena, s);
	for (char *p = out; *p; p++)
		*p = (char)toupper((unsigned char)*p);
	return out;
}

/* ---- names ---- */

static bool run_type(const char *name, enum term_type *type)
{
	static const struct {
		const char *name;
		enum term_type type;
	} names[] = {
		{ "metric", TERM_METRIC },
		{ "metrics", TERM_METRIC },
		{ "parameter", TERM_PARAM },
		{ "parameters", TERM_PARAM },
		{ "param", TERM_PARAM },
		{ "params", TERM_PARAM },
		{ "tag", TERM_TAG },
		{ "tags", TERM_TAG },
		{ "attribute", TERM_ATTRIBUTE },
		{ "attributes", TERM_ATTRIBUTE },
		{ "attr", TERM_ATTRIBUTE },
		{ "run", TERM_ATTRIBUTE },
		{ "dataset", TERM_DATASET },
		{ "datasets", TERM_DATASET },
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (!strcmp(name, names[i].name)) {
			*type = names[i].type;
			return true;
		}
	}
	return false;
}

static bool experiment_type(const char *name, enum term_type *type)
{
	*type = !strcmp(name, "attribute") ? TERM_ATTRIBUTE : TERM_TAG;
	return !strcmp(name, "attribute") || !strcmp(name, "tag") || !strcmp(name, "tags");
}

static bool model_type(const char *name, enum term_type *type)
{
	for (unsigned i = TERM_ATTRIBUTE; i <= TERM_TAG; i++) {
		if (!strcmp(name, model_type_names[i])) {
			*type = (enum term_type)i;
			return true;
		}
	}
	return false;
}

/* The part before the first dot. */
static int name_type(struct parser *p, const struct token *name, size_t n, enum term_type *type)
{
	const char *s = name->text;
	struct token part = { TOKEN_NAME, s, n };
	if (p->entity == SEARCH_RUNS && quoted_by(s, n, '`')) {
		part.text++;
		part.size -= 2;
	}
	const char *text = search_filter_echo(p->c, &part);
	switch (p->entity) {
	case SEARCH_RUNS:
		return run_type(text, type)
			       ? 0
			       : search_filter_fail(
					 p, name,
					 "Invalid entity type '%s'. Valid values are ['metric', "
					 "'parameter', 'tag', 'attribute', 'dataset']",
					 text);
	case SEARCH_EXPERIMENTS:
	case SEARCH_REGISTERED_MODELS:
	case SEARCH_MODEL_VERSIONS:
		return experiment_type(text, type)
			       ? 0
			       : search_filter_fail(
					 p, name,
					 "Invalid entity type '%s'. Valid entity types are "
					 "('attribute', 'tag', 'tags')",
					 text);
	default:
		return model_type(text, type) ? 0
					      : search_filter_fail(p, name,
								   "Invalid entity type: '%s'. "
								   "Expected one of ['attributes', "
								   "'metrics', 'params', 'tags'].",
								   text);
	}
}

int search_term_identifier(struct parser *p, const struct token *name, bool ordering,
			   enum term_type *type, const char **key,
			   const struct attribute **attribute)
{
	const char *dot = memchr(name->text, '.', name->size);
	size_t head = dot ? (size_t)(dot - name->text) : 0;
	size_t skip = dot ? head + 1 : 0;
	*type = TERM_ATTRIBUTE;
	*attribute = NULL;
	if (dot && name_type(p, name, head, type))
		return -1;
	*key = unquote(p->c, name->text + skip, name->size - skip);
	/* here MLflow looks an attribute up before it strips quotes */
	if (*type == TERM_ATTRIBUTE && search_is_registry(p->entity) && !ordering)
		*key = arena_strndup(p->c->arena, name->text + skip, name->size - skip);
	struct token part = { TOKEN_NAME, *key, strlen(*key) };
	if (*type == TERM_DATASET && strcmp(*key, "name") && strcmp(*key, "digest") &&
	    strcmp(*key, "context"))
		return search_filter_fail(p, name,
					  "Invalid dataset key '%s' specified. Valid keys are "
					  "'{'name', 'digest', 'context'}'",
					  search_filter_echo(p->c, &part));
	if (*type != TERM_ATTRIBUTE)
		return 0;
	*attribute = search_attribute_find(p->entity, *key);
	if (!*attribute || ((*attribute)->flags & (ordering ? NOT_ORDERABLE : ORDER_ONLY)))
		return search_filter_fail(
			p, name, "Invalid attribute key '%s' specified. Valid keys are '%s'",
			search_filter_echo(p->c, &part),
			search_attribute_names(p->c, p->entity, ordering));
	return 0;
}

/* ---- values ---- */

static bool is_number(const struct comparison *raw)
{
	return !raw->is_list &&
	       (raw->value.kind == TOKEN_INTEGER || raw->value.kind == TOKEN_FLOAT);
}

/* strtod is correctly rounded and overflows to infinity, as Python's float(). */
static void read_number(struct parser *p, const struct token *t, struct number *ret)
{
	const char *text = arena_strndup(p->c->arena, t->text, t->size);
	ret->real = strtod(text, NULL);
	if (t->kind == TOKEN_INTEGER) {
		errno = 0;
		ret->integer = strtoll(text, NULL, 10);
		ret->exact = errno == 0;
	}
}

static int read_list(struct parser *p, const struct comparison *raw, struct term *ret)
{
	switch (raw->fault) {
	case LIST_EMPTY:
		return search_filter_fail(
			p, &raw->value,
			"While parsing a list in the query, expected a non-empty list "
			"of string values, but got empty list");
	case LIST_NOT_STRINGS:
		return search_filter_fail(
			p, &raw->value,
			"While parsing a list in the query, expected string value, "
			"punctuation, or whitespace, but got different type in list: %s",
			search_filter_echo(p->c, &raw->value));
	case LIST_ILL_FORMED:
		return search_filter_fail(
			p, &raw->value,
			"While parsing a list in the query, expected a non-empty list "
			"of string values, but got ill-formed list.");
	default:
		ret->list = raw->list;
		ret->count = raw->count;
		return 0;
	}
}

/* MLflow's wording for a value that is no text. */
static const char *expected_text(enum search_entity e, const struct term *t)
{
	switch (t->type) {
	case TERM_ATTRIBUTE:
		return search_is_registry(e) ? "or a list of quoted string values for attributes"
					     : "for attributes";
	case TERM_DATASET:
		return "for dataset attributes";
	case TERM_TAG:
		return "for tag (e.g. 'my-value')";
	default:
		return "for parameter (e.g. 'my-value')";
	}
}

static const char *const list_names[] = {
	[SEARCH_EXPERIMENTS] = "experiment_id",
	[SEARCH_RUNS] = "run_id",
	[SEARCH_LOGGED_MODELS] = "",
	[SEARCH_REGISTERED_MODELS] = "name",
	[SEARCH_MODEL_VERSIONS] = "name', 'run_id",
};

static int read_text(struct parser *p, const struct comparison *raw, struct term *ret)
{
	const struct token *v = &raw->value;
	if (raw->is_list) {
		bool listed = accepts(LIST_OPS, raw->kind);
		if (ret->attribute && !(ret->attribute->flags & LISTABLE))
			return search_filter_fail(
				p, v,
				"Only ['%s'] attributes support comparison with a list of "
				"quoted string values.",
				list_names[p->entity]);
		if (listed || ret->type == TERM_ATTRIBUTE || ret->type == TERM_DATASET)
			return read_list(p, raw, ret);
	} else if (v->kind == TOKEN_STRING ||
		   (v->kind == TOKEN_NAME && !search_lexer_word(v, "NULL"))) {
		if (!quoted_by(v->text, v->size, '\'') && !quoted_by(v->text, v->size, '"'))
			return search_filter_fail(
				p, v,
				"Parameter value is either not quoted or unidentified quote "
				"types used for string value %s. Use either single or double "
				"quotes.",
				search_filter_echo(p->c, v));
		ret->text = arena_strndup(p->c->arena, v->text + 1, v->size - 2);
		return 0;
	}
	return search_filter_fail(p, v, "Expected a quoted string value %s. Got value %s",
				  expected_text(p->entity, ret), search_filter_echo(p->c, v));
}

/* The value of a run's or experiment's comparison. */
static int read_value(struct parser *p, const struct comparison *raw, struct term *ret)
{
	const struct attribute *a = ret->attribute;
	bool numeric = a && a->column == COLUMN_INTEGER && !(a->flags & IDENTIFIER);
	if (ret->type != TERM_METRIC && !numeric)
		return read_text(p, raw, ret);
	if (is_number(raw)) {
		read_number(p, &raw->value, &ret->number);
		return 0;
	}
	const char *echo = search_filter_echo(p->c, &raw->value);
	if (ret->type == TERM_METRIC)
		return search_filter_fail(p, &raw->value,
					  "Expected numeric value type for metric. Found %s", echo);
	return search_filter_fail(p, &raw->value,
				  "Expected numeric value type for numeric attribute: %s. Found %s",
				  ret->key, echo);
}

/* ---- comparators ---- */

static int null_fail(struct parser *p, const struct comparison *raw, const struct term *t)
{
	if (p->entity == SEARCH_EXPERIMENTS)
		return search_filter_fail(
			p, &raw->op,
			"IS NULL / IS NOT NULL is only supported for tags, not for "
			"attribute '%s'",
			t->key);
	return search_filter_fail(p, &raw->op,
				  "IS NULL / IS NOT NULL is only supported for tags and params "
				  "(and metrics), not for '%s' '%s'",
				  type_names[t->type], t->key);
}

static int check_run(struct parser *p, const struct comparison *raw, const struct term *t)
{
	unsigned set;
	const char *names;
	if (t->type == TERM_METRIC) {
		set = ORDER_OPS;
		names = NUMERIC_NAMES;
	} else if (t->type == TERM_PARAM || t->type == TERM_TAG) {
		set = TEXT_OPS | LIST_OPS;
		names = TAG_NAMES;
	} else {
		set = t->attribute && t->attribute->column == COLUMN_INTEGER ? ORDER_OPS
									     : TEXT_OPS | LIST_OPS;
		names = TEXT_NAMES;
	}
	if (accepts(set, raw->kind))
		return 0;
	return search_filter_fail(p, &raw->op, "Invalid comparator '%s' not one of %s",
				  upper(p->c, search_filter_echo(p->c, &raw->op)), names);
}

/* Reads an id as Python's int() does. */
static int read_id(struct parser *p, const struct comparison *raw, const char *text, int64_t *ret)
{
	char *end;
	errno = 0;
	*ret = strtoll(text, &end, 10);
	bool digits = end != text;
	while (isspace((unsigned char)*end))
		end++;
	if (digits && !*end && !errno)
		return 0;
	struct token echo = { TOKEN_STRING, text, strlen(text) };
	return search_filter_fail(
		p, &raw->value,
		"Invalid experiment ID '%s'. Experiment ID must be a valid integer.",
		search_filter_echo(p->c, &echo));
}

static int read_ids(struct parser *p, const struct comparison *raw, struct term *t)
{
	if (!t->list)
		return read_id(p, raw, t->text, &t->number.integer);
	int64_t *ids = NEW_ARRAY(p->c->arena, t->count, int64_t);
	for (size_t i = 0; i < t->count; i++)
		if (read_id(p, raw, t->list[i], &ids[i]))
			return -1;
	t->ids = ids;
	return 0;
}

static int check_experiment(struct parser *p, const struct comparison *raw, struct term *t)
{
	const char *op = search_filter_echo(p->c, &raw->op);
	bool lower_case =
		accepts(SET(CMP_LIKE) | SET(CMP_ILIKE), raw->kind) && strcmp(op, upper(p->c, op));
	enum comparator kind = lower_case ? CMP_UNKNOWN : raw->kind;
	if (t->type == TERM_TAG) {
		if (!accepts(TEXT_OPS | LIST_OPS, kind))
			return search_filter_fail(p, &raw->op, "Invalid comparator for tag: %s",
						  op);
		return 0;
	}
	if (t->attribute->flags & IDENTIFIER) {
		if (!accepts(SET(CMP_EQ) | SET(CMP_NE) | LIST_OPS, kind))
			return search_filter_fail(p, &raw->op,
						  "Invalid comparator for experiment_id: %s", op);
		return read_ids(p, raw, t);
	}
	bool numeric = t->attribute->column == COLUMN_INTEGER;
	if (!accepts(numeric ? ORDER_OPS : TEXT_OPS, kind))
		return search_filter_fail(p, &raw->op, "Invalid comparator '%s' not one of %s", op,
					  TEXT_NAMES);
	if (numeric && raw->value.kind == TOKEN_FLOAT)
		return search_filter_fail(p, &raw->value,
					  "Invalid value for numeric attribute '%s': '%s'", t->key,
					  search_filter_echo(p->c, &raw->value));
	return 0;
}

/* One text where MLflow takes (and we, with IN, need) a list, and what PostgreSQL would refuse. */
static int check_text(struct parser *p, const struct comparison *raw, struct term *t)
{
	if (t->list && !accepts(LIST_OPS, t->op)) {
		if (t->count > 1)
			return search_filter_fail(
				p, &raw->op, "Invalid comparator '%s' for a list: use IN or NOT IN",
				search_filter_echo(p->c, &raw->op));
		t->text = t->list[0];
		t->number.integer = t->ids ? t->ids[0] : 0;
		t->list = NULL;
		t->ids = NULL;
	}
	if (t->op != CMP_LIKE && t->op != CMP_ILIKE)
		return 0;
	size_t n = strlen(t->text);
	size_t slashes = 0;
	while (slashes < n && t->text[n - 1 - slashes] == '\\')
		slashes++;
	if (slashes % 2)
		return search_filter_fail(p, &raw->value,
					  "Invalid pattern %s: it must not end with a backslash",
					  search_filter_echo(p->c, &raw->value));
	return 0;
}

/* ---- logged models ---- */

/* READY, LOGGED_MODEL_READY and MLflow's number 2 are the same. */
static const char *model_status(const char *text)
{
	static const char prefix[] = "LOGGED_MODEL_";
	static const char *const numbers[] = { "PENDING", "READY", "FAILED" };
	if (text[0] >= '1' && text[0] <= '3' && !text[1])
		return numbers[text[0] - '1'];
	if (!strncmp(text, prefix, sizeof(prefix) - 1))
		text += sizeof(prefix) - 1;
	return !strcmp(text, "UPLOAD_FAILED") ? "FAILED" : text;
}

static void read_model_status(struct parser *p, struct term *t)
{
	if (t->text)
		t->text = model_status(t->text);
	if (!t->list)
		return;
	const char **list = NEW_ARRAY(p->c->arena, t->count, const char *);
	for (size_t i = 0; i < t->count; i++)
		list[i] = model_status(t->list[i]);
	t->list = list;
}

static int read_model_value(struct parser *p, const struct comparison *raw, bool numeric,
			    struct term *t)
{
	const struct token *v = &raw->value;
	const char *echo = search_filter_echo(p->c, v);
	if (numeric && !is_number(raw) && !search_lexer_word(v, "INF") &&
	    !search_lexer_word(v, "INFINITY"))
		return search_filter_fail(p, v, "Invalid value for %s.%s: %s. Expected a number.",
					  model_type_names[t->type], t->key, echo);
	if (numeric) {
		read_number(p, v, &t->number);
		return 0;
	}
	if (raw->is_list != accepts(LIST_OPS, t->op))
		return search_filter_fail(p, v,
					  "Invalid value for %s.%s: %s. A list needs IN or NOT IN.",
					  model_type_names[t->type], t->key, echo);
	if (raw->is_list) {
		if (read_list(p, raw, t))
			return -1;
	} else if (quoted_by(v->text, v->size, '\'') || quoted_by(v->text, v->size, '"')) {
		t->text = arena_strndup(p->c->arena, v->text + 1, v->size - 2);
	} else {
		t->text = arena_strndup(p->c->arena, v->text, v->size);
	}
	if (t->attribute && (t->attribute->flags & MODEL_STATUS))
		read_model_status(p, t);
	return 0;
}

static int make_model(struct parser *p, const struct comparison *raw, struct term *t)
{
	bool numeric =
		t->type == TERM_METRIC || (t->attribute && t->attribute->column == COLUMN_INTEGER);
	if (!accepts(numeric ? ORDER_OPS : TEXT_OPS | LIST_OPS, raw->kind))
		return search_filter_fail(
			p, &raw->op,
			"Invalid comparison operator for %s.%s: '%s'. Expected one of %s.",
			model_type_names[t->type], t->key,
			upper(p->c, search_filter_echo(p->c, &raw->op)),
			numeric ? "('<', '<=', '>', '>=', '=', '!=')"
				: "('=', '!=', 'LIKE', 'ILIKE', 'IN', 'NOT IN')");
	if (read_model_value(p, raw, numeric, t))
		return -1;
	return check_text(p, raw, t);
}

/* ---- the registry ---- */

/* A version's number is written bare or in quotes. */
static int read_registry_value(struct parser *p, const struct comparison *raw, struct term *t)
{
	bool numeric = t->attribute && t->attribute->column == COLUMN_INTEGER;
	if (numeric && is_number(raw)) {
		read_number(p, &raw->value, &t->number);
		return 0;
	}
	if (p->entity == SEARCH_MODEL_VERSIONS && t->attribute && is_number(raw))
		return search_filter_fail(
			p, &raw->value,
			"Only the '{'version_number', 'creation_timestamp', "
			"'last_updated_timestamp'}' attributes support comparison with numeric "
			"values.");
	return read_text(p, raw, t);
}

static int check_version_number(struct parser *p, const struct comparison *raw, struct term *t)
{
	const char *echo = search_filter_echo(p->c, &raw->value);
	bool fits = raw->value.kind != TOKEN_FLOAT;
	if (!accepts(ORDER_OPS, raw->kind))
		return search_filter_fail(p, &raw->op, "Invalid comparator for attribute %s: %s",
					  t->key, upper(p->c, search_filter_echo(p->c, &raw->op)));
	if (t->text) {
		char *end;
		errno = 0;
		t->number.integer = strtoll(t->text, &end, 10);
		t->number.real = (double)t->number.integer;
		t->number.exact = true;
		fits = end != t->text && !errno;
		while (isspace((unsigned char)*end))
			end++;
		fits = fits && !*end;
	}
	if (fits)
		return 0;
	return search_filter_fail(p, &raw->value, "Invalid value for numeric attribute '%s': %s",
				  t->key, echo);
}

static int make_registry(struct parser *p, const struct comparison *raw, struct term *t)
{
	if (read_registry_value(p, raw, t))
		return -1;
	if (t->attribute && t->attribute->column == COLUMN_INTEGER)
		return check_version_number(p, raw, t);
	if (!accepts(TEXT_OPS | LIST_OPS, raw->kind))
		return search_filter_fail(p, &raw->op, "Invalid comparator for %s: %s",
					  type_names[t->type],
					  upper(p->c, search_filter_echo(p->c, &raw->op)));
	return check_text(p, raw, t);
}

int search_term_make(struct parser *p, const struct comparison *raw, struct term *ret)
{
	if (search_term_identifier(p, &raw->name, false, &ret->type, &ret->key, &ret->attribute))
		return -1;
	ret->op = raw->kind;
	if (accepts(NULL_OPS, raw->kind)) {
		if (ret->type == TERM_ATTRIBUTE || ret->type == TERM_DATASET)
			return null_fail(p, raw, ret);
		return 0;
	}
	if (p->entity == SEARCH_LOGGED_MODELS)
		return make_model(p, raw, ret);
	if (search_is_registry(p->entity))
		return make_registry(p, raw, ret);
	if (read_value(p, raw, ret))
		return -1;
	if (p->entity == SEARCH_RUNS ? check_run(p, raw, ret) : check_experiment(p, raw, ret))
		return -1;
	return check_text(p, raw, ret);
}
