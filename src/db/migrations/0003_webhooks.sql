-- Webhooks and what is to be, and was, sent to them. event: its place in STORE_EVENTS (include/store/event.h), which
-- only grows at its end. secret: a Fernet token, never the secret.
CREATE TABLE webhooks (
	id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	webhook_id      text COLLATE "C" NOT NULL,
	name            text NOT NULL,
	description     text,
	url             text NOT NULL,
	active          boolean NOT NULL DEFAULT true,
	secret          text,
	creation_time   bigint NOT NULL,
	last_updated_time bigint NOT NULL,
	CONSTRAINT webhooks_webhook_id UNIQUE (webhook_id)
);
CREATE INDEX webhooks_created ON webhooks (creation_time DESC, id DESC);

CREATE TABLE webhook_events (
	webhook         bigint NOT NULL REFERENCES webhooks ON DELETE CASCADE,
	event           smallint NOT NULL,
	place           smallint NOT NULL,      -- as the client listed them
	PRIMARY KEY (webhook, event)
);
CREATE INDEX webhook_events_event ON webhook_events (event, webhook);

-- The outbox and, afterwards, the log. No foreign key: a change of the registry must never wait for, or fail with, a
-- webhook that is being deleted; rows without a webhook are swept.
-- status: 0 PENDING 1 DELIVERED 2 FAILED 3 DROPPED.
CREATE TABLE webhook_deliveries (
	id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	delivery_id     uuid NOT NULL DEFAULT gen_random_uuid(),
	webhook         bigint NOT NULL,
	event           smallint NOT NULL,
	data            text NOT NULL,          -- JSON
	queued_us       bigint NOT NULL,        -- microseconds since 1970
	status          smallint NOT NULL DEFAULT 0,
	attempts        integer NOT NULL DEFAULT 0,     -- all of them
	tries           integer NOT NULL DEFAULT 0,     -- since it was queued or replayed
	next_time       bigint NOT NULL DEFAULT 0,
	ended_time      bigint,
	CONSTRAINT webhook_deliveries_delivery_id UNIQUE (delivery_id)
);
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (webhook, id) WHERE status = 0;
CREATE INDEX webhook_deliveries_log ON webhook_deliveries (webhook, id DESC);

CREATE TABLE webhook_attempts (
	delivery        bigint NOT NULL REFERENCES webhook_deliveries ON DELETE CASCADE,
	attempt         integer NOT NULL,
	started_time    bigint NOT NULL,
	duration_ms     bigint NOT NULL,
	response_status integer,
	error           text,
	PRIMARY KEY (delivery, attempt)
);
