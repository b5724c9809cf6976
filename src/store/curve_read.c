/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Charts. From the few cells of the highest level down, each that reaches out of the window, may
 * miss points, or is larger than a bucket is opened: by its cells of a level that is fine enough, or
 * by its points. So what is read is what the window needs, whatever lies beside it. What was not
 * rolled up yet is read point by point.
 */

#include "curve_read.h"

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/limits.h"
#include "curve.h"
#include "db/db.h"

enum {
	PIECES_MOST = 1024,             /* cells reaching out of the window: more are read in one go */
	RAW_MOST = 65536,               /* points of a curve in memory: more are merged */
	TRIP_MOST = 65536,              /* points of one round trip */
	POINTS_TOGETHER = 50000,        /* of runs that are answered together, at most */
};

enum { FIND, CELLS, POINTS };

/* clang-format off */
static const struct stmt stmts[] = {
	/* With where the roll-up ends: of the cells that begin before `fresh` only the last one may
	   reach beyond it. */
	[FIND] = { "chart_find", "Ut",
		"SELECT u.ord, r.id AS run, r.uuid, k.id AS key, e.to_timestamp, e.to_step"
		" FROM unnest($1) WITH ORDINALITY AS u (uuid, ord)"
		" JOIN runs r ON r.uuid = u.uuid JOIN keys k ON k.name = $2"
		" LEFT JOIN latest l ON l.run_id = r.id AND l.key_id = k.id"
		" LEFT JOIN LATERAL (SELECT b.to_timestamp, b.to_step FROM ("
		"   SELECT c.to_timestamp, c.to_step FROM curves c"
		"   WHERE c.run_id = r.id AND c.key_id = k.id AND c.level = 0"
		"   AND (c.timestamp, c.step) < (l.fresh_timestamp, l.fresh_step)"
		"   ORDER BY c.timestamp DESC, c.step DESC LIMIT 2) b"
		"  WHERE (b.to_timestamp, b.to_step) < (l.fresh_timestamp, l.fresh_step)"
		"  ORDER BY b.to_timestamp DESC, b.to_step DESC LIMIT 1) e ON true" },
	[CELLS] = { "chart_cells", "IINNIIIIii",
		"SELECT o.ord, " CELL_COLUMNS("c")
		" FROM unnest($1, $2, $3, $4, $5, $6, $7, $8)"
		" AS o (ord, run, key, level, timestamp, step, to_timestamp, to_step), LATERAL ("
		"  SELECT * FROM curves c"
		"  WHERE c.run_id = o.run AND c.key_id = o.key AND c.level = o.level::smallint"
		"  AND (c.timestamp, c.step) >= (o.timestamp, o.step)"
		"  AND (c.timestamp, c.step) <= (o.to_timestamp, o.to_step)"
		"  AND c.first_step <= $10 AND c.last_step >= $9 ORDER BY c.timestamp, c.step) c" },
	[POINTS] = { "chart_points", "IINIIDIIiii",
		"SELECT o.ord, p.timestamp, p.step, p.value"
		" FROM unnest($1, $2, $3, $4, $5, $6, $7, $8)"
		" AS o (ord, run, key, timestamp, step, value, to_timestamp, to_step), LATERAL ("
		"  SELECT p.timestamp, p.step, p.value FROM points p"
		"  WHERE p.run_id = o.run AND p.key_id = o.key"
		"  AND (p.timestamp, p.step, p.value) >= (o.timestamp, o.step, o.value)"
		"  AND (p.timestamp, p.step) <= (o.to_timestamp, o.to_step)"
		"  AND p.step BETWEEN $9 AND $10"
		"  ORDER BY p.timestamp, p.step, p.value LIMIT $11) p" },
};
/* clang-format on */

struct find_row {
	const int64_t *ord, *run, *key, *to_timestamp, *to_step;
	const char *uuid;
};

static const struct record find_row_record = { sizeof(struct find_row), (const struct field[]){
	INT64(struct find_row, ord,          0),
	INT64(struct find_row, run,          0),
	INT64(struct find_row, key,          0),
	INT64(struct find_row, to_timestamp, 0),
	INT64(struct find_row, to_step,      0),
	STRING(struct find_row, uuid,        0),
	END }};

struct curve {
	const char *run_id;             /* NULL: no such run or metric */
	struct curve_id id;
	struct spot end;                /* of the roll-up, as far as it is good */
	struct cells cells;             /* that meet the window; points 0: read point by point */
	struct cells points;
	int64_t grain;                  /* points that are merged, once there are many; 0: none */
	int64_t tail;                   /* points read that are not rolled up */
};

/* A stretch of a curve to be read: its cells of a level, or (-1) its points. */
struct opening {
	size_t curve;
	int level;
	bool tail;
	struct spot from, to;
	int64_t points;                 /* at most so many, as far as is known */
	int64_t got;
};

struct openings {
	struct opening *items;
	size_t count, capacity;
};

struct chart {
	const struct history_interval *in;
	const char *const *run_ids;     /* of those in hand */
	int64_t from_step, to_step;
	int64_t buckets;                /* 0: only the first and the last point */
	struct curve *curves;
	size_t count;
	struct openings pending;
	struct arena *arena;            /* of the runs in hand */
	struct arena *trip;             /* of one round trip */
};

struct answer {
	struct list *points;
	size_t capacity;
	const char *key, *run_id;
};

static void open_stretch(struct chart *h, const struct opening *o)
{
	struct openings *p = &h->pending;

	if (p->count == p->capacity) {
		size_t capacity = p->capacity ? p->capacity * 2 : 64;

		p->items = arena_grow(h->arena, p->items, p->capacity * sizeof(*o),
		                      capacity * sizeof(*o));
		p->capacity = capacity;
	}
	p->items[p->count++] = *o;
}

/* ---- what is to be opened ---- */

static bool reaches_out(const struct chart *h, const struct curve *v, const struct cell *c)
{
	return c->first.step < h->from_step || c->last.step > h->to_step
		|| spot_compare_place(&c->to, &v->end) > 0;
}

/* The highest level below this one whose cells are no larger than a bucket; -1: its points. */
static int finer(int level, int64_t bucket)
{
	do
		level--;
	while (level >= 0 && cell_unit(level) > bucket);
	return level;
}

/* What is known of the window, which is less with each look. */
static int64_t count_points(const struct curve *v)
{
	int64_t points = 0;

	for (size_t i = 0; i < v->points.count; i++)
		points += v->points.items[i].points;
	for (size_t i = 0; i < v->cells.count; i++)
		points += v->cells.items[i].points;
	return points;
}

static bool scattered(const struct chart *h, const struct curve *v)
{
	size_t n = 0;

	for (size_t i = 0; i < v->cells.count; i++)
		n += v->cells.items[i].points && reaches_out(h, v, &v->cells.items[i]);
	return n > PIECES_MOST;
}

/* A bucket at most, or what opening would not make smaller. */
static bool small_enough(const struct cell *c, int64_t bucket)
{
	return c->points <= bucket
		|| (c->points > CURVE_STRETCH && spot_compare_place(&c->from, &c->to) == 0);
}

/* Keeps what can stay, opens the others. Neighbours whose points are wanted are read in one go. */
static void open_cells(struct chart *h, size_t number)
{
	struct curve *v = &h->curves[number];
	int64_t bucket = h->buckets ? count_points(v) / h->buckets : INT64_MAX;
	bool whole = scattered(h, v);
	struct opening *before = NULL;
	size_t kept = 0;

	cells_sort(&v->cells);
	for (size_t i = 0; i < v->cells.count; i++) {
		struct cell c = v->cells.items[i];
		struct opening o = { .curve = number, .level = whole ? -1 : finer(c.level, bucket),
		                     .from = c.from, .to = c.to, .points = c.points };

		o.from.value = -INFINITY;
		if (!c.points || (!reaches_out(h, v, &c) && small_enough(&c, bucket))) {
			v->cells.items[kept++] = c;
			before = NULL;
			continue;
		}
		if (spot_compare_place(&o.to, &v->end) > 0)
			o.to = v->end;
		if (o.level < 0) {
			c.points = 0;
			v->cells.items[kept++] = c;
		}
		if (before && before->level < 0 && o.level < 0) {
			before->to = o.to;
			before->points += o.points;
			continue;
		}
		open_stretch(h, &o);
		before = &h->pending.items[h->pending.count - 1];
	}
	v->cells.count = kept;
}

/* ---- one round trip ---- */

struct asked {
	int64_t *ords, *runs;
	int32_t *keys, *levels;
	int64_t *timestamps, *steps, *to_timestamps, *to_steps;
	double *values;
	size_t count;
};

static struct asked new_asked(struct arena *a, size_t most)
{
	return (struct asked){
		.ords = NEW_ARRAY(a, most, int64_t), .runs = NEW_ARRAY(a, most, int64_t),
		.keys = NEW_ARRAY(a, most, int32_t), .levels = NEW_ARRAY(a, most, int32_t),
		.timestamps = NEW_ARRAY(a, most, int64_t), .steps = NEW_ARRAY(a, most, int64_t),
		.to_timestamps = NEW_ARRAY(a, most, int64_t),
		.to_steps = NEW_ARRAY(a, most, int64_t),
		.values = NEW_ARRAY(a, most, double),
	};
}

static void ask(struct asked *q, const struct chart *h, size_t number)
{
	const struct opening *o = &h->pending.items[number];
	size_t i = q->count++;

	q->ords[i] = (int64_t)number;
	q->runs[i] = h->curves[o->curve].id.run;
	q->keys[i] = h->curves[o->curve].id.key;
	q->levels[i] = o->level;
	q->timestamps[i] = o->from.timestamp;
	q->steps[i] = o->from.step;
	q->values[i] = o->from.value;
	q->to_timestamps[i] = o->to.timestamp;
	q->to_steps[i] = o->to.step;
}

static void queue_trip(struct ctx *c, const struct chart *h, size_t count, struct list *cells,
                       struct list *points)
{
	struct asked of_cells = new_asked(c->arena, count), of_points = new_asked(c->arena, count);
	struct asked *q = &of_cells;

	for (size_t i = 0; i < count; i++)
		ask(h->pending.items[i].level < 0 ? &of_points : &of_cells, h, i);
	if (q->count)
		db_queue_list(c, &stmts[CELLS],
		              ARGS(BIGINTS(q->ords, q->count), BIGINTS(q->runs, q->count),
		                   INTEGERS(q->keys, q->count), INTEGERS(q->levels, q->count),
		                   BIGINTS(q->timestamps, q->count), BIGINTS(q->steps, q->count),
		                   BIGINTS(q->to_timestamps, q->count),
		                   BIGINTS(q->to_steps, q->count),
		                   BIGINT(h->from_step), BIGINT(h->to_step)),
		              &cell_row_record, cells);
	q = &of_points;
	if (q->count)
		db_queue_list(c, &stmts[POINTS],
		              ARGS(BIGINTS(q->ords, q->count), BIGINTS(q->runs, q->count),
		                   INTEGERS(q->keys, q->count), BIGINTS(q->timestamps, q->count),
		                   BIGINTS(q->steps, q->count), REALS(q->values, q->count),
		                   BIGINTS(q->to_timestamps, q->count),
		                   BIGINTS(q->to_steps, q->count),
		                   BIGINT(h->from_step), BIGINT(h->to_step),
		                   BIGINT(CURVE_STRETCH)),
		              &spot_row_record, points);
}

/* All that was merged is of about the same size, so that buckets are. */
static void thin_out(struct curve *v)
{
	cells_sort(&v->points);
	if (v->grain)
		cells_coarsen(&v->points, v->grain);
	while (v->points.count > RAW_MOST / 2) {
		v->grain = v->grain ? v->grain * 2 : 2;
		cells_coarsen(&v->points, v->grain);
	}
}

static void absorb_points(struct chart *h, const struct list *points)
{
	for (size_t i = 0; i < points->count; i++) {
		const struct spot_row *row = LIST_AT(struct spot_row, points, i);
		struct opening *o = &h->pending.items[*row->ord];
		struct spot s = spot_read(row);
		struct cell cell = cell_of(&s);
		struct curve *v = &h->curves[o->curve];

		cells_add(h->arena, &v->points, &cell);
		o->from = s;
		o->got++;
		if (o->tail)
			v->tail++;
		if (v->points.count > RAW_MOST) {
			thin_out(v);
		}
	}
}

static void absorb_cells(struct chart *h, const struct list *cells)
{
	for (size_t i = 0; i < cells->count; i++) {
		const struct cell_row *row = LIST_AT(struct cell_row, cells, i);
		struct cell cell = cell_read(row);

		cells_add(h->arena, &h->curves[h->pending.items[*row->ord].curve].cells, &cell);
	}
}

/* Those that were asked for are done, unless there may be more of their points. */
static void end_trip(struct chart *h, size_t asked)
{
	struct openings *p = &h->pending;
	size_t n = 0;

	for (size_t i = 0; i < p->count; i++) {
		struct opening o = p->items[i];

		if (i < asked && (o.got < CURVE_STRETCH || !spot_next(&o.from)))
			continue;
		o.got = 0;
		p->items[n++] = o;
	}
	p->count = n;
}

/* The first ones of what is pending. */
static size_t fitting(const struct chart *h)
{
	int64_t points = 0;
	size_t n = 0;

	while (n < h->pending.count && points < TRIP_MOST) {
		const struct opening *o = &h->pending.items[n++];

		if (o->level < 0)
			points += o->points < CURVE_STRETCH ? o->points : CURVE_STRETCH;
	}
	return n;
}

static int trip(struct ctx *c, struct chart *h)
{
	struct list cells = { 0 }, points = { 0 };
	size_t asked = fitting(h);

	queue_trip(c, h, asked, &cells, &points);
	if (db_flush(c))
		return -1;
	absorb_cells(h, &cells);
	absorb_points(h, &points);
	end_trip(h, asked);
	return 0;
}

/* ---- from the top ---- */

static void open_curve(struct ctx *c, struct chart *h, const struct find_row *row)
{
	size_t number = (size_t)*row->ord - 1;
	struct curve *v = &h->curves[number];
	struct opening o = { .curve = number, .level = CURVE_LEVELS - 1,
	                     .from = { INT64_MIN, INT64_MIN, -INFINITY } };
	bool more = true;

	v->run_id = arena_strdup(c->arena, row->uuid);
	v->id = (struct curve_id){ *row->run, (int32_t)*row->key };
	if (row->to_timestamp && row->to_step) {
		v->end = (struct spot){ *row->to_timestamp, *row->to_step, 0 };
		o.to = v->end;
		open_stretch(h, &o);
		o.from = v->end;
		more = spot_next_place(&o.from);
	}
	o.level = -1;
	o.tail = true;
	o.to = (struct spot){ INT64_MAX, INT64_MAX, 0 };
	o.points = CURVE_STRETCH;
	if (more)
		open_stretch(h, &o);
}

static int find(struct ctx *c, struct chart *h)
{
	struct list rows = { 0 };
	struct ctx work = *c;

	work.arena = h->arena;
	for (size_t i = 0; i < h->count; i++)
		h->curves[i] = (struct curve){ 0 };
	db_queue_begin_snapshot(c);
	db_queue_list(c, &stmts[FIND], ARGS(UUIDS(h->run_ids, h->count), TEXT(h->in->key)),
	              &find_row_record, &rows);
	if (db_flush(c))
		return -1;
	for (size_t i = 0; i < rows.count; i++)
		open_curve(&work, h, LIST_AT(struct find_row, &rows, i));
	return 0;
}

/* In memory that ends with it. */
static int apart(struct ctx *c, struct chart *h, int (*fn)(struct ctx *c, struct chart *h))
{
	struct ctx part = *c;
	int failed;

	part.arena = h->trip;
	failed = fn(&part, h);
	if (failed)
		fail_because(c, part.error.code,
		             part.error.detail ? arena_strdup(c->arena, part.error.detail) : NULL,
		             "%s", part.error.message);
	arena_reset(h->trip);
	return failed;
}

/* What is read fits together: all of it is of one moment. */
static int read_all(struct ctx *c, struct chart *h)
{
	if (apart(c, h, find))
		return -1;
	while (h->pending.count) {
		if (apart(c, h, trip))
			return -1;
		/* Only when all is there is it known how large a bucket is. */
		if (!h->pending.count) {
			for (size_t i = 0; i < h->count; i++)
				open_cells(h, i);
		}
	}
	db_queue_commit(c);
	return db_flush(c);
}

/* ---- the answer ---- */

static void add_points(struct ctx *c, const struct chart *h, const struct curve *v,
                       struct answer *to)
{
	struct cells all = v->points;
	const struct spot *spots;
	size_t count;

	for (size_t i = 0; i < v->cells.count; i++) {
		if (v->cells.items[i].points)
			cells_add(h->arena, &all, &v->cells.items[i]);
	}
	cells_sort(&all);
	if (all.count == v->points.count && count_points(v) <= h->in->max_results)
		spots = cells_all(h->arena, &all, &count);
	else
		spots = cells_pick(h->arena, &all, h->buckets, h->in->max_results > 1, &count);
	for (size_t i = 0; i < count; i++) {
		struct point *p = list_add(c->arena, to->points, &to->capacity, sizeof(*p));

		*p = (struct point){ to->key, box_double(c->arena, spots[i].value),
		                     box_int64(c->arena, spots[i].timestamp),
		                     box_int64(c->arena, spots[i].step), to->run_id };
	}
}

static int answer(struct ctx *c, struct chart *h, struct answer *to)
{
	if (read_all(c, h))
		return -1;
	for (size_t i = 0; i < h->count; i++) {
		const struct curve *v = &h->curves[i];

		if (!v->run_id)
			continue;
		to->run_id = arena_strdup(c->arena, v->run_id);
		add_points(c, h, v, to);
		if (v->tail >= CURVE_TAIL)
			store_curve_want(v->id);
	}
	return 0;
}

int curve_chart(struct ctx *c, const struct history_interval *in, struct list *points)
{
	struct arena *group = arena_child(c->arena, LIMIT_ARENA);
	size_t together = (size_t)(POINTS_TOGETHER / in->max_results) + 1;
	struct arena *trips = arena_child(c->arena, LIMIT_ARENA);
	struct answer to = { .points = points, .key = in->key };

	for (size_t done = 0; done < in->run_count; done += together) {
		struct chart h = {
			.in = in, .run_ids = in->run_ids + done,
			.count = in->run_count - done < together ? in->run_count - done : together,
			.from_step = in->start_step ? *in->start_step : INT64_MIN,
			.to_step = in->end_step ? *in->end_step : INT64_MAX,
			.buckets = in->max_results >= 4 ? (in->max_results - 2) / 2 : 0,
			.arena = group, .trip = trips,
		};

		h.curves = NEW_ARRAY(group, h.count, struct curve);
		if (answer(c, &h, &to))
			return -1;
		arena_reset(group);
	}
	return 0;
}
