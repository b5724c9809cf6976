/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What all remote stores of the process share, and small things that both kinds need. */
#include "remote.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/number.h"
#include "net/aws.h"
#include "net/gcp.h"

enum { STALL_MOST_S = 3600 };

static struct {
	pthread_mutex_t lock;
	struct net_pump *pump;
	struct identity *aws, *gcp;
} shared = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- shared ---- */

struct net_pump *remote_pump(struct ctx *c)
{
	struct net_pump *p;

	pthread_mutex_lock(&shared.lock);
	if (!shared.pump)
		shared.pump = net_pump_new();
	p = shared.pump;
	pthread_mutex_unlock(&shared.lock);
	if (!p)
		(void)fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	return p;
}

static struct identity *identity_of(struct ctx *c, struct identity **at,
                                    struct identity *(*make)(void))
{
	struct identity *i;

	pthread_mutex_lock(&shared.lock);
	if (!*at)
		*at = make();
	i = *at;
	pthread_mutex_unlock(&shared.lock);
	if (!i)
		(void)fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	return i;
}

struct identity *remote_aws(struct ctx *c)
{
	return identity_of(c, &shared.aws, aws_identity_new);
}

struct identity *remote_gcp(struct ctx *c)
{
	return identity_of(c, &shared.gcp, gcp_identity_new);
}

void remote_shutdown(void)
{
	remote_jobs_stop();
	pthread_mutex_lock(&shared.lock);
	identity_free(TAKE(shared.aws));
	identity_free(TAKE(shared.gcp));
	net_pump_free(TAKE(shared.pump));
	pthread_mutex_unlock(&shared.lock);
}

/* Signatures are 64 hex digits. */
static void conceal_signatures(char *text)
{
	enum { SIGNATURE = 64 };
	size_t n;

	for (; *text; text += n ? n : 1) {
		n = strspn(text, "0123456789abcdef");
		if (n >= SIGNATURE)
			memset(text, '*', n);
	}
}

const char *remote_said(struct ctx *c, const struct remote *r, const char *text)
{
	const unsigned aws = 1U << AWS_KEY_ID | 1U << AWS_SECRET | 1U << AWS_TOKEN;
	const unsigned gcp = 1U << GCP_TOKEN | 1U << GCP_KEY | 1U << GCP_SIGNER;
	char *ret = arena_strdup(c->arena, text ? text : "");
	bool is_aws;

	conceal_signatures(ret);
	if (!r->identity)
		return ret;
	pthread_mutex_lock(&shared.lock);
	is_aws = r->identity == shared.aws;
	pthread_mutex_unlock(&shared.lock);
	identity_conceal(r->identity, is_aws ? aws : gcp, ret);
	return ret;
}

static _Atomic bool stopping;

void remote_stop(void)
{
	atomic_store(&stopping, true);
}

bool remote_stopping(void)
{
	return atomic_load_explicit(&stopping, memory_order_relaxed);
}

bool remote_stats(struct net_pump_stats *ret)
{
	bool any;

	pthread_mutex_lock(&shared.lock);
	any = shared.pump;
	if (any)
		net_pump_stats(shared.pump, ret);
	pthread_mutex_unlock(&shared.lock);
	return any;
}

int remote_stall_ms(void)
{
	const char *text = getenv("CAPSTAN_ARTIFACT_STALL_SECONDS");
	int seconds = text ? number_leading(text) : 0;

	return seconds > 0 && seconds <= STALL_MOST_S ? seconds * 1000 : REMOTE_STALL_MS;
}

/* ---- names ---- */

static bool clean(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	}
	return true;
}

/* Keys have no such segments, and stores resolve them, each in its way. */
static bool has_dots(const char *path)
{
	while (*path) {
		size_t n = strcspn(path, "/");

		if ((n == 1 && *path == '.') || (n == 2 && !strncmp(path, "..", 2)))
			return true;
		path += n + (path[n] == '/');
	}
	return false;
}

int remote_parse(struct ctx *c, struct remote *r, const char *uri)
{
	const char *bucket = strstr(uri, "://");
	const char *prefix, *end = uri + strlen(uri);

	if (!bucket || !clean(uri) || strpbrk(uri, "?#"))
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Invalid artifact location '%.200s': expected scheme://bucket/prefix without '?' "
		            "and '#'", uri);
	bucket += 3;
	prefix = bucket + strcspn(bucket, "/");
	/* Not repeated: it may be a password. */
	if (memchr(bucket, '@', (size_t)(prefix - bucket)))
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Invalid artifact location: it has an '@' where the bucket's name is expected. "
		            "Credentials come from the environment");
	if (has_dots(prefix) || strstr(prefix + strspn(prefix, "/"), "//"))
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Invalid artifact location '%.200s': its prefix has '.', '..' or empty segments",
		            uri);
	if (prefix == bucket)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Invalid artifact location '%.200s': it names no bucket", uri);
	r->bucket = strndup(bucket, (size_t)(prefix - bucket));
	while (*prefix == '/')
		prefix++;
	while (end > prefix && end[-1] == '/')
		end--;
	r->prefix = strndup(prefix, (size_t)(end - prefix));
	if (!r->bucket || !r->prefix)
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	return 0;
}

void remote_clear(struct remote *r)
{
	remote_jobs_end(r, REMOTE_FORGET_MS);
	free(TAKE(r->bucket));
	free(TAKE(r->prefix));
}

const char *remote_object(struct ctx *c, const struct remote *r, const char *key)
{
	if (!*r->prefix || !*key)
		return *key ? key : r->prefix;
	return arena_printf(c->arena, "%s/%s", r->prefix, key);
}

/* ---- requests ---- */

static size_t room(const char *s)
{
	return s ? strlen(s) + 1 : 0;
}

static const char *put(char **at, const char *s)
{
	char *to = *at;

	if (!s)
		return NULL;
	memcpy(to, s, strlen(s) + 1);
	*at += strlen(s) + 1;
	return to;
}

static size_t also_count(const short *also)
{
	size_t n = 0;

	while (also && also[n])
		n++;
	return also ? n + 1 : 0;
}

static size_t texts(const struct remote_request *q)
{
	size_t n = room(q->method) + room(q->object) + room(q->url) + room(q->query);

	for (size_t i = 0; i < q->header_count; i++)
		n += room(q->headers[i].name) + room(q->headers[i].value);
	return n;
}

struct remote_request *remote_request_copy(const struct remote_request *q, bool with_body)
{
	struct block {
		struct remote_request q;
		struct net_header headers[];
	} *b;
	size_t also = also_count(q->also);
	short *statuses;
	char *at;

	b = malloc(sizeof(*b) + q->header_count * sizeof(b->headers[0]) + also * sizeof(*statuses)
	           + texts(q) + (with_body ? q->size : 0));
	if (!b)
		return NULL;
	b->q = *q;
	statuses = (short *)(void *)&b->headers[q->header_count];
	at = (char *)&statuses[also];
	if (also)
		memcpy(statuses, q->also, also * sizeof(*statuses));
	b->q.also = also ? statuses : NULL;
	b->q.method = put(&at, q->method);
	b->q.object = put(&at, q->object);
	b->q.url = put(&at, q->url);
	b->q.query = put(&at, q->query);
	for (size_t i = 0; i < q->header_count; i++) {
		b->headers[i].name = put(&at, q->headers[i].name);
		b->headers[i].value = put(&at, q->headers[i].value);
	}
	b->q.headers = b->headers;
	if (with_body && q->size) {
		memcpy(at, q->body, q->size);
		b->q.body = at;
	}
	return &b->q;
}

/* ---- headers ---- */

int64_t remote_date(const char *text)
{
	struct tm tm = { 0 };
	const char *end = text ? strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm) : NULL;

	return end && !*end ? (int64_t)timegm(&tm) : -1;
}

void remote_etag(const char *header, char etag[BLOB_ETAG])
{
	size_t n = header ? strlen(header) : 0;
	bool quoted = n >= 2 && header[0] == '"' && header[n - 1] == '"';

	etag[0] = '\0';
	if (!n || n + (quoted ? 0 : 2) >= BLOB_ETAG || !strncmp(header, "W/", 2)
	    || memchr(header + quoted, '"', n - 2 * (size_t)quoted) || !clean(header))
		return;
	if (!quoted)
		*etag++ = '"';
	memcpy(etag, header, n);
	etag += n;
	if (!quoted)
		*etag++ = '"';
	*etag = '\0';
}
