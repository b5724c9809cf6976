/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/record.h"

#include <cmocka.h>
#undef fail                             /* cmocka's macro hides ours */

#define HINT " See the API docs for more information about request parameters."

static const char *const views[] = { "", "ACTIVE_ONLY", "DELETED_ONLY", "ALL", NULL };

struct tag {
	const char *key;
};

static const struct record tag_record = { sizeof(struct tag), (const struct field[]){
	STRING(struct tag, key, REQUIRED),
	END }};

struct query {
	const char *run_id;
	const char *view_type;
	const int64_t *max_results;
	const double *value;
	const bool *flag;
	struct list order_by;
	struct list tags;
	struct tag *tag;
	const char *extra;
};

static const struct record query_record = { sizeof(struct query), (const struct field[]){
	STRING   (struct query, run_id,      REQUIRED),
	STRING_AS(struct query, run_id,      "run_uuid"),
	ENUM     (struct query, view_type,   0, views),
	INT64    (struct query, max_results, 0),
	DOUBLE   (struct query, value,       0),
	BOOL     (struct query, flag,        0),
	STRINGS  (struct query, order_by,    0),
	LIST     (struct query, tags,        0, &tag_record),
	OBJECT   (struct query, tag,         0, &tag_record),
	RAW      (struct query, extra,       0),
	END }};

enum { MOST = 12 };

static void test_query(void **state)
{
	static const struct {
		const char *args[2 * MOST];     /* name, value, ... */
		const char *json;               /* or the message */
	} cases[] = {
		{ { "run_id", "r" }, "{\"run_id\":\"r\"}" },
		{ { "run_uuid", "u" }, "{\"run_id\":\"u\"}" },
		{ { "run_id", "r", "run_id", "s", "run_uuid", "u" }, "{\"run_id\":\"r\"}" },
		{ { "run_id", "r", "runId", "s", "other", "x" }, "{\"run_id\":\"r\"}" },
		{ { "run_id", "r", "max_results", "12", "max_results", "x" },
		  "{\"run_id\":\"r\",\"max_results\":12}" },
		{ { "run_id", "r", "max_results", "1e2" }, "{\"run_id\":\"r\",\"max_results\":"
		  "100}" },
		{ { "run_id", "r", "flag", "TRUE", "value", "0.5" },
		  "{\"run_id\":\"r\",\"value\":0.5,\"flag\":true}" },
		{ { "run_id", "r", "view_type", "ALL" }, "{\"run_id\":\"r\",\"view_type\":"
		  "\"ALL\"}" },
		{ { "run_id", "r", "view_type", "1" }, "{\"run_id\":\"r\",\"view_type\":"
		  "\"ACTIVE_ONLY\"}" },
		{ { "run_id", "r", "view_type", "WHAT" }, "{\"run_id\":\"r\"}" },
		{ { "run_id", "r", "order_by", "a", "order_by", "b", "order_by", "c", "order_by",
		  "d",
		    "order_by", "e", "order_by", "f", "order_by", "g", "order_by", "h",
		      "order_by", "i" },
		  "{\"run_id\":\"r\",\"order_by\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\","
		    "\"h\",\"i\"]}" },
		{ { "run_id", "r", "extra", "{\"" }, "{\"run_id\":\"r\",\"extra\":\"{\\\"\"}" },
		{ { NULL }, "Missing value for required parameter 'run_id'." HINT },
		{ { "run_id", "" }, "Missing value for required parameter 'run_id'." HINT },
		{ { "run_id", "\xff" }, "Parameter 'run_id' is not valid UTF-8." },
		{ { "flag", "yes" }, "Invalid boolean value: yes, must be 'true' or 'false'." },
		{ { "max_results", "é\n" }, "Invalid value \"\\u00e9\\n\" for parameter "
		  "'max_results' "
		  "supplied:  Hint: Value was of type 'str'." HINT },
		{ { "value", "" }, "Invalid value \"\" for parameter 'value' "
		  "supplied:  Hint: Value was of type 'str'." HINT },
		{ { "view_type", "99" }, "Invalid value \"99\" for parameter 'view_type' "
		  "supplied:  Hint: Value was of type 'str'." HINT },
		{ { "tags", "x" }, "Invalid value \"x\" for parameter 'tags' "
		  "supplied:  Hint: Value was of type 'str'." HINT },
		{ { "tag", "x" }, "Invalid value \"x\" for parameter 'tag' "
		  "supplied:  Hint: Value was of type 'str'." HINT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct ctx c = { .arena = arena_new(1 << 20) };
		struct query q = { 0 };
		struct buf b = BUF(c.arena, 1 << 16);
		const char *const *arg = cases[i].args;
		int result = 0;

		for (; !result && *arg; arg += 2)
			result = record_set(&c, &query_record, arg[0], arg[1], &q);
		if (!result)
			result = record_check(&c, &query_record, &q);
		record_write(&b, &query_record, &q);
		assert_string_equal(result ? c.error.message : buf_text(&b), cases[i].json);
		arena_free(c.arena);
	}
}

static void test_write(void **state)
{
	struct arena *a = arena_new(1 << 20);
	struct buf b = BUF(a, 1 << 16), little = BUF(a, 10), nothing = BUF(a, 10);
	struct query q = { .run_id = "", .tag = NEW(a, struct tag) };
	size_t capacity = 0;

	(void)state;
	record_write(&nothing, &query_record, &(struct query){ 0 });
	assert_string_equal(buf_text(&nothing), "{}");
	q.max_results = box_int64(a, -5);
	q.flag = box_bool(a, false);
	q.value = box_double(a, 1e300);
	q.extra = "[1, 2]";
	for (int i = 0; i < 10; i++) {
		struct tag *t = list_add(a, &q.tags, &capacity, sizeof(*t));

		assert_null(t->key);
		t->key = i % 2 ? "odd\n" : "even";
	}
	assert_ptr_equal(LIST_AT(struct tag, &q.tags, 9)->key, LIST_AT(struct tag, &q.tags,
	  1)->key);
	q.tags.count = 2;
	record_write(&b, &query_record, &q);
	assert_string_equal(buf_text(&b),
		"{\"run_id\":\"\",\"max_results\":-5,\"value\":1e+300,\"flag\":false,"
		"\"tags\":[{\"key\":\"even\"},{\"key\":\"odd\\n\"}],\"tag\":{},\"extra\":[1, 2]}");
	record_write(&little, &query_record, &q);
	assert_true(buf_failed(&little));
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
