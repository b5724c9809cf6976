/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/run_search.h"

#include "found.h"
#include "run_load.h"

/* Off the index of ranked values where that fills the page, else as everything else is found. */
static int find(struct ctx *c, const struct search_query *q, struct search_page *page,
                struct list *found)
{
	int ranked = search_build_ranked(c, q, page);

	if (ranked < 0 || (ranked && found_rows(c, page, found)))
		return -1;
	if (ranked && found->count &&
	    search_ranked_whole(q, found->count,
	                        LIST_AT(struct found_row, found, found->count - 1)->revision))
		return 0;
	return search_build(c, q, page) || found_rows(c, page, found) ? -1 : 0;
}

/*
 * Two round trips at most: the page is found, then loaded by statements that stay prepared, but for
 * the runs that are kept in memory. In one statement, what loads would be planned again with each
 * filter, which takes longer than a round trip to a PostgreSQL nearby.
 */
int store_run_search(struct ctx *c, const struct search_query *q, struct list *runs,
                     const char **next_token)
{
	struct search_page page = { 0 };
	struct list found = { 0 };
	struct revision *seen;

	*runs = (struct list){ 0 };
	if (!q->experiment_count) {
		*next_token = NULL;
		return search_build(c, q, &page);
	}
	if (find(c, q, &page, &found) || found_page(c, q, &page, &found, &seen, next_token))
		return -1;
	return run_load_found(c, seen, found.count, runs);
}
