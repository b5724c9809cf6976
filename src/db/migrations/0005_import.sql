-- Imports: how far each has come, table by table, in the transaction of the rows themselves, so that one that was cut
-- goes on and doubles nothing.
CREATE TABLE imports (
	id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	source          text COLLATE "C" NOT NULL,          -- its URI without the password
	version         text NOT NULL,
	started_at      bigint NOT NULL,
	finished_at     bigint,
	CONSTRAINT imports_source UNIQUE (source)
);

-- position: the source's own; NULL: at the start. checksum: the sum of the hashes of all rows taken.
CREATE TABLE import_tables (
	import          bigint NOT NULL REFERENCES imports ON DELETE CASCADE,
	name            text COLLATE "C" NOT NULL,
	position        text,
	done            boolean NOT NULL,
	read            bigint NOT NULL,
	written         bigint NOT NULL,
	present         bigint NOT NULL,
	checksum        bigint NOT NULL,
	PRIMARY KEY (import, name)
);

-- What was repaired or left out, with a few examples (one a line).
CREATE TABLE import_issues (
	import          bigint NOT NULL REFERENCES imports ON DELETE CASCADE,
	name            text COLLATE "C" NOT NULL,
	kind            text COLLATE "C" NOT NULL,
	rows            bigint NOT NULL,
	examples        text NOT NULL,
	PRIMARY KEY (import, name, kind)
);

-- The experiments (0), runs (1), logged models (2), registered models (3), users (4), webhooks (5) and roles (6) of an
-- unfinished import, by their ids here: rows of others are never added to.
CREATE TABLE import_items (
	import          bigint NOT NULL REFERENCES imports ON DELETE CASCADE,
	kind            smallint NOT NULL,
	item            bigint NOT NULL,
	PRIMARY KEY (import, kind, item)
);
