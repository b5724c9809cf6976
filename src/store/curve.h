/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * What the files of curves share: curve_cell.c (cells, without a database), curve_row.c (their
 * rows), curve_roll.c (writing), curve_read.c (charts), curve_wanted.c (which are worth the work).
 */
#ifndef STORE_CURVE_PRIVATE_H
#define STORE_CURVE_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/record.h"
#include "store/curve.h"

struct arena;

enum {
	CURVE_LEVELS = 7,
	CURVE_UNIT = 32,                /* points of a cell of level 0; more only at one place */
	CURVE_FAN = 8,                  /* cells of a level in one of the next */
	CURVE_STRETCH = 8192,           /* points read at one time */
	CURVE_TAIL = 4096,              /* points read one by one that make a roll-up worth it */
};

struct spot {
	int64_t timestamp, step;
	double value;
};

/* Points that follow each other, or one. */
struct cell {
	struct spot from, to;           /* in the order of points; values count where points is 1 */
	int64_t points;
	int level;                      /* curve_read.c: of the row it came from */
	struct spot low, high;          /* NaN only where all are */
	struct spot first, last;        /* by step, timestamp, value */
};

struct cells {
	struct cell *items;
	size_t count, capacity;
};

/* ---- curve_cell.c ---- */

/* By timestamp, step, value, as points are ordered; NaN is the greatest and equals itself. */
int spot_compare(const struct spot *a, const struct spot *b);
/* By timestamp and step alone. */
int spot_compare_place(const struct spot *a, const struct spot *b);
/* By step, timestamp, value, as histories are shown. */
int spot_compare_step(const struct spot *a, const struct spot *b);
/* The next one that can be. False: there is none. */
bool spot_next(struct spot *s);
/* The first of the next place. False: there is none. */
bool spot_next_place(struct spot *s);

struct cell cell_of(const struct spot *s);
/* `with` comes after it. */
void cell_merge(struct cell *into, const struct cell *with);

/* Points of a full cell. */
int64_t cell_unit(int level);

void cells_add(struct arena *a, struct cells *to, const struct cell *c);
void cells_sort(struct cells *c);
/* Merges neighbours that have no more than so many points together. They are in order. */
void cells_coarsen(struct cells *c, int64_t points);

/*
 * What a chart shows of cells in order: of so many buckets of about the same number of points those
 * with the lowest and the highest value (0: none), the last point, and with `first` the first one;
 * by step, each once.
 */
struct spot *cells_pick(struct arena *a, const struct cells *c, int64_t buckets, bool first,
                        size_t *count);

/* All of them, where each is a point; by step, each once. */
struct spot *cells_all(struct arena *a, const struct cells *c, size_t *count);

/* ---- curve_row.c ---- */

/* A row of curves; ord: whatever the statement says. */
struct cell_row {
	const int64_t *ord, *level, *timestamp, *step, *to_timestamp, *to_step, *points;
	const int64_t *low_timestamp, *low_step, *high_timestamp, *high_step;
	const int64_t *first_timestamp, *first_step, *last_timestamp, *last_step;
	const double *low_value, *high_value, *first_value, *last_value;
};
extern const struct record cell_row_record;

#define CELL_SPOT_COLUMNS(t, name) \
	t "." name "_timestamp, " t "." name "_step, " t "." name "_value"
#define CELL_COLUMNS(t) \
	t ".level::bigint AS level, " t ".timestamp, " t ".step, " t ".to_timestamp, " t ".to_step," \
	" " t ".points, " CELL_SPOT_COLUMNS(t, "low") ", " CELL_SPOT_COLUMNS(t, "high") ", " \
	CELL_SPOT_COLUMNS(t, "first") ", " CELL_SPOT_COLUMNS(t, "last")

struct cell cell_read(const struct cell_row *r);

/* Queues the writing of cells of one level; one that begins where another did takes its place. */
void cells_write(struct ctx *c, struct curve_id id, int level, const struct cells *cells);

/* ---- curve_wanted.c ---- */

/* store_curve_stop() was called. */
bool curve_stopped(void);

/* ---- points as rows ---- */
struct spot_row {
	const int64_t *ord, *timestamp, *step;
	const double *value;
};
extern const struct record spot_row_record;

struct spot spot_read(const struct spot_row *r);

#endif
