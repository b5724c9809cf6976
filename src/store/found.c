/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "found.h"

#include "base/arena.h"
#include "db/db.h"

static const struct record found_row_record = {
	sizeof(struct found_row), (const struct field[]){
	INT64  (struct found_row, id,       0),
	INT64  (struct found_row, revision, 0),
	STRINGS(struct found_row, position, 0),
	END }};

int found_rows(struct ctx *c, const struct search_page *page, struct list *rows)
{
	*rows = (struct list){ 0 };
	return (page->once ? db_list_once : db_list_sql)(c, page->sql, page->args,
	                                                 &found_row_record, rows);
}

int found_page(struct ctx *c, const struct search_query *q, const struct search_page *page,
               struct list *rows, struct revision **ret, const char **next_token)
{
	size_t most = (size_t)q->max_results;

	*next_token = NULL;
	if (rows->count > most) {
		rows->count = most;
		if (most) {
			const struct list *last =
				&LIST_AT(struct found_row, rows, most - 1)->position;

			*next_token = search_token(c, q, page, last->items, last->count);
			if (!*next_token)
				return -1;
		}
	}
	*ret = NEW_ARRAY(c->arena, rows->count, struct revision);
	for (size_t i = 0; i < rows->count; i++) {
		const struct found_row *row = LIST_AT(struct found_row, rows, i);

		(*ret)[i] = (struct revision){ *row->id, row->revision ? *row->revision : 0 };
	}
	return 0;
}
