/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * One exchange at a time on a kept easy handle. libcurl's callbacks never allocate in the arena and call what is the
 * caller's through work_run(): exhausted memory must not jump over libcurl's frames.
 */
#include "net/net.h"

#include <assert.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/clock.h"
#include "easy.h"

enum {
	DEFAULT_MOST = 16 << 20,
	REFUSAL_MOST = 64 << 10,        /* of a body with a status other than 2xx */
	DRAIN_MS = 1000,
	CONNECT_MS = 10000,
	ETAG_SIZE = 256,
};

struct net {
	struct easy easy;

	/* of the exchange going on */
	struct ctx *ctx;
	const struct net_request *request;
	char *body;
	size_t size, capacity, most;
	uint64_t drained;
	int64_t status_ms;              /* when the status came; 0: not yet */
	int64_t sent;
	char etag[ETAG_SIZE], wanted[ETAG_SIZE];
	bool too_large;
	bool stopped;                   /* by us, with all we want in hand */
	bool caller_failed;
	bool cancelled;
	bool no_memory;
};

void net_init(void)
{
	CURLcode result = curl_global_init(CURL_GLOBAL_DEFAULT);

	assert(result == CURLE_OK);
	(void)result;
	/* OpenSSL writes to sockets without MSG_NOSIGNAL. */
	signal(SIGPIPE, SIG_IGN);
}

struct net *net_new(void)
{
	struct net *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->easy.curl = curl_easy_init();
	if (n->easy.curl)
		return n;
	free(n);
	return NULL;
}

void net_free(struct net *n)
{
	if (!n)
		return;
	easy_clear(&n->easy);
	free(n->body);
	free(n);
}

/* ---- callbacks ---- */

static int status_of(const struct net *n)
{
	long status = 0;

	curl_easy_getinfo(n->easy.curl, CURLINFO_RESPONSE_CODE, &status);
	return (int)status;
}

static void keep_header(char to[ETAG_SIZE], const char *name, const char *line, size_t size)
{
	size_t from = strlen(name) + 1;

	if (size <= from || strncasecmp(line, name, from - 1) != 0 || line[from - 1] != ':')
		return;
	while (from < size && (line[from] == ' ' || line[from] == '\t'))
		from++;
	while (size > from && strchr(" \t\r\n", line[size - 1]))
		size--;
	if (size - from >= ETAG_SIZE)
		return;
	memcpy(to, line + from, size - from);
	to[size - from] = '\0';
}

static size_t on_header(char *line, size_t one, size_t size, void *arg)
{
	struct net *n = arg;

	(void)one;
	keep_header(n->etag, "ETag", line, size);
	if (n->request->wanted)
		keep_header(n->wanted, n->request->wanted, line, size);
	if (size <= 2 && status_of(n) >= 200)   /* the empty line: the head is complete */
		n->status_ms = clock_ms();
	return size;
}

static size_t collect(struct net *n, const char *data, size_t size, size_t most, bool cut)
{
	if (size > most - n->size) {
		n->too_large = !cut;
		n->stopped = cut;
		if (!cut)
			return 0;
		size = most - n->size;
	}
	if (n->size + size >= n->capacity) {
		size_t capacity = n->capacity ? n->capacity : 4096;
		char *more;

		while (capacity <= n->size + size)
			capacity *= 2;
		more = realloc(n->body, capacity);
		if (!more) {
			n->no_memory = true;
			return 0;
		}
		n->body = more;
		n->capacity = capacity;
	}
	memcpy(n->body + n->size, data, size);
	n->size += size;
	return n->stopped ? 0 : size;
}

struct piece {
	struct net *net;
	char *data;
	size_t size;
	int64_t got;
};

static int give(struct ctx *c, void *arg)
{
	struct piece *p = arg;
	const struct net_request *r = p->net->request;

	return r->sink(c, r->sink_arg, p->data, p->size);
}

static size_t on_body(char *data, size_t one, size_t size, void *arg)
{
	struct net *n = arg;
	struct piece p = { n, data, size, 0 };
	int status = status_of(n);

	(void)one;
	if (n->request->discard_body) {
		n->drained += size;
		n->stopped = n->drained > REFUSAL_MOST;
		return n->stopped ? 0 : size;
	}
	if (status < 200 || status > 299)
		return collect(n, data, size, REFUSAL_MOST, true);
	if (!n->request->sink)
		return collect(n, data, size, n->most, false);
	n->caller_failed = work_run(n->ctx, give, &p) != 0;
	return n->caller_failed ? 0 : size;
}

static int take(struct ctx *c, void *arg)
{
	struct piece *p = arg;
	const struct net_request *r = p->net->request;

	p->got = r->source(c, r->source_arg, p->data, p->size);
	return p->got < 0 ? -1 : 0;
}

static size_t on_send(char *to, size_t one, size_t count, void *arg)
{
	struct net *n = arg;
	struct piece p = { n, to, one * count, 0 };

	n->caller_failed = work_run(n->ctx, take, &p) != 0;
	if (n->caller_failed)
		return CURL_READFUNC_ABORT;
	n->sent += p.got;
	return (size_t)p.got;
}

/* A kept connection that turns out to be closed is tried again on a new one: possible while nothing was taken. */
static int on_rewind(void *arg, curl_off_t offset, int origin)
{
	const struct net *n = arg;

	return offset == 0 && origin == SEEK_SET && !n->sent ? CURL_SEEKFUNC_OK
	                                                     : CURL_SEEKFUNC_CANTSEEK;
}

/* A target that answers and then sends its body for ever, a byte at a time, holds nobody up. */
static int on_progress(void *arg, curl_off_t total, curl_off_t now, curl_off_t up, curl_off_t up_now)
{
	struct net *n = arg;

	(void)total, (void)now, (void)up, (void)up_now;
	if (n->request->cancel && atomic_load(n->request->cancel)) {
		n->cancelled = true;
		return 1;
	}
	if (!n->request->discard_body || !n->status_ms || clock_ms() - n->status_ms < DRAIN_MS)
		return 0;
	n->stopped = true;
	return 1;
}

/* ---- the request ---- */

static int out_of_memory(struct ctx *c, struct net_reply *ret)
{
	ret->failure = "memory";
	return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
}

static void set_login(struct net *n, const struct net_request *r)
{
	CURL *e = n->easy.curl;

	if (r->user || r->password) {
		curl_easy_setopt(e, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		curl_easy_setopt(e, CURLOPT_USERNAME, r->user ? r->user : "");
		curl_easy_setopt(e, CURLOPT_PASSWORD, r->password ? r->password : "");
	} else if (r->token) {
		curl_easy_setopt(e, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
		curl_easy_setopt(e, CURLOPT_XOAUTH2_BEARER, r->token);
	}
}

static void set_times(struct net *n, const struct net_request *r)
{
	CURL *e = n->easy.curl;
	long ms = r->timeout_ms;

	if (ms <= 0)
		return;
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, ms < CONNECT_MS ? ms : (long)CONNECT_MS);
	if (r->source || r->sink) {
		curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
		curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (ms + 999) / 1000);
	} else {
		curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, ms);
	}
}

static void set_method(struct net *n, const struct net_request *r)
{
	CURL *e = n->easy.curl;

	if (r->source) {
		easy_upload(&n->easy, r->method, r->source_size);
		curl_easy_setopt(e, CURLOPT_READFUNCTION, on_send);
		curl_easy_setopt(e, CURLOPT_READDATA, n);
		curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_rewind);
		curl_easy_setopt(e, CURLOPT_SEEKDATA, n);
		return;
	} else if (r->body || strcmp(r->method, "POST") == 0) {
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->size);
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, r->body ? r->body : "");
	} else if (strcmp(r->method, "HEAD") == 0) {
		curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
		return;
	}
	curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
}

static void set_callbacks(struct net *n)
{
	CURL *e = n->easy.curl;

	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, n);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, n);
	curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(e, CURLOPT_XFERINFODATA, n);
	curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
}

static int prepare(struct ctx *c, struct net *n, const struct net_request *r,
                   struct net_reply *ret)
{
	n->ctx = c;
	n->request = r;
	n->size = 0;
	n->most = r->most ? r->most : DEFAULT_MOST;
	n->drained = 0;
	n->status_ms = n->sent = 0;
	n->etag[0] = n->wanted[0] = '\0';
	n->too_large = n->stopped = n->caller_failed = n->no_memory = n->cancelled = false;
	switch (easy_prepare(&n->easy, &(struct easy_request){ r->url, r->headers, r->header_count,
	                                                       r->ca_file, r->flags })) {
	case CURLE_OK:
		break;
	case CURLE_BAD_FUNCTION_ARGUMENT:
		return fail(c, INVALID_PARAMETER_VALUE, "A header must be one line.");
	default:
		return out_of_memory(c, ret);
	}
	set_callbacks(n);
	set_login(n, r);
	set_times(n, r);
	set_method(n, r);
	return 0;
}

/* ---- the end ---- */

static int failed(struct ctx *c, struct net *n, CURLcode code, struct net_reply *ret)
{
	const struct easy_end *end = easy_end(&n->easy, n->no_memory ? CURLE_OUT_OF_MEMORY : code);

	if (n->caller_failed) {
		ret->failure = "caller";
		return fail(c, INTERNAL_ERROR, "The transfer was given up.");
	}
	if (n->cancelled) {
		ret->failure = "cancelled";
		return fail(c, TEMPORARILY_UNAVAILABLE, "The server is stopping.");
	}
	if (n->too_large) {
		ret->failure = "too_large";
		return fail(c, TEMPORARILY_UNAVAILABLE, "The answer is larger than %zu bytes.",
		            n->most);
	}
	ret->failure = end->failure;
	return fail_because(c, end->error, arena_strdup(c->arena, easy_said(&n->easy, code)), "%s",
	                    end->says);
}

static void answer(struct ctx *c, struct net *n, struct net_reply *ret)
{
	curl_off_t length = -1;
	curl_off_t retry = 0;
	char *type = NULL;
	char *body = arena_alloc(c->arena, n->size + 1);

	if (n->size)
		memcpy(body, n->body, n->size);
	curl_easy_getinfo(n->easy.curl, CURLINFO_CONTENT_TYPE, &type);
	curl_easy_getinfo(n->easy.curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	curl_easy_getinfo(n->easy.curl, CURLINFO_RETRY_AFTER, &retry);
	ret->status = status_of(n);
	ret->body = body;
	ret->size = n->size;
	ret->content_type = type ? arena_strdup(c->arena, type) : "";
	ret->etag = arena_strdup(c->arena, n->etag);
	ret->wanted = *n->wanted ? arena_strdup(c->arena, n->wanted) : NULL;
	ret->content_length = length;
	ret->retry_after_s = retry > 0 ? retry : 0;
}

int net_perform(struct ctx *c, struct net *n, const struct net_request *r, struct net_reply *ret)
{
	CURLcode code;

	memset(ret, 0, sizeof(*ret));
	ret->body = ret->content_type = ret->etag = ret->failure = "";
	ret->content_length = -1;
	if (prepare(c, n, r, ret))
		return -1;
	code = curl_easy_perform(n->easy.curl);
	/* Where only the status counts, what happens behind it does not. */
	if (code != CURLE_OK && !n->stopped && !(r->discard_body && n->status_ms && !n->cancelled))
		return failed(c, n, code, ret);
	answer(c, n, ret);
	return 0;
}
