/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * target — the request target, taken apart and percent-decoded exactly once, strictly: what a check
 * sees is what the handler uses.
 */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include <stddef.h>

#include "base/ctx.h"

struct argument {
	const char *name;
	const char *value;
};

struct target {
	const char *path;               /* begins with '/' */
	const struct argument *arguments;
	size_t count;
};

/* Only origin-form ("/path?query"). -1: INVALID_PARAMETER_VALUE. In a path %00 stays the text
   "%00", as with MLflow; in an argument it is refused. */
int target_parse(struct ctx *c, const char *raw, struct target *ret) MUST_CHECK;

/* The arguments of a posted form; path stays NULL. */
int target_form(struct ctx *c, const char *body, struct target *ret) MUST_CHECK;

/* First value of an argument, NULL: absent. */
const char *target_argument(const struct target *t, const char *name);

#endif
