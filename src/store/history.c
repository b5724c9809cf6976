/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/history.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/id.h"
#include "base/limits.h"
#include "db/db.h"
#include "search/search.h"
#include "curve_read.h"
#include "store/settings.h"

enum { STRETCH = 8192 };                 /* points in memory at one time, where all are text */

enum { HISTORY_ALL, HISTORY_AFTER, HISTORY_BULK };

/* Sub-selects rather than joins, so that the rows come off the primary key in order whatever the
   statistics say. */
#define OF_RUN \
	"run_id = (SELECT id FROM runs WHERE uuid = $1)" \
	" AND key_id = (SELECT id FROM keys WHERE name = $2)"
#define OF_KEY "p.key_id = (SELECT id FROM keys WHERE name = $2)"

static const struct stmt stmts[] = {
	[HISTORY_ALL] = { "history_all", "uti",
		"SELECT value, timestamp, step FROM points WHERE " OF_RUN
		" ORDER BY timestamp, step, value LIMIT $3" },
	[HISTORY_AFTER] = { "history_after", "utiiid",
		"SELECT value, timestamp, step FROM points WHERE " OF_RUN
		" AND (timestamp, step, value) > ($4, $5, $6)"
		" ORDER BY timestamp, step, value LIMIT $3" },
	[HISTORY_BULK] = { "history_bulk", "Uti",
		"SELECT r.uuid AS run_id, p.value, p.timestamp, p.step FROM runs r, LATERAL ("
		"  SELECT p.value, p.timestamp, p.step FROM points p WHERE p.run_id = r.id"
		" AND " OF_KEY
		"  ORDER BY p.timestamp, p.step, p.value LIMIT $3) p"
		" WHERE r.uuid = ANY($1) ORDER BY r.uuid, p.timestamp, p.step, p.value LIMIT $3" },
};

const struct record point_record = { sizeof(struct point), (const struct field[]){
	STRING(struct point, key,       0),
	DOUBLE(struct point, value,     0),
	INT64 (struct point, timestamp, 0),
	INT64 (struct point, step,      0),
	STRING(struct point, run_id,    0),
	END }};

/* The key once for all: a million points have one. */
static void name_points(const struct list *points, const char *key)
{
	for (size_t i = 0; i < points->count; i++)
		LIST_AT(struct point, points, i)->key = key;
}

/* ---- one run ---- */

struct position {
	int64_t timestamp;
	int64_t step;
	double value;
};

static const char *purpose(struct ctx *c, const struct history_page *p)
{
	return arena_printf(c->arena, "history %s %s", p->run_id, p->key);
}

/* The value as its bits: exact, also for NaN. */
static const char *make_token(struct ctx *c, const struct history_page *p, const struct point *last)
{
	uint64_t bits;

	memcpy(&bits, last->value, sizeof(bits));
	return token_make(c, store_settings_token_key(), purpose(c, p),
	                  arena_printf(c->arena, "%" PRId64 " %" PRId64 " %016" PRIx64,
	                               *last->timestamp, *last->step, bits));
}

static int open_token(struct ctx *c, const struct history_page *p, struct position *ret)
{
	const char *payload;
	uint64_t bits;

	if (token_open(c, store_settings_token_key(), purpose(c, p), p->page_token, &payload))
		return -1;
	if (sscanf(payload, "%" SCNd64 " %" SCNd64 " %" SCNx64, &ret->timestamp, &ret->step, &bits)
	    != 3)
		return fail(c, INVALID_PARAMETER_VALUE, "Invalid page token");
	memcpy(&ret->value, &bits, sizeof(bits));
	return 0;
}

int store_history(struct ctx *c, const struct history_page *p, struct list *points,
                  const char **next_token)
{
	struct db_arg limit = BIGINT(p->max_results + 1);
	struct position at;
	uint8_t uuid[16];
	int failed;

	limit.null = !p->max_results;
	*next_token = NULL;
	if (p->page_token && open_token(c, p, &at))
		return -1;
	if (!id_parse_uuid(p->run_id, uuid))
		return 0;
	if (p->page_token)
		failed = db_list(c, &stmts[HISTORY_AFTER],
		                 ARGS(UUID(p->run_id), TEXT(p->key), limit, BIGINT(at.timestamp),
		                      BIGINT(at.step), REAL(at.value)),
		                 &point_record, points);
	else
		failed = db_list(c, &stmts[HISTORY_ALL], ARGS(UUID(p->run_id), TEXT(p->key), limit),
		                 &point_record, points);
	if (failed)
		return -1;
	name_points(points, p->key);
	if (p->max_results && points->count > (size_t)p->max_results) {
		points->count = (size_t)p->max_results;
		*next_token = make_token(c, p, LIST_AT(struct point, points, points->count - 1));
	}
	return 0;
}

/* ---- all of one run as text ---- */

/* The next points, in memory that ends with them; the position moves to the last one. */
static int fetch_stretch(struct ctx *c, struct arena *a, const struct history_page *p, bool first,
                         struct position *at, struct list *points)
{
	struct ctx part = *c;
	const struct db_arg limit = BIGINT(STRETCH);
	const struct point *last;
	int failed;

	part.arena = a;
	if (first)
		failed = db_list(&part, &stmts[HISTORY_ALL],
		                 ARGS(UUID(p->run_id), TEXT(p->key), limit), &point_record, points);
	else
		failed = db_list(&part, &stmts[HISTORY_AFTER],
		                 ARGS(UUID(p->run_id), TEXT(p->key), limit, BIGINT(at->timestamp),
		                      BIGINT(at->step), REAL(at->value)), &point_record, points);
	if (failed)
		return fail_because(c, part.error.code,
		                    part.error.detail ? arena_strdup(c->arena, part.error.detail)
		                                      : NULL,
		                    "%s", part.error.message);
	if (points->count) {
		last = LIST_AT(struct point, points, points->count - 1);
		*at = (struct position){ *last->timestamp, *last->step, *last->value };
	}
	name_points(points, p->key);
	return 0;
}

int store_history_text(struct ctx *c, const struct history_page *p, struct buf *to)
{
	struct arena *a = arena_child(c->arena, LIMIT_ARENA);
	struct list points = { .count = STRETCH };
	struct position at = { 0 };
	uint8_t uuid[16];
	bool first = true;

	buf_addc(to, '[');
	if (!id_parse_uuid(p->run_id, uuid))
		points.count = 0;
	while (points.count == STRETCH && !buf_failed(to)) {
		points = (struct list){ 0 };
		if (fetch_stretch(c, a, p, first, &at, &points))
			return -1;
		for (size_t i = 0; i < points.count; i++) {
			if (!first || i)
				buf_addc(to, ',');
			record_write(to, &point_record, LIST_AT(struct point, &points, i));
		}
		first = false;
		arena_reset(a);
	}
	buf_addc(to, ']');
	return 0;
}

/* ---- several runs ---- */

/* Those that can be run ids at all; others have no points. */
static size_t only_uuids(struct ctx *c, const char *const *ids, size_t count,
                         const char *const **ret)
{
	const char **kept = NEW_ARRAY(c->arena, count, const char *);
	uint8_t uuid[16];
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		if (id_parse_uuid(ids[i], uuid))
			kept[n++] = ids[i];
	}
	*ret = kept;
	return n;
}

int store_history_bulk(struct ctx *c, const char *const *run_ids, size_t count, const char *key,
                       int64_t max_results, struct list *points)
{
	const char *const *ids;
	size_t n = only_uuids(c, run_ids, count, &ids);

	if (n && db_list(c, &stmts[HISTORY_BULK],
	                 ARGS(UUIDS(ids, n), TEXT(key), BIGINT(max_results)), &point_record,
	                 points))
		return -1;
	name_points(points, key);
	return 0;
}

int store_history_interval(struct ctx *c, const struct history_interval *i, struct list *points)
{
	struct history_interval known = *i;

	known.run_count = only_uuids(c, i->run_ids, i->run_count, &known.run_ids);
	return curve_chart(c, &known, points);
}
