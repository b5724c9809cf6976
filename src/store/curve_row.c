/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "curve.h"

#include "base/arena.h"
#include "db/db.h"

/* clang-format off */
#define SPOT(name, column) \
	name "_" #column " = excluded." name "_" #column
#define SPOTS(name) SPOT(name, timestamp) ", " SPOT(name, step) ", " SPOT(name, value)

static const struct stmt write_cells = { "curve_write", "iniIIIIIIIDIIDIIDIID",
	"INSERT INTO curves (run_id, key_id, level, timestamp, step, to_timestamp, to_step, points,"
	" low_timestamp, low_step, low_value, high_timestamp, high_step, high_value,"
	" first_timestamp, first_step, first_value, last_timestamp, last_step, last_value)"
	" SELECT $1, $2, $3::smallint, * FROM unnest($4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,"
	" $15, $16, $17, $18, $19, $20)"
	" ON CONFLICT (run_id, key_id, level, timestamp, step) DO UPDATE SET"
	" to_timestamp = excluded.to_timestamp, to_step = excluded.to_step,"
	" points = excluded.points, "
	SPOTS("low") ", " SPOTS("high") ", " SPOTS("first") ", " SPOTS("last") };

#define CELL_SPOT(name) \
	INT64 (struct cell_row, name##_timestamp, 0), \
	INT64 (struct cell_row, name##_step,      0), \
	DOUBLE(struct cell_row, name##_value,     0)

const struct record cell_row_record = { sizeof(struct cell_row), (const struct field[]){
	INT64(struct cell_row, ord,          0),
	INT64(struct cell_row, level,        0),
	INT64(struct cell_row, timestamp,    0),
	INT64(struct cell_row, step,         0),
	INT64(struct cell_row, to_timestamp, 0),
	INT64(struct cell_row, to_step,      0),
	INT64(struct cell_row, points,       0),
	CELL_SPOT(low), CELL_SPOT(high), CELL_SPOT(first), CELL_SPOT(last),
	END }};

const struct record spot_row_record = { sizeof(struct spot_row), (const struct field[]){
	INT64 (struct spot_row, ord,       0),
	INT64 (struct spot_row, timestamp, 0),
	INT64 (struct spot_row, step,      0),
	DOUBLE(struct spot_row, value,     0),
	END }};
/* clang-format on */

struct cell cell_read(const struct cell_row *r)
{
	return (struct cell){
		.from = { *r->timestamp, *r->step, 0 },
		.to = { *r->to_timestamp, *r->to_step, 0 },
		.points = *r->points,
		.level = (int)*r->level,
		.low = { *r->low_timestamp, *r->low_step, *r->low_value },
		.high = { *r->high_timestamp, *r->high_step, *r->high_value },
		.first = { *r->first_timestamp, *r->first_step, *r->first_value },
		.last = { *r->last_timestamp, *r->last_step, *r->last_value },
	};
}

struct spot spot_read(const struct spot_row *r)
{
	return (struct spot){ *r->timestamp, *r->step, *r->value };
}

struct column {
	int64_t *timestamps, *steps;
	double *values;
};

static struct column new_column(struct arena *a, size_t count)
{
	return (struct column){ NEW_ARRAY(a, count, int64_t), NEW_ARRAY(a, count, int64_t),
	                        NEW_ARRAY(a, count, double) };
}

static void set(struct column *to, size_t i, const struct spot *s)
{
	to->timestamps[i] = s->timestamp;
	to->steps[i] = s->step;
	to->values[i] = s->value;
}

void cells_write(struct ctx *c, struct curve_id id, int level, const struct cells *cells)
{
	size_t n = cells->count;
	struct column from = new_column(c->arena, n), to = new_column(c->arena, n);
	struct column low = new_column(c->arena, n), high = new_column(c->arena, n);
	struct column first = new_column(c->arena, n), last = new_column(c->arena, n);
	int64_t *points = NEW_ARRAY(c->arena, n, int64_t);

	if (!n)
		return;
	for (size_t i = 0; i < n; i++) {
		const struct cell *cell = &cells->items[i];

		set(&from, i, &cell->from);
		set(&to, i, &cell->to);
		set(&low, i, &cell->low);
		set(&high, i, &cell->high);
		set(&first, i, &cell->first);
		set(&last, i, &cell->last);
		points[i] = cell->points;
	}
#define PLACE(s) BIGINTS((s).timestamps, n), BIGINTS((s).steps, n)
#define WHOLE(s) PLACE(s), REALS((s).values, n)
	db_queue(c, &write_cells,
	         ARGS(BIGINT(id.run), INTEGER(id.key), BIGINT(level), PLACE(from), PLACE(to),
	              BIGINTS(points, n), WHOLE(low), WHOLE(high), WHOLE(first), WHOLE(last)), NULL);
#undef PLACE
#undef WHOLE
}
