/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "probes.h"

#include <string.h>

#include "db/db.h"
#include "http.h"

int http_welcome(struct ctx *c, struct http_text *t)
{
	const char *prefix = http_current()->options.static_prefix;

	(void)c;
	if (!prefix)
		prefix = "";
	buf_addf(&t->body,
		 "Capstan " CAPSTAN_VERSION ": MLflow's tracking server and model registry.\n\n"
		 "This version has no web UI. MLflow clients take this address as their tracking "
		 "URI.\n\n"
		 "API      %s/api/2.0/mlflow/... of MLflow " MLFLOW_VERSION "; docs/api.md lists it\n"
		 "Health   %s/livez, %s/readyz?verbose\n"
		 "Metrics  %s/metrics\n",
		 prefix, prefix, prefix, prefix);
	return 0;
}

int http_health(struct ctx *c, struct http_text *t)
{
	(void)c;
	buf_add(&t->body, "OK");
	return 0;
}

int http_version(struct ctx *c, struct http_text *t)
{
	(void)c;
	t->content_type = "text/html; charset=utf-8"; /* as Flask sends it */
	buf_add(&t->body, MLFLOW_VERSION);
	return 0;
}

int http_livez(struct ctx *c, struct http_text *t)
{
	(void)c;
	buf_add(&t->body, "ok");
	return 0;
}

/* Kubernetes' own format: one line per check when asked, or when one fails. */
int http_readyz(struct ctx *c, struct http_text *t)
{
	const struct http_server *s = http_current();
	const char *verbose = t->query(t, "verbose");
	bool database = true;
	bool stopping = atomic_load(&s->stopping);

	if (s->options.pool) {
		database = db_get(c, s->options.pool, 1000) == 0;
		if (database)
			db_put(c, s->options.pool);
		error_clear(c);
	}
	t->status = database && !stopping ? 200 : 503;
	if (!verbose && t->status == 200) {
		buf_add(&t->body, "ok");
		return 0;
	}
	buf_addf(&t->body, "[%c]database %s\n", database ? '+' : '-', database ? "ok" : "failed");
	buf_addf(&t->body, "[%c]shutdown %s\n", stopping ? '-' : '+', stopping ? "stopping" : "ok");
	buf_addf(&t->body, "readyz check %s\n", t->status == 200 ? "passed" : "failed");
	return 0;
}

int http_metrics(struct ctx *c, struct http_text *t)
{
	const struct http_server *s = http_current();

	if (!s->options.expose_metrics)
		return fail(c, ENDPOINT_NOT_FOUND, "Metrics are not exposed.");
	t->content_type = "text/plain; version=0.0.4; charset=utf-8";
	metrics_write(s, &t->body);
	return 0;
}

static const char *truth(bool b)
{
	return b ? "true" : "false";
}

/* mlflow/server/handlers.py build_server_info_payload(). Answered without login: nothing secret
   belongs here. */
int http_server_info(struct ctx *c, struct http_text *t)
{
	const struct http_options *o = &http_current()->options;

	(void)c;
	t->content_type = "application/json";
	buf_addf(&t->body,
		 "{\"store_type\":\"SqlStore\",\"workspaces_enabled\":%s,\"trace_archival_"
		 "enabled\":false,"
		 "\"multipart_uploads_enabled\":%s,\"multipart_downloads_enabled\":%s,"
		 "\"presigned_upload_run_id_supported\":true,\"presigned_upload_model_id_"
		 "supported\":true,"
		 "\"features_enabled\":{\"gateway\":false}}",
		 truth(o->workspaces),
		 truth(o->serve_artifacts && o->multipart_uploads),
		 truth(o->serve_artifacts && o->multipart_downloads));
	return 0;
}
