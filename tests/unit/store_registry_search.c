/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The registry's loads and searches, and what every search shows to whom, against a private
   PostgreSQL. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/access.h"
#include "base/buf.h"
#include "db/db.h"
#include "store/dataset.h"
#include "store/experiment.h"
#include "store/logged_model.h"
#include "store/registered_model.h"
#include "store/run_search.h"
#include "with_database.h"

#include <cmocka.h>


static void must(int result)
{
	if (result < 0)
		fail_msg("%s (%s)", c.error.message, c.error.detail ? c.error.detail : "");
}

static void run_sql(const char *sql)
{
	struct list rows = { 0 };

	sql = arena_printf(c.arena, "WITH done AS (%s RETURNING 1) SELECT count(*)::text AS key"
		" FROM done", sql);
	must(db_list_sql(&c, sql, NO_ARGS, &tag_record, &rows));
}

/* Models 1 to 4: a, b, c, and the prompt p. a has versions 1 to 4, of which 3 is deleted. */
static void seed(void)
{
	run_sql("INSERT INTO registered_models (name, creation_time, last_updated_time,"
		" description, prompt) VALUES ('a', 1, 40, 'first', false), ('b', 2, 20, '', false),"
		" ('c', 3, 0, NULL, false), ('p', 4, 10, 'ask', true)");
	run_sql("INSERT INTO registered_model_tags VALUES (1, 'team', 'x'), (1, 'env', ''),"
		" (2, 'team', 'x'), (3, 'team', 'y'), (4, 'mlflow.prompt.is_prompt', 'true')");
	run_sql("INSERT INTO model_versions (model, version, creation_time, last_updated_time,"
		" description, user_id, stage, source, run_id, run_link, status, status_message,"
		" deleted) VALUES (1, 1, 1, 50, '', NULL, 2, 's3://b/1', 'r', '', 3, '', false),"
		" (1, 2, 2, 60, NULL, 'u', 0, 's3://b/2', NULL, NULL, 2, 'bad', false),"
		" (1, 3, 3, 90, NULL, NULL, 0, NULL, NULL, NULL, 3, NULL, true),"
		" (1, 4, 4, 60, NULL, NULL, 2, 's3://b/4', '', NULL, 3, NULL, false),"
		" (2, 1, 5, 60, NULL, NULL, 0, 's3://c/1', 'r', NULL, 3, NULL, false),"
		" (4, 1, 6, 70, NULL, NULL, 0, 'text', NULL, NULL, 3, NULL, false)");
	run_sql("INSERT INTO model_version_tags VALUES (1, 1, 'z', '1'), (1, 1, 'k', '2'),"
		" (1, 4, 'k', '2'), (1, 3, 'k', '2'), (4, 1, 'mlflow.prompt.is_prompt', 'true')");
	run_sql("INSERT INTO model_aliases VALUES (1, 'old', 1), (1, 'best', 1), (1, 'next', 2)");
}

static int set_up(void **state)
{
	(void)state;
	if (database_start(NULL, 2))
		return -1;
	seed();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return database_stop();
}

static const char *json(const struct record *r, const struct list *l)
{
	struct buf out = BUF(c.arena, 1 << 20);

	for (size_t i = 0; i < l->count; i++)
		record_write(&out, r, (const char *)l->items + i * r->size);
	return buf_text(&out);
}

/* ---- loads: the whole of MLflow's message, member by member ---- */

#define A1 "{\"name\": \"a\", \"version\": \"1\", \"creation_timestamp\": 1," \
	" \"last_updated_timestamp\": 50, \"current_stage\": \"Production\"," \
	" \"description\": \"\", \"source\": \"s3://b/1\", \"run_id\": \"r\"," \
	" \"status\": \"READY\", \"tags\": [{\"key\": \"k\", \"value\": \"2\"}," \
	" {\"key\": \"z\", \"value\": \"1\"}], \"run_link\": \"\""
#define A2 "{\"name\": \"a\", \"version\": \"2\", \"creation_timestamp\": 2," \
	" \"last_updated_timestamp\": 60, \"user_id\": \"u\", \"current_stage\": \"None\"," \
	" \"source\": \"s3://b/2\", \"status\": \"FAILED_REGISTRATION\"," \
	" \"status_message\": \"bad\""
#define A4 "{\"name\": \"a\", \"version\": \"4\", \"creation_timestamp\": 4," \
	" \"last_updated_timestamp\": 60, \"current_stage\": \"Production\"," \
	" \"source\": \"s3://b/4\", \"run_id\": \"\", \"status\": \"READY\"," \
	" \"tags\": [{\"key\": \"k\", \"value\": \"2\"}]"

/* As written by another writer: blanks after ':' and ',' are no difference. */
static void assert_json(const char *got, const char *want)
{
	char *squeezed = arena_strdup(c.arena, want);
	char *to = squeezed;

	for (const char *s = want; *s; s++)
		if (*s != ' ' || (s[-1] != ':' && s[-1] != ','))
			*to++ = *s;
	*to = '\0';
	assert_string_equal(got, squeezed);
}

static void load_models(void **state)
{
	struct list l = { 0 };

	(void)state;
	must(store_registered_models_load(&c, (int64_t[]){ 3, 99, 1, 2 }, 4, &l));
	assert_int_equal(l.count, 3);
	assert_json(json(&registered_model_record, &l),
		"{\"name\": \"c\", \"creation_timestamp\": 3,"
		" \"tags\": [{\"key\": \"team\", \"value\": \"y\"}]}"
		"{\"name\": \"a\", \"creation_timestamp\": 1, \"last_updated_timestamp\": 40,"
		" \"description\": \"first\", \"latest_versions\": [" A2 "}, " A4 "}],"
		" \"tags\": [{\"key\": \"env\", \"value\": \"\"},"
		" {\"key\": \"team\", \"value\": \"x\"}],"
		" \"aliases\": [{\"alias\": \"best\", \"version\": \"1\"},"
		" {\"alias\": \"next\", \"version\": \"2\"}, {\"alias\": \"old\", \"version\": \"1\"}]}"
		"{\"name\": \"b\", \"creation_timestamp\": 2, \"last_updated_timestamp\": 20,"
		" \"latest_versions\": [{\"name\": \"b\", \"version\": \"1\","
		" \"creation_timestamp\": 5, \"last_updated_timestamp\": 60,"
		" \"current_stage\": \"None\", \"source\": \"s3://c/1\", \"run_id\": \"r\","
		" \"status\": \"READY\"}], \"tags\": [{\"key\": \"team\", \"value\": \"x\"}]}");
	must(store_registered_models_load(&c, NULL, 0, &l));
	assert_int_equal(l.count, 0);
}

static void load_versions(void **state)
{
	struct model_version_key keys[] = { { 1, 4 }, { 1, 3 }, { 9, 1 }, { 1, 1 } };
	struct list l = { 0 };

	(void)state;
	must(store_model_versions_load(&c, keys, 4, &l));
	assert_int_equal(l.count, 2);
	assert_json(json(&model_version_record, &l),
		A4 "}" A1 ", \"aliases\": [\"best\", \"old\"]}");
}

static void latest_versions(void **state)
{
	struct list l = { 0 };

	(void)state;
	assert_int_equal(store_model_latest_versions(&c, "a", ~0u, &l), 1);
	assert_json(json(&model_version_record, &l), A2 ", \"aliases\": [\"next\"]}" A4 "}");
	assert_int_equal(store_model_latest_versions(&c, "a", 1u << 2, &l), 1);
	assert_json(json(&model_version_record, &l), A4 "}");
	assert_int_equal(store_model_latest_versions(&c, "a", 1u << 1, &l), 1);
	assert_int_equal(l.count, 0);
	assert_int_equal(store_model_latest_versions(&c, "c", ~0u, &l), 1);
	assert_int_equal(l.count, 0);
	assert_int_equal(store_model_latest_versions(&c, "nobody", ~0u, &l), 0);
}

/* ---- searches ---- */

/* Names here have one letter. */
static const char *name_in(const char *whole)
{
	static const char start[] = "{\"name\":\"";

	assert_non_null(whole);
	assert_memory_equal(whole, start, strlen(start));
	assert_int_equal(whole[strlen(start) + 1], '"');
	return arena_strndup(c.arena, whole + strlen(start), 1);
}

/* What is found over all pages of `most`: "a b " or "a/4 a/2 ". */
static const char *found(enum search_entity e, const char *filter, const char *order, int64_t most)
{
	struct buf out = BUF(c.arena, 4096);
	struct search_query q = { .entity = e, .view = VIEW_ALL, .filter = filter,
		.max_results = most, .token_key = store_settings_token_key() };
	int pages = 0;

	if (order)
		q.order_by = (struct list){ &order, 1 };
	do {
		struct list l = { 0 };

		if (e == SEARCH_REGISTERED_MODELS)
			must(store_registered_model_search(&c, &q, &l, &q.page_token));
		else
			must(store_model_version_search(&c, &q, &l, &q.page_token));
		assert_true(l.count <= (size_t)most);
		assert_true(!q.page_token || l.count == (size_t)most);
		for (size_t i = 0; i < l.count; i++) {
			const struct model_version *v = LIST_AT(struct model_version, &l, i);

			if (e == SEARCH_REGISTERED_MODELS)
				buf_addf(&out, "%s ", name_in(LIST_AT(struct registered_model, &l,
					 i)->whole));
			else
				buf_addf(&out, "%s/%s ", v->name, v->version);
		}
	} while (q.page_token && ++pages < 20);
	return buf_text(&out);
}

#define MODELS(filter, order, want) do { \
	assert_string_equal(found(SEARCH_REGISTERED_MODELS, filter, order, 100), want); \
	assert_string_equal(found(SEARCH_REGISTERED_MODELS, filter, order, 1), want); \
} while (0)
#define VERSIONS(filter, order, want) do { \
	assert_string_equal(found(SEARCH_MODEL_VERSIONS, filter, order, 100), want); \
	assert_string_equal(found(SEARCH_MODEL_VERSIONS, filter, order, 1), want); \
	assert_string_equal(found(SEARCH_MODEL_VERSIONS, filter, order, 2), want); \
} while (0)
#define PROMPT "tags.`mlflow.prompt.is_prompt`"

static void search_models(void **state)
{
	(void)state;
	MODELS(NULL, NULL, "a b c ");
	MODELS(NULL, "name DESC", "c b a ");
	MODELS(NULL, "timestamp DESC", "a b c ");
	MODELS(NULL, "last_updated_timestamp", "c b a ");
	MODELS("tags.team = 'x'", NULL, "a b ");
	MODELS("tags.team != 'x'", NULL, "c ");
	MODELS("NOT tags.env = 'q'", NULL, "a b c ");
	MODELS("tags.env = '' AND tags.team LIKE '_'", NULL, "a ");
	MODELS("tags.env IS NULL", NULL, "b c ");
	MODELS("name IN ('c', 'a', 'p')", "name DESC", "c a ");
	MODELS("name ILIKE 'B' OR tags.team = 'y'", NULL, "b c ");
	MODELS(PROMPT " = 'true'", NULL, "p ");
	MODELS(PROMPT " = 'false'", NULL, "a b c ");
	MODELS("name = 'a' OR " PROMPT " = 'true'", NULL, "a p ");
	assert_string_equal(found(SEARCH_REGISTERED_MODELS, NULL, NULL, 0), "");
}

static void search_versions(void **state)
{
	(void)state;
	VERSIONS(NULL, NULL, "a/4 a/2 b/1 a/1 ");
	VERSIONS(NULL, "name DESC", "b/1 a/4 a/2 a/1 ");
	VERSIONS(NULL, "version_number", "a/1 b/1 a/2 a/4 ");
	VERSIONS(NULL, "creation_timestamp DESC", "b/1 a/4 a/2 a/1 ");
	VERSIONS("name = 'a' AND version_number > 1", NULL, "a/4 a/2 ");
	VERSIONS("version_number = '3'", NULL, "");
	VERSIONS("run_id = 'r'", NULL, "b/1 a/1 ");
	VERSIONS("run_id IN ('r', '') AND name IN ('a')", NULL, "a/4 a/1 ");
	VERSIONS("source_path = 's3://b/2'", NULL, "a/2 ");
	VERSIONS("source_path LIKE 's3://b/%'", NULL, "a/4 a/2 a/1 ");
	VERSIONS("source_path LIKE 's3://_/1'", NULL, "b/1 a/1 ");
	VERSIONS("tags.k = '2'", NULL, "a/4 a/1 ");
	VERSIONS("tags.k = '2' AND tags.z = '1'", NULL, "a/1 ");
	VERSIONS("NOT tags.k = '2'", NULL, "a/2 b/1 ");
	VERSIONS(PROMPT " = 'true'", NULL, "p/1 ");
}

/* A searched version shows no aliases, as MLflow's; and what goes between pages is not missed. */
static void pages(void **state)
{
	struct search_query q = { .entity = SEARCH_MODEL_VERSIONS, .filter = "name = 'a'",
		.max_results = 1, .token_key = store_settings_token_key(),
		.order_by = { (const char *[]){ "version_number" }, 1 } };
	struct list l = { 0 };

	(void)state;
	must(store_model_version_search(&c, &q, &l, &q.page_token));
	assert_json(json(&model_version_record, &l), A1 "}");
	run_sql("UPDATE model_versions SET deleted = true WHERE model = 1 AND version = 1");
	must(store_model_version_search(&c, &q, &l, &q.page_token));
	assert_json(json(&model_version_record, &l), A2 "}");
	run_sql("UPDATE model_versions SET deleted = false WHERE model = 1 AND version = 1");
	q.filter = "name = 'b'";
	assert_int_equal(store_model_version_search(&c, &q, &l, &q.page_token), -1);
	assert_string_equal(c.error.message,
			    "Invalid page token: it belongs to another query");
	error_clear(&c);
}

/* ---- access ---- */

static void access_models(void **state)
{
	static const char *const a[] = { "a" };
	struct access seen = { .models = { true, a, 1 }, .prompts = { false, NULL, 0 } };

	(void)state;
	c.access = &seen;
	MODELS(NULL, NULL, "b c ");
	MODELS(PROMPT " = 'true'", NULL, "");
	MODELS("name = 'a' OR name = 'b' OR " PROMPT " = 'true'", NULL, "b ");
	VERSIONS(NULL, NULL, "b/1 ");
	VERSIONS(PROMPT " = 'true'", NULL, "");
	seen.models.all = false;
	seen.prompts.all = true;
	MODELS(NULL, "name DESC", "a ");
	MODELS("name != 'x' OR " PROMPT " = 'true'", NULL, "a p ");
	VERSIONS(NULL, NULL, "a/4 a/2 a/1 ");
	VERSIONS(PROMPT " = 'true'", NULL, "p/1 ");
	seen.models.count = 0;
	MODELS(NULL, NULL, "");
	VERSIONS("name = 'a'", NULL, "");
	c.access = NULL;
}

static size_t count_runs(const int64_t *ids, size_t count)
{
	struct search_query q = { .entity = SEARCH_RUNS, .view = VIEW_ALL, .experiment_ids = ids,
		.experiment_count = count, .max_results = 10,
		.token_key = store_settings_token_key() };
	const char *next = NULL;
	struct list l = { 0 };

	must(store_run_search(&c, &q, &l, &next));
	return l.count;
}

static size_t count_logged(const int64_t *ids, size_t count)
{
	struct search_query q = { .entity = SEARCH_LOGGED_MODELS, .experiment_ids = ids,
		.experiment_count = count, .max_results = 10,
		.token_key = store_settings_token_key() };
	const char *next = NULL;
	struct list l = { 0 };

	must(store_logged_model_search(&c, &q, &l, &next));
	return l.count;
}

static struct experiment experiment_at(const struct list *l, size_t i)
{
	struct experiment e = { 0 };
	char *whole = arena_strdup(c.arena, LIST_AT(struct experiment, l, i)->whole);

	must(record_read(&c, &experiment_record, whole, strlen(whole), &e));
	return e;
}

static const char *experiment_names(void)
{
	struct search_query q = { .entity = SEARCH_EXPERIMENTS, .view = VIEW_ALL,
		.max_results = 1, .token_key = store_settings_token_key(),
		.order_by = { (const char *[]){ "name" }, 1 } };
	struct buf out = BUF(c.arena, 4096);

	do {
		struct list l = { 0 };

		must(store_experiment_search(&c, &q, &l, &q.page_token));
		for (size_t i = 0; i < l.count; i++)
			buf_addf(&out, "%s ", experiment_at(&l, i).name);
	} while (q.page_token);
	return buf_text(&out);
}

static void access_experiment(void **state)
{
	static const int64_t all[] = { 101, 102, 103 };
	static const int64_t named[] = { 103, 101 };
	struct access seen = { .experiments = { false, named, 2 } };
	struct list l = { 0 };

	(void)state;
	run_sql("INSERT INTO experiments (id, name, artifact_location, creation_time,"
		" last_update_time) VALUES (101, 'x', '', 1, 1), (102, 'y', '', 1, 1),"
		" (103, 'z', '', 1, 1)");
	run_sql("INSERT INTO runs (uuid, experiment_id, name, status, start_time)"
		" SELECT gen_random_uuid(), e, 'r', 1, 1 FROM generate_series(101, 103) e");
	run_sql("INSERT INTO logged_models (model_id, experiment_id, name, artifact_location,"
		" creation_time, last_updated_time, status)"
		" SELECT 'm-' || e, e, 'm', '', 1, 1, 1 FROM generate_series(101, 103) e");
	run_sql("INSERT INTO datasets (experiment_id, name, digest, source_type, source)"
		" SELECT e, 'd', 'd', 't', 's' FROM generate_series(101, 103) e");
	run_sql("INSERT INTO run_datasets SELECT r.id, d.id FROM runs r JOIN datasets d"
		" ON d.experiment_id = r.experiment_id");
	assert_string_equal(experiment_names(), "x y z ");
	assert_int_equal(count_runs(all, 3), 3);

	c.access = &seen;
	assert_string_equal(experiment_names(), "x z ");
	assert_int_equal(count_runs(all, 3), 2);
	assert_int_equal(count_runs(all, 1), 1);
	assert_int_equal(count_runs(&all[1], 1), 0);
	assert_int_equal(count_logged(all, 3), 2);
	assert_int_equal(count_logged(&all[1], 1), 0);
	must(store_dataset_search(&c, all, 3, 10, &l));
	assert_int_equal(l.count, 2);
	seen.experiments.all = true;
	assert_string_equal(experiment_names(), "y ");
	assert_int_equal(count_runs(all, 3), 1);
	assert_int_equal(count_logged(all, 3), 1);
	must(store_dataset_search(&c, all, 3, 10, &l));
	assert_int_equal(l.count, 1);
	seen.experiments.count = 0;
	assert_string_equal(experiment_names(), "x y z ");
	assert_int_equal(count_runs(all, 3), 3);
	seen.experiments.all = false;
	assert_string_equal(experiment_names(), "");
	assert_int_equal(count_runs(all, 3), 0);
	c.access = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(load_models),    cmocka_unit_test(load_versions),
		cmocka_unit_test(latest_versions), cmocka_unit_test(search_models),
		cmocka_unit_test(search_versions), cmocka_unit_test(pages),
		cmocka_unit_test(access_models),  cmocka_unit_test(access_experiment),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
