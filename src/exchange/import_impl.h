/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What the files of the import share. */
#ifndef EXCHANGE_IMPORT_IMPL_H
#define EXCHANGE_IMPORT_IMPL_H

#include "clean.h"
#include "exchange/import.h"
#include "store/import.h"

enum {
	EXAMPLES = 5,                   /* of each kind of issue, kept */
	BATCH_ROWS = 20000,             /* are enough for a transaction, */
	BATCH_BYTES = 32 << 20,
	BATCH_POINTS = 150000,
	MOST_ROWS = 100000,             /* kept where groups are that large */
	MOST_BYTES = 96 << 20,
	MOST_POINTS = 1000000,
	BATCH_ARENA = 240 << 20,
};

struct issue {
	int64_t rows;
	unsigned examples;
	const char *text;               /* one a line */
	bool changed;
};

struct run {
	uint8_t uuid[16];
	int64_t id;
	uint64_t hash;                  /* of its id as text */
};

/* Metric keys by what the source calls them, bytes as they are. */
struct key {
	const char *raw;
	size_t size;
	const char *name;               /* repaired */
	uint64_t hash;
	int32_t id;                     /* 0: not asked for yet */
};

struct point {
	uint32_t run, key;              /* indexes into runs and keys */
	int64_t timestamp;
	int64_t step;
	double value;
};

struct import {
	struct ctx *c;
	const struct import_options *o;
	struct import_report *report;
	int64_t id;
	enum source_table table;

	const char *positions[SOURCE_TABLES];
	bool done[SOURCE_TABLES];
	struct issue issues[SOURCE_TABLES][IMPORT_ISSUE_KINDS];

	struct arena *batch;            /* the rows waiting, and what writing them takes */
	struct arena *memory;           /* of the table: runs, keys */
	struct db_arg *values;
	size_t rows, capacity;          /* rows also counts points */
	size_t columns;                 /* of values: with hash and number */
	uint64_t checksum;              /* of the rows waiting */

	struct point *points;
	size_t points_capacity;
	struct run *runs;               /* sorted by id */
	size_t run_count, run_capacity;
	uint32_t *run_slots;            /* index + 1, by uuid; a power of two */
	size_t run_slots_size;
	struct key *keys;
	size_t key_count, key_capacity;
	uint32_t *key_slots;
	size_t key_slots_size;
	char last_run[32];              /* the row before's */
	uint32_t last_run_index;        /* + 1; 0: there is no such run */
	bool last_run_known;
};

/* ---- import.c ---- */

/* The ctx of one batch: its arena is the batch's. After it: its error, if any, becomes ours. */
struct ctx import_work(struct import *m);
int import_worked(struct import *m, const struct ctx *work, int result);

void import_issue(struct import *m, enum import_issue_kind kind, int64_t rows, const char *example);
/* Queues progress and issues into the open transaction; counts as they will be. */
void import_save(struct import *m, struct ctx *work, const char *position, bool done,
		 const struct import_table_report *t);

/* ---- import_rows.c ---- */

int import_take_row(struct import *m, const struct source_value *row);
int import_flush_rows(struct import *m, const char *position, bool done);

/* ---- import_points.c ---- */

int import_load_runs(struct import *m);
int import_take_point(struct import *m, const struct source_value *row);
int import_flush_points(struct import *m, const char *position, bool done);

/* ---- import_verify.c ---- */

int import_verify(struct import *m);

#endif
