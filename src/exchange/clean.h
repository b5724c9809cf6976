/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* clean — a source's raw values made what our tables take, or refused. */
#ifndef EXCHANGE_CLEAN_H
#define EXCHANGE_CLEAN_H

#include "db/db.h"
#include "exchange/import.h"

struct arena;

struct clean {
	struct arena *arena;            /* of the texts */
	bool utf8, infinite;            /* something was repaired */
};

/* 0 and *out with its hash, or -1 and *why. */
int clean_value(struct clean *k, const struct source_column *column, const struct source_value *in,
                struct db_arg *out, uint64_t *hash, enum import_issue_kind *why);

/* A metric's value: NaN and infinities as MLflow means them. */
double clean_real(struct clean *k, double value);

/* Valid UTF-8, NUL-terminated. */
const char *clean_text(struct clean *k, const char *text, size_t size);

/* What a report calls a row: its first columns. */
const char *clean_label(struct arena *a, enum source_table t, const struct source_value *row);

#endif
