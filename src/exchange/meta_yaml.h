/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* meta_yaml — the small YAML files of MLflow's file store: a mapping of scalars, one of them perhaps
   a mapping of scalars itself. */
#ifndef EXCHANGE_META_YAML_H
#define EXCHANGE_META_YAML_H

#include <stdint.h>

#include "base/ctx.h"
#include "base/record.h"

struct meta_pair {
	const char *parent;             /* "" at the top */
	const char *key;
	const char *value;              /* NULL: null */
	size_t size;
	bool plain;                     /* without quotes: perhaps a number */
};

/* *ret: struct meta_pair. What is deeper is left out. -1: no YAML, or no mapping: error set. */
int meta_yaml_read(struct ctx *c, const char *text, size_t size, struct list *ret) MUST_CHECK;

/* The pair at the top; NULL: none. */
const struct meta_pair *meta_yaml_find(const struct list *meta, const char *key);
/* Its text; NULL: none or null. */
const char *meta_yaml_text(const struct list *meta, const char *key);
/* 1 a number; 0 none or null; -1 something else. */
int meta_yaml_int(const struct list *meta, const char *key, int64_t *ret);

/* A line of a metrics file: "timestamp value [step [more...]]", with what follows the step. */
struct metric_line {
	int64_t timestamp, step;
	double value;
	const char *rest;               /* "" or in the line */
};
bool metric_line_read(const char *line, struct metric_line *ret);

#endif
