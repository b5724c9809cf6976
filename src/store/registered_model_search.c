/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Models: two round trips at most, as in run_search.c: the page is found, then what memory lacks of
 * it is loaded by a statement that stays prepared. Versions: one, each row with its tags.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "db/db.h"
#include "found.h"
#include "registered_model_load.h"
#include "store/entities.h"
#include "store/registered_model.h"

/* ---- models ---- */

int store_registered_model_search(struct ctx *c, const struct search_query *q, struct list *models,
                                  const char **next_token)
{
	struct search_page page = { 0 };
	struct revision *seen;
	struct list found;

	*models = (struct list){ 0 };
	if (search_build(c, q, &page) || found_rows(c, &page, &found) ||
	    found_page(c, q, &page, &found, &seen, next_token))
		return -1;
	return registered_model_texts(c, seen, found.count, models);
}

/* ---- versions ---- */

struct version_row {
	struct model_version version;   /* first: its record's members are at the same places */
	struct list keys;               /* const char *: of its tags */
	struct list values;
	struct list position;
};

#define NAMED(column, names) \
	{ #column, FIELD_ENUM, 0, offsetof(struct model_version, column), NULL, names }

static const struct record version_row_record = {
	sizeof(struct version_row), (const struct field[]){
	STRING (struct model_version, name,                   0),
	STRING (struct model_version, version,                0),
	INT64  (struct model_version, creation_timestamp,     0),
	INT64  (struct model_version, last_updated_timestamp, 0),
	STRING (struct model_version, user_id,                0),
	NAMED  (current_stage, model_stage_names),
	STRING (struct model_version, description,            0),
	STRING (struct model_version, source,                 0),
	STRING (struct model_version, run_id,                 0),
	NAMED  (status, model_version_status_names),
	STRING (struct model_version, status_message,         0),
	STRING (struct model_version, run_link,               0),
	STRINGS(struct version_row,   keys,                   0),
	STRINGS(struct version_row,   values,                 0),
	STRINGS(struct version_row,   position,               0),
	END }};

/* OFFSET 0: see registered_model.c. MLflow leaves aliases out here. */
static const char *whole_versions(struct ctx *c, const struct search_page *page)
{
	struct buf sql = BUF(c->arena, 2 * LIMIT_SQL);

	buf_addf(&sql,
	         "SELECT m.name, v.version, v.creation_time AS creation_timestamp,"
	         " v.last_updated_time AS last_updated_timestamp, v.user_id,"
	         " v.stage AS current_stage, v.description, v.source, v.run_id, v.status,"
	         " nullif(v.status_message, '') AS status_message, v.run_link, t.keys, t.values,"
	         " f.position FROM (%s) f"
	         " CROSS JOIN LATERAL (SELECT * FROM model_versions x"
	         "  WHERE x.model = f.id AND x.version = f.version OFFSET 0) v"
	         " CROSS JOIN LATERAL (SELECT x.name FROM registered_models x"
	         "  WHERE x.id = f.id OFFSET 0) m"
	         " CROSS JOIN LATERAL (SELECT array_agg(x.key) AS keys,"
	         "  array_agg(x.value) AS values FROM model_version_tags x"
	         "  WHERE x.model = f.id AND x.version = f.version) t", page->sql);
	return buf_text(&sql);
}

/* Leaves the rows of one page. */
static int cut(struct ctx *c, const struct search_query *q, const struct search_page *page,
               struct list *found, const char **next_token)
{
	size_t most = (size_t)q->max_results;
	const struct list *last;

	*next_token = NULL;     /* it may be q's page_token */
	if (found->count <= most)
		return 0;
	found->count = most;
	if (!most)
		return 0;
	last = &LIST_AT(struct version_row, found, most - 1)->position;
	*next_token = search_token(c, q, page, last->items, last->count);
	return *next_token ? 0 : -1;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct tag *)a)->key, ((const struct tag *)b)->key);
}

static struct list tags_of(struct ctx *c, const struct version_row *row)
{
	struct list tags = { 0 };

	if (!row->keys.count)
		return tags;
	tags.items = NEW_ARRAY(c->arena, row->keys.count, struct tag);
	for (; tags.count < row->keys.count; tags.count++)
		*LIST_AT(struct tag, &tags, tags.count) = (struct tag){
			*LIST_AT(const char *, &row->keys, tags.count),
			*LIST_AT(const char *, &row->values, tags.count) };
	qsort(tags.items, tags.count, sizeof(struct tag), by_key);
	return tags;
}

int store_model_version_search(struct ctx *c, const struct search_query *q, struct list *versions,
                               const char **next_token)
{
	struct search_page page = { 0 };
	struct list found = { 0 };
	struct model_version *whole;

	*versions = (struct list){ 0 };
	if (search_build(c, q, &page) ||
	    (page.once ? db_list_once : db_list_sql)(c, whole_versions(c, &page), page.args,
	                                             &version_row_record, &found) ||
	    cut(c, q, &page, &found, next_token))
		return -1;
	whole = NEW_ARRAY(c->arena, found.count, struct model_version);
	for (size_t i = 0; i < found.count; i++) {
		const struct version_row *row = LIST_AT(struct version_row, &found, i);

		whole[i] = row->version;
		whole[i].tags = tags_of(c, row);
	}
	*versions = (struct list){ .items = whole, .count = found.count };
	return 0;
}
