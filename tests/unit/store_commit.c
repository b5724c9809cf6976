/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The shared commit against a private PostgreSQL in a directory of its own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail                             /* ours is base/ctx.h */

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/thread.h"
#include "db/db.h"
#include "db/migrate.h"
#include "db/private.h"
#include "store/run.h"
#include "store/write.h"

enum { POOL = 12 };

static char directory[] = "/tmp/capstan-test-XXXXXX";
static struct db_private *private;
static struct db_pool *pool;
static struct ctx c;

/* ---- the database ---- */

struct row {
	const int64_t *n;
};

static const struct record row_record = { sizeof(struct row), (const struct field[]){
	INT64(struct row, n, 0),
	END }};

static int64_t number(const char *sql)
{
	struct list rows = { 0 };

	assert_int_equal(db_list_sql(&c, sql, NO_ARGS, &row_record, &rows), 0);
	assert_int_equal(rows.count, 1);
	return *LIST_AT(struct row, &rows, 0)->n;
}

static int start(void **state)
{
	static const struct stmt experiments = {
		"test_experiments", "",
		"INSERT INTO experiments (id, name, artifact_location, deleted, creation_time, "
		"last_update_time)"
		" VALUES (0, 'Default', '/art/0', false, 0, 0), (1, 'gone', '/art/1', true, 0, 0),"
		" (2, 'query', 's3://b/x?region=y', false, 0, 0)"
	};
	static const struct stmt models = {
		"test_models", "",
		"INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, "
		"creation_time,"
		" last_updated_time, status) VALUES ('m-1', 0, 'm', '/m', 0, 0, 1)"
	};

	(void)state;
	if (!mkdtemp(directory) || chmod(directory, 0755))
		return -1;
	c.arena = arena_new(LIMIT_ARENA);
	if (db_private_start(&c,
			     &(struct db_private_options){ .data_dir = directory,
							   .log_dir = directory,
							   .connections = POOL + 3 },
			     &private) ||
	    migrate_run(&c, db_private_conninfo(private), NULL, NULL)) {
		print_error("%s\n", c.error.message);
		return -1;
	}
	pool = db_pool_new(
		&(struct db_options){ .conninfo = db_private_conninfo(private), .size = POOL });
	if (!pool || db_get(&c, pool, 1000) || db_exec(&c, &experiments, NO_ARGS) < 0 ||
	    db_exec(&c, &models, NO_ARGS) < 0)
		return -1;
	return 0;
}

static int stop(void **state)
{
	char *command;

	(void)state;
	db_put(&c, pool);
	arena_free(c.arena);
	db_pool_free(pool);
	db_private_stop(private);
	if (asprintf(&command, "rm -rf %s", directory) < 0 || system(command))
		return -1;
	free(command);
	return 0;
}

/* ---- building writes ---- */

static struct write *new_write(const char *run_id)
{
	struct write *w = NEW(c.arena, struct write);

	w->ctx = NEW(c.arena, struct ctx);
	w->ctx->arena = c.arena;
	w->run_id = run_id;
	return w;
}

static struct write *new_create(int64_t experiment, const char *name)
{
	struct write *w = new_write(id_uuid_hex(c.arena));

	w->create = NEW(c.arena, struct new_run);
	*w->create = (struct new_run){ .run_id = w->run_id, .name = name, .user_id = "",
		.experiment_id = experiment, .start_time = 7,
		.info = NEW(c.arena, struct run_info) };
	return w;
}

static void add_tag(struct list *l, const char *key, const char *value)
{
	struct tag *items = NEW_ARRAY(c.arena, l->count + 1, struct tag);

	if (l->count)
		memcpy(items, l->items, l->count * sizeof(*items));
	items[l->count] = (struct tag){ key, value };
	*l = (struct list){ items, l->count + 1 };
}

static struct metric *add_metric(struct write *w, const char *key, double value, int64_t timestamp,
				 int64_t step)
{
	struct metric *items = NEW_ARRAY(c.arena, w->metrics.count + 1, struct metric);

	if (w->metrics.count)
		memcpy(items, w->metrics.items, w->metrics.count * sizeof(*items));
	items[w->metrics.count] = (struct metric){ .key = key, .value = box_double(c.arena, value),
		.timestamp = box_int64(c.arena, timestamp), .step = box_int64(c.arena, step) };
	w->metrics = (struct list){ items, w->metrics.count + 1 };
	return &items[w->metrics.count - 1];
}

static struct write *tag_write(const char *run, const char *key, const char *value)
{
	struct write *w = new_write(run);

	add_tag(&w->tags, key, value);
	return w;
}

static struct write *param_write(const char *run, const char *key, const char *value)
{
	struct write *w = new_write(run);

	add_tag(&w->params, key, value);
	return w;
}

static struct write *delete_write(const char *run, const char *key)
{
	struct write *w = new_write(run);
	const char **keys = NEW(c.arena, const char *);

	*keys = key;
	w->delete_tags = keys;
	w->delete_tag_count = 1;
	return w;
}

#define COMMIT(...) do { \
	struct write *const writes[] = { __VA_ARGS__ }; \
	assert_int_equal(store_commit(&c, writes, sizeof(writes) / sizeof(writes[0])), 0); \
} while (0)

static void check_ok(const struct write *w)
{
	if (w->ctx->error.code != OK)
		print_error("%s\n", w->ctx->error.message);
	assert_int_equal(w->ctx->error.code, OK);
}

static void check_refused(const struct write *w, enum error_code code, const char *message)
{
	assert_int_equal(w->ctx->error.code, code);
	assert_string_equal(w->ctx->error.message, message);
}

static const char *new_run(void)
{
	struct write *w = new_create(0, "name");

	add_tag(&w->tags, "mlflow.runName", "name");
	COMMIT(w);
	check_ok(w);
	return w->run_id;
}

static struct run *get(const char *run_id)
{
	struct run *run = NEW(c.arena, struct run);

	assert_int_equal(store_run_get(&c, run_id, run), 1);
	return run;
}

static const char *find(const struct list *tags, const char *key)
{
	for (size_t i = 0; i < tags->count; i++) {
		if (strcmp(LIST_AT(struct tag, tags, i)->key, key) == 0)
			return LIST_AT(struct tag, tags, i)->value;
	}
	return "(absent)";
}

static int64_t points_of(const char *run)
{
	return number(
		arena_printf(c.arena,
			     "SELECT count(*) AS n FROM points p JOIN runs r ON r.id = p.run_id"
			     " WHERE r.uuid = '%s'",
			     run));
}

/* ---- tests ---- */

static void creates(void **state)
{
	struct write *good = new_create(0, "a"), *unknown = new_create(99, "b"),
		     *deleted = new_create(1, "c");
	struct write *query = new_create(2, "d");
	struct run *run;

	(void)state;
	add_tag(&good->tags, "mlflow.runName", "a");
	COMMIT(good, unknown, deleted, query);
	check_ok(good);
	check_ok(query);
	check_refused(unknown, RESOURCE_DOES_NOT_EXIST, "No Experiment with id=99 exists");
	check_refused(deleted, INVALID_PARAMETER_VALUE,
	              "The experiment 1 must be in the 'active' state. Current state is deleted.");
	run = get(good->run_id);
	assert_string_equal(run->info->run_id, good->run_id);
	assert_string_equal(run->info->run_name, "a");
	assert_string_equal(run->info->experiment_id, "0");
	assert_string_equal(run->info->status, "RUNNING");
	assert_string_equal(run->info->lifecycle_stage, "active");
	assert_int_equal(*run->info->start_time, 7);
	assert_null(run->info->end_time);
	assert_string_equal(run->info->artifact_uri, good->create->info->artifact_uri);
	assert_string_equal(run->info->artifact_uri,
	                    arena_printf(c.arena, "/art/0/%s/artifacts", good->run_id));
	assert_string_equal(query->create->info->artifact_uri,
	                    arena_printf(c.arena, "s3://b/x/%s/artifacts?region=y", query->run_id));
	assert_string_equal(find(&run->data->tags, "mlflow.runName"), "a");
	assert_int_equal(run->data->metrics.count, 0);
}

static void refuses_unknown_and_deleted(void **state)
{
	const char *run = new_run(), *none = "ffffffffffffffffffffffffffffffff";
	char *upper = arena_strdup(c.arena, run);
	struct write *w[5];

	(void)state;
	for (char *p = upper; *p; p++)
		*p = (char)(*p >= 'a' && *p <= 'f' ? *p - 32 : *p);
	upper[0] = 'A';                 /* some digits have no case */
	w[0] = tag_write(none, "k", "v");
	w[1] = tag_write("a b", "k", "v");
	w[2] = tag_write(upper, "k", "v");
	w[3] = tag_write(run, "k", "v");
	w[4] = new_write(none);
	COMMIT(w[0], w[1], w[2], w[3], w[4]);
	check_refused(w[0], RESOURCE_DOES_NOT_EXIST,
		      arena_printf(c.arena, "Run with id=%s not found", none));
	check_refused(w[1], RESOURCE_DOES_NOT_EXIST, "Run with id=a b not found");
	check_refused(w[2], RESOURCE_DOES_NOT_EXIST,
		      arena_printf(c.arena, "Run with id=%s not found", upper));
	check_refused(w[4], RESOURCE_DOES_NOT_EXIST,
		      arena_printf(c.arena, "Run with id=%s not found", none));
	check_ok(w[3]);

	assert_int_equal(store_run_delete(&c, run, 5), 0);
	assert_int_equal(store_run_delete(&c, run, 6), 0);
	assert_string_equal(get(run)->info->lifecycle_stage, "deleted");
	w[0] = tag_write(run, "k", "w");
	w[1] = delete_write(run, "none");
	COMMIT(w[0], w[1]);
	check_refused(
		w[0], INVALID_PARAMETER_VALUE,
		arena_printf(c.arena,
			     "The run %s must be in the 'active' state. Current state is deleted.",
			     run));
	check_refused(w[1], INVALID_PARAMETER_VALUE, w[0]->ctx->error.message);
	assert_int_equal(store_run_restore(&c, run), 0);
	w[0] = tag_write(run, "k", "w");
	COMMIT(w[0]);
	check_ok(w[0]);
	assert_string_equal(find(&get(run)->data->tags, "k"), "w");
}

/* Each value after the other, in one group or one by one: what remains is MLflow's. */
static void keeps_latest(void **state)
{
	static const struct {
		double value;
		int64_t step, timestamp;
		double latest;
	} steps[] = {
		{ 1, 0, 5, 1 },     { NAN, 1, 5, NAN }, { 2, 1, 5, 2 },    { -2, 1, 5, 2 },
		{ 3, 1, 4, 2 },     { 0, 1, 6, 0 },     { NAN, 1, 6, 0 },  { -1, 1, 6, 0 },
		{ NAN, 1, 7, NAN }, { NAN, 1, 7, NAN }, { -5, 1, 7, NAN }, { 5, 1, 7, 5 },
		{ -3, 1, 7, 5 },
	};
	const char *one = new_run(), *many = new_run();
	struct write *all = new_write(many);

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct write *w = new_write(one);
		const struct metric *m;

		add_metric(w, "m", steps[i].value, steps[i].timestamp, steps[i].step);
		add_metric(all, "m", steps[i].value, steps[i].timestamp, steps[i].step);
		COMMIT(w);
		check_ok(w);
		m = LIST_AT(struct metric, &get(one)->data->metrics, 0);
		assert_true(isnan(steps[i].latest) ? isnan(*m->value)
						   : *m->value == steps[i].latest);
	}
	COMMIT(all);
	check_ok(all);
	assert_true(*LIST_AT(struct metric, &get(many)->data->metrics, 0)->value == 5);
	assert_int_equal(points_of(one), 12);
	assert_int_equal(points_of(many), 12);
}

static void repeats_are_no_change(void **state)
{
	const char *run = new_run();

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct write *a = new_write(run), *b = new_write(run);

		add_metric(a, "m", 1, 2, 3);
		add_metric(a, "m", 1, 2, 3);
		add_metric(a, "m", -0.0, 2, 3);
		add_metric(b, "m", 0.0, 2, 3);
		add_metric(b, "n", i, 2, 3);
		COMMIT(a, b);
		check_ok(a);
		check_ok(b);
	}
	assert_int_equal(points_of(run), 2 + 3);
}

static void copies_many(void **state)
{
	const char *run = new_run();
	struct write *w = new_write(run), *other = param_write(run, "p", "1");
	struct metric *items = NEW_ARRAY(c.arena, 1500, struct metric);

	(void)state;
	for (int i = 0; i < 1500; i++)
		items[i] = (struct metric){ .key = i % 3 ? "a" : "b",
					    .value = box_double(c.arena, i),
					    .timestamp = box_int64(c.arena, 1500 - i),
					    .step = box_int64(c.arena, i / 2) };
	w->metrics = (struct list){ items, 1500 };
	COMMIT(w, other);
	check_ok(w);
	check_ok(other);
	assert_int_equal(points_of(run), 1500);
	COMMIT(w);                      /* again: every point is there */
	check_ok(w);
	assert_int_equal(points_of(run), 1500);
	assert_int_equal(get(run)->data->metrics.count, 2);
	assert_string_equal(find(&get(run)->data->params, "p"), "1");
}

static void params_never_change(void **state)
{
	const char *run = new_run();
	struct write *first = param_write(run, "p", "v"), *same = param_write(run, "p", "v");
	struct write *other = param_write(run, "p", "it's"), *batch = param_write(run, "p", "it's");

	(void)state;
	other->one_param = true;
	add_tag(&batch->params, "q", "new");
	add_tag(&batch->tags, "t", "new");
	add_metric(batch, "m", 1, 1, 1);
	COMMIT(first, same, other, batch);
	check_ok(first);
	check_ok(same);
	check_refused(other, INVALID_PARAMETER_VALUE,
		      arena_printf(c.arena,
				   "Changing param values is not allowed. Param with key='p' was "
				   "already logged with value='v' "
				   "for run ID='%s'. Attempted logging new value 'it's'.",
				   run));
	check_refused(batch, INVALID_PARAMETER_VALUE,
		      arena_printf(c.arena,
				   "Changing param values is not allowed. Params were already "
				   "logged='[{'key': 'p', "
				   "'old_value': 'v', 'new_value': \"it's\"}]' for run ID='%s'.",
				   run));
	other->one_param = false;
	add_tag(&batch->params, "p", "v");
	COMMIT(other, same);            /* what is stored counts as what came before in the group */
	assert_int_equal(other->ctx->error.code, INVALID_PARAMETER_VALUE);
	check_ok(same);
	assert_string_equal(find(&get(run)->data->params, "q"), "(absent)");
	assert_string_equal(find(&get(run)->data->tags, "t"), "(absent)");
	assert_int_equal(points_of(run), 0);
}

static void tags_in_order(void **state)
{
	const char *run = new_run();
	struct write *gone = delete_write(run, "c");

	(void)state;
	COMMIT(tag_write(run, "a", "1"), tag_write(run, "a", "2"), tag_write(run, "b", "1"), gone);
	check_refused(gone, RESOURCE_DOES_NOT_EXIST,
	              arena_printf(c.arena, "No tag with name: c in run with id %s", run));
	assert_string_equal(find(&get(run)->data->tags, "a"), "2");
	gone = delete_write(run, "c");
	COMMIT(tag_write(run, "c", "x"), gone, delete_write(run, "a"), tag_write(run, "a", "3"),
	       delete_write(run, "b"));
	check_ok(gone);
	assert_string_equal(find(&get(run)->data->tags, "a"), "3");
	assert_string_equal(find(&get(run)->data->tags, "b"), "(absent)");
	assert_string_equal(find(&get(run)->data->tags, "c"), "(absent)");
	gone = delete_write(run, "b");
	COMMIT(delete_write(run, "a"), gone);
	assert_int_equal(gone->ctx->error.code, RESOURCE_DOES_NOT_EXIST);
}

static void names_follow_the_tag(void **state)
{
	const char *run = new_run();
	struct run_info info = { 0 };

	(void)state;
	COMMIT(tag_write(run, "mlflow.runName", "x"), tag_write(run, "mlflow.runName", "y"),
	       tag_write(run, "mlflow.runName", ""));
	assert_string_equal(get(run)->info->run_name, "y");
	assert_string_equal(find(&get(run)->data->tags, "mlflow.runName"), "y");
	assert_int_equal(store_run_update(&c, run,
					  &(struct run_change){ .status = "FINISHED",
								.name = "z",
								.end_time = box_int64(c.arena, 9) },
					  &info),
			 0);
	assert_string_equal(info.run_name, "z");
	assert_string_equal(info.status, "FINISHED");
	assert_int_equal(*info.end_time, 9);
	assert_string_equal(find(&get(run)->data->tags, "mlflow.runName"), "z");
	assert_int_equal(store_run_update(&c, run, &(struct run_change){ 0 }, &info), 0);
	assert_string_equal(info.run_name, "z");
	assert_int_equal(store_run_delete(&c, run, 1), 0);
	assert_int_equal(store_run_update(&c, run, &(struct run_change){ .name = "n" }, &info), -1);
	assert_int_equal(c.error.code, INVALID_PARAMETER_VALUE);
	error_clear(&c);
	assert_int_equal(store_run_update(&c, "zz", &(struct run_change){ .name = "n" }, &info),
			 -1);
	assert_int_equal(c.error.code, RESOURCE_DOES_NOT_EXIST);
	error_clear(&c);
}

static struct write *dataset_write(const char *run, const char *name, const char *tag)
{
	struct write *w = new_write(run);
	struct dataset_input *input = NEW(c.arena, struct dataset_input);

	input->dataset = NEW(c.arena, struct dataset);
	*input->dataset = (struct dataset){ name, "digest", "local", "source", "schema", "" };
	add_tag(&input->tags, "mlflow.data.context", tag);
	w->datasets = (struct list){ input, 1 };
	return w;
}

static void links(void **state)
{
	const char *run = new_run(), *other = new_run();
	struct write *models = new_write(run);
	struct model_input in[] = { { "m-2" }, { "m-1" }, { "m-2" } };
	struct model_output out[] = { { "m-1", box_int64(c.arena, 3) }, { "m-9", NULL } };
	struct run *got;

	(void)state;
	models->model_inputs = (struct list){ in, 3 };
	models->model_outputs = (struct list){ out, 2 };
	COMMIT(dataset_write(run, "d", "train"), dataset_write(run, "d", "test"),
	       dataset_write(other, "d", "eval"), dataset_write(run, "e", "val"), models);
	COMMIT(dataset_write(run, "d", "again"), models);
	check_ok(models);
	got = get(run);
	assert_int_equal(got->inputs->dataset_inputs.count, 2);
	assert_int_equal(got->inputs->model_inputs.count, 2);
	assert_int_equal(got->outputs->model_outputs.count, 2);
	for (size_t i = 0; i < 2; i++) {
		const struct dataset_input *d =
			LIST_AT(struct dataset_input, &got->inputs->dataset_inputs, i);

		assert_int_equal(d->tags.count, 1);
		assert_string_equal(find(&d->tags, "mlflow.data.context"), i ? "val" : "train");
		assert_string_equal(d->dataset->schema, "schema");
		assert_null(d->dataset->profile);
	}
	assert_int_equal(*LIST_AT(struct model_output, &got->outputs->model_outputs, 0)->step, 3);
	assert_int_equal(number("SELECT count(*) AS n FROM datasets"), 2);
}

static void models_get_metrics(void **state)
{
	const char *run = new_run();
	struct write *good = new_write(run), *unknown = new_write(run);

	(void)state;
	add_metric(good, "m", 1, 1, 1)->model_id = "m-1";
	add_metric(good, "m", 3, 1, 1)->model_id = "m-1";
	add_metric(good, "m", NAN, 1, 1)->model_id = "m-1";
	add_metric(good, "m", 3, 1, 2);
	add_metric(unknown, "m", 1, 1, 5)->model_id = "m-none";
	COMMIT(good, unknown);
	check_ok(good);
	check_refused(unknown, INVALID_PARAMETER_VALUE, "Logged model with ID 'm-none' not found.");
	assert_int_equal(number("SELECT count(*) AS n FROM logged_model_metrics"), 1);
	assert_int_equal(number("SELECT value::bigint AS n FROM logged_model_metrics"), 3);
	assert_int_equal(points_of(run), 4);
}

/* A dataset name that no index row takes gets here only in tests; only its request fails. */
static void bisects(void **state)
{
	const char *run = new_run();
	char *name = arena_alloc(c.arena, 20001);
	struct write *writes[33];

	(void)state;
	for (int i = 0; i < 20000; i += 32)
		memcpy(name + i, id_uuid_hex(c.arena), 32);
	for (int i = 0; i < 33; i++) {
		struct metric *m;

		writes[i] = new_write(run);
		m = add_metric(writes[i], "bisect", i, i, i);
		m->model_id = "m-1";
		m->dataset_name = i == 20 ? name : "d";
	}
	assert_int_equal(store_commit(&c, writes, 33), 0);
	for (int i = 0; i < 33; i++)
		assert_int_equal(writes[i]->ctx->error.code,
				 i == 20 ? INVALID_PARAMETER_VALUE : OK);
	assert_int_equal(points_of(run), 32);
}

/* ---- others at the same time ---- */

static void on_other(struct ctx *other, const char *sql)
{
	struct list rows = { 0 };

	assert_int_equal(db_list_sql(other, sql, NO_ARGS, &row_record, &rows), 0);
}

static void *commit_later(void *arg)
{
	struct ctx *other = arg;

	usleep(200000);
	db_queue_commit(other);
	assert_int_equal(db_flush(other), 0);
	return NULL;
}

/* Another daemon stores the parameter between our look and our insert. */
static void meets_another_daemon(void **state)
{
	const char *run = new_run();
	struct ctx other = { .arena = c.arena };
	struct write *w = param_write(run, "race", "mine"), *fine = tag_write(run, "fine", "1");
	pthread_t thread;

	(void)state;
	COMMIT(tag_write(run, "race", "known"));
	assert_int_equal(db_get(&other, pool, 1000), 0);
	db_queue_begin(&other);
	on_other(&other, arena_printf(c.arena,
				      "INSERT INTO params (run_id, key_id, experiment_id, value)"
				      " SELECT r.id, k.id, 0, 'theirs' FROM runs r, keys k WHERE "
				      "r.uuid = '%s' AND k.name = 'race'"
				      " RETURNING run_id AS n",
				      run));
	/* The arena is not for two threads: ours waits in the database meanwhile. */
	other.arena = arena_new(1 << 20);
	assert_int_equal(thread_start(&thread, "later", commit_later, &other), 0);
	COMMIT(w, fine);
	pthread_join(thread, NULL);
	db_put(&other, pool);
	arena_free(other.arena);
	assert_int_equal(w->ctx->error.code, INVALID_PARAMETER_VALUE);
	assert_non_null(strstr(w->ctx->error.message, "theirs"));
	check_ok(fine);
	assert_string_equal(find(&get(run)->data->params, "race"), "theirs");
	assert_string_equal(find(&get(run)->data->tags, "fine"), "1");
}

static void survives_lost_connection(void **state)
{
	const char *run = new_run();
	struct ctx other = { .arena = c.arena };
	struct write *w = tag_write(run, "lost", "1");

	(void)state;
	assert_int_equal(db_get(&other, pool, 1000), 0);
	on_other(&other,
		 arena_printf(c.arena, "SELECT 1::bigint AS n WHERE pg_terminate_backend(%lld)",
			      (long long)number("SELECT pg_backend_pid()::bigint AS n")));
	db_put(&other, pool);
	assert_int_equal(store_commit(&c, &w, 1), -1);
	assert_int_equal(c.error.code, TEMPORARILY_UNAVAILABLE);
	error_clear(&c);
	db_put(&c, pool);
	assert_int_equal(db_get(&c, pool, 1000), 0);
	COMMIT(w);
	check_ok(w);
}

/* ---- the committer ---- */

enum { CLIENTS = 8, REQUESTS = 200 };

struct client {
	struct committer *committer;
	const char *run, *shared;
	unsigned number;
	atomic_uint done, failed;
};

struct job {
	struct write write;
	struct ctx ctx;
	struct client *client;
	struct metric metric;
	struct tag tag;
};

static void job_done(struct write *w)
{
	struct job *job = (struct job *)w;
	struct client *client = job->client;

	if (w->ctx->error.code != OK)
		atomic_fetch_add(&client->failed, 1);
	arena_free(job->ctx.arena);
	atomic_fetch_add(&client->done, 1);
}

/* Alternately a metric of its own run, and metric and tag of a run that all write to. */
static void submit(struct client *client, unsigned i)
{
	struct arena *a = arena_new(1 << 20);
	struct job *job = NEW(a, struct job);

	job->ctx.arena = a;
	job->client = client;
	job->metric = (struct metric){ .key = arena_printf(a, "k%u", i % 5),
				       .value = box_double(a, i),
				       .timestamp = box_int64(a, client->number),
				       .step = box_int64(a, i) };
	job->tag = (struct tag){ job->metric.key, "v" };
	job->write.ctx = &job->ctx;
	job->write.done = job_done;
	job->write.run_id = i % 2 ? client->run : client->shared;
	job->write.metrics = (struct list){ &job->metric, 1 };
	if (i % 2 == 0)
		job->write.tags = (struct list){ &job->tag, 1 };
	assert_true(committer_submit(client->committer, &job->write));
}

static void *client_run(void *arg)
{
	struct client *client = arg;

	for (unsigned i = 0; i < REQUESTS; i++) {
		submit(client, i);
		while (atomic_load(&client->done) + 1 < i)
			usleep(50);
	}
	while (atomic_load(&client->done) < REQUESTS)
		usleep(100);
	return NULL;
}

static void committers(void **state)
{
	struct committer *m = committer_new(pool, 2);
	struct client clients[CLIENTS];
	pthread_t threads[CLIENTS];
	struct committer_stats stats;
	const char *shared = new_run();

	(void)state;
	assert_non_null(m);
	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i] = (struct client){
			.committer = m, .run = new_run(), .shared = shared, .number = i
		};
		assert_int_equal(thread_start(&threads[i], "client", client_run, &clients[i]), 0);
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(clients[i].failed, 0);
		assert_int_equal(points_of(clients[i].run), REQUESTS / 2);
	}
	assert_int_equal(points_of(shared), CLIENTS * REQUESTS / 2);
	committer_stats(m, &stats);
	assert_int_equal(stats.requests, CLIENTS * REQUESTS);
	assert_int_equal(stats.points, CLIENTS * REQUESTS);
	assert_int_equal(stats.failures, 0);
	assert_true(stats.commits < stats.requests);
	committer_free(m);
}

/* An arena too small for the message of its error still gets an answer. */
static void answers_without_memory(void **state)
{
	struct write *w = tag_write("ffffffffffffffffffffffffffffffff", "k", "v");
	struct arena *tiny = arena_new(1);

	(void)state;
	w->ctx->arena = tiny;
	COMMIT(w);
	assert_int_equal(w->ctx->error.code, INVALID_PARAMETER_VALUE);
	assert_non_null(w->ctx->error.message);
	arena_free(tiny);
}

static void appends(void **state)
{
	const char *run = new_run();

	(void)state;
	assert_int_equal(store_run_append_tag(&c, run, "list", "{\"a\": 1}", 30), 0);
	assert_int_equal(store_run_append_tag(&c, run, "list", "{\"b\": 2}", 30), 0);
	assert_string_equal(find(&get(run)->data->tags, "list"), "[{\"a\": 1}, {\"b\": 2}]");
	assert_int_equal(store_run_append_tag(&c, run, "list", "{\"c\": 333333}", 30), -1);
	assert_int_equal(c.error.code, INVALID_PARAMETER_VALUE);
	error_clear(&c);
	assert_string_equal(find(&get(run)->data->tags, "list"), "[{\"a\": 1}, {\"b\": 2}]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(creates),
		cmocka_unit_test(refuses_unknown_and_deleted),
		cmocka_unit_test(keeps_latest),
		cmocka_unit_test(repeats_are_no_change),
		cmocka_unit_test(copies_many),
		cmocka_unit_test(params_never_change),
		cmocka_unit_test(tags_in_order),
		cmocka_unit_test(names_follow_the_tag),
		cmocka_unit_test(links),
		cmocka_unit_test(models_get_metrics),
		cmocka_unit_test(bisects),
		cmocka_unit_test(meets_another_daemon),
		cmocka_unit_test(survives_lost_connection),
		cmocka_unit_test(committers),
		cmocka_unit_test(answers_without_memory),
		cmocka_unit_test(appends),
	};

	return cmocka_run_group_tests_name("store_commit", tests, start, stop);
}
