/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * import — a whole MLflow store into our database: table by table in batches, each with its progress in one
 * transaction, then both sides' counts and checksums compared.
 */
#ifndef EXCHANGE_IMPORT_H
#define EXCHANGE_IMPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "exchange/source.h"

struct db_pool;

/* What was done with a row that is not as it should be. */
#define IMPORT_ISSUES(X) \
	X(MISSING,  "missing",  "left out: a value that must be there is missing") \
	X(RANGE,    "range",    "left out: a value is not of its type, or out of range") \
	X(RUN_ID,   "run_id",   "left out: the run id is no run id") \
	X(UNKNOWN,  "unknown",  "left out: an unknown status, stage or lifecycle") \
	X(ORPHAN,   "orphan",   "left out: what it belongs to is not there, or was left out") \
	X(REPEATED, "repeated", "left out: repeats another row") \
	X(CONFLICT, "conflict", "left out: it is here already, with other content") \
	X(UTF8,     "utf8",     "repaired: invalid UTF-8 replaced by U+FFFD") \
	X(INFINITE, "infinite", "repaired: an infinite value became the largest finite one, as MLflow stores it")

enum import_issue_kind {
#define X(name, key, text) IMPORT_ISSUE_##name,
	IMPORT_ISSUES(X)
#undef X
	IMPORT_ISSUE_KINDS
};

struct import_options {
	const char *from;
	const char *auth_from;          /* NULL: the auth app's tables are looked for at `from` */
	bool skip_conflicts;            /* what is here with other content stays; else the import fails */
	bool dry_run;                   /* reads and checks everything, writes nothing: needs no target */
	bool restart;                   /* forget how far a cut import had come */
	bool online;                    /* although other sessions of Capstan are on the target */
	bool force;
	/* Called every few thousand rows; may be NULL. total -1: unknown. */
	void (*progress)(void *arg, const char *table, int64_t rows, int64_t total, bool end);
	void *progress_arg;
};

struct import_table_report {
	int64_t expected;               /* counted in the source; -1: unknown */
	int64_t read, written, present, left_out;
	uint64_t checksum;              /* of written and present, as they were read */
	int64_t target_rows;
	uint64_t target_checksum;       /* as they were read back */
	bool agrees;
};

struct import_report_issue {
	const char *table;
	enum import_issue_kind kind;
	int64_t rows;
	const char *examples;           /* one a line */
};

struct import_report {
	struct source_description source;
	bool resumed, verified, agrees;
	struct import_table_report tables[SOURCE_TABLES];
	struct list issues;             /* struct import_report_issue */
	double seconds, point_seconds, verify_seconds;
	int64_t points;                 /* read in this run */
};

/* 0 also where the verification failed: ret->agrees tells. target: a pool of the migrated database; NULL for a dry
   run. Sets c->db; the caller puts it back. */
int import_run(struct ctx *c, struct db_pool *target, const struct import_options *o,
               struct import_report *ret) MUST_CHECK;

/* The report as lines for people, and as JSON. In c's arena. */
const char *import_report_text(struct ctx *c, const struct import_report *r);
const char *import_report_json(struct ctx *c, const struct import_report *r);

#endif
