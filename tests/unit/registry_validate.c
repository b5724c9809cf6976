/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Names, versions, aliases, tags and stages: what MLflow 3.17.2 answers to the same ones. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../../src/registry/validate.h"
#include "base/arena.h"
#include "base/limits.h"
#include "store/entities.h"
#include "store/model.h"
#include "tracking/tracking.h"

#include <cmocka.h>            /* last: it defines fail() */

static struct ctx c;

static int set_up(void **state)
{
	(void)state;
	tracking_configure(&(struct tracking_config){ .artifact_root = "mlflow-artifacts:/" });
	c = (struct ctx){ .arena = arena_new(LIMIT_ARENA) };
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(c.arena);
	return 0;
}

/* What was refused, word by word; NULL: nothing was. */
static void says(int result, const char *message)
{
	if (!message)
		assert_int_equal(result, 0);
	else if (!result || strcmp(c.error.message, message) != 0)
		fail_msg("'%s', not '%s'", result ? c.error.message : "fine", message);
	error_clear(&c);
}

static char *repeated(char ch, size_t n)
{
	char *text = arena_alloc(c.arena, n + 1);

	memset(text, ch, n);
	return text;
}

static void names(void **state)
{
	static const char *const fine[] = { "m", "a b", ".a", "a..", "a.b", "\xc3\xa4", "a\\b", "@",
		"a#b", "%2e%2e" };
	static const char *const blank[] = { "", " ", "\t\n", "\xc2\xa0", "\xe3\x80\x80" };

	(void)state;
	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
		says(validate_model_name(&c, fine[i], "name"), NULL);
	for (size_t i = 0; i < sizeof(blank) / sizeof(blank[0]); i++)
		says(validate_model_name(&c, blank[i], "new_name"),
		     "Missing value for required parameter 'new_name'.");
	says(validate_model_name(&c, "a/b", "name"),
	     "Invalid model name 'a/b'. Names cannot contain '/' or ':'.");
	says(validate_model_name(&c, "a:b", "name"),
	     "Invalid model name 'a:b'. Names cannot contain '/' or ':'.");
	says(validate_model_name(&c, "..", "name"),
	     "Invalid value \"..\" for parameter 'name' supplied: Names may be treated as files in"
	     " certain cases, and must not resolve to other names when treated as such. This name"
	     " would resolve to '..'");
	assert_int_equal(validate_model_name(&c, ".", "name"), -1);
	error_clear(&c);
	assert_int_equal(validate_model_name(&c, "..a", "name"), -1);
	error_clear(&c);
	says(validate_model_name(&c, repeated('n', 257), "name"), NULL);
	says(validate_new_model_name(&c, repeated('n', 256), "name"), NULL);
	says(validate_new_model_name(&c, repeated('n', 257), "name"),
	     "'name' exceeds the maximum length of 256 characters");
}

static void versions(void **state)
{
	static const struct {
		const char *text;
		int64_t number;
		const char *shown;
	} fine[] = {
		{ "1", 1, "1" }, { "01", 1, "1" }, { " 7\n", 7, "7" }, { "+3", 3, "3" },
		{ "1_0", 10, "10" }, { "0", 0, "0" }, { "-0", 0, "0" }, { "-1", 0, "-1" },
		{ "2147483647", INT32_MAX, "2147483647" }, { "2147483648", 0, "2147483648" },
		{ "99999999999999999999", 0, "99999999999999999999" },
	};
	static const char *const wrong[] = { "", "a", "1.0", "1e3", "0x1", "1_", "_1", "1__0",
		"--1", "1 2", "+", " " };

	(void)state;
	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
		struct version_number v = { -7, NULL };

		says(validate_version(&c, fine[i].text, "version", &v), NULL);
		assert_int_equal(v.number, fine[i].number);
		assert_string_equal(v.text, fine[i].shown);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct version_number v;

		says(validate_version(&c, wrong[i], "version", &v),
		     arena_printf(c.arena, "Parameter 'version' must be an integer, got '%s'.",
		                  wrong[i]));
	}
}

static void aliases(void **state)
{
	static const char *const fine[] = { "champion", "a_b-c", "-", "1", "v", "vx1", "V1x", "x",
		"\xc3\xa4" };
	static const char *const wrong[] = { "a b", "a.b", "a/b", "a:b", "@", "a\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
		says(validate_new_alias(&c, fine[i]), NULL);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		says(validate_alias(&c, wrong[i]),
		     arena_printf(c.arena, "Invalid alias name: '%s'. Names may only contain"
		                  " alphanumerics, underscores (_), and dashes (-).", wrong[i]));
	says(validate_alias(&c, ""), "Registered model alias name cannot be empty.");
	says(validate_alias(&c, "latest"), NULL);
	says(validate_alias(&c, "v1"), NULL);
	says(validate_new_alias(&c, "LaTeSt"), "'latest' alias name (case insensitive) is reserved.");
	says(validate_new_alias(&c, "v1"), "Version alias name 'v1' is reserved.");
	says(validate_new_alias(&c, "V007"), "Version alias name 'V007' is reserved.");
	says(validate_alias(&c, repeated('a', 255)), NULL);
	says(validate_alias(&c, repeated('a', 256)),
	     "'Registered model alias name' exceeds the maximum length of 255 characters");
}

static void stages(void **state)
{
	int64_t stage = -1;

	(void)state;
	says(validate_stage(&c, "production", &stage), NULL);
	assert_int_equal(stage, 2);
	says(validate_stage(&c, "NONE", &stage), NULL);
	assert_int_equal(stage, 0);
	says(validate_stage(&c, "Deleted_Internal", &stage),
	     "Invalid Model Version stage: Deleted_Internal. Value must be one of None, Staging,"
	     " Production, Archived.");
}

static void tags(void **state)
{
	struct tag given[] = { { "b", "1" }, { "a", NULL }, { "b", "2" }, { "c", "x" }, { "b", "3" } };
	struct tag bad[] = { { "b", "1" }, { NULL, "x" } };
	struct list kept;

	(void)state;
	says(validate_registry_tags(&c, &(struct list){ given, 5 }, &kept), NULL);
	assert_int_equal(kept.count, 3);
	assert_string_equal(LIST_AT(struct tag, &kept, 0)->key, "b");
	assert_string_equal(LIST_AT(struct tag, &kept, 0)->value, "3");
	assert_string_equal(LIST_AT(struct tag, &kept, 1)->value, "");
	assert_string_equal(LIST_AT(struct tag, &kept, 2)->key, "c");
	assert_int_equal(validate_registry_tags(&c, &(struct list){ bad, 2 }, &kept), -1);
	error_clear(&c);
	says(validate_registry_tags(&c, &(struct list){ 0 }, &kept), NULL);
	says(validate_registry_tag(&c, repeated('k', 251), ""),
	     "'key' exceeds the maximum length of 250 characters");
	says(validate_registry_tag(&c, "k", repeated('v', 100000)), NULL);
	says(validate_registry_tag(&c, "k", repeated('v', 100001)),
	     "'value' exceeds the maximum length of 100000 characters");
	says(validate_registry_tag(&c, "mlflow.prompt.text", repeated('v', 100001)),
	     "Prompt text exceeds max length of 100000 characters.");
}

static void prompts(void **state)
{
	struct tag yes[] = { { MODEL_PROMPT_TAG, "false" }, { MODEL_PROMPT_TAG, "TRUE" } };
	struct tag no[] = { { MODEL_PROMPT_TAG, "true" }, { MODEL_PROMPT_TAG, "1" } };
	struct tag nothing[] = { { NULL, NULL }, { MODEL_PROMPT_TAG, NULL } };

	(void)state;
	assert_true(store_model_is_prompt(&(struct list){ yes, 2 }));
	assert_false(store_model_is_prompt(&(struct list){ no, 2 }));
	assert_false(store_model_is_prompt(&(struct list){ nothing, 2 }));
	assert_false(store_model_is_prompt(&(struct list){ 0 }));
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(names), cmocka_unit_test(versions), cmocka_unit_test(aliases),
		cmocka_unit_test(stages), cmocka_unit_test(tags), cmocka_unit_test(prompts),
	};

	return cmocka_run_group_tests(all, set_up, tear_down);
}
