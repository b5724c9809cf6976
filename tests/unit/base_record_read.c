/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/record.h"

#include <cmocka.h>
#undef fail                             /* cmocka's macro hides ours */

#define HINT " See the API docs for more information about request parameters."
#define MISSING(name) "Missing value for required parameter '" name "'." HINT
#define WRONG(value, name, type) \
	"Invalid value " value " for parameter '" name "' supplied:  Hint: Value was of type '" \
	type "'." HINT
#define MALFORMED(why) "Request body is not valid JSON: " why "."

struct metric {
	const char *key;
	const double *value;
	const int64_t *timestamp;
	const int64_t *step;
};

static const struct record metric_record = { sizeof(struct metric), (const struct field[]){
	STRING(struct metric, key,       REQUIRED),
	DOUBLE(struct metric, value,     REQUIRED),
	INT64 (struct metric, timestamp, REQUIRED),
	INT64 (struct metric, step,      0),
	END }};

static const char *const views[] = { "", "ACTIVE_ONLY", "DELETED_ONLY", "ALL", NULL };

struct node;

struct all {
	const char *run_id;
	const char *key;
	const double *value;
	const int64_t *step;
	const bool *flag;
	const char *view_type;
	struct metric *last_metric;
	struct list metrics;
	struct list order_by;
	const char *extra;
	struct node *node;
};

struct node {
	struct node *node;
	struct list nodes;
};

static const struct record node_record;
static const struct field node_fields[] = {
	OBJECT(struct node, node,  0, &node_record),
	LIST  (struct node, nodes, 0, &node_record),
	END };
static const struct record node_record = { sizeof(struct node), node_fields };

static const struct record all_record = { sizeof(struct all), (const struct field[]){
	STRING   (struct all, run_id,    REQUIRED),
	STRING_AS(struct all, run_id,    "run_uuid"),
	STRING   (struct all, key,       0),
	DOUBLE   (struct all, value,     0),
	INT64    (struct all, step,      0),
	BOOL     (struct all, flag,      0),
	ENUM     (struct all, view_type, 0, views),
	OBJECT   (struct all, last_metric, 0, &metric_record),
	LIST     (struct all, metrics,   0, &metric_record),
	STRINGS  (struct all, order_by,  0),
	RAW      (struct all, extra,     0),
	OBJECT   (struct all, node,      INPUT_ONLY, &node_record),
	END }};

struct job {
	const char *text;
	size_t size;
	const struct record *record;
	void *out;
};

static int read_job(struct ctx *c, void *arg)
{
	struct job *job = arg;
	/* exactly as large as promised, so that ASan sees more being read */
	char *copy = malloc(job->size + 1);

	arena_defer(c->arena, free, copy);
	memcpy(copy, job->text, job->size);
	copy[job->size] = 'x';
	return record_read(c, job->record, copy, job->size, job->out);
}

/* Reads and checks the error message; NULL: none is expected. */
static struct all *expect(struct ctx *c, const char *text, size_t size, const char *message)
{
	struct all *out = NEW(c->arena, struct all);
	struct job job = { text, size, &all_record, out };
	int result = work_run(c, read_job, &job);

	if (message) {
		if (!result || strcmp(c->error.message, message) != 0)
			print_message("%.*s\n%s\n", (int)size, text,
			              c->error.message ? c->error.message : "no error");
		assert_int_equal(result, -1);
		assert_string_equal(c->error.message, message);
	} else {
		if (result)
			print_message("%.*s\n%s\n", (int)size, text, c->error.message);
		assert_int_equal(result, 0);
		assert_non_null(out->run_id);
	}
	return out;
}

/* What was read, written again: normal form of the good cases. */
static void test_good(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "{\"run_id\":\"a\"}", "{\"run_id\":\"a\"}" },
		{ " {\n\t\"run_id\" : \"a\" , \"unknown\" : [ 1, {\"b\": []} , \"\\u0041\" ] }\r\n",
		  "{\"run_id\":\"a\"}" },
		{ "{\"runId\":\"a\",\"viewType\":\"ALL\",\"orderBy\":[]}",
		  "{\"run_id\":\"a\",\"view_type\":\"ALL\"}" },
		{ "\"{\\\"run_id\\\":\\\"a\\\\n\\\"}\"", "{\"run_id\":\"a\\n\"}" },
		{ "{\"key\":\"k\",\"run_id\":\"a\"}", "{\"run_id\":\"a\",\"key\":\"k\"}" },
		{ "{\"run_id\":\"a\",\"key\":null,\"metrics\":null,\"node\":null}",
		  "{\"run_id\":\"a\"}" },
		{ "{\"run_id\":\"a\",\"run_id\":\"b\"}", "{\"run_id\":\"b\"}" },
		{ "{\"run_id\":1,\"run_id\":\"b\"}", "{\"run_id\":\"b\"}" },
		{ "{\"run_id\":\"a\",\"key\":\"k\",\"key\":null}", "{\"run_id\":\"a\"}" },
		{ "{\"run_id\":\"a\",\"order_by\":[\"x\"],\"order_by\":[\"y\",\"z\"]}",
		  "{\"run_id\":\"a\",\"order_by\":[\"y\",\"z\"]}" },
		{ "{\"run_id\":\"a\",\"metrics\":[{}],\"metrics\":[]}", "{\"run_id\":\"a\"}" },
		/* the alias */
		{ "{\"run_uuid\":\"u\"}", "{\"run_id\":\"u\"}" },
		{ "{\"run_uuid\":\"u\",\"run_id\":\"r\"}", "{\"run_id\":\"r\"}" },
		{ "{\"run_id\":\"r\",\"run_uuid\":\"u\"}", "{\"run_id\":\"r\"}" },
		{ "{\"run_id\":null,\"run_uuid\":\"u\"}", "{\"run_id\":\"u\"}" },
		{ "{\"run_uuid\":\"u\",\"run_id\":null}", "{\"run_id\":\"u\"}" },
		/* strings */
		{ "{\"run_id\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20ac\\ud83d\\ude00é€😀.\"}",
		  "{\"run_id\":\"\\\"\\\\/\\b\\f\\n\\r\\té€😀é€😀.\"}" },
		{ "{\"run_id\":\"a\",\"key\":\"\",\"order_by\":[\"\",\"\\u0041 b\"]}",
		  "{\"run_id\":\"a\",\"key\":\"\",\"order_by\":[\"\",\"A b\"]}" },
		/* others */
		{ "{\"run_id\":\"a\",\"flag\":true}", "{\"run_id\":\"a\",\"flag\":true}" },
		{ "{\"run_id\":\"a\",\"flag\":false}", "{\"run_id\":\"a\",\"flag\":false}" },
		{ "{\"run_id\":\"a\",\"view_type\":3}", "{\"run_id\":\"a\",\"view_type\":"
		  "\"ALL\"}" },
		{ "{\"run_id\":\"a\",\"view_type\":\"2\"}", "{\"run_id\":\"a\",\"view_type\":"
		  "\"DELETED_ONLY\"}" },
		{ "{\"run_id\":\"a\",\"view_type\":\"BOGUS\"}", "{\"run_id\":\"a\"}" },
		{ "{\"run_id\":\"a\",\"extra\": {\"a\" : [1, 2.50,\"\\u00e9\"]} }",
		  "{\"run_id\":\"a\",\"extra\":{\"a\" : [1, 2.50,\"\\u00e9\"]}}" },
		{ "{\"run_id\":\"a\",\"last_metric\":{\"key\":\"k\",\"value\":1,\"timestamp\":2}}",
		  "{\"run_id\":\"a\",\"last_metric\":{\"key\":\"k\",\"value\":1.0,\"timestamp\":"
		    "2}}" },
		{ "{\"run_id\":\"a\",\"metrics\":[{\"key\":\"k\",\"value\":0.25,\"timestamp\":2,"
		  "\"step\":0},"
		  " {\"step\":-3,\"timestamp\":\"4\",\"value\":\"NaN\",\"key\":\"l\"}]}",
		  "{\"run_id\":\"a\",\"metrics\":[{\"key\":\"k\",\"value\":0.25,\"timestamp\":2,"
		    "\"step\":0},"
		  "{\"key\":\"l\",\"value\":\"NaN\",\"timestamp\":4,\"step\":-3}]}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct ctx c = { .arena = arena_new(1 << 20) };
		struct buf b = BUF(c.arena, 1 << 16);
		struct all *got = expect(&c, cases[i].in, strlen(cases[i].in), NULL);

		record_write(&b, &all_record, got);
		assert_string_equal(buf_text(&b), cases[i].out);
		arena_free(c.arena);
	}
}

/* Texts compared with handlers._get_request_message() of 3.17.2, where that has an answer. */
static const struct {
	const char *in, *message;
} wrong_cases[] = {
	{ "", MISSING("run_id") },
	{ " \n", MISSING("run_id") },
	{ "{}", MISSING("run_id") },
	{ "null", MISSING("run_id") },
	{ "{\"run_id\":\"\"}", MISSING("run_id") },
	{ "{\"run_id\":null,\"key\":1}", MISSING("run_id") },
	{ "{\"run_id\":123,\"key\":5}", WRONG("123", "run_id", "int") },
	{ "{\"key\":5,\"run_id\":123}", WRONG("123", "run_id", "int") },
	{ "{\"key\":5,\"run_id\":\"r\"}", WRONG("5", "key", "int") },
	{ "\"{\\\"run_id\\\":7}\"", WRONG("7", "run_id", "int") },
	{ "{\"run_uuid\":123}", WRONG("123", "run_id", "int") },
	{ "{\"run_id\":7,\"run_uuid\":\"u\"}", WRONG("7", "run_id", "int") },
	{ "{\"run_id\":\"b\",\"run_id\":1}", WRONG("1", "run_id", "int") },
	{ "{\"run_id\":true}", WRONG("true", "run_id", "bool") },
	{ "{\"run_id\":1.5}", WRONG("1.5", "run_id", "float") },
	{ "{\"run_id\":1e5}", WRONG("1e5", "run_id", "float") },
	{ "{\"run_id\":NaN}", WRONG("NaN", "run_id", "float") },
	{ "{\"run_id\":-Infinity}", WRONG("-Infinity", "run_id", "float") },
	{ "{\"run_id\":[ \"a\" , 1 ]}", WRONG("[\"a\",1]", "run_id", "list") },
	{ "{\"run_id\":{\"a\\/b\" : \"é \\\"q\\\" \\ud83d\\ude00\\n\\u007f\\u0001\"}}",
	  WRONG("{\"a/b\":\"\\u00e9 \\\"q\\\" \\ud83d\\ude00\\n\\u007f\\u0001\"}",
	    "run_id", "dict") },
	{ "{\"run_id\":\"r\",\"runId\":\"q\"}",
	  "Request specifies both 'run_id' and 'runId'; provide only one of them." },
	{ "{\"orderBy\":1,\"order_by\":null}",
	  "Request specifies both 'order_by' and 'orderBy'; provide only one of them." },
	{ "{\"run_id\":\"r\",\"value\":\"x\"}", WRONG("\"x\"", "value", "str") },
	{ "{\"run_id\":\"r\",\"value\":\"\"}", WRONG("\"\"", "value", "str") },
	{ "{\"run_id\":\"r\",\"value\":[]}", WRONG("[]", "value", "list") },
	{ "{\"run_id\":\"r\",\"step\":1.5}", WRONG("1.5", "step", "float") },
	{ "{\"run_id\":\"r\",\"step\":\"abc\"}", WRONG("\"abc\"", "step", "str") },
	{ "{\"run_id\":\"r\",\"step\":9223372036854775808}",
	  WRONG("9223372036854775808", "step", "int") },
	{ "{\"run_id\":\"r\",\"step\":false}", WRONG("false", "step", "bool") },
	{ "{\"run_id\":\"r\",\"step\":NaN}", WRONG("NaN", "step", "float") },
	{ "{\"run_id\":\"r\",\"flag\":\"true\"}", WRONG("\"true\"", "flag", "str") },
	{ "{\"run_id\":\"r\",\"flag\":1}", WRONG("1", "flag", "int") },
	{ "{\"run_id\":\"r\",\"view_type\":99}", WRONG("99", "view_type", "int") },
	{ "{\"run_id\":\"r\",\"view_type\":0}", WRONG("0", "view_type", "int") },
	{ "{\"run_id\":\"r\",\"view_type\":{}}", WRONG("{}", "view_type", "dict") },
	{ "{\"run_id\":\"r\",\"order_by\":\"x\"}", WRONG("\"x\"", "order_by", "str") },
	{ "{\"run_id\":\"r\",\"order_by\":[\"a\\/\", 1]}", WRONG("[\"a/\",1]", "order_by",
	  "list") },
	{ "{\"run_id\":\"r\",\"order_by\":[null]}", WRONG("[null]", "order_by", "list") },
	{ "{\"run_id\":\"r\",\"metrics\":{}}", WRONG("{}", "metrics", "dict") },
	{ "{\"run_id\":\"r\",\"metrics\":[1]}", WRONG("1", "metrics[0]", "int") },
	{ "{\"run_id\":\"r\",\"metrics\":[null]}", WRONG("null", "metrics[0]",
	  "NoneType") },
	{ "{\"run_id\":\"r\",\"metrics\":[{\"key\":\"k\",\"value\":1,\"timestamp\":1},"
	  "{\"timestamp\":\"x\",\"key\":\"k\",\"value\":[1]}, {\"key\":1}]}",
	  WRONG("[1]", "metrics[1].value", "list") },
	{ "{\"run_id\":\"r\",\"metrics\":[{\"key\":\"k\",\"value\":1,\"timestamp\":1},"
	  "{\"key\":\"k\"}]}",
	  MISSING("metrics[1].value") },
	{ "{\"run_id\":\"r\",\"metrics\":[{\"key\":\"\"}]}", MISSING("metrics[0].key") },
	{ "{\"run_id\":\"r\",\"metrics\":[{\"key\":\"k\",\"value\":\"\"}]}",
	  MISSING("metrics[0].value") },
	{ "{\"metrics\":[{}]}", MISSING("run_id") },
	{ "{\"run_id\":\"r\",\"last_metric\":{\"key\":7}}", WRONG("7", "last_metric.key",
	  "int") },
	{ "{\"run_id\":\"r\",\"last_metric\":\"x\"}", WRONG("\"x\"", "last_metric",
	  "str") },
	{ "{\"run_id\":\"r\",\"node\":{\"nodes\":[{},{\"node\":{\"nodes\":[{},2]}}]}}",
	  WRONG("2", "node.nodes[1].node.nodes[1]", "int") },
	{ "[1]", "Request body must be a JSON object, not 'list'." },
	{ "12", "Request body must be a JSON object, not 'int'." },
	{ "\"\\\"x\\\"\"", "Request body must be a JSON object, not 'str'." },
};

static void test_wrong(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrong_cases) / sizeof(*wrong_cases); i++) {
		struct ctx c = { .arena = arena_new(1 << 20) };

		expect(&c, wrong_cases[i].in, strlen(wrong_cases[i].in), wrong_cases[i].message);
		arena_free(c.arena);
	}
}

static void test_malformed(void **state)
{
#define TEXT(s) s, sizeof(s) - 1
	static const struct {
		const char *in;
		size_t size;
		const char *message;
	} cases[] = {
		{ TEXT("{"), MALFORMED("member name expected at byte 1") },
		{ TEXT("{\"run_id\""), MALFORMED("':' expected at byte 9") },
		{ TEXT("{\"run_id\":"), MALFORMED("unexpected end at byte 10") },
		{ TEXT("{\"run_id\":\"a"), MALFORMED("unterminated string at byte 12") },
		{ TEXT("{\"run_id\":\"a\""), MALFORMED("',' or '}' expected at byte 13") },
		{ TEXT("{\"run_id\":\"a\",}"), MALFORMED("member name expected at byte 14") },
		{ TEXT("{\"run_id\":\"a\"} x"), MALFORMED("text after the value at byte 15") },
		{ TEXT("{\"run_id\":1}}"), MALFORMED("text after the value at byte 12") },
		{ TEXT("{'run_id':1}"), MALFORMED("member name expected at byte 1") },
		{ TEXT("{\"run_id\":\"\\x\"}"), MALFORMED("bad escape at byte 12") },
		{ TEXT("{\"run_id\":\"\\u12g4\"}"), MALFORMED("bad \\u escape at byte 13") },
		{ TEXT("{\"run_id\":\"\\u12"), MALFORMED("bad \\u escape at byte 13") },
		{ TEXT("{\"run_id\":\"\\u0000\"}"), MALFORMED("NUL character at byte 13") },
		{ TEXT("{\"other\":\"\\u0000\"}"), MALFORMED("NUL character at byte 12") },
		{ TEXT("{\"run_id\":\"\\ud83d\"}"), MALFORMED("lone surrogate at byte 17") },
		{ TEXT("{\"run_id\":\"\\ud83d\\u0041\"}"), MALFORMED("lone surrogate at byte 17") },
		{ TEXT("{\"run_id\":\"\\ude00\"}"), MALFORMED("lone surrogate at byte 17") },
		{ TEXT("{\"run_id\":\"a\nb\"}"), MALFORMED("control character in a string at byte "
		  "12") },
		{ TEXT("{\"x\":\"a\tb\"}"), MALFORMED("control character in a string at byte 7") },
		{ TEXT("{\"run_id\":\"a\0b\"}"), "Request body is not valid UTF-8 at byte 12." },
		{ TEXT("{\"run_id\":\"a\xc3(\"}"), "Request body is not valid UTF-8 at byte 12." },
		{ TEXT("{\"run_id\":\"é\xff\"}"), "Request body is not valid UTF-8 at byte 13." },
		{ TEXT("{\"run_id\":\"\xed\xa0\x80\"}"), "Request body is not valid UTF-8 at byte "
		  "11." },
		{ TEXT("\xef\xbb\xbf{}"), MALFORMED("bad value at byte 0") },
		{ TEXT("{\"step\":01}"), MALFORMED("',' or '}' expected at byte 9") },
		{ TEXT("{\"step\":-}"), MALFORMED("bad value at byte 9") },
		{ TEXT("{\"value\":.5}"), MALFORMED("bad value at byte 9") },
		{ TEXT("{\"value\":1.}"), MALFORMED("bad number at byte 11") },
		{ TEXT("{\"value\":1e}"), MALFORMED("bad number at byte 11") },
		{ TEXT("{\"value\":0x10}"), MALFORMED("',' or '}' expected at byte 10") },
		{ TEXT("{\"value\":nan}"), MALFORMED("bad value at byte 9") },
		{ TEXT("{\"flag\":tru}"), MALFORMED("bad value at byte 8") },
		{ TEXT("{\"flag\":truex}"), MALFORMED("',' or '}' expected at byte 12") },
		{ TEXT("{\"metrics\":[1"), MALFORMED("',' or ']' expected at byte 13") },
		{ TEXT("{\"metrics\":[{}"), MALFORMED("',' or ']' expected at byte 14") },
		{ TEXT("{\"metrics\":[{},]}"), MALFORMED("bad value at byte 15") },
		{ TEXT("{\"order_by\":[\"a\" \"b\"]}"), MALFORMED("',' or ']' expected at byte "
		  "17") },
		{ TEXT("{\"order_by\":[\"a\",]}"), MALFORMED("bad value at byte 17") },
		{ TEXT("{\"x\":[1}"), MALFORMED("',' or ']' expected at byte 7") },
		{ TEXT("{\"x\":{\"a\":1]"), MALFORMED("',' or '}' expected at byte 11") },
		{ TEXT("{\"x\":{\"a\" 1}"), MALFORMED("':' expected at byte 10") },
		{ TEXT("{\"x\":{1:2}}"), MALFORMED("member name expected at byte 6") },
		{ TEXT("{\"extra\":NaN}"), MALFORMED("bad value at byte 9") },
		{ TEXT("{\"run_id\":1 \"key\":2}"), MALFORMED("',' or '}' expected at byte 12") },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct ctx c = { .arena = arena_new(1 << 20) };

		expect(&c, cases[i].in, cases[i].size, cases[i].message);
		assert_int_equal(c.error.code, MALFORMED_REQUEST);
		arena_free(c.arena);
	}
}

static void test_int64(void **state)
{
	static const struct {
		const char *in;
		bool good;
		int64_t out;
	} cases[] = {
		{ "0", true, 0 }, { "-0", true, 0 }, { "7", true, 7 }, { "-7", true, -7 },
		{ "9223372036854775807", true, INT64_MAX }, { "-9223372036854775808", true,
		  INT64_MIN },
		{ "9223372036854775808", false, 0 }, { "-9223372036854775809", false, 0 },
		{ "123456789012345678", true, 123456789012345678 },
		{ "12.0", true, 12 }, { "12.5", false, 0 }, { "1e3", true, 1000 }, { "1E+3", true,
		  1000 },
		{ "12000e-3", true, 12 }, { "12001e-3", false, 0 }, { "1e18", true,
		  1000000000000000000 },
		{ "1e19", false, 0 }, { "0e999999999999", true, 0 }, { "1e-999999999999", false,
		  0 },
		{ "9007199254740993.0", true, 9007199254740993 },
		{ "9223372036854775807.000000000000000000000", true, INT64_MAX },
		{ "1000000000000000000000000e-24", true, 1 },
		{ "12345678901234567890123e-22", false, 0 },
		{ "\"12\"", true, 12 }, { "\"-12\"", true, -12 }, { "\"+12\"", true, 12 },
		{ "\"12.0\"", true, 12 }, { "\"1\\u0032\"", true, 12 }, { "\" 12\"", false, 0 },
		{ "\"12x\"", false, 0 }, { "\"0x10\"", false, 0 }, { "\"\"", false, 0 },
		{ "\"9223372036854775808\"", false, 0 }, { "\"NaN\"", false, 0 }, { "true", false,
		  0 },
		{ "Infinity", false, 0 }, { "1e400", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct ctx c = { .arena = arena_new(1 << 20) };
		struct all out = { 0 };
		char *text = arena_printf(c.arena, "{\"step\":%s,\"run_id\":\"r\"}", cases[i].in);
		int result = record_read(&c, &all_record, text, strlen(text), &out);

		if (result != (cases[i].good ? 0 : -1))
			print_message("%s\n", cases[i].in);
		assert_int_equal(result, cases[i].good ? 0 : -1);
		if (cases[i].good)
			assert_int_equal(*out.step, cases[i].out);
		arena_free(c.arena);
	}
}

static void test_double(void **state)
{
	static const struct {
		const char *in;
		double out;
	} cases[] = {
		{ "0", 0 }, { "-0.0", -0.0 }, { "1", 1 }, { "0.1", 0.1 }, { "-2.5e-3", -2.5e-3 },
		{ "1e22", 1e22 }, { "1e23", 1e23 }, { "0.30000000000000004", 0.30000000000000004 },
		{ "0.8401877171547095", 0.8401877171547095 }, { "9007199254740993",
		  9007199254740992 },
		{ "9007199254740995", 9007199254740996 }, { "18446744073709551615",
		  18446744073709551615.0 },
		{ "123456789012345678901234567890", 123456789012345678901234567890.0 },
		{ "2.2250738585072011e-308", 2.2250738585072011e-308 }, { "5e-324", 5e-324 },
		{ "1e-400", 0 }, { "1.7976931348623157e308", 1.7976931348623157e308 },
		{ "1e400", HUGE_VAL }, { "-1e400", -HUGE_VAL }, { "Infinity", HUGE_VAL },
		{ "-Infinity", -HUGE_VAL }, { "NaN", (double)NAN }, { "\"NaN\"", (double)NAN },
		{ "\"nan\"", (double)NAN }, { "\"Infinity\"", HUGE_VAL }, { "\"-Infinity\"",
		  -HUGE_VAL },
		{ "\"inf\"", HUGE_VAL }, { "\"1.5\"", 1.5 }, { "\".5\"", 0.5 }, { "\"5.\"", 5 },
		{ "\"+1e2\"", 100 }, { "\"1\\u002e5\"", 1.5 }, { "true", 1 }, { "false", 0 },
		{ "\"123456789012345678901234567890e-10\"", 12345678901234567890.1234567890 },
	};
	static const char *const bad[] = {
		"\"x\"", "\"1.5x\"", "\"0x10\"", "\"1 \"", "\".\"", "\"e5\"", "\"1e\"", "\"--1\"",
		"\"infinit\"", "\"1_0\"", "[]", "{}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct ctx c = { .arena = arena_new(1 << 20) };
		struct all out = { 0 };
		char *text = arena_printf(c.arena, "{\"value\":%s,\"run_id\":\"r\"}", cases[i].in);

		assert_int_equal(record_read(&c, &all_record, text, strlen(text), &out), 0);
		if (isnan(cases[i].out))
			assert_true(isnan(*out.value));
		else
			assert_memory_equal(out.value, &cases[i].out, sizeof(double));
		arena_free(c.arena);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct ctx c = { .arena = arena_new(1 << 20) };
		struct all out = { 0 };
		char *text = arena_printf(c.arena, "{\"value\":%s,\"run_id\":\"r\"}", bad[i]);

		assert_int_equal(record_read(&c, &all_record, text, strlen(text), &out), -1);
		assert_int_equal(c.error.code, INVALID_PARAMETER_VALUE);
		arena_free(c.arena);
	}
}

/* Against strtod(), in all lengths. */
static void test_double_rounding(void **state)
{
	uint64_t random = 88172645463325252u;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct ctx c = { .arena = arena_new(1 << 20) };
		struct all out = { 0 };
		char text[128];
		double v;
		int n;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		v = ldexp((double)(random >> 11), (int)(random % 160) - 130);
		n = snprintf(text, sizeof(text), "{\"run_id\":\"r\",\"value\":%.*e}", i % 24, v);
		v = strtod(text + 22, NULL);
		assert_int_equal(record_read(&c, &all_record, text, (size_t)n, &out), 0);
		assert_true(*out.value == v);
		arena_free(c.arena);
	}
}

/* {"run_id":"r", member: n times `open`, then n times `close` } */
static int read_deep(const char *member, const char *open, const char *close, size_t n,
                     struct ctx *c)
{
	struct buf b = BUF(c->arena, 1 << 24);
	struct job job = { .record = &all_record, .out = NEW(c->arena, struct all) };

	buf_addf(&b, "{\"run_id\":\"r\",\"%s\":", member);
	for (size_t i = 0; i < n; i++)
		buf_add(&b, open);
	buf_add(&b, "{}");
	for (size_t i = 0; i < n; i++)
		buf_add(&b, close);
	buf_add(&b, "}");
	job.text = buf_text(&b);
	job.size = b.size;
	return work_run(c, read_job, &job);
}

static void test_depth(void **state)
{
	static const struct {
		const char *member, *open, *close;
		size_t levels;
	} cases[] = {
		{ "unknown", "[", "]", 1 },
		{ "unknown", "{\"a\":", "}", 1 },
		{ "unknown", "[{\"a\":", "}]", 2 },
		{ "extra", "[", "]", 1 },
		{ "node", "{\"node\":", "}", 1 },
		{ "node", "{\"nodes\":[", "]}", 2 },
		{ "key", "[", "]", 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		for (int over = 0; over < 3; over++) {
			struct ctx c = { .arena = arena_new(64 << 20) };
			size_t n = (LIMIT_JSON_DEPTH - 2) / cases[i].levels;
			int result;

			if (over)
				n += over == 1 ? 1 : 500000;
			result = read_deep(cases[i].member, cases[i].open, cases[i].close, n, &c);
			if (over) {
				assert_int_equal(result, -1);
				assert_int_equal(c.error.code, MALFORMED_REQUEST);
				assert_non_null(strstr(c.error.message, "too deep nesting"));
			} else if (!strcmp(cases[i].member, "key")) {
				assert_int_equal(c.error.code, INVALID_PARAMETER_VALUE);
			} else {
				assert_int_equal(result, 0);
			}
			arena_free(c.arena);
		}
	}
}

/* The echoed value is cut; a huge body of mistakes costs one message only. */
static void test_long_values(void **state)
{
	struct ctx c = { .arena = arena_new(8 << 20) };
	struct buf b = BUF(c.arena, 4 << 20);
	struct job job = { .record = &all_record, .out = NEW(c.arena, struct all) };
	size_t before;

	(void)state;
	buf_add(&b, "{\"run_id\":\"r\",\"metrics\":[");
	for (int i = 0; i < 100000; i++)
		buf_add(&b, "\"xxxx\", ");
	buf_add(&b, "1]}");
	before = arena_used(c.arena);
	job.text = buf_text(&b);
	job.size = b.size;
	assert_int_equal(work_run(&c, read_job, &job), -1);
	assert_string_equal(c.error.message, WRONG("\"xxxx\"", "metrics[0]", "str"));
	assert_true(arena_used(c.arena) - before < 4000);

	error_clear(&c);
	b.size = 0;
	buf_add(&b, "{\"run_id\":[");
	for (int i = 0; i < 100000; i++)
		buf_add(&b, "\"é\", ");
	buf_add(&b, "1]}");
	job.text = buf_text(&b);
	job.size = b.size;
	assert_int_equal(work_run(&c, read_job, &job), -1);
	assert_true(strlen(c.error.message) < LIMIT_JSON_VALUE_ECHO + 250);
	assert_non_null(strstr(c.error.message, "... for parameter"));
	arena_free(c.arena);
}

/* Every limit leads to an error, none to a crash: the torture of curl's tests. */
static void test_memory(void **state)
{
	static const char text[] = "{\"run_id\":\"r\",\"order_by\":[\"a\",\"b\"],\"extra\":[1],"
	  "\"step\":\"\\u0031\","
		"\"metrics\":[{\"key\":\"a\",\"value\":1.5,\"timestamp\":1},{\"key\":\"a\","
		  "\"value\":[]}]}";
	int last = 0;

	(void)state;
	for (size_t limit = 200; limit < 8000; limit += 16) {
		struct ctx c = { .arena = arena_new(limit) };
		struct all out = { 0 };
		struct job job = { text, sizeof(text) - 1, &all_record, &out };

		assert_int_equal(work_run(&c, read_job, &job), -1);
		last = strstr(c.error.message, "metrics[1].value") != NULL;
		arena_free(c.arena);
	}
	assert_true(last);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_int64),
		cmocka_unit_test(test_double),
		cmocka_unit_test(test_double_rounding),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_long_values),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
