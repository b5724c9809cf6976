/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Two round trips, as in run_search.c: the page is found, then loaded by statements that stay
   prepared. */
#include "base/arena.h"
#include "db/db.h"
#include "registered_model_load.h"
#include "store/registered_model.h"

struct found_row {
	const int64_t *id;
	const int64_t *revision;        /* of models */
	const int64_t *version;         /* of versions */
	struct list position;           /* const char * */
};

static const struct record found_row_record = {
	sizeof(struct found_row), (const struct field[]){
	INT64  (struct found_row, id,       0),
	INT64  (struct found_row, revision, 0),
	INT64  (struct found_row, version,  0),
	STRINGS(struct found_row, position, 0),
	END }};

/* The rows of one page, at most max_results. */
static int find(struct ctx *c, const struct search_query *q, struct list *found,
                const char **next_token)
{
	size_t most = (size_t)q->max_results;
	struct search_page page = { 0 };
	const struct list *position;

	if (search_build(c, q, &page))
		return -1;
	*next_token = NULL;     /* it may be q's page_token */
	if ((page.once ? db_list_once : db_list_sql)(c, page.sql, page.args, &found_row_record,
	                                             found))
		return -1;
	if (found->count <= most)
		return 0;
	found->count = most;
	if (!most)
		return 0;
	position = &LIST_AT(struct found_row, found, most - 1)->position;
	*next_token = search_token(c, q, &page, position->items, position->count);
	return *next_token ? 0 : -1;
}

int store_registered_model_search(struct ctx *c, const struct search_query *q, struct list *models,
                                  const char **next_token)
{
	struct list found = { 0 };
	struct model_revision *seen;

	*models = (struct list){ 0 };
	if (find(c, q, &found, next_token))
		return -1;
	seen = NEW_ARRAY(c->arena, found.count, struct model_revision);
	for (size_t i = 0; i < found.count; i++) {
		const struct found_row *row = LIST_AT(struct found_row, &found, i);

		seen[i] = (struct model_revision){ *row->id, *row->revision };
	}
	return registered_model_texts(c, seen, found.count, models);
}

int store_model_version_search(struct ctx *c, const struct search_query *q, struct list *versions,
                               const char **next_token)
{
	struct list found = { 0 };
	struct model_version_key *keys;

	*versions = (struct list){ 0 };
	if (find(c, q, &found, next_token))
		return -1;
	keys = NEW_ARRAY(c->arena, found.count, struct model_version_key);
	for (size_t i = 0; i < found.count; i++) {
		const struct found_row *row = LIST_AT(struct found_row, &found, i);

		keys[i] = (struct model_version_key){ *row->id, *row->version };
	}
	return registered_model_load_versions(c, keys, found.count, false, versions);
}
