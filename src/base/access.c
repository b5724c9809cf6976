/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "base/access.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

const int64_t *access_experiments(struct ctx *c, const int64_t *ids, size_t *count)
{
	const struct access_ids *named;
	int64_t *sorted;
	int64_t *kept;
	size_t n = 0;

	if (!c->access)
		return ids;
	named = &c->access->experiments;
	if (named->all && !named->count)
		return ids;
	sorted = NEW_ARRAY(c->arena, named->count, int64_t);
	kept = NEW_ARRAY(c->arena, *count, int64_t);
	if (named->count)
		memcpy(sorted, named->ids, named->count * sizeof(*sorted));
	qsort(sorted, named->count, sizeof(*sorted), compare);
	for (size_t i = 0; i < *count; i++) {
		bool found = bsearch(&ids[i], sorted, named->count, sizeof(*sorted), compare);

		if (found != named->all)
			kept[n++] = ids[i];
	}
	*count = n;
	return kept;
}
