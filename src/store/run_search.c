/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/run_search.h"

#include "base/arena.h"
#include "db/db.h"
#include "run_load.h"

struct found_row {
	const int64_t *id;
	const int64_t *revision;        /* NULL: not settled */
	struct list position;           /* const char * */
};

static const struct record found_row_record = {
	sizeof(struct found_row), (const struct field[]){
	INT64  (struct found_row, id,       0),
	INT64  (struct found_row, revision, 0),
	STRINGS(struct found_row, position, 0),
	END }};

static int run_sql(struct ctx *c, const struct search_page *page, struct list *found)
{
	*found = (struct list){ 0 };
	return (page->once ? db_list_once : db_list_sql)(c, page->sql, page->args,
	                                                 &found_row_record, found);
}

/* Off the index of ranked values where that fills the page, else as everything else is found. */
static int find(struct ctx *c, const struct search_query *q, struct search_page *page,
                struct list *found)
{
	int ranked = search_build_ranked(c, q, page);

	if (ranked < 0 || (ranked && run_sql(c, page, found)))
		return -1;
	if (ranked && found->count &&
	    search_ranked_whole(q, found->count,
	                        LIST_AT(struct found_row, found, found->count - 1)->revision))
		return 0;
	return search_build(c, q, page) || run_sql(c, page, found) ? -1 : 0;
}

/*
 * Two round trips at most: the page is found, then loaded by statements that stay prepared, but for
 * the runs that are kept in memory. In one statement, what loads would be planned again with each
 * filter, which takes longer than a round trip to a PostgreSQL nearby.
 */
int store_run_search(struct ctx *c, const struct search_query *q, struct list *runs,
                     const char **next_token)
{
	size_t most = (size_t)q->max_results;
	struct search_page page = { 0 };
	const struct found_row *rows;
	struct list found = { 0 };
	struct revision *seen;

	*runs = (struct list){ 0 };
	*next_token = NULL;
	if (!q->experiment_count)
		return search_build(c, q, &page);
	if (find(c, q, &page, &found))
		return -1;
	rows = found.items;
	if (found.count > most) {
		found.count = most;
		*next_token = most ? search_token(c, q, &page, rows[most - 1].position.items,
		                                  rows[most - 1].position.count)
				   : NULL;
		if (most && !*next_token)
			return -1;
	}
	seen = NEW_ARRAY(c->arena, found.count, struct revision);
	for (size_t i = 0; i < found.count; i++)
		seen[i] = (struct revision){ *rows[i].id, rows[i].revision ? *rows[i].revision : 0 };
	return run_load_found(c, seen, found.count, runs);
}
