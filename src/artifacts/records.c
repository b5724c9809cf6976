/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The requests and replies of artifact.h, in the order in which MLflow checks them. */
#include "artifacts/artifact.h"

const struct record artifact_file_record = {
	sizeof(struct artifact_file),
	(const struct field[]){ STRING(struct artifact_file, path, 0),
				BOOL(struct artifact_file, is_dir, 0),
				INT64(struct artifact_file, file_size, 0), END }
};

const struct record list_artifacts_record = {
	sizeof(struct list_artifacts),
	(const struct field[]){ STRING(struct list_artifacts, run_id, REQUIRED),
				{ "run_uuid", FIELD_STRING, ALIAS,
				  offsetof(struct list_artifacts, run_id), NULL, NULL },
				STRING(struct list_artifacts, path, 0),
				STRING(struct list_artifacts, page_token, 0),
				END }
};

const struct record list_artifacts_reply_record = {
	sizeof(struct list_artifacts_reply),
	(const struct field[]){ STRING(struct list_artifacts_reply, root_uri, 0),
				LIST(struct list_artifacts_reply, files, 0, &artifact_file_record),
				END }
};

const struct record list_proxy_artifacts_record = {
	sizeof(struct list_proxy_artifacts),
	(const struct field[]){ STRING(struct list_proxy_artifacts, path, 0), END }
};

const struct record delete_proxy_artifact_record = {
	sizeof(struct delete_proxy_artifact),
	(const struct field[]){ STRING(struct delete_proxy_artifact, artifact_path, REQUIRED), END }
};

const struct record list_model_artifacts_record = {
	sizeof(struct list_model_artifacts),
	(const struct field[]){ STRING(struct list_model_artifacts, model_id, REQUIRED),
				STRING(struct list_model_artifacts, artifact_directory_path, 0),
				END }
};

const struct record presigned_download_record = {
	sizeof(struct presigned_download),
	(const struct field[]){ STRING(struct presigned_download, run_id, REQUIRED),
				STRING(struct presigned_download, path, REQUIRED),
				INT64(struct presigned_download, expiration, 0), END }
};

const struct record presigned_upload_record = {
	sizeof(struct presigned_upload),
	(const struct field[]){ STRING(struct presigned_upload, run_id, 0),
				STRING(struct presigned_upload, model_id, 0),
				STRING(struct presigned_upload, path, REQUIRED),
				INT64(struct presigned_upload, expiration, 0), END }
};

const struct record presigned_url_reply_record = {
	sizeof(struct presigned_url_reply),
	(const struct field[]){ STRING(struct presigned_url_reply, presigned_url, 0),
				RAW(struct presigned_url_reply, headers, 0),
				INT64(struct presigned_url_reply, file_size, 0), END }
};

const struct record presigned_proxy_reply_record = {
	sizeof(struct presigned_proxy_reply),
	(const struct field[]){ STRING(struct presigned_proxy_reply, url, 0),
				RAW(struct presigned_proxy_reply, headers, 0),
				INT64(struct presigned_proxy_reply, file_size, 0), END }
};

const struct record presigned_proxy_url_record = {
	sizeof(struct presigned_proxy_url),
	(const struct field[]){ STRING(struct presigned_proxy_url, artifact_path, REQUIRED), END }
};

const struct record multipart_credential_record = {
	sizeof(struct multipart_credential),
	(const struct field[]){ STRING(struct multipart_credential, url, 0),
				INT64(struct multipart_credential, part_number, 0), END }
};

const struct record multipart_part_record = {
	sizeof(struct multipart_part),
	(const struct field[]){ INT64(struct multipart_part, part_number, REQUIRED),
				STRING(struct multipart_part, etag, 0),
				STRING(struct multipart_part, url, 0), END }
};

const struct record create_multipart_record = {
	sizeof(struct create_multipart),
	(const struct field[]){ STRING(struct create_multipart, artifact_path, REQUIRED),
				STRING(struct create_multipart, path, REQUIRED),
				INT64(struct create_multipart, num_parts, 0),
				STRING(struct create_multipart, request_base_url, 0), END }
};

const struct record create_multipart_reply_record = {
	sizeof(struct create_multipart_reply),
	(const struct field[]){
		STRING(struct create_multipart_reply, upload_id, 0),
		LIST(struct create_multipart_reply, credentials, 0, &multipart_credential_record),
		END }
};

const struct record complete_multipart_record = {
	sizeof(struct complete_multipart),
	(const struct field[]){
		STRING(struct complete_multipart, artifact_path, REQUIRED),
		STRING(struct complete_multipart, path, REQUIRED),
		STRING(struct complete_multipart, upload_id, 0),
		LIST(struct complete_multipart, parts, REQUIRED, &multipart_part_record), END }
};

const struct record abort_multipart_record = {
	sizeof(struct abort_multipart),
	(const struct field[]){ STRING(struct abort_multipart, artifact_path, REQUIRED),
				STRING(struct abort_multipart, path, REQUIRED),
				STRING(struct abort_multipart, upload_id, 0), END }
};
