/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Statements: what a connection has prepared, and running one of them. */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

void prepared_free(struct prepared *p)
{
	if (!p)
		return;
	mapping_free(&p->mapping);
	free(p->sql);
	free(p->types);
	free(p);
}

void statements_free(struct statements *s)
{
	for (size_t i = 0; i < s->fixed_size; i++)
		prepared_free(s->fixed[i]);
	free(s->fixed);
	while (s->dynamic) {
		struct prepared *p = s->dynamic;

		s->dynamic = p->next;
		prepared_free(p);
	}
	*s = (struct statements){ .names = s->names };
}

static struct prepared **slot_of(struct prepared **table, size_t size, const struct stmt *stmt)
{
	size_t i =
		(size_t)(((uintptr_t)stmt >> 3) * UINT64_C(0x9E3779B97F4A7C15) >> 20) & (size - 1);

	while (table[i] && table[i]->stmt != stmt)
		i = (i + 1) & (size - 1);
	return &table[i];
}

static bool grow(struct statements *s)
{
	size_t size = s->fixed_size ? s->fixed_size * 2 : 64;
	struct prepared **table = calloc(size, sizeof(*table));

	if (!table)
		return false;
	for (size_t i = 0; i < s->fixed_size; i++) {
		if (s->fixed[i])
			*slot_of(table, size, s->fixed[i]->stmt) = s->fixed[i];
	}
	free(s->fixed);
	s->fixed = table;
	s->fixed_size = size;
	return true;
}

struct prepared *statements_fixed(struct statements *s, const struct stmt *stmt)
{
	struct prepared **slot;

	if (s->fixed_count * 2 >= s->fixed_size && !grow(s))
		return NULL;
	slot = slot_of(s->fixed, s->fixed_size, stmt);
	if (!*slot) {
		*slot = calloc(1, sizeof(**slot));
		if (!*slot)
			return NULL;
		(*slot)->stmt = stmt;
		s->fixed_count++;
	}
	return *slot;
}

static uint64_t hash_add(uint64_t h, const char *s)
{
	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001B3);
	return h;
}

struct prepared *statements_dynamic(struct statements *s, const char *sql, const char *types)
{
	uint64_t h = hash_add(hash_add(UINT64_C(0xCBF29CE484222325), types), sql);
	struct prepared *p;

	for (p = s->dynamic; p; p = p->next) {
		if (p->hash == h && strcmp(p->sql, sql) == 0 && strcmp(p->types, types) == 0)
			return p;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->sql = strdup(sql);
	p->types = strdup(types);
	if (!p->sql || !p->types) {
		prepared_free(p);
		return NULL;
	}
	p->hash = h;
	snprintf(p->name, sizeof(p->name), "dynamic_%llu", (unsigned long long)++s->names);
	p->next = s->dynamic;
	s->dynamic = p;
	s->dynamic_count++;
	return p;
}

struct prepared *statements_evict(struct statements *s, uint64_t flush)
{
	struct prepared **oldest = NULL, *p;

	if (s->dynamic_count <= DB_DYNAMIC_STATEMENTS)
		return NULL;
	for (struct prepared **at = &s->dynamic; *at; at = &(*at)->next) {
		if ((*at)->used < flush && (!oldest || (*at)->used < (*oldest)->used))
			oldest = at;
	}
	if (!oldest)
		return NULL;
	p = *oldest;
	*oldest = p->next;
	s->dynamic_count--;
	return p;
}

/* ---- running one: a pipeline of one, together with what was queued before ---- */

int64_t db_exec(struct ctx *c, const struct stmt *s, struct db_args a)
{
	int64_t affected = 0;

	pipeline_add(c, &(struct item){ .stmt = s, .affected = &affected }, a);
	return db_flush(c) ? -1 : affected;
}

int db_one(struct ctx *c, const struct stmt *s, struct db_args a, const struct record *r, void *out)
{
	int found = 0;

	assert(r && out);
	pipeline_add(c, &(struct item){ .stmt = s, .record = r, .one = out, .found = &found }, a);
	return db_flush(c) ? -1 : found;
}

int db_list(struct ctx *c, const struct stmt *s, struct db_args a, const struct record *r,
	    struct list *out)
{
	db_queue_list(c, s, a, r, out);
	return db_flush(c);
}

int db_list_sql(struct ctx *c, const char *sql, struct db_args a, const struct record *r,
		struct list *out)
{
	db_queue_list_sql(c, sql, a, r, out);
	return db_flush(c);
}

int db_list_once(struct ctx *c, const char *sql, struct db_args a, const struct record *r,
		 struct list *out)
{
	assert(out);
	pipeline_add(c, &(struct item){ .sql = sql, .once = true, .record = r, .list = out }, a);
	return db_flush(c);
}
