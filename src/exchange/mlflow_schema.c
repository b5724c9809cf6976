/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "mlflow_schema.h"

#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"

/* ---- revisions: each is followed by the next; release: the first one that has it ---- */

static const struct {
	const char *revision, *release;
} revisions[] = {
	{ "acf3f17fdcc7", "2.10" }, { "867495a8f9d4", "2.14" }, { "5b0e9adcef9c", "2.14" }, { "4465047574b1", "2.22" },
	{ "f5a4f2784254", "2.22" }, { "0584bdc529eb", "2.22" }, { "400f98739977", "3.0" },  { "6953534de441", "3.0" },
	{ "bda7b8c39065", "3.0" },  { "cbc13b556ace", "3.3" },  { "770bee3ae1dd", "3.3" },  { "a1b2c3d4e5f6", "3.3" },
	{ "de4033877273", "3.3" },  { "1a0cddfcaa16", "3.3" },  { "534353b11cbc", "3.6" },  { "71994744cf8e", "3.6" },
	{ "3da73c924c2f", "3.6" },  { "bf29a5ff90ea", "3.6" },  { "1bd49d398cd23", "3.9" }, { "b7c8d9e0f1a2", "3.9" },
	{ "5d2d30f0abce", "3.9" },  { "c9d4e5f6a7b8", "3.9" },  { "2c33131f4dae", "3.9" },  { "d3e4f5a6b7c8", "3.9" },
	{ "d0e1f2a3b4c5", "3.10" }, { "c8d9e0f1a2b3", "3.10" }, { "1b5f0d9ad7c1", "3.10" }, { "e1f2a3b4c5d6", "3.12" },
	{ "76601a5f987d", "3.12" }, { "c3d6457b6d8a", "3.12" }, { "a5b4c3d2e1f0", "3.12" }, { "ae8bbe7743c9", "3.12" },
	{ "7d34483879f0", "3.12" }, { "da6fb0208061", "3.14" }, { "89d3d66ed43f", "3.14" }, { "b7e4c1a90f23", "3.14" },
	{ "a8b9c0d1e2f3", "3.15" }, { "c1d2e3f4a5b6", "3.15" }, { "c3d9e7f1a2b4", "3.15" }, { "6f8d9c3b2a1e", "3.15" },
	{ "1971f2d9a75b", "3.16" }, { "17e22815139b", "3.16" }, { "b7e2c1a4d9f3", "3.16" }, { "75868b020152", "3.17" },
	{ "dc11669786a5", "3.17" },
};

/* Before 2.10. */
static const char *const old_revisions[] = {
	"451aebb31d03", "90e64c465722", "181f10493468", "df50e92ffc5e", "7ac759974ad8", "89d4b8295536", "2b4d017a5e9b",
	"cfd24bdc0731", "0a8213491aaa", "728d730b5ebd", "27a6a02d2cf1", "84291f40a231", "a8c4a736bde6", "39d1c3be5f05",
	"c48cb773bb87", "bd07f7e963c5", "0c779009ac13", "cc1f77228345", "97727af70f4d", "3500859a5d39", "7f2a7d5fae7d",
	"2d6e25af4d3e",
};

static const char *const auth_revisions[] = {
	"8606fa83a998", "0965eb92f5f0", "a1b2c3d4e5f6", "2ed73881770d", "c3d4e5f6a7b8", "e5f6a7b8c9d0", "f1a2b3c4d5e6",
};

/* ---- tables ---- */

enum scope { ANY_WORKSPACE, OF_EXPERIMENT, OF_RUN, OWN };

struct expression {
	const char *sql;
	const char *needs;              /* a table or column; NULL: always there */
	const char *otherwise;
};

struct table {
	const char *needs;
	const char *from;
	const char *where;              /* NULL: all */
	enum scope scope;               /* whose workspace counts; the id is the first column, or */
	const char *owner;              /* this */
	struct expression columns[SOURCE_COLUMNS_MAX];
};

/* clang-format off */
#define INPUT_OF_DATASET "s.source_type = 'DATASET' AND s.destination_type = 'RUN'"
#define INPUT_OF_MODEL \
	"(s.source_type = 'RUN_INPUT' AND s.destination_type = 'MODEL_INPUT'" \
	" OR s.source_type = 'RUN_OUTPUT' AND s.destination_type = 'MODEL_OUTPUT')"
#define VALID_PERMISSION "p.permission IN ('READ', 'USE', 'EDIT', 'MANAGE')"
/* Before there were roles: what a user was granted, as MLflow's own migration makes it a role of that user. */
#define GRANTS \
	"(SELECT row_number() OVER (ORDER BY user_id, type, pattern) AS id, user_id, type, pattern, permission FROM (" \
	"SELECT p.user_id, 'experiment' AS type, p.experiment_id AS pattern, p.permission" \
	" FROM experiment_permissions p WHERE " VALID_PERMISSION \
	" UNION ALL SELECT p.user_id, 'registered_model', p.name, p.permission" \
	" FROM registered_model_permissions p WHERE " VALID_PERMISSION ") g) s"
#define GRANTED_USERS \
	"(SELECT u.id FROM users u WHERE EXISTS (SELECT 1 FROM experiment_permissions p WHERE p.user_id = u.id AND " \
	VALID_PERMISSION ") OR EXISTS (SELECT 1 FROM registered_model_permissions p WHERE p.user_id = u.id AND " \
	VALID_PERMISSION ")) s"

static const struct table tables[SOURCE_TABLES] = {
	[SOURCE_EXPERIMENTS] = { "experiments", "experiments s", NULL, OWN, NULL, {
		{ .sql = "s.experiment_id" }, { .sql = "s.name" }, { .sql = "s.artifact_location" }, { .sql = "s.lifecycle_stage" },
		{ "s.creation_time", "experiments.creation_time", "NULL" },
		{ "s.last_update_time", "experiments.last_update_time", "NULL" } } },
	[SOURCE_EXPERIMENT_TAGS] = { "experiment_tags", "experiment_tags s", NULL, OF_EXPERIMENT, NULL, {
		{ .sql = "s.experiment_id" }, { .sql = "s.key" }, { .sql = "s.value" } } },
	[SOURCE_RUNS] = { "runs", "runs s", NULL, OF_EXPERIMENT, "s.experiment_id", {
		{ .sql = "s.run_uuid" }, { .sql = "s.experiment_id" },
		{ .sql = "coalesce(nullif(s.name, ''), (SELECT max(t.value) FROM tags t WHERE t.run_uuid = s.run_uuid"
		  " AND t.key = 'mlflow.runName'), '')" },
		{ .sql = "s.user_id" }, { .sql = "s.status" }, { .sql = "s.lifecycle_stage" }, { .sql = "s.start_time" }, { .sql = "s.end_time" },
		{ "s.deleted_time", "runs.deleted_time", "NULL" }, { .sql = "s.artifact_uri" } } },
	[SOURCE_METRICS] = { "metrics", "metrics s", NULL, OF_RUN, NULL, {
		{ .sql = "s.run_uuid" }, { .sql = "s.key" }, { .sql = "s.value" }, { .sql = "s.timestamp" },
		{ "s.step", "metrics.step", "0" }, { "s.is_nan", "metrics.is_nan", "false" } } },
	[SOURCE_LATEST] = { "latest_metrics", "latest_metrics s", NULL, OF_RUN, NULL, {
		{ .sql = "s.run_uuid" }, { .sql = "s.key" }, { .sql = "s.value" }, { .sql = "s.timestamp" }, { .sql = "s.step" }, { .sql = "s.is_nan" } } },
	[SOURCE_PARAMS] = { "params", "params s", NULL, OF_RUN, NULL, {
		{ .sql = "s.run_uuid" }, { .sql = "s.key" }, { .sql = "s.value" } } },
	[SOURCE_TAGS] = { "tags", "tags s", NULL, OF_RUN, NULL, {
		{ .sql = "s.run_uuid" }, { .sql = "s.key" }, { .sql = "s.value" } } },
	[SOURCE_DATASETS] = { "datasets", "datasets s", NULL, OF_EXPERIMENT, NULL, {
		{ .sql = "s.experiment_id" }, { .sql = "s.name" }, { .sql = "s.digest" }, { .sql = "s.dataset_source_type" }, { .sql = "s.dataset_source" },
		{ .sql = "s.dataset_schema" }, { .sql = "s.dataset_profile" } } },
	[SOURCE_INPUTS] = { "inputs", "inputs s LEFT JOIN datasets d ON d.dataset_uuid = s.source_id",
		INPUT_OF_DATASET, OF_RUN, NULL, {
		{ .sql = "s.destination_id" }, { .sql = "d.experiment_id" }, { .sql = "d.name" }, { .sql = "d.digest" } } },
	[SOURCE_INPUT_TAGS] = { "input_tags", "input_tags t JOIN inputs s ON s.input_uuid = t.input_uuid"
		" LEFT JOIN datasets d ON d.dataset_uuid = s.source_id", INPUT_OF_DATASET, OF_RUN, NULL, {
		{ .sql = "s.destination_id" }, { .sql = "d.experiment_id" }, { .sql = "d.name" }, { .sql = "d.digest" }, { .sql = "t.name" }, { .sql = "t.value" } } },
	[SOURCE_LOGGED_MODELS] = { "logged_models", "logged_models s", NULL, OF_EXPERIMENT, "s.experiment_id", {
		{ .sql = "s.model_id" }, { .sql = "s.experiment_id" }, { .sql = "s.name" }, { .sql = "s.artifact_location" },
		{ .sql = "s.creation_timestamp_ms" }, { .sql = "s.last_updated_timestamp_ms" }, { .sql = "s.status" }, { .sql = "s.status_message" },
		{ .sql = "s.lifecycle_stage" }, { .sql = "s.model_type" }, { .sql = "s.source_run_id" } } },
	[SOURCE_LOGGED_MODEL_PARAMS] = { "logged_model_params", "logged_model_params s", NULL,
		OF_EXPERIMENT, "s.experiment_id", { { .sql = "s.model_id" }, { .sql = "s.param_key" }, { .sql = "s.param_value" } } },
	[SOURCE_LOGGED_MODEL_TAGS] = { "logged_model_tags", "logged_model_tags s", NULL,
		OF_EXPERIMENT, "s.experiment_id", { { .sql = "s.model_id" }, { .sql = "s.tag_key" }, { .sql = "s.tag_value" } } },
	[SOURCE_LOGGED_MODEL_METRICS] = { "logged_model_metrics", "logged_model_metrics s", NULL,
		OF_EXPERIMENT, "s.experiment_id", {
		{ .sql = "s.model_id" }, { .sql = "s.run_id" }, { .sql = "s.metric_name" }, { .sql = "s.metric_value" }, { .sql = "s.metric_timestamp_ms" },
		{ .sql = "s.metric_step" }, { .sql = "s.dataset_name" }, { .sql = "s.dataset_digest" } } },
	[SOURCE_RUN_MODELS] = { "inputs", "inputs s", INPUT_OF_MODEL, OF_RUN, NULL, {
		{ .sql = "s.source_id" }, { .sql = "s.destination_id" }, { .sql = "s.source_type = 'RUN_OUTPUT'" },
		{ "s.step", "inputs.step", "0" } } },
	[SOURCE_REGISTERED_MODELS] = { "registered_models", "registered_models s", NULL, OWN, NULL, {
		{ .sql = "s.name" }, { .sql = "s.creation_time" }, { .sql = "s.last_updated_time" }, { .sql = "s.description" } } },
	[SOURCE_REGISTERED_MODEL_TAGS] = { "registered_model_tags", "registered_model_tags s", NULL, OWN, NULL, {
		{ .sql = "s.name" }, { .sql = "s.key" }, { .sql = "s.value" } } },
	[SOURCE_MODEL_VERSIONS] = { "model_versions", "model_versions s", NULL, OWN, NULL, {
		{ .sql = "s.name" }, { .sql = "s.version" }, { .sql = "s.creation_time" }, { .sql = "s.last_updated_time" }, { .sql = "s.description" },
		{ .sql = "s.user_id" }, { .sql = "s.current_stage" }, { .sql = "s.source" },
		{ "s.storage_location", "model_versions.storage_location", "NULL" }, { .sql = "s.run_id" },
		{ "s.run_link", "model_versions.run_link", "NULL" }, { .sql = "s.status" }, { .sql = "s.status_message" }, { .sql = "NULL" } } },
	[SOURCE_MODEL_VERSION_TAGS] = { "model_version_tags", "model_version_tags s", NULL, OWN, NULL, {
		{ .sql = "s.name" }, { .sql = "s.version" }, { .sql = "s.key" }, { .sql = "s.value" } } },
	[SOURCE_MODEL_ALIASES] = { "registered_model_aliases", "registered_model_aliases s", NULL, OWN, NULL, {
		{ .sql = "s.name" }, { .sql = "s.alias" }, { .sql = "s.version" } } },
	[SOURCE_WEBHOOKS] = { "webhooks", "webhooks s", "s.deleted_timestamp IS NULL", OWN, NULL, {
		{ .sql = "s.webhook_id" }, { .sql = "s.name" }, { .sql = "s.description" }, { .sql = "s.url" }, { .sql = "s.status" }, { .sql = "s.secret" },
		{ .sql = "s.creation_timestamp" }, { .sql = "s.last_updated_timestamp" } } },
	[SOURCE_WEBHOOK_EVENTS] = { "webhook_events", "webhook_events s JOIN webhooks w ON w.webhook_id = s.webhook_id",
		"w.deleted_timestamp IS NULL", ANY_WORKSPACE, NULL, {
		{ .sql = "s.webhook_id" }, { .sql = "s.entity" }, { .sql = "s.action" } } },
	[SOURCE_USERS] = { "users.password_hash", "users s", NULL, ANY_WORKSPACE, NULL, {
		{ .sql = "s.id" }, { .sql = "s.username" }, { .sql = "s.password_hash" }, { .sql = "s.is_admin" } } },
	[SOURCE_ROLES] = { "roles", "roles s", "s.workspace = 'default'", ANY_WORKSPACE, NULL, {
		{ .sql = "s.id" }, { .sql = "s.name" }, { .sql = "s.description" } } },
	[SOURCE_ROLE_PERMISSIONS] = { "role_permissions", "role_permissions s JOIN roles r ON r.id = s.role_id",
		"r.workspace = 'default'", ANY_WORKSPACE, NULL, {
		{ .sql = "s.id" }, { .sql = "s.role_id" }, { .sql = "s.resource_type" }, { .sql = "s.resource_pattern" }, { .sql = "s.permission" } } },
	[SOURCE_USER_ROLES] = { "user_role_assignments", "user_role_assignments s JOIN roles r ON r.id = s.role_id",
		"r.workspace = 'default'", ANY_WORKSPACE, NULL, {
		{ .sql = "s.id" }, { .sql = "s.user_id" }, { .sql = "s.role_id" } } },
};

/* In the place of roles, where there are none yet. */
static const struct table grants[] = {
	{ "experiment_permissions", GRANTED_USERS, NULL, ANY_WORKSPACE, NULL, {
		{ .sql = "s.id" }, { .sql = "'__user_' || s.id || '__'" }, { .sql = "NULL" } } },
	{ "experiment_permissions", GRANTS, NULL, ANY_WORKSPACE, NULL, {
		{ .sql = "s.id" }, { .sql = "s.user_id" },
		{ "CASE WHEN s.type = 'registered_model' AND EXISTS (SELECT 1 FROM registered_model_tags t"
		  " WHERE t.name = s.pattern AND t.key = 'mlflow.prompt.is_prompt' AND lower(t.value) = 'true')"
		  " THEN 'prompt' ELSE s.type END", "registered_model_tags", "s.type" },
		{ .sql = "s.pattern" }, { .sql = "s.permission" } } },
	{ "experiment_permissions", GRANTED_USERS, NULL, ANY_WORKSPACE, NULL, {
		{ .sql = "s.id" }, { .sql = "s.id" }, { .sql = "s.id" } } },
};

/* Taken, or of no interest. */
static const char *const known_tables[] = {
	"alembic_version", "alembic_version_auth", "inputs", "workspaces", "experiment_permissions",
	"registered_model_permissions", "workspace_permissions", "sqlite_sequence", "sqlite_stat1", "sqlite_stat4",
};
/* clang-format on */

/* ---- the catalog ---- */

struct mlflow_catalog {
	enum mlflow_dialect dialect;
	bool several_workspaces;
	struct list names;              /* const char *: "runs", "runs.name" */
	size_t capacity;
};

struct mlflow_catalog *mlflow_catalog_new(struct ctx *c, enum mlflow_dialect dialect)
{
	struct mlflow_catalog *g = NEW(c->arena, struct mlflow_catalog);

	g->dialect = dialect;
	return g;
}

bool mlflow_has(const struct mlflow_catalog *g, const char *name)
{
	for (size_t i = 0; i < g->names.count; i++) {
		if (!strcmp(*LIST_AT(const char *, &g->names, i), name))
			return true;
	}
	return false;
}

static void add_name(struct ctx *c, struct mlflow_catalog *g, const char *name)
{
	*(const char **)list_add(c->arena, &g->names, &g->capacity, sizeof(char *)) = name;
}

void mlflow_catalog_add(struct ctx *c, struct mlflow_catalog *g, const char *table, const char *column)
{
	if (!mlflow_has(g, table))
		add_name(c, g, arena_strdup(c->arena, table));
	add_name(c, g, arena_printf(c->arena, "%s.%s", table, column));
}

void mlflow_catalog_workspaces(struct mlflow_catalog *g, bool several)
{
	g->several_workspaces = several;
}

/* ---- revisions ---- */

const char *mlflow_revision(const struct mlflow_catalog *g, bool auth)
{
	if (auth && mlflow_has(g, "alembic_version_auth"))
		return "SELECT version_num FROM alembic_version_auth";
	return mlflow_has(g, "alembic_version") ? "SELECT version_num FROM alembic_version" : NULL;
}

static const char *release_of(const char *revision, bool auth)
{
	for (size_t i = 0; auth && i < sizeof(auth_revisions) / sizeof(*auth_revisions); i++) {
		if (!strcmp(auth_revisions[i], revision))
			return "auth app";
	}
	for (size_t i = 0; !auth && i < sizeof(revisions) / sizeof(*revisions); i++) {
		if (!strcmp(revisions[i].revision, revision))
			return revisions[i].release;
	}
	return NULL;
}

static bool is_old(const char *revision)
{
	for (size_t i = 0; i < sizeof(old_revisions) / sizeof(*old_revisions); i++) {
		if (!strcmp(old_revisions[i], revision))
			return true;
	}
	return false;
}

int mlflow_check(struct ctx *c, const struct mlflow_catalog *g, const struct source_options *o, const char *revision,
		 const char **version)
{
	const char *needed = o->auth ? "users.password_hash" : "experiments.lifecycle_stage";

	if (!mlflow_has(g, needed))
		return fail(c, INVALID_PARAMETER_VALUE, "This is no database of MLflow%s: it has no %s.",
			    o->auth ? "'s auth app" : "", needed);
	const char *release = revision ? release_of(revision, o->auth) : NULL;
	if (!revision)
		*version = "schema without a revision";
	else if (release)
		*version = arena_printf(c->arena, "schema %s (MLflow %s)", revision, release);
	else
		*version = arena_printf(c->arena, "schema %s (unknown)", revision);
	if (release || o->force)
		return 0;
	if (revision && is_old(revision))
		return fail(c, INVALID_STATE,
			    "The database's schema (%s) is older than MLflow 2.10: run `mlflow db upgrade` on a copy of "
			    "it first, or read it as far as it goes with --force.",
			    revision);
	return fail(c, INVALID_STATE,
		    "The database's schema (%s) is none of MLflow 2.10 to 3.17, perhaps a newer one. --force reads it as "
		    "far as its tables look as they did.",
		    revision ? revision : "no revision");
}

/* ---- statements ---- */

static const struct table *table_of(const struct mlflow_catalog *g, enum source_table t)
{
	const struct table *table = &tables[t];

	if (t > SOURCE_USERS && !mlflow_has(g, "roles"))
		table = &grants[t - SOURCE_ROLES];
	return mlflow_has(g, table->needs) ? table : NULL;
}

static const char *expression(const struct mlflow_catalog *g, const struct expression *e)
{
	return !e->needs || mlflow_has(g, e->needs) ? e->sql : e->otherwise;
}

/* " WHERE a AND b", or nothing. */
static void add_where(struct buf *sql, const struct mlflow_catalog *g, const struct table *table, const char *behind)
{
	const char *first = table->columns[0].sql;
	const char *glue = " WHERE ";

	if (table->where) {
		buf_addf(sql, "%s%s", glue, table->where);
		glue = " AND ";
	}
	if (g->several_workspaces && table->scope != ANY_WORKSPACE) {
		buf_add(sql, glue);
		if (table->scope == OWN)
			buf_add(sql, "s.workspace = 'default'");
		else if (table->scope == OF_EXPERIMENT)
			buf_addf(sql, "%s NOT IN (SELECT o.experiment_id FROM experiments o"
				      " WHERE o.workspace <> 'default')",
				 table->owner ? table->owner : first);
		else
			buf_addf(sql, "%s NOT IN (SELECT r.run_uuid FROM runs r JOIN experiments o"
				      " ON o.experiment_id = r.experiment_id WHERE o.workspace <> 'default')",
				 first);
		glue = " AND ";
	}
	if (behind)
		buf_addf(sql, "%s(%s > %s OR %s IS NULL)", glue, first, behind, first);
}

const char *mlflow_select(struct ctx *c, const struct mlflow_catalog *g, enum source_table t, const char *after)
{
	static const char *const casts[] = { "::text", "::bigint", "::float8", "::boolean" };
	const struct table *table = table_of(g, t);
	struct buf sql = BUF(c->arena, LIMIT_SQL);
	bool postgres = g->dialect == MLFLOW_POSTGRES;

	if (!table)
		return NULL;
	buf_add(&sql, "SELECT ");
	for (unsigned i = 0; i < source_columns(t); i++)
		buf_addf(&sql, "%s(%s)%s", i ? ", " : "", expression(g, &table->columns[i]),
			 postgres ? casts[source_tables[t].columns[i].type] : "");
	buf_addf(&sql, " FROM %s", table->from);
	bool text = source_tables[t].columns[0].type == SOURCE_TEXT;
	const char *behind = after && postgres && text ? arena_printf(c->arena, "%s COLLATE \"C\"", after) : after;
	add_where(&sql, g, table, behind);
	/* In the order in which rows are kept here; whoever has an index in another one sorts once. */
	buf_addf(&sql, " ORDER BY %s%s", table->columns[0].sql, postgres && text ? "::text COLLATE \"C\"" : "");
	return buf_text(&sql);
}

const char *mlflow_count(struct ctx *c, const struct mlflow_catalog *g, enum source_table t)
{
	const struct table *table = table_of(g, t);
	struct buf sql = BUF(c->arena, LIMIT_SQL);

	if (!table)
		return NULL;
	buf_addf(&sql, "SELECT count(*) FROM %s", table->from);
	add_where(&sql, g, table, NULL);
	return buf_text(&sql);
}

const char *mlflow_count_elsewhere(struct ctx *c, const struct mlflow_catalog *g)
{
	(void)c;
	if (!mlflow_has(g, "experiments.workspace") || !mlflow_has(g, "registered_models.workspace") ||
	    !mlflow_has(g, "webhooks.workspace"))
		return NULL;
	return "SELECT (SELECT count(*) FROM experiments WHERE workspace <> 'default')"
	       " + (SELECT count(*) FROM registered_models WHERE workspace <> 'default')"
	       " + (SELECT count(*) FROM webhooks WHERE workspace <> 'default')";
}

static bool is_taken(const char *name)
{
	for (size_t i = 0; i < sizeof(known_tables) / sizeof(*known_tables); i++) {
		if (!strcmp(known_tables[i], name))
			return true;
	}
	for (int t = 0; t < SOURCE_TABLES; t++) {
		size_t size = strcspn(tables[t].needs, ".");
		if (!strncmp(tables[t].needs, name, size) && !name[size])
			return true;
	}
	return false;
}

void mlflow_left(struct ctx *c, const struct mlflow_catalog *g, struct list *ret)
{
	size_t capacity = 0;

	for (size_t i = 0; i < g->names.count; i++) {
		const char *name = *LIST_AT(const char *, &g->names, i);
		if (strchr(name, '.') || is_taken(name))
			continue;
		struct source_left *left = list_add(c->arena, ret, &capacity, sizeof(*left));
		left->name = name;
	}
}

const char *mlflow_count_table(struct ctx *c, const char *name)
{
	struct buf sql = BUF(c->arena, LIMIT_SQL);

	buf_add(&sql, "SELECT count(*) FROM \"");
	for (; *name; name++) {
		if (*name == '"')
			buf_addc(&sql, '"');
		buf_addc(&sql, *name);
	}
	buf_addc(&sql, '"');
	return buf_text(&sql);
}
