/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * workspace — MLflow's workspaces, of which there is one: `default`. With --enable-workspaces its
 * routes and header answer as MLflow's do for a server that has no other; without, they are refused
 * as MLflow refuses them.
 */
#ifndef HTTP_WORKSPACE_H
#define HTTP_WORKSPACE_H

#include "base/empty.h"
#include "base/record.h"

struct job;

struct workspace {
	const char *name;
	const char *description;
};

struct workspace_reply {
	struct workspace *workspace;
};

struct workspace_page {
	struct list workspaces;         /* struct workspace */
};

struct workspace_key {
	const char *workspace_name;
};

struct create_workspace {
	const char *name;
	const char *description;
	const char *default_artifact_root;
};

struct update_workspace {
	const char *workspace_name;
	const char *description;
	const char *default_artifact_root;
	const char *trace_archival_config;      /* RAW */
};

extern const struct record workspace_reply_record, workspace_page_record, workspace_key_record,
	create_workspace_record, update_workspace_record;

/* The header X-MLFLOW-WORKSPACE, which counts for every path but server-info. */
int workspace_check_header(struct job *j) MUST_CHECK;
/* The workspace routes are there only with --enable-workspaces. */
int workspace_check_route(struct job *j) MUST_CHECK;

int http_workspace_list(struct ctx *c, const struct empty *in,
			struct workspace_page *out) MUST_CHECK;
int http_workspace_get(struct ctx *c, const struct workspace_key *in,
		       struct workspace_reply *out) MUST_CHECK;
int http_workspace_create(struct ctx *c, const struct create_workspace *in,
			  struct workspace_reply *out) MUST_CHECK;
int http_workspace_update(struct ctx *c, const struct update_workspace *in,
			  struct workspace_reply *out) MUST_CHECK;
int http_workspace_delete(struct ctx *c, const struct workspace_key *in,
			  struct empty *out) MUST_CHECK;

#endif
