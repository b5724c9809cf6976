/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "places.h"

#include <string.h>

#include "artifacts/location.h"
#include "base/arena.h"
#include "store/fact.h"

int places_experiments(struct ctx *c, const char *place, bool inside, int64_t ids[PLACES],
		       size_t *count)
{
	const char **texts, *within = NULL;
	size_t text_count = location_holders(c, place, &texts);

	*count = 0;
	if (!text_count)
		return 1;
	if (!c->db)
		return 0;
	if (inside)
		within = arena_printf(c->arena, "%s/", texts[0]);
	if (store_fact_experiments_at(c, texts, text_count, within, PLACES, ids, count))
		return -1;
	return *count > PLACES ? fail(c, PERMISSION_DENIED, "Permission denied") : 1;
}

const char *places_below_experiment(struct ctx *c, const char *key, const char **experiment)
{
	static const char workspaces[] = "workspaces/";
	size_t digits;

	if (strncmp(key, workspaces, strlen(workspaces)) == 0) {
		const char *slash = strchr(key + strlen(workspaces), '/');

		if (slash)
			key = slash + 1;
	}
	digits = strspn(key, "0123456789");
	if (!digits || (key[digits] && key[digits] != '/'))
		return NULL;
	*experiment = arena_strndup(c->arena, key, digits);
	return key + digits + (key[digits] == '/');
}

const char *places_trim(struct ctx *c, const char *place)
{
	size_t size = strlen(place);

	while (size && place[size - 1] == '/')
		size--;
	return arena_strndup(c->arena, place, size);
}
