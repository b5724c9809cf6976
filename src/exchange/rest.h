/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What the files of the source "http://" share. */
#ifndef EXCHANGE_REST_H
#define EXCHANGE_REST_H

#include "emit.h"
#include "exchange/mlflow_client.h"
#include "exchange/source.h"

/* An entity as the server gave it, in the spool. */
struct rest_item {
	const char *name;               /* its group */
	int64_t at;
	size_t size;
};

enum rest_kind {
	REST_EXPERIMENTS,
	REST_RUNS,
	REST_DATASETS,
	REST_MODELS,
	REST_REGISTERED,
	REST_VERSIONS,
	REST_KINDS
};

struct rest {
	struct source source;
	struct mlflow *server;
	const char *version;
	int spool;                      /* a file without a name: entities are asked for once */
	int64_t spooled;
	struct list items[REST_KINDS];  /* struct rest_item, sorted */
	size_t capacity[REST_KINDS];
	void *datasets;                 /* tsearch tree: those that were seen */
	struct arena *texts;            /* of struct emit */
	struct arena *group;            /* emptied behind each item */
};

typedef int rest_rows_fn(struct ctx *c, struct rest *r, struct emit *e, const json_t *entity);

/* Which entities a table's rows come from, and how; rows NULL: none do. */
struct rest_table {
	enum rest_kind kind;
	rest_rows_fn *rows;
};
extern const struct rest_table rest_tables[SOURCE_TABLES];

/* Asks for all entities of all kinds. */
int rest_gather(struct ctx *c, struct rest *r) MUST_CHECK;

#endif
