/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "validate.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "store/entities.h"
#include "store/registered_model.h"
#include "store/text.h"
#include "tracking/validate.h"

enum { LIMIT_DIGITS = 4300 };           /* Python's int() */

const struct record registry_tag_record = { sizeof(struct tag), (const struct field[]){
	STRING(struct tag, key,   0),
	STRING(struct tag, value, 0),
	END }};

/* ---- names ---- */

/* str.isspace() */
static bool is_space(uint32_t ch)
{
	return (ch >= 9 && ch <= 13) || (ch >= 0x1c && ch <= 0x20) || ch == 0x85 || ch == 0xa0 ||
	       ch == 0x1680 || (ch >= 0x2000 && ch <= 0x200a) || ch == 0x2028 || ch == 0x2029 ||
	       ch == 0x202f || ch == 0x205f || ch == 0x3000;
}

static bool is_blank(const char *text)
{
	while (text && *text) {
		if (!is_space(utf8_next(&text)))
			return false;
	}
	return true;
}

/* What a name without slashes is as a path: only these are another one's. */
static int check_path(struct ctx *c, const char *name)
{
	struct buf json = BUF(c->arena, LIMIT_BODY), repr = BUF(c->arena, LIMIT_BODY);

	if (strcmp(name, ".") != 0 && strncmp(name, "..", 2) != 0)
		return 0;
	store_text_json(&json, name);
	store_text_repr(&repr, name);
	return fail(c, INVALID_PARAMETER_VALUE,
	            "Invalid value %s for parameter 'name' supplied: Names may be treated as files"
	            " in certain cases, and must not resolve to other names when treated as such."
	            " This name would resolve to %s", buf_text(&json), buf_text(&repr));
}

int validate_model_name(struct ctx *c, const char *name, const char *what)
{
	if (is_blank(name))
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Missing value for required parameter '%s'.", what);
	if (strpbrk(name, "/:"))
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Invalid model name '%s'. Names cannot contain '/' or ':'.", name);
	return check_path(c, name);
}

int validate_new_model_name(struct ctx *c, const char *name, const char *what)
{
	return validate_model_name(c, name, what) ? -1
		: tracking_validate_length(c, what, LIMIT_REGISTRY_NAME, name);
}

static bool is_word(const char *alias)
{
	for (const char *p = alias; *p; p++) {
		if (!isalnum((unsigned char)*p) && !strchr("_-", *p) && (unsigned char)*p < 0x80)
			return false;
	}
	return true;
}

/* Letters beyond ASCII are words too, as for tags; the rule of tags knows them. */
static bool is_alias(struct ctx *c, const char *alias)
{
	struct ctx trial = { .arena = c->arena };

	return is_word(alias) && tracking_validate_name(&trial, alias, "alias") == 0;
}

int validate_alias(struct ctx *c, const char *alias)
{
	if (!alias || !*alias)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Registered model alias name cannot be empty.");
	if (!is_alias(c, alias))
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Invalid alias name: '%s'. Names may only contain alphanumerics,"
		            " underscores (_), and dashes (-).", alias);
	return tracking_validate_length(c, "Registered model alias name", LIMIT_ALIAS, alias);
}

int validate_new_alias(struct ctx *c, const char *alias)
{
	if (validate_alias(c, alias))
		return -1;
	if (strcasecmp(alias, "latest") == 0)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "'latest' alias name (case insensitive) is reserved.");
	if (tolower((unsigned char)*alias) == 'v' && alias[1] &&
	    !alias[1 + strspn(alias + 1, "0123456789")])
		return fail(c, INVALID_PARAMETER_VALUE, "Version alias name '%s' is reserved.",
		            alias);
	return 0;
}

/* ---- versions ---- */

static const char *skip_space(const char *p)
{
	while (*p) {
		const char *next = p;

		if (!is_space(utf8_next(&next)))
			break;
		p = next;
	}
	return p;
}

/* The digits of an int() without their underscores; NULL: it is none. */
static char *digits_of(struct ctx *c, const char *p)
{
	char *digits = arena_alloc(c->arena, strlen(p) + 1);
	size_t n = 0;

	while (isdigit((unsigned char)*p)) {
		digits[n++] = *p++;
		if (*p == '_' && isdigit((unsigned char)p[1]))
			p++;
	}
	return n && n <= LIMIT_DIGITS && !*skip_space(p) ? digits : NULL;
}

int validate_version(struct ctx *c, const char *text, const char *what, struct version_number *ret)
{
	const char *p = skip_space(text ? text : "");
	bool negative = *p == '-';
	char *digits;

	p += *p == '-' || *p == '+';
	digits = digits_of(c, p);
	if (!digits)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Parameter '%s' must be an integer, got '%s'.", what,
		            text ? text : "");
	digits += strspn(digits, "0");
	if (!*digits)
		digits--;
	negative = negative && *digits != '0';
	ret->text = negative ? arena_printf(c->arena, "-%s", digits) : digits;
	ret->number = strlen(digits) <= 10 && !negative ? strtoll(digits, NULL, 10) : 0;
	if (ret->number > INT32_MAX)
		ret->number = 0;
	return 0;
}

/* ---- tags, stages, texts ---- */

int validate_registry_tag(struct ctx *c, const char *key, const char *value)
{
	if (tracking_validate_name(c, key, "key") ||
	    tracking_validate_length(c, "key", LIMIT_REGISTRY_TAG_KEY, key))
		return -1;
	if (strcmp(key, "mlflow.prompt.text") == 0 && strlen(value) > LIMIT_REGISTRY_TAG_VALUE &&
	    utf8_length(value) > LIMIT_REGISTRY_TAG_VALUE)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Prompt text exceeds max length of %d characters.",
		            LIMIT_REGISTRY_TAG_VALUE);
	return tracking_validate_length(c, "value", LIMIT_REGISTRY_TAG_VALUE, value);
}

struct place {
	const struct tag *tag;
	size_t at;
};

static int by_key(const void *a, const void *b)
{
	const struct place *left = a, *right = b;
	int order = strcmp(left->tag->key, right->tag->key);

	return order ? order : (left->at > right->at) - (left->at < right->at);
}

/* The last value of each key goes to the key's first place. */
static struct list distinct(struct ctx *c, struct tag *all, size_t count)
{
	struct place *places = NEW_ARRAY(c->arena, count, struct place);
	struct list kept = { all, 0 };

	for (size_t i = 0; i < count; i++)
		places[i] = (struct place){ &all[i], i };
	if (count)
		qsort(places, count, sizeof(*places), by_key);
	for (size_t i = 0, first = 0; i < count; i++) {
		bool last = i + 1 == count || strcmp(places[i].tag->key, places[i + 1].tag->key);

		if (!last)
			continue;
		all[places[first].at].value = places[i].tag->value;
		for (size_t k = first + 1; k <= i; k++)
			all[places[k].at].key = NULL;
		first = i + 1;
	}
	for (size_t i = 0; i < count; i++) {
		if (all[i].key)
			all[kept.count++] = all[i];
	}
	return kept;
}

int validate_registry_tags(struct ctx *c, const struct list *tags, struct list *ret)
{
	struct tag *all = NEW_ARRAY(c->arena, tags->count, struct tag);

	for (size_t i = 0; i < tags->count; i++) {
		const struct tag *t = LIST_AT(struct tag, tags, i);

		all[i] = (struct tag){ t->key ? t->key : "", t->value ? t->value : "" };
		if (validate_registry_tag(c, all[i].key, all[i].value))
			return -1;
	}
	*ret = distinct(c, all, tags->count);
	return 0;
}

int validate_stage(struct ctx *c, const char *stage, int64_t *ret)
{
	for (int64_t i = 0; model_stage_names[i]; i++) {
		if (strcasecmp(stage, model_stage_names[i]) == 0) {
			*ret = i;
			return 0;
		}
	}
	return fail(c, INVALID_PARAMETER_VALUE,
	            "Invalid Model Version stage: %s. Value must be one of None, Staging,"
	            " Production, Archived.", stage);
}

int validate_description(struct ctx *c, const char *text)
{
	return tracking_validate_length(c, "description", LIMIT_REGISTRY_TEXT, text);
}

int validate_reason(struct ctx *c, const char *text)
{
	return tracking_validate_length(c, "reason", LIMIT_MOVE_REASON, text);
}
