/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "tracking/validate.h"

#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "store/text.h"
#include "tracking/tracking.h"

enum { MESSAGE = 1 << 20 };             /* a message repeats a key, which the body's limit bounds */

/* ---- characters ---- */

struct range {
	uint32_t first, last;
};

static const struct range words[] = {
#include "word_ranges.def"
};

static bool is_word(uint32_t ch)
{
	size_t low = 0, high = sizeof(words) / sizeof(words[0]);

	if (ch < 0x80)
		return isalnum((int)ch) || ch == '_';
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ch > words[middle].last)
			low = middle + 1;
		else if (ch < words[middle].first)
			high = middle;
		else
			return true;
	}
	return false;
}

/* Characters of words and of `also`. Python's $ also matches before a line end that closes the
   text. */
static bool made_of(const char *s, const char *also)
{
	while (*s) {
		uint32_t ch = utf8_next(&s);

		if (is_word(ch) || (ch < 0x80 && strchr(also, (int)ch)))
			continue;
		return ch == '\n' && !*s;
	}
	return true;
}

/* ---- paths ---- */

/* posixpath.normpath(). */
static const char *normalized(struct ctx *c, const char *path)
{
	size_t n = strlen(path), end = 0, slashes = strspn(path, "/");
	char *out = arena_alloc(c->arena, n + 2);
	size_t root;

	if (slashes)
		out[end++] = '/';
	if (slashes == 2)
		out[end++] = '/';
	root = end;
	for (const char *p = path; *p;) {
		size_t part = strcspn(p, "/");

		if (part == 2 && memcmp(p, "..", 2) == 0 && end > root &&
		    !(end - root >= 2 && memcmp(out + end - 2, "..", 2) == 0 &&
		      (end - root == 2 || out[end - 3] == '/'))) {
			while (end > root && out[end - 1] != '/')
				end--;
			end -= end > root;
		} else if (part && !(part == 1 && *p == '.') &&
		           !(part == 2 && memcmp(p, "..", 2) == 0 && slashes)) {
			if (end > root)
				out[end++] = '/';
			memcpy(out + end, p, part);
			end += part;
		}
		p += part;
		p += *p == '/';
	}
	out[end] = '\0';
	return end ? out : ".";
}

/* Most keys have none of what could make them another path. */
static bool plainly_normal(const char *name)
{
	return *name && !strchr(name, '/') && *name != '.';
}

static int invalid(struct ctx *c, const char *path, const char *value, const char *why)
{
	struct buf text = BUF(c->arena, MESSAGE);

	store_text_json(&text, value);
	return fail(c, INVALID_PARAMETER_VALUE, "Invalid value %s for parameter '%s' supplied%s%s",
	            buf_text(&text), path, *why ? ": " : ".", why);
}

static int validate_path(struct ctx *c, const char *name, const char *path)
{
	const char *norm = normalized(c, name);
	struct buf why = BUF(c->arena, MESSAGE);

	if (strcmp(norm, name) == 0 && strcmp(norm, ".") != 0 && strncmp(norm, "..", 2) != 0 &&
	    *norm != '/')
		return 0;
	buf_add(&why, "Names may be treated as files in certain cases, and must not resolve to "
		      "other names"
		      " when treated as such. This name would resolve to ");
	store_text_repr(&why, norm);
	return invalid(c, path, name, buf_text(&why));
}

int tracking_validate_name(struct ctx *c, const char *name, const char *path)
{
	if (!made_of(name, "/.- :"))
		return invalid(c, path, name,
			       "Names may only contain alphanumerics, underscores (_), dashes (-), "
			       "periods (.), spaces ( ), colon(:) and slashes (/).");
	return plainly_normal(name) ? 0 : validate_path(c, name, path);
}

/* ---- lengths ---- */

/* A text of few bytes has few characters. */
static bool longer(const char *value, size_t limit)
{
	return value && strlen(value) > limit && utf8_length(value) > limit;
}

int tracking_validate_length(struct ctx *c, const char *what, size_t limit, const char *value)
{
	if (!longer(value, limit))
		return 0;
	return fail(c, INVALID_PARAMETER_VALUE, "'%s' exceeds the maximum length of %zu characters",
		    what, limit);
}

static int validate_value(struct ctx *c, const char *what, size_t limit, const char **value)
{
	if (!*value)
		*value = "";
	if (longer(*value, limit) && tracking_settings()->truncate_long_values)
		*value = arena_strndup(c->arena, *value, utf8_prefix(*value, limit));
	return tracking_validate_length(c, what, limit, *value);
}

/* ---- ids ---- */

int tracking_validate_run_id(struct ctx *c, const char *run_id)
{
	if (isalnum((unsigned char)*run_id) && made_of(run_id + 1, "-") && !longer(run_id, 256))
		return 0;
	return invalid(c, "run_id", run_id, "");
}

/* int() of Python without its spaces and underscores. */
int tracking_validate_experiment_id(struct ctx *c, const char *text, int64_t *ret)
{
	const char *digits = text + (*text == '-' || *text == '+');
	char *end;

	if (!isdigit((unsigned char)*digits) || digits[strspn(digits, "0123456789")])
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Invalid experiment ID '%s'. Experiment ID must be a valid integer.",
			    text);
	errno = 0;
	*ret = strtoll(text, &end, 10);
	if (errno)
		return fail(c, RESOURCE_DOES_NOT_EXIST, "No Experiment with id=%s exists", text);
	return 0;
}

/* ---- entities ---- */

static const char *below(struct ctx *c, const char *path, const char *member)
{
	return *path ? arena_printf(c->arena, "%s%s", path, member) : member;
}

static int bad_timestamp(struct ctx *c, const struct metric *m, const char *path)
{
	struct buf value = BUF(c->arena, MESSAGE);

	store_text_float(&value, *m->value);
	return fail(c, INVALID_PARAMETER_VALUE,
		    "Invalid value %lld for parameter '%s' supplied: metric '%s' (value=%s). "
		    "Timestamp must be a "
		    "nonnegative long (64-bit integer) ",
		    (long long)*m->timestamp, below(c, path, "timestamp"), m->key,
		    buf_text(&value));
}

static bool given(const char *text)
{
	return text && *text;
}

int tracking_validate_metric(struct ctx *c, struct metric *m, const char *path)
{
	static const int64_t first_step = 0;
	static const double largest = DBL_MAX, smallest = -DBL_MAX;

	if (given(m->dataset_name) != given(m->dataset_digest))
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Both dataset_name and dataset_digest must be provided if one is "
			    "provided");
	if (tracking_validate_name(c, m->key, *path ? below(c, path, "name") : "name"))
		return -1;
	if (*m->timestamp < 0)
		return bad_timestamp(c, m, path);
	if (tracking_validate_length(c, "Metric name", LIMIT_KEY, m->key))
		return -1;
	if (!m->step)
		m->step = &first_step;
	if (isinf(*m->value))
		m->value = *m->value > 0 ? &largest : &smallest;
	/* Absent texts are empty ones on the wire. */
	if (m->model_id && !*m->model_id)
		m->model_id = NULL;
	if (!m->model_id)
		return 0;
	if (tracking_validate_length(c, below(c, path, "dataset_name"), LIMIT_DATASET_NAME,
				     m->dataset_name))
		return -1;
	return tracking_validate_length(c, below(c, path, "dataset_digest"), LIMIT_DATASET_DIGEST,
	                                m->dataset_digest);
}

int tracking_validate_param(struct ctx *c, struct tag *p, const char *path)
{
	if (tracking_validate_name(c, p->key, *path ? below(c, path, "key") : "key") ||
	    tracking_validate_length(c, "Param key", LIMIT_KEY, p->key))
		return -1;
	return validate_value(c, "Param value", LIMIT_PARAM_VALUE, &p->value);
}

int tracking_validate_tag(struct ctx *c, struct tag *t, const char *path)
{
	const char *key = below(c, path, "key");

	if (tracking_validate_name(c, t->key, key) ||
	    tracking_validate_length(c, key, LIMIT_KEY, t->key) ||
	    validate_value(c, below(c, path, "value"), LIMIT_TAG_VALUE, &t->value))
		return -1;
	if (strcmp(t->key, "mlflow.runName") == 0)
		return tracking_validate_length(c, "mlflow.runName", LIMIT_RUN_NAME, t->value);
	return 0;
}

/* ---- datasets ---- */

static int validate_dataset(struct ctx *c, const struct dataset *d)
{
	const struct {
		const char *name;
		const char *value;
		size_t limit;
		bool required;
	} parts[] = {
		{ "name", d->name, LIMIT_DATASET_NAME, true },
		{ "digest", d->digest, LIMIT_DATASET_DIGEST, true },
		{ "source_type", d->source_type, LIMIT_DATASET_SOURCE_TYPE, false },
		{ "source", d->source, LIMIT_DATASET_SOURCE, false },
		{ "schema", d->schema, LIMIT_DATASET_SCHEMA, false },
		{ "profile", d->profile, LIMIT_DATASET_PROFILE, false },
	};
	size_t count = sizeof(parts) / sizeof(parts[0]);

	for (size_t i = 0; i < count; i++) {
		if (parts[i].required && !parts[i].value)
			return fail(c, INVALID_PARAMETER_VALUE, "Dataset %s cannot be None",
				    parts[i].name);
	}
	for (size_t i = 0; i < count; i++) {
		if (tracking_validate_length(c, parts[i].name, parts[i].limit, parts[i].value))
			return -1;
	}
	return 0;
}

int tracking_validate_dataset_input(struct ctx *c, const struct dataset_input *d)
{
	if (!d->dataset)
		return fail(c, INVALID_PARAMETER_VALUE, "Dataset cannot be None");
	if (validate_dataset(c, d->dataset))
		return -1;
	for (size_t i = 0; i < d->tags.count; i++) {
		const struct tag *t = LIST_AT(struct tag, &d->tags, i);

		if (tracking_validate_length(c, "key", LIMIT_INPUT_TAG_KEY, t->key) ||
		    tracking_validate_length(c, "value", LIMIT_INPUT_TAG_VALUE, t->value))
			return -1;
		for (size_t j = 0; j < i; j++) {
			if (strcmp(LIST_AT(struct tag, &d->tags, j)->key, t->key) == 0)
				return fail(c, INVALID_PARAMETER_VALUE,
					    "Duplicate dataset input tag '%s': a key may be given "
					    "once.",
					    t->key);
		}
	}
	return 0;
}
