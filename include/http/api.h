/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * api — the route table. One line of src/http/routes.def per endpoint; dispatch, permission,
 * metrics labels, docs and the test that hits every route come from it. There is no default
 * permission.
 *
 *   ROUTE (METHOD, "2.0/mlflow/runs/get", tracking_run_get, get_run, get_run_reply, READ_RUN)
 *       a worker runs   int tracking_run_get(struct ctx *, const struct get_run *, struct
 * get_run_reply *) with c->db set. Served under /api/ and /ajax-api/. {name} in the path fills the
 * request's field `name`. The records are get_run_record and get_run_reply_record. `empty` (struct
 * empty, empty_record) where there is nothing. WRITE (METHOD, path, handler, request, reply, needs)
 *       int handler(struct ctx *, const struct request *, struct write *, struct reply *): no
 * database; it validates and describes the write; the reply is sent after the shared commit
 * (store/write.h). STREAM(METHOD, path, handler, needs) int handler(struct ctx *, const struct
 * stream_request *, struct stream *): decides what is moved; no database, runs on an event thread,
 * must not block; the transfer engine moves the bytes (artifacts/transfer.h). STREAM_DB: the same
 * in a worker, with c->db. INLINE(METHOD, path, handler, needs) int handler(struct ctx *, struct
 * http_text *): answered from memory on the event thread: probes, metrics, version. BLOCKING: the
 * same in a worker, without c->db: /readyz.
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
	void *owner;
};

/* What a request needs; enforced by http/auth.c. NOTHING: open to all, probes and service info
 * only. */
#define HTTP_PERMISSIONS(X)                                                                        \
	X(NOTHING)                                                                                 \
	X(CREATE_EXPERIMENT)                                                                       \
	X(READ_EXPERIMENT) X(EDIT_EXPERIMENT) X(DELETE_EXPERIMENT) X(FILTER_EXPERIMENTS)           \
		X(READ_RUN) X(EDIT_RUN) X(DELETE_RUN) X(READ_LOGGED_MODEL) X(EDIT_LOGGED_MODEL)    \
			X(DELETE_LOGGED_MODEL) X(READ_ARTIFACTS) X(EDIT_ARTIFACTS)                 \
				X(DELETE_ARTIFACTS)

enum http_permission {
#define X(name) NEEDS_##name,
	HTTP_PERMISSIONS(X)
#undef X
};

#endif
