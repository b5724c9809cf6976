/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The attributes of each entity: names as MLflow's, and where they live. */
#include <string.h>

#include "parse.h"

#define RUN_STATUS                                                                                 \
	"(CASE r.status WHEN 1 THEN 'RUNNING' WHEN 2 THEN 'SCHEDULED' WHEN 3 THEN 'FINISHED'"      \
	" WHEN 4 THEN 'FAILED' WHEN 5 THEN 'KILLED' END COLLATE \"C\")"
#define RUN_ARTIFACT_URI                                                                           \
	"COALESCE(r.artifact_uri, (SELECT run_uri(a.artifact_location, r.uuid) FROM experiments a" \
	" WHERE a.id = r.experiment_id)) COLLATE \"C\""
#define MODEL_STATUS_NAME                                                                          \
	"(CASE l.status WHEN 1 THEN 'PENDING' WHEN 2 THEN 'READY' WHEN 3 THEN 'FAILED' END "       \
	"COLLATE \"C\")"

static const struct attribute run_attributes[] = {
	{ .name = "run_id", .sql = "r.uuid", .column = COLUMN_UUID, .flags = LISTABLE },
	{ .name = "run_name", .sql = "r.name" },
	{ .name = "user_id", .sql = "r.user_id" },
	{ .name = "status", .sql = RUN_STATUS },
	{ .name = "start_time", .sql = "r.start_time", .column = COLUMN_INTEGER },
	{ .name = "end_time", .sql = "r.end_time", .column = COLUMN_INTEGER, .flags = NULLABLE },
	{ .name = "artifact_uri", .sql = RUN_ARTIFACT_URI },
	{ .name = "created", .sql = "r.start_time", .column = COLUMN_INTEGER },
	{ .name = "Created", .sql = "r.start_time", .column = COLUMN_INTEGER },
	{ .name = "run name", .sql = "r.name", .flags = NOT_ORDERABLE },
	{ .name = "Run name", .sql = "r.name", .flags = NOT_ORDERABLE },
	{ .name = "Run Name", .sql = "r.name", .flags = NOT_ORDERABLE },
	{ .name = NULL },
};

static const struct attribute experiment_attributes[] = {
	{ .name = "name", .sql = "e.name" },
	{ .name = "experiment_id",
	  .sql = "e.id",
	  .column = COLUMN_INTEGER,
	  .flags = LISTABLE | IDENTIFIER },
	{ .name = "creation_time", .sql = "e.creation_time", .column = COLUMN_INTEGER },
	{ .name = "last_update_time", .sql = "e.last_update_time", .column = COLUMN_INTEGER },
	{ .name = NULL },
};

static const struct attribute model_attributes[] = {
	{ .name = "name", .sql = "l.name", .flags = LISTABLE },
	{ .name = "model_id", .sql = "l.model_id", .flags = LISTABLE },
	{ .name = "creation_timestamp", .sql = "l.creation_time", .column = COLUMN_INTEGER },
	{ .name = "creation_timestamp_ms", .sql = "l.creation_time", .column = COLUMN_INTEGER },
	{ .name = "creation_time", .sql = "l.creation_time", .column = COLUMN_INTEGER },
	{ .name = "last_updated_timestamp",
	  .sql = "l.last_updated_time",
	  .column = COLUMN_INTEGER },
	{ .name = "last_updated_timestamp_ms",
	  .sql = "l.last_updated_time",
	  .column = COLUMN_INTEGER },
	{ .name = "experiment_id",
	  .sql = "l.experiment_id::text",
	  .flags = LISTABLE,
	  .sort_sql = "l.experiment_id",
	  .sort_column = COLUMN_INTEGER },
	{ .name = "status",
	  .sql = MODEL_STATUS_NAME,
	  .flags = LISTABLE | MODEL_STATUS,
	  .sort_sql = "l.status",
	  .sort_column = COLUMN_INTEGER },
	{ .name = "status_message", .sql = "l.status_message", .flags = LISTABLE | NULLABLE },
	{ .name = "model_type", .sql = "l.model_type", .flags = LISTABLE | NULLABLE },
	{ .name = "source_run_id", .sql = "l.source_run_id", .flags = LISTABLE | NULLABLE },
	{ .name = "artifact_location", .sql = "l.artifact_location", .flags = LISTABLE },
	{ .name = "lifecycle_stage",
	  .flags = LISTABLE,
	  .sql = "(CASE WHEN l.deleted THEN 'deleted' ELSE 'active' END COLLATE \"C\")" },
	{ .name = NULL },
};

static const struct attribute registered_model_attributes[] = {
	{ .name = "name", .sql = "m.name", .flags = LISTABLE },
	{ .name = "timestamp",
	  .sql = "m.last_updated_time",
	  .column = COLUMN_INTEGER,
	  .flags = ORDER_ONLY },
	{ .name = "last_updated_timestamp",
	  .sql = "m.last_updated_time",
	  .column = COLUMN_INTEGER,
	  .flags = ORDER_ONLY },
	{ .name = NULL },
};

static const struct attribute version_attributes[] = {
	{ .name = "name", .sql = "m.name", .flags = LISTABLE },
	{ .name = "version_number", .sql = "v.version", .column = COLUMN_INTEGER },
	{ .name = "run_id", .sql = "v.run_id", .flags = LISTABLE | NULLABLE | NOT_ORDERABLE },
	{ .name = "source_path",
	  .sql = "v.source",
	  .flags = NULLABLE | NOT_ORDERABLE | HEAD_INDEXED },
	{ .name = "creation_timestamp",
	  .sql = "v.creation_time",
	  .column = COLUMN_INTEGER,
	  .flags = ORDER_ONLY },
	{ .name = "last_updated_timestamp",
	  .sql = "v.last_updated_time",
	  .column = COLUMN_INTEGER,
	  .flags = ORDER_ONLY },
	{ .name = NULL },
};

static const struct attribute *const tables[] = {
	[SEARCH_EXPERIMENTS] = experiment_attributes,
	[SEARCH_RUNS] = run_attributes,
	[SEARCH_LOGGED_MODELS] = model_attributes,
	[SEARCH_REGISTERED_MODELS] = registered_model_attributes,
	[SEARCH_MODEL_VERSIONS] = version_attributes,
};

const struct attribute *search_attribute_find(enum search_entity e, const char *name)
{
	for (const struct attribute *a = tables[e]; a->name; a++)
		if (!strcmp(a->name, name))
			return a;
	return NULL;
}

const char *search_attribute_names(struct ctx *c, enum search_entity e, bool orderable)
{
	struct buf out = BUF(c->arena, 4096);
	for (const struct attribute *a = tables[e]; a->name; a++) {
		if (a->flags & (orderable ? NOT_ORDERABLE : ORDER_ONLY))
			continue;
		buf_addf(&out, "%s'%s'", out.size ? ", " : "{", a->name);
	}
	buf_addc(&out, '}');
	return buf_text(&out);
}
