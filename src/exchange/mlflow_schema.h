/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * mlflow_schema — MLflow's own database schema, from 2.10 to 3.17, as far as it is imported: which revisions there
 * are, and the SELECT of each table in the columns of import_tables.def. What came with later revisions is looked up
 * in the catalog of the database at hand.
 */
#ifndef EXCHANGE_MLFLOW_SCHEMA_H
#define EXCHANGE_MLFLOW_SCHEMA_H

#include "exchange/source.h"

enum mlflow_dialect { MLFLOW_POSTGRES, MLFLOW_SQLITE };

struct mlflow_catalog;

/* Columns as the database's catalog lists them; keep what c's arena holds for as long as the catalog. */
struct mlflow_catalog *mlflow_catalog_new(struct ctx *c, enum mlflow_dialect dialect);
void mlflow_catalog_add(struct ctx *c, struct mlflow_catalog *g, const char *table, const char *column);
/* name: "runs" or "runs.deleted_time". */
bool mlflow_has(const struct mlflow_catalog *g, const char *name);
/* There are workspaces besides the default one: their rows stay behind. */
void mlflow_catalog_workspaces(struct mlflow_catalog *g, bool several);

/* Judges the revision (NULL: no table of revisions). *version: for reports. */
int mlflow_check(struct ctx *c, const struct mlflow_catalog *g, const struct source_options *o, const char *revision,
                 const char **version) MUST_CHECK;

/* NULL: the database has no such table. `after`: the SQL that stands for the position, NULL: from the start. */
const char *mlflow_select(struct ctx *c, const struct mlflow_catalog *g, enum source_table t, const char *after);
/* One number; NULL as above. */
const char *mlflow_count(struct ctx *c, const struct mlflow_catalog *g, enum source_table t);
/* One number: rows in other workspaces; NULL: there can be none. */
const char *mlflow_count_elsewhere(struct ctx *c, const struct mlflow_catalog *g);

/* struct source_left without rows: tables that no import takes. */
void mlflow_left(struct ctx *c, const struct mlflow_catalog *g, struct list *ret);
const char *mlflow_count_table(struct ctx *c, const char *name);

/* "SELECT version_num FROM alembic_version"; NULL: there is none. */
const char *mlflow_revision(const struct mlflow_catalog *g, bool auth);

#endif
