/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "version_places.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "artifacts/location.h"
#include "base/arena.h"
#include "store/fact.h"
#include "store/model_version.h"

enum { OWN_RUN, OWN_MODEL, OWNS };

/* Where the version is from; -1 in `own`: from none. */
static int find_own(struct ctx *c, const struct model_version_origin *v, int64_t own[OWNS])
{
	own[OWN_RUN] = own[OWN_MODEL] = -1;
	if (v->run_id && *v->run_id && store_fact_runs(c, &v->run_id, 1, &own[OWN_RUN]))
		return -1;
	if (v->model_id && *v->model_id &&
	    store_fact_logged_models(c, &v->model_id, 1, &own[OWN_MODEL]))
		return -1;
	return 0;
}

static bool is_own(const int64_t own[OWNS], int64_t id)
{
	return id == own[OWN_RUN] || id == own[OWN_MODEL];
}

/* The experiment whose folder of the destination it is, -1: none's. */
static int64_t folder_of(struct ctx *c, const char *place)
{
	const char *key, *experiment;
	int64_t id = -1;

	if (!location_to_key(c, place, &key) && places_below_experiment(c, key, &experiment) &&
	    strlen(experiment) < 19)
		id = strtoll(experiment, NULL, 10);
	error_clear(c);
	return id;
}

int version_places_experiments(struct ctx *c, const char *name, const char *version,
			       int64_t ids[PLACES + 1], size_t *count)
{
	struct model_version_pick pick = { .name = name };
	struct model_version_origin v = { 0 };
	int64_t own[OWNS], folder;
	const char *place;
	size_t kept = 0;
	int found;

	*count = 0;
	pick.version = version ? strtoll(version, NULL, 10) : 0;
	found = pick.version > 0 ? store_model_version_origin(c, &pick, &v) : 0;
	if (found < 0)
		return -1;
	if (!found || !v.location)
		return 1;
	if (location_remote(c, v.location, &place)) {
		error_clear(c); /* nothing that is ever opened as a bucket */
		return 1;
	}
	if (location_holds_root(c, place))
		return fail(c, PERMISSION_DENIED, "Permission denied");
	if (find_own(c, &v, own) || places_experiments(c, place, true, ids, count) < 0)
		return -1;
	for (size_t i = 0; i < *count; i++) {
		if (!is_own(own, ids[i]))
			ids[kept++] = ids[i];
	}
	folder = folder_of(c, place);
	if (folder >= 0 && !is_own(own, folder))
		ids[kept++] = folder;
	*count = kept;
	return 1;
}
