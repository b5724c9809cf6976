/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Rolling up. Each writer of points ends by locking the row of `latest` of each metric it touched,
 * so whoever holds that row knows: who locked it before has committed, and who has not yet will
 * meet what we leave in the row. We leave "nothing fresh" and let go; what is read from then on
 * holds all points but those whose writers lower `fresh` again, and rows that reach to there or
 * beyond are never believed. So writers wait for the moment of leaving it, not for the reading.
 *
 * Two at one curve would spoil this (one could store, late, what the other takes for new): a lock
 * of the session keeps them apart.
 */

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/limits.h"
#include "curve.h"
#include "db/db.h"

enum {
	TRY, RELEASE, NO_WAIT_FOR_DISK, PEEK, HOLD, LASTS, CUT, CUT_ALL, ORPHANS, LEAVE, STRETCH,
	KEEP_RUN
};

enum { LOCKS = 0x6362 };                /* the number space after store/leader.c's */

#define OF_CURVE " WHERE run_id = $1 AND key_id = $2"
#define OF_CELL "c.run_id = $1 AND c.key_id = $2 AND c.level = l.level"

/* clang-format off */
static const struct stmt stmts[] = {
	[TRY] = { "curve_try", "nn", "SELECT pg_try_advisory_lock($1, $2) AS yes" },
	[RELEASE] = { "curve_release", "nn", "SELECT pg_advisory_unlock($1, $2) AS yes" },
	/* Roll-ups that a crash takes away are made again. */
	[NO_WAIT_FOR_DISK] = { "curve_no_wait", "", "SET LOCAL synchronous_commit = off" },
	[PEEK] = { "curve_peek", "in",
		"SELECT fresh_timestamp AS timestamp, fresh_step AS step FROM latest" OF_CURVE },
	[HOLD] = { "curve_hold", "in",
		"SELECT fresh_timestamp AS timestamp, fresh_step AS step FROM latest" OF_CURVE
		" FOR UPDATE" },
	[LASTS] = { "curve_lasts", "in",
		"SELECT " CELL_COLUMNS("c") " FROM generate_series(0, 6) AS l (level), LATERAL ("
		" SELECT * FROM curves c WHERE " OF_CELL " ORDER BY c.timestamp DESC, c.step DESC LIMIT 1) c" },
	/* All that end at ($3, $4) or later: what begins there, and the one before, if it reaches
	   so far. */
	[CUT] = { "curve_cut", "inii",
		"WITH later AS ("
		"  DELETE FROM curves c USING generate_series(0, 6) AS l (level)"
		"  WHERE " OF_CELL " AND (c.timestamp, c.step) >= ($3, $4)"
		") DELETE FROM curves d USING generate_series(0, 6) AS l (level), LATERAL ("
		"  SELECT c.timestamp, c.step FROM curves c"
		"  WHERE " OF_CELL " AND (c.timestamp, c.step) < ($3, $4)"
		"  ORDER BY c.timestamp DESC, c.step DESC LIMIT 1) b"
		" WHERE d.run_id = $1 AND d.key_id = $2 AND d.level = l.level"
		" AND d.timestamp = b.timestamp AND d.step = b.step"
		" AND (d.to_timestamp, d.to_step) >= ($3, $4)" },
	[CUT_ALL] = { "curve_cut_all", "in", "DELETE FROM curves" OF_CURVE },
	[ORPHANS] = { "curve_orphans", "iniii",
		"SELECT " CELL_COLUMNS("c") " FROM curves c" OF_CURVE " AND level = $3::smallint"
		" AND (timestamp, step) >= ($4, $5) ORDER BY timestamp, step" },
	[LEAVE] = { "curve_leave", "in",
		"UPDATE latest SET fresh_timestamp = 9223372036854775807,"
		" fresh_step = 9223372036854775807" OF_CURVE },
	[STRETCH] = { "curve_stretch", "iniidi",
		"SELECT timestamp, step, value FROM points" OF_CURVE
		" AND (timestamp, step, value) >= ($3, $4, $5)"
		" ORDER BY timestamp, step, value LIMIT $6" },
	[KEEP_RUN] = { "curve_keep_run", "i",
		"SELECT true AS yes FROM runs WHERE id = $1 FOR KEY SHARE" },
};
/* clang-format on */

struct yes {
	const bool *yes;
};

static const struct record yes_record = { sizeof(struct yes), (const struct field[]){
	BOOL(struct yes, yes, 0),
	END }};

struct roll {
	struct curve_id id;
	struct curve_rolled *done;
	bool exists;                    /* the row of `latest` */
	bool all;                       /* nothing was ever rolled up */
	struct spot fresh;
	struct cell last[CURVE_LEVELS]; /* of each level; points 0: it has none */
	bool changed[CURVE_LEVELS];     /* and the last one is not in `out` */
	struct cells out[CURVE_LEVELS]; /* to be written, in memory of the stretch in hand */
	struct cell open;               /* the next of level 0; points 0: none */
	struct spot next;               /* where to read on */
	bool ended;
};

#define CURVE(r) BIGINT((r)->id.run), INTEGER((r)->id.key)

/* ---- what is there ---- */

static void take_lasts(struct roll *r, const struct list *rows)
{
	memset(r->last, 0, sizeof(r->last));
	for (size_t i = 0; i < rows->count; i++) {
		const struct cell_row *row = LIST_AT(struct cell_row, rows, i);

		r->last[*row->level] = cell_read(row);
	}
}

static int load(struct ctx *c, struct roll *r, const struct stmt *how)
{
	struct list fresh = { 0 }, lasts = { 0 };
	const struct spot_row *row;

	db_queue_list(c, how, ARGS(CURVE(r)), &spot_row_record, &fresh);
	db_queue_list(c, &stmts[LASTS], ARGS(CURVE(r)), &cell_row_record, &lasts);
	if (db_flush(c))
		return -1;
	take_lasts(r, &lasts);
	r->exists = fresh.count > 0;
	if (!r->exists)
		return 0;
	row = LIST_AT(struct spot_row, &fresh, 0);
	r->all = !row->timestamp || !row->step;
	if (!r->all)
		r->fresh = (struct spot){ *row->timestamp, *row->step, 0 };
	return 0;
}

static bool stale(const struct roll *r)
{
	return r->last[0].points && (r->all || spot_compare_place(&r->fresh, &r->last[0].to) <= 0);
}

/* ---- cells that grow ---- */

/* Into the last cell of a level, or a new one: only where one of the level below begins, so that
   each is in one of the next. Did it begin one? */
static bool absorb(struct arena *a, struct roll *r, int level, const struct cell *cell, bool begins)
{
	struct cell *last = &r->last[level];

	begins = !last->points || (begins && last->points >= cell_unit(level));
	if (!begins) {
		cell_merge(last, cell);
	} else {
		if (r->changed[level])
			cells_add(a, &r->out[level], last);
		*last = *cell;
	}
	r->changed[level] = true;
	return begins;
}

/* All that changed is in `out` then. */
static void settle(struct arena *a, struct roll *r)
{
	for (int level = 0; level < CURVE_LEVELS; level++) {
		if (r->changed[level])
			cells_add(a, &r->out[level], &r->last[level]);
		r->changed[level] = false;
	}
}

static void queue_out(struct ctx *c, const struct roll *r)
{
	for (int level = 0; level < CURVE_LEVELS; level++)
		cells_write(c, r->id, level, &r->out[level]);
}

/* Where `last` ends, exactly. False: nothing can come after it. */
static bool after(const struct cell *last, struct spot *ret)
{
	*ret = (struct spot){ INT64_MIN, INT64_MIN, -INFINITY };
	if (!last->points)
		return true;
	*ret = last->to;
	return spot_next_place(ret);
}

/* Takes away what may miss points. What is left below of a cell that goes gets a new one. */
static int trim(struct ctx *c, struct roll *r)
{
	struct list rows = { 0 };
	struct spot from;

	r->done->again = true;
	if (r->all)
		db_queue(c, &stmts[CUT_ALL], ARGS(CURVE(r)), NULL);
	else
		db_queue(c, &stmts[CUT],
		         ARGS(CURVE(r), BIGINT(r->fresh.timestamp), BIGINT(r->fresh.step)), NULL);
	if (db_list(c, &stmts[LASTS], ARGS(CURVE(r)), &cell_row_record, &rows))
		return -1;
	take_lasts(r, &rows);
	for (int level = 1; level < CURVE_LEVELS; level++) {
		if (!after(&r->last[level], &from))
			continue;
		rows = (struct list){ 0 };
		if (db_list(c, &stmts[ORPHANS],
		            ARGS(CURVE(r), BIGINT(level - 1), BIGINT(from.timestamp),
		                 BIGINT(from.step)),
		            &cell_row_record, &rows))
			return -1;
		for (size_t i = 0; i < rows.count; i++) {
			struct cell cell = cell_read(LIST_AT(struct cell_row, &rows, i));

			absorb(c->arena, r, level, &cell, true);
		}
		settle(c->arena, r);
		cells_write(c, r->id, level, &r->out[level]);
	}
	return db_flush(c);
}

/* ---- the transactions ---- */

/* A retried transaction begins with nothing in hand. */
static void begin(struct ctx *c, struct roll *r)
{
	memset(r->out, 0, sizeof(r->out));
	memset(r->changed, 0, sizeof(r->changed));
	db_queue(c, &stmts[NO_WAIT_FOR_DISK], NO_ARGS, NULL);
}

/* Without holding up writers, so that little is left to do while they wait. */
static int trim_first(struct ctx *c, void *arg)
{
	struct roll *r = arg;

	begin(c, r);
	if (load(c, r, &stmts[PEEK]))
		return -1;
	return r->exists && stale(r) ? trim(c, r) : 0;
}

static int leave(struct ctx *c, void *arg)
{
	struct roll *r = arg;

	begin(c, r);
	if (load(c, r, &stmts[HOLD]))
		return -1;
	if (!r->exists)
		return 0;
	if (stale(r) && trim(c, r))
		return -1;
	db_queue(c, &stmts[LEAVE], ARGS(CURVE(r)), NULL);
	return 0;
}

/* Cells of level 0 end between two places, so that what is at one place is in one cell. */
static void feed(struct ctx *c, struct roll *r, const struct list *points)
{
	for (size_t i = 0; i < points->count; i++) {
		struct spot s = spot_read(LIST_AT(struct spot_row, points, i));
		struct cell cell = cell_of(&s);

		if (r->open.points >= CURVE_UNIT && spot_compare_place(&r->open.to, &s) != 0) {
			bool begins = true;

			for (int level = 0; level < CURVE_LEVELS; level++)
				begins = absorb(c->arena, r, level, &r->open, begins);
			r->done->points += r->open.points;
			r->open.points = 0;
		}
		if (r->open.points)
			cell_merge(&r->open, &cell);
		else
			r->open = cell;
		r->next = s;
	}
	r->ended = points->count < CURVE_STRETCH || !spot_next(&r->next);
}

/* Beside gc, which holds the run when it takes its rows away. */
static int store(struct ctx *c, void *arg)
{
	struct roll *r = arg;
	struct yes kept = { 0 };
	int found;

	db_queue(c, &stmts[NO_WAIT_FOR_DISK], NO_ARGS, NULL);
	found = db_one(c, &stmts[KEEP_RUN], ARGS(BIGINT(r->id.run)), &yes_record, &kept);
	if (found < 0)
		return -1;
	if (!found) {
		r->ended = true;
		return 0;
	}
	queue_out(c, r);
	return 0;
}

static int stretch(struct ctx *c, void *arg)
{
	struct roll *r = arg;
	struct list points = { 0 };

	memset(r->out, 0, sizeof(r->out));
	if (db_list(c, &stmts[STRETCH],
	            ARGS(CURVE(r), BIGINT(r->next.timestamp), BIGINT(r->next.step),
	                 REAL(r->next.value), BIGINT(CURVE_STRETCH)), &spot_row_record, &points))
		return -1;
	feed(c, r, &points);
	settle(c->arena, r);
	return r->out[0].count ? tx_run(c, store, r) : 0;
}

/* ---- all of it ---- */

/* In memory that ends with it. */
static int apart(struct ctx *c, struct arena *a, int (*fn)(struct ctx *c, void *arg),
                 struct roll *r)
{
	struct ctx part = *c;
	int failed;

	part.arena = a;
	failed = fn(&part, r);
	if (failed)
		fail_because(c, part.error.code,
		             part.error.detail ? arena_strdup(c->arena, part.error.detail) : NULL,
		             "%s", part.error.message);
	arena_reset(a);
	return failed;
}

static int roll(struct ctx *c, struct roll *r)
{
	struct arena *a = arena_child(c->arena, LIMIT_ARENA);

	if (tx_run(c, trim_first, r))
		return -1;
	if (!r->exists)
		return 0;
	if (tx_run(c, leave, r))
		return -1;
	if (!r->exists || !after(&r->last[0], &r->next))
		return 0;
	/* What is left when the daemon stops is left for another time. */
	while (!r->ended && !curve_stopped()) {
		if (apart(c, a, stretch, r))
			return -1;
	}
	return 0;
}

int store_curve_roll(struct ctx *c, struct curve_id id, struct curve_rolled *ret)
{
	struct roll *r = NEW(c->arena, struct roll);
	int32_t lock = (int32_t)((uint64_t)id.run * 31 + (uint32_t)id.key);
	struct yes held = { 0 };

	*ret = (struct curve_rolled){ 0 };
	*r = (struct roll){ .id = id, .done = ret };
	if (db_one(c, &stmts[TRY], ARGS(INTEGER(LOCKS), INTEGER(lock)), &yes_record, &held) < 0)
		return -1;
	if (!held.yes || !*held.yes)
		return 0;
	if (roll(c, r))
		return -1;
	if (db_one(c, &stmts[RELEASE], ARGS(INTEGER(LOCKS), INTEGER(lock)), &yes_record, &held) < 0)
		return -1;
	return 0;
}
