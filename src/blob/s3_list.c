/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Looking: HEAD for an object, pages of ListObjectsV2 for what is below a key. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/utf8.h"
#include "net/xml.h"
#include "s3_list.h"

enum {
	LISTING = 500000,               /* entries of one directory, as on a disk */
	PAGE_MEMORY = 64 << 20,
};

/* ---- one page ---- */

static int hex(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	ch |= 0x20;
	return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

const char *s3_decode(struct ctx *c, const char *text)
{
	char *ret = arena_strdup(c->arena, text), *to = ret;

	for (const char *p = text; *p; p++) {
		if (*p == '%' && hex(p[1]) >= 0 && hex(p[2]) >= 0) {
			*to++ = (char)(hex(p[1]) << 4 | hex(p[2]));
			p += 2;
		} else
			*to++ = *p == '+' ? ' ' : *p;
	}
	*to = '\0';
	return ret;
}

static const char *query_of(struct ctx *c, const struct s3_pages *p)
{
	return arena_printf(c->arena, "list-type=2&encoding-type=url&max-keys=%u&prefix=%s%s%s%s",
	                    p->max_keys ? p->max_keys : 1000, net_encode(c, p->prefix, false),
	                    p->delimiter ? "&delimiter=%2F" : "",
	                    *p->token ? "&continuation-token=" : "", net_encode(c, p->token, false));
}

struct reading {
	struct s3_pages *pages;
	bool encoded;
};

static int give(struct ctx *c, const struct reading *r, const char *key, bool common, uint64_t size)
{
	const char *prefix = r->pages->prefix;

	if (key && r->encoded)
		key = strstr(key, "%00") ? NULL : s3_decode(c, key);
	/* Never outside of what was asked, whatever the store says. */
	if (!key || strncmp(key, prefix, strlen(prefix)) != 0)
		return fail_because(c, TEMPORARILY_UNAVAILABLE,
		                    key ? "a key outside of the prefix" : "an entry without a key",
		                    "The artifact store's list could not be understood");
	r->pages->empty = 0;
	return r->pages->each(c, r->pages->arg, key, common, size);
}

/* What cannot be is unknown. */
static uint64_t size_of(const struct net_xml *x)
{
	const char *text = net_xml_text(x, "Size");
	uint64_t size = text && *text >= '0' && *text <= '9' ? strtoull(text, NULL, 10) : 0;

	return size <= INT64_MAX ? size : 0;
}

static int give_all(struct ctx *c, const struct reading *r, const struct net_xml *page)
{
	for (const struct net_xml *x = page->child; x; x = x->next) {
		int rc = 0;

		if (!strcmp(x->name, "Contents"))
			rc = give(c, r, net_xml_text(x, "Key"), false, size_of(x));
		else if (!strcmp(x->name, "CommonPrefixes"))
			rc = give(c, r, net_xml_text(x, "Prefix"), true, 0);
		if (rc)
			return rc;
	}
	return 0;
}

static int read_page(struct ctx *c, void *arg)
{
	struct s3_pages *p = arg;
	struct remote_request q = { .method = "GET", .query = query_of(c, p) };
	struct reading reading = { .pages = p };
	struct remote_reply got;
	const struct net_xml *page;
	const char *text, *token;

	if (remote_perform(c, &p->s->remote, &q, &got)
	    || s3_xml_read(c, got.reply.body, got.reply.size, "ListBucketResult", &page))
		return -1;
	text = net_xml_text(page, "EncodingType");
	reading.encoded = text && !strcmp(text, "url");
	if (give_all(c, &reading, page))
		return -1;
	text = net_xml_text(page, "IsTruncated");
	p->more = text && !strcmp(text, "true");
	if (p->page_end && p->page_end(c, p->arg))
		return -1;
	if (!p->more)
		return 0;
	token = net_xml_text(page, "NextContinuationToken");
	if (!token || !*token || strlen(token) >= sizeof(p->token) || !strcmp(token, p->token))
		return fail(c, TEMPORARILY_UNAVAILABLE, "The artifact store's list does not go on: its "
		            "continuation token is missing or the one before");
	memcpy(p->token, token, strlen(token) + 1);
	return 0;
}

/* In memory that is given back after each page; an error moves to the caller's. */
static int in_child(struct ctx *c, struct arena *child, int (*fn)(struct ctx *c, void *arg), void *arg)
{
	struct ctx own = *c;
	int rc;

	own.arena = child;
	own.error = (struct error){ 0 };
	rc = fn(&own, arg);
	if (own.error.code != OK)
		(void)fail_because(c, own.error.code, own.error.detail, "%s", own.error.message);
	arena_reset(child);
	return rc;
}

int s3_pages(struct ctx *c, struct s3_pages *p)
{
	struct arena *child = arena_child(c->arena, PAGE_MEMORY);

	p->token[0] = '\0';
	for (unsigned i = 0; i < REMOTE_PAGES; i++) {
		if (in_child(c, child, read_page, p))
			return -1;
		if (!p->more || p->max_keys)
			return 0;
		if (++p->empty > REMOTE_PAGES_EMPTY)
			break;
	}
	return fail(c, TEMPORARILY_UNAVAILABLE, "The artifact store's list never ends");
}

const char *s3_below(struct ctx *c, const struct s3 *s, const char *key)
{
	const char *object = remote_object(c, &s->remote, key);

	return *object ? arena_printf(c->arena, "%s/", object) : "";
}

/* ---- stat ---- */

static int note(struct ctx *c, void *arg, const char *key, bool common, uint64_t size)
{
	(void)c, (void)key, (void)common, (void)size;
	*(bool *)arg = true;
	return 0;
}

/* A HEAD that is refused does not say why. Another request does; or it is not refused, perhaps because it learnt what was
   wrong: then the HEAD has a second chance. */
static int look(struct ctx *c, struct s3 *s, const struct remote_request *q, struct remote_reply *got)
{
	bool found = false;
	struct s3_pages pages = { .s = s, .prefix = q->object, .max_keys = 1, .each = note,
		                  .arg = &found };

	if (!remote_perform(c, &s->remote, q, got))
		return 0;
	if (got->reply.status != 400 && got->reply.status != 403)
		return -1;
	error_clear(c);
	if (s3_pages(c, &pages))
		return -1;
	return remote_perform(c, &s->remote, q, got);
}

int s3_stat_object(struct ctx *c, struct s3 *s, const char *object, struct blob_info *ret)
{
	static const short also[] = { 404, 0 };
	struct remote_request q = { .method = "HEAD", .object = object, .also = also };
	struct remote_reply got;

	q.headers = s3_customer_key(c, s, &q.header_count);
	if (look(c, s, &q, &got))
		return -1;
	if (got.reply.status == 404)
		return 0;
	if (got.reply.content_length < 0)
		return fail(c, IO_ERROR, "The artifact store does not say how large the artifact is");
	*ret = (struct blob_info){
		.size = (uint64_t)got.reply.content_length,
		.modified = remote_date(remote_header(&got, "Last-Modified")),
	};
	remote_etag(got.reply.etag, ret->etag);
	return 1;
}

int s3_stat(struct ctx *c, struct blob *b, const char *key, struct blob_info *ret)
{
	struct s3 *s = (struct s3 *)b;
	bool found = false;
	struct s3_pages pages = { .s = s, .max_keys = 1, .each = note, .arg = &found };
	int rc;

	if (*key) {
		rc = s3_stat_object(c, s, remote_object(c, &s->remote, key), ret);
		if (rc)
			return rc;
	}
	pages.prefix = s3_below(c, s, key);
	if (s3_pages(c, &pages))
		return -1;
	/* The root is there once its bucket is. */
	if (*key && !found)
		return 0;
	*ret = (struct blob_info){ .directory = true, .modified = -1 };
	return 1;
}

/* ---- list ---- */

struct listing {
	struct ctx *ctx;                /* whose memory outlives a page */
	size_t skip;                    /* bytes of the prefix */
	struct blob_entry *items;
	size_t count, capacity;
	bool found;
};

/* The one segment that follows the prefix; NULL: none that can be shown. */
static const char *segment(struct listing *l, const char *key, bool common)
{
	size_t n = strlen(key);
	char *name;

	if (n <= l->skip)
		return NULL;            /* the marker of the directory itself */
	n -= l->skip + common;
	name = arena_strndup(l->ctx->arena, key + l->skip, n);
	if (!n || memchr(name, '/', n) || !utf8_valid(name, n) || !strcmp(name, ".")
	    || !strcmp(name, ".."))
		return NULL;
	return name;
}

static int collect(struct ctx *c, void *arg, const char *key, bool common, uint64_t size)
{
	struct listing *l = arg;
	const char *name = segment(l, key, common);

	l->found = true;
	if (!name)
		return 0;
	if (l->count == LISTING)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "The directory holds more than %d artifacts", LISTING);
	if (l->count == l->capacity) {
		size_t more = l->capacity ? l->capacity * 2 : 64;

		l->items = arena_grow(l->ctx->arena, l->items, l->capacity * sizeof(*l->items),
		                      more * sizeof(*l->items));
		l->capacity = more;
	}
	l->items[l->count++] = (struct blob_entry){ .name = name, .directory = common, .size = size };
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct blob_entry *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : (int)y->directory - (int)x->directory;
}

int s3_list(struct ctx *c, struct blob *b, const char *key,
            int (*each)(struct ctx *c, void *arg, const struct blob_entry *e), void *arg)
{
	struct s3 *s = (struct s3 *)b;
	struct listing l = { .ctx = c };
	struct s3_pages pages = { .s = s, .prefix = s3_below(c, s, key), .delimiter = true,
		                  .each = collect, .arg = &l };

	l.skip = strlen(pages.prefix);
	if (s3_pages(c, &pages))
		return -1;
	if (l.count)
		qsort(l.items, l.count, sizeof(*l.items), by_name);
	for (size_t i = 0; i < l.count; i++) {
		if (each(c, arg, &l.items[i]))
			return -1;
	}
	return l.found || !*key;
}
