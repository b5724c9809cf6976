/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Any text as a filter, an order_by clause and a page token of each entity. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "search/search.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int build(struct ctx *c, void *arg)
{
	struct search_page page;
	return search_build(c, arg, &page) || search_build_ranked(c, arg, &page) < 0 ? -1 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int64_t id = 1;
	char *text = malloc(size + 1);
	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	const char *order = text;
	const char *metric = "metrics.a";
	for (int i = 0; i < 20; i++) {
		struct arena *a = arena_new(64 << 20);
		struct ctx c = { .arena = a };
		struct search_query q = { .entity = (enum search_entity)(i % 5),
					  .view = VIEW_ACTIVE,
					  .experiment_ids = &id,
					  .experiment_count = 1,
					  .max_results = 100,
					  .token_key = "key" };
		if (i / 5 == 0 || i / 5 == 3)
			q.filter = text;
		if (i / 5 == 1 || i / 5 == 3)
			q.order_by = (struct list){ i / 5 == 1 ? &order : &metric, 1 };
		if (i / 5 == 2)
			q.page_token = text;
		if (work_run(&c, build, &q) && c.error.code != INVALID_PARAMETER_VALUE)
			abort();
		arena_free(a);
	}
	free(text);
	return 0;
}
