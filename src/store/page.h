/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * page — entities with everything that hangs below them, in one statement.
 *
 * A union of many small rows, each saying whose it is and what it is, costs PostgreSQL a third of
 * JSON or of arrays built in SQL, needs no second round trip, and its values are used where libpq
 * put them.
 */
#ifndef STORE_PAGE_H
#define STORE_PAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/record.h"
#include "search/search.h"

/* at = CELL_KINDS * (the entity's place on the page) + kind; the others mean what the kind says. */
enum { CELL_KINDS = 16, CELL_POSITION = 0 };

struct cell {
	const int64_t *at;
	const char *key;
	const char *value;
	const int64_t *a;
	const int64_t *b;
	const double *real;
};
extern const struct record cell_record;

struct page {
	size_t count;                   /* entities kept: at most max_results */
	const char *next_token;         /* NULL: the last page */
	struct list cells;              /* struct cell, in any order */
};

static inline size_t cell_place(const struct cell *cell)
{
	return (size_t)(*cell->at / CELL_KINDS);
}

static inline unsigned cell_kind(const struct cell *cell)
{
	return (unsigned)(*cell->at % CELL_KINDS);
}

/*
 * Runs the search with `branches`: "UNION ALL SELECT kept.at + <kind>, ... FROM kept ..." each,
 * where kept holds (at, id) of the entities of the page.
 */
int page_fetch(struct ctx *c, const struct search_query *q, const char *branches,
               struct page *ret) MUST_CHECK;

/* How often each kind occurs at each place: counts[place * CELL_KINDS + kind], to allocate lists
   once. */
const uint32_t *page_counts(struct ctx *c, const struct list *cells, size_t places);

#endif
