/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The columns of the order, and what comes after a row in it. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "parse.h"

/* The latest value of a model's metric, of the datasets named: as MLflow's row_number() over it. */
static const char *model_metric(struct builder *b, const struct sort *s)
{
	unsigned alias = ++b->aliases;
	buf_addf(&b->joins,
		 " LEFT JOIN LATERAL (SELECT m.value FROM logged_model_metrics m"
		 " WHERE m.model = l.id AND m.key = $%zu",
		 search_sql_arg(b, TEXT(s->key)));
	if (s->dataset_name)
		buf_addf(&b->joins, " AND m.dataset_name = $%zu",
			 search_sql_arg(b, TEXT(s->dataset_name)));
	if (s->dataset_digest)
		buf_addf(&b->joins, " AND m.dataset_digest = $%zu",
			 search_sql_arg(b, TEXT(s->dataset_digest)));
	buf_addf(&b->joins,
		 " ORDER BY m.timestamp DESC, m.step DESC,"
		 " (SELECT u.uuid FROM runs u WHERE u.id = m.run_id) LIMIT 1) j%u ON true",
		 alias);
	return arena_printf(b->c->arena, "j%u.value", alias);
}

void search_key_make(struct builder *b, const struct sort *s, struct sort_key *k)
{
	k->ascending = s->ascending;
	if (s->type == TERM_ATTRIBUTE) {
		const struct attribute *a = s->attribute;
		k->sql = a->sort_sql ? a->sort_sql : a->sql;
		k->column = a->sort_sql ? a->sort_column : a->column;
		k->nullable = a->flags & NULLABLE;
		return;
	}
	bool single = !(s->type == TERM_METRIC && b->q->entity == SEARCH_LOGGED_MODELS);
	k->nullable = true;
	k->column = s->type == TERM_METRIC ? COLUMN_REAL : COLUMN_TEXT;
	k->sql = single ? arena_printf(b->c->arena, "j%u.value",
				       search_leaf_join(b, s->type, s->key, false))
			: model_metric(b, s);
	for (size_t i = 0; single && i < b->join_count; i++)
		if (b->join[i].type == s->type && !strcmp(b->join[i].key, s->key))
			k->nullable = !b->join[i].inner;
	if (s->type == TERM_METRIC && !s->ascending)
		k->sql = arena_printf(b->c->arena,
				      "CASE WHEN %s = 'NaN' THEN '-Infinity' ELSE %s END", k->sql,
				      k->sql);
}

static struct db_arg key_value(const struct sort_key *k, const char *text)
{
	switch (k->column) {
	case COLUMN_INTEGER:
		return BIGINT(strtoll(text, NULL, 10));
	case COLUMN_REAL:
		return REAL(strtod(text, NULL));
	case COLUMN_UUID:
		return UUID(text);
	default:
		return TEXT(text);
	}
}

/* after(k1) OR (k1 = v1 AND (after(k2) OR ...)), missing values being last. */
void search_keys_after(struct builder *b, const struct sort_key *keys, size_t count,
			 const char *const *values)
{
	for (size_t i = 0; i < count; i++) {
		const struct sort_key *k = &keys[i];
		bool last = i + 1 == count;
		if (!values[i]) {
			buf_addf(&b->where, last ? "(false" : "((%s) IS NULL AND ", k->sql);
			continue;
		}
		size_t arg = search_sql_arg(b, key_value(k, values[i]));
		const char *after = k->ascending ? ">" : "<";
		if (!i && !k->nullable) /* says the same again, for the index */
			buf_addf(&b->where, "(%s) %s= $%zu AND ", k->sql, after, arg);
		buf_addf(&b->where, "((%s) %s $%zu", k->sql, after, arg);
		if (k->nullable)
			buf_addf(&b->where, " OR (%s) IS NULL", k->sql);
		if (!last)
			buf_addf(&b->where, " OR (%s) = $%zu AND ", k->sql, arg);
	}
	for (size_t i = 0; i < count; i++)
		buf_addc(&b->where, ')');
}

void search_keys_order(struct buf *to, const struct sort_key *keys, size_t count)
{
	for (size_t i = 0; i < count; i++)
		buf_addf(to, "%sk%zu%s", i ? ", " : " ORDER BY ", i + 1,
			 keys[i].ascending  ? ""
			 : keys[i].nullable ? " DESC NULLS LAST"
					    : " DESC");
}

void search_keys_texts(struct buf *to, const struct sort_key *keys, size_t count)
{
	for (size_t i = 0; i < count; i++)
		buf_addf(to,
			 keys[i].column == COLUMN_UUID ? "%sreplace(p.k%zu::text, '-', '')"
						       : "%sp.k%zu::text",
			 i ? ", " : "", i + 1);
}

void search_keys_columns(struct buf *to, const struct sort_key *keys, size_t count)
{
	for (size_t i = 0; i < count; i++)
		buf_addf(to, ", %s AS k%zu", keys[i].sql, i + 1);
}
