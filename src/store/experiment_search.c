/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Two round trips at most, as in run_search.c: the page is found, then what memory lacks of it is loaded. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "found.h"
#include "store/entities.h"
#include "store/experiment.h"

/* Those without a text: it may be of a later revision than the one found, and is kept as that. */
static int load_texts(struct ctx *c, const struct revision *found, size_t count, const char **texts)
{
	struct experiment **loaded;
	int64_t *ids, *revisions;
	size_t *places;
	size_t missing = rendered_missing(c, found, count, texts, &ids, &places);

	if (!missing)
		return 0;
	loaded = NEW_ARRAY(c->arena, missing, struct experiment *);
	revisions = NEW_ARRAY(c->arena, missing, int64_t);
	if (store_experiment_get_many(c, ids, missing, loaded, revisions))
		return -1;
	for (size_t i = 0; i < missing; i++) {
		struct buf text = BUF(c->arena, LIMIT_ARENA);

		if (!loaded[i])
			continue;
		record_write(&text, &experiment_record, loaded[i]);
		texts[places[i]] = buf_text(&text);
		rendered_keep(RENDERED_EXPERIMENT, &(struct revision){ ids[i], revisions[i] },
		              texts[places[i]]);
	}
	return 0;
}

int store_experiment_search(struct ctx *c, const struct search_query *q, struct list *experiments,
                            const char **next_token)
{
	struct search_page page = { 0 };
	struct list rows;
	struct revision *found;
	struct experiment *items;
	const char **texts;

	*experiments = (struct list){ 0 };
	if (search_build(c, q, &page) || found_rows(c, &page, &rows) ||
	    found_page(c, q, &page, &rows, &found, next_token))
		return -1;
	texts = NEW_ARRAY(c->arena, rows.count, const char *);
	rendered_find(c, RENDERED_EXPERIMENT, found, rows.count, texts);
	if (load_texts(c, found, rows.count, texts))
		return -1;
	items = NEW_ARRAY(c->arena, rows.count, struct experiment);
	*experiments = (struct list){ .items = items };
	for (size_t i = 0; i < rows.count; i++) {
		if (texts[i])
			items[experiments->count++].whole = texts[i];
	}
	return 0;
}
