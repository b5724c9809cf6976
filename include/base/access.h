/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * access — what a search may show its user. http/auth.c fills it for FILTER_* routes before the
 * handler runs; searches put it into their statement, so that pages stay full and counts tell
 * nothing. ctx.access NULL: all.
 */
#ifndef BASE_ACCESS_H
#define BASE_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"

/* Default for what is not named, and the exceptions to it. */
struct access_ids {
	bool all;                       /* everything but `ids`; false: only `ids` */
	const int64_t *ids;
	size_t count;
};

struct access_names {
	bool all;
	const char *const *names;
	size_t count;
};

struct access {
	struct access_ids experiments;
	struct access_names models;     /* registered models but prompts, and their versions */
	struct access_names prompts;
};

/* Those of the experiments that c's user may see, in their order; *count becomes their number. */
const int64_t *access_experiments(struct ctx *c, const int64_t *ids, size_t *count);

#endif
