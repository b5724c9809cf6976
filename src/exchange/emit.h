/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* emit — gathers the rows of a source that makes them one by one. */
#ifndef EXCHANGE_EMIT_H
#define EXCHANGE_EMIT_H

#include "exchange/source.h"

struct emit {
	struct ctx *c;
	const struct source_sink *to;
	unsigned columns;
	struct source_value *values;
	size_t rows, groups;
	struct arena *texts;            /* emptied when rows are handed on */
};

/* texts: an arena for this alone. */
void emit_open(struct emit *e, struct ctx *c, enum source_table table, const struct source_sink *to,
	       struct arena *texts);
/* A further row, all NULL. NULL: the sink's error. */
struct source_value *emit_row(struct emit *e) MUST_CHECK;
/* Values of the newest row. A NULL text is NULL. */
void emit_text(struct emit *e, unsigned column, const char *text);
void emit_bytes(struct emit *e, unsigned column, const char *text, size_t size);
void emit_int(struct emit *e, unsigned column, int64_t value);
void emit_real(struct emit *e, unsigned column, double value);
void emit_bool(struct emit *e, unsigned column, bool value);
/* There is a value, but not one that fits. */
void emit_wrong(struct emit *e, unsigned column);
/* The order of groups: by text, or as numbers, with what is none behind them, by text. */
int emit_compare(const char *a, const char *b, bool numbers);
/* All rows of the group named `position` were given. */
int emit_group(struct emit *e, const char *position) MUST_CHECK;
/* At the end. */
int emit_flush(struct emit *e) MUST_CHECK;

#endif
