/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Completing a multipart upload. Its answer can be an error with status 200, can get lost after the
 * store did it, and then the upload is unknown when asked again: the object itself says what
 * happened.
 */
#include "s3_write.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"

static const char unfinished[] = "The object store does not finish the upload; try again later";

enum { MD5 = 16, CLOCKS_S = 2 }; /* what a store's clock may differ within itself */

bool s3_upload_id_valid(const char *id)
{
	size_t n = strlen(id);

	return n && n <= S3_ID &&
	       strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
			  "-._~+/=") == n;
}

const char *s3_upload_query(struct ctx *c, const char *upload_id, unsigned part)
{
	const char *id = net_encode(c, upload_id, false);

	return part ? arena_printf(c->arena, "partNumber=%u&uploadId=%s", part, id)
		    : arena_printf(c->arena, "uploadId=%s", id);
}

static int digit(char ch)
{
	const char *digits = "0123456789abcdef";
	const char *at = ch ? strchr(digits, ch | 0x20) : NULL;

	return at ? (int)(at - digits) : -1;
}

static bool md5_of(const char *etag, unsigned char to[MD5])
{
	if (strlen(etag) != 2 * MD5 + 2)
		return false;
	for (size_t i = 0; i < MD5; i++) {
		int high = digit(etag[1 + 2 * i]), low = digit(etag[2 + 2 * i]);

		if (high < 0 || low < 0)
			return false;
		to[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

bool s3_multipart_etag(const struct s3_sent *parts, size_t count, char to[BLOB_ETAG])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned char sum[EVP_MAX_MD_SIZE];
	char *at = to;
	bool good = md && EVP_DigestInit_ex(md, EVP_md5(), NULL);

	for (size_t i = 0; good && i < count; i++)
		good = md5_of(parts[i].etag, sum) && EVP_DigestUpdate(md, sum, MD5);
	good = good && EVP_DigestFinal_ex(md, sum, NULL);
	EVP_MD_CTX_free(md);
	if (!good)
		return false;
	*at++ = '"';
	for (size_t i = 0; i < MD5; i++, at += 2)
		snprintf(at, 3, "%02x", sum[i]);
	snprintf(at, 16, "-%zu\"", count);
	return true;
}

static void add_escaped(FILE *to, const char *s)
{
	for (; *s; s++) {
		if (*s == '&' || *s == '<' || *s == '>')
			fprintf(to, "&#%d;", *s);
		else
			fputc(*s, to);
	}
}

static int write_xml(struct ctx *c, struct s3_complete *k)
{
	FILE *to = open_memstream(&k->xml, &k->xml_size);
	bool bad;

	if (!to)
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	fputs("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">", to);
	for (size_t i = 0; i < k->count; i++) {
		char crc[12];

		fprintf(to, "<Part><PartNumber>%u</PartNumber><ETag>", k->parts[i].number);
		add_escaped(to, k->parts[i].etag);
		fputs("</ETag>", to);
		if (k->checksums) {
			s3_crc_text(k->parts[i].crc, crc);
			fprintf(to, "<ChecksumCRC32C>%s</ChecksumCRC32C>", crc);
		}
		fputs("</Part>", to);
	}
	fputs("</CompleteMultipartUpload>", to);
	bad = ferror(to);
	bad = fclose(to) || bad;
	return bad ? fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory") : 0;
}

static int begin(struct ctx *c, struct s3_complete *k)
{
	static const short missing[] = { 404, 0 };
	struct remote_request q = { .object = k->object };

	if (!k->xml && write_xml(c, k))
		return -1;
	if (!k->since)
		k->since = clock_ms();
	q.headers = s3_write_headers(c, k->s, false, NULL, &q.header_count);
	if (k->judging) {
		q.method = "HEAD";
		q.also = missing;
	} else {
		q.method = "POST";
		q.query = s3_upload_query(c, k->upload_id, 0);
		q.body = k->xml;
		q.size = k->xml_size;
		q.also = missing;
		/* The rounds are its tries; and it may be put together from thousands of parts. */
		q.no_retry = true;
		q.patience = S3_PATIENCE;
		q.delay_ms = k->rounds ? REMOTE_PAUSE_MS << (2 * k->rounds) : 0;
		if (q.delay_ms > REMOTE_PAUSE_MOST_MS)
			q.delay_ms = REMOTE_PAUSE_MOST_MS;
	}
	return remote_call_begin(c, &k->s->remote, &q, k->ready, &k->call);
}

/* Ends this request; then the object is looked at. retry: should it not be there, once more. */
static void judge(struct s3_complete *k, bool retry)
{
	remote_call_close(TAKE(k->call));
	k->judging = true;
	k->retry = retry;
}

/* What the store said to the completion. 0: done; BLOB_AGAIN: ask on. */
static int answered(struct ctx *c, struct s3_complete *k, int status, const char *text,
		    size_t size)
{
	const char *code, *etag;

	/* Kept alive with white space, which may come before the declaration. */
	for (; size && strchr(" \t\r\n", *text); size--)
		text++;
	code = s3_xml_text(c, text, size, "Code");
	etag = s3_xml_text(c, text, size, "ETag");
	if (status / 100 == 2 && !code && etag) {
		remote_etag(etag, k->etag);
		return 0;
	}
	if (status / 100 == 2 && !code)
		judge(k, true); /* says nothing */
	else if (code && !strcmp(code, "NoSuchUpload"))
		judge(k, false);
	else if (code && s3_is_passing(status, code) && ++k->rounds < S3_ROUNDS)
		remote_call_close(TAKE(k->call));
	else
		return s3_write_refused(c, k->s, k->call, status / 100 == 2 ? 500 : status, "POST",
					k->object);
	return BLOB_AGAIN;
}

/* Whether the object that is there is the one that these parts make. */
static bool ours(const struct s3_complete *k, const struct net_head *head)
{
	const char *etag = remote_call_header(k->call, "ETag");
	int64_t modified = remote_date(remote_call_header(k->call, "Last-Modified"));
	int64_t now = remote_date(remote_call_header(k->call, "Date"));
	char have[BLOB_ETAG], want[BLOB_ETAG];

	if (head->status != 200 || (k->size >= 0 && head->content_length != k->size))
		return false;
	remote_etag(etag, have);
	if (s3_multipart_etag(k->parts, k->count, want) && !strcmp(have, want))
		return true;
	/* With a key of KMS the tags are no MD5s: then what appeared since we asked is ours. */
	return k->size >= 0 && modified >= 0 && now >= 0 &&
	       modified >= now - (clock_ms() - k->since) / 1000 - CLOCKS_S;
}

static int judged(struct ctx *c, struct s3_complete *k, const struct net_head *head)
{
	if (ours(k, head)) {
		remote_etag(remote_call_header(k->call, "ETag"), k->etag);
		return 0;
	}
	remote_call_close(TAKE(k->call));
	k->judging = false;
	if (k->retry && ++k->rounds < S3_ROUNDS)
		return BLOB_AGAIN;
	return k->retry ? fail(c, TEMPORARILY_UNAVAILABLE, unfinished)
			: fail(c, RESOURCE_DOES_NOT_EXIST, "No such multipart upload");
}

static bool patient(const struct s3_complete *k)
{
	return clock_ms() - k->since < (int64_t)S3_COMPLETE * remote_stall_ms();
}

int s3_complete_step(struct ctx *c, struct s3_complete *k)
{
	for (;;) {
		struct net_head head;
		const char *text;
		size_t size;
		int rc;

		if (!k->call && begin(c, k))
			return -1;
		rc = remote_call_head(c, k->call, &head);
		if (!rc)
			rc = remote_call_text(c, k->call, &text, &size);
		if (rc == BLOB_AGAIN)
			return patient(k) ? rc : fail(c, TEMPORARILY_UNAVAILABLE, unfinished);
		if (rc < 0 && (k->judging || !remote_call_broke(k->call)))
			return -1;
		if (rc < 0) {
			error_clear(c);
			judge(k, true);
			continue;
		}
		rc = k->judging ? judged(c, k, &head) : answered(c, k, head.status, text, size);
		if (rc == BLOB_AGAIN)
			continue;
		s3_complete_end(k);
		return rc;
	}
}

void s3_complete_end(struct s3_complete *k)
{
	remote_call_close(TAKE(k->call));
	free(TAKE(k->xml));
}
