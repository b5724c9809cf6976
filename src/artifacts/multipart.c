/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Multipart uploads as MLflow's client makes them: it asks for num_parts URLs, PUTs each part there
 * without credentials of its own, and completes with the ETags that it got. The URLs are the store's,
 * signed; of a directory they are ours, and the secret in the upload id is what allows the PUT.
 */
#include <stdlib.h>
#include <string.h>

#include "artifacts/artifact.h"
#include "artifacts/digest.h"
#include "artifacts/path.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/number.h"
#include "blob/blob.h"
#include "config.h"
#include "handlers.h"

/* The object: the file's name in the folder that the URL names. */
static int object_key(struct ctx *c, const char *folder, const char *file, const char **key)
{
	const char *slash = strrchr(file, '/');
	const char *base, *name;

	if (artifacts_proxy_ready(c) || artifact_path_key(c, folder, ARTIFACT_ANY, &base) ||
	    artifact_path_key(c, slash ? slash + 1 : file, ARTIFACT_FILE, &name))
		return -1;
	return artifact_path_join(c, base, name, key);
}

static void add_encoded(struct buf *to, const char *key)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";

	for (; *key; key++) {
		if (strchr(plain, *key))
			buf_addc(to, *key);
		else
			buf_addf(to, "%%%02X", (unsigned char)*key);
	}
}

enum { PART_S = 3600 }; /* boto3's default */

/* A URL of ours for a part is this and its number. -1: it gets too long. */
static int own_url(struct ctx *c, const char *base, const char *key, const char *upload_id,
		   const char **ret)
{
	struct buf url = BUF(c->arena, 4 * LIMIT_PATH);

	buf_addf(&url, "%s/api/2.0/mlflow-artifacts/mpu/part/", base);
	add_encoded(&url, key);
	buf_addf(&url, "?upload_id=%s&part=", upload_id);
	if (buf_failed(&url))
		return fail(c, INVALID_PARAMETER_VALUE, "Invalid path");
	*ret = buf_text(&url);
	return 0;
}

/* The text by which clients know to send one plain PUT instead. */
static int no_multipart(struct ctx *c, const char *why)
{
	return fail_because(c, NOT_IMPLEMENTED, why,
			    "Multipart upload is not supported for the current artifact repository");
}

static int add_urls(struct ctx *c, const char *key, const char *own, int64_t count,
		    struct create_multipart_reply *out)
{
	struct multipart_credential *credentials =
		NEW_ARRAY(c->arena, (size_t)count, struct multipart_credential);

	for (int64_t i = 0; i < count; i++) {
		if (own)
			credentials[i].url =
				arena_printf(c->arena, "%s%lld", own, (long long)i + 1);
		else if (blob_sign_part(c, artifacts_config.root, key, out->upload_id,
					(unsigned)i + 1, PART_S, &credentials[i].url))
			return -1;
		credentials[i].part_number = box_int64(c->arena, i + 1);
	}
	out->credentials = (struct list){ credentials, (size_t)count };
	return 0;
}

int artifacts_multipart_create(struct ctx *c, const struct create_multipart *in,
			       struct create_multipart_reply *out)
{
	int64_t count = in->num_parts ? *in->num_parts : 1;
	struct blob *root = artifacts_config.root;
	const char *key, *own = NULL;
	bool direct;

	if (object_key(c, in->artifact_path, in->path, &key))
		return -1;
	direct = blob_abilities(root) & BLOB_SIGNS_PARTS;
	if (!direct && (!in->request_base_url || !*in->request_base_url))
		return no_multipart(c, NULL);
	if (count < 1 || count > BLOB_MAX_PARTS)
		return fail(c, INVALID_PARAMETER_VALUE, "num_parts must be between 1 and %d",
			    BLOB_MAX_PARTS);
	if (blob_parts_create(c, root, key, &out->upload_id) ||
	    (!direct && own_url(c, in->request_base_url, key, out->upload_id, &own)))
		return -1;
	if (!add_urls(c, key, own, count, out))
		return 0;
	/* A ctx of its own: the failure that counts is in c. */
	struct ctx aside = { .arena = c->arena };

	(void)!blob_parts_abort(&aside, root, key, out->upload_id);
	if (c->error.code != PERMISSION_DENIED)
		return -1;
	/* Credentials that can write and not sign, as a Google user's: one PUT through us is fine. */
	aside.error = c->error;
	error_clear(c);
	return no_multipart(c, aside.error.message);
}

int artifacts_multipart_part(struct ctx *c, const struct stream_request *r, struct stream *s)
{
	const char *upload_id = r->query(r, "upload_id");
	const char *part = r->query(r, "part");
	const char *key;
	size_t digits = part ? strspn(part, "0123456789") : 0;

	if (artifacts_proxy_ready(c) || artifact_path_key(c, r->path, ARTIFACT_FILE, &key))
		return -1;
	/* The id of an upload to a bucket is no secret that allows anything here. */
	if (blob_abilities(artifacts_config.root) & BLOB_SIGNS_PARTS)
		return fail(c, NOT_IMPLEMENTED, "Parts go to the URLs that mpu/create gave.");
	if (!upload_id || !digits || part[digits] || digits > 5 || number_leading(part) < 1 ||
	    number_leading(part) > BLOB_MAX_PARTS)
		return fail(c, INVALID_PARAMETER_VALUE, "A part needs upload_id and part (1 to %d)",
			    BLOB_MAX_PARTS);
	*s = (struct stream){
		.kind = STREAM_UPLOAD,
		.key = key,
		.store = artifacts_config.root,
		.size = r->content_length,
		.upload_id = upload_id,
		.part = (unsigned)number_leading(part),
	};
	return digest_announced(c, r, s);
}

int artifacts_multipart_complete(struct ctx *c, const struct complete_multipart *in,
				 struct empty *out)
{
	struct blob_part *parts = NEW_ARRAY(c->arena, in->parts.count, struct blob_part);
	const char *key;

	(void)out;
	if (object_key(c, in->artifact_path, in->path, &key))
		return -1;
	for (size_t i = 0; i < in->parts.count; i++) {
		const struct multipart_part *p = LIST_AT(struct multipart_part, &in->parts, i);

		if (!p->part_number || *p->part_number < 1 || *p->part_number > BLOB_MAX_PARTS)
			return fail(c, INVALID_PARAMETER_VALUE,
				    "part_number must be between 1 and %d", BLOB_MAX_PARTS);
		parts[i] = (struct blob_part){ (unsigned)*p->part_number,
					       p->etag && *p->etag ? p->etag : NULL };
	}
	if (blob_parts_complete(c, artifacts_config.root, key, in->upload_id ? in->upload_id : "",
				parts, in->parts.count))
		return -1;
	artifacts_forget(c, artifacts_config.root, key);
	return 0;
}

int artifacts_multipart_abort(struct ctx *c, const struct abort_multipart *in, struct empty *out)
{
	const char *key;

	(void)out;
	if (object_key(c, in->artifact_path, in->path, &key))
		return -1;
	return blob_parts_abort(c, artifacts_config.root, key, in->upload_id ? in->upload_id : "");
}
