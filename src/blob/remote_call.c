/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * One call of a store's API, as a machine that never waits: credentials, a signed try, its answer, and then perhaps
 * another try. Whoever owns it calls on; each BLOB_AGAIN is followed by its `ready`.
 */
#include "remote.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/number.h"

enum {
	REFUSAL_MOST = 64 << 10,        /* of a body with another status than was wanted */
	TEXT_FIRST = 4096,
	RETRY_AFTER_MOST = 100000,      /* seconds; more is as good as never */
};

enum state {
	ASKING,                         /* for credentials, then a try begins */
	SENT,
	REFUSING,                       /* the body of an answer that is not 2xx is read */
	ANSWERED,
	OVER,
};

/* The credentials of a try, to say which were refused. */
struct used {
	size_t size;
	struct identity_value value;
	char bytes[];
};

struct remote_call {
	struct remote *remote;
	struct remote_request *q;
	struct blob_ready ready;
	enum state state;
	struct net_exchange *x;
	struct net_head head;
	struct used *used;
	unsigned tries, moves;
	bool refreshed, broke;
	bool collected;                 /* the body is in text */
	int64_t first_ms;               /* when the first try began */
	int delay_ms;
	uint64_t taken;                 /* of a body that is written */
	char *text;
	size_t size, capacity;
};

/* What remote_reply keeps. */
static const char *const kept[] = {
	"Content-Length", "Content-Range", "Content-Type", "Date", "ETag", "Last-Modified", "Location",
	"Range", "Retry-After", "Server",
	"x-amz-bucket-region", "x-amz-checksum-crc32c", "x-amz-delete-marker", "x-amz-id-2",
	"x-amz-request-id", "x-amz-version-id",
	"x-goog-generation", "x-goog-hash", "x-goog-stored-content-length",
	"x-guploader-uploadid", "x-goog-metageneration", "x-goog-stored-content-encoding",
	"WWW-Authenticate",
};

static void call_ready(void *arg)
{
	struct remote_call *k = arg;

	k->ready.fn(k->ready.arg);
}

/* ---- what an answer says ---- */

static int64_t retry_after(const char *text)
{
	int64_t date = remote_date(text);
	int64_t left = text ? number_leading(text) : 0;

	if (date >= 0)
		left = date - clock_wall_ms() / 1000;
	return left < 0 ? 0 : left > RETRY_AFTER_MOST ? RETRY_AFTER_MOST : left;
}

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

void remote_call_reply(const struct remote_call *k, struct remote_reply *ret)
{
	*ret = (struct remote_reply){ .broke = k->broke };
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		const char *value = remote_call_header(k, kept[i]);

		if (value)
			ret->headers[ret->header_count++] = (struct net_header){ kept[i], value };
	}
	_Static_assert(sizeof(kept) / sizeof(kept[0]) <= sizeof(ret->headers) / sizeof(ret->headers[0]),
	               "all fit");
	ret->reply = (struct net_reply){
		.status = k->head.status,
		.body = k->collected ? k->text : "",
		.size = k->collected ? k->size : 0,
		.content_type = or_empty(remote_header(ret, "Content-Type")),
		.etag = or_empty(remote_header(ret, "ETag")),
		.content_length = k->head.content_length,
		.retry_after_s = retry_after(remote_header(ret, "Retry-After")),
		.failure = "",
	};
}

const char *remote_header(const struct remote_reply *r, const char *name)
{
	for (size_t i = 0; i < r->header_count; i++) {
		if (!strcasecmp(r->headers[i].name, name))
			return r->headers[i].value;
	}
	return NULL;
}

const char *remote_reply_header(const struct net_reply *reply, const char *name)
{
	return remote_header((const struct remote_reply *)(const void *)reply, name);
}

/* ---- another try ---- */

static int pause_ms(unsigned tries)
{
	int64_t most = REMOTE_PAUSE_MS;
	uint32_t random;

	for (unsigned i = 1; i < tries && most < REMOTE_PAUSE_MOST_MS; i++)
		most *= 2;
	if (most > REMOTE_PAUSE_MOST_MS)
		most = REMOTE_PAUSE_MOST_MS;
	id_random(&random, sizeof(random));
	return (int)(most * random / UINT32_MAX);
}

static void again(struct remote_call *k, int delay_ms)
{
	net_exchange_close(TAKE(k->x));
	k->state = ASKING;
	k->head = (struct net_head){ 0 };
	k->delay_ms = delay_ms;
	k->collected = false;
	k->size = 0;
}

static void tell(const struct remote_call *k, const char *why, int delay_ms)
{
	log_event(LOG_INFO, "artifact store asked again", "method", k->q->method, "bucket",
	          k->remote->bucket, "because", why, "try", log_fmt("%u", k->tries), "pause_ms",
	          log_fmt("%d", delay_ms), NULL);
}

/* Whether there may be another try after a pause; then it is on its way. */
static bool try_again(struct remote_call *k, const char *why, int64_t after_s)
{
	int64_t delay = pause_ms(k->tries);

	if (k->q->no_retry || k->taken || k->tries >= REMOTE_TRIES)
		return false;
	if (delay < after_s * 1000)
		delay = after_s * 1000;
	if (clock_ms() + delay - k->first_ms > REMOTE_TRIES_MS)
		return false;
	tell(k, why, (int)delay);
	again(k, (int)delay);
	return true;
}

static bool is_passing(const char *failure)
{
	static const char *const words[] = { "dns", "connect", "timeout", "reset", "protocol" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcmp(failure, words[i]))
			return true;
	}
	return false;
}

/* The network's words become ours: what is wrong in our configuration is no fault of the client's. */
static int give_up(struct ctx *c, struct remote_call *k)
{
	struct error e = c->error;

	k->state = OVER;
	error_clear(c);
	return fail_because(c, e.code == INVALID_PARAMETER_VALUE ? INTERNAL_ERROR : e.code,
	                    arena_printf(c->arena, "bucket=%s tries=%u%s%s", k->remote->bucket, k->tries,
	                                 e.detail ? ": " : "", or_empty(e.detail)),
	                    "The artifact store could not be reached: %s", or_empty(e.message));
}

/* 0: there will be another try. */
static int broke(struct ctx *c, struct remote_call *k)
{
	const char *failure = net_exchange_failure(k->x);

	if (!net_exchange_unsent(k->x))
		k->broke = true;
	if (is_passing(failure) && try_again(k, failure, 0)) {
		error_clear(c);
		return 0;
	}
	return give_up(c, k);
}

static enum remote_verdict judge(struct ctx *c, struct remote_call *k, struct remote_reply *reply)
{
	enum remote_verdict v;

	remote_call_reply(k, reply);
	v = k->remote->ops->judge(c, k->remote, k->q, &reply->reply);
	error_clear(c);
	return v;
}

static bool is_also(const struct remote_request *q, int status)
{
	for (const short *s = q->also; s && *s; s++) {
		if (*s == status)
			return true;
	}
	return false;
}

/* Another status than 2xx: after another try, if there is one for it, an answer, or the end. */
static int unwanted(struct ctx *c, struct remote_call *k)
{
	struct remote_reply reply;
	enum remote_verdict verdict = judge(c, k, &reply);
	bool once = false;

	switch (verdict) {
	case REMOTE_FINE:
		k->state = ANSWERED;
		return 0;
	case REMOTE_RETRY:
		k->broke = true;
		if (try_again(k, log_fmt("%d", reply.reply.status), reply.reply.retry_after_s))
			return 0;
		break;
	case REMOTE_REFRESH:
		once = !k->refreshed && k->used;
		k->refreshed = true;
		if (once)
			identity_refused(k->remote->identity, &k->used->value);
		break;
	case REMOTE_MOVED:
		once = k->moves++ < REMOTE_MOVES;
		break;
	case REMOTE_REFUSED:
		break;
	}
	if (once && !k->taken) {
		tell(k, log_fmt("%d", reply.reply.status), 0);
		again(k, 0);
		return 0;
	}
	if (verdict == REMOTE_REFUSED && is_also(k->q, k->head.status)) {
		k->state = ANSWERED;
		return 0;
	}
	k->state = OVER;
	return k->remote->ops->refuse(c, k->remote, k->q, &reply.reply);
}

/* ---- a try ---- */

static void forget_used(struct remote_call *k)
{
	if (k->used)
		OPENSSL_cleanse(k->used, sizeof(*k->used) + k->used->size);
	free(TAKE(k->used));
}

static int keep_used(struct ctx *c, struct remote_call *k, const struct identity_value *v)
{
	size_t size = 0, at = 0;

	for (size_t i = 0; i < IDENTITY_TEXTS; i++)
		size += v->text[i] ? strlen(v->text[i]) + 1 : 0;
	forget_used(k);
	k->used = malloc(sizeof(*k->used) + size);
	if (!k->used)
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	k->used->size = size;
	k->used->value = *v;
	for (size_t i = 0; i < IDENTITY_TEXTS; i++) {
		size_t n = v->text[i] ? strlen(v->text[i]) + 1 : 0;

		if (n)
			k->used->value.text[i] = memcpy(k->used->bytes + at, v->text[i], n);
		at += n;
	}
	return 0;
}

static int begin_try(struct ctx *c, struct remote_call *k)
{
	const struct remote_request *q = k->q;
	struct identity_value v = { 0 };
	struct net_exchange_request r = {
		.method = q->method,
		.connect_ms = REMOTE_CONNECT_MS,
		.stall_ms = remote_stall_ms() * (q->patience ? q->patience : 1),
		.body = q->body,
		.size = q->size,
		.written = q->written,
		.body_size = q->body_size,
		.once = q->no_retry,
		.delay_ms = k->delay_ms,
		.ready = call_ready,
		.arg = k,
	};
	struct net_pump *pump;
	int rc;

	if (k->remote->identity && !q->needs_nothing) {
		rc = identity_poll(c, k->remote->identity, call_ready, k, &v);
		if (rc)
			return rc;
		if (keep_used(c, k, &v))
			return -1;
	}
	if (k->remote->ops->prepare(c, k->remote, q, &v, &r))
		return -1;
	pump = remote_pump(c);
	if (!pump || net_exchange_start(c, pump, &r, &k->x))
		return -1;
	if (!k->tries++)
		k->first_ms = clock_ms() + k->delay_ms;
	k->state = SENT;
	return 0;
}

static int grow(struct ctx *c, struct remote_call *k, size_t most)
{
	size_t capacity = k->capacity ? k->capacity * 2 : TEXT_FIRST;
	char *more;

	if (k->size + 1 < k->capacity)
		return 0;
	if (capacity > most + 1)
		capacity = most + 1;
	more = realloc(k->text, capacity);
	if (!more)
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	k->text = more;
	k->capacity = capacity;
	return 0;
}

/* 0: all of the body, or its first `most` bytes, is in k->text; BLOB_AGAIN; -1. */
static int collect(struct ctx *c, struct remote_call *k, size_t most)
{
	size_t got = 1;
	int rc;

	while (got && k->size < most) {
		if (grow(c, k, most))
			return -1;
		rc = net_exchange_read(c, k->x, k->text + k->size, k->capacity - 1 - k->size, &got);
		if (rc)
			return rc;
		k->size += got;
	}
	if (grow(c, k, most))
		return -1;
	k->text[k->size] = '\0';
	k->collected = true;
	return 0;
}

/* The answer to refuse by; one whose body breaks is judged by what there is of it. */
static int collect_refusal(struct ctx *c, struct remote_call *k)
{
	int rc = collect(c, k, REFUSAL_MOST);

	if (rc == BLOB_AGAIN)
		return rc;
	if (rc < 0 && (!k->text || k->size + 1 > k->capacity))
		return give_up(c, k);
	error_clear(c);
	k->text[k->size] = '\0';
	k->collected = true;
	return unwanted(c, k);
}

static int over(struct remote_call *k)
{
	k->state = OVER;
	return -1;
}

/* Until there is an answer that is wanted. */
static int advance(struct ctx *c, struct remote_call *k)
{
	for (;;) {
		int rc = 0;

		switch (k->state) {
		case ASKING:
			rc = begin_try(c, k);
			if (rc < 0)
				return over(k);
			break;
		case SENT:
			rc = net_exchange_head(c, k->x, &k->head);
			if (rc < 0)
				rc = broke(c, k);
			else if (!rc)
				k->state = k->head.status / 100 == 2 ? ANSWERED : REFUSING;
			break;
		case REFUSING:
			rc = collect_refusal(c, k);
			break;
		case ANSWERED:
			return 0;
		case OVER:
			return fail(c, TEMPORARILY_UNAVAILABLE, "The artifact store did not answer");
		}
		if (rc)
			return rc;
	}
}

/* ---- for its owner ---- */

int remote_call_begin(struct ctx *c, struct remote *r, const struct remote_request *q,
                      struct blob_ready ready, struct remote_call **ret)
{
	struct remote_call *k = calloc(1, sizeof(*k));
	int rc;

	if (k)
		k->q = remote_request_copy(q, false);
	if (!k || !k->q) {
		free(k);
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	}
	k->remote = r;
	k->ready = ready;
	k->delay_ms = q->delay_ms;
	*ret = k;
	rc = begin_try(c, k);
	if (rc >= 0)
		return 0;
	remote_call_close(TAKE(*ret));
	return -1;
}

int remote_call_head(struct ctx *c, struct remote_call *k, struct net_head *ret)
{
	int rc = advance(c, k);

	if (!rc)
		*ret = k->head;
	return rc;
}

const char *remote_call_header(const struct remote_call *k, const char *name)
{
	return k->x ? net_exchange_header(k->x, name) : NULL;
}

int remote_call_write(struct ctx *c, struct remote_call *k, const void *data, size_t n,
                      size_t *taken)
{
	int rc;

	*taken = 0;
	for (;;) {
		if (k->state == ASKING) {
			rc = begin_try(c, k);
			if (rc)
				return rc < 0 ? over(k) : rc;
		}
		if (k->state != SENT)
			return advance(c, k);
		rc = net_exchange_write(c, k->x, data, n, taken);
		k->taken += *taken;
		if (rc == BLOB_AGAIN || (!rc && (*taken || !n)))
			return rc;
		/* An answer before all was taken, which may lead to another try. */
		rc = rc ? broke(c, k) : advance(c, k);
		if (rc || k->state == ANSWERED)
			return rc;
	}
}

int remote_call_read(struct ctx *c, struct remote_call *k, void *to, size_t n, size_t *got)
{
	int rc = advance(c, k);

	*got = 0;
	if (rc || k->collected)
		return rc;
	rc = net_exchange_read(c, k->x, to, n, got);
	if (rc >= 0)
		return rc;
	k->broke = is_passing(net_exchange_failure(k->x));
	return give_up(c, k);
}

int remote_call_text(struct ctx *c, struct remote_call *k, const char **text, size_t *size)
{
	int rc;

	for (;;) {
		rc = advance(c, k);
		if (!rc && !k->collected)
			rc = collect(c, k, REMOTE_TEXT);
		if (rc >= 0)
			break;
		if (k->state == OVER)
			return -1;
		rc = broke(c, k);
		if (rc)
			return rc;
	}
	if (rc)
		return rc;
	if (k->size == REMOTE_TEXT) {
		k->state = OVER;
		return fail(c, TEMPORARILY_UNAVAILABLE,
		            "The artifact store's answer is larger than %d bytes", REMOTE_TEXT);
	}
	*text = k->text;
	*size = k->size;
	return 0;
}

bool remote_call_broke(const struct remote_call *k)
{
	return k->broke;
}

int remote_call_status(const struct remote_call *k)
{
	return k->head.status;
}

void remote_call_close(struct remote_call *k)
{
	if (!k)
		return;
	if (k->remote->identity)
		identity_forget(k->remote->identity, k);
	net_exchange_close(k->x);
	forget_used(k);
	free(k->text);
	free(k->q);
	free(k);
}
