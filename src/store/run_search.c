/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/run_search.h"

#include "base/arena.h"
#include "db/db.h"
#include "run_load.h"

struct found_row {
	const int64_t *id;
	struct list position;           /* const char * */
};

static const struct record found_row_record = {
	sizeof(struct found_row), (const struct field[]){
	INT64  (struct found_row, id,       0),
	STRINGS(struct found_row, position, 0),
	END }};

/*
 * Two round trips: the page is found, then loaded by statements that stay prepared. In one
 * statement, what loads would be planned again with each filter, which takes longer than a round
 * trip to a PostgreSQL nearby.
 */
int store_run_search(struct ctx *c, const struct search_query *q, struct list *runs,
                     const char **next_token)
{
	size_t most = (size_t)q->max_results;
	struct search_page page = { 0 };
	const struct found_row *rows;
	struct list found = { 0 };
	int64_t *ids;

	*runs = (struct list){ 0 };
	*next_token = NULL;
	if (search_build(c, q, &page))
		return -1;
	if (!q->experiment_count)
		return 0;
	if ((page.once ? db_list_once : db_list_sql)(c, page.sql, page.args, &found_row_record,
	                                             &found))
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
	ids = NEW_ARRAY(c->arena, found.count, int64_t);
	for (size_t i = 0; i < found.count; i++)
		ids[i] = *rows[i].id;
	return run_load_ids(c, ids, found.count, runs);
}
