/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "registry/webhook_send.h"
#include "store/text.h"

enum { TEXT_MOST = 6 * LIMIT_BODY };    /* a character of the body may become \u and four digits */

#define NAME_VERSION "\"name\": \"example_model\", \"version\": \"1\""
#define PROMPT_NAME_VERSION "\"name\": \"example_prompt\", \"version\": \"1\""
#define TAGS "\"tags\": {\"example_key\": \"example_value\"}"
#define PAIR "\"key\": \"example_key\", \"value\": \"example_value\""

static const char *const examples[EVENT_COUNT] = {
	[EVENT_REGISTERED_MODEL_CREATED] = "{\"name\": \"example_model\", " TAGS
		", \"description\": \"An example registered model\"}",
	[EVENT_MODEL_VERSION_CREATED] = "{" NAME_VERSION ", \"source\": \"models:/123\","
		" \"run_id\": \"abcd1234abcd5678\", " TAGS
		", \"description\": \"An example model version\"}",
	[EVENT_MODEL_VERSION_TAG_SET] = "{" NAME_VERSION ", " PAIR "}",
	[EVENT_MODEL_VERSION_TAG_DELETED] = "{" NAME_VERSION ", \"key\": \"example_key\"}",
	[EVENT_MODEL_VERSION_ALIAS_CREATED] = "{\"name\": \"example_model\","
		" \"alias\": \"example_alias\", \"version\": \"1\"}",
	[EVENT_MODEL_VERSION_ALIAS_DELETED] = "{\"name\": \"example_model\","
		" \"alias\": \"example_alias\"}",
	[EVENT_PROMPT_CREATED] = "{\"name\": \"example_prompt\", " TAGS
		", \"description\": \"An example prompt\"}",
	[EVENT_PROMPT_VERSION_CREATED] = "{" PROMPT_NAME_VERSION
		", \"template\": \"Hello {{name}}!\", " TAGS
		", \"description\": \"An example prompt version\"}",
	[EVENT_PROMPT_TAG_SET] = "{\"name\": \"example_prompt\", " PAIR "}",
	[EVENT_PROMPT_TAG_DELETED] = "{\"name\": \"example_prompt\", \"key\": \"example_key\"}",
	[EVENT_PROMPT_VERSION_TAG_SET] = "{" PROMPT_NAME_VERSION ", " PAIR "}",
	[EVENT_PROMPT_VERSION_TAG_DELETED] = "{" PROMPT_NAME_VERSION ", \"key\": \"example_key\"}",
	[EVENT_PROMPT_ALIAS_CREATED] = "{\"name\": \"example_prompt\","
		" \"alias\": \"example_alias\", \"version\": \"1\"}",
	[EVENT_PROMPT_ALIAS_DELETED] = "{\"name\": \"example_prompt\", \"alias\": \"example_alias\"}",
	[EVENT_BUDGET_POLICY_EXCEEDED] = "{\"budget_policy_id\": \"bp-abc123\","
		" \"budget_unit\": \"USD\", \"budget_amount\": 100.0, \"current_spend\": 105.5,"
		" \"duration_unit\": \"MONTHS\", \"duration_value\": 1, \"target_scope\": \"ENDPOINT\","
		" \"workspace\": \"default\", \"target_value\": \"ep-abc123\","
		" \"window_start\": 1704067200000}",
};

const char *registry_webhook_example(enum store_event e)
{
	return examples[e];
}

/* ---- json.dumps() ---- */

static void add_value(struct buf *to, const json_t *v);

static void add_object(struct buf *to, const json_t *v)
{
	const char *key;
	json_t *member;
	bool first = true;

	buf_addc(to, '{');
	json_object_foreach((json_t *)(uintptr_t)v, key, member) {
		if (!first)
			buf_add(to, ", ");
		first = false;
		store_text_json(to, key);
		buf_add(to, ": ");
		add_value(to, member);
	}
	buf_addc(to, '}');
}

static void add_array(struct buf *to, const json_t *v)
{
	buf_addc(to, '[');
	for (size_t i = 0; i < json_array_size(v); i++) {
		if (i)
			buf_add(to, ", ");
		add_value(to, json_array_get(v, i));
	}
	buf_addc(to, ']');
}

static void add_value(struct buf *to, const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		add_object(to, v);
		break;
	case JSON_ARRAY:
		add_array(to, v);
		break;
	case JSON_STRING:
		store_text_json(to, json_string_value(v));
		break;
	case JSON_INTEGER:
		buf_add_int64(to, json_integer_value(v));
		break;
	case JSON_REAL:
		store_text_float(to, json_real_value(v));
		break;
	case JSON_TRUE:
		buf_add(to, "true");
		break;
	case JSON_FALSE:
		buf_add(to, "false");
		break;
	case JSON_NULL:
		buf_add(to, "null");
		break;
	}
}

/* datetime.isoformat(), which leaves a fraction of 0 out. */
static void add_time(struct buf *to, int64_t us)
{
	time_t seconds = (time_t)(us / 1000000);
	struct tm t;
	char text[32];

	if (!gmtime_r(&seconds, &t) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &t))
		return;
	buf_addf(to, "\"%s", text);
	if (us % 1000000)
		buf_addf(to, ".%06d", (int)(us % 1000000));
	buf_add(to, "+00:00\"");
}

static void free_json(void *slot)
{
	json_decref(*(json_t **)slot);
}

const char *registry_webhook_body(struct ctx *c, enum store_event e, int64_t at_us, const char *data)
{
	struct buf b = BUF(c->arena, TEXT_MOST);
	json_t **tree = NEW(c->arena, json_t *);

	arena_defer(c->arena, free_json, tree);
	*tree = json_loads(data, JSON_DECODE_ANY, NULL);
	/* It is JSON of ours, and jansson does not always say that an allocation failed. */
	if (!*tree) {
		fail(c, TEMPORARILY_UNAVAILABLE, "The stored event cannot be read; try again later.");
		return NULL;
	}
	buf_addf(&b, "{\"entity\": \"%s\", \"action\": \"%s\", \"timestamp\": ", store_event_entity(e),
	         store_event_action(e));
	add_time(&b, at_us);
	buf_add(&b, ", \"data\": ");
	add_value(&b, *tree);
	buf_addc(&b, '}');
	if (buf_failed(&b)) {
		fail(c, INTERNAL_ERROR, "The stored event is too large.");
		return NULL;
	}
	return buf_text(&b);
}

const char *registry_webhook_signature(struct ctx *c, const char *secret, const char *delivery_id,
                                       const char *timestamp, const char *body)
{
	size_t n = strlen(delivery_id) + strlen(timestamp) + strlen(body) + 2;
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned char text[(32 + 2) / 3 * 4 + 1];
	unsigned size = 0;
	char *content = arena_alloc(c->arena, n + 1);
	char *to = stpcpy(stpcpy(content, delivery_id), ".");

	stpcpy(stpcpy(stpcpy(to, timestamp), "."), body);
	if (!HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)content, n, mac,
	          &size)) {
		fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
		return NULL;
	}
	EVP_EncodeBlock(text, mac, (int)size);
	return arena_printf(c->arena, "v1,%s", (const char *)text);
}
