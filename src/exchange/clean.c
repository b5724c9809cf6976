/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "clean.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "tuple.h"

enum { RUN_ID_SIZE = 32, LABEL_COLUMNS = 3, LABEL_MAX = 300 };

/* clang-format off */
static const char *const lifecycles[] = { "active", "deleted", NULL };
static const char *const run_statuses[] = { "RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED", NULL };
static const char *const stages[] = { "None", "Staging", "Production", "Archived", "Deleted_Internal", NULL };
static const char *const version_statuses[] = {
	"READY", "PENDING_REGISTRATION", "FAILED_REGISTRATION", NULL
};
static const char *const webhook_statuses[] = { "ACTIVE", "DISABLED", NULL };

/* NULL means the first name. */
static const struct {
	unsigned flag;
	const char *const *names;
} choices[] = {
	{ SOURCE_LIFECYCLE, lifecycles },
	{ SOURCE_RUN_STATUS, run_statuses },
	{ SOURCE_STAGE, stages },
	{ SOURCE_VERSION_STATUS, version_statuses },
	{ SOURCE_WEBHOOK_STATUS, webhook_statuses },
};
/* clang-format on */

static const char *const *choices_of(unsigned flags)
{
	for (size_t i = 0; i < sizeof(choices) / sizeof(*choices); i++) {
		if (flags & choices[i].flag)
			return choices[i].names;
	}
	return NULL;
}

/* Bytes of the valid character at s; 0: there is none. */
static size_t character(const char *s, size_t n)
{
	for (size_t size = 1; size <= 4 && size <= n; size++) {
		if (utf8_valid(s, size))
			return size;
	}
	return 0;
}

const char *clean_text(struct clean *k, const char *text, size_t size)
{
	if (utf8_valid(text, size))
		return arena_strndup(k->arena, text, size);
	struct buf b = BUF(k->arena, SIZE_MAX / 2);
	k->utf8 = true;
	for (size_t i = 0; i < size;) {
		size_t n = character(text + i, size - i);
		if (n)
			buf_addn(&b, text + i, n);
		else
			buf_add(&b, "\xef\xbf\xbd");
		i += n ? n : 1;
	}
	return buf_text(&b);
}

double clean_real(struct clean *k, double value)
{
	if (!isinf(value))
		return value;
	k->infinite = true;
	return value > 0 ? DBL_MAX : -DBL_MAX;
}

static int take_text(struct clean *k, const struct source_column *column, const struct source_value *in,
		     struct db_arg *out, enum import_issue_kind *why)
{
	const char *const *names = choices_of(column->flags);
	const char *text = in->null ? "" : clean_text(k, in->text, in->size);
	uint8_t uuid[16];

	if ((column->flags & SOURCE_RUN_ID) && !id_parse_uuid(text, uuid)) {
		*why = IMPORT_ISSUE_RUN_ID;
		return -1;
	}
	if (names && in->null)
		text = names[0];
	for (; names && *names; names++) {
		if (!strcmp(*names, text))
			break;
	}
	if (names && !*names) {
		*why = IMPORT_ISSUE_UNKNOWN;
		return -1;
	}
	*out = TEXT(text);
	return 0;
}

static int take_int(const struct source_column *column, const struct source_value *in, struct db_arg *out,
		    enum import_issue_kind *why)
{
	int64_t v = in->null ? 0 : in->integer;
	bool fits = true;

	if (column->flags & SOURCE_INT2)
		fits = v >= INT16_MIN && v <= INT16_MAX;
	if (column->flags & SOURCE_INT4)
		fits = v >= 0 && v <= INT32_MAX;
	if (!fits) {
		*why = IMPORT_ISSUE_RANGE;
		return -1;
	}
	*out = BIGINT(v);
	return 0;
}

int clean_value(struct clean *k, const struct source_column *column, const struct source_value *in,
		struct db_arg *out, uint64_t *hash, enum import_issue_kind *why)
{
	static const char letters[] = { 't', 'i', 'd', 'b' };
	bool filled = (column->flags & (SOURCE_DEFAULT | SOURCE_NULL_IS_NAN)) || choices_of(column->flags);

	if (in->null && (column->flags & SOURCE_NULLABLE)) {
		*out = (struct db_arg){ .type = letters[column->type], .null = true };
		*hash = tuple_null();
		return 0;
	}
	if (in->wrong || (in->null && !filled)) {
		*why = in->wrong ? IMPORT_ISSUE_RANGE : IMPORT_ISSUE_MISSING;
		return -1;
	}
	switch (column->type) {
	case SOURCE_TEXT:
		if (take_text(k, column, in, out, why))
			return -1;
		*hash = tuple_text(out->text, strlen(out->text));
		return 0;
	case SOURCE_INT:
		if (take_int(column, in, out, why))
			return -1;
		*hash = tuple_int(out->integer);
		return 0;
	case SOURCE_REAL:
		*out = REAL(in->null ? (double)NAN : clean_real(k, in->real));
		*hash = tuple_real(out->real);
		return 0;
	case SOURCE_BOOL:
		*out = BOOLEAN(!in->null && in->boolean);
		*hash = tuple_int(out->boolean);
		return 0;
	}
	return -1;
}

const char *clean_label(struct arena *a, enum source_table t, const struct source_value *row)
{
	struct clean k = { .arena = a };
	struct buf b = BUF(a, LIMIT_SQL);

	for (unsigned i = 0; i < LABEL_COLUMNS && i < source_columns(t); i++) {
		const struct source_value *v = &row[i];
		if (i)
			buf_addc(&b, '/');
		if (v->null)
			buf_add(&b, "NULL");
		else if (v->wrong)
			buf_addc(&b, '?');
		else if (source_tables[t].columns[i].type == SOURCE_TEXT)
			buf_add(&b, clean_text(&k, v->text, v->size < LABEL_MAX ? v->size : LABEL_MAX));
		else if (source_tables[t].columns[i].type == SOURCE_INT)
			buf_addf(&b, "%" PRId64, v->integer);
		else if (source_tables[t].columns[i].type == SOURCE_REAL)
			buf_add_json_double(&b, v->real);
		else
			buf_add(&b, v->boolean ? "true" : "false");
	}
	return buf_text(&b);
}
