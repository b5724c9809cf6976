-- The model registry. Versions are never used twice: last_version only grows. A deleted version keeps its row (MLflow
-- redacts it too) and is seen by no read.
CREATE TABLE registered_models (
	id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name            text COLLATE "C" NOT NULL,
	creation_time   bigint NOT NULL,
	last_updated_time bigint NOT NULL,
	description     text,
	last_version    integer NOT NULL DEFAULT 0,
	last_move       bigint NOT NULL DEFAULT 0,          -- model_moves has none that is later
	prompt          boolean NOT NULL DEFAULT false,     -- has the tag mlflow.prompt.is_prompt = true
	-- Another one after each change of what registered-models/search shows of the model: memories of it go by this.
	-- A time, so that a database put back to an earlier state never says the same of something else.
	revision        bigint NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
	CONSTRAINT registered_models_name UNIQUE (name)
);
-- The two orders of searches, which show either kind: that of names has the models from registered_models_name.
CREATE INDEX registered_models_prompts ON registered_models (name) WHERE prompt;
CREATE INDEX registered_models_updated ON registered_models (prompt, last_updated_time DESC, name);

CREATE TABLE registered_model_tags (
	model           bigint NOT NULL REFERENCES registered_models ON DELETE CASCADE,
	key             text COLLATE "C" NOT NULL,
	value           text COLLATE "C" NOT NULL,
	PRIMARY KEY (model, key)
);
CREATE INDEX registered_model_tags_value ON registered_model_tags (key, left(value, 64));

-- stage: 0 None 1 Staging 2 Production 3 Archived. status: 1 PENDING_REGISTRATION 2 FAILED_REGISTRATION 3 READY.
-- No foreign key on model: who inserts holds the model's row, and the check would cost a tenth of the whole.
CREATE TABLE model_versions (
	model           bigint NOT NULL,
	version         integer NOT NULL,
	creation_time   bigint NOT NULL,
	last_updated_time bigint NOT NULL,
	description     text,
	user_id         text,
	stage           smallint NOT NULL DEFAULT 0,
	source          text COLLATE "C",
	storage_location text COLLATE "C",
	run_id          text COLLATE "C",
	run_link        text,
	status          smallint NOT NULL DEFAULT 3,
	status_message  text,
	model_id        text COLLATE "C",
	deleted         boolean NOT NULL DEFAULT false,
	PRIMARY KEY (model, version)
);
CREATE INDEX model_versions_updated ON model_versions (last_updated_time DESC) WHERE NOT deleted;
CREATE INDEX model_versions_created ON model_versions (creation_time DESC) WHERE NOT deleted;
CREATE INDEX model_versions_stage ON model_versions (model, stage, version) WHERE NOT deleted;
CREATE INDEX model_versions_run ON model_versions (run_id) WHERE run_id <> '' AND NOT deleted;
CREATE INDEX model_versions_source ON model_versions (left(source, 256)) WHERE NOT deleted;
CREATE INDEX model_versions_model_id ON model_versions (model_id) WHERE model_id IS NOT NULL AND NOT deleted;

CREATE TABLE model_version_tags (
	model           bigint NOT NULL,
	version         integer NOT NULL,
	key             text COLLATE "C" NOT NULL,
	value           text COLLATE "C" NOT NULL,
	PRIMARY KEY (model, version, key),
	FOREIGN KEY (model, version) REFERENCES model_versions ON DELETE CASCADE
);
CREATE INDEX model_version_tags_value ON model_version_tags (key, left(value, 64));

CREATE TABLE model_aliases (
	model           bigint NOT NULL REFERENCES registered_models ON DELETE CASCADE,
	alias           text COLLATE "C" NOT NULL,
	version         integer NOT NULL,
	previous        integer,                            -- where it pointed before: what a move comes from
	PRIMARY KEY (model, alias)
);
CREATE INDEX model_aliases_version ON model_aliases (model, version);

-- Every alias and stage move, for good: no foreign key, so that the history outlives the model; `name` is the model's
-- name now (a rename takes its history along). alias NULL: a stage move. from/to: versions of an alias (NULL: it
-- pointed nowhere), or stages of `version` (to NULL: it was deleted). A model's moves happen one after the other, under
-- the lock of its row, so their order is that of id.
CREATE TABLE model_moves (
	id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	model           bigint NOT NULL,
	name            text COLLATE "C" NOT NULL,
	moved_at        bigint NOT NULL,
	alias           text COLLATE "C",
	version         integer,
	from_version    integer,
	to_version      integer,
	from_stage      smallint,
	to_stage        smallint,
	user_id         text,
	reason          text
);
CREATE INDEX model_moves_name ON model_moves (name, id);
CREATE INDEX model_moves_alias ON model_moves (name, alias, id) WHERE alias IS NOT NULL;
