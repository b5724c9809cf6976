/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * api — the route table. One line of src/http/routes.def per endpoint; dispatch, permission,
 * metrics labels, docs and the test that hits every route come from it. There is no default
 * permission.
 *
 *   ROUTE (METHOD, "2.0/mlflow/runs/search", tracking_run_search, search_runs, run_page, FILTER_RUNS)
 *       a worker runs   int tracking_run_search(struct ctx *, const struct search_runs *, struct
 * run_page *) with c->db set. Served under /api/ and /ajax-api/. {name} in the path fills the
 * request's field `name`. The records are search_runs_record and run_page_record. `empty` (struct
 * empty, empty_record) where there is nothing. READ (METHOD, path, handler, request, reply, needs)
 *       int handler(struct ctx *, const struct request *, struct read *, struct reply *): no
 * database; it validates and describes what is asked for; the reply is filled by a read that the
 * requests of one moment share (store/read.h). WRITE (METHOD, path, handler, request, reply, needs)
 *       int handler(struct ctx *, const struct request *, struct write *, struct reply *): no
 * database; it validates and describes the write; the reply is sent after the shared commit
 * (store/write.h). STREAM(METHOD, path, handler, needs) int handler(struct ctx *, const struct
 * stream_request *, struct stream *): decides what is moved; no database, runs on an event thread,
 * must not block; the transfer engine moves the bytes (artifacts/transfer.h). STREAM_DB: the same
 * in a worker, with c->db. INLINE(METHOD, path, handler, needs) int handler(struct ctx *, struct
 * http_text *): answered from memory on the event thread: probes, metrics, version. BLOCKING: the
 * same in a worker, without c->db: /readyz.
 *
 *   ABSENT(METHOD, path, reason), ABSENT_BELOW(path, reason)
 *       of src/http/absent.def: 501 NOT_IMPLEMENTED with the reason, from the head alone.
 *
 * Variants for other mounts: *_AJAX (only /ajax-api/), *_ROOT (path as it stands, "/get-artifact").
 * A last segment {path} or {artifact_path} takes the rest of the path, slashes included; other
 * fields take one segment.
 */
#ifndef HTTP_API_H
#define HTTP_API_H

#include "base/buf.h"

/* What an INLINE or BLOCKING handler fills. */
struct http_text {
	int status;                     /* 200 unless changed */
	const char *content_type; /* static text; "text/plain; charset=utf-8" unless changed */
	struct buf body;
	const char *(*query)(const struct http_text *t, const char *name);      /* NULL: absent */
	/* Of a posted HTML form (BLOCKING only); NULL: absent, or no form was posted. */
	const char *(*form)(const struct http_text *t, const char *name);
	void *owner;
};

/*
 * What a request needs; enforced by http/auth.c, http/require.c says which grants that takes.
 * NOTHING: open to all, probes and service info only. UPLOAD_PART: whoever knows the upload's id.
 * SIGNED_IN: any user; what more a handler asks for it decides itself, from ctx.principal.
 * FILTER_*: any user; ctx.access says what of it is shown.
 */
#define HTTP_PERMISSIONS(X)                                                                        \
	X(NOTHING) X(UPLOAD_PART)                                                                  \
	X(SIGNED_IN) X(ADMIN) X(ACCOUNTS) X(ACCOUNTS_ADMIN)                                        \
	X(CREATE_EXPERIMENT) X(READ_EXPERIMENT) X(READ_EXPERIMENT_NAMED) X(READ_EXPERIMENTS)       \
	X(EDIT_EXPERIMENT) X(DELETE_EXPERIMENT) X(FILTER_EXPERIMENTS)                              \
	X(CREATE_RUN) X(READ_RUN) X(READ_RUNS) X(EDIT_RUN) X(EDIT_RUN_AND_MODELS) X(DELETE_RUN)    \
	X(FILTER_RUNS)                                                                             \
	X(CREATE_LOGGED_MODEL) X(READ_LOGGED_MODEL) X(EDIT_LOGGED_MODEL) X(DELETE_LOGGED_MODEL)    \
	X(FILTER_LOGGED_MODELS) X(EDIT_RUN_OR_LOGGED_MODEL)                                        \
	X(READ_ARTIFACTS) X(EDIT_ARTIFACTS) X(DELETE_ARTIFACTS)                                    \
	X(CREATE_REGISTERED_MODEL) X(READ_REGISTERED_MODEL) X(EDIT_REGISTERED_MODEL)               \
	X(RENAME_REGISTERED_MODEL) X(DELETE_REGISTERED_MODEL) X(FILTER_REGISTERED_MODELS)          \
	X(CREATE_MODEL_VERSION) X(READ_MODEL_VERSION) X(EDIT_MODEL_VERSION)                        \
	X(DELETE_MODEL_VERSION) X(FILTER_MODEL_VERSIONS) X(MOVE_ALIAS) X(REMOVE_ALIAS)             \
	X(MANAGE_WEBHOOKS)

enum http_permission {
#define X(name) NEEDS_##name,
	HTTP_PERMISSIONS(X)
#undef X
};

#endif
