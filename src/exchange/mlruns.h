/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What the files of the source "./mlruns" share. */
#ifndef EXCHANGE_MLRUNS_H
#define EXCHANGE_MLRUNS_H

#include "emit.h"
#include "exchange/source.h"
#include "meta_yaml.h"

/* A directory that holds an entity: `name` is its id. */
struct mlruns_item {
	const char *name;
	const char *path;
	const char *parent;             /* runs, logged models: their experiment's id; else "" */
	const char *parent_path;
	bool trashed;                   /* an experiment in .trash, or what lies in one */
};

struct mlruns {
	struct source source;
	const char *root;
	struct list experiments, runs, models, registered; /* struct mlruns_item, sorted */
	struct arena *group;            /* emptied behind each item */
	struct arena *texts;            /* of struct emit */
};

/* The text of a file in the group's arena; NULL: there is none, or it is too large. */
const char *mlruns_file(struct mlruns *m, const char *path, size_t *ret_size);
/* Calls fn for each file below a directory; key: its path from there. Symbolic links are not
   followed. */
struct mlruns_file_fn {
	int (*fn)(struct mlruns *m, struct emit *e, const struct mlruns_item *item,
		  const char *path, const char *key);
};
int mlruns_files(struct mlruns *m, struct emit *e, const struct mlruns_item *item,
		 const char *folder, const struct mlruns_file_fn *fn) MUST_CHECK;
/* The names of the directories in one, sorted: const char *. */
void mlruns_folders(struct arena *a, const char *path, struct list *ret);
/* item->path/meta.yaml; false: there is none to read. */
bool mlruns_meta(struct mlruns *m, const char *directory, struct list *ret);

/* The rows of one item. */
typedef int mlruns_rows_fn(struct mlruns *m, struct emit *e, const struct mlruns_item *item);
extern mlruns_rows_fn *const mlruns_rows[SOURCE_TABLES];

#endif
