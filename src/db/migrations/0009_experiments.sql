-- What searches show of an experiment is kept in memory under its revision: each change of it or of its tags makes
-- another one, as of registered models.
ALTER TABLE experiments
	ADD COLUMN revision bigint NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
