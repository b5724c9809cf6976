/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Multipart uploads that clients make themselves, and signed URLs by which they talk to the store.
 * MLflow: mlflow/store/artifact/s3_artifact_repo.py. */
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/buf.h"
#include "s3_write.h"

enum { CREDENTIALS_MS = 30000 };

static const char no_upload[] = "No such multipart upload";

/* A client cannot send the key of a customer, as MLflow gives it no headers for parts. */
static bool has_customer_key(const struct s3 *s)
{
	static const char name[] = "x-amz-server-side-encryption-customer-";

	for (size_t i = 0; i < s->extra_count; i++)
		if (!strncasecmp(s->extra[i].name, name, sizeof(name) - 1))
			return true;
	return false;
}

int s3_parts_create(struct ctx *c, struct blob *b, const char *key, const char **upload_id)
{
	struct s3 *s = (struct s3 *)b;
	struct remote_request q = {
		.method = "POST",
		.object = remote_object(c, &s->remote, key),
		.query = "uploads=",
	};
	struct remote_reply got;

	/* The text by which clients know to send one plain PUT instead. */
	if (has_customer_key(s))
		return fail(c, NOT_IMPLEMENTED,
			    "Multipart upload is not supported for the current artifact repository");
	q.headers = s3_write_headers(c, s, true, "application/octet-stream", &q.header_count);
	if (remote_perform(c, &s->remote, &q, &got))
		return -1;
	*upload_id = s3_xml_text(c, got.reply.body, got.reply.size, "UploadId");
	if (!*upload_id || !s3_upload_id_valid(*upload_id))
		return fail(c, INTERNAL_ERROR,
			    "The object store began an upload without saying its id");
	return 0;
}

/* ---- completing ---- */

struct waiting {
	struct remote_wait wait;
	struct s3_complete complete;
};

static void end_waiting(void *arg)
{
	struct waiting *w = arg;

	s3_complete_end(&w->complete);
	remote_wait_end(&w->wait);
}

static int check_parts(struct ctx *c, const struct blob_part *parts, size_t count)
{
	if (!count)
		return fail(c, INVALID_PARAMETER_VALUE, "An upload needs at least one part");
	if (count > BLOB_MAX_PARTS)
		return fail(c, INVALID_PARAMETER_VALUE, "More than %d parts", BLOB_MAX_PARTS);
	for (size_t i = 0; i < count; i++) {
		const char *etag = parts[i].etag;

		if (i && parts[i].number <= parts[i - 1].number)
			return fail(c, INVALID_PARAMETER_VALUE, "Parts must be in ascending order");
		if (!etag || !*etag)
			return fail(c, INVALID_PARAMETER_VALUE, "Part %u has no etag",
				    parts[i].number);
		if (strlen(etag) > BLOB_ETAG - 3)
			return fail(c, INVALID_PARAMETER_VALUE, "The etag of part %u is too long",
				    parts[i].number);
		for (; *etag; etag++)
			if (*etag <= ' ' || *etag > '~')
				return fail(c, INVALID_PARAMETER_VALUE,
					    "The etag of part %u is invalid", parts[i].number);
	}
	return 0;
}

static struct s3_sent *as_sent(struct ctx *c, const struct blob_part *parts, size_t count)
{
	struct s3_sent *sent = NEW_ARRAY(c->arena, count, struct s3_sent);

	for (size_t i = 0; i < count; i++) {
		sent[i].number = parts[i].number;
		remote_etag(parts[i].etag, sent[i].etag);
		if (!*sent[i].etag) /* odd, but the store's to judge */
			memcpy(sent[i].etag, parts[i].etag, strlen(parts[i].etag) + 1);
	}
	return sent;
}

int s3_parts_complete(struct ctx *c, struct blob *b, const char *key, const char *upload_id,
		      const struct blob_part *parts, size_t count)
{
	struct s3 *s = (struct s3 *)b;
	struct waiting *w;
	int rc;

	if (!s3_upload_id_valid(upload_id))
		return fail(c, RESOURCE_DOES_NOT_EXIST, no_upload);
	if (check_parts(c, parts, count))
		return -1;
	w = NEW(c->arena, struct waiting);
	remote_wait_begin(&w->wait, 0);
	arena_defer(c->arena, end_waiting, w);
	w->complete = (struct s3_complete){
		.s = s,
		.object = remote_object(c, &s->remote, key),
		.upload_id = upload_id,
		.parts = as_sent(c, parts, count),
		.count = count,
		.size = -1,
		.ready = { remote_wait_ready, &w->wait },
	};
	while ((rc = s3_complete_step(c, &w->complete)) == BLOB_AGAIN) {
		if (remote_wait(c, &w->wait))
			break;
	}
	s3_complete_end(&w->complete);
	return rc ? -1 : 0;
}

int s3_parts_abort(struct ctx *c, struct blob *b, const char *key, const char *upload_id)
{
	static const short missing[] = { 404, 0 };
	struct s3 *s = (struct s3 *)b;
	struct remote_request q = {
		.method = "DELETE",
		.object = remote_object(c, &s->remote, key),
		.also = missing,
	};
	struct remote_reply got;
	const char *code;

	if (!s3_upload_id_valid(upload_id))
		return fail(c, RESOURCE_DOES_NOT_EXIST, no_upload);
	q.query = s3_upload_query(c, upload_id, 0);
	q.headers = s3_write_headers(c, s, false, NULL, &q.header_count);
	if (remote_perform(c, &s->remote, &q, &got))
		return -1;
	if (got.reply.status != 404 || got.broke) /* broke: an earlier try did it */
		return 0;
	code = s3_xml_text(c, got.reply.body, got.reply.size, "Code");
	if (code && strcmp(code, "NoSuchUpload"))
		return s->remote.ops->refuse(c, &s->remote, &q, &got.reply);
	return fail(c, RESOURCE_DOES_NOT_EXIST, no_upload);
}

/* ---- signed URLs ---- */

/* The owner is in the query instead of a header, so that whoever has the URL needs to send nothing for it. */
static const char *with_owner(struct ctx *c, const struct s3 *s, const char *query)
{
	if (!s->bucket_owner)
		return query;
	return arena_printf(c->arena, "%s%sx-amz-expected-bucket-owner=%s", query ? query : "",
			    query ? "&" : "", net_encode(c, s->bucket_owner, false));
}

static int presign(struct ctx *c, struct s3 *s, const char *method, const char *object,
		   const char *query, const struct blob_signed *headers, int64_t expires_s,
		   const char **url)
{
	struct net_header *h = NEW_ARRAY(c->arena, headers->header_count + 1, struct net_header);
	struct identity_value v = { 0 };
	struct s3_place place;

	if (!s->remote.identity)
		return fail(c, PERMISSION_DENIED, "The server has no S3 credentials to sign with");
	if (identity_get(c, s->remote.identity, CREDENTIALS_MS, &v))
		return -1;
	for (size_t i = 0; i < headers->header_count; i++)
		h[i] = (struct net_header){ headers->headers[i].name, headers->headers[i].value };
	s3_place(c, s, object, &place);
	*url = arena_printf(
		c->arena, "%s?%s", place.url,
		aws_presign(c,
			    &(struct aws_credentials){ v.text[AWS_KEY_ID], v.text[AWS_SECRET],
						       v.text[AWS_TOKEN] },
			    &(struct aws_request){
				    .method = method,
				    .host = place.host,
				    .path = place.path,
				    .query = with_owner(c, s, query),
				    .headers = h,
				    .header_count = headers->header_count,
				    .payload_hash = AWS_UNSIGNED_PAYLOAD,
				    .region = s3_region(s),
				    .service = "s3",
				    .now = s3_now(s),
			    },
			    expires_s));
	return 0;
}

/* As MLflow's _attachment_content_disposition: what is not printable ASCII goes by RFC 5987. */
static const char *disposition(struct ctx *c, const char *name)
{
	struct buf text = BUF(c->arena, 2 * strlen(name) + 64);
	bool plain = true;

	for (const char *p = name; *p; p++)
		plain = plain && *p >= ' ' && *p <= '~';
	if (!plain)
		return arena_printf(c->arena, "attachment; filename*=UTF-8''%s",
				    net_encode(c, name, true));
	buf_add(&text, "attachment; filename=\"");
	for (; *name; name++) {
		if (*name == '\\' || *name == '"')
			buf_addc(&text, '\\');
		buf_addc(&text, *name);
	}
	buf_addc(&text, '"');
	return buf_text(&text);
}

int s3_sign(struct ctx *c, struct blob *b, const struct blob_sign *in, struct blob_signed *ret)
{
	struct s3 *s = (struct s3 *)b;
	const char *object = remote_object(c, &s->remote, in->key);
	struct net_header *made;
	struct blob_header *h;
	const char *query = NULL;

	*ret = (struct blob_signed){ 0 };
	if (!in->write) {
		if (in->file_name)
			query = arena_printf(c->arena, "response-content-disposition=%s",
					     net_encode(c, disposition(c, in->file_name), false));
		return presign(c, s, "GET", object, query, ret, in->expires_s, &ret->url);
	}
	made = s3_write_headers(c, s, true,
				in->content_type ? in->content_type : "application/octet-stream",
				&ret->header_count);
	h = NEW_ARRAY(c->arena, ret->header_count, struct blob_header);
	for (size_t i = 0; i < ret->header_count; i++)
		h[i] = (struct blob_header){ made[i].name, made[i].value };
	ret->headers = h;
	return presign(c, s, "PUT", object, NULL, ret, in->expires_s, &ret->url);
}

int s3_sign_part(struct ctx *c, struct blob *b, const char *key, const char *upload_id,
		 unsigned part, int64_t expires_s, const char **url)
{
	const struct blob_signed no_headers = { 0 };
	struct s3 *s = (struct s3 *)b;

	if (!s3_upload_id_valid(upload_id))
		return fail(c, RESOURCE_DOES_NOT_EXIST, no_upload);
	return presign(c, s, "PUT", remote_object(c, &s->remote, key),
		       s3_upload_query(c, upload_id, part), &no_headers, expires_s, url);
}
