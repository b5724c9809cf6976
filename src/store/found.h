/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* found — the first of a search's two round trips: which entities are on the page, and in which revision. */
#ifndef STORE_FOUND_H
#define STORE_FOUND_H

#include <stddef.h>

#include "base/ctx.h"
#include "base/record.h"
#include "rendered.h"
#include "search/search.h"

struct found_row {
	const int64_t *id;
	const int64_t *revision;        /* NULL: none */
	struct list position;           /* const char * */
};

/* struct found_row, one more than the page has where there is a next one. */
int found_rows(struct ctx *c, const struct search_page *page, struct list *rows) MUST_CHECK;

/* Leaves those of the page, and names the next. q's page_token may be *next_token. */
int found_page(struct ctx *c, const struct search_query *q, const struct search_page *page,
               struct list *rows, struct revision **ret, const char **next_token) MUST_CHECK;

#endif
