/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* capstan gc: removes what was deleted for good, with its artifacts. */
#include <stdio.h>
#include <string.h>

#include "artifacts/artifact.h"
#include "base/arena.h"
#include "base/clock.h"
#include "blob/blob.h"
#include "cli/cli.h"
#include "cli/database.h"
#include "cli/duration.h"
#include "db/db.h"
#include "db/migrate.h"
#include "net/net.h"
#include "store/gc.h"

enum { BATCH = 200, IDS_MAX = 100000, CONNECT_MS = 10000 };

enum {
	OPTION_OLDER_THAN,
	OPTION_RUN_IDS,
	OPTION_EXPERIMENT_IDS,
	OPTION_MODEL_IDS,
	OPTION_URI,
	OPTION_DESTINATION,
	OPTION_DEFAULT_ROOT,
	OPTION_ROOTS,
	OPTION_DATA_DIR,
	OPTION_PG_BIN_DIR,
	OPTION_RUN_AS,
	OPTION_JOBS,
	OPTION_JOB_IDS,
	OPTION_TRACKING_URI,
	OPTION_WORKSPACE,
	OPTION_ALL_WORKSPACES,
	OPTIONS
};

static const char no_jobs[] = "there are no job records";
static const char no_workspaces[] = "there is one workspace";

/* clang-format off */
static const struct cli_option options[OPTIONS] = {
	[OPTION_OLDER_THAN] = { .name = "older-than", .value = "TIME",
		.help = "Only what was deleted longer ago than this, as 1d2h3m4s; decimals are "
		        "fine." },
	[OPTION_RUN_IDS] = { .name = "run-ids", .value = "LIST",
		.help = "Comma-separated runs; they must be deleted. Naming anything leaves all "
		        "else alone." },
	[OPTION_EXPERIMENT_IDS] = { .name = "experiment-ids", .value = "LIST",
		.help = "Comma-separated experiments, with all their runs; they must be deleted." },
	[OPTION_MODEL_IDS] = { .name = "logged-model-ids", .value = "LIST",
		.help = "Comma-separated logged models; they must be deleted." },
	[OPTION_URI] = { .name = "backend-store-uri", .env = "MLFLOW_BACKEND_STORE_URI",
		.value = "URI",
		.help = "The database. By default the private one of the data directory, whether "
		        "a daemon runs on "
		        "it or not." },
	[OPTION_DESTINATION] = { .name = "artifacts-destination",
		.env = "MLFLOW_ARTIFACTS_DESTINATION",
		.value = "URI", .help = "Where the server keeps artifacts: s3://, gs:// or a "
		        "directory. By default artifacts/ in the data directory." },
	[OPTION_DEFAULT_ROOT] = { .name = "default-artifact-root",
		.env = "MLFLOW_DEFAULT_ARTIFACT_ROOT", .value = "URI",
		.help = "Where the server lets new experiments keep their artifacts, when that is "
		        "no path of its own: s3://, gs:// or a directory." },
	[OPTION_ROOTS] = { .name = "artifact-roots", .env = "CAPSTAN_ARTIFACT_ROOTS",
		.value = "LIST", .fallback = "s3://,gs://",
		.help = "In what else artifacts are removed: comma-separated s3://, gs:// (any "
		        "bucket), s3://bucket/prefix, gs://bucket/prefix, directories." },
	[OPTION_DATA_DIR] = { .name = "data-dir", .env = "CAPSTAN_DATA_DIR", .value = "DIR",
		.fallback = "./capstan-data", .help = "The daemon's directory." },
	[OPTION_PG_BIN_DIR] = { .name = "pg-bin-dir", .env = "CAPSTAN_PG_BIN_DIR", .value = "DIR",
		.help = "Where initdb and postgres are." },
	[OPTION_RUN_AS] = { .name = "run-as", .env = "CAPSTAN_RUN_AS", .value = "USER",
		.help = "Who the private PostgreSQL runs as." },
	[OPTION_JOBS] = { .name = "jobs", .type = CLI_SWITCH, .fallback = "0", .unused = no_jobs,
		.help = "" },
	[OPTION_JOB_IDS] = { .name = "job-ids", .value = "LIST", .unused = no_jobs, .help = "" },
	[OPTION_TRACKING_URI] = { .name = "tracking-uri", .value = "URI",
		.unused = "artifacts are removed where they are, not through a "
		        "server", .help = "" },
	[OPTION_WORKSPACE] = { .name = "workspace", .value = "NAME", .unused = no_workspaces,
		.help = "" },
	[OPTION_ALL_WORKSPACES] = { .name = "all-workspaces", .type = CLI_SWITCH, .fallback = "0",
		.unused = no_workspaces, .help = "" },
};
/* clang-format on */

const struct cli_command cli_gc_command = {
	.name = "gc",
	.summary = "Remove deleted runs and experiments for good, with their artifacts.",
	.description = "Remove deleted runs, logged models and experiments for good, with their "
		       "artifacts. What is not "
		       "deleted is never touched. A server may go on meanwhile.",
	.options = options,
	.count = OPTIONS,
};

struct gc {
	const struct cli_values *values;
	struct db_pool *pool;
	int64_t before;
	uint64_t freed; /* bytes of artifacts */
	uint64_t removed;
	uint64_t kept;  /* because their artifacts could not be removed */
};

static void warn_unused(const char *name, const char *why)
{
	fprintf(stderr, "capstan gc: %s changes nothing: %s\n", name, why);
}

/* "a,b" to its parts; empty ones are left out. */
static void split(struct ctx *c, const char *text, struct list *ret)
{
	size_t capacity = 0;

	for (const char *at = text; *at;) {
		size_t size = strcspn(at, ", ");
		if (size)
			*(const char **)list_add(c->arena, ret, &capacity, sizeof(char *)) =
				arena_strndup(c->arena, at, size);
		at += size + (at[size] != 0);
	}
}

static const char *const nouns[] = { "Run", "Logged model", "Experiment" };

/* False: they are still there, and so must be what knows of them. */
static bool remove_artifacts(struct ctx *c, struct gc *g, enum gc_kind kind,
			     const struct gc_item *item)
{
	uint64_t bytes = 0;
	bool gone = true;

	if (!item->artifact_uri) /* an experiment's lie with its runs and models */
		return true;
	if (artifacts_delete_tree(c, item->artifact_uri, &bytes)) {
		gone = c->error.code == NOT_IMPLEMENTED ||
		       c->error.code == INVALID_PARAMETER_VALUE;
		if (gone)
			fprintf(stderr, "capstan gc: %s is in no artifact root of this server and "
				"stays.\n", item->artifact_uri);
		else
			fprintf(stderr, "capstan gc: %s with ID %s is kept: its artifacts at %s "
				"could not be removed: %s%s%s\n", nouns[kind], item->id,
				item->artifact_uri, c->error.message,
				c->error.detail ? ": " : "", c->error.detail ? c->error.detail : "");
		error_clear(c);
	}
	g->freed += bytes;
	g->kept += !gone;
	return gone;
}

static int remove_batch(struct ctx *c, struct gc *g, enum gc_kind kind, const struct list *items)
{
	int64_t *rows = NEW_ARRAY(c->arena, items->count, int64_t);
	const char **ids = NEW_ARRAY(c->arena, items->count, const char *);
	int64_t removed = 0;
	size_t count = 0;

	for (size_t i = 0; i < items->count; i++) {
		const struct gc_item *item = LIST_AT(struct gc_item, items, i);
		if (!remove_artifacts(c, g, kind, item))
			continue;
		ids[count] = item->id;
		rows[count++] = *item->row;
	}
	if (!count)
		return 0;
	if (store_gc_remove(c, kind, rows, count, &removed))
		return -1;
	g->removed += (uint64_t)removed;
	for (size_t i = 0; i < count; i++)
		printf("%s with ID %s has been permanently deleted.\n", nouns[kind], ids[i]);
	return 0;
}

static int64_t last_row(const struct list *items)
{
	return *LIST_AT(struct gc_item, items, items->count - 1)->row;
}

static int remove_children(struct ctx *c, struct gc *g, int64_t experiment)
{
	for (int kind = GC_RUNS; kind <= GC_MODELS; kind++) {
		struct list items = { .count = BATCH };
		for (int64_t after = -1; items.count == BATCH; after = last_row(&items)) {
			items = (struct list){ 0 };
			if (store_gc_children(c, (enum gc_kind)kind, experiment, after, BATCH,
					      &items))
				return -1;
			if (!items.count)
				break;
			if (remove_batch(c, g, (enum gc_kind)kind, &items))
				return -1;
		}
	}
	return 0;
}

static int remove_items(struct ctx *c, struct gc *g, enum gc_kind kind, const struct list *items)
{
	struct list empty = { NEW_ARRAY(c->arena, items->count, struct gc_item), 0 };

	if (kind != GC_EXPERIMENTS)
		return remove_batch(c, g, kind, items);
	/* One with a run or model that is kept is kept. */
	for (size_t i = 0; i < items->count; i++) {
		const struct gc_item *item = LIST_AT(struct gc_item, items, i);
		uint64_t kept = g->kept;

		if (remove_children(c, g, *item->row))
			return -1;
		if (g->kept == kept)
			*LIST_AT(struct gc_item, &empty, empty.count++) = *item;
	}
	return remove_batch(c, g, kind, &empty);
}

/* Named ones: all must exist, be deleted and old enough before any is touched. */
static int check_named(struct ctx *c, const struct gc *g, enum gc_kind kind, const struct list *ids,
		       const struct list *items)
{
	for (size_t i = 0; i < ids->count; i++) {
		const char *id = *LIST_AT(const char *, ids, i);
		const struct gc_item *item = NULL;
		for (size_t k = 0; !item && k < items->count; k++) {
			if (!strcmp(LIST_AT(struct gc_item, items, k)->id, id))
				item = LIST_AT(struct gc_item, items, k);
		}
		if (!item)
			return fail(c, RESOURCE_DOES_NOT_EXIST,
				    "%s with id=%s not "
				    "found",
				    nouns[kind], id);
		if (!*item->deleted)
			return fail(c, INVALID_PARAMETER_VALUE,
				    "%s %s is not in `deleted` lifecycle stage. Only deleted "
				    "ones can be removed.",
				    nouns[kind], id);
		if (*item->changed >= g->before)
			return fail(c, INVALID_PARAMETER_VALUE,
				    "%s %s is not older than the required age. Only those older "
				    "than %s can be "
				    "removed.",
				    nouns[kind], id, g->values->text[OPTION_OLDER_THAN]);
	}
	return 0;
}

static int collect_named(struct ctx *c, struct gc *g, enum gc_kind kind, const char *text)
{
	struct list ids = { 0 };
	struct list items = { 0 };

	split(c, text, &ids);
	if (ids.count > IDS_MAX)
		return fail(c, INVALID_PARAMETER_VALUE, "More than %d ids.", IDS_MAX);
	if (store_gc_find(c, kind, ids.items, ids.count, &items))
		return -1;
	if (check_named(c, g, kind, &ids, &items))
		return -1;
	return items.count ? remove_items(c, g, kind, &items) : 0;
}

static int collect_all(struct ctx *c, struct gc *g, enum gc_kind kind)
{
	int64_t after = -1;

	for (;;) {
		struct list items = { 0 };
		if (store_gc_list(c, kind, g->before, after, BATCH, &items))
			return -1;
		if (!items.count)
			return 0;
		after = last_row(&items);
		if (remove_items(c, g, kind, &items))
			return -1;
	}
}

static int collect(struct ctx *c, void *arg)
{
	struct gc *g = arg;
	const char *const named[] = {
		[GC_RUNS] = g->values->text[OPTION_RUN_IDS],
		[GC_MODELS] = g->values->text[OPTION_MODEL_IDS],
		[GC_EXPERIMENTS] = g->values->text[OPTION_EXPERIMENT_IDS],
	};
	bool all = !named[GC_RUNS] && !named[GC_MODELS] && !named[GC_EXPERIMENTS];

	if (db_get(c, g->pool, CONNECT_MS))
		return -1;
	for (int kind = GC_RUNS; kind <= GC_EXPERIMENTS; kind++) {
		if (named[kind] && collect_named(c, g, (enum gc_kind)kind, named[kind]))
			return -1;
		if (all && collect_all(c, g, (enum gc_kind)kind))
			return -1;
	}
	return 0;
}

static int collect_on(struct ctx *c, struct gc *g, const struct cli_database *database)
{
	struct db_options o = { .conninfo = database->conninfo, .size = 1 };
	int version = 0;

	if (migrate_version(c, database->conninfo, &version))
		return -1;
	if (version != migrate_latest())
		return fail(c, INVALID_STATE,
			    "The database's schema has version %d, this program's %d: run "
			    "`capstan db upgrade` "
			    "of the newer one first.",
			    version, migrate_latest());
	g->pool = db_pool_new(&o);
	if (!g->pool)
		return fail(c, INTERNAL_ERROR, "No memory.");
	int failed = work_run(c, collect, g);
	if (c->db)
		db_put(c, g->pool);
	db_pool_free(g->pool);
	return failed;
}

static int open_artifacts(struct ctx *c, const struct cli_values *v, struct blob **root)
{
	const char *destination = v->text[OPTION_DESTINATION];
	const char *default_root = v->text[OPTION_DEFAULT_ROOT];

	if (!destination)
		destination = arena_printf(c->arena, "%s/artifacts", v->text[OPTION_DATA_DIR]);
	*root = blob_open(c, destination);
	if (!*root)
		return -1;
	artifacts_configure(*root, destination, true);
	if (default_root)
		artifacts_configure_default(default_root, v->text[OPTION_DATA_DIR]);
	return artifacts_configure_roots(c, v->text[OPTION_ROOTS], v->text[OPTION_DATA_DIR]);
}

int cli_gc(struct ctx *c, const struct cli_values *v)
{
	struct gc g = { .values = v, .before = INT64_MAX };
	struct cli_database_options o = { v->text[OPTION_URI], v->text[OPTION_DATA_DIR],
					  v->text[OPTION_PG_BIN_DIR], v->text[OPTION_RUN_AS], false };
	struct cli_database database;
	int64_t age = 0;

	cli_option_unused(v, warn_unused);
	if (v->text[OPTION_OLDER_THAN]) {
		if (!cli_duration_parse(v->text[OPTION_OLDER_THAN], &age))
			return fail(c, INVALID_PARAMETER_VALUE,
				    "Could not parse any time information from '%s'. Examples of "
				    "valid strings: "
				    "'8h', '2d8h5m20s', '2m4s'",
				    v->text[OPTION_OLDER_THAN]);
		g.before = clock_wall_ms() - age;
	}
	struct blob *root = NULL;
	net_init();
	int failed = open_artifacts(c, v, &root);
	if (!failed) {
		failed = cli_database_open(c, &o, &database);
		if (!failed)
			failed = collect_on(c, &g, &database);
		cli_database_close(&database);
	}
	artifacts_close();
	blob_close(root);
	blob_shutdown();
	if (g.removed || !failed)
		printf("Removed %llu runs, models and experiments; %llu bytes of artifacts "
		       "freed.\n",
		       (unsigned long long)g.removed, (unsigned long long)g.freed);
	if (!failed && g.kept)
		return fail(c, TEMPORARILY_UNAVAILABLE,
			    "%llu runs and models are kept, as their artifacts could not be removed; "
			    "run it again when their stores can be reached.",
			    (unsigned long long)g.kept);
	return failed;
}
