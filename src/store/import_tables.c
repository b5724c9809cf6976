/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "import_tables.h"

#include "store/event.h"

/* clang-format off */
#define ITEM(kind, id) " JOIN import_items i" kind " ON i" kind ".import = @ AND i" kind ".kind = " kind \
	" AND i" kind ".item = " id
#define OF_EXPERIMENT " JOIN experiments e ON e.id = s.experiment_id" ITEM(ITEM_EXPERIMENT, "e.id")
#define OF_RUN " JOIN runs r ON r.uuid = s.run::uuid" ITEM(ITEM_RUN, "r.id")
#define OF_KEY " JOIN keys k ON k.name = s.key"
#define OF_DATASET " JOIN datasets d ON d.experiment_id = s.experiment_id AND d.name = s.name AND d.digest = s.digest"
#define OF_LOGGED " JOIN logged_models m ON m.model_id = s.model_id" ITEM(ITEM_LOGGED_MODEL, "m.id")
#define OF_REGISTERED " JOIN registered_models m ON m.name = s.name" ITEM(ITEM_REGISTERED_MODEL, "m.id")
#define OF_WEBHOOK " JOIN webhooks w ON w.webhook_id = s.webhook" ITEM(ITEM_WEBHOOK, "w.id") \
	" JOIN (SELECT n - 2 AS event, entity, action FROM " EVENTS ") AS o" \
	" ON o.entity = s.entity AND o.action = s.action"

/* STORE_EVENTS: the first one has the number 0. */
#define EVENT_ENTITY(name, entity, action) ", '" entity "'"
#define EVENT_ACTION(name, entity, action) ", '" action "'"
#define EVENTS "unnest(ARRAY['' " STORE_EVENTS(EVENT_ENTITY) "], ARRAY['' " STORE_EVENTS(EVENT_ACTION) "])" \
	" WITH ORDINALITY AS q (entity, action, n)"

#define ADD_KEYS(stage) \
	"INSERT INTO keys (name) SELECT DISTINCT s.key FROM " stage " s" \
	" WHERE NOT EXISTS (SELECT 1 FROM keys k WHERE k.name = s.key) ON CONFLICT DO NOTHING"

#define FROM_ITEM(kind, table, alias) " FROM import_items i JOIN " table " " alias \
	" ON " alias ".id = i.item AND i.import = @ AND i.kind = " kind
/* Searches that remember the model look again. */
#define REVISED(table) "UPDATE registered_models m SET revision = DEFAULT FROM import_" table " s WHERE m.name = s.name"
#define LIFECYCLE(of) "CASE WHEN " of ".deleted THEN 'deleted' ELSE 'active' END"
#define HEX(uuid) "replace(" uuid "::text, '-', '')"
#define RUN_STATUSES "ARRAY['RUNNING', 'SCHEDULED', 'FINISHED', 'FAILED', 'KILLED']"
#define VERSION_STATUSES "ARRAY['PENDING_REGISTRATION', 'FAILED_REGISTRATION', 'READY']"
#define STAGES "ARRAY['None', 'Staging', 'Production', 'Archived']"
#define STAGE "coalesce(array_position(" STAGES ", s.stage) - 1, 0)"
#define NOW_MS "(extract(epoch FROM now()) * 1000)::bigint"

#define NEXT_ID(table) \
	"SELECT setval(pg_get_serial_sequence('" table "', 'id'), m + 1, false) AS rows" \
	" FROM (SELECT max(id) AS m FROM " table ") t, " table "_id_seq s WHERE m >= s.last_value"

/* A key and a value of something. */
#define PAIR(of, table, column, id) \
	.parents = of, \
	.target = table " t ON t." column " = " id " AND t.key = s.key", \
	.same = "t.value = s.value", \
	.into = table " (" column ", key, value)", \
	.values = id ", s.key, s.value"

const struct import_plan import_plans[IMPORT_TABLES] = {
	[IMPORT_EXPERIMENTS] = {
		.key = "id",
		/* The daemon makes a Default of its own at its first start: an untouched one gives way. */
		.before = "DELETE FROM experiments e USING import_experiments s WHERE e.id = 0 AND s.id = 0"
			" AND e.name = 'Default' AND NOT e.deleted"
			" AND (e.name, e.artifact_location, e.creation_time, e.last_update_time, 'active')"
			" <> (s.name, s.artifact_location, s.creation_time, s.last_update_time, s.lifecycle)"
			" AND NOT EXISTS (SELECT 1 FROM experiment_tags t WHERE t.experiment_id = 0)"
			" AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.experiment_id = 0)"
			" AND NOT EXISTS (SELECT 1 FROM logged_models m WHERE m.experiment_id = 0)"
			" AND NOT EXISTS (SELECT 1 FROM datasets d WHERE d.experiment_id = 0)",
		.parents = "",
		.target = "LATERAL (SELECT * FROM experiments e WHERE e.id = s.id"
			" UNION SELECT * FROM experiments e WHERE e.name = s.name) t ON true",
		.same = "t.id = s.id AND t.name = s.name AND t.artifact_location = s.artifact_location"
			" AND t.deleted = (s.lifecycle = 'deleted') AND t.creation_time = s.creation_time"
			" AND t.last_update_time = s.last_update_time",
		.into = "experiments (id, name, artifact_location, deleted, creation_time, last_update_time)",
		.values = "s.id, s.name, s.artifact_location, s.lifecycle = 'deleted', s.creation_time, s.last_update_time",
		.item = ITEM_EXPERIMENT ", t.id",
		.after = { NEXT_ID("experiments") },
		.read = "SELECT e.id, e.name, e.artifact_location, " LIFECYCLE("e") ", e.creation_time, e.last_update_time"
			FROM_ITEM(ITEM_EXPERIMENT, "experiments", "e"),
	},
	[IMPORT_EXPERIMENT_TAGS] = {
		.key = "experiment_id, key",
		PAIR(OF_EXPERIMENT, "experiment_tags", "experiment_id", "e.id"),
		.after = { "UPDATE experiments e SET revision = DEFAULT FROM import_experiment_tags s"
			" WHERE e.id = s.experiment_id" },
		.read = "SELECT t.experiment_id, t.key, t.value" FROM_ITEM(ITEM_EXPERIMENT, "experiments", "e")
			" JOIN experiment_tags t ON t.experiment_id = e.id",
	},
	[IMPORT_RUNS] = {
		.key = "uuid",
		.parents = OF_EXPERIMENT,
		.target = "runs t ON t.uuid = s.uuid::uuid",
		.same = "t.experiment_id = s.experiment_id AND t.name = s.name AND t.user_id = s.user_id"
			" AND t.status = array_position(" RUN_STATUSES ", s.status) AND t.deleted = (s.lifecycle = 'deleted')"
			" AND t.start_time = s.start_time AND t.end_time IS NOT DISTINCT FROM s.end_time"
			" AND t.deleted_time IS NOT DISTINCT FROM s.deleted_time"
			" AND coalesce(t.artifact_uri, run_uri(e.artifact_location, t.uuid)) = s.artifact_uri",
		.into = "runs (uuid, experiment_id, name, user_id, status, deleted, start_time, end_time, deleted_time,"
			" artifact_uri)",
		.values = "s.uuid::uuid, e.id, s.name, s.user_id, array_position(" RUN_STATUSES ", s.status),"
			" s.lifecycle = 'deleted', s.start_time, s.end_time, s.deleted_time,"
			" nullif(s.artifact_uri, run_uri(e.artifact_location, s.uuid::uuid))",
		.item = ITEM_RUN ", t.id",
		.read = "SELECT " HEX("r.uuid") ", r.experiment_id, r.name, r.user_id, (" RUN_STATUSES ")[r.status], "
			LIFECYCLE("r") ", r.start_time, r.end_time, r.deleted_time,"
			" coalesce(r.artifact_uri, run_uri(e.artifact_location, r.uuid))"
			FROM_ITEM(ITEM_RUN, "runs", "r") " JOIN experiments e ON e.id = r.experiment_id",
	},
	[IMPORT_LATEST] = {
		.key = "run, key",
		.repeats = "(a.step, a.timestamp, a.value, a.n) < (b.step, b.timestamp, b.value, b.n)",
		.before = ADD_KEYS("import_latest_metrics"),
		.parents = OF_RUN OF_KEY,
		.target = "latest t ON t.run_id = r.id AND t.key_id = k.id",
		.same = "t.value = s.value AND t.timestamp = s.timestamp AND t.step = s.step",
		.into = "latest (run_id, key_id, experiment_id, step, timestamp, value)",
		.values = "r.id, k.id, r.experiment_id, s.step, s.timestamp, s.value",
		.read = "SELECT " HEX("r.uuid") ", k.name, t.value, t.timestamp, t.step, false"
			FROM_ITEM(ITEM_RUN, "runs", "r") " JOIN latest t ON t.run_id = r.id JOIN keys k ON k.id = t.key_id",
	},
	[IMPORT_PARAMS] = {
		.key = "run, key",
		.before = ADD_KEYS("import_params"),
		.parents = OF_RUN OF_KEY,
		.target = "params t ON t.run_id = r.id AND t.key_id = k.id",
		.same = "t.value = s.value",
		.into = "params (run_id, key_id, experiment_id, value)",
		.values = "r.id, k.id, r.experiment_id, s.value",
		.read = "SELECT " HEX("r.uuid") ", k.name, t.value"
			FROM_ITEM(ITEM_RUN, "runs", "r") " JOIN params t ON t.run_id = r.id JOIN keys k ON k.id = t.key_id",
	},
	[IMPORT_TAGS] = {
		.key = "run, key",
		.before = ADD_KEYS("import_tags"),
		.parents = OF_RUN OF_KEY,
		.target = "tags t ON t.run_id = r.id AND t.key_id = k.id",
		.same = "t.value = s.value",
		.into = "tags (run_id, key_id, experiment_id, value)",
		.values = "r.id, k.id, r.experiment_id, s.value",
		.read = "SELECT " HEX("r.uuid") ", k.name, t.value"
			FROM_ITEM(ITEM_RUN, "runs", "r") " JOIN tags t ON t.run_id = r.id JOIN keys k ON k.id = t.key_id",
	},
	[IMPORT_DATASETS] = {
		.key = "experiment_id, name, digest",
		.parents = OF_EXPERIMENT,
		.target = "datasets t ON t.experiment_id = e.id AND t.name = s.name AND t.digest = s.digest",
		.same = "t.source_type = s.source_type AND t.source = s.source"
			" AND t.schema IS NOT DISTINCT FROM s.schema AND t.profile IS NOT DISTINCT FROM s.profile",
		.into = "datasets (experiment_id, name, digest, source_type, source, schema, profile)",
		.values = "e.id, s.name, s.digest, s.source_type, s.source, s.schema, s.profile",
		.read = "SELECT d.experiment_id, d.name, d.digest, d.source_type, d.source, d.schema, d.profile"
			FROM_ITEM(ITEM_EXPERIMENT, "experiments", "e") " JOIN datasets d ON d.experiment_id = e.id",
	},
	[IMPORT_INPUTS] = {
		.key = "run, experiment_id, name, digest",
		.parents = OF_RUN OF_DATASET,
		.target = "run_datasets t ON t.run_id = r.id AND t.dataset_id = d.id",
		.same = "true",
		.into = "run_datasets (run_id, dataset_id)",
		.values = "r.id, d.id",
		.read = "SELECT " HEX("r.uuid") ", d.experiment_id, d.name, d.digest" FROM_ITEM(ITEM_RUN, "runs", "r")
			" JOIN run_datasets t ON t.run_id = r.id JOIN datasets d ON d.id = t.dataset_id",
	},
	[IMPORT_INPUT_TAGS] = {
		.key = "run, experiment_id, name, digest, key",
		.parents = OF_RUN OF_DATASET " JOIN run_datasets x ON x.run_id = r.id AND x.dataset_id = d.id",
		.target = "run_dataset_tags t ON t.run_id = r.id AND t.dataset_id = d.id AND t.name = s.key",
		.same = "t.value = s.value",
		.into = "run_dataset_tags (run_id, dataset_id, name, value)",
		.values = "r.id, d.id, s.key, s.value",
		.read = "SELECT " HEX("r.uuid") ", d.experiment_id, d.name, d.digest, t.name, t.value"
			FROM_ITEM(ITEM_RUN, "runs", "r")
			" JOIN run_dataset_tags t ON t.run_id = r.id JOIN datasets d ON d.id = t.dataset_id",
	},
	[IMPORT_LOGGED_MODELS] = {
		.key = "model_id",
		.parents = OF_EXPERIMENT,
		.target = "logged_models t ON t.model_id = s.model_id",
		.same = "t.experiment_id = s.experiment_id AND t.name = s.name AND t.artifact_location = s.artifact_location"
			" AND t.creation_time = s.creation_time AND t.last_updated_time = s.last_updated_time"
			" AND t.status = s.status AND t.status_message IS NOT DISTINCT FROM s.status_message"
			" AND t.deleted = (s.lifecycle = 'deleted') AND t.model_type IS NOT DISTINCT FROM s.model_type"
			" AND t.source_run_id IS NOT DISTINCT FROM s.source_run_id",
		.into = "logged_models (model_id, experiment_id, name, artifact_location, creation_time, last_updated_time,"
			" status, status_message, deleted, model_type, source_run_id)",
		.values = "s.model_id, e.id, s.name, s.artifact_location, s.creation_time, s.last_updated_time,"
			" s.status::smallint, s.status_message, s.lifecycle = 'deleted', s.model_type, s.source_run_id",
		.item = ITEM_LOGGED_MODEL ", t.id",
		.read = "SELECT m.model_id, m.experiment_id, m.name, m.artifact_location, m.creation_time,"
			" m.last_updated_time, m.status::bigint, m.status_message, " LIFECYCLE("m") ", m.model_type,"
			" m.source_run_id" FROM_ITEM(ITEM_LOGGED_MODEL, "logged_models", "m"),
	},
	[IMPORT_LOGGED_MODEL_PARAMS] = {
		.key = "model_id, key",
		PAIR(OF_LOGGED, "logged_model_params", "model", "m.id"),
		.read = "SELECT m.model_id, t.key, t.value" FROM_ITEM(ITEM_LOGGED_MODEL, "logged_models", "m")
			" JOIN logged_model_params t ON t.model = m.id",
	},
	[IMPORT_LOGGED_MODEL_TAGS] = {
		.key = "model_id, key",
		PAIR(OF_LOGGED, "logged_model_tags", "model", "m.id"),
		.read = "SELECT m.model_id, t.key, t.value" FROM_ITEM(ITEM_LOGGED_MODEL, "logged_models", "m")
			" JOIN logged_model_tags t ON t.model = m.id",
	},
	[IMPORT_LOGGED_MODEL_METRICS] = {
		.key = "model_id, key, step, run, dataset_name, dataset_digest, timestamp",
		.parents = OF_LOGGED OF_RUN,
		.target = "logged_model_metrics t ON t.model = m.id AND t.key = s.key AND t.step = s.step AND t.run_id = r.id"
			" AND t.dataset_name = s.dataset_name AND t.dataset_digest = s.dataset_digest"
			" AND t.timestamp = s.timestamp",
		.same = "t.value = s.value",
		.into = "logged_model_metrics (model, run_id, key, step, timestamp, value, dataset_name, dataset_digest)",
		.values = "m.id, r.id, s.key, s.step, s.timestamp, s.value, s.dataset_name, s.dataset_digest",
		.read = "SELECT m.model_id, " HEX("r.uuid") ", t.key, t.value, t.timestamp, t.step, t.dataset_name,"
			" t.dataset_digest" FROM_ITEM(ITEM_LOGGED_MODEL, "logged_models", "m")
			" JOIN logged_model_metrics t ON t.model = m.id JOIN runs r ON r.id = t.run_id",
	},
	[IMPORT_RUN_MODELS] = {
		.key = "run, output, model_id",
		.parents = OF_RUN,
		.target = "run_models t ON t.run_id = r.id AND t.output = s.output AND t.model_id = s.model_id",
		.same = "t.step = s.step",
		.into = "run_models (run_id, model_id, output, step)",
		.values = "r.id, s.model_id, s.output, s.step",
		.read = "SELECT " HEX("r.uuid") ", t.model_id, t.output, t.step" FROM_ITEM(ITEM_RUN, "runs", "r")
			" JOIN run_models t ON t.run_id = r.id",
	},
	[IMPORT_REGISTERED_MODELS] = {
		.key = "name",
		.parents = "",
		.target = "registered_models t ON t.name = s.name",
		.same = "t.creation_time = s.creation_time AND t.last_updated_time = s.last_updated_time"
			" AND t.description IS NOT DISTINCT FROM s.description",
		.into = "registered_models (name, creation_time, last_updated_time, description)",
		.values = "s.name, s.creation_time, s.last_updated_time, s.description",
		.item = ITEM_REGISTERED_MODEL ", t.id",
		.read = "SELECT m.name, m.creation_time, m.last_updated_time, m.description"
			FROM_ITEM(ITEM_REGISTERED_MODEL, "registered_models", "m"),
	},
	[IMPORT_REGISTERED_MODEL_TAGS] = {
		.key = "name, key",
		PAIR(OF_REGISTERED, "registered_model_tags", "model", "m.id"),
		.after = { "UPDATE registered_models m SET prompt = true FROM registered_model_tags t WHERE t.model = m.id"
			" AND t.key = 'mlflow.prompt.is_prompt' AND lower(t.value) = 'true' AND NOT m.prompt",
			REVISED("registered_model_tags") },
		.read = "SELECT m.name, t.key, t.value" FROM_ITEM(ITEM_REGISTERED_MODEL, "registered_models", "m")
			" JOIN registered_model_tags t ON t.model = m.id",
	},
	[IMPORT_MODEL_VERSIONS] = {
		.key = "name, version",
		.parents = OF_REGISTERED,
		.target = "model_versions t ON t.model = m.id AND t.version = s.version",
		.same = "t.creation_time = s.creation_time AND t.last_updated_time = s.last_updated_time"
			" AND t.description IS NOT DISTINCT FROM s.description AND t.user_id IS NOT DISTINCT FROM s.user_id"
			" AND t.stage = " STAGE " AND t.deleted = (s.stage = 'Deleted_Internal')"
			" AND t.source IS NOT DISTINCT FROM s.source"
			" AND t.storage_location IS NOT DISTINCT FROM s.storage_location"
			" AND t.run_id IS NOT DISTINCT FROM s.run_id AND t.run_link IS NOT DISTINCT FROM s.run_link"
			" AND t.status = array_position(" VERSION_STATUSES ", s.status)"
			" AND t.status_message IS NOT DISTINCT FROM s.status_message"
			" AND t.model_id IS NOT DISTINCT FROM s.model_id",
		.into = "model_versions (model, version, creation_time, last_updated_time, description, user_id, stage,"
			" source, storage_location, run_id, run_link, status, status_message, model_id, deleted)",
		.values = "m.id, s.version, s.creation_time, s.last_updated_time, s.description, s.user_id, " STAGE ","
			" s.source, s.storage_location, s.run_id, s.run_link, array_position(" VERSION_STATUSES ", s.status),"
			" s.status_message, s.model_id, s.stage = 'Deleted_Internal'",
		.returning = "model, version, stage",
		.also = ", y AS (INSERT INTO model_moves (model, name, moved_at, version, from_stage, to_stage, reason)"
			" SELECT x.model, m.name, " NOW_MS ", x.version, 0, x.stage, 'imported'"
			" FROM x JOIN registered_models m ON m.id = x.model WHERE x.stage > 0)",
		.after = { "UPDATE registered_models m SET last_version = v.last FROM (SELECT model, max(version) AS last"
			" FROM model_versions GROUP BY model) v WHERE v.model = m.id AND v.last > m.last_version",
			REVISED("model_versions") },
		.read = "SELECT m.name, v.version::bigint, v.creation_time, v.last_updated_time, v.description, v.user_id,"
			" CASE WHEN v.deleted THEN 'Deleted_Internal' ELSE (" STAGES ")[v.stage + 1] END, v.source,"
			" v.storage_location, v.run_id, v.run_link, (" VERSION_STATUSES ")[v.status], v.status_message, v.model_id"
			FROM_ITEM(ITEM_REGISTERED_MODEL, "registered_models", "m") " JOIN model_versions v ON v.model = m.id",
	},
	[IMPORT_MODEL_VERSION_TAGS] = {
		.key = "name, version, key",
		.parents = OF_REGISTERED " JOIN model_versions v ON v.model = m.id AND v.version = s.version",
		.target = "model_version_tags t ON t.model = m.id AND t.version = s.version AND t.key = s.key",
		.same = "t.value = s.value",
		.into = "model_version_tags (model, version, key, value)",
		.values = "m.id, v.version, s.key, s.value",
		.after = { REVISED("model_version_tags") },
		.read = "SELECT m.name, t.version::bigint, t.key, t.value"
			FROM_ITEM(ITEM_REGISTERED_MODEL, "registered_models", "m")
			" JOIN model_version_tags t ON t.model = m.id",
	},
	[IMPORT_MODEL_ALIASES] = {
		.key = "name, alias",
		.parents = OF_REGISTERED " JOIN model_versions v ON v.model = m.id AND v.version = s.version",
		.target = "model_aliases t ON t.model = m.id AND t.alias = s.alias",
		.same = "t.version = s.version",
		.into = "model_aliases (model, alias, version)",
		.values = "m.id, s.alias, v.version",
		.returning = "model, alias, version",
		.also = ", y AS (INSERT INTO model_moves (model, name, moved_at, alias, to_version, reason)"
			" SELECT x.model, m.name, " NOW_MS ", x.alias, x.version, 'imported'"
			" FROM x JOIN registered_models m ON m.id = x.model)",
		.after = { REVISED("registered_model_aliases") },
		.read = "SELECT m.name, t.alias, t.version::bigint"
			FROM_ITEM(ITEM_REGISTERED_MODEL, "registered_models", "m") " JOIN model_aliases t ON t.model = m.id",
	},
	[IMPORT_WEBHOOKS] = {
		.key = "id",
		.parents = "",
		.target = "webhooks t ON t.webhook_id = s.id",
		.same = "t.name = s.name AND t.description IS NOT DISTINCT FROM s.description AND t.url = s.url"
			" AND t.active = (s.status = 'ACTIVE') AND t.secret IS NOT DISTINCT FROM s.secret"
			" AND t.creation_time = s.creation_time AND t.last_updated_time = s.last_updated_time",
		.into = "webhooks (webhook_id, name, description, url, active, secret, creation_time, last_updated_time)",
		.values = "s.id, s.name, s.description, s.url, s.status = 'ACTIVE', s.secret, s.creation_time,"
			" s.last_updated_time",
		.item = ITEM_WEBHOOK ", t.id",
		.read = "SELECT w.webhook_id, w.name, w.description, w.url,"
			" CASE WHEN w.active THEN 'ACTIVE' ELSE 'DISABLED' END, w.secret, w.creation_time, w.last_updated_time"
			FROM_ITEM(ITEM_WEBHOOK, "webhooks", "w"),
	},
	[IMPORT_WEBHOOK_EVENTS] = {
		.key = "webhook, entity, action",
		.parents = OF_WEBHOOK,
		.target = "webhook_events t ON t.webhook = w.id AND t.event = o.event",
		.same = "true",
		.into = "webhook_events (webhook, event, place)",
		.values = "w.id, o.event, row_number() OVER (PARTITION BY w.id ORDER BY s.n)",
		.read = "SELECT w.webhook_id, o.entity, o.action" FROM_ITEM(ITEM_WEBHOOK, "webhooks", "w")
			" JOIN webhook_events t ON t.webhook = w.id"
			" JOIN (SELECT n - 2 AS event, entity, action FROM " EVENTS ") AS o ON o.event = t.event",
	},
	[IMPORT_USERS] = {
		.key = "id",
		.parents = "",
		.target = "LATERAL (SELECT * FROM users u WHERE u.id = s.id"
			" UNION SELECT * FROM users u WHERE u.username = s.name) t ON true",
		.same = "t.id = s.id AND t.username = s.name AND t.password_hash = s.password_hash AND t.is_admin = s.admin",
		.into = "users (id, username, password_hash, is_admin)",
		.values = "s.id, s.name, s.password_hash, s.admin",
		.item = ITEM_USER ", t.id",
		.after = { NEXT_ID("users") },
		.read = "SELECT u.id, u.username, u.password_hash, u.is_admin" FROM_ITEM(ITEM_USER, "users", "u"),
	},
	[IMPORT_ROLES] = {
		.key = "id",
		.parents = "",
		.target = "LATERAL (SELECT * FROM roles o WHERE o.id = s.id UNION SELECT * FROM roles o"
			" WHERE o.workspace = 'default' AND o.name = s.name) t ON true",
		.same = "t.id = s.id AND t.name = s.name AND t.description IS NOT DISTINCT FROM s.description",
		.into = "roles (id, name, description)",
		.values = "s.id, s.name, s.description",
		.item = ITEM_ROLE ", t.id",
		.after = { NEXT_ID("roles") },
		.read = "SELECT o.id, o.name, o.description" FROM_ITEM(ITEM_ROLE, "roles", "o"),
	},
	[IMPORT_ROLE_PERMISSIONS] = {
		.key = "id",
		.parents = " JOIN roles o ON o.id = s.role_id" ITEM(ITEM_ROLE, "o.id"),
		.target = "LATERAL (SELECT * FROM role_permissions p WHERE p.id = s.id UNION SELECT * FROM role_permissions p"
			" WHERE p.role_id = o.id AND p.resource_type = s.resource_type"
			" AND p.resource_pattern = s.resource_pattern) t ON true",
		.same = "t.id = s.id AND t.role_id = s.role_id AND t.resource_type = s.resource_type"
			" AND t.resource_pattern = s.resource_pattern AND t.permission = s.permission",
		.into = "role_permissions (id, role_id, resource_type, resource_pattern, permission)",
		.values = "s.id, o.id, s.resource_type, s.resource_pattern, s.permission",
		.after = { NEXT_ID("role_permissions") },
		.read = "SELECT p.id, p.role_id, p.resource_type, p.resource_pattern, p.permission"
			FROM_ITEM(ITEM_ROLE, "roles", "o") " JOIN role_permissions p ON p.role_id = o.id",
	},
	[IMPORT_USER_ROLES] = {
		.key = "id",
		.parents = " JOIN roles o ON o.id = s.role_id" ITEM(ITEM_ROLE, "o.id")
			" JOIN users u ON u.id = s.user_id" ITEM(ITEM_USER, "u.id"),
		.target = "LATERAL (SELECT * FROM user_role_assignments a WHERE a.id = s.id UNION"
			" SELECT * FROM user_role_assignments a WHERE a.user_id = u.id AND a.role_id = o.id) t ON true",
		.same = "t.id = s.id AND t.user_id = s.user_id AND t.role_id = s.role_id",
		.into = "user_role_assignments (id, user_id, role_id)",
		.values = "s.id, u.id, o.id",
		.after = { NEXT_ID("user_role_assignments") },
		.read = "SELECT a.id, a.user_id, a.role_id" FROM_ITEM(ITEM_USER, "users", "u")
			" JOIN user_role_assignments a ON a.user_id = u.id",
	},
};
/* clang-format on */
