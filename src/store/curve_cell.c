/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "curve.h"

#include <math.h>
#include <stdlib.h>

#include "base/arena.h"

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

static int compare_values(double a, double b)
{
	if (isnan(a) || isnan(b))
		return COMPARE(isnan(a), isnan(b));
	return COMPARE(a, b);
}

int spot_compare_place(const struct spot *a, const struct spot *b)
{
	int order = COMPARE(a->timestamp, b->timestamp);

	return order ? order : COMPARE(a->step, b->step);
}

int spot_compare(const struct spot *a, const struct spot *b)
{
	int order = spot_compare_place(a, b);

	return order ? order : compare_values(a->value, b->value);
}

int spot_compare_step(const struct spot *a, const struct spot *b)
{
	int order = COMPARE(a->step, b->step);

	if (!order)
		order = COMPARE(a->timestamp, b->timestamp);
	return order ? order : compare_values(a->value, b->value);
}

bool spot_next_place(struct spot *s)
{
	s->value = -INFINITY;
	if (s->step < INT64_MAX) {
		s->step++;
		return true;
	}
	s->step = INT64_MIN;
	if (s->timestamp == INT64_MAX)
		return false;
	s->timestamp++;
	return true;
}

bool spot_next(struct spot *s)
{
	if (isnan(s->value))
		return spot_next_place(s);
	s->value = s->value == INFINITY ? (double)NAN : nextafter(s->value, INFINITY);
	return true;
}

struct cell cell_of(const struct spot *s)
{
	return (struct cell){ .from = *s, .to = *s, .points = 1, .low = *s, .high = *s,
	                      .first = *s, .last = *s };
}

void cell_merge(struct cell *into, const struct cell *with)
{
	into->to = with->to;
	into->points += with->points;
	if (isnan(into->low.value) || with->low.value < into->low.value)
		into->low = with->low;
	if (isnan(into->high.value) || with->high.value > into->high.value)
		into->high = with->high;
	if (spot_compare_step(&with->first, &into->first) < 0)
		into->first = with->first;
	if (spot_compare_step(&with->last, &into->last) > 0)
		into->last = with->last;
}

int64_t cell_unit(int level)
{
	int64_t unit = CURVE_UNIT;

	while (level-- > 0)
		unit *= CURVE_FAN;
	return unit;
}

void cells_add(struct arena *a, struct cells *to, const struct cell *c)
{
	if (to->count == to->capacity) {
		size_t capacity = to->capacity ? to->capacity * 2 : 64;

		to->items = arena_grow(a, to->items, to->capacity * sizeof(*c),
		                       capacity * sizeof(*c));
		to->capacity = capacity;
	}
	to->items[to->count++] = *c;
}

static int compare_cells(const void *x, const void *y)
{
	const struct cell *a = x, *b = y;

	return spot_compare(&a->from, &b->from);
}

void cells_sort(struct cells *c)
{
	for (size_t i = 1; i < c->count; i++) {
		if (compare_cells(&c->items[i - 1], &c->items[i]) > 0) {
			qsort(c->items, c->count, sizeof(*c->items), compare_cells);
			return;
		}
	}
}

void cells_coarsen(struct cells *c, int64_t points)
{
	size_t n = 0;

	for (size_t i = 0; i < c->count; i++) {
		if (n && c->items[n - 1].points + c->items[i].points <= points)
			cell_merge(&c->items[n - 1], &c->items[i]);
		else
			c->items[n++] = c->items[i];
	}
	c->count = n;
}

/* ---- what a chart shows ---- */

static int compare_shown(const void *x, const void *y)
{
	return spot_compare_step(x, y);
}

static size_t tidy(struct spot *spots, size_t count)
{
	size_t n = 0;

	qsort(spots, count, sizeof(*spots), compare_shown);
	for (size_t i = 0; i < count; i++) {
		if (!n || spot_compare_step(&spots[n - 1], &spots[i]) != 0)
			spots[n++] = spots[i];
	}
	return n;
}

struct spot *cells_all(struct arena *a, const struct cells *c, size_t *count)
{
	struct spot *spots = NEW_ARRAY(a, c->count, struct spot);

	for (size_t i = 0; i < c->count; i++)
		spots[i] = c->items[i].from;
	*count = tidy(spots, c->count);
	return spots;
}

/* A cell belongs where its middle is. */
static int64_t place_of(int64_t before, int64_t points, int64_t all, int64_t buckets)
{
	double middle = (double)before + (double)points / 2;

	return (int64_t)(middle * (double)buckets / (double)all);
}

struct spot *cells_pick(struct arena *a, const struct cells *c, int64_t buckets, bool first,
                        size_t *count)
{
	struct spot *spots = NEW_ARRAY(a, (size_t)buckets * 2 + 2, struct spot);
	struct cell bucket = { 0 }, all = { 0 };
	int64_t points = 0, before = 0, number = 0;
	size_t n = 0;

	for (size_t i = 0; i < c->count; i++)
		points += c->items[i].points;
	for (size_t i = 0; i < c->count; i++) {
		const struct cell *cell = &c->items[i];
		int64_t place = place_of(before, cell->points, points, buckets);

		before += cell->points;
		if (!all.points)
			all = *cell;
		else
			cell_merge(&all, cell);
		if (bucket.points && place == number) {
			cell_merge(&bucket, cell);
			continue;
		}
		if (bucket.points && buckets) {
			spots[n++] = bucket.low;
			spots[n++] = bucket.high;
		}
		bucket = *cell;
		number = place;
	}
	if (all.points) {
		if (buckets) {
			spots[n++] = bucket.low;
			spots[n++] = bucket.high;
		}
		spots[n++] = all.last;
		if (first)
			spots[n++] = all.first;
	}
	*count = tidy(spots, n);
	return spots;
}
