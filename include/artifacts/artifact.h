/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* artifact — the handlers of the artifact proxy and of the artifacts of runs and logged models. */
#ifndef ARTIFACTS_ARTIFACT_H
#define ARTIFACTS_ARTIFACT_H

#include <stdbool.h>
#include <stdint.h>

#include "artifacts/transfer.h"
#include "base/ctx.h"
#include "base/empty.h"
#include "base/record.h"

struct blob;

/* Once at start, before any handler runs. serve: --serve-artifacts; without it the proxy answers
 * 503. */
void artifacts_configure(struct blob *root, const char *destination_uri, bool serve);

/* Then, where new experiments keep their artifacts: what runs, models and versions have there is
 * served too. A directory is opened when first needed, as clients may make it, and left alone when
 * private_dir (NULL: none) lies in it. artifacts_close() after the last handler. */
void artifacts_configure_default(const char *root_uri, const char *private_dir);
void artifacts_close(void);

/* Then, in what else locations that clients name may lie: comma-separated s3://, gs:// (any bucket),
 * s3://bucket/prefix, gs://bucket/prefix, directories. */
int artifacts_configure_roots(struct ctx *c, const char *list, const char *private_dir) MUST_CHECK;

/* Then: how c gets a database connection, and gives it back before it waits for a store. */
void artifacts_configure_database(int (*take)(struct ctx *c), void (*give_back)(struct ctx *c));

/* Whether a download of the proxy has to be decided where it may wait: not by an event thread. */
bool artifacts_redirect_downloads(void);

/* Then: clients get no bytes of the destination through the proxy, but signed URLs (only), which are
 * good for so many seconds. -1: the destination cannot. */
int artifacts_configure_presigned(struct ctx *c, bool only, int64_t seconds) MUST_CHECK;

/* Removes all below a run's or model's location and adds to *bytes_freed; what is not there is
 * fine. */
int artifacts_delete_tree(struct ctx *c, const char *artifact_uri,
			  uint64_t *bytes_freed) MUST_CHECK;

/* ---- records ---- */

struct artifact_file {
	const char *path;
	const bool *is_dir;
	const int64_t
		*file_size; /* absent for directories and, as MLflow does it, for empty files */
};
extern const struct record artifact_file_record;

struct list_artifacts {
	const char *run_id;
	const char *path;
	const char *page_token;
};
extern const struct record list_artifacts_record;

struct list_artifacts_reply {
	const char *root_uri;
	struct list files; /* struct artifact_file */
};
extern const struct record list_artifacts_reply_record;

struct list_proxy_artifacts {
	const char *path;
};
extern const struct record list_proxy_artifacts_record;

struct delete_proxy_artifact {
	const char *artifact_path;
};
extern const struct record delete_proxy_artifact_record;

struct list_model_artifacts {
	const char *model_id;
	const char *artifact_directory_path;
};
extern const struct record list_model_artifacts_record;

struct presigned_download {
	const char *run_id;
	const char *path;
	const int64_t *expiration;
};
extern const struct record presigned_download_record;

struct presigned_upload {
	const char *run_id;
	const char *model_id;
	const char *path;
	const int64_t *expiration;
};
extern const struct record presigned_upload_record;

struct presigned_url_reply {
	const char *presigned_url;
	const char *headers; /* an object of texts */
	const int64_t *file_size;
};
extern const struct record presigned_url_reply_record;

struct presigned_proxy_url {
	const char *artifact_path;
};
extern const struct record presigned_proxy_url_record;

struct presigned_proxy_reply {
	const char *url;
	const char *headers;
	const int64_t *file_size;
};
extern const struct record presigned_proxy_reply_record;

struct multipart_credential {
	const char *url;
	const int64_t *part_number;
};
extern const struct record multipart_credential_record;

struct multipart_part {
	const int64_t *part_number;
	const char *etag;
	const char *url;
};
extern const struct record multipart_part_record;

/* request_base_url: "http://host:port/prefix" under which this request reached us, without a
   trailing slash. http sets it; NULL when it cannot tell: multipart uploads are not offered then.
 */
struct create_multipart {
	const char *artifact_path;
	const char *path;
	const int64_t *num_parts;
	const char *request_base_url;
};
extern const struct record create_multipart_record;

struct create_multipart_reply {
	const char *upload_id;
	struct list credentials; /* struct multipart_credential */
};
extern const struct record create_multipart_reply_record;

struct complete_multipart {
	const char *artifact_path;
	const char *path;
	const char *upload_id;
	struct list parts; /* struct multipart_part */
};
extern const struct record complete_multipart_record;

struct abort_multipart {
	const char *artifact_path;
	const char *path;
	const char *upload_id;
};
extern const struct record abort_multipart_record;

/* ---- handlers: see http/routes.def ---- */

int artifacts_list(struct ctx *c, const struct list_artifacts *in,
		   struct list_artifacts_reply *out) MUST_CHECK;
int artifacts_model_list(struct ctx *c, const struct list_model_artifacts *in,
			 struct list_artifacts_reply *out) MUST_CHECK;
int artifacts_presigned_download(struct ctx *c, const struct presigned_download *in,
				 struct presigned_url_reply *out) MUST_CHECK;
int artifacts_presigned_upload(struct ctx *c, const struct presigned_upload *in,
			       struct presigned_url_reply *out) MUST_CHECK;
int artifacts_get(struct ctx *c, const struct stream_request *r, struct stream *s) MUST_CHECK;
int artifacts_ui_upload(struct ctx *c, const struct stream_request *r, struct stream *s) MUST_CHECK;
/* Of a model version; ?name=&version=&path= */
int artifacts_version_get(struct ctx *c, const struct stream_request *r,
			  struct stream *s) MUST_CHECK;
int artifacts_model_get(struct ctx *c, const struct stream_request *r, struct stream *s) MUST_CHECK;

int artifacts_proxy_list(struct ctx *c, const struct list_proxy_artifacts *in,
			 struct list_artifacts_reply *out) MUST_CHECK;
int artifacts_proxy_download(struct ctx *c, const struct stream_request *r,
			     struct stream *s) MUST_CHECK;
int artifacts_proxy_upload(struct ctx *c, const struct stream_request *r,
			   struct stream *s) MUST_CHECK;
int artifacts_proxy_delete(struct ctx *c, const struct delete_proxy_artifact *in,
			   struct empty *out) MUST_CHECK;
int artifacts_proxy_presigned(struct ctx *c, const struct presigned_proxy_url *in,
			      struct presigned_proxy_reply *out) MUST_CHECK;

int artifacts_multipart_create(struct ctx *c, const struct create_multipart *in,
			       struct create_multipart_reply *out) MUST_CHECK;
int artifacts_multipart_part(struct ctx *c, const struct stream_request *r,
			     struct stream *s) MUST_CHECK;
int artifacts_multipart_complete(struct ctx *c, const struct complete_multipart *in,
				 struct empty *out) MUST_CHECK;
int artifacts_multipart_abort(struct ctx *c, const struct abort_multipart *in,
			      struct empty *out) MUST_CHECK;

#endif
