/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "page.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"

const struct record cell_record = { sizeof(struct cell), (const struct field[]){
	INT64 (struct cell, at,    0),
	STRING(struct cell, key,   0),
	STRING(struct cell, value, 0),
	INT64 (struct cell, a,     0),
	INT64 (struct cell, b,     0),
	DOUBLE(struct cell, real,  0),
	END }};

/* The first branch: the position of the last row kept, for the token, only when more follow. */
static const char *page_sql(struct ctx *c, const struct search_page *found, int64_t limit,
                            const char *branches)
{
	struct buf sql = BUF(c->arena, LIMIT_SQL);

	buf_addf(&sql, "WITH page AS MATERIALIZED (%s),", found->sql);
	buf_addf(&sql, " numbered AS MATERIALIZED"
	         " (SELECT row_number() OVER () - 1 AS n, id, position FROM page),"
	         " kept AS MATERIALIZED (SELECT n * %d AS at, id FROM numbered WHERE n < %lld)",
	         CELL_KINDS, (long long)limit);
	buf_addf(&sql, " SELECT n * %d AS at, NULL::text AS key, p.value, p.i AS a,"
	         " NULL::bigint AS b, NULL::double precision AS real"
	         " FROM numbered, unnest(position) WITH ORDINALITY AS p (value, i)"
	         " WHERE n = %lld - 1 AND EXISTS (SELECT FROM numbered WHERE n = %lld) ",
	         CELL_KINDS, (long long)limit, (long long)limit);
	buf_add(&sql, branches);
	if (!buf_failed(&sql))
		return buf_text(&sql);
	(void)fail(c, INVALID_PARAMETER_VALUE, "The filter is too long.");
	return NULL;
}

static const char *next_token(struct ctx *c, const struct search_query *q,
                              const struct search_page *found,
                              const struct list *cells)
{
	const char *position[LIMIT_ORDER_BY * 2 + 8];
	size_t count = 0;

	for (size_t i = 0; i < cells->count; i++) {
		const struct cell *cell = LIST_AT(struct cell, cells, i);
		size_t n;

		if (cell_kind(cell) != CELL_POSITION)
			continue;
		n = (size_t)*cell->a;
		if (n > sizeof(position) / sizeof(position[0]))
			continue;
		position[n - 1] = cell->value;
		if (n > count)
			count = n;
	}
	return count ? search_token(c, q, found, position, count) : NULL;
}

int page_fetch(struct ctx *c, const struct search_query *q, const char *branches, struct page *ret)
{
	struct search_page found = { 0 };
	const char *sql;

	*ret = (struct page){ 0 };
	if (search_build(c, q, &found))
		return -1;
	if (!q->experiment_count)
		return 0;
	sql = page_sql(c, &found, q->max_results, branches);
	if (!sql)
		return -1;
	if ((found.once ? db_list_once : db_list_sql)(c, sql, found.args, &cell_record,
	                                              &ret->cells))
		return -1;
	for (size_t i = 0; i < ret->cells.count; i++) {
		const struct cell *cell = LIST_AT(struct cell, &ret->cells, i);

		if (cell_place(cell) >= ret->count)
			ret->count = cell_place(cell) + 1;
	}
	ret->next_token = next_token(c, q, &found, &ret->cells);
	return 0;
}

const uint32_t *page_counts(struct ctx *c, const struct list *cells, size_t places)
{
	uint32_t *counts = NEW_ARRAY(c->arena, places * CELL_KINDS, uint32_t);

	for (size_t i = 0; i < cells->count; i++)
		counts[*LIST_AT(struct cell, cells, i)->at]++;
	return counts;
}
