/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What may be logged, against the answers of MLflow 3.17.2. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail                             /* ours is base/ctx.h */

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/limits.h"
#include "tracking/run.h"
#include "tracking/tracking.h"
#include "tracking/validate.h"

#define CHARACTERS                                                                                 \
	"Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces "  \
	"( ), "                                                                                    \
	"colon(:) and slashes (/)."
#define PATH                                                                                       \
	"Names may be treated as files in certain cases, and must not resolve to other names "     \
	"when treated as "                                                                         \
	"such. This name would resolve to "

static struct ctx c;
static const struct tracking_config config = { .artifact_root = "/a",
					       .truncate_long_values = true };

static int start(void **state)
{
	(void)state;
	tracking_configure(&config);
	c = (struct ctx){ .arena = arena_new(LIMIT_ARENA) };
	return 0;
}

static int stop(void **state)
{
	(void)state;
	arena_free(c.arena);
	return 0;
}

static const char *said(int result)
{
	const char *message = c.error.message;

	assert_int_equal(result, message ? -1 : 0);
	if (message)
		assert_int_equal(c.error.code, INVALID_PARAMETER_VALUE);
	error_clear(&c);
	return message;
}

static void check_text(const char *got, const char *want)
{
	if (!want)
		assert_null(got);
	else
		assert_string_equal(got ? got : "(no error)", want);
}

static const char *repeated(char ch, size_t n)
{
	char *s = arena_alloc(c.arena, n + 1);

	memset(s, ch, n);
	return s;
}

static void names(void **state)
{
	static const struct {
		const char *name, *shown, *why;
	} cases[] = {
		{ "a", NULL, NULL },
		{ "A b-c_d.e:f/g", NULL, NULL },
		{ "a.b", NULL, NULL },
		{ " ", NULL, NULL },
		{ "äö", NULL, NULL },
		{ "日本", NULL, NULL },
		{ "²½٣ªⅣ", NULL, NULL },
		{ "a\n", NULL, NULL },
		{ "a/..b", NULL, NULL },
		{ "a..", NULL, NULL },
		{ "a/b/c", NULL, NULL },
		{ "a?b", "a?b", CHARACTERS },
		{ "a\nb", "a\\nb", CHARACTERS },
		{ "a\tb", "a\\tb", CHARACTERS },
		{ "a\"b'c", "a\\\"b'c", CHARACTERS },
		{ "a\\b", "a\\\\b", CHARACTERS },
		{ "😀", "\\ud83d\\ude00", CHARACTERS },
		{ "e\u0301", "e\\u0301", CHARACTERS },
		{ "a\u00a0b", "a\\u00a0b", CHARACTERS },
		{ "a‿b", "a\\u203fb", CHARACTERS },
		{ "का", "\\u0915\\u093e", CHARACTERS },
		{ "\x7f", "\\u007f", CHARACTERS },
		{ "../x", "../x", PATH "'../x'" },
		{ "..x", "..x", PATH "'..x'" },
		{ "/x", "/x", PATH "'/x'" },
		{ "a//b", "a//b", PATH "'a/b'" },
		{ "a/", "a/", PATH "'a'" },
		{ ".", ".", PATH "'.'" },
		{ "./a", "./a", PATH "'a'" },
		{ "a/./b", "a/./b", PATH "'a/b'" },
		{ "a/../b", "a/../b", PATH "'b'" },
		{ "//a", "//a", PATH "'//a'" },
		{ "///a", "///a", PATH "'/a'" },
		{ "/", "/", PATH "'/'" },
		{ "//", "//", PATH "'//'" },
		{ "..", "..", PATH "'..'" },
		{ "a/..", "a/..", PATH "'.'" },
		{ "../../a", "../../a", PATH "'../../a'" },
		{ "a/../..", "a/../..", PATH "'..'" },
		{ "/..", "/..", PATH "'/'" },
		{ "/../a", "/../a", PATH "'/a'" },
		{ "", "", PATH "'.'" },
		{ "a/b/../..", "a/b/../..", PATH "'.'" },
		{ "../a/../b", "../a/../b", PATH "'../b'" },
		{ "a//\n", "a//\\n", PATH "'a/\\n'" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_text(
			said(tracking_validate_name(&c, cases[i].name, "key")),
			cases[i].why
				? arena_printf(
					  c.arena,
					  "Invalid value \"%s\" for parameter 'key' supplied: %s",
					  cases[i].shown, cases[i].why)
				: NULL);
}

static const char *metric(const char *key, double value, int64_t timestamp, const char *path)
{
	struct metric m = { .key = key, .value = &value, .timestamp = &timestamp };

	return said(tracking_validate_metric(&c, &m, path));
}

#define TIMESTAMP(shown)                                                                           \
	"Invalid value -1 for parameter 'timestamp' supplied: metric 'm' (value=" shown "). "      \
	"Timestamp must be a nonnegative long (64-bit integer) "

static void metrics(void **state)
{
	static const struct {
		double value;
		const char *text;
	} values[] = {
		{ 1, TIMESTAMP("1.0") },
		{ 0.1, TIMESTAMP("0.1") },
		{ 1e22, TIMESTAMP("1e+22") },
		{ NAN, TIMESTAMP("nan") },
		{ -INFINITY, TIMESTAMP("-inf") },
		{ 100000, TIMESTAMP("100000.0") },
		{ 1e16, TIMESTAMP("1e+16") },
		{ 1e15, TIMESTAMP("1000000000000000.0") },
		{ 1e-5, TIMESTAMP("1e-05") },
		{ 0.0001, TIMESTAMP("0.0001") },
		{ 0, TIMESTAMP("0.0") },
		{ -1.5e300, TIMESTAMP("-1.5e+300") },
		{ 1.0 / 3, TIMESTAMP("0.3333333333333333") },
		{ 12345.678, TIMESTAMP("12345.678") },
		{ -0.0, TIMESTAMP("-0.0") },
	};
	double up = INFINITY, down = -INFINITY;
	int64_t timestamp = 0;
	struct metric m = { .key = "m", .value = &up, .timestamp = &timestamp };

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		check_text(metric("m", values[i].value, -1, ""), values[i].text);
	check_text(metric(repeated('k', 250), 1, 0, ""), NULL);
	check_text(metric(repeated('k', 251), 1, 0, "metrics[1]."),
	           "'Metric name' exceeds the maximum length of 250 characters");
	check_text(metric("a?", 1, -1, "metrics[1]."),
	           "Invalid value \"a?\" for parameter 'metrics[1].name' supplied: " CHARACTERS);
	check_text(said(tracking_validate_metric(&c, &m, "")), NULL);
	assert_true(*m.value == 1.7976931348623157e308);
	assert_int_equal(*m.step, 0);
	m.value = &down;
	check_text(said(tracking_validate_metric(&c, &m, "")), NULL);
	assert_true(*m.value == -1.7976931348623157e308);
	m.dataset_name = "iris";
	m.dataset_digest = "";
	check_text(said(tracking_validate_metric(&c, &m, "")),
	           "Both dataset_name and dataset_digest must be provided if one is provided");
	m.dataset_digest = "d1";
	check_text(said(tracking_validate_metric(&c, &m, "")), NULL);
}

static void values(void **state)
{
	static const struct tracking_config strict = { .artifact_root = "/a" };
	struct tag t = { "k", NULL };
	char *wide = arena_alloc(c.arena, 6001 * 2 + 1);

	(void)state;
	assert_int_equal(tracking_validate_param(&c, &t, ""), 0);
	assert_string_equal(t.value, "");
	for (int i = 0; i < 6001; i++)
		memcpy(wide + 2 * i, "ä", 2);
	t.value = wide;
	assert_int_equal(tracking_validate_param(&c, &t, ""), 0);
	assert_int_equal(strlen(t.value), 12000);
	t.value = repeated('x', 8001);
	assert_int_equal(tracking_validate_tag(&c, &t, ""), 0);
	assert_int_equal(strlen(t.value), 8000);
	t.key = repeated('k', 251);
	check_text(said(tracking_validate_param(&c, &t, "params[0].")),
	           "'Param key' exceeds the maximum length of 250 characters");
	check_text(said(tracking_validate_tag(&c, &t, "tags[0].")),
	           "'tags[0].key' exceeds the maximum length of 250 characters");
	check_text(said(tracking_validate_tag(&c, &t, "")),
		   "'key' exceeds the maximum length of 250 characters");
	tracking_configure(&strict);
	t = (struct tag){ "k", repeated('x', 8001) };
	check_text(said(tracking_validate_param(&c, &t, "")),
	           "'Param value' exceeds the maximum length of 6000 characters");
	check_text(said(tracking_validate_tag(&c, &t, "tags[2].")),
	           "'tags[2].value' exceeds the maximum length of 8000 characters");
	tracking_configure(&config);
}

static void ids(void **state)
{
	int64_t id = 5;

	(void)state;
	check_text(said(tracking_validate_run_id(&c, "abc-_1")), NULL);
	check_text(said(tracking_validate_run_id(&c, "a b")),
		   "Invalid value \"a b\" for parameter 'run_id' supplied.");
	check_text(said(tracking_validate_run_id(&c, "-a")),
		   "Invalid value \"-a\" for parameter 'run_id' supplied.");
	check_text(said(tracking_validate_run_id(&c, "")),
		   "Invalid value \"\" for parameter 'run_id' supplied.");
	assert_null(said(tracking_validate_run_id(&c, repeated('a', 256))));
	assert_non_null(said(tracking_validate_run_id(&c, repeated('a', 257))));
	check_text(said(tracking_validate_experiment_id(&c, "00", &id)), NULL);
	assert_int_equal(id, 0);
	check_text(said(tracking_validate_experiment_id(&c, "-1", &id)), NULL);
	assert_int_equal(id, -1);
	check_text(said(tracking_validate_experiment_id(&c, "abc", &id)),
	           "Invalid experiment ID 'abc'. Experiment ID must be a valid integer.");
	assert_int_equal(tracking_validate_experiment_id(&c, "99999999999999999999", &id), -1);
	assert_int_equal(c.error.code, RESOURCE_DOES_NOT_EXIST);
	assert_string_equal(c.error.message, "No Experiment with id=99999999999999999999 exists");
	error_clear(&c);
}

/* ---- whole requests ---- */

#define TAGS(...)                                                                                  \
	{                                                                                          \
		(struct tag[]){ __VA_ARGS__ },                                                     \
			sizeof((struct tag[]){ __VA_ARGS__ }) / sizeof(struct tag)                 \
	}

static const char *create(struct create_run in, struct write *w, struct run_reply *out)
{
	*w = (struct write){ 0 };
	*out = (struct run_reply){ 0 };
	return said(tracking_run_create(&c, &in, w, out));
}

static void new_runs(void **state)
{
	struct write w;
	struct run_reply out;
	struct list same = TAGS({ "mlflow.runName", "a" }), other = TAGS({ "mlflow.runName", "b" });
	struct list twice = TAGS({ "k", "1" }, { "k", "2" }), odd = TAGS({ "a//b?", NULL });

	(void)state;
	check_text(create((struct create_run){ 0 }, &w, &out), NULL);
	assert_int_equal(w.create->experiment_id, 0);
	assert_string_equal(out.run->info->experiment_id, "0");
	assert_string_equal(out.run->info->user_id, "");
	assert_int_equal(*out.run->info->start_time, 0);
	assert_true(strlen(w.create->name) <= 20);
	assert_int_equal(out.run->data->tags.count, 1);
	assert_null(out.run->outputs);
	check_text(create((struct create_run){ .run_name = "a", .tags = same }, &w, &out), NULL);
	assert_int_equal(w.tags.count, 1);
	check_text(create((struct create_run){ .tags = other }, &w, &out), NULL);
	assert_string_equal(w.create->name, "b");
	check_text(create((struct create_run){ .run_name = "a", .tags = other }, &w, &out),
		   "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with "
		   "different values "
		   "(run_name='a', mlflow.runName='b').");
	check_text(create((struct create_run){ .tags = odd }, &w, &out), NULL);
	assert_non_null(create((struct create_run){ .tags = twice }, &w, &out));
	assert_non_null(create((struct create_run){ .run_name = repeated('n', 251) }, &w, &out));
	assert_non_null(create((struct create_run){ .user_id = repeated('n', 257) }, &w, &out));
}

static const char *batch(struct log_batch in)
{
	struct write w = { 0 };
	struct empty out;

	in.run_id = in.run_id ? in.run_id : "r";
	return said(tracking_log_batch(&c, &in, &w, &out));
}

static struct list many_metrics(size_t n, const char *key)
{
	struct metric *m = NEW_ARRAY(c.arena, n, struct metric);

	for (size_t i = 0; i < n; i++)
		m[i] = (struct metric){ .key = key,
					.value = box_double(c.arena, 1),
					.timestamp = box_int64(c.arena, 1) };
	return (struct list){ m, n };
}

static struct list many_tags(size_t n, bool distinct)
{
	struct tag *t = NEW_ARRAY(c.arena, n, struct tag);

	for (size_t i = 0; i < n; i++)
		t[i] = (struct tag){ distinct ? arena_printf(c.arena, "k%zu", i) : "k", "v" };
	return (struct list){ t, n };
}

#define TOO_MANY(most, what, got)                                                                  \
	"A batch logging request can contain at most " most " " what ". Got " got " " what         \
	". Please split up " what " across multiple requests and try again."

static void batches(void **state)
{
	struct list bad = TAGS({ "b?", "1" });
	struct list twice = TAGS({ "a", "1" }, { "b", "1" }, { "a", "1" }, { "b", "1" });

	(void)state;
	check_text(batch((struct log_batch){ 0 }), NULL);
	check_text(batch((struct log_batch){ .run_id = "a b", .metrics = many_metrics(1, "a?") }),
	           "Invalid value \"a b\" for parameter 'run_id' supplied.");
	check_text(batch((struct log_batch){ .metrics = many_metrics(1, "a?"), .params = bad }),
	           "Invalid value \"a?\" for parameter 'metrics[0].name' supplied: " CHARACTERS);
	check_text(batch((struct log_batch){ .params = bad, .tags = bad }),
	           "Invalid value \"b?\" for parameter 'params[0].key' supplied: " CHARACTERS);
	check_text(batch((struct log_batch){ .tags = bad }),
	           "Invalid value \"b?\" for parameter 'tags[0].key' supplied: " CHARACTERS);
	check_text(batch((struct log_batch){ .params = twice }),
		   "Duplicate parameter keys have been submitted: ['a', 'b']. Please ensure the "
		   "request contains only "
		   "one param value per param key.");
	check_text(batch((struct log_batch){ .metrics = many_metrics(1000, "m") }), NULL);
	check_text(batch((struct log_batch){ .metrics = many_metrics(1001, "m") }),
		   TOO_MANY("1000", "metrics", "1001"));
	check_text(batch((struct log_batch){ .params = many_tags(101, false) }),
		   TOO_MANY("100", "params", "101"));
	check_text(batch((struct log_batch){ .tags = many_tags(101, true) }),
		   TOO_MANY("100", "tags", "101"));
	check_text(batch((struct log_batch){ .metrics = many_metrics(950, "m"),
					     .tags = many_tags(51, true) }),
		   TOO_MANY("1000", "metrics, params, and tags", "1001"));
}

static const char *inputs(struct dataset *d, struct list tags)
{
	struct dataset_input input = { .tags = tags, .dataset = d };
	struct log_inputs in = { .run_id = "r", .datasets = { &input, 1 } };
	struct write w = { 0 };
	struct empty out;

	return said(tracking_log_inputs(&c, &in, &w, &out));
}

static void datasets(void **state)
{
	struct dataset d = { "n", "d", "t", "s", NULL, NULL };
	struct list none = { 0 }, twice = TAGS({ "a", "1" }, { "a", "2" });
	struct list long_key = TAGS({ repeated('k', 256), "1" }),
		    long_value = TAGS({ "k", repeated('v', 501) });

	(void)state;
	check_text(inputs(&d, none), NULL);
	check_text(inputs(NULL, none), "Dataset cannot be None");
	assert_non_null(inputs(&d, twice));
	check_text(inputs(&d, long_key), "'key' exceeds the maximum length of 255 characters");
	check_text(inputs(&d, long_value), "'value' exceeds the maximum length of 500 characters");
	d.digest = repeated('d', 37);
	check_text(inputs(&d, none), "'digest' exceeds the maximum length of 36 characters");
	d.name = repeated('n', 501);
	check_text(inputs(&d, none), "'name' exceeds the maximum length of 500 characters");
	d.name = NULL;
	check_text(inputs(&d, none), "Dataset name cannot be None");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(metrics),
		cmocka_unit_test(values),
		cmocka_unit_test(ids),
		cmocka_unit_test(new_runs),
		cmocka_unit_test(batches),
		cmocka_unit_test(datasets),
	};

	return cmocka_run_group_tests_name("tracking_validate", tests, start, stop);
}
