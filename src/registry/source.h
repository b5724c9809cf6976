/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * source — may a model version have this source (mlflow/server/handlers.py of 3.17.2,
 * _create_model_version and what it calls), and where are its artifacts?
 *
 * Nothing here looks at a file system or connects anywhere, so the answer tells nothing about
 * either; and what an accepted source may read is decided again where it is read, below the
 * artifact root. Stricter than MLflow: no ".." in any encoding, except plainly in a local path, which
 * is judged and kept without it; no fragments, no params, no control characters.
 */
#ifndef REGISTRY_SOURCE_H
#define REGISTRY_SOURCE_H

#include <stdbool.h>

#include "base/ctx.h"

struct source {
	const char *source;
	const char *run_id;             /* NULL: not given, which differs from "" */
	const char *model_id;
	bool prompt;

	/* What source_resolve() leaves: what the version gets. source becomes models:/name/number
	   where it was an alias or stage, a local path has no "..", the ids are never NULL. */
	const char *location;
	bool inherited_model;           /* model_id is that of the version that source names */
};
int source_resolve(struct ctx *c, struct source *s) MUST_CHECK;

/* Whether `source` is at or below `root`, both URIs or both paths. Pure text. */
bool source_is_below(struct ctx *c, const char *source, const char *root);

/* The checks that need no database: what no request may contain. */
int source_check(struct ctx *c, const char *source) MUST_CHECK;

#endif
