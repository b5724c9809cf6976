/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What MLflow 3.17.2 itself sends: made by its json.dumps() and _generate_hmac_signature(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "registry/webhook_send.h"

#include <cmocka.h>            /* last: it defines fail() */

static const struct {
	enum store_event event;
	const char *body;
} examples[] = {
	{ EVENT_REGISTERED_MODEL_CREATED,
	  "{\"entity\": \"registered_model\", \"action\": \"created\", \"timestamp\": \"2023-11"
	  "-14T22:13:20.123456+00:00\", \"data\": {\"name\": \"example_model\", \"tags\": {\"ex"
	  "ample_key\": \"example_value\"}, \"description\": \"An example registered model\"}}" },
	{ EVENT_MODEL_VERSION_CREATED,
	  "{\"entity\": \"model_version\", \"action\": \"created\", \"timestamp\": \"2023-11-14"
	  "T22:13:20.123456+00:00\", \"data\": {\"name\": \"example_model\", \"version\": \"1\""
	  ", \"source\": \"models:/123\", \"run_id\": \"abcd1234abcd5678\", \"tags\": {\"exampl"
	  "e_key\": \"example_value\"}, \"description\": \"An example model version\"}}" },
	{ EVENT_MODEL_VERSION_TAG_SET,
	  "{\"entity\": \"model_version_tag\", \"action\": \"set\", \"timestamp\": \"2023-11-14"
	  "T22:13:20.123456+00:00\", \"data\": {\"name\": \"example_model\", \"version\": \"1\""
	  ", \"key\": \"example_key\", \"value\": \"example_value\"}}" },
	{ EVENT_MODEL_VERSION_TAG_DELETED,
	  "{\"entity\": \"model_version_tag\", \"action\": \"deleted\", \"timestamp\": \"2023-1"
	  "1-14T22:13:20.123456+00:00\", \"data\": {\"name\": \"example_model\", \"version\": "
	  "\"1\", \"key\": \"example_key\"}}" },
	{ EVENT_MODEL_VERSION_ALIAS_CREATED,
	  "{\"entity\": \"model_version_alias\", \"action\": \"created\", \"timestamp\": \"2023"
	  "-11-14T22:13:20.123456+00:00\", \"data\": {\"name\": \"example_model\", \"alias\": "
	  "\"example_alias\", \"version\": \"1\"}}" },
	{ EVENT_MODEL_VERSION_ALIAS_DELETED,
	  "{\"entity\": \"model_version_alias\", \"action\": \"deleted\", \"timestamp\": \"2023"
	  "-11-14T22:13:20.123456+00:00\", \"data\": {\"name\": \"example_model\", \"alias\": "
	  "\"example_alias\"}}" },
	{ EVENT_PROMPT_CREATED,
	  "{\"entity\": \"prompt\", \"action\": \"created\", \"timestamp\": \"2023-11-14T22:13:"
	  "20.123456+00:00\", \"data\": {\"name\": \"example_prompt\", \"tags\": {\"example_key"
	  "\": \"example_value\"}, \"description\": \"An example prompt\"}}" },
	{ EVENT_PROMPT_VERSION_CREATED,
	  "{\"entity\": \"prompt_version\", \"action\": \"created\", \"timestamp\": \"2023-11-1"
	  "4T22:13:20.123456+00:00\", \"data\": {\"name\": \"example_prompt\", \"version\": \"1"
	  "\", \"template\": \"Hello {{name}}!\", \"tags\": {\"example_key\": \"example_value\""
	  "}, \"description\": \"An example prompt version\"}}" },
	{ EVENT_PROMPT_TAG_SET,
	  "{\"entity\": \"prompt_tag\", \"action\": \"set\", \"timestamp\": \"2023-11-14T22:13:"
	  "20.123456+00:00\", \"data\": {\"name\": \"example_prompt\", \"key\": \"example_key\""
	  ", \"value\": \"example_value\"}}" },
	{ EVENT_PROMPT_TAG_DELETED,
	  "{\"entity\": \"prompt_tag\", \"action\": \"deleted\", \"timestamp\": \"2023-11-14T22"
	  ":13:20.123456+00:00\", \"data\": {\"name\": \"example_prompt\", \"key\": \"example_k"
	  "ey\"}}" },
	{ EVENT_PROMPT_VERSION_TAG_SET,
	  "{\"entity\": \"prompt_version_tag\", \"action\": \"set\", \"timestamp\": \"2023-11-1"
	  "4T22:13:20.123456+00:00\", \"data\": {\"name\": \"example_prompt\", \"version\": \"1"
	  "\", \"key\": \"example_key\", \"value\": \"example_value\"}}" },
	{ EVENT_PROMPT_VERSION_TAG_DELETED,
	  "{\"entity\": \"prompt_version_tag\", \"action\": \"deleted\", \"timestamp\": \"2023-"
	  "11-14T22:13:20.123456+00:00\", \"data\": {\"name\": \"example_prompt\", \"version\":"
	  " \"1\", \"key\": \"example_key\"}}" },
	{ EVENT_PROMPT_ALIAS_CREATED,
	  "{\"entity\": \"prompt_alias\", \"action\": \"created\", \"timestamp\": \"2023-11-14T"
	  "22:13:20.123456+00:00\", \"data\": {\"name\": \"example_prompt\", \"alias\": \"examp"
	  "le_alias\", \"version\": \"1\"}}" },
	{ EVENT_PROMPT_ALIAS_DELETED,
	  "{\"entity\": \"prompt_alias\", \"action\": \"deleted\", \"timestamp\": \"2023-11-14T"
	  "22:13:20.123456+00:00\", \"data\": {\"name\": \"example_prompt\", \"alias\": \"examp"
	  "le_alias\"}}" },
	{ EVENT_BUDGET_POLICY_EXCEEDED,
	  "{\"entity\": \"budget_policy\", \"action\": \"exceeded\", \"timestamp\": \"2023-11-1"
	  "4T22:13:20.123456+00:00\", \"data\": {\"budget_policy_id\": \"bp-abc123\", \"budget_"
	  "unit\": \"USD\", \"budget_amount\": 100.0, \"current_spend\": 105.5, \"duration_unit"
	  "\": \"MONTHS\", \"duration_value\": 1, \"target_scope\": \"ENDPOINT\", \"workspace\""
	  ": \"default\", \"target_value\": \"ep-abc123\", \"window_start\": 1704067200000}}" },
};

static const char data[] =
	"{\"name\":\"ä€😀\\u0001\\\"\\\\/\\n\",\"tags\":{},\"list\":[],\"n\":[1,-5,1.0,1e+300"
	",1e-07,105.5,true,false,null,9007199254740993],\"o\":{\"b\":1,\"a\":{\"z\":\"\",\"\""
	":\"k\"}}}";

static const char body[] =
	"{\"entity\": \"prompt\", \"action\": \"created\", \"timestamp\": \"2023-11-14T22:13:"
	"20+00:00\", \"data\": {\"name\": \"\\u00e4\\u20ac\\ud83d\\ude00\\u007f\\u0001\\\"\\"
	"\\/\\n\", \"tags\": {}, \"list\": [], \"n\": [1, -5, 1.0, 1e+300, 1e-07, 105.5, true"
	", false, null, 9007199254740993], \"o\": {\"b\": 1, \"a\": {\"z\": \"\", \"\": \"k\""
	"}}}}";

static void every_event(void **state)
{
	struct ctx c = { .arena = arena_new(1 << 26) };

	(void)state;
	assert_int_equal(sizeof(examples) / sizeof(*examples), EVENT_COUNT);
	for (size_t i = 0; i < EVENT_COUNT; i++) {
		enum store_event e = examples[i].event;

		assert_string_equal(registry_webhook_body(&c, e, 1700000000123456,
		                                          registry_webhook_example(e)),
		                    examples[i].body);
	}
	arena_free(c.arena);
}

static void formatting(void **state)
{
	struct ctx c = { .arena = arena_new(1 << 26) };

	(void)state;
	assert_string_equal(registry_webhook_body(&c, EVENT_PROMPT_CREATED, 1700000000000000, data), body);
	assert_string_equal(registry_webhook_signature(&c, "s\xc3\xa9" "cret",
	                                               "11111111-2222-4333-8444-555555555555",
	                                               "1700000000", body),
	                    "v1,X3otSWEN7mnJZOBLdksDNd9UK6Fo3r6bXdADVbO1wWY=");
	assert_null(registry_webhook_body(&c, EVENT_PROMPT_CREATED, 0, "{\"a\":"));
	assert_int_equal(c.error.code, TEMPORARILY_UNAVAILABLE);
	arena_free(c.arena);
}

static void waiting(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_in_range(registry_webhook_backoff(1, 0), 1000, 1999);
		assert_in_range(registry_webhook_backoff(2, 0), 2000, 2999);
		assert_in_range(registry_webhook_backoff(6, 0), 32000, 32999);
		assert_in_range(registry_webhook_backoff(7, 0), 60000, 60999);
		assert_in_range(registry_webhook_backoff(1000000, 0), 60000, 60999);
		assert_in_range(registry_webhook_backoff(1, 120000), 120000, 120999);
	}
}

static void judging(void **state)
{
	static const int again[] = { 408, 425, 429, 500, 502, 503, 504, 599 };
	static const int never[] = { 301, 302, 307, 400, 401, 404, 410, 501, 505 };

	(void)state;
	for (size_t i = 0; i < sizeof(again) / sizeof(*again); i++)
		assert_true(registry_webhook_retriable(&(struct webhook_sent){ .status = again[i] }));
	for (size_t i = 0; i < sizeof(never) / sizeof(*never); i++)
		assert_false(registry_webhook_retriable(&(struct webhook_sent){ .status = never[i] }));
	assert_true(registry_webhook_retriable(&(struct webhook_sent){ .error = "timeout" }));
	assert_true(registry_webhook_retriable(&(struct webhook_sent){ .error = "secret" }));
	assert_false(registry_webhook_retriable(&(struct webhook_sent){ .error = "address" }));
	assert_false(registry_webhook_retriable(&(struct webhook_sent){ .error = "url" }));
	assert_true(registry_webhook_ok(&(struct webhook_sent){ .status = 204 }));
	assert_false(registry_webhook_ok(&(struct webhook_sent){ .status = 302 }));
	assert_false(registry_webhook_ok(&(struct webhook_sent){ .error = "reset" }));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_event), cmocka_unit_test(formatting), cmocka_unit_test(waiting),
		cmocka_unit_test(judging),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
