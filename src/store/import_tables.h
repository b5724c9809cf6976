/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * import_tables — for each table of an import the SQL that takes its rows from the temporary table import_<name>
 * (alias s; columns as in import_tables.def, hash and n) into ours. "@" stands for the import's id.
 */
#ifndef STORE_IMPORT_TABLES_H
#define STORE_IMPORT_TABLES_H

#include "store/import.h"

/* import_items.kind */
#define ITEM_EXPERIMENT "0"
#define ITEM_RUN "1"
#define ITEM_LOGGED_MODEL "2"
#define ITEM_REGISTERED_MODEL "3"
#define ITEM_USER "4"
#define ITEM_WEBHOOK "5"
#define ITEM_ROLE "6"

struct import_plan {
	const char *repeats;    /* when row a goes because of row b; NULL: n decides among rows with the same `key` */
	const char *key;        /* columns, comma-separated: names a row */
	const char *before;     /* a statement; NULL: none */
	const char *parents;    /* joins that a row must survive; "" */
	const char *target;     /* what may be there already: "params t ON ..." */
	const char *same;       /* whether t is what s says */
	const char *into;       /* "params (run_id, ...)" */
	const char *values;
	const char *returning;  /* what `also` needs of the new rows, x */
	const char *also;       /* ", y AS (...)" */
	const char *item;       /* "1, t.id": rows of others may hang on it; NULL */
	const char *after[2];   /* statements; NULL: none */
	const char *read;       /* SELECT of the table's columns for all rows of the import */
};

extern const struct import_plan import_plans[IMPORT_TABLES];

#endif
