/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Removing: an object, and all below its name, a page at a time with DeleteObjects. */
#include <string.h>
#include <time.h>

#include <openssl/evp.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/crc32c.h"
#include "net/xml.h"
#include "base/utf8.h"
#include "s3_list.h"

enum {
	PAGE = 1000,                    /* keys of one DeleteObjects */
	BODY = 16 << 20,
	ATTEMPTS = 4,                   /* for keys that the store had passing trouble with */
	PAUSE_MS = 200,
	MD5_SIZE = 16,
	MD5_TEXT = 25,
	CRC_TEXT = 9,
};

struct item {
	const char *key;
	uint64_t size;
	bool left;                      /* to be asked for */
	bool again;                     /* the store had passing trouble with it */
	bool failed;
};

struct removal {
	struct s3 *s;
	uint64_t *bytes;
	struct item *items;             /* of this page, in its memory */
	size_t count;
	bool removed;
	size_t failed;
	char code[65], message[301], key[201];  /* of the first that failed */
};

/* ---- one object ---- */

static int remove_one(struct ctx *c, struct s3 *s, const char *object)
{
	static const short also[] = { 404, 0 };
	struct remote_request q = { .method = "DELETE", .object = object, .also = also };
	struct remote_reply got;

	return remote_perform(c, &s->remote, &q, &got);
}

/* ---- a page ---- */

/* XML 1.0 has no way to write other control characters. */
static bool is_sayable(const char *key)
{
	for (const char *p = key; *p; p++) {
		if ((unsigned char)*p < 0x20 && !strchr("\t\n\r", *p))
			return false;
	}
	return utf8_valid(key, strlen(key));
}

static void add_escaped(struct buf *b, const char *text)
{
	for (; *text; text++) {
		if (strchr("&<>\"'\t\n\r", *text))
			buf_addf(b, "&#%d;", *text);
		else
			buf_addc(b, *text);
	}
}

static void copy(char *to, size_t size, const char *text)
{
	size_t n = text ? strlen(text) : 0;

	if (n >= size)
		n = size - 1;
	if (n)
		memcpy(to, text, n);
	to[n] = '\0';
}

static void note_failure(struct removal *r, struct item *it, const char *code, const char *message)
{
	it->failed = true;
	if (r->failed++)
		return;
	copy(r->code, sizeof(r->code), code);
	copy(r->message, sizeof(r->message), message);
	copy(r->key, sizeof(r->key), it->key);
}

static void note_error(struct removal *r, const struct net_xml *x)
{
	const char *key = net_xml_text(x, "Key"), *code = net_xml_text(x, "Code");

	if (!key || !code || !strcmp(code, "NoSuchKey"))
		return;
	for (size_t i = 0; i < r->count; i++) {
		struct item *it = &r->items[i];

		if (strcmp(it->key, key) != 0)
			continue;
		it->again = s3_is_passing(200, code);
		if (!it->again)
			note_failure(r, it, code, net_xml_text(x, "Message"));
	}
}

static const char *base64(struct ctx *c, const unsigned char *data, size_t n)
{
	char *ret = arena_alloc(c->arena, n * 2 + 4);

	EVP_EncodeBlock((unsigned char *)ret, data, (int)n);
	return ret;
}

/* AWS demands a checksum of this body; which one, depends on the store. */
static size_t add_checksums(struct ctx *c, const struct s3 *s, const struct buf *body,
                            struct net_header *to)
{
	unsigned char md5[MD5_SIZE], big[4];
	uint32_t crc = crc32c(0, body->data, body->size);
	size_t n = 0;

	for (int i = 0; i < 4; i++)
		big[i] = (unsigned char)(crc >> (24 - 8 * i));
	if (EVP_Digest(body->data, body->size, md5, NULL, EVP_md5(), NULL))
		to[n++] = (struct net_header){ "Content-MD5", base64(c, md5, MD5_SIZE) };
	if (s->checksums || !n)
		to[n++] = (struct net_header){ "x-amz-checksum-crc32c", base64(c, big, sizeof(big)) };
	return n;
}

/* The keys that are left, in one request. */
static int remove_many(struct ctx *c, struct removal *r)
{
	struct buf body = BUF(c->arena, BODY);
	struct net_header headers[3] = { { "Content-Type", "application/xml" } };
	struct remote_request q = { .method = "POST", .query = "delete=", .headers = headers };
	const struct net_xml *answer;
	struct remote_reply got;
	size_t count = 0;

	buf_add(&body, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>");
	for (size_t i = 0; i < r->count; i++) {
		if (!r->items[i].left)
			continue;
		buf_add(&body, "<Object><Key>");
		add_escaped(&body, r->items[i].key);
		buf_add(&body, "</Key></Object>");
		r->items[i].left = r->items[i].again = false;
		count++;
	}
	buf_add(&body, "</Delete>");
	if (!count)
		return 0;
	if (buf_failed(&body))
		return fail(c, INTERNAL_ERROR, "The names of the artifacts are too long to delete them");
	q.body = body.data;
	q.size = body.size;
	q.header_count = 1 + add_checksums(c, r->s, &body, headers + 1);
	if (remote_perform(c, &r->s->remote, &q, &got)
	    || s3_xml_read(c, got.reply.body, got.reply.size, "DeleteResult", &answer))
		return -1;
	for (const struct net_xml *x = answer->child; x; x = x->next) {
		if (!strcmp(x->name, "Error"))
			note_error(r, x);
	}
	return 0;
}

static bool any_again(const struct removal *r)
{
	for (size_t i = 0; i < r->count; i++) {
		if (r->items[i].again)
			return true;
	}
	return false;
}

static void pause_for(unsigned attempt)
{
	struct timespec t = { .tv_nsec = (long)PAUSE_MS * 1000000 * (1 << attempt) };

	t.tv_sec = t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	nanosleep(&t, NULL);
}

/* Those that failed for good are noted and not asked for again. */
static int remove_left(struct ctx *c, struct removal *r)
{
	for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
		if (attempt)
			pause_for(attempt);
		for (size_t i = 0; attempt && i < r->count; i++)
			r->items[i].left = r->items[i].again;
		if (remove_many(c, r))
			return -1;
		if (!any_again(r))
			return 0;
	}
	for (size_t i = 0; i < r->count; i++) {
		if (r->items[i].again)
			note_failure(r, &r->items[i], "InternalError", "");
	}
	return 0;
}

static int remove_page(struct ctx *c, void *arg)
{
	struct removal *r = arg;

	for (size_t i = 0; i < r->count; i++) {
		r->items[i].left = is_sayable(r->items[i].key);
		if (!r->items[i].left && remove_one(c, r->s, r->items[i].key))
			return -1;
	}
	if (remove_left(c, r))
		return -1;
	for (size_t i = 0; i < r->count; i++) {
		if (r->items[i].failed)
			continue;
		r->removed = true;
		*r->bytes += r->items[i].size;
	}
	r->items = NULL;
	r->count = 0;
	return 0;
}

static int collect(struct ctx *c, void *arg, const char *key, bool common, uint64_t size)
{
	struct removal *r = arg;

	(void)common;
	if (!r->items)
		r->items = NEW_ARRAY(c->arena, PAGE, struct item);
	if (r->count == PAGE)
		return fail(c, TEMPORARILY_UNAVAILABLE,
		            "The artifact store lists more keys than it was asked for");
	r->items[r->count++] = (struct item){ .key = arena_strdup(c->arena, key), .size = size };
	return 0;
}

int s3_remove(struct ctx *c, struct blob *b, const char *key, uint64_t *bytes)
{
	struct s3 *s = (struct s3 *)b;
	struct removal r = { .s = s, .bytes = bytes };
	struct s3_pages pages = { .s = s, .prefix = s3_below(c, s, key), .each = collect,
		                  .page_end = remove_page, .arg = &r };
	const char *object = remote_object(c, &s->remote, key);
	struct blob_info info;
	int found = s3_stat_object(c, s, object, &info);

	if (found < 0)
		return -1;
	if (found) {
		if (remove_one(c, s, object))
			return -1;
		*bytes += info.size;
	}
	if (s3_pages(c, &pages))
		return -1;
	if (r.failed)
		return s3_fail(c, s, 200, r.code, r.message, r.key, NULL);
	return found || r.removed;
}
