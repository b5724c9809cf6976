/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#undef fail

#include "../../src/exchange/meta_yaml.h"
#include "base/arena.h"

static int setup(void **state)
{
	static struct ctx c;

	c = (struct ctx){ .arena = arena_new(16 << 20) };
	*state = &c;
	return !c.arena;
}

static int teardown(void **state)
{
	struct ctx *c = *state;

	arena_free(c->arena);
	return 0;
}

static int parse(struct ctx *c, const char *text, struct list *meta)
{
	return meta_yaml_read(c, text, strlen(text), meta);
}

static void test_run(void **state)
{
	static const char text[] =
		"artifact_uri: /x/y\nend_time: 1795344639782\nexperiment_id: '388657212244810294'\n"
		"deleted_time: null\nnothing:\ntilde: ~\nquoted_null: 'null'\n"
		"description: 'multi\n\n  line: ''x'''\nname: \"files \\xFC\"\nstatus: 4\ntags: []\n"
		"list: [1, {a: b}]\nafter: yes\n";
	struct list meta;
	int64_t number = 0;

	assert_int_equal(parse(*state, text, &meta), 0);
	assert_string_equal(meta_yaml_text(&meta, "artifact_uri"), "/x/y");
	assert_string_equal(meta_yaml_text(&meta, "experiment_id"), "388657212244810294");
	assert_string_equal(meta_yaml_text(&meta, "description"), "multi\nline: 'x'");
	assert_string_equal(meta_yaml_text(&meta, "name"), "files \xC3\xBC");
	assert_string_equal(meta_yaml_text(&meta, "quoted_null"), "null");
	assert_string_equal(meta_yaml_text(&meta, "after"), "yes");
	assert_null(meta_yaml_text(&meta, "nothing"));
	assert_null(meta_yaml_text(&meta, "tilde"));
	assert_null(meta_yaml_find(&meta, "tags"));
	assert_null(meta_yaml_find(&meta, "a"));
	assert_int_equal(meta_yaml_int(&meta, "end_time", &number), 1);
	assert_true(number == 1795344639782);
	assert_int_equal(meta_yaml_int(&meta, "experiment_id", &number), 1);
	assert_int_equal(meta_yaml_int(&meta, "deleted_time", &number), 0);
	assert_int_equal(meta_yaml_int(&meta, "missing", &number), 0);
	assert_int_equal(meta_yaml_int(&meta, "artifact_uri", &number), -1);
	assert_int_equal(meta_yaml_int(&meta, "after", &number), -1);
}

static void test_nested(void **state)
{
	static const char text[] = "source_id: abc\ntags:\n  mlflow.data.context: train\n  deep:\n    x: y\n"
				   "  empty: ''\nsource_type: DATASET\n";
	struct list meta;
	size_t tags = 0;

	assert_int_equal(parse(*state, text, &meta), 0);
	for (size_t i = 0; i < meta.count; i++) {
		const struct meta_pair *pair = LIST_AT(struct meta_pair, &meta, i);
		if (strcmp(pair->parent, "tags") != 0)
			continue;
		tags++;
		assert_string_equal(pair->key, tags == 1 ? "mlflow.data.context" : "empty");
		assert_string_equal(pair->value, tags == 1 ? "train" : "");
	}
	assert_int_equal(tags, 2);
	assert_null(meta_yaml_find(&meta, "mlflow.data.context"));
	assert_string_equal(meta_yaml_text(&meta, "source_type"), "DATASET");
}

static void test_malformed(void **state)
{
	static const char *const texts[] = {
		"", "- a\n- b\n", "just text", "a: [1, 2", "a: b: c", "\tx", "{", "a: 'open", "*x",
		"? {a: b}\n: c\n", "\xff\xfe", "%YAML 9.9\n---\n",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct ctx *c = *state;
		struct list meta;
		assert_int_equal(parse(c, texts[i], &meta), -1);
		assert_int_equal(c->error.code, INVALID_PARAMETER_VALUE);
		error_clear(c);
	}
}

static void test_numbers(void **state)
{
	static const struct {
		const char *text;
		int result;
		int64_t number;
	} table[] = {
		{ "9223372036854775807", 1, INT64_MAX },
		{ "9223372036854775808", -1, 0 },
		{ "-5", 1, -5 },
		{ "1.5", -1, 0 },
		{ "0x10", -1, 0 },
		{ "1 2", -1, 0 },
		{ "''", -1, 0 },
		{ "", 0, 0 },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct ctx *c = *state;
		struct list meta;
		int64_t number = 0;
		assert_int_equal(parse(c, arena_printf(c->arena, "n: %s\n", table[i].text), &meta), 0);
		assert_int_equal(meta_yaml_int(&meta, "n", &number), table[i].result);
		if (table[i].result > 0)
			assert_true(number == table[i].number);
	}
}

static void test_metric_lines(void **state)
{
	static const struct {
		const char *line;
		bool good;
		int64_t timestamp, step;
		double value;
		const char *rest;
	} table[] = {
		{ "1700000000000 0.5 3\n", true, 1700000000000, 3, 0.5, "\n" },
		{ "1 1e-300", true, 1, 0, 1e-300, "" },
		{ "-1 -2.5 -3", true, -1, -3, -2.5, "" },
		{ "1 nan 0\n", true, 1, 0, NAN, "\n" },
		{ "1 inf 0", true, 1, 0, INFINITY, "" },
		{ "1 -Infinity 0", true, 1, 0, -INFINITY, "" },
		{ "1 0.5 1 d1 301ef25b\n", true, 1, 1, 0.5, "d1 301ef25b\n" },
		{ "1 0.5 1 run a name digest", true, 1, 1, 0.5, "run a name digest" },
		{ "", false, 0, 0, 0, "" },
		{ "\n", false, 0, 0, 0, "" },
		{ "1", false, 0, 0, 0, "" },
		{ "x 1 1", false, 0, 0, 0, "" },
		{ "1 x 1", false, 0, 0, 0, "" },
		{ "1 1 x", false, 0, 0, 0, "" },
		{ "1 0x10 1", false, 0, 0, 0, "" },
		{ "1.5 1 1", false, 0, 0, 0, "" },
		{ "9223372036854775808 1 1", false, 0, 0, 0, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct metric_line got;
		assert_int_equal(metric_line_read(table[i].line, &got), table[i].good);
		if (!table[i].good)
			continue;
		assert_true(got.timestamp == table[i].timestamp && got.step == table[i].step);
		if (isnan(table[i].value))
			assert_true(isnan(got.value));
		else
			assert_true(!(got.value < table[i].value) && !(got.value > table[i].value));
		assert_string_equal(got.rest, table[i].rest);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_run, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nested, setup, teardown),
		cmocka_unit_test_setup_teardown(test_malformed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
		cmocka_unit_test(test_metric_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
