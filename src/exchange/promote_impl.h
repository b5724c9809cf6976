/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What the files of promote share. */
#ifndef EXCHANGE_PROMOTE_IMPL_H
#define EXCHANGE_PROMOTE_IMPL_H

#include "exchange/promote.h"

#define PROMOTE_TAG "capstan.promote."
#define PROMOTE_SOURCE PROMOTE_TAG "source"     /* what it was made from: the key of a search */
#define PROMOTE_FROM PROMOTE_TAG "from"         /* the server, for people */

struct promote {
	const struct promote_options *o;
	struct mlflow *from, *to;
	struct promote_report *report;
	const char *experiment_id;      /* at the destination, of what is new; NULL: a dry run */
	struct list experiments;        /* const char *: all ids there, to search in */
	bool no_models;                 /* the destination knows no logged models */
	const char *step;
	int64_t told_ms;
	struct arena *scratch;          /* of one artifact */
	struct mlflow *feed;            /* the source once more, for the thread that reads */
	void *manifest;                 /* EVP_MD_CTX */
	const char *from_model, *to_model; /* a logged model and its copy; NULL: none */
};

/* A run here and there. */
struct promote_copy {
	json_t *from, *to;              /* "run" of runs/get; to: NULL in a dry run that would make it */
	const char *id;                 /* at the destination; NULL likewise */
	const char *artifact_uri;
};

void promote_step(struct promote *p, const char *step);
void promote_tick(struct promote *p);
void promote_note(struct ctx *c, struct promote *p, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* tags.`capstan.promote.source` = '<marker>' */
const char *promote_filter(struct ctx *c, const char *marker);
/* {"key", "value"} */
json_t *promote_pair(const char *key, const char *value);
/* Is this tag one of promote's own? Those are never copied: they speak of another promotion. */
bool promote_own_tag(const char *key);
/* The source's tags that are not at the destination yet, as an array. `except`: one more that is
   left out. */
json_t *promote_missing(const json_t *from, const json_t *to, const char *except);

/* Finds or makes the run's copy and completes it: params, tags, curves, datasets, and with
   `artifacts` those too. The trees are released with the ctx's arena. */
int promote_copy_run(struct ctx *c, struct promote *p, const char *run_id, bool artifacts,
		     struct promote_copy *ret) MUST_CHECK;
/* Links the run to the model as its output; closes it as the source's is. */
int promote_close_run(struct ctx *c, struct promote *p, const struct promote_copy *run) MUST_CHECK;

/* All points of all curves of the run. to_run NULL: only counts. */
int promote_curves(struct ctx *c, struct promote *p, const json_t *run, const char *to_run)
	MUST_CHECK;

/* Finds or makes the logged model's copy and completes it. 1; 0: the destination has no logged
   models. */
int promote_copy_model(struct ctx *c, struct promote *p, const char *model_id,
		       const struct promote_copy *run, const char **ret_location) MUST_CHECK;

/* Copies all below one location to another. `what`: "run <id>". to NULL: only counts. */
int promote_artifacts(struct ctx *c, struct promote *p, const char *what, const char *from,
		      const char *to) MUST_CHECK;
/* Ends the manifest: report->digest. */
void promote_digest(struct promote *p);

/* A tree of artifacts. */
struct promote_place {
	struct mlflow *server;
	const char *proxy, *path;       /* see mlflow_artifact_place() */
	const char *dir;                /* instead: on this machine */
};

enum { PROMOTE_SHA = 32 };

/* One file's bytes from place to place: *ret_sha of what the source gave, *ret_size. `there`: it is
   at the destination with the right size, so that the same digest spares the transfer. */
int promote_file(struct ctx *c, struct promote *p, const struct promote_place *from,
		 const struct promote_place *to, const char *path, int64_t size, bool there,
		 unsigned char ret_sha[PROMOTE_SHA], int64_t *ret_size) MUST_CHECK;

/* A tree that lives as long as the ctx's arena. */
json_t *promote_keep(struct ctx *c, json_t *tree);

#endif
