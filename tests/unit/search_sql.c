/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The whole statement: scope, joins, order, keyset; and the errors of order_by and datasets. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "search/search.h"

#include <cmocka.h>

static struct arena *arena;
static const int64_t experiments[] = { 4, 5 };
static const bool no = false;

#define PAGE_ROW "CASE WHEN row_number() OVER () = 10 THEN ARRAY"

static int setup(void **state)
{
	(void)state;
	arena = arena_new(64 << 20);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

static struct search_query query(enum search_entity e, const char *filter, size_t ids)
{
	return (struct search_query){ .entity = e,
				      .view = VIEW_ACTIVE,
				      .filter = filter,
				      .experiment_ids = experiments,
				      .experiment_count = ids,
				      .max_results = 10,
				      .token_key = "k" };
}

static void expect_sql(const struct search_query *q, const char *want)
{
	struct ctx c = { .arena = arena };
	struct search_page p;
	if (search_build(&c, q, &p))
		fail_msg("%s", c.error.message);
	assert_string_equal(p.sql, want);
	/* how rare the values of a filter are decides its plan */
	assert_int_equal(p.once, q->filter && *q->filter);
}

static void expect_error(const struct search_query *q, const char *want)
{
	struct ctx c = { .arena = arena };
	struct search_page p;
	assert_int_equal(search_build(&c, q, &p), -1);
	assert_int_equal(c.error.code, INVALID_PARAMETER_VALUE);
	assert_string_equal(c.error.message, want);
}

static void test_runs(void **state)
{
	(void)state;
	struct search_query q = query(SEARCH_RUNS, NULL, 1);
	expect_sql(
		&q,
		"SELECT p.id, p.revision, " PAGE_ROW "[p.k1::text, replace(p.k2::text, '-', '')]::text[] END"
		" AS position FROM (SELECT r.id AS id, r.revision, r.start_time AS k1, r.uuid AS k2 FROM runs r"
		" WHERE r.experiment_id = $1 AND NOT r.deleted"
		" ORDER BY k1 DESC, k2 LIMIT 11) p");

	/* the order's metric shares the filter's join, and cannot be missing then; the first join
	   goes to what an index finds */
	const char *order[] = { "metrics.acc desc" };
	q = query(SEARCH_RUNS, "metrics.acc > 1 AND params.b = 'x'", 2);
	q.order_by = (struct list){ order, 1 };
	q.view = VIEW_DELETED;
	expect_sql(
		&q,
		"SELECT p.id, p.revision, " PAGE_ROW "[p.k1::text, p.k2::text,"
		" replace(p.k3::text, '-', '')]::text[] END AS position FROM (SELECT r.id AS id, r.revision, CASE WHEN j2.value = 'NaN' THEN '-Infinity'"
		" ELSE j2.value END AS k1, r.start_time AS k2, r.uuid AS k3 FROM runs r"
		" JOIN params j1 ON j1.run_id = r.id AND j1.key_id ="
		" (SELECT id FROM keys WHERE name = $4) AND j1.experiment_id = ANY($1)"
		" JOIN latest j2 ON j2.run_id = r.id AND j2.key_id ="
		" (SELECT id FROM keys WHERE name = $5) AND j2.experiment_id = ANY($1)"
		" WHERE r.experiment_id = ANY($1) AND r.deleted"
		" AND ((j2.value > $2 AND j2.value <> 'NaN') AND left(j1.value, 64) = $3)"
		" ORDER BY k1 DESC, k2 DESC, k3 LIMIT 11) p");
}

static void test_missing_values_last(void **state)
{
	(void)state;
	const char *order[] = { "metrics.acc", "tags.t DESC", "end_time DESC", "start_time" };
	struct search_query q = query(SEARCH_RUNS, "", 0);
	q.order_by = (struct list){ order, 4 };
	q.view = VIEW_ALL;
	expect_sql(&q, "SELECT p.id, p.revision, " PAGE_ROW "[p.k1::text, p.k2::text, p.k3::text, p.k4::text,"
		       " replace(p.k5::text, '-', '')]::text[] END AS position FROM (SELECT r.id AS id, r.revision,"
		       " j1.value AS k1, j2.value AS k2, r.end_time AS k3, r.start_time AS k4, "
		       "r.uuid AS k5"
		       " FROM runs r LEFT JOIN latest j1 ON j1.run_id = r.id AND j1.key_id ="
		       " (SELECT id FROM keys WHERE name = $2) AND j1.experiment_id = ANY($1)"
		       " LEFT JOIN tags j2 ON j2.run_id = r.id AND j2.key_id ="
		       " (SELECT id FROM keys WHERE name = $3) AND j2.experiment_id = ANY($1)"
		       " WHERE r.experiment_id = ANY($1)"
		       " ORDER BY k1, k2 DESC NULLS LAST, k3 DESC NULLS LAST, k4, k5 LIMIT 11) p");
}

static void test_experiments(void **state)
{
	(void)state;
	struct search_query q = query(SEARCH_EXPERIMENTS, "tags.a = 'b'", 0);
	expect_sql(
		&q,
		"SELECT p.id, p.revision, " PAGE_ROW "[p.k1::text, p.k2::text]::text[] END AS position"
		" FROM (SELECT e.id AS id, e.revision, e.creation_time AS k1, e.id AS k2 FROM experiments e"
		" JOIN experiment_tags j1 ON j1.experiment_id = e.id AND j1.key = $2"
		" WHERE true AND NOT e.deleted AND j1.value = $1 ORDER BY k1 DESC, k2 LIMIT 11) p");
	const char *order[] = { "name", "name DESC" };
	q = query(SEARCH_EXPERIMENTS, NULL, 0);
	q.order_by = (struct list){ order, 2 };
	expect_sql(&q, "SELECT p.id, p.revision, " PAGE_ROW "[p.k1::text, p.k2::text]::text[] END"
		       " AS position FROM"
		       " (SELECT e.id AS id, e.revision, e.name AS k1, e.id AS k2 FROM experiments e"
		       " WHERE true AND NOT e.deleted ORDER BY k1, k2 DESC LIMIT 11) p");
}

static void test_models(void **state)
{
	(void)state;
	struct search_dataset datasets[] = { { "d", NULL }, { "e", "f" } };
	struct search_order_field order[] = { { .field_name = "metrics.acc",
						.ascending = &no,
						.dataset_name = "d",
						.dataset_digest = "" } };
	struct search_query q = query(SEARCH_LOGGED_MODELS, "metrics.a > 1", 1);
	q.datasets = (struct list){ datasets, 2 };
	q.order_models = (struct list){ order, 1 };
	expect_sql(
		&q,
		"SELECT p.id, " PAGE_ROW "[p.k1::text, p.k2::text, p.k3::text]::text[] END"
		" AS position FROM"
		" (SELECT l.id AS id, CASE WHEN j1.value = 'NaN' THEN '-Infinity' ELSE j1.value END"
		" AS k1, l.creation_time AS k2, l.model_id AS k3 FROM logged_models l"
		" LEFT JOIN LATERAL (SELECT m.value FROM logged_model_metrics m WHERE m.model = "
		"l.id"
		" AND m.key = $7 AND m.dataset_name = $8 ORDER BY m.timestamp DESC, m.step DESC,"
		" (SELECT u.uuid FROM runs u WHERE u.id = m.run_id) LIMIT 1) j1 ON true"
		" WHERE l.experiment_id = $1 AND NOT l.deleted AND EXISTS (SELECT 1 FROM"
		" logged_model_metrics x WHERE x.model = l.id AND x.key = $2 AND (x.value > $3"
		" AND x.value <> 'NaN') AND ((x.dataset_name = $4) OR (x.dataset_name = $5"
		" AND x.dataset_digest = $6))) ORDER BY k1 DESC NULLS LAST, k2 DESC, k3 LIMIT 11) "
		"p");

	/* no metric in the filter: models with any metric on the datasets */
	q = query(SEARCH_LOGGED_MODELS, NULL, 1);
	q.datasets = (struct list){ datasets, 1 };
	expect_sql(
		&q,
		"SELECT p.id, " PAGE_ROW "[p.k1::text, p.k2::text]::text[] END AS position FROM"
		" (SELECT l.id AS id, l.creation_time AS k1, l.model_id AS k2 FROM logged_models l"
		" WHERE l.experiment_id = $1 AND NOT l.deleted AND EXISTS (SELECT 1 FROM"
		" logged_model_metrics x WHERE x.model = l.id AND ((x.dataset_name = $2)))"
		" ORDER BY k1 DESC, k2 LIMIT 11) p");
}

/* The condition after the given row, as MLflow orders. */
static void expect_keyset(const char *order, const char *const *position, size_t n,
			  const char *want)
{
	struct ctx c = { .arena = arena };
	struct search_page p;
	struct search_query q = query(SEARCH_RUNS, NULL, 1);
	q.order_by = (struct list){ &order, order ? 1 : 0 };
	assert_int_equal(search_build(&c, &q, &p), 0);
	q.page_token = search_token(&c, &q, &p, position, n);
	assert_int_equal(search_build(&c, &q, &p), 0);
	const char *got = strstr(p.sql, "NOT r.deleted AND ") + strlen("NOT r.deleted AND ");
	assert_string_equal(arena_strndup(arena, got, (size_t)(strstr(got, " ORDER BY") - got)),
			    want);
}

static void test_keyset(void **state)
{
	(void)state;
	static const char id[] = "00112233445566778899aabbccddeeff";
	expect_keyset(NULL, (const char *[]){ "5", id }, 2,
		      "(r.start_time) <= $2 AND ((r.start_time) < $2 OR (r.start_time) = $2 AND"
		      " ((r.uuid) > $3))");
	expect_keyset("end_time", (const char *[]){ "7", "5", id }, 3,
		      "((r.end_time) > $2 OR (r.end_time) IS NULL OR (r.end_time) = $2 AND"
		      " ((r.start_time) < $3 OR (r.start_time) = $3 AND ((r.uuid) > $4)))");
	expect_keyset("end_time DESC", (const char *[]){ NULL, "5", id }, 3,
		      "((r.end_time) IS NULL AND ((r.start_time) < $2 OR (r.start_time) = $2 AND"
		      " ((r.uuid) > $3)))");
}

static void test_order_errors(void **state)
{
	(void)state;
	static const struct {
		enum search_entity entity;
		const char *clause;
		const char *message;
	} rows[] = {
		{ SEARCH_RUNS, "",
		  "Invalid order_by clause ''. Could not be parsed. (at position 1)" },
		{ SEARCH_RUNS, "DESC",
		  "Invalid order_by clause 'DESC'. Could not be parsed. (at position 1)" },
		{ SEARCH_RUNS, "metrics.a b",
		  "Invalid ordering key in order_by clause 'metrics.a b'. (at position 11)" },
		{ SEARCH_RUNS, "metrics.a DESC NULLS LAST",
		  "Invalid order_by clause 'metrics.a DESC NULLS LAST'. Could not be parsed."
		  " (at position 16)" },
		{ SEARCH_RUNS, "metrics.a, metrics.b",
		  "Invalid order_by clause 'metrics.a, metrics.b'. Could not be parsed. (at "
		  "position 10)" },
		{ SEARCH_RUNS, "metrics.a-b",
		  "Invalid order_by clause 'metrics.a-b'. Could not be parsed. (at position 10)" },
		{ SEARCH_RUNS, "start_time; DROP",
		  "Invalid order_by clause 'start_time; DROP'. Could not be parsed. (at position "
		  "11)" },
		{ SEARCH_RUNS, "`run name`",
		  "Invalid attribute key 'run name' specified. Valid keys are '{'run_id', "
		  "'run_name', "
		  "'user_id', 'status', 'start_time', 'end_time', 'artifact_uri', 'created', "
		  "'Created'}'"
		  " (at position 1)" },
		{ SEARCH_RUNS, "foo.bar",
		  "Invalid entity type 'foo'. Valid values are ['metric', 'parameter', 'tag', "
		  "'attribute', 'dataset'] (at position 1)" },
		{ SEARCH_RUNS, "dataset.name", "Invalid identifier type 'dataset'" },
		{ SEARCH_EXPERIMENTS, "tags.a", "Invalid order_by entity: tag" },
		{ SEARCH_EXPERIMENTS, "start_time",
		  "Invalid attribute key 'start_time' specified. Valid keys are '{'name', "
		  "'experiment_id', 'creation_time', 'last_update_time'}' (at position 1)" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const char *clause = rows[i].clause;
		struct search_query q = query(rows[i].entity, NULL, 1);
		q.order_by = (struct list){ &clause, 1 };
		expect_error(&q, rows[i].message);
	}
	const char *twice[] = { "created", "start_time DESC" };
	struct search_query q = query(SEARCH_RUNS, NULL, 1);
	q.order_by = (struct list){ twice, 2 };
	expect_error(&q, "`order_by` contains duplicate fields: ['created', 'start_time DESC']");
	const char *many[21];
	for (size_t i = 0; i < 21; i++)
		many[i] = arena_printf(arena, "metrics.m%zu", i);
	q.order_by = (struct list){ many, 21 };
	expect_error(&q, "order_by has more than 20 clauses");
}

static void test_model_errors(void **state)
{
	(void)state;
	struct search_order_field order = { .field_name = "params.a" };
	struct search_dataset dataset = { "", "x" };
	struct search_query q = query(SEARCH_LOGGED_MODELS, NULL, 1);
	q.order_models = (struct list){ &order, 1 };
	expect_error(&q, "Invalid order by field name: params.a. Only metrics are supported.");
	order.field_name = "nothing";
	expect_error(&q, "Invalid order by field name: nothing");
	order.field_name = NULL;
	expect_error(&q, "Invalid order by field name: ");
	q.order_models.count = 0;
	q.datasets = (struct list){ &dataset, 1 };
	expect_error(&q, "`dataset_name` in the `datasets` clause must be specified.");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runs),         cmocka_unit_test(test_missing_values_last),
		cmocka_unit_test(test_experiments),  cmocka_unit_test(test_models),
		cmocka_unit_test(test_keyset),       cmocka_unit_test(test_order_errors),
		cmocka_unit_test(test_model_errors),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
