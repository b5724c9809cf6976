/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* probes — what is said about the server itself: health, version, readiness, metrics,
   capabilities. */
#ifndef HTTP_PROBES_H
#define HTTP_PROBES_H

#include "base/ctx.h"
#include "http/api.h"

/* The MLflow release whose API this is. */
#define MLFLOW_VERSION "3.17.2"

/* For a browser, while there is no web UI. */
int http_welcome(struct ctx *c, struct http_text *t) MUST_CHECK;
int http_health(struct ctx *c, struct http_text *t) MUST_CHECK;
int http_version(struct ctx *c, struct http_text *t) MUST_CHECK;
int http_livez(struct ctx *c, struct http_text *t) MUST_CHECK;
int http_readyz(struct ctx *c, struct http_text *t) MUST_CHECK;
int http_metrics(struct ctx *c, struct http_text *t) MUST_CHECK;
int http_server_info(struct ctx *c, struct http_text *t) MUST_CHECK;

#endif
