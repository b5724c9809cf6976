-- Settled runs: what searches need of a run that rests, derived once, so that what is written all the time needs no
-- index of values. No run is settled by this migration: daemons do it later, a few at a time (store/settle.h).

-- revision: NULL while the run is not settled; else another one whenever a search would show something else of it.
ALTER TABLE runs ADD COLUMN revision bigint;
CREATE SEQUENCE run_revisions;
CREATE INDEX runs_unsettled ON runs (experiment_id, id) WHERE revision IS NULL;

-- The latest values of the settled runs, and only theirs, in order. low, high: a Bloom filter of 128 bits of the run's
-- parameters and tags: a run that lacks a bit of run_marks(.., k, v) has no parameter and no tag k of the value v.
CREATE TABLE ranked (
	experiment_id   bigint NOT NULL,
	key_id          integer NOT NULL,
	value           double precision NOT NULL,
	run_id          bigint NOT NULL,
	low             bigint NOT NULL,
	high            bigint NOT NULL,
	PRIMARY KEY (experiment_id, key_id, value, run_id) INCLUDE (low, high)
);

-- Two bits of each half; 0: low, 12: high. One expression, so that it is inlined.
CREATE FUNCTION run_marks(half integer, key integer, value text) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
	SELECT (1::bigint << (hashtextextended(value COLLATE "C", key) >> half & 63)::integer)
	| (1::bigint << (hashtextextended(value COLLATE "C", key) >> half + 6 & 63)::integer)
$$;
