/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Registered models and model versions: what each filter and order means, each error text, prompts,
   and what a user may see. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/access.h"
#include "base/arena.h"
#include "base/buf.h"
#include "search/search.h"

#include <cmocka.h>

#define MODELS   SEARCH_REGISTERED_MODELS
#define VERSIONS SEARCH_MODEL_VERSIONS
#define PROMPT   "tags.`mlflow.prompt.is_prompt`"

static struct arena *arena;
static const struct access *seen;

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

static int build(struct ctx *c, enum search_entity e, const char *filter, const char *order,
		 struct search_page *p)
{
	struct search_query q = {
		.entity = e, .view = VIEW_ALL, .filter = filter, .max_results = 10, .token_key = "k"
	};
	*c = (struct ctx){ .arena = arena, .access = seen };
	if (order)
		q.order_by = (struct list){ &order, 1 };
	return search_build(c, &q, p);
}

/* The condition, arguments written in. */
static const char *condition(const struct search_page *p)
{
	const char *s = strstr(p->sql, " WHERE ") + 7;
	const char *end = strstr(s, " ORDER BY k1");
	struct buf out = BUF(arena, 1 << 20);
	while (s < end) {
		if (*s != '$') {
			buf_addc(&out, *s++);
			continue;
		}
		size_t n = strtoul(s + 1, (char **)&s, 10);
		assert_in_range(n, 1, p->args.count);
		const struct db_arg *a = &p->args.items[n - 1];
		if (a->type == 'i') {
			buf_add_int64(&out, a->integer);
		} else if (a->type == 'T') {
			for (size_t i = 0; i < a->array.count; i++)
				buf_addf(&out, "%s'%s'", i ? "," : "[",
					 ((const char *const *)a->array.items)[i]);
			buf_addc(&out, ']');
		} else if (a->type == 'I') {
			for (size_t i = 0; i < a->array.count; i++)
				buf_addf(&out, "%s%lld", i ? "," : "[",
					 (long long)((const int64_t *)a->array.items)[i]);
			buf_addc(&out, ']');
		} else {
			buf_addf(&out, "'%s'", a->text);
		}
	}
	return buf_text(&out);
}

static void expect(enum search_entity e, const char *filter, const char *want)
{
	struct ctx c;
	struct search_page p;
	if (build(&c, e, filter, NULL, &p))
		fail_msg("%s: %s", filter, c.error.message);
	assert_string_equal(condition(&p), want);
}

static void expect_error(enum search_entity e, const char *filter, const char *want)
{
	struct ctx c;
	struct search_page p;
	assert_int_equal(build(&c, e, filter, NULL, &p), -1);
	assert_int_equal(c.error.code, INVALID_PARAMETER_VALUE);
	assert_string_equal(c.error.message, want);
}

static void expect_order(enum search_entity e, const char *order, const char *want)
{
	struct ctx c;
	struct search_page p;
	if (build(&c, e, NULL, order, &p))
		fail_msg("%s: %s", order, c.error.message);
	assert_non_null(strstr(p.sql, want));
}

static void expect_order_error(enum search_entity e, const char *order, const char *want)
{
	struct ctx c;
	struct search_page p;
	assert_int_equal(build(&c, e, NULL, order, &p), -1);
	assert_int_equal(c.error.code, INVALID_PARAMETER_VALUE);
	assert_string_equal(c.error.message, want);
}

static void test_models(void **state)
{
	(void)state;
	struct ctx c;
	struct search_page p;
	assert_int_equal(build(&c, MODELS, NULL, NULL, &p), 0);
	assert_string_equal(p.sql, "SELECT p.id, p.revision, CASE WHEN row_number() OVER () = 10 THEN"
				   " ARRAY[p.k1::text]::text[] END AS position FROM"
				   " (SELECT m.id AS id, m.revision, m.name AS k1 FROM registered_models m"
				   " WHERE NOT m.prompt ORDER BY k1 LIMIT 11) p");
	assert_false(p.once);
	assert_int_equal(build(&c, MODELS, "name = 'a' AND tags.x = 'y'", NULL, &p), 0);
	assert_false(p.once);
	assert_int_equal(build(&c, MODELS, "name = 'a' OR tags.x = 'y'", NULL, &p), 0);
	assert_true(p.once);
	expect(MODELS, "name = 'a'", "NOT m.prompt AND (m.name) = 'a'");
	expect(MODELS, "attribute.name != \"a\"", "NOT m.prompt AND (m.name) <> 'a'");
	expect(MODELS, "name like 'a%' and name ILIKE '%B'",
	       "NOT m.prompt AND ((m.name) LIKE 'a%' AND (m.name) COLLATE \"default\" ILIKE '%B')");
	expect(MODELS, "name in ('a', 'b') AND name not in ('c')",
	       "NOT m.prompt AND ((m.name) = ANY(['a','b']) AND (m.name) <> ALL(['c']))");
	expect(MODELS, "NOT (name = 'a' OR name = 'b')",
	       "NOT m.prompt AND NOT (((m.name) = 'a' OR (m.name) = 'b'))");
	expect(MODELS, "tag.`a b` = 'c' OR tags.\"k\" ILIKE 'd'",
	       "NOT m.prompt AND (EXISTS (SELECT 1 FROM registered_model_tags x WHERE"
	       " x.model = m.id AND x.key = 'a b' AND x.value = 'c') OR"
	       " EXISTS (SELECT 1 FROM registered_model_tags x WHERE x.model = m.id AND"
	       " x.key = 'k' AND x.value COLLATE \"default\" ILIKE 'd'))");
}

static void test_versions(void **state)
{
	(void)state;
	struct ctx c;
	struct search_page p;
	assert_int_equal(build(&c, VERSIONS, "tags.a = 'b'", NULL, &p), 0);
	assert_string_equal(
		p.sql,
		"SELECT p.id, p.version, CASE WHEN row_number() OVER () = 10 THEN"
		" ARRAY[p.k1::text, p.k2::text, p.k3::text]::text[] END AS position FROM"
		" (SELECT v.model AS id, v.version, v.last_updated_time AS k1, m.name AS k2,"
		" v.version AS k3 FROM model_versions v JOIN registered_models m ON m.id = v.model"
		" JOIN model_version_tags j1 ON j1.model = v.model AND j1.version = v.version AND"
		" j1.key = $2 WHERE NOT v.deleted AND NOT m.prompt AND left(j1.value, 64) = $1"
		" ORDER BY k1 DESC, k2, k3 DESC LIMIT 11) p");
	assert_true(p.once);
#define SCOPE "NOT v.deleted AND NOT m.prompt AND "
	expect(VERSIONS, "version_number >= 2 AND version_number != '3'",
	       SCOPE "(v.version >= 2 AND v.version <> 3)");
	expect(VERSIONS, "version_number < 99999999999999999999", SCOPE "v.version IS NOT NULL");
	expect(VERSIONS, "run_id = 'r' AND run_id IN ('a')",
	       SCOPE "((v.run_id) = 'r' AND (v.run_id) = ANY(['a']))");
	expect(VERSIONS, "NOT run_id = 'r'", SCOPE "NOT (((v.run_id) = 'r') IS TRUE)");
	expect(VERSIONS, "source_path = 's'",
	       SCOPE "left((v.source), 256) = left('s', 256) AND (v.source) = 's'");
	expect(VERSIONS, "source_path LIKE 's\xc3\xa9%_'",
	       SCOPE "left((v.source), 256) LIKE 's\xc3\xa9%' AND (v.source) LIKE 's\xc3\xa9%_'");
	expect(VERSIONS, "source_path LIKE '%s'", SCOPE "(v.source) LIKE '%s'");
}

static void test_prompts(void **state)
{
	(void)state;
	expect(MODELS, PROMPT " = 'true'", "true AND left(j1.value, 64) = 'true'");
	expect(MODELS, PROMPT " != 'False'", "true AND j1.value <> 'False'");
	expect(MODELS, PROMPT " IN ('x', 'true')",
	       "true AND left(j1.value, 64) = ANY(['x','true'])");
	expect(MODELS, PROMPT " IS NOT NULL", "true AND true");
	/* the first one decides; where it does not ask, all are dropped */
	expect(MODELS, PROMPT " = 'false' AND name = 'a' AND " PROMPT " = 'true'",
	       "NOT m.prompt AND (true AND (m.name) = 'a' AND true)");
	expect(MODELS, PROMPT " != 'true'", "NOT m.prompt AND true");
	expect(MODELS, PROMPT " LIKE 'tr%'", "NOT m.prompt AND true");
	expect(VERSIONS, PROMPT " = 'false'", "NOT v.deleted AND NOT m.prompt AND true");
	expect(VERSIONS, PROMPT " = 'true'",
	       "NOT v.deleted AND true AND left(j1.value, 64) = 'true'");
	/* below OR and NOT it tells prompts from models, which lack it */
	expect(MODELS, "name = 'a' OR " PROMPT " = 'true'", "true AND ((m.name) = 'a' OR m.prompt)");
	expect(MODELS, "name = 'a' OR name = 'b' AND " PROMPT " != 'true'",
	       "NOT m.prompt AND ((m.name) = 'a' OR ((m.name) = 'b' AND NOT m.prompt))");
	expect(MODELS, "NOT " PROMPT " = 'true'", "NOT m.prompt AND NOT (m.prompt)");
	expect(MODELS, "NOT " PROMPT " IS NULL", "true AND NOT (NOT m.prompt)");
	expect(MODELS, "NOT NOT " PROMPT " = 'true'", "true AND NOT (NOT (m.prompt))");
	expect(SEARCH_EXPERIMENTS, "tags.`mlflow.prompt.is_prompt` = 'false'",
	       "true AND j1.value = 'false'");
}

static void test_filter_errors(void **state)
{
	(void)state;
	expect_error(MODELS, "run_id = 'x'",
		     "Invalid attribute key 'run_id' specified. Valid keys are '{'name'}' (at "
		     "position 1)");
	expect_error(MODELS, "timestamp > 1",
		     "Invalid attribute key 'timestamp' specified. Valid keys are '{'name'}' (at "
		     "position 1)");
	expect_error(MODELS, "attribute.`name` = 'x'",
		     "Invalid attribute key '`name`' specified. Valid keys are '{'name'}' (at "
		     "position 1)");
	expect_error(MODELS, "params.a = 'x'",
		     "Invalid entity type 'params'. Valid entity types are ('attribute', 'tag', "
		     "'tags') (at position 1)");
	expect_error(MODELS, "name = 5",
		     "Expected a quoted string value or a list of quoted string values for "
		     "attributes. Got value 5 (at position 8)");
	expect_error(MODELS, "tags.a = 5",
		     "Expected a quoted string value for tag (e.g. 'my-value'). Got value 5 (at "
		     "position 10)");
	expect_error(MODELS, "name > 'a'", "Invalid comparator for attribute: > (at position 6)");
	expect_error(MODELS, "tags.a >= 'a'", "Invalid comparator for tag: >= (at position 8)");
	expect_error(MODELS, "tags.a rlike 'a'",
		     "Invalid comparator for tag: RLIKE (at position 8)");
	expect_error(MODELS, "name IN ()",
		     "While parsing a list in the query, expected a non-empty list of string "
		     "values, but got empty list (at position 9)");
	expect_error(MODELS, "name = ('a', 'b')",
		     "Invalid comparator '=' for a list: use IN or NOT IN (at position 6)");
	expect_error(MODELS, "a b c", "Invalid clause(s) in filter string: a, b, c (at position 3)");
	expect_error(MODELS, "evilhax = true",
		     "Invalid clause(s) in filter string: evilhax, =, true (at position 11)");
	expect_error(VERSIONS, "name = False",
		     "Invalid clause(s) in filter string: name, =, False (at position 8)");
	expect_error(MODELS, "name = 'a'; name = 'b'",
		     "Search filter contained multiple expression 'name = 'a'; name = 'b''. "
		     "Provide AND-ed expression list. (at position 11)");
	expect_error(VERSIONS, "creation_timestamp > 1",
		     "Invalid attribute key 'creation_timestamp' specified. Valid keys are "
		     "'{'name', 'version_number', 'run_id', 'source_path'}' (at position 1)");
	expect_error(VERSIONS, "name = 5",
		     "Only the '{'version_number', 'creation_timestamp', "
		     "'last_updated_timestamp'}' attributes support comparison with numeric "
		     "values. (at position 8)");
	expect_error(VERSIONS, "source_path IN ('a')",
		     "Only ['name', 'run_id'] attributes support comparison with a list of quoted "
		     "string values. (at position 16)");
	expect_error(VERSIONS, "version_number LIKE '1'",
		     "Invalid comparator for attribute version_number: LIKE (at position 16)");
	expect_error(VERSIONS, "version_number = 1.5",
		     "Invalid value for numeric attribute 'version_number': 1.5 (at position 18)");
	expect_error(VERSIONS, "version_number = 'x'",
		     "Invalid value for numeric attribute 'version_number': 'x' (at position 18)");
	expect_error(VERSIONS, "run_id < 'a'", "Invalid comparator for attribute: < (at position 8)");
	expect_error(VERSIONS, "name IS NULL",
		     "IS NULL / IS NOT NULL is only supported for tags and params (and metrics), "
		     "not for 'attribute' 'name' (at position 6)");
}

static void test_order(void **state)
{
	(void)state;
	expect_order(MODELS, "name DESC", "m.name AS k1 FROM");
	expect_order(MODELS, "name DESC", " ORDER BY k1 DESC LIMIT");
	expect_order(MODELS, "TIMESTAMP desc",
		     "m.last_updated_time AS k1, m.name AS k2 FROM registered_models m WHERE NOT "
		     "m.prompt ORDER BY k1 DESC, k2 LIMIT");
	expect_order(MODELS, "last_updated_timestamp ASC", " ORDER BY k1, k2 LIMIT");
	expect_order(VERSIONS, "creation_timestamp",
		     "v.creation_time AS k1, m.name AS k2, v.version AS k3 FROM");
	expect_order(VERSIONS, "version_number", " ORDER BY k1, k2 LIMIT");
	expect_order(VERSIONS, "attribute.`name` DESC", " ORDER BY k1 DESC, k2 DESC LIMIT");

	expect_order_error(MODELS, "creation_timestamp",
			   "Invalid order by key 'creation_timestamp' specified. Valid keys are "
			   "'{'name', 'timestamp'}' (at position 1)");
	expect_order_error(MODELS, "attribute.name",
			   "Invalid order by key 'attribute.name' specified. Valid keys are "
			   "'{'name', 'timestamp'}' (at position 1)");
	expect_order_error(MODELS, "name down",
			   "Invalid ordering key in order_by clause 'name down'. (at position 6)");
	expect_order_error(VERSIONS, "run_id",
			   "Invalid attribute key 'run_id' specified. Valid keys are '{'name', "
			   "'version_number', 'creation_timestamp', 'last_updated_timestamp'}' (at "
			   "position 1)");
	expect_order_error(VERSIONS, "tags.a",
			   "Invalid order by key 'a' specified. Valid keys are {'name', "
			   "'version_number', 'creation_timestamp', 'last_updated_timestamp'}");
}

static void test_duplicate_order(void **state)
{
	(void)state;
	struct ctx c = { .arena = arena };
	struct search_page p;
	const char *order[] = { "timestamp", "last_updated_timestamp DESC" };
	struct search_query q = { .entity = MODELS,
				  .order_by = { order, 2 },
				  .max_results = 1,
				  .token_key = "k" };
	assert_int_equal(search_build(&c, &q, &p), -1);
	assert_string_equal(c.error.message, "`order_by` contains duplicate fields: "
					     "['timestamp', 'last_updated_timestamp DESC']");
}

static void test_access(void **state)
{
	(void)state;
	static const char *const names[] = { "a", "b" };
	static const int64_t ids[] = { 7, 3 };
	struct access a = { .models = { true, names, 2 }, .prompts = { false, NULL, 0 } };
	seen = &a;
	expect(MODELS, NULL, "NOT m.prompt AND m.name <> ALL(['a','b'])");
	expect(VERSIONS, "name = 'x'",
	       "NOT v.deleted AND NOT m.prompt AND m.name <> ALL(['a','b']) AND (m.name) = 'x'");
	expect(MODELS, PROMPT " = 'true'",
	       "true AND (NOT m.prompt AND m.name <> ALL(['a','b']) OR m.prompt AND false) AND "
	       "left(j1.value, 64) = 'true'");
	a.models = (struct access_names){ false, names, 1 };
	expect(MODELS, NULL, "NOT m.prompt AND m.name = ANY(['a'])");
	a.models = (struct access_names){ .all = true };
	expect(MODELS, NULL, "NOT m.prompt");
	a.prompts.all = true;
	expect(MODELS, PROMPT " = 'true'", "true AND left(j1.value, 64) = 'true'");

	expect(SEARCH_EXPERIMENTS, NULL, "true AND e.id = ANY(])");
	a.experiments = (struct access_ids){ true, ids, 2 };
	expect(SEARCH_EXPERIMENTS, NULL, "true AND e.id <> ALL([7,3])");
	struct ctx c = { .arena = arena, .access = &a };
	size_t count = 4;
	const int64_t *kept = access_experiments(&c, (int64_t[]){ 9, 3, 1, 7 }, &count);
	assert_int_equal(count, 2);
	assert_int_equal(kept[0], 9);
	assert_int_equal(kept[1], 1);
	a.experiments.all = false;
	count = 4;
	kept = access_experiments(&c, (int64_t[]){ 9, 3, 1, 7 }, &count);
	assert_int_equal(count, 2);
	assert_int_equal(kept[0], 3);
	assert_int_equal(kept[1], 7);
	seen = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_models),        cmocka_unit_test(test_versions),
		cmocka_unit_test(test_prompts),       cmocka_unit_test(test_filter_errors),
		cmocka_unit_test(test_order),         cmocka_unit_test(test_duplicate_order),
		cmocka_unit_test(test_access),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
