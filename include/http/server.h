/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* server — the daemon's HTTP side: listens, guards, routes, answers, stops without losing a
   request. */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include <stdbool.h>
#include <stdio.h>

#include "base/ctx.h"

struct auth;
struct committer;
struct db_pool;
struct http_server;
struct reader;
struct transfer_engine;

struct http_options {
	const char *host;               /* name or address; NULL: 127.0.0.1 */
	unsigned port;                  /* 0: any free one, see http_server_port() */
	const char *static_prefix;      /* "/mlflow": in front of every path; NULL or "": none */
	const char *allowed_hosts;      /* as MLflow's; NULL: localhost, private addresses */
	const char *cors_allowed_origins;   /* as MLflow's; NULL: only localhost's pages */
	const char *x_frame_options;    /* NULL: SAMEORIGIN; "NONE": no header */
	bool disable_security;          /* MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE */
	bool serve_artifacts;           /* false: mlflow-artifacts routes answer 503 */
	bool artifacts_only;            /* true: all others do, but for probes and service info */
	bool multipart_uploads;         /* what server-info announces */
	bool multipart_downloads;
	bool expose_metrics;            /* GET /metrics */
	bool workspaces;                /* the workspace API, with the one workspace there is */
	unsigned event_threads;         /* 0: 2 */
	unsigned workers;               /* 0: 8; threads that read the database */
	unsigned searches;              /* most at one time, and histories; 0: what the workers allow */
	struct db_pool *pool;           /* the readers'; at least `workers` connections */
	struct reader *reader;
	struct committer *committer;
	struct auth *auth;              /* --app-name basic-auth; NULL: everybody may everything */
	struct transfer_engine *transfers;  /* NULL: no STREAM route works (503) */
};

/* Copies what it needs; the pools must outlive the server. NULL: error set (address in use ...). */
struct http_server *http_server_start(struct ctx *c, const struct http_options *o);

/* The port it listens on. */
unsigned http_server_port(const struct http_server *s);

/* Accepts no more, lets what is in flight finish (at most 10 s), closes all. The committer and
   the transfer engine must still run. */
void http_server_stop(struct http_server *s);

/* The route table as TSV with a head line: method, mounts, path, kind, handler, request, reply,
   needs, reason (of what is absent). */
void http_dump_routes(FILE *to);

#endif
