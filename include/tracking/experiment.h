/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* experiment — /mlflow/experiments/...: requests, replies, handlers. */
#ifndef TRACKING_EXPERIMENT_H
#define TRACKING_EXPERIMENT_H

#include <stdint.h>

#include "base/ctx.h"
#include "base/empty.h"
#include "search/search.h"
#include "store/entities.h"
#include "store/read.h"

struct create_experiment {
	const char *name;
	const char *artifact_location;
	struct list tags;               /* struct tag */
};
extern const struct record create_experiment_record;

struct create_experiment_reply {
	const char *experiment_id;
};
extern const struct record create_experiment_reply_record;

struct experiment_key {                 /* get, delete, restore */
	const char *experiment_id;
};
extern const struct record experiment_key_record;

struct experiment_name {                /* get-by-name */
	const char *experiment_name;
};
extern const struct record experiment_name_record;

struct experiment_reply {
	struct experiment *experiment;
};
extern const struct record experiment_reply_record;

struct search_experiments {
	const int64_t *max_results;
	const char *page_token;
	const char *filter;
	struct list order_by;           /* const char * */
	const char *view_type;
};
extern const struct record search_experiments_record;

struct experiment_page {
	struct list experiments;        /* struct experiment */
	const char *next_page_token;
};
extern const struct record experiment_page_record;

struct update_experiment {
	const char *experiment_id;
	const char *new_name;
};
extern const struct record update_experiment_record;

struct set_experiment_tag {
	const char *experiment_id;
	const char *key;
	const char *value;
};
extern const struct record set_experiment_tag_record;

struct delete_experiment_tag {
	const char *experiment_id;
	const char *key;
};
extern const struct record delete_experiment_tag_record;

/* Where an artifact_location will lie: checked, and a relative path resolved. */
int tracking_experiment_location(struct ctx *c, const char *given, const char **ret) MUST_CHECK;

int tracking_experiment_create(struct ctx *c, const struct create_experiment *in,
                               struct create_experiment_reply *out) MUST_CHECK;
int tracking_experiment_get(struct ctx *c, const struct experiment_key *in, struct read *r,
			    struct experiment_reply *out) MUST_CHECK;
int tracking_experiment_get_by_name(struct ctx *c, const struct experiment_name *in,
                                    struct experiment_reply *out) MUST_CHECK;
int tracking_experiment_search(struct ctx *c, const struct search_experiments *in,
                               struct experiment_page *out) MUST_CHECK;
int tracking_experiment_update(struct ctx *c, const struct update_experiment *in, struct empty *out)
	MUST_CHECK;
int tracking_experiment_delete(struct ctx *c, const struct experiment_key *in, struct empty *out)
	MUST_CHECK;
int tracking_experiment_restore(struct ctx *c, const struct experiment_key *in, struct empty *out)
	MUST_CHECK;
int tracking_experiment_set_tag(struct ctx *c, const struct set_experiment_tag *in,
                                struct empty *out)
	MUST_CHECK;
int tracking_experiment_delete_tag(struct ctx *c, const struct delete_experiment_tag *in,
                                   struct empty *out) MUST_CHECK;

/* Experiment ids from outside (const char *), each a number; those too large for any experiment are
   -1. */
int tracking_experiment_ids(struct ctx *c, const struct list *texts,
                            const int64_t **ret) MUST_CHECK;

/* MLflow's error for an experiment that is not there, or not active. -1. */
int tracking_experiment_missing(struct ctx *c, int64_t id);
int tracking_experiment_not_active(struct ctx *c, int64_t id);

/* ViewType names by their numbers; NULL or an unknown one is ACTIVE_ONLY. */
extern const char *const view_type_names[];
enum search_view tracking_view(const char *name);

/* No key twice among struct tag; what: "tag", "parameter". */
int tracking_distinct_keys(struct ctx *c, const struct list *tags, const char *what) MUST_CHECK;

/* 1..LIMIT_PAGE, with MLflow's texts. */
int tracking_max_results(struct ctx *c, int64_t max_results) MUST_CHECK;

#endif
