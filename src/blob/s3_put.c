/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* One PUT of an object or a part, without a checksum to stores that know none. */
#include "s3_write.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/log.h"

void s3_crc_text(uint32_t crc, char to[12])
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint64_t bits = (uint64_t)crc << 4; /* 36: six digits */

	for (int i = 0; i < 6; i++)
		to[i] = digits[bits >> (30 - 6 * i) & 63];
	to[6] = to[7] = '=';
	to[8] = '\0';
}

static bool begins(const char *name, const char *with)
{
	return !strncasecmp(name, with, strlen(with));
}

/* Customers' keys and who pays go with every request; the rest says how the object is kept. */
static bool everywhere(const char *name)
{
	return begins(name, "x-amz-server-side-encryption-customer-") ||
	       begins(name, "x-amz-request-payer");
}

struct net_header *s3_write_headers(struct ctx *c, const struct s3 *s, bool make,
				    const char *content_type, size_t *count)
{
	struct net_header *h = NEW_ARRAY(c->arena, s->extra_count + 3, struct net_header);
	size_t n = 0;

	for (size_t i = 0; i < s->extra_count; i++) {
		const char *name = s->extra[i].name;

		if (begins(name, "x-amz-checksum-") || begins(name, "x-amz-sdk-checksum-"))
			continue; /* ours */
		if (s->bucket_owner && !strcasecmp(name, "x-amz-expected-bucket-owner"))
			continue; /* s3_request.c adds it */
		if (!strcasecmp(name, "Content-Type"))
			content_type = s->extra[i].value;
		else if (make || everywhere(name))
			h[n++] = s->extra[i];
	}
	if (make)
		h[n++] = (struct net_header){ "Content-Type", content_type };
	*count = n;
	return h;
}

int s3_write_refused(struct ctx *c, struct s3 *s, const struct remote_call *k, int status,
		     const char *method, const char *object)
{
	const struct remote_request q = { .method = method, .object = object };
	struct remote_reply reply;

	remote_call_reply(k, &reply);
	reply.reply.status = status;
	return s->remote.ops->refuse(c, &s->remote, &q, &reply.reply);
}

bool s3_checksum_refused(struct ctx *c, int status, const char *text, size_t size)
{
	static const char *const codes[] = { "InvalidRequest", "InvalidArgument", "BadRequest",
					     "NotImplemented" };
	const char *code = s3_xml_text(c, text, size, "Code");

	if (status == 501)
		return true; /* "A header you provided implies functionality that is not implemented" */
	for (size_t i = 0; code && i < sizeof(codes) / sizeof(codes[0]); i++)
		if (!strcmp(code, codes[i]))
			return strcasestr(text, "checksum") != NULL;
	return false;
}

void s3_checksums_off(struct s3 *s)
{
	if (atomic_exchange(&s->checksums, false))
		log_event(LOG_INFO, "the store knows no checksums: goes on without", "bucket",
			  s->remote.bucket, NULL);
}

static int begin(struct ctx *c, struct s3_put *p)
{
	static const short judged[] = { 400, 501, 0 };
	struct remote_request q = {
		.method = "PUT",
		.object = p->object,
		.body = p->body,
		.size = p->size,
		.written = p->written,
		.body_size = (int64_t)p->size,
		.also = p->checksum ? judged : NULL,
	};
	struct net_header *h =
		s3_write_headers(c, p->s, !p->upload_id, p->content_type, &q.header_count);
	char crc[12];

	if (p->upload_id)
		q.query = s3_upload_query(c, p->upload_id, p->part);
	if (p->checksum) {
		s3_crc_text(p->crc, crc);
		h[q.header_count++] = (struct net_header){ "x-amz-checksum-crc32c", crc };
	}
	q.headers = h;
	return remote_call_begin(c, &p->s->remote, &q, p->ready, &p->call);
}

/* An answer that is not 2xx to a PUT with a checksum. 0: send it again. */
static int refused(struct ctx *c, struct s3_put *p, int status, const char *text, size_t size)
{
	if (s3_checksum_refused(c, status, text, size)) {
		p->checksum = false;
		p->refused = true;
		return 0;
	}
	return s3_write_refused(c, p->s, p->call, status, "PUT", p->object);
}

static int finish(struct ctx *c, struct s3_put *p)
{
	remote_etag(remote_call_header(p->call, "ETag"), p->etag);
	s3_put_end(p);
	if (p->upload_id && !*p->etag)
		return fail(c, INTERNAL_ERROR,
			    "The object store took a part and gave no entity tag for it");
	if (p->refused)
		s3_checksums_off(p->s);
	return 0;
}

int s3_put_step(struct ctx *c, struct s3_put *p)
{
	for (;;) {
		struct net_head head;
		const char *text;
		size_t size;
		int rc = p->call ? 0 : begin(c, p);

		if (!rc)
			rc = remote_call_head(c, p->call, &head);
		/* The body too, however empty: only then is the connection good for the next. */
		if (!rc)
			rc = remote_call_text(c, p->call, &text, &size);
		if (rc)
			return rc;
		if (head.status / 100 == 2)
			return finish(c, p);
		if (refused(c, p, head.status, text, size))
			return -1;
		s3_put_end(p);
	}
}

int s3_put_write(struct ctx *c, struct s3_put *p, const void *data, size_t n, size_t *taken)
{
	struct net_head head;
	int rc = p->call ? 0 : begin(c, p);

	*taken = 0;
	if (!rc)
		rc = remote_call_write(c, p->call, data, n, taken);
	if (rc || *taken || !n)
		return rc;
	rc = remote_call_head(c, p->call, &head);
	return rc ? rc
		  : fail(c, TEMPORARILY_UNAVAILABLE,
			 "The object store ended an upload before it had all of it; try again");
}

void s3_put_end(struct s3_put *p)
{
	remote_call_close(TAKE(p->call));
}
