/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * search — MLflow's filter_string and order_by (mlflow/utils/search_utils.py of 3.17.2), and more:
 * OR, NOT, parentheses, IS NULL on metrics, IN on parameters. Builds the one dynamic statement of
 * the program: every client value is an argument ($n), never text. Pages are keyset pages; a token
 * is signed and bound to its query.
 *
 * NOT is two-valued: a comparison with a key or attribute that a row lacks is false, so its NOT is
 * true. NOT (params.a = 'x') finds runs without a; params.a != 'x' and params.a NOT IN ('x') only
 * runs that have it. NaN is unequal to everything: metrics.a != 1 is true of it, every other
 * comparison false.
 *
 * Registered models and model versions: prompts are hidden, as in MLflow, unless the filter asks
 * for them by the tag mlflow.prompt.is_prompt.
 *
 * All honour ctx.access.
 */
#ifndef SEARCH_SEARCH_H
#define SEARCH_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/record.h"
#include "db/db.h"

enum search_entity {
	SEARCH_EXPERIMENTS,
	SEARCH_RUNS,
	SEARCH_LOGGED_MODELS,
	SEARCH_REGISTERED_MODELS,
	SEARCH_MODEL_VERSIONS
};
enum search_view {
	VIEW_ACTIVE = 1,
	VIEW_DELETED = 2,
	VIEW_ALL = 3
}; /* MLflow's ViewType numbers */

struct search_dataset { /* logged models: the datasets whose metrics a filter or order may use */
	const char *name;
	const char *digest;             /* NULL: any */
};

struct search_query {
	enum search_entity entity;
	enum search_view view;
	const int64_t
		*experiment_ids; /* runs and logged models: only below these; none = empty result */
	size_t experiment_count;
	const char *filter;             /* NULL or "": everything */
	struct list order_by; /* const char *; all but logged models: "metrics.acc DESC" clauses */
	struct list
		order_models; /* struct search_order_field: logged models' structured order_by */
	struct list datasets;           /* struct search_dataset, logged models */
	int64_t max_results;            /* checked by the caller */
	const char *page_token;         /* NULL or "": first page */
	const char *token_key;          /* settings.page_token_key */
};

struct search_order_field {             /* logged_models/search order_by element */
	const char *field_name;
	const bool *ascending;          /* NULL: true */
	const char *dataset_name;
	const char *dataset_digest;
};

/*
 * The statement that finds a page: columns `id bigint` (of experiments, logged_models, or, with
 * `revision bigint`, of runs or registered_models; of a model version that of its model, with `version
 * integer`), `position
 * text[]` (the sort values of row max_results, for the next token; NULL in the others),
 * in order, at most max_results + 1 rows. Meant to be run as it is or as the body of a CTE; its
 * arguments are $1..$n, further ones may be appended from args.count + 1.
 */
struct search_page {
	const char *sql;
	struct db_args args;
	bool once; /* a filter: how rare its values are decides the plan, so db_list_once() */
	uint8_t digest[32];             /* of the query, for the token */
};

/* -1: INVALID_PARAMETER_VALUE with MLflow's text where a client could depend on it; a syntax error
   names the position
   ("... at position 12"). */
int search_build(struct ctx *c, const struct search_query *q, struct search_page *ret) MUST_CHECK;

/*
 * The same page of runs in the order of a metric, off the index of ranked values: quick where enough
 * runs of those that it walks match, which it stops to walk at some time. 0: the query is none of
 * these. 1: the statement, for search_ranked_whole() to judge what it finds. Columns as above.
 */
int search_build_ranked(struct ctx *c, const struct search_query *q,
			struct search_page *ret) MUST_CHECK;

/* Is what it found, `found` rows, the last of a settled run or not, the page? If not, search_build()'s
   statement finds it. */
bool search_ranked_whole(const struct search_query *q, size_t found, bool last_settled);

/* The token of the page after the row with `position` (strings, NULL = SQL NULL). NULL: no memory,
 * error set. */
const char *search_token(struct ctx *c, const struct search_query *q, const struct search_page *p,
                         const char *const *position, size_t count);

/* The same signed tokens for other keyset pages (metric history): payload is opaque text, purpose
   names the query. token_make: NULL = no memory, error set. */
const char *token_make(struct ctx *c, const char *key, const char *purpose, const char *payload);
int token_open(struct ctx *c, const char *key, const char *purpose, const char *token,
	       const char **payload) MUST_CHECK;

#endif
