/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * A reader over GET. The bytes of one answer are given out as they come; a break, or a read elsewhere, begins a new GET
 * from there, which must be of the same object: its entity tag, generation and size are compared.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/id.h"
#include "base/log.h"
#include "remote.h"

enum {
	TAG = 256,
	GENERATION = 32,
	STEP = 1 << 20,                 /* progress after which breaks are counted anew */
};

struct reader {
	struct blob_reader reader;      /* first member */
	struct remote *remote;
	struct remote_request *base;
	struct blob_want want;
	struct blob_ready ready;
	struct remote_call *call;
	bool opened;
	bool whole;                     /* the first GET is without a range */
	bool headed;                    /* this call's head is known to be right */
	uint64_t at, end;               /* of this call: its next byte, and the first that it does not have */
	uint64_t total;
	char tag[TAG];                  /* the header ETag as it came */
	char generation[GENERATION];
	char etag[BLOB_ETAG];           /* what clients see */
	unsigned breaks;
	uint64_t broke_at;
};

/* ---- asking ---- */

static int begin(struct ctx *c, struct reader *d, const char *range, int delay_ms)
{
	static const short first[] = { 416, 0 }, later[] = { 404, 412, 416, 0 };
	struct remote_request q = *d->base;
	struct net_header *headers = NEW_ARRAY(c->arena, q.header_count + 2, struct net_header);
	size_t n = q.header_count;

	if (n)
		memcpy(headers, q.headers, n * sizeof(*headers));
	if (range)
		headers[n++] = (struct net_header){ "Range", range };
	/* A weak tag matches nothing. */
	if (d->opened && d->etag[0] && d->remote->ops->pin)
		q.query = arena_printf(c->arena, "%s&%s", q.query, d->remote->ops->pin(c, d->etag));
	else if (d->opened && d->tag[0] == '"')
		headers[n++] = (struct net_header){ "If-Match", d->tag };
	q.headers = headers;
	q.header_count = n;
	q.also = d->opened ? later : first;
	q.delay_ms = delay_ms;
	remote_call_close(TAKE(d->call));
	d->headed = false;
	return remote_call_begin(c, d->remote, &q, d->ready, &d->call);
}

/* NULL: all. */
static const char *wanted_range(struct ctx *c, const struct blob_want *w, bool ranged)
{
	if (w->suffix)
		return w->length ? arena_printf(c->arena, "bytes=-%llu", (unsigned long long)w->length)
		                 : NULL;
	if (w->length)
		return arena_printf(c->arena, "bytes=%llu-%llu", (unsigned long long)w->first,
		                    (unsigned long long)(w->first + w->length - 1));
	return w->first || ranged ? arena_printf(c->arena, "bytes=%llu-", (unsigned long long)w->first)
	                          : NULL;
}

static int begin_at(struct ctx *c, struct reader *d, uint64_t offset, int delay_ms)
{
	const struct blob_want *w = &d->want;

	d->at = offset;
	d->end = d->total;
	if (!w->suffix && w->length && offset >= w->first && offset - w->first < w->length
	    && w->length < d->total - w->first)
		d->end = w->first + w->length;
	return begin(c, d, arena_printf(c->arena, "bytes=%llu-%llu", (unsigned long long)offset,
	                                (unsigned long long)(d->end - 1)), delay_ms);
}

/* ---- heads ---- */

static const char *digits(const char *text, uint64_t *ret)
{
	char *end;

	if (*text < '0' || *text > '9')
		return NULL;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	return errno || *ret > INT64_MAX ? NULL : end;
}

/* "bytes first-last/total" */
static bool read_range(const char *text, uint64_t *first, uint64_t *end, uint64_t *total)
{
	uint64_t last;

	if (!text || strncmp(text, "bytes ", 6) || !(text = digits(text + 6, first)) || *text != '-'
	    || !(text = digits(text + 1, &last)) || *text != '/' || !(text = digits(text + 1, total)))
		return false;
	*end = last + 1;
	return !*text && *first <= last && last < *total;
}

static int lies(struct ctx *c, const char *what)
{
	return fail_because(c, IO_ERROR, what,
	                    "The artifact store's answer contradicts itself about the artifact's length");
}

/* What this answer's body is: from first, up to end, of total. */
static int read_extent(struct ctx *c, const struct reader *d, const struct net_head *h,
                       uint64_t *first, uint64_t *end, uint64_t *total)
{
	const char *range = remote_call_header(d->call, "Content-Range");

	if (h->status != 206) {
		if (h->content_length < 0)
			return lies(c, "no Content-Length");
		*first = 0;
		*end = *total = (uint64_t)h->content_length;
		return 0;
	}
	/* MinIO's answer about the last bytes of an empty object. */
	if (range && !strcmp(range, "bytes 0--1/0") && !h->content_length) {
		*first = *end = *total = 0;
		return 0;
	}
	if (!read_range(range, first, end, total))
		return lies(c, range ? remote_said(c, d->remote, range) : "no Content-Range");
	if (h->content_length >= 0 && (uint64_t)h->content_length != *end - *first)
		return lies(c, remote_said(c, d->remote, range));
	return 0;
}

static void keep(char *to, size_t size, const char *text)
{
	size_t n = text ? strlen(text) : 0;

	if (n >= size)
		n = 0;
	if (n)
		memcpy(to, text, n);
	to[n] = '\0';
}

static bool same(const char *kept, const char *text)
{
	return !*kept || (text && !strcmp(kept, text));
}

/* The head of a GET after the first one. */
static int check_head(struct ctx *c, struct reader *d, const struct net_head *h)
{
	uint64_t first, end, total;

	if (h->status != 404 && h->status != 412 && h->status != 416) {
		if (read_extent(c, d, h, &first, &end, &total))
			return -1;
		if (same(d->tag, remote_call_header(d->call, "ETag"))
		    && same(d->generation, remote_call_header(d->call, "x-goog-generation"))
		    && total == d->total) {
			if (first != d->at || end != d->end)
				return lies(c, "another range than was asked for");
			d->headed = true;
			return 0;
		}
	}
	return fail(c, IO_ERROR, "The artifact changed while it was read");
}

/* ---- opening ---- */

static int take_first(struct ctx *c, struct reader *d, const struct net_head *h,
                      struct blob_info *info)
{
	const char *stored = remote_call_header(d->call, "x-goog-stored-content-length");
	uint64_t size;

	if (read_extent(c, d, h, &d->at, &d->end, &d->total))
		return -1;
	if (stored && digits(stored, &size) && size != d->total)
		return lies(c, "another length than is stored");
	if (!d->want.suffix && h->status == 206 && d->at != d->want.first)
		return lies(c, "another range than was asked for");
	keep(d->tag, sizeof(d->tag), remote_call_header(d->call, "ETag"));
	keep(d->generation, sizeof(d->generation), remote_call_header(d->call, "x-goog-generation"));
	*info = (struct blob_info){
		.size = d->total,
		.modified = remote_date(remote_call_header(d->call, "Last-Modified")),
	};
	if (d->remote->ops->tag)
		d->remote->ops->tag(d->call, info->etag);
	else
		remote_etag(remote_call_header(d->call, "ETag"), info->etag);
	memcpy(d->etag, info->etag, BLOB_ETAG);
	d->headed = d->opened = true;
	return 0;
}

static int open_reader(struct ctx *c, struct reader *d, struct blob_info *info)
{
	for (;;) {
		struct net_head head;
		int rc;

		if (!d->call) {
			const char *range = d->whole ? NULL : wanted_range(c, &d->want, d->base->ranged);

			d->whole = !range;
			if (begin(c, d, range, 0))
				return -1;
		}
		rc = remote_call_head(c, d->call, &head);
		if (rc)
			return rc;
		if (head.status != 416)
			return take_first(c, d, &head, info);
		if (d->whole)
			return lies(c, "416 to a request without a range");
		/* It has no such bytes, yet its size is asked for: whoever wants the range says so to his client. */
		d->whole = true;
		remote_call_close(TAKE(d->call));
	}
}

static struct reader *new_reader(struct remote *r, const struct blob_want *want,
                                 struct blob_ready ready, const struct remote_request *base)
{
	struct reader *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->base = remote_request_copy(base, false);
	if (!d->base) {
		free(d);
		return NULL;
	}
	d->reader.ops = r->blob.ops;
	d->remote = r;
	d->ready = ready;
	if (want)
		d->want = *want;
	return d;
}

int remote_read_open(struct ctx *c, struct remote *r, const char *key, const struct blob_want *want,
                     struct blob_ready ready, struct blob_reader **ret, struct blob_info *info,
                     const struct remote_request *base)
{
	struct reader *d = (struct reader *)*ret;
	int rc;

	(void)key;
	if (!d) {
		d = new_reader(r, want, ready, base);
		if (!d)
			return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
		*ret = &d->reader;
	}
	rc = open_reader(c, d, info);
	if (rc < 0)
		remote_read_close(TAKE(*ret));
	return rc;
}

/* ---- reading ---- */

/* After a break: 0 when it goes on from there. */
static int resume(struct ctx *c, struct reader *d)
{
	uint32_t random;
	int64_t most = REMOTE_PAUSE_MS;

	if (d->at - d->broke_at >= STEP)
		d->breaks = 0;
	d->broke_at = d->at;
	if (++d->breaks >= REMOTE_TRIES)
		return -1;
	log_event(LOG_INFO, "artifact is read on after a broken connection", "bucket",
	          d->remote->bucket, "offset", log_fmt("%llu", (unsigned long long)d->at), "because",
	          c->error.detail ? c->error.detail : c->error.message, NULL);
	error_clear(c);
	id_random(&random, sizeof(random));
	most = d->breaks > 1 ? most << d->breaks : 0;
	return begin_at(c, d, d->at, (int)(most * random / UINT32_MAX));
}

/* 0: this call gives the byte at d->at next. */
static int await_head(struct ctx *c, struct reader *d)
{
	struct net_head head;
	int rc;

	if (d->headed)
		return 0;
	rc = remote_call_head(c, d->call, &head);
	return rc ? rc : check_head(c, d, &head);
}

int remote_read(struct ctx *c, struct blob_reader *reader, uint64_t offset, void *to, size_t n,
                size_t *got)
{
	struct reader *d = (struct reader *)reader;
	int rc;

	*got = 0;
	assert(d->opened);
	if (offset >= d->total || !n)
		return 0;
	if ((!d->call || offset != d->at || d->at == d->end) && begin_at(c, d, offset, 0))
		return -1;
	for (;;) {
		rc = await_head(c, d);
		if (rc)
			return rc;
		if (n > d->end - d->at)
			n = (size_t)(d->end - d->at);
		rc = remote_call_read(c, d->call, to, n, got);
		if (rc == BLOB_AGAIN || *got) {
			d->at += *got;
			return rc;
		}
		if (rc && !remote_call_broke(d->call))
			return -1;
		if (!rc)
			(void)fail(c, IO_ERROR, "The artifact ended before its announced length");
		if (resume(c, d))
			return -1;
	}
}

void remote_read_close(struct blob_reader *reader)
{
	struct reader *d = (struct reader *)reader;

	if (!d)
		return;
	remote_call_close(d->call);
	free(d->base);
	free(d);
}
