/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/fact.h"

#include <string.h>

#include "base/arena.h"
#include "base/id.h"
#include "db/db.h"

enum { FACT_RUNS, FACT_MODELS, FACT_EXPERIMENT, FACT_REGISTERED_MODEL, FACT_PLACES };

/* place: which of those asked for. */
static const struct stmt stmts[] = {
	[FACT_RUNS] = { "fact_runs", "U",
		"SELECT asked.place, r.experiment_id AS experiment"
		" FROM unnest($1) WITH ORDINALITY AS asked (id, place)"
		" JOIN runs r ON r.uuid = asked.id" },
	[FACT_MODELS] = { "fact_models", "T",
		"SELECT asked.place, m.experiment_id AS experiment"
		" FROM unnest($1) WITH ORDINALITY AS asked (id, place)"
		" JOIN logged_models m ON m.model_id = asked.id" },
	[FACT_EXPERIMENT] = { "fact_experiment", "t",
		"SELECT id AS experiment FROM experiments WHERE name = $1" },
	[FACT_REGISTERED_MODEL] = { "fact_registered_model", "t",
		"SELECT prompt FROM registered_models WHERE name = $1" },
	[FACT_PLACES] = { "fact_places", "Tti",
		"SELECT id AS experiment FROM experiments"
		" WHERE rtrim(artifact_location, '/') = ANY($1)"
		" OR starts_with(artifact_location, $2) ORDER BY id LIMIT $3" },
};

struct fact {
	const int64_t *place;
	const int64_t *experiment;
	const bool *prompt;
};

static const struct record fact_record = { sizeof(struct fact), (const struct field[]){
	INT64(struct fact, place,      0),
	INT64(struct fact, experiment, 0),
	BOOL (struct fact, prompt,     0),
	END }};

static int experiments_of(struct ctx *c, const struct stmt *s, struct db_args args, size_t count,
			  int64_t *experiments)
{
	struct list found = { 0 };

	for (size_t i = 0; i < count; i++)
		experiments[i] = -1;
	if (db_list(c, s, args, &fact_record, &found))
		return -1;
	for (size_t i = 0; i < found.count; i++) {
		const struct fact *f = LIST_AT(struct fact, &found, i);

		experiments[*f->place - 1] = *f->experiment;
	}
	return 0;
}

int store_fact_runs(struct ctx *c, const char *const *run_ids, size_t count, int64_t *experiments)
{
	const char **ids = NEW_ARRAY(c->arena, count, const char *);
	bool *nulls = NEW_ARRAY(c->arena, count, bool);
	struct db_arg asked = UUIDS(ids, count);
	uint8_t uuid[16];

	for (size_t i = 0; i < count; i++) {
		ids[i] = run_ids[i];
		nulls[i] = !id_parse_uuid(run_ids[i], uuid);
	}
	asked.array.nulls = nulls;
	return experiments_of(c, &stmts[FACT_RUNS], ARGS(asked), count, experiments);
}

int store_fact_logged_models(struct ctx *c, const char *const *model_ids, size_t count,
			     int64_t *experiments)
{
	return experiments_of(c, &stmts[FACT_MODELS], ARGS(TEXTS(model_ids, count)), count,
			      experiments);
}

int store_fact_experiment_named(struct ctx *c, const char *name, int64_t *experiment)
{
	struct fact f = { 0 };
	int found = db_one(c, &stmts[FACT_EXPERIMENT], ARGS(TEXT(name)), &fact_record, &f);

	if (found > 0)
		*experiment = *f.experiment;
	return found;
}

int store_fact_registered_model(struct ctx *c, const char *name, bool *prompt)
{
	struct fact f = { 0 };
	int found = db_one(c, &stmts[FACT_REGISTERED_MODEL], ARGS(TEXT(name)), &fact_record, &f);

	if (found > 0)
		*prompt = *f.prompt;
	return found;
}

int store_fact_experiments_at(struct ctx *c, const char *const *texts, size_t text_count,
			      const char *inside, size_t most, int64_t *ids, size_t *count)
{
	struct list found = { 0 };

	if (db_list(c, &stmts[FACT_PLACES],
		    ARGS(TEXTS(texts, text_count), TEXT(inside), BIGINT((int64_t)most + 1)),
		    &fact_record, &found))
		return -1;
	*count = found.count;
	for (size_t i = 0; i < found.count && i < most; i++)
		ids[i] = *LIST_AT(struct fact, &found, i)->experiment;
	return 0;
}
