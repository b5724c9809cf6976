/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/gc.h"

#include "base/arena.h"
#include "db/db.h"
#include "store/writers.h"

/* clang-format off */
#define RUN_COLUMNS \
	"SELECT replace(r.uuid::text, '-', '') AS id, r.id AS row," \
	" coalesce(r.artifact_uri, e.artifact_location || '/'" \
	" || replace(r.uuid::text, '-', '') || '/artifacts')" \
	" AS artifact_uri, r.deleted, coalesce(r.deleted_time, 0) AS changed" \
	" FROM runs r JOIN experiments e ON e.id = r.experiment_id"
#define MODEL_COLUMNS \
	"SELECT m.model_id AS id, m.id AS row, m.artifact_location AS artifact_uri, m.deleted," \
	" m.last_updated_time AS changed FROM logged_models m"
#define EXPERIMENT_COLUMNS \
	"SELECT e.id::text AS id, e.id AS row, e.deleted, e.last_update_time AS changed" \
	" FROM experiments e"

enum {
	LIST_RUNS, LIST_MODELS, LIST_EXPERIMENTS,
	FIND_RUNS, FIND_MODELS, FIND_EXPERIMENTS,
	CHILD_RUNS, CHILD_MODELS,
	LOCK_RUNS, LOCK_MODELS, LOCK_EXPERIMENTS,
	DELETE_RANKED, DELETE_POINTS, DELETE_CURVES, DELETE_LATEST, DELETE_PARAMS, DELETE_TAGS,
	DELETE_MODEL_METRICS, DELETE_RUNS,
	DELETE_MODELS, DELETE_EXPERIMENTS
};
/* clang-format on */

static const struct stmt stmts[] = {
	[LIST_RUNS] = { "gc_list_runs", "iii",
			RUN_COLUMNS " WHERE r.deleted AND coalesce(r.deleted_time, 0) < $1 AND "
				    "r.id > $2 ORDER BY r.id LIMIT $3" },
	[LIST_MODELS] = { "gc_list_models", "iii",
			  MODEL_COLUMNS " WHERE m.deleted AND m.last_updated_time < $1 AND m.id > "
					"$2 ORDER BY m.id LIMIT $3" },
	[LIST_EXPERIMENTS] = { "gc_list_experiments", "iii",
			       EXPERIMENT_COLUMNS " WHERE e.deleted AND e.last_update_time < $1 "
						  "AND e.id > $2 ORDER BY e.id LIMIT $3" },
	[FIND_RUNS] = { "gc_find_runs", "U", RUN_COLUMNS " WHERE r.uuid = ANY($1)" },
	[FIND_MODELS] = { "gc_find_models", "T", MODEL_COLUMNS " WHERE m.model_id = ANY($1)" },
	[FIND_EXPERIMENTS] = { "gc_find_experiments", "T",
			       EXPERIMENT_COLUMNS " WHERE e.id::text = ANY($1)" },
	[CHILD_RUNS] = { "gc_child_runs", "iii",
			 RUN_COLUMNS
			 " WHERE r.experiment_id = $1 AND r.id > $2 ORDER BY r.id LIMIT $3" },
	[CHILD_MODELS] = { "gc_child_models", "iii",
			   MODEL_COLUMNS
			   " WHERE m.experiment_id = $1 AND m.id > $2 ORDER BY m.id LIMIT $3" },

	/* Rows that were restored meanwhile stay; children of a deleted experiment go with it. */
	[LOCK_RUNS] = { "gc_lock_runs", "I",
			"SELECT r.id AS row FROM runs r JOIN experiments e ON e.id = "
			"r.experiment_id"
			" WHERE r.id = ANY($1) AND (r.deleted OR e.deleted) FOR UPDATE OF r" },
	[LOCK_MODELS] = { "gc_lock_models", "I",
			  "SELECT m.id AS row FROM logged_models m JOIN experiments e ON e.id = "
			  "m.experiment_id"
			  " WHERE m.id = ANY($1) AND (m.deleted OR e.deleted) FOR UPDATE OF m" },
	[LOCK_EXPERIMENTS] = { "gc_lock_experiments", "I",
			       "SELECT e.id AS row FROM experiments e WHERE e.id = ANY($1) AND "
			       "e.deleted FOR UPDATE OF e" },
	[DELETE_RANKED] = { "gc_delete_ranked", "I",
			    "DELETE FROM ranked k USING latest l WHERE l.run_id = ANY($1)"
			    " AND k.experiment_id = l.experiment_id AND k.key_id = l.key_id"
			    " AND k.value = l.value AND k.run_id = l.run_id" },
	[DELETE_POINTS] = { "gc_delete_points", "I", "DELETE FROM points WHERE run_id = ANY($1)" },
	[DELETE_CURVES] = { "gc_delete_curves", "I", "DELETE FROM curves WHERE run_id = ANY($1)" },
	[DELETE_LATEST] = { "gc_delete_latest", "I", "DELETE FROM latest WHERE run_id = ANY($1)" },
	[DELETE_PARAMS] = { "gc_delete_params", "I", "DELETE FROM params WHERE run_id = ANY($1)" },
	[DELETE_TAGS] = { "gc_delete_tags", "I", "DELETE FROM tags WHERE run_id = ANY($1)" },
	[DELETE_MODEL_METRICS] = { "gc_delete_model_metrics", "I",
				   "DELETE FROM logged_model_metrics WHERE run_id = ANY($1)" },
	[DELETE_RUNS] = { "gc_delete_runs", "I", "DELETE FROM runs WHERE id = ANY($1)" },
	[DELETE_MODELS] = { "gc_delete_models", "I",
			    "DELETE FROM logged_models WHERE id = ANY($1)" },
	[DELETE_EXPERIMENTS] = { "gc_delete_experiments", "I",
				 "DELETE FROM experiments WHERE id = ANY($1)" },
};

/* clang-format off */
const struct record gc_item_record = { sizeof(struct gc_item), (const struct field[]){
	STRING(struct gc_item, id,           0),
	INT64 (struct gc_item, row,          0),
	STRING(struct gc_item, artifact_uri, 0),
	BOOL  (struct gc_item, deleted,      0),
	INT64 (struct gc_item, changed,      0),
	END }};
/* clang-format on */

int store_gc_list(struct ctx *c, enum gc_kind kind, int64_t before, int64_t after, int64_t limit,
		  struct list *out)
{
	return db_list(c, &stmts[LIST_RUNS + kind],
		       ARGS(BIGINT(before), BIGINT(after), BIGINT(limit)), &gc_item_record, out);
}

int store_gc_find(struct ctx *c, enum gc_kind kind, const char *const *ids, size_t count,
		  struct list *out)
{
	return db_list(c, &stmts[FIND_RUNS + kind],
		       kind == GC_RUNS ? ARGS(UUIDS(ids, count)) : ARGS(TEXTS(ids, count)),
		       &gc_item_record, out);
}

int store_gc_children(struct ctx *c, enum gc_kind kind, int64_t experiment, int64_t after,
		      int64_t limit, struct list *out)
{
	return db_list(c, &stmts[kind == GC_RUNS ? CHILD_RUNS : CHILD_MODELS],
		       ARGS(BIGINT(experiment), BIGINT(after), BIGINT(limit)), &gc_item_record,
		       out);
}

struct removal {
	enum gc_kind kind;
	const int64_t *rows;
	size_t count;
	int64_t removed;
};

static int remove_rows(struct ctx *c, void *arg)
{
	struct removal *r = arg;
	struct list locked = { 0 };

	writers_enter(c);
	if (db_list(c, &stmts[LOCK_RUNS + r->kind], ARGS(BIGINTS(r->rows, r->count)),
		    &gc_item_record, &locked))
		return -1;
	int64_t *rows = NEW_ARRAY(c->arena, locked.count, int64_t);
	for (size_t i = 0; i < locked.count; i++)
		rows[i] = *LIST_AT(struct gc_item, &locked, i)->row;
	r->removed = (int64_t)locked.count;
	struct db_args args = ARGS(BIGINTS(rows, locked.count));
	switch (r->kind) {
	case GC_RUNS:
		for (int i = DELETE_RANKED; i <= DELETE_RUNS; i++)
			db_queue(c, &stmts[i], args, NULL);
		break;
	case GC_MODELS:
		db_queue(c, &stmts[DELETE_MODELS], args, NULL);
		break;
	case GC_EXPERIMENTS:
		db_queue(c, &stmts[DELETE_EXPERIMENTS], args, NULL);
		break;
	}
	return db_flush(c);
}

int store_gc_remove(struct ctx *c, enum gc_kind kind, const int64_t *rows, size_t count,
		    int64_t *removed)
{
	struct removal r = { kind, rows, count, 0 };

	if (tx_run(c, remove_rows, &r))
		return -1;
	*removed = r.removed;
	return 0;
}
