/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * The filter's grammar: comparisons joined by AND, which may lead, trail, be doubled or be missing
 * (MLflow lets all of that pass), and our OR, NOT and parentheses around them.
 *
 *   or    = and { OR and }
 *   and   = { AND } unary { { AND } unary } { AND }   (NOT and "(" after AND or at the start)
 *   unary = NOT unary | "(" or ")" | comparison
 */
#include <string.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "parse.h"

static void take(struct parser *p)
{
	p->token = search_lexer_next(&p->lexer);
}

static bool is_word(const struct parser *p, const char *word)
{
	return search_lexer_word(&p->token, word);
}

/* The text from the start of one token to the end of another. */
static struct token span(const struct token *from, const struct token *to)
{
	return (struct token){ from->kind, from->text, (size_t)(to->text + to->size - from->text) };
}

const char *search_filter_echo(struct ctx *c, const struct token *t)
{
	size_t n = t->size;
	if (n <= LIMIT_JSON_VALUE_ECHO)
		return arena_strndup(c->arena, t->text, n);
	n = LIMIT_JSON_VALUE_ECHO;
	while (n && ((unsigned char)t->text[n] & 0xc0) == 0x80)
		n--;
	return arena_printf(c->arena, "%.*s...", (int)n, t->text);
}

int search_filter_fail(struct parser *p, const struct token *at, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	const char *text = arena_vprintf(p->c->arena, fmt, ap);
	va_end(ap);
	size_t position = 1;
	for (const char *s = p->lexer.text; s < at->text; position++)
		utf8_next(&s);
	return fail(p->c, INVALID_PARAMETER_VALUE, "%s (at position %zu)", text, position);
}

/* MLflow lists the tokens of no comparison: here those from `from` to the clause's end. */
static const char *clause_tokens(struct parser *p, const struct token *from)
{
	const char *quote = p->entity == SEARCH_RUNS ? "'" : "";
	struct lexer l = p->lexer;
	struct buf out = BUF(p->c->arena, 4096);
	l.at = (size_t)(from->text - l.text);
	for (int i = 0; i < 8; i++) {
		struct token t = search_lexer_next(&l);
		if (t.kind == TOKEN_END ||
		    (i && (search_lexer_word(&t, "AND") || search_lexer_word(&t, "OR"))))
			break;
		buf_addf(&out, "%s%s%s%s", out.size ? ", " : "", quote,
			 search_filter_echo(p->c, &t), quote);
	}
	return buf_text(&out);
}

/* Expects *from and what follows to be no clause. */
static int clause_fail(struct parser *p, const struct token *from, const struct token *at)
{
	struct token all = { TOKEN_OTHER, p->lexer.text, p->lexer.size };
	if (at->kind == TOKEN_SEMICOLON) {
		struct lexer l = p->lexer;
		l.at = (size_t)(at->text - l.text) + 1;
		bool more = search_lexer_next(&l).kind != TOKEN_END;
		if (more && p->entity != SEARCH_LOGGED_MODELS)
			return search_filter_fail(
				p, at,
				"Search filter contained multiple expression '%s'. "
				"Provide AND-ed expression list.",
				search_filter_echo(p->c, &all));
		if (more)
			return search_filter_fail(
				p, at,
				"Invalid filter string: '%s'. Expected a single SQL expression.",
				search_filter_echo(p->c, &all));
	}
	if (p->entity == SEARCH_LOGGED_MODELS)
		return search_filter_fail(
			p, at,
			"Invalid filter string: '%s'. Expected a list of comparisons separated "
			"by 'AND' (e.g. 'metrics.loss > 0.1 AND params.lr = 0.01').",
			search_filter_echo(p->c, &all));
	if (from->kind == TOKEN_END)
		return search_filter_fail(p, at,
					  "Invalid clause(s) in filter string: it ends too early");
	return search_filter_fail(p, at, "Invalid clause(s) in filter string: %s",
				  clause_tokens(p, from));
}

static enum comparator symbol(const struct token *t)
{
	static const char *const symbols[] = { "=", "!=", "<", "<=", ">", ">=" };
	for (unsigned i = 0; i < sizeof(symbols) / sizeof(*symbols); i++)
		if (t->size == strlen(symbols[i]) && !memcmp(t->text, symbols[i], t->size))
			return (enum comparator)i;
	return CMP_UNKNOWN;
}

/* IS [NOT] NULL after IS. */
static int parse_is(struct parser *p, struct comparison *raw)
{
	struct token is = p->token;
	take(p);
	raw->kind = CMP_IS_NULL;
	if (is_word(p, "NOT")) {
		raw->kind = CMP_IS_NOT_NULL;
		take(p);
	}
	if (!is_word(p, "NULL"))
		return clause_fail(p, &raw->name, &p->token);
	raw->op = span(&is, &p->token);
	take(p);
	return 0;
}

/* The operator; afterwards the value is next, but for IS [NOT] NULL. */
static int parse_operator(struct parser *p, struct comparison *raw)
{
	raw->op = p->token;
	raw->kind = CMP_UNKNOWN;
	if (p->token.kind == TOKEN_COMPARISON) {
		raw->kind = symbol(&p->token);
	} else if (is_word(p, "LIKE")) {
		raw->kind = CMP_LIKE;
	} else if (is_word(p, "ILIKE")) {
		raw->kind = CMP_ILIKE;
	} else if (is_word(p, "IN")) {
		raw->kind = CMP_IN;
	} else if (is_word(p, "IS")) {
		return parse_is(p, raw);
	} else if (is_word(p, "NOT")) {
		take(p);
		if (is_word(p, "IN"))
			raw->kind = CMP_NOT_IN;
		else if (!is_word(p, "LIKE") && !is_word(p, "ILIKE") && !is_word(p, "RLIKE") &&
			 !is_word(p, "REGEXP"))
			return clause_fail(p, &raw->name, &p->token);
		raw->op = span(&raw->op, &p->token);
	} else if (!is_word(p, "RLIKE") && !is_word(p, "REGEXP")) {
		return clause_fail(p, &raw->name, &p->token);
	}
	take(p);
	return 0;
}

static bool is_quoted(const struct token *t)
{
	return t->size >= 2 && (t->text[0] == '\'' || t->text[0] == '"') &&
	       t->text[t->size - 1] == t->text[0];
}

/* "(" 'a', "b" ")": its faults wait, so that the other errors come first, as in MLflow. */
static int parse_list(struct parser *p, struct comparison *raw)
{
	struct token open = p->token;
	size_t capacity = 0;
	struct list items = { 0 };
	bool comma = true;
	raw->is_list = true;
	take(p);
	for (; p->token.kind != TOKEN_CLOSE; take(p)) {
		if (p->token.kind == TOKEN_END)
			return clause_fail(p, &raw->name, &open);
		if (p->token.kind == TOKEN_COMMA) {
			if (comma)
				raw->fault = LIST_ILL_FORMED;
			comma = true;
			continue;
		}
		bool text = (p->token.kind == TOKEN_STRING || p->token.kind == TOKEN_NAME) &&
			    is_quoted(&p->token);
		bool number = p->token.kind == TOKEN_INTEGER || p->token.kind == TOKEN_FLOAT;
		if (!comma || !(text || number))
			raw->fault = LIST_ILL_FORMED;
		else if (number && raw->fault == LIST_FINE)
			raw->fault = LIST_NOT_STRINGS;
		comma = false;
		if (text)
			*(const char **)list_add(p->c->arena, &items, &capacity, sizeof(char *)) =
				arena_strndup(p->c->arena, p->token.text + 1, p->token.size - 2);
	}
	if (raw->fault == LIST_FINE && !items.count)
		raw->fault = LIST_EMPTY;
	raw->value = span(&open, &p->token);
	raw->list = items.items;
	raw->count = items.count;
	take(p);
	return 0;
}

static bool is_reserved(const struct token *t)
{
	return search_lexer_word(t, "AND") || search_lexer_word(t, "OR") ||
	       search_lexer_word(t, "NOT") || search_lexer_word(t, "IN") ||
	       search_lexer_word(t, "IS");
}

/* Words that sqlparse takes for keywords and so for no value; the ones that clients do write. */
static bool is_truth(const struct token *t)
{
	return search_lexer_word(t, "TRUE") || search_lexer_word(t, "FALSE");
}

/* a-b, 1 < x and 'x' = y: what stands where a name should. */
static int name_fail(struct parser *p, const struct token *first)
{
	struct lexer l = p->lexer;
	l.at = (size_t)(first->text + first->size - l.text);
	struct token last = *first;
	struct token next = search_lexer_next(&l);
	while (next.kind == TOKEN_OTHER && strchr("+-/*%&|^@", next.text[0])) {
		last = search_lexer_next(&l);
		if (last.kind == TOKEN_END)
			return clause_fail(p, first, &p->token);
		next = search_lexer_next(&l);
	}
	if (next.kind != TOKEN_COMPARISON || p->entity == SEARCH_LOGGED_MODELS)
		return clause_fail(p, first, &p->token);
	struct token all = span(first, &last);
	return search_filter_fail(p, first,
				  "Invalid comparison clause. Expected 'Identifier' found '%s'",
				  search_filter_echo(p->c, &all));
}

static int parse_comparison(struct parser *p, struct node *node)
{
	struct comparison raw = { .name = p->token };
	if (p->token.kind != TOKEN_NAME || is_reserved(&p->token))
		return name_fail(p, &p->token);
	if (++p->terms > LIMIT_FILTER_TERMS)
		return search_filter_fail(p, &p->token, "Filter has more than %d comparisons",
					  LIMIT_FILTER_TERMS);
	take(p);
	if (p->token.kind == TOKEN_OTHER)
		return name_fail(p, &raw.name);
	if (parse_operator(p, &raw))
		return -1;
	if (raw.kind != CMP_IS_NULL && raw.kind != CMP_IS_NOT_NULL) {
		raw.value = p->token;
		if (p->token.kind == TOKEN_OPEN) {
			if (parse_list(p, &raw))
				return -1;
		} else if (raw.kind == CMP_IN || raw.kind == CMP_NOT_IN || is_reserved(&p->token) ||
			   is_truth(&p->token) || p->token.kind < TOKEN_NAME ||
			   p->token.kind > TOKEN_FLOAT) {
			return clause_fail(p, &raw.name, &p->token);
		} else {
			take(p);
		}
	}
	node->kind = NODE_TERM;
	node->term = NEW(p->c->arena, struct term);
	if (search_term_make(p, &raw, node->term))
		return -1;
	p->has_metric = p->has_metric || node->term->type == TERM_METRIC;
	return 0;
}

static void add_child(struct node *parent, struct node *child)
{
	if (parent->last)
		parent->last->next = child;
	else
		parent->first = child;
	parent->last = child;
}

static int parse_or(struct parser *p, struct node **ret);

static int parse_unary(struct parser *p, struct node **ret)
{
	struct token start = p->token;
	bool not = is_word(p, "NOT");
	if (!not &&start.kind != TOKEN_OPEN) {
		*ret = NEW(p->c->arena, struct node);
		return parse_comparison(p, *ret);
	}
	if (++p->depth > LIMIT_FILTER_DEPTH)
		return search_filter_fail(p, &start, "Filter is nested more than %d levels deep",
					  LIMIT_FILTER_DEPTH);
	take(p);
	struct node *inner = NULL;
	if (not ? parse_unary(p, &inner) : parse_or(p, &inner))
		return -1;
	if (!inner)
		return clause_fail(p, &p->token, &p->token);
	if (not ) {
		*ret = NEW(p->c->arena, struct node);
		(*ret)->kind = NODE_NOT;
		add_child(*ret, inner);
	} else {
		if (p->token.kind == TOKEN_END)
			return search_filter_fail(
				p, &start, "Invalid clause(s) in filter string: '(' is not closed");
		if (p->token.kind != TOKEN_CLOSE)
			return clause_fail(p, &p->token, &p->token);
		take(p);
		*ret = inner;
	}
	p->depth--;
	return 0;
}

/* *ret NULL: nothing but ANDs. */
static int parse_and(struct parser *p, struct node **ret)
{
	struct node *all = NEW(p->c->arena, struct node);
	all->kind = NODE_AND;
	for (bool joined = true;; joined = false) {
		for (; is_word(p, "AND"); joined = true)
			take(p);
		if (p->token.kind == TOKEN_END || p->token.kind == TOKEN_CLOSE || is_word(p, "OR"))
			break;
		if (!joined && (p->token.kind == TOKEN_OPEN || is_word(p, "NOT")))
			return clause_fail(p, &p->token, &p->token);
		struct node *child = NULL;
		if (parse_unary(p, &child))
			return -1;
		add_child(all, child);
	}
	*ret = all->first == all->last ? all->first : all;
	return 0;
}

static int parse_or(struct parser *p, struct node **ret)
{
	struct token start = p->token;
	struct node *first = NULL;
	if (parse_and(p, &first))
		return -1;
	*ret = first;
	if (!is_word(p, "OR"))
		return 0;
	if (!first)
		return clause_fail(p, &start, &start);
	struct node *any = NEW(p->c->arena, struct node);
	any->kind = NODE_OR;
	add_child(any, first);
	while (is_word(p, "OR")) {
		struct token or = p->token;
		struct node *next = NULL;
		take(p);
		if (parse_and(p, &next))
			return -1;
		if (!next)
			return clause_fail(p, & or, & or);
		add_child(any, next);
	}
	*ret = any;
	return 0;
}

int search_filter_parse(struct ctx *c, enum search_entity e, const char *text, struct node **ret,
			bool *has_metric)
{
	*ret = NULL;
	*has_metric = false;
	if (!text || !*text)
		return 0;
	size_t size = strlen(text);
	if (size > LIMIT_FILTER)
		return fail(c, INVALID_PARAMETER_VALUE, "Filter string is longer than %d bytes",
			    LIMIT_FILTER);
	if (!utf8_valid(text, size))
		return fail(c, INVALID_PARAMETER_VALUE, "Filter string is not valid UTF-8");
	struct parser p = { .c = c, .entity = e, .lexer = { text, size, 0 } };
	take(&p);
	if (p.token.kind == TOKEN_END && e == SEARCH_LOGGED_MODELS)
		return search_filter_fail(
			&p, &p.token,
			"Invalid filter string: '%s'. Expected a single SQL expression.",
			size > LIMIT_JSON_VALUE_ECHO ? "..." : text);
	if (p.token.kind == TOKEN_END)
		return search_filter_fail(&p, &p.token, "Invalid filter '%s'. Could not be parsed.",
					  size > LIMIT_JSON_VALUE_ECHO ? "..." : text);
	if (parse_or(&p, ret))
		return -1;
	if (p.token.kind != TOKEN_END)
		return clause_fail(&p, &p.token, &p.token);
	*has_metric = p.has_metric;
	return 0;
}
