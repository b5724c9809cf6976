/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Registered models, versions, aliases and their history, against a private PostgreSQL. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db/db.h"
#include "store/entities.h"
#include "store/event.h"
#include "store/experiment.h"
#include "store/logged_model.h"
#include "store/model.h"
#include "store/model_alias.h"
#include "store/model_move.h"
#include "store/model_version.h"
#include "with_database.h"

#include <cmocka.h>            /* last: it defines fail() */


static void must(int result)
{
	if (result < 0)
		fail_msg("%s (%s)", c.error.message, c.error.detail ? c.error.detail : "");
}

/* It fails with this code. */
static void refuses(int result, enum error_code code)
{
	assert_int_equal(result, -1);
	if (c.error.code != code)
		fail_msg("%s (%s)", c.error.message, c.error.detail ? c.error.detail : "");
	error_clear(&c);
}

static int set_up(void **state)
{
	(void)state;
	return database_start("ann", 2);
}

static int tear_down(void **state)
{
	(void)state;
	return database_stop();
}

static void make(const char *name)
{
	must(store_model_create(&c, &(struct new_registered_model){ .name = name,
	                        .description = "", .now = 1000 }));
}

static struct model_version *add_version(const char *name, int64_t now)
{
	struct model_version *v = NULL;

	must(store_model_version_create(&c, &(struct new_model_version){ .name = name,
	                                .description = "", .source = "s3://b/x",
	                                .location = "s3://b/x", .run_id = "", .run_link = "",
	                                .now = now }, &v));
	return v;
}

static struct version_number number(int64_t n)
{
	return (struct version_number){ n, arena_printf(c.arena, "%lld", (long long)n) };
}

static int point(const char *name, const char *alias, int64_t to, int64_t expected, int64_t now)
{
	return store_model_alias_set(&c, &(struct alias_move){ .name = name, .alias = alias,
	                             .version = number(to), .raw = "x", .expected = expected,
	                             .now = now });
}

static void models(void **state)
{
	struct tag tags[] = { { "a", "1" }, { MODEL_PROMPT_TAG, "True" } };
	struct new_registered_model prompt = { .name = "prompt", .description = "d",
		.tags = { tags, 2 }, .now = 5 };
	struct registered_model *m = NULL;

	(void)state;
	make("models");
	refuses(store_model_create(&c, &(struct new_registered_model){ .name = "models",
	                           .description = "" }), RESOURCE_ALREADY_EXISTS);
	must(store_model_create(&c, &prompt));
	must(store_model_get(&c, "prompt", &m));
	assert_int_equal(m->tags.count, 2);
	assert_string_equal(m->description, "d");
	must(store_model_update(&c, "models", "new", 2000, &m));
	assert_string_equal(m->description, "new");
	assert_int_equal(*m->last_updated_timestamp, 2000);
	refuses(store_model_update(&c, "nobody", "", 1, &m), RESOURCE_DOES_NOT_EXIST);
	refuses(store_model_rename(&c, "models", "prompt", 1, &m), RESOURCE_ALREADY_EXISTS);
	refuses(store_model_rename(&c, "nobody", "prompt", 1, &m), RESOURCE_DOES_NOT_EXIST);
	must(store_model_rename(&c, "models", "models2", 3000, &m));
	assert_string_equal(m->name, "models2");
	must(store_model_set_tag(&c, "models2", "k", "v"));
	must(store_model_set_tag(&c, "models2", "k", "w"));
	must(store_model_delete_tag(&c, "models2", "none"));
	refuses(store_model_set_tag(&c, "models", "k", "v"), RESOURCE_DOES_NOT_EXIST);
	refuses(store_model_delete_tag(&c, "models", "k"), RESOURCE_DOES_NOT_EXIST);
	must(store_model_get(&c, "models2", &m));
	assert_string_equal(LIST_AT(struct tag, &m->tags, 0)->value, "w");
	must(store_model_delete(&c, "models2", 1));
	refuses(store_model_delete(&c, "models2", 1), RESOURCE_DOES_NOT_EXIST);
	refuses(store_model_get(&c, "models2", &m), RESOURCE_DOES_NOT_EXIST);
}

/* The column that searches go by follows the tag. */
static bool is_prompt(const char *name)
{
	struct model_version_origin origin;

	must(store_model_version_origin(&c, &(struct model_version_pick){ .name = name,
	                                .stage = -1 }, &origin));
	return *origin.prompt;
}

static void prompts(void **state)
{
	(void)state;
	make("turning");
	assert_false(is_prompt("turning"));
	must(store_model_set_tag(&c, "turning", MODEL_PROMPT_TAG, "TRUE"));
	assert_true(is_prompt("turning"));
	must(store_model_set_tag(&c, "turning", MODEL_PROMPT_TAG, "no"));
	assert_false(is_prompt("turning"));
	must(store_model_set_tag(&c, "turning", MODEL_PROMPT_TAG, "true"));
	must(store_model_delete_tag(&c, "turning", MODEL_PROMPT_TAG));
	assert_false(is_prompt("turning"));
}

static void versions(void **state)
{
	struct version_number one = number(1), two = number(2), none = number(0);
	struct model_version *v = NULL;
	const char *location = NULL;

	(void)state;
	make("versions");
	assert_string_equal(add_version("versions", 10)->version, "1");
	v = add_version("versions", 20);
	assert_string_equal(v->version, "2");
	assert_string_equal(v->status, "READY");
	assert_string_equal(v->user_id, "ann");
	must(store_model_version_location(&c, "versions", &one, &location));
	assert_string_equal(location, "s3://b/x");
	must(store_model_version_update(&c, "versions", &one, "text", 30, &v));
	assert_string_equal(v->description, "text");
	must(store_model_version_update(&c, "versions", &one, NULL, 30, &v));
	assert_null(v->description);
	must(store_model_version_set_tag(&c, "versions", &one, "1", "k", "v"));
	must(store_model_version_get(&c, "versions", &one, &v));
	assert_int_equal(v->tags.count, 1);
	must(store_model_version_delete_tag(&c, "versions", &one, "1", "k"));
	must(store_model_version_delete(&c, "versions", &two, 40));
	refuses(store_model_version_get(&c, "versions", &two, &v), RESOURCE_DOES_NOT_EXIST);
	refuses(store_model_version_delete(&c, "versions", &two, 40), RESOURCE_DOES_NOT_EXIST);
	refuses(store_model_version_get(&c, "versions", &none, &v), RESOURCE_DOES_NOT_EXIST);
	refuses(store_model_version_set_tag(&c, "versions", &two, "2", "k", "v"),
	        RESOURCE_DOES_NOT_EXIST);
	refuses(store_model_version_location(&c, "versions", &two, &location),
	        RESOURCE_DOES_NOT_EXIST);
	assert_string_equal(add_version("versions", 50)->version, "3");
}

/* One tag of the logged model lists its versions, whatever it was before. */
static void links(void **state)
{
	struct new_model_version v = { .name = "links", .description = "", .source = "s3://b/x",
		.location = "s3://b/x", .run_id = "", .run_link = "", .model_id = "m-1",
		.model_must_exist = true };
	struct tag broken = { "mlflow.modelVersions", "[oops" };
	struct new_logged_model m = { .model_id = "m-1", .name = "m", .model_type = "",
		.source_run_id = "" };
	enum logged_model_change change;
	struct model_version *made = NULL;
	struct logged_model *got = NULL;

	(void)state;
	must(store_experiment_default(&c, "/root", 1));
	make("links");
	refuses(store_model_version_create(&c, &v, &made), RESOURCE_DOES_NOT_EXIST);
	must(store_logged_model_create(&c, &m, &change));
	must(store_logged_model_set_tags(&c, "m-1", &(struct list){ &broken, 1 }));
	must(store_model_version_create(&c, &v, &made));
	assert_string_equal(made->version, "1");
	must(store_model_version_create(&c, &v, &made));
	must(store_logged_model_get(&c, "m-1", false, &got));
	assert_string_equal(LIST_AT(struct tag, &got->info->tags, 0)->value,
	                    "[{\"name\": \"links\", \"version\": 1},"
	                    " {\"name\": \"links\", \"version\": 2}]");
	v.model_id = "m-gone";
	v.model_must_exist = false;
	must(store_model_version_create(&c, &v, &made));
	assert_string_equal(made->version, "3");
}

static size_t count_moves(const char *name)
{
	struct model_move_query q = { .name = name, .max_results = 100 };
	struct list moves = { 0 };
	const char *next = NULL;

	assert_int_equal(store_model_moves(&c, &q, &moves, &next), 1);
	assert_null(next);
	return moves.count;
}

static void moves(void **state)
{
	struct model_move_query q = { .name = "moves", .max_results = 2 };
	struct list page = { 0 };
	const char *next = NULL;
	const struct model_move *m;

	(void)state;
	make("moves");
	add_version("moves", 1);
	add_version("moves", 1);
	must(point("moves", "a", 1, -1, 100));
	must(point("moves", "a", 1, 1, 101));
	assert_int_equal(count_moves("moves"), 1);
	refuses(point("moves", "a", 2, 0, 102), RESOURCE_CONFLICT);
	refuses(point("moves", "a", 2, 2, 102), RESOURCE_CONFLICT);
	refuses(point("moves", "a", 3, -1, 102), RESOURCE_DOES_NOT_EXIST);
	refuses(point("nobody", "a", 1, -1, 102), RESOURCE_DOES_NOT_EXIST);
	/* A request that came earlier and was served later; then a clock set back by an hour. */
	must(point("moves", "a", 2, 1, 90));
	must(point("moves", "b", 1, 0, 10000000));
	must(point("moves", "b", 2, 1, 6400000));
	assert_int_equal(count_moves("moves"), 4);
	assert_int_equal(store_model_moves(&c, &q, &page, &next), 1);
	assert_int_equal(page.count, 2);
	assert_int_equal(*LIST_AT(struct model_move, &page, 0)->timestamp, 6400000);
	q.page_token = next;
	assert_int_equal(store_model_moves(&c, &q, &page, &next), 1);
	assert_null(next);
	m = LIST_AT(struct model_move, &page, 0);
	assert_int_equal(*m->timestamp, 102);   /* not before one that held the lock, in vain */
	assert_string_equal(m->from_version, "1");
	assert_string_equal(m->to_version, "2");
	assert_string_equal(m->user, "ann");
	assert_string_equal(m->kind, "alias");
	q.alias = "b";
	refuses(store_model_moves(&c, &q, &page, &next), INVALID_PARAMETER_VALUE);
	q.name = "nobody";
	q.page_token = NULL;
	assert_int_equal(store_model_moves(&c, &q, &page, &next), 0);
}

static size_t aliases_at(const char *name, int64_t at)
{
	struct list aliases = { 0 };

	assert_int_equal(store_model_aliases_at(&c, name, NULL, at, &aliases), 1);
	return aliases.count;
}

static void stages(void **state)
{
	struct stage_move m = { .name = "stages", .version = number(1), .stage = 2, .expected = 0,
		.now = 200, .reason = "why" };
	struct registered_model *model = NULL;
	struct model_version *v = NULL;

	(void)state;
	make("stages");
	add_version("stages", 1);
	add_version("stages", 1);
	must(store_model_version_move(&c, &m, &v));
	assert_string_equal(v->current_stage, "Production");
	refuses(store_model_version_move(&c, &m, &v), RESOURCE_CONFLICT);
	m.version = number(2);
	m.archive = true;
	must(store_model_version_move(&c, &m, &v));
	must(store_model_version_get(&c, "stages", &(struct version_number){ 1, "1" }, &v));
	assert_string_equal(v->current_stage, "Archived");
	assert_int_equal(count_moves("stages"), 3);
	must(point("stages", "a", 1, -1, 300));
	must(point("stages", "b", 2, -1, 300));
	must(store_model_rename(&c, "stages", "acts", 350, &model));
	must(store_model_version_delete(&c, "acts", &(struct version_number){ 2, "2" }, 400));
	assert_int_equal(count_moves("acts"), 7);
	must(store_model_delete(&c, "acts", 500));
	assert_int_equal(count_moves("acts"), 9);
	assert_int_equal(aliases_at("acts", 299), 0);
	assert_int_equal(aliases_at("acts", 300), 2);
	assert_int_equal(aliases_at("acts", 400), 1);
	assert_int_equal(aliases_at("acts", 500), 0);
}

/* ---- events, with a webhook that listens to all ---- */

static void run_sql(const char *sql)
{
	struct list rows = { 0 };

	sql = arena_printf(c.arena, "WITH done AS (%s RETURNING 1) SELECT count(*)::text AS key"
	                   " FROM done", sql);
	must(db_list_sql(&c, sql, NO_ARGS, &tag_record, &rows));
}

static struct list told;
static size_t heard;

/* The next event: its number and its data. */
static void hears(enum store_event e, const char *data)
{
	const struct tag *row;

	if (heard == told.count)
		fail_msg("nothing more; expected %s", data);
	row = LIST_AT(struct tag, &told, heard++);
	assert_int_equal(atoi(row->key), e);
	assert_string_equal(row->value, data);
}

static void change_model(void)
{
	struct tag tags[] = { { "k", "\"v\"" } };
	struct new_registered_model m = { .name = "heard", .description = "", .tags = { tags, 1 } };
	struct new_model_version v = { .name = "heard", .description = "", .source = "s3://b/x",
		.location = "s3://b/x", .run_id = "", .run_link = "", .tags = { tags, 1 } };
	struct version_number one = number(1);
	struct model_version *made = NULL;

	must(store_model_create(&c, &m));
	must(store_model_version_create(&c, &v, &made));
	v.run_id = "r";
	v.description = "d";
	v.tags.count = 0;
	must(store_model_version_create(&c, &v, &made));
	must(store_model_version_set_tag(&c, "heard", &one, "01", "k", ""));
	must(store_model_version_delete_tag(&c, "heard", &one, "01", "k"));
	must(point("heard", "a", 1, 0, 1));
	refuses(point("heard", "a", 2, 0, 1), RESOURCE_CONFLICT);
	must(store_model_alias_delete(&c, &(struct alias_move){ .name = "heard", .alias = "a",
	                              .expected = -1 }));
	must(store_model_set_tag(&c, "heard", "k", "v"));
	must(store_model_delete_tag(&c, "heard", "k"));
}

static void change_prompt(void)
{
	struct tag tags[] = { { MODEL_PROMPT_TAG, "true" }, { "_mlflow_prompt_type", "text" },
		{ "mlflow.prompt.text", "Hi" }, { "k", "v" } };
	struct new_registered_model m = { .name = "said", .description = "d", .tags = { tags, 4 } };
	struct new_model_version v = { .name = "said", .description = "", .source = "dummy-source",
		.location = "dummy-source", .run_id = "", .run_link = "", .prompt = true,
		.tags = { tags, 4 } };
	struct version_number one = number(1);
	struct model_version *made = NULL;

	must(store_model_create(&c, &m));
	must(store_model_version_create(&c, &v, &made));
	v.tags.count = 2;
	must(store_model_version_create(&c, &v, &made));
	must(store_model_version_set_tag(&c, "said", &one, "1", "k", "w"));
	must(store_model_version_delete_tag(&c, "said", &one, "1", "k"));
	must(point("said", "a", 1, -1, 1));
	must(store_model_alias_delete(&c, &(struct alias_move){ .name = "said", .alias = "a",
	                              .expected = -1 }));
	must(store_model_set_tag(&c, "said", "k", "w"));
	must(store_model_delete_tag(&c, "said", "k"));
	/* No prompt any more: nobody is told. */
	must(store_model_delete_tag(&c, "said", MODEL_PROMPT_TAG));
}

/* What MLflow's handlers put in, member by member. */
static void events(void **state)
{
	(void)state;
	run_sql("INSERT INTO webhooks (webhook_id, name, url, creation_time, last_updated_time)"
	        " VALUES ('w', 'w', 'https://host', 1, 1)");
	run_sql("INSERT INTO webhook_events SELECT id, e, e FROM webhooks,"
	        " generate_series(0, 20) AS e");
	change_model();
	change_prompt();
	must(db_list_sql(&c, "SELECT event::text AS key, data AS value FROM webhook_deliveries"
	                 " ORDER BY id", NO_ARGS, &tag_record, &told));
	hears(EVENT_REGISTERED_MODEL_CREATED, "{\"name\":\"heard\",\"tags\":{\"k\":\"\\\"v\\\"\"},"
	      "\"description\":\"\"}");
	hears(EVENT_MODEL_VERSION_CREATED, "{\"name\":\"heard\",\"version\":\"1\",\"source\":"
	      "\"s3://b/x\",\"run_id\":null,\"tags\":{\"k\":\"\\\"v\\\"\"},\"description\":null}");
	hears(EVENT_MODEL_VERSION_CREATED, "{\"name\":\"heard\",\"version\":\"2\",\"source\":"
	      "\"s3://b/x\",\"run_id\":\"r\",\"tags\":{},\"description\":\"d\"}");
	hears(EVENT_MODEL_VERSION_TAG_SET,
	      "{\"name\":\"heard\",\"version\":\"01\",\"key\":\"k\",\"value\":\"\"}");
	hears(EVENT_MODEL_VERSION_TAG_DELETED,
	      "{\"name\":\"heard\",\"version\":\"01\",\"key\":\"k\"}");
	hears(EVENT_MODEL_VERSION_ALIAS_CREATED,
	      "{\"name\":\"heard\",\"alias\":\"a\",\"version\":\"x\"}");
	hears(EVENT_MODEL_VERSION_ALIAS_DELETED, "{\"name\":\"heard\",\"alias\":\"a\"}");
	hears(EVENT_PROMPT_CREATED, "{\"name\":\"said\",\"tags\":{\"mlflow.prompt.text\":\"Hi\","
	      "\"k\":\"v\"},\"description\":\"d\"}");
	hears(EVENT_PROMPT_VERSION_CREATED, "{\"name\":\"said\",\"version\":\"1\",\"template\":"
	      "\"Hi\",\"tags\":{\"k\":\"v\"},\"description\":null}");
	hears(EVENT_PROMPT_VERSION_CREATED, "{\"name\":\"said\",\"version\":\"2\",\"template\":"
	      "null,\"tags\":{},\"description\":null}");
	hears(EVENT_PROMPT_VERSION_TAG_SET,
	      "{\"name\":\"said\",\"version\":\"1\",\"key\":\"k\",\"value\":\"w\"}");
	hears(EVENT_PROMPT_VERSION_TAG_DELETED,
	      "{\"name\":\"said\",\"version\":\"1\",\"key\":\"k\"}");
	hears(EVENT_PROMPT_ALIAS_CREATED,
	      "{\"name\":\"said\",\"alias\":\"a\",\"version\":\"x\"}");
	hears(EVENT_PROMPT_ALIAS_DELETED, "{\"name\":\"said\",\"alias\":\"a\"}");
	hears(EVENT_PROMPT_TAG_SET, "{\"name\":\"said\",\"key\":\"k\",\"value\":\"w\"}");
	hears(EVENT_PROMPT_TAG_DELETED, "{\"name\":\"said\",\"key\":\"k\"}");
	assert_int_equal(heard, told.count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(models), cmocka_unit_test(prompts), cmocka_unit_test(versions),
		cmocka_unit_test(links), cmocka_unit_test(moves), cmocka_unit_test(stages),
		cmocka_unit_test(events),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
