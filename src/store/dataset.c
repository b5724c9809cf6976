/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/dataset.h"

#include "base/access.h"
#include "db/db.h"

enum { DATASET_SEARCH };

static const struct stmt stmts[] = {
	[DATASET_SEARCH] = { "dataset_search", "Ii",
		"SELECT DISTINCT d.experiment_id, d.name, d.digest, t.value AS context"
		" FROM datasets d JOIN run_datasets i ON i.dataset_id = d.id"
		" LEFT JOIN run_dataset_tags t ON t.run_id = i.run_id AND t.dataset_id ="
		" i.dataset_id"
		"  AND t.name = 'mlflow.data.context'"
		" WHERE d.experiment_id = ANY($1)"
		" ORDER BY d.experiment_id, d.name, d.digest, t.value LIMIT $2" },
};

const struct record dataset_summary_record = {
	sizeof(struct dataset_summary), (const struct field[]){
	STRING(struct dataset_summary, experiment_id, 0),
	STRING(struct dataset_summary, name,          0),
	STRING(struct dataset_summary, digest,        0),
	STRING(struct dataset_summary, context,       0),
	END }};

int store_dataset_search(struct ctx *c, const int64_t *experiment_ids, size_t count, int64_t most,
                         struct list *summaries)
{
	experiment_ids = access_experiments(c, experiment_ids, &count);
	return db_list(c, &stmts[DATASET_SEARCH],
	               ARGS(BIGINTS(experiment_ids, count), BIGINT(most)),
	               &dataset_summary_record, summaries);
}
