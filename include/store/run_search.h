/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* run_search — pages of whole runs. */
#ifndef STORE_RUN_SEARCH_H
#define STORE_RUN_SEARCH_H

#include "base/ctx.h"
#include "search/search.h"
#include "store/entities.h"

/* runs: struct run, with info, data, inputs and outputs. *next_token: NULL on the last page. */
int store_run_search(struct ctx *c, const struct search_query *q, struct list *runs,
                     const char **next_token)
	MUST_CHECK;

#endif
