-- Curves: roll-ups of points, so that a chart reads what it shows and not what there is.

-- Consecutive points of a run's metric in the order of their primary key, from (timestamp, step) to (to_timestamp,
-- to_step), all points at one (timestamp, step) in one row: how many there are, those with the lowest and the highest
-- value, the first and the last by (step, timestamp, value). Level 0 has about 32 points a row, each level above about
-- eight rows of the one below; all of them reach equally far. A row of points that are gone is harmless: it is found
-- through its run only.
CREATE TABLE curves (
	run_id          bigint NOT NULL,
	key_id          integer NOT NULL,
	level           smallint NOT NULL,
	timestamp       bigint NOT NULL,
	step            bigint NOT NULL,
	to_timestamp    bigint NOT NULL,
	to_step         bigint NOT NULL,
	points          bigint NOT NULL,
	low_timestamp   bigint NOT NULL,
	low_step        bigint NOT NULL,
	low_value       double precision NOT NULL,
	high_timestamp  bigint NOT NULL,
	high_step       bigint NOT NULL,
	high_value      double precision NOT NULL,
	first_timestamp bigint NOT NULL,
	first_step      bigint NOT NULL,
	first_value     double precision NOT NULL,
	last_timestamp  bigint NOT NULL,
	last_step       bigint NOT NULL,
	last_value      double precision NOT NULL,
	PRIMARY KEY (run_id, key_id, level, timestamp, step)
);

-- The least (timestamp, step) written since the metric was last rolled up: rows of curves that end at or after it may
-- miss points. NULL: it never was. Whoever writes points lowers it in the same transaction (store/commit_points.c),
-- so whoever rolls up and has held this row misses no point without a trace (store/curve_roll.c).
ALTER TABLE latest ADD COLUMN fresh_timestamp bigint, ADD COLUMN fresh_step bigint;
