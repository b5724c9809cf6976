/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/location.h"

#include <string.h>

#include "base/id.h"
#include "db/db.h"
#include "store/run.h"

struct location {
	const char *artifact_uri;
	const bool *derived;            /* artifact_uri is the experiment's; NULL: it is not */
};

static const struct record location_record = { sizeof(struct location), (const struct field[]){
	STRING(struct location, artifact_uri, 0),
	BOOL  (struct location, derived,      0),
	END }};

enum { LOCATION_RUN, LOCATION_MODEL };

static const struct stmt stmts[] = {
	[LOCATION_RUN] = { "location_run", "u",
		"SELECT coalesce(r.artifact_uri, e.artifact_location) AS artifact_uri,"
		" r.artifact_uri IS NULL AS derived"
		" FROM runs r JOIN experiments e ON e.id = r.experiment_id WHERE r.uuid = $1" },
	[LOCATION_MODEL] = { "location_model", "t",
		"SELECT artifact_location AS artifact_uri FROM logged_models"
		" WHERE model_id = $1 AND NOT deleted" },
};

static int get(struct ctx *c, const struct stmt *s, struct db_args args, const char *run_id,
               const char **ret)
{
	struct location location = { 0 };
	int found = db_one(c, s, args, &location_record, &location);

	if (found > 0)
		*ret = location.derived && *location.derived
			? store_run_uri(c->arena, location.artifact_uri, run_id)
			: location.artifact_uri;
	return found;
}

int store_run_artifact_uri(struct ctx *c, const char *run_id, const char **ret)
{
	uint8_t uuid[16];

	if (!id_parse_uuid(run_id, uuid))
		return 0;
	return get(c, &stmts[LOCATION_RUN], ARGS(UUID(run_id)), run_id, ret);
}

int store_logged_model_artifact_uri(struct ctx *c, const char *model_id, const char **ret)
{
	return get(c, &stmts[LOCATION_MODEL], ARGS(TEXT(model_id)), NULL, ret);
}
