/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What the files of search/ share: tokens, the parsed filter, the parsed order. */
#ifndef SEARCH_PARSE_H
#define SEARCH_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "search/search.h"

/* ---- lexer.c ---- */

enum token_kind {
	TOKEN_END,
	TOKEN_NAME,   /* a word, "quoted" or `quoted` name, or several joined by dots */
	TOKEN_STRING, /* 'single quoted' */
	TOKEN_INTEGER,
	TOKEN_FLOAT,
	TOKEN_COMPARISON, /* a run of < > = ~ ! */
	TOKEN_OPEN,
	TOKEN_CLOSE,
	TOKEN_COMMA,
	TOKEN_SEMICOLON,
	TOKEN_OTHER, /* comment, operator, unterminated quote: never valid */
};

struct token {
	enum token_kind kind;
	const char *text; /* inside of the source, raw */
	size_t size;
};

struct lexer {
	const char *text; /* valid UTF-8 */
	size_t size;
	size_t at;
};

struct token search_lexer_next(struct lexer *l);

/* Is the token this (upper case) word? */
bool search_lexer_word(const struct token *t, const char *word);

/* ---- attribute.c ---- */

enum column {
	COLUMN_TEXT,
	COLUMN_INTEGER,
	COLUMN_UUID, /* 32 hex digits outside */
	COLUMN_REAL, /* sort keys only */
};

enum attribute_flags {
	NULLABLE = 1 << 0,
	LISTABLE = 1 << 1, /* MLflow accepts IN */
	NOT_ORDERABLE = 1 << 2,
	IDENTIFIER = 1 << 3, /* an integer that clients write in quotes */
	MODEL_STATUS = 1 << 4,
	ORDER_ONLY = 1 << 5,
	HEAD_INDEXED = 1 << 6, /* its first 256 characters are */
};

struct attribute {
	const char *name; /* NULL ends the table */
	const char *sql;  /* aliases have equal text */
	enum column column;
	unsigned flags;
	const char *sort_sql; /* where it differs */
	enum column sort_column;
};

const struct attribute *search_attribute_find(enum search_entity e, const char *name);

static inline bool search_is_registry(enum search_entity e)
{
	return e == SEARCH_REGISTERED_MODELS || e == SEARCH_MODEL_VERSIONS;
}

/* "{'run_id', 'run_name', ...}" as in MLflow's error texts. */
const char *search_attribute_names(struct ctx *c, enum search_entity e, bool orderable);

/* ---- filter.c: text -> tree ---- */

enum term_type { TERM_ATTRIBUTE, TERM_METRIC, TERM_PARAM, TERM_TAG, TERM_DATASET };
enum comparator {
	CMP_EQ,
	CMP_NE,
	CMP_LT,
	CMP_LE,
	CMP_GT,
	CMP_GE,
	CMP_LIKE,
	CMP_ILIKE,
	CMP_IN,
	CMP_NOT_IN,
	CMP_IS_NULL,
	CMP_IS_NOT_NULL,
	CMP_UNKNOWN,
};

struct number {
	bool exact; /* an int64: in .integer; .real is always set */
	int64_t integer;
	double real;
};

struct term {
	enum term_type type;
	const char *key; /* of metric, param, tag; name, digest or context of a dataset */
	const struct attribute *attribute;
	enum comparator op;
	const char *text;        /* the value of text comparisons */
	struct number number;    /* the value of numeric comparisons */
	const char *const *list; /* IN: texts, or with IDENTIFIER int64 in ids */
	const int64_t *ids;
	size_t count;
};

enum node_kind { NODE_AND, NODE_OR, NODE_NOT, NODE_TERM };

struct node {
	enum node_kind kind;
	struct node *first; /* children */
	struct node *last;
	struct node *next; /* sibling */
	struct term *term;
};

/* A comparison as written. */
struct comparison {
	struct token name;
	struct token op; /* spans "NOT IN", "IS NOT NULL" as written */
	enum comparator kind;
	struct token value; /* of a list: from ( to ) */
	bool is_list;
	enum list_fault { LIST_FINE, LIST_EMPTY, LIST_NOT_STRINGS, LIST_ILL_FORMED } fault;
	const char *const *list;
	size_t count;
};

struct parser {
	struct ctx *c;
	enum search_entity entity;
	struct lexer lexer;
	struct token token; /* the next one, not yet taken */
	unsigned terms;
	unsigned depth;
	bool has_metric;
};

/* *ret NULL: no condition. *has_metric: some comparison is of a metric. */
int search_filter_parse(struct ctx *c, enum search_entity e, const char *text, struct node **ret,
			bool *has_metric) MUST_CHECK;

/* INVALID_PARAMETER_VALUE with " (at position N)" of the token, counted in characters from 1. */
int search_filter_fail(struct parser *p, const struct token *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The token's text for a message, cut to LIMIT_JSON_VALUE_ECHO. */
const char *search_filter_echo(struct ctx *c, const struct token *t);

/* ---- term.c: what a comparison means to each entity ---- */

int search_term_make(struct parser *p, const struct comparison *raw, struct term *ret) MUST_CHECK;

/* Splits "metrics.`a b`" into type and key as MLflow's _get_identifier does. */
int search_term_identifier(struct parser *p, const struct token *name, bool ordering,
			   enum term_type *type, const char **key,
			   const struct attribute **attribute) MUST_CHECK;

/* ---- order.c ---- */

struct sort {
	enum term_type type;
	const struct attribute *attribute;
	const char *key;
	const char *dataset_name; /* logged models' metrics; NULL: any */
	const char *dataset_digest;
	bool ascending;
};

/* The client's clauses, then the tie-breakers: the last one is unique. */
int search_order_parse(struct ctx *c, const struct search_query *q, struct sort **ret,
		       size_t *count) MUST_CHECK;

/* ---- sql.c, key.c, leaf.c ---- */

struct join { /* of runs r (experiments e, models l) with one key of one table */
	enum term_type type;
	const char *key;
	unsigned alias;
	bool inner;
};

struct builder {
	struct ctx *c;
	const struct search_query *q;
	struct buf joins;
	struct buf where;
	struct db_arg *args;
	size_t arg_count;
	size_t arg_capacity;
	struct join *join;
	size_t join_count;
	size_t probes; /* EXISTS conditions */
	unsigned aliases;
	bool ranked; /* ranked.c: the first order's metric is joined, all else of keys is a probe */
	const char *experiment; /* "= $1" or "= ANY($1)"; NULL for experiments and the registry */
	bool hide_prompts;
};

/* Appends an argument and returns its number, for "$%zu". */
size_t search_sql_arg(struct builder *b, struct db_arg a);

/* A condition and all below it; `positive`: see search_leaf_write(). */
void search_node_write(struct builder *b, const struct node *n, bool positive);

struct parsed {
	struct search_query seen; /* with the experiments that the user may see */
	struct node *tree;
	bool has_metric;
	struct sort *sorts;
	size_t sort_count;
	const char *const *position; /* NULL: the first page */
};

int search_query_parse(struct ctx *c, const struct search_query *q, struct search_page *ret,
		       struct parsed *p) MUST_CHECK;

/* The statement and its arguments, unless they are too long. */
int search_build_finish(struct builder *b, struct buf *sql, struct search_page *ret) MUST_CHECK;

struct sort_key { /* one column of the order */
	const char *sql;
	enum column column;
	bool ascending;
	bool nullable;
};

void search_key_make(struct builder *b, const struct sort *s, struct sort_key *k);

/* after(k1) OR (k1 = v1 AND (after(k2) OR ...)), missing values being last: appended to b.where. */
void search_keys_after(struct builder *b, const struct sort_key *keys, size_t count,
		       const char *const *values);

/* " ORDER BY k1, ..." */
void search_keys_order(struct buf *to, const struct sort_key *keys, size_t count);

/* ", <expression> AS k1, ..." and, outside, "p.k1::text, ...". */
void search_keys_columns(struct buf *to, const struct sort_key *keys, size_t count);
void search_keys_texts(struct buf *to, const struct sort_key *keys, size_t count);

/* The (left or inner) join of a key of metrics, params or tags; one join serves a key's order and
   its top-level conditions. Returns the alias number: j<N>. */
unsigned search_leaf_join(struct builder *b, enum term_type type, const char *key, bool inner);

/* Writes the joins gathered so far. */
void search_leaf_joins(struct builder *b);

/* For each conjunct of the whole filter, before any is written: the joins go first to conditions
   that an index finds. */
void search_leaf_reserve(struct builder *b, const struct term *t);

/* A term as a condition. `positive`: a conjunct of the whole filter, so that an inner join may
   serve it; otherwise it is true or false, never unknown. */
void search_leaf_write(struct builder *b, const struct term *t, bool positive);

/* " AND (m.dataset_name = ... OR ...)" for the query's datasets; nothing without. */
void search_leaf_datasets(struct builder *b, const char *alias);

/* ---- scope.c: what every query of an entity says before its filter ---- */

void search_scope_write(struct builder *b);

/* Is the term about MLflow's mark of prompts? Then, which does it want? */
bool search_scope_is_prompt_mark(enum search_entity e, const struct term *t);
enum prompt_mark { MARK_OTHER, MARK_PROMPTS, MARK_MODELS };
enum prompt_mark search_scope_mark(const struct term *t);

/* Does the filter not ask for prompts? */
bool search_scope_hides_prompts(enum search_entity e, const struct node *tree);

/* ---- token.c ---- */

int search_token_digest(struct ctx *c, const struct search_query *q, uint8_t digest[32]) MUST_CHECK;

/* The position of q's page token: `count` texts, NULL = SQL NULL. *ret NULL: first page. */
int search_token_position(struct ctx *c, const struct search_query *q, const uint8_t digest[32],
			  size_t count, const char *const **ret) MUST_CHECK;

#endif
