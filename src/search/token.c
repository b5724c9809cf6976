/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Page tokens: base64url of version, the head of the purpose's digest, payload, and 16 bytes of
 * HMAC-SHA256(key, version, digest, payload). The MAC binds the whole digest; its head in the token
 * only tells a forged token from one of another query, for the message.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "parse.h"

enum { VERSION = 1, DIGEST = 32, HEAD = 8, MAC = 16, FIXED = 1 + HEAD + MAC };

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static const char *encode(struct arena *a, const uint8_t *in, size_t n)
{
	char *out = arena_alloc(a, (n + 2) / 3 * 4 + 1);
	char *to = out;
	for (size_t i = 0; i < n; i += 3) {
		size_t have = n - i < 3 ? n - i : 3;
		uint32_t v = (uint32_t)in[i] << 16;
		v |= have > 1 ? (uint32_t)in[i + 1] << 8 : 0;
		v |= have > 2 ? in[i + 2] : 0;
		for (size_t k = 0; k <= have; k++)
			*to++ = alphabet[v >> (18 - 6 * k) & 63];
	}
	return out;
}

static int digit(char ch)
{
	if (ch >= 'A' && ch <= 'Z')
		return ch - 'A';
	if (ch >= 'a' && ch <= 'z')
		return ch - 'a' + 26;
	if (ch >= '0' && ch <= '9')
		return ch - '0' + 52;
	return ch == '-' ? 62 : ch == '_' ? 63 : -1;
}

/* Strict: no padding, no other characters, no stray bits. */
static bool decode(const char *in, size_t n, uint8_t *out, size_t *size)
{
	uint32_t bits = 0;
	unsigned have = 0;
	*size = 0;
	if (n % 4 == 1)
		return false;
	for (size_t i = 0; i < n; i++) {
		int d = digit(in[i]);
		if (d < 0)
			return false;
		bits = bits << 6 | (uint32_t)d;
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[(*size)++] = (uint8_t)(bits >> have);
			bits &= (1u << have) - 1;
		}
	}
	return !bits;
}

static int sha256(struct ctx *c, const void *data, size_t n, uint8_t out[DIGEST])
{
	if (EVP_Digest(data, n, out, NULL, EVP_sha256(), NULL) != 1)
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	return 0;
}

/* mac of version, digest and payload. */
static int sign(struct ctx *c, const char *key, const uint8_t digest[DIGEST], const void *payload,
		size_t n, uint8_t mac[MAC])
{
	uint8_t full[EVP_MAX_MD_SIZE];
	uint8_t *text = arena_alloc(c->arena, 1 + DIGEST + n);
	text[0] = VERSION;
	memcpy(text + 1, digest, DIGEST);
	if (n)
		memcpy(text + 1 + DIGEST, payload, n);
	assert(key && *key);
	if (!HMAC(EVP_sha256(), key, (int)strlen(key), text, 1 + DIGEST + n, full, NULL))
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	memcpy(mac, full, MAC);
	return 0;
}

static const char *make(struct ctx *c, const char *key, const uint8_t digest[DIGEST],
			const char *payload)
{
	size_t n = strlen(payload);
	uint8_t *raw = arena_alloc(c->arena, FIXED + n);
	raw[0] = VERSION;
	memcpy(raw + 1, digest, HEAD);
	memcpy(raw + 1 + HEAD, payload, n);
	if (sign(c, key, digest, payload, n, raw + 1 + HEAD + n))
		return NULL;
	return encode(c->arena, raw, FIXED + n);
}

static int open(struct ctx *c, const char *key, const uint8_t digest[DIGEST], const char *token,
		const char **payload)
{
	size_t n = strlen(token);
	if (n > LIMIT_PAGE_TOKEN)
		return fail(c, INVALID_PARAMETER_VALUE, "Invalid page token: too long");
	size_t size;
	uint8_t *raw = arena_alloc(c->arena, n + 1);
	if (!decode(token, n, raw, &size))
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Invalid page token, could not base64-decode");
	if (size < FIXED || raw[0] != VERSION)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Invalid page token: not one of this server");
	uint8_t mac[MAC];
	size_t body = size - FIXED;
	if (sign(c, key, digest, raw + 1 + HEAD, body, mac))
		return -1;
	bool other = CRYPTO_memcmp(raw + 1, digest, HEAD);
	bool forged = CRYPTO_memcmp(mac, raw + 1 + HEAD + body, MAC);
	if (other)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Invalid page token: it belongs to another query");
	if (forged)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Invalid page token: not one of this server");
	*payload = arena_strndup(c->arena, (char *)raw + 1 + HEAD, body);
	return 0;
}

const char *token_make(struct ctx *c, const char *key, const char *purpose, const char *payload)
{
	uint8_t digest[DIGEST];
	if (sha256(c, purpose, strlen(purpose), digest))
		return NULL;
	return make(c, key, digest, payload);
}

int token_open(struct ctx *c, const char *key, const char *purpose, const char *token,
	       const char **payload)
{
	uint8_t digest[DIGEST];
	if (sha256(c, purpose, strlen(purpose), digest))
		return -1;
	return open(c, key, digest, token, payload);
}

/* ---- searches ---- */

static void add_number(struct buf *b, int64_t n)
{
	buf_addn(b, (const char *)&n, sizeof(n));
}

static void add_text(struct buf *b, const char *s)
{
	add_number(b, s ? (int64_t)strlen(s) : -1);
	buf_add(b, s ? s : "");
}

static void add_models(struct buf *b, const struct search_query *q)
{
	add_number(b, (int64_t)q->order_models.count);
	for (size_t i = 0; i < q->order_models.count; i++) {
		const struct search_order_field *f =
			LIST_AT(struct search_order_field, &q->order_models, i);
		add_text(b, f->field_name);
		add_number(b, !f->ascending || *f->ascending);
		add_text(b, f->dataset_name);
		add_text(b, f->dataset_digest);
	}
	add_number(b, (int64_t)q->datasets.count);
	for (size_t i = 0; i < q->datasets.count; i++) {
		add_text(b, LIST_AT(struct search_dataset, &q->datasets, i)->name);
		add_text(b, LIST_AT(struct search_dataset, &q->datasets, i)->digest);
	}
}

/* With lengths, so that no two queries read the same. Without max_results: it may change. */
int search_token_digest(struct ctx *c, const struct search_query *q, uint8_t digest[DIGEST])
{
	struct buf b = BUF(c->arena, LIMIT_BODY);
	add_text(&b, "search");
	add_number(&b, q->entity);
	add_number(&b, q->view);
	add_number(&b, (int64_t)q->experiment_count);
	if (q->experiment_count)
		buf_addn(&b, (const char *)q->experiment_ids,
			 q->experiment_count * sizeof(int64_t));
	add_text(&b, q->filter && *q->filter ? q->filter : NULL);
	add_number(&b, (int64_t)q->order_by.count);
	for (size_t i = 0; i < q->order_by.count; i++)
		add_text(&b, *LIST_AT(const char *, &q->order_by, i));
	add_models(&b, q);
	if (buf_failed(&b))
		return fail(c, INVALID_PARAMETER_VALUE, "Query is too long");
	return sha256(c, b.data, b.size, digest);
}

/* Payload: for each value "-" (NULL) or "<bytes>:<text>". */
const char *search_token(struct ctx *c, const struct search_query *q, const struct search_page *p,
			 const char *const *position, size_t count)
{
	struct buf out = BUF(c->arena, LIMIT_PAGE_TOKEN / 4 * 3 - FIXED);
	for (size_t i = 0; i < count; i++) {
		if (position[i])
			buf_addf(&out, "%zu:%s", strlen(position[i]), position[i]);
		else
			buf_addc(&out, '-');
	}
	assert(!buf_failed(&out));
	return make(c, q->token_key, p->digest, buf_text(&out));
}

/* The text was signed by us; what does not fit is of another version. */
static bool read_position(struct arena *a, const char *s, size_t count, const char **values)
{
	const char *end = s + strlen(s);
	for (size_t i = 0; i < count; i++) {
		if (*s == '-') {
			values[i] = NULL;
			s++;
			continue;
		}
		char *colon;
		if (*s < '0' || *s > '9')
			return false;
		unsigned long n = strtoul(s, &colon, 10);
		if (*colon != ':' || n > (size_t)(end - colon - 1))
			return false;
		values[i] = arena_strndup(a, colon + 1, n);
		s = colon + 1 + n;
	}
	return !*s;
}

int search_token_position(struct ctx *c, const struct search_query *q, const uint8_t digest[DIGEST],
			  size_t count, const char *const **ret)
{
	const char *payload;
	*ret = NULL;
	if (!q->page_token || !*q->page_token)
		return 0;
	if (open(c, q->token_key, digest, q->page_token, &payload))
		return -1;
	const char **values = NEW_ARRAY(c->arena, count, const char *);
	if (!read_position(c->arena, payload, count, values))
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Invalid page token: not one of this server");
	*ret = values;
	return 0;
}
