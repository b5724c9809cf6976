/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * promote — copies one model version with all it stands on (its run with every point of its curves,
 * the run's artifacts, the logged model) from one tracking server to another, over REST alone.
 *
 * What is made at the destination carries the tag capstan.promote.source, which names what it was
 * made from: a further promotion of the same finds it there and completes it. The version is made
 * last, its aliases after it, so that half a promotion is never seen as a version.
 *
 * Every artifact is hashed (SHA-256) as it is read from the source and read back from the
 * destination; curves are compared point by point, by a sum of hashes.
 */
#ifndef EXCHANGE_PROMOTE_H
#define EXCHANGE_PROMOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/record.h"
#include "exchange/mlflow_client.h"

struct promote_report {
	const char *model, *version;    /* at the source */
	const char *to_name, *to_version; /* at the destination; version NULL: not there (a dry run) */
	const char *url;                /* the version's page at the destination */
	const char *run_id, *model_id, *experiment; /* at the destination; NULL: none */
	const char *source;             /* of the new version */
	bool existed;                   /* the version was there already: nothing but aliases was done */
	int64_t runs, params, tags, curves, points, datasets;
	int64_t files, bytes;           /* all of them */
	int64_t sent_files, sent_bytes; /* of these now: the others were there, with the same digest */
	char digest[65];                /* SHA-256 over the lines "<SHA-256 of a file>  <path>\n"; "" none */
	struct list aliases;            /* const char *: set now */
	struct list notes;              /* const char *: what the user should know */
};

struct promote_options {
	struct mlflow_login from, to;
	const char *version_uri;        /* models:/name/3, models:/name@alias */
	const char *to_name;            /* NULL: the same */
	const char *experiment;         /* NULL: one of the same name */
	const char *const *aliases;
	size_t alias_count;
	bool dry_run;
	/* Called at each step (a new text) and now and then within one. NULL: not. */
	void (*progress)(void *arg, const char *step, const struct promote_report *so_far);
	void *progress_arg;
};

/* On error the report says how far it came. */
int promote_run(struct ctx *c, const struct promote_options *o, struct promote_report *report)
	MUST_CHECK;

#endif
