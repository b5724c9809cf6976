/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Multipart uploads of clients (the XML API has them), and URLs by which clients reach the store themselves. */
#include "gcs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "net/gcp.h"
#include "net/xml.h"

enum {
	TOKEN_WAIT_MS = 30000,
	UPLOAD_ID_MOST = 1024,
	COMPLETE_MOST = 4 << 20,        /* bytes of the list of parts */
};

/* ---- signed URLs ---- */

/* Host and path of an object in the XML API, as they are signed. */
static void place(struct ctx *c, const struct gcs *g, const char *object, struct gcp_request *ret)
{
	const char *url = gcs_xml_url(c, g, object);
	const char *host = strstr(url, "://") + 3;
	size_t n = strcspn(host, "/");
	const char *ordinary = strncasecmp(url, "https:", 6) ? ":80" : ":443";
	size_t m = strlen(ordinary);

	ret->path = host + n;
	if (n > m && !strncmp(host + n - m, ordinary, m))
		n -= m;
	ret->host = arena_strndup(c->arena, host, n);
}

static void free_net(void *client)
{
	net_free(client);
}

static int presign(struct ctx *c, struct gcs *g, const char *key, struct gcp_request *r,
		   int64_t expires_s, const char **url)
{
	const char *object = remote_object(c, &g->remote, key);
	struct identity_value v = { 0 };
	const char *query;
	struct net *n;

	if (identity_get(c, g->remote.identity, TOKEN_WAIT_MS, &v))
		return -1;
	n = net_new(); /* without a key at hand Google signs */
	if (!n)
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	arena_defer(c->arena, free_net, n);
	place(c, g, object, r);
	r->now = time(NULL);
	if (gcp_presign(c, n, &v, r, expires_s, &query))
		return -1;
	*url = arena_printf(c->arena, "%s?%s", gcs_xml_url(c, g, object), query);
	return 0;
}

/* RFC 6266, as MLflow has S3 say it. */
static const char *disposition(struct ctx *c, const char *name)
{
	struct buf text = BUF(c->arena, 4 * LIMIT_PATH);

	for (const char *p = name; *p; p++)
		if (*p < ' ' || *p > '~')
			return arena_printf(c->arena, "attachment; filename*=UTF-8''%s",
					    net_encode(c, name, false));
	buf_add(&text, "attachment; filename=\"");
	for (; *name; name++) {
		if (*name == '"' || *name == '\\')
			buf_addc(&text, '\\');
		buf_addc(&text, *name);
	}
	buf_addc(&text, '"');
	return buf_text(&text);
}

int gcs_sign(struct ctx *c, struct blob *b, const struct blob_sign *s, struct blob_signed *ret)
{
	struct gcs *g = (struct gcs *)b;
	struct net_header type = { "content-type", s->content_type };
	struct gcp_request r = { .method = s->write ? "PUT" : "GET" };
	struct blob_header *headers = NULL;

	*ret = (struct blob_signed){ 0 };
	if (s->write && s->content_type) {
		r.headers = &type;
		r.header_count = 1;
		headers = NEW(c->arena, struct blob_header);
		*headers = (struct blob_header){ "Content-Type",
						 arena_strdup(c->arena, s->content_type) };
		ret->headers = headers;
		ret->header_count = 1;
	}
	if (!s->write && s->file_name)
		r.query = arena_printf(c->arena, "response-content-disposition=%s",
				       net_encode(c, disposition(c, s->file_name), false));
	return presign(c, g, s->key, &r, s->expires_s, &ret->url);
}

static const char *part_query(struct ctx *c, const char *upload_id, unsigned part)
{
	return arena_printf(c->arena, "partNumber=%u&uploadId=%s", part,
			    net_encode(c, upload_id, false));
}

int gcs_sign_part(struct ctx *c, struct blob *b, const char *key, const char *upload_id,
		  unsigned part, int64_t expires_s, const char **url)
{
	struct gcp_request r = { .method = "PUT", .query = part_query(c, upload_id, part) };

	return presign(c, (struct gcs *)b, key, &r, expires_s, url);
}

/* ---- uploads in parts ---- */

static bool is_upload_id(const char *id)
{
	size_t n = strlen(id);

	for (size_t i = 0; i < n; i++)
		if (id[i] <= ' ' || id[i] > '~')
			return false;
	return n > 0 && n <= UPLOAD_ID_MOST;
}

static int no_upload(struct ctx *c)
{
	return fail(c, RESOURCE_DOES_NOT_EXIST, "No such multipart upload");
}

int gcs_parts_create(struct ctx *c, struct blob *b, const char *key, const char **upload_id)
{
	struct gcs *g = (struct gcs *)b;
	const char *object = remote_object(c, &g->remote, key);
	const struct remote_request q = {
		.method = "POST", .url = gcs_xml_url(c, g, object), .query = "uploads"
	};
	const struct net_xml *answer;
	struct remote_reply got;
	const char *id;

	if (remote_perform(c, &g->remote, &q, &got) ||
	    net_xml_read(c, got.reply.body, got.reply.size, &answer))
		return -1;
	id = net_xml_text(answer, "UploadId");
	if (!id || !is_upload_id(id))
		return fail(c, TEMPORARILY_UNAVAILABLE,
			    "The artifact store began an upload without naming it");
	*upload_id = arena_strdup(c->arena, id);
	return 0;
}

static void add_xml(struct buf *to, const char *text)
{
	for (; *text; text++) {
		if (strchr("<>&\"'", *text))
			buf_addf(to, "&#%d;", *text);
		else
			buf_addc(to, *text);
	}
}

static const char *parts_xml(struct ctx *c, const struct blob_part *parts, size_t count)
{
	struct buf xml = BUF(c->arena, COMPLETE_MOST);

	buf_add(&xml, "<CompleteMultipartUpload>");
	for (size_t i = 0; i < count; i++) {
		const char *etag = parts[i].etag ? parts[i].etag : "";
		bool bare = *etag && *etag != '"'; /* clients may strip the quotes */

		buf_addf(&xml, "<Part><PartNumber>%u</PartNumber><ETag>%s", parts[i].number,
			 bare ? "&quot;" : "");
		add_xml(&xml, etag);
		buf_addf(&xml, "%s</ETag></Part>", bare ? "&quot;" : "");
	}
	buf_add(&xml, "</CompleteMultipartUpload>");
	return buf_failed(&xml) ? NULL : buf_text(&xml);
}

static int parts_invalid(struct ctx *c, const char *detail)
{
	return fail_because(c, INVALID_PARAMETER_VALUE, detail,
			    "The parts are not those that were uploaded, or not in ascending order");
}

/* The answer to a complete. gone: there is no such upload (any more). */
static int judge_complete(struct ctx *c, const struct remote *r, const struct remote_reply *got,
			  bool *gone)
{
	const struct net_xml *root;
	const char *code;

	*gone = got->reply.status == 404 && !gcs_no_bucket(&got->reply);
	if (*gone)
		return 0;
	if (got->reply.size == 0 && got->reply.status < 300)
		return 0;
	if (got->reply.status != 404 && got->reply.status != 400) {
		if (net_xml_read(c, got->reply.body, got->reply.size, &root))
			return -1;
		/* As S3, it may begin to answer before it knows. */
		code = strcmp(root->name, "Error") ? NULL : net_xml_text(root, "Code");
		return code ? fail_because(c, TEMPORARILY_UNAVAILABLE, remote_said(c, r, code),
					   "The artifact store did not complete the upload: try again")
			    : 0;
	}
	if (got->reply.status == 400)
		return parts_invalid(c, arena_strndup(c->arena, remote_said(c, r, got->reply.body), 500));
	return fail(c, RESOURCE_DOES_NOT_EXIST, "The bucket of the upload does not exist");
}

/*
 * An answer may get lost after the store did as it was told; the upload is unknown when it is asked again. Then a new
 * generation of the object says that it was done.
 */
int gcs_parts_complete(struct ctx *c, struct blob *b, const char *key, const char *upload_id,
		       const struct blob_part *parts, size_t count)
{
	static const short judged[] = { 400, 404, 0 };
	struct gcs *g = (struct gcs *)b;
	const char *object = remote_object(c, &g->remote, key);
	const struct net_header type = { "Content-Type", "application/xml" };
	struct blob_info before = { 0 }, after = { 0 };
	struct remote_request q = {
		.method = "POST",
		.url = gcs_xml_url(c, g, object),
		.query = arena_printf(c->arena, "uploadId=%s", net_encode(c, upload_id, false)),
		.headers = &type,
		.header_count = 1,
		.body = parts_xml(c, parts, count),
		.also = judged,
	};
	struct remote_reply got;
	bool gone = false;

	if (!is_upload_id(upload_id))
		return no_upload(c);
	for (size_t i = 1; i < count; i++)
		if (parts[i].number <= parts[i - 1].number)
			return parts_invalid(c, NULL);
	if (!q.body)
		return parts_invalid(c, "too long");
	q.size = strlen(q.body);
	if (gcs_stat(c, b, key, &before) < 0 || remote_perform(c, &g->remote, &q, &got) ||
	    judge_complete(c, &g->remote, &got, &gone))
		return -1;
	if (!gone)
		return 0;
	if (got.broke) {
		int found = gcs_stat(c, b, key, &after);

		if (found < 0)
			return -1;
		if (found && !after.directory && strcmp(before.etag, after.etag) != 0)
			return 0;
	}
	return no_upload(c);
}

int gcs_parts_abort(struct ctx *c, struct blob *b, const char *key, const char *upload_id)
{
	static const short gone[] = { 404, 0 };
	struct gcs *g = (struct gcs *)b;
	const struct remote_request q = {
		.method = "DELETE",
		.url = gcs_xml_url(c, g, remote_object(c, &g->remote, key)),
		.query = arena_printf(c->arena, "uploadId=%s", net_encode(c, upload_id, false)),
		.also = gone,
	};
	struct remote_reply got;

	if (!is_upload_id(upload_id))
		return no_upload(c);
	if (remote_perform(c, &g->remote, &q, &got))
		return -1;
	return got.reply.status == 404 && !got.broke ? no_upload(c) : 0;
}

/* ---- one part that comes through us: straight to the store, as it arrives ---- */

struct gcs_part {
	struct blob_writer writer;
	struct gcs *gcs;
	struct blob_ready ready;
	char *url;
	int64_t size;
	uint64_t at;
	struct remote_call *call;
};

static int begin_part(struct ctx *c, struct gcs_part *p)
{
	const struct remote_request q = { .method = "PUT",
					  .url = p->url,
					  .written = p->size > 0,
					  .body_size = p->size };

	return p->call ? 0 : remote_call_begin(c, &p->gcs->remote, &q, p->ready, &p->call);
}

static int part_write(struct ctx *c, struct blob_writer *w, const void *data, size_t n,
		      size_t *taken)
{
	struct gcs_part *p = (struct gcs_part *)w;
	struct net_head head;
	int rc;

	*taken = 0;
	if (n > (uint64_t)p->size - p->at)
		return fail(c, INVALID_PARAMETER_VALUE, "More bytes came than were announced");
	if (n == 0)
		return 0;
	if (begin_part(c, p))
		return -1;
	rc = remote_call_write(c, p->call, data, n, taken);
	p->at += *taken;
	if (rc || *taken)
		return rc;
	/* An answer before all was sent can only be a refusal. */
	rc = remote_call_head(c, p->call, &head);
	return rc ? rc : fail(c, TEMPORARILY_UNAVAILABLE,
			      "The artifact store answered before it had the whole part");
}

static int part_commit(struct ctx *c, struct blob_writer *w, char etag[BLOB_ETAG])
{
	struct gcs_part *p = (struct gcs_part *)w;
	struct net_head head;
	const char *tag;
	int rc;

	if (p->at != (uint64_t)p->size)
		return fail(c, INVALID_PARAMETER_VALUE, "Fewer bytes came than were announced");
	if (begin_part(c, p))
		return -1;
	rc = remote_call_head(c, p->call, &head);
	if (rc)
		return rc;
	tag = remote_call_header(p->call, "ETag");
	if (!tag || !*tag || strlen(tag) >= BLOB_ETAG)
		return fail(c, TEMPORARILY_UNAVAILABLE,
			    "The artifact store took the part without naming it");
	snprintf(etag, BLOB_ETAG, "%s", tag);
	return 0;
}

static void part_close(struct blob_writer *w)
{
	struct gcs_part *p = (struct gcs_part *)w;

	remote_call_close(p->call);
	free(p->url);
	free(p);
}

static const struct blob_ops part_ops = {
	.write = part_write,
	.write_commit = part_commit,
	.write_close = part_close,
};

int gcs_part_begin(struct ctx *c, struct gcs *g, const struct blob_target *t,
		   struct blob_ready ready, struct blob_writer **ret)
{
	const char *object = remote_object(c, &g->remote, t->key);
	struct gcs_part *p;

	if (t->size < 0)
		return fail(c, INVALID_PARAMETER_VALUE, "A part needs a Content-Length");
	p = calloc(1, sizeof(*p));
	if (!p)
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	p->writer.ops = &part_ops;
	p->gcs = g;
	p->ready = ready;
	p->size = t->size;
	*ret = &p->writer;
	p->url = strdup(arena_printf(c->arena, "%s?%s", gcs_xml_url(c, g, object),
				     part_query(c, t->upload_id, t->part)));
	return p->url ? 0 : fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
}
