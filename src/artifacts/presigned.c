/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Signed URLs: clients move bytes between themselves and the store. A directory has none.
 * mlflow/server/handlers.py _create_presigned_upload_url(), _create_presigned_download_url(),
 * _get_presigned_download_url().
 */
#include <string.h>

#include "artifacts/artifact.h"
#include "artifacts/location.h"
#include "artifacts/path.h"
#include "base/arena.h"
#include "base/buf.h"
#include "blob/blob.h"
#include "config.h"
#include "handlers.h"
#include "mime.h"

enum { UPLOAD_S = 900, DOWNLOAD_S = 300, HEADERS = 64 << 10 };

static int64_t download_seconds(void)
{
	return artifacts_config.presigned_s ? artifacts_config.presigned_s : DOWNLOAD_S;
}

static const char *headers_text(struct ctx *c, const struct blob_signed *s)
{
	struct buf text = BUF(c->arena, HEADERS);

	buf_addc(&text, '{');
	for (size_t i = 0; i < s->header_count; i++) {
		if (i)
			buf_addc(&text, ',');
		buf_add_json_string(&text, s->headers[i].name);
		buf_addc(&text, ':');
		buf_add_json_string(&text, s->headers[i].value);
	}
	buf_addc(&text, '}');
	return buf_text(&text);
}

/* A URL for reading what is there, with its size. */
static int sign_read(struct ctx *c, struct blob *store, const char *key, int64_t expires_s,
		     struct blob_signed *ret, int64_t *size)
{
	const char *slash = strrchr(key, '/');
	struct blob_sign what = {
		.key = key,
		.expires_s = expires_s,
		.file_name = slash ? slash + 1 : key,
	};
	struct blob_info info = { 0 };
	int found = *key ? blob_stat(c, store, key, &info) : 0;

	if (found < 0)
		return -1;
	if (!found || info.directory)
		return fail(c, RESOURCE_DOES_NOT_EXIST, "No such artifact: '%.1000s'", key);
	*size = (int64_t)info.size;
	return blob_sign(c, store, &what, ret);
}

bool artifacts_redirects(const struct blob *store)
{
	return artifacts_config.presigned_only && (blob_abilities(store) & BLOB_SIGNS_READS);
}

int artifacts_redirect(struct ctx *c, struct blob *store, const char *key, const char **url)
{
	struct blob_signed s = { 0 };
	int64_t size;

	if (sign_read(c, store, key, download_seconds(), &s, &size))
		return -1;
	*url = s.url;
	return 0;
}

int artifacts_uploads_allowed(struct ctx *c, const struct blob *store)
{
	if (!artifacts_config.presigned_only || !(blob_abilities(store) & BLOB_SIGNS_PARTS))
		return 0;
	return fail(c, FEATURE_DISABLED,
		    "This server takes no artifact bytes (--artifacts-presigned-only): clients upload to "
		    "the store itself. Set MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD=true and "
		    "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE=1 for the MLflow client.");
}

/* ---- runs and models with locations of their own ---- */

static int no_presigned(struct ctx *c, const char *what)
{
	return fail(c, NOT_IMPLEMENTED,
		    "Presigned %s is not supported for the current artifact repository", what);
}

static int proxied(struct ctx *c, const char *uri, const char *what, const char *whose)
{
	return fail(c, INVALID_PARAMETER_VALUE,
		    "Presigned %s is not supported for %sproxied artifact storage (artifact URI "
		    "scheme: %s). This endpoint requires a %sdirect cloud storage artifact URI.",
		    what, whose, location_scheme(c, uri), *whose ? "run with a " : "");
}

int artifacts_presigned_download(struct ctx *c, const struct presigned_download *in,
				 struct presigned_url_reply *out)
{
	int64_t expiration = in->expiration ? *in->expiration : download_seconds();
	struct blob_signed s = { 0 };
	const char *below, *key, *uri;
	struct blob *store;
	int64_t size;

	if (artifact_path_key(c, in->path, ARTIFACT_ANY, &below))
		return -1;
	if (expiration < 1 || expiration > BLOB_MAX_EXPIRES)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "expiration must be between 1 and %d seconds (got %lld).",
			    BLOB_MAX_EXPIRES, (long long)expiration);
	if (artifacts_run_uri(c, in->run_id, &uri))
		return -1;
	if (location_proxied(c, uri))
		return proxied(c, uri, "download", "runs with ");
	if (artifacts_find(c, uri, below, &store, &key))
		return -1;
	if (!(blob_abilities(store) & BLOB_SIGNS_READS))
		return no_presigned(c, "download");
	if (sign_read(c, store, key, expiration, &s, &size))
		return -1;
	out->presigned_url = s.url;
	out->headers = s.header_count ? headers_text(c, &s) : NULL;
	out->file_size = box_int64(c->arena, size);
	return 0;
}

int artifacts_presigned_upload(struct ctx *c, const struct presigned_upload *in,
			       struct presigned_url_reply *out)
{
	bool run = in->run_id && *in->run_id;
	bool model = in->model_id && *in->model_id;
	struct blob_sign what = { .write = true,
				  .expires_s = in->expiration ? *in->expiration : UPLOAD_S };
	struct blob_signed s = { 0 };
	const char *below, *uri;
	struct blob *store;

	if (run == model)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Exactly one of run_id and model_id must be provided.");
	if (artifact_path_key(c, in->path, ARTIFACT_ANY, &below) ||
	    (run ? artifacts_run_uri(c, in->run_id, &uri)
		 : artifacts_model_uri(c, in->model_id, &uri)))
		return -1;
	if (location_proxied(c, uri))
		return proxied(c, uri, "upload", "");
	if (artifacts_find(c, uri, below, &store, &what.key))
		return -1;
	if (!(blob_abilities(store) & BLOB_SIGNS_WRITES))
		return no_presigned(c, "upload");
	if (what.expires_s < 1 || what.expires_s > BLOB_MAX_EXPIRES)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "expiration must be between 1 and %d seconds (got %lld).",
			    BLOB_MAX_EXPIRES, (long long)what.expires_s);
	if (artifact_path_key(c, in->path, ARTIFACT_FILE, &below))
		return -1;
	what.content_type = mime_guess(what.key);
	if (blob_sign(c, store, &what, &s))
		return -1;
	out->presigned_url = s.url;
	out->headers = s.header_count ? headers_text(c, &s) : NULL;
	return 0;
}

/* ---- the proxy's ---- */

int artifacts_proxy_presigned(struct ctx *c, const struct presigned_proxy_url *in,
			      struct presigned_proxy_reply *out)
{
	struct blob_signed s = { 0 };
	const char *key;
	int64_t size;

	if (artifacts_proxy_ready(c) || artifact_path_key(c, in->artifact_path, ARTIFACT_ANY, &key))
		return -1;
	if (!(blob_abilities(artifacts_config.root) & BLOB_SIGNS_READS))
		return fail(c, NOT_IMPLEMENTED, "Multipart download is not supported for the current "
						"artifact repository");
	if (sign_read(c, artifacts_config.root, key, download_seconds(), &s, &size))
		return -1;
	out->url = s.url;
	out->headers = headers_text(c, &s);
	out->file_size = box_int64(c->arena, size);
	return 0;
}
