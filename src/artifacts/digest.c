/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "artifacts/digest.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "config.h"
#include "handlers.h"
#include "roots.h"
#include "store/artifact.h"

enum {
	BASE64 = 44,            /* characters of 32 bytes */
	URI_MOST = 2000,        /* PostgreSQL indexes no longer ones */
	NOTES_MS = 1000,
};

/* ---- headers ---- */

static bool decode(const char *text, size_t n, unsigned char to[TRANSFER_SHA256])
{
	unsigned char out[BASE64];
	char in[BASE64 + 1];

	if (n != BASE64 || text[n - 1] != '=' || text[n - 2] == '=')
		return false;
	memcpy(in, text, n);
	in[n] = '\0';
	/* EVP_DecodeBlock() skips blanks and counts the padding. */
	if (strcspn(in, " \t\r\n-") != n ||
	    EVP_DecodeBlock(out, (const unsigned char *)in, BASE64) != TRANSFER_SHA256 + 1)
		return false;
	memcpy(to, out, TRANSFER_SHA256);
	return true;
}

/* The value of sha-256 in a list "a=x, sha-256=y": its length; 0 none. */
static size_t member(const char *list, const char **value)
{
	while (*list) {
		size_t n = strcspn(list, ",");
		const char *at = list + strspn(list, " \t");

		if (!strncasecmp(at, "sha-256=", 8)) {
			*value = at + 8;
			n = (size_t)(list + n - *value);
			while (n && strchr(" \t", (*value)[n - 1]))
				n--;
			return n ? n : 1;
		}
		list += n + (list[n] == ',');
	}
	return 0;
}

static int take(struct ctx *c, struct stream *s, const char *name, const char *value, size_t n)
{
	unsigned char sha256[TRANSFER_SHA256];

	if (!decode(value, n, sha256))
		return fail(c, INVALID_PARAMETER_VALUE,
			    "The header %s has no SHA-256 of 32 bytes in base64.", name);
	if (s->digest && memcmp(s->sha256, sha256, sizeof(sha256)) != 0)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "The request announces more than one SHA-256 of its body.");
	s->digest = true;
	memcpy(s->sha256, sha256, sizeof(sha256));
	return 0;
}

static int take_list(struct ctx *c, const struct stream_request *r, struct stream *s,
		     const char *name, bool structured)
{
	const char *list = r->header(r, name), *value;
	size_t n = list ? member(list, &value) : 0;

	if (!n)
		return 0;
	if (structured) {
		size_t end = n > 1 && *value == ':' ? strcspn(value + 1, ":,;") : 0;

		if (!end || value[end + 1] != ':')
			return take(c, s, name, "", 0);
		value++;
		n = end;
	}
	return take(c, s, name, value, n);
}

int digest_announced(struct ctx *c, const struct stream_request *r, struct stream *s)
{
	static const char s3[] = "x-amz-checksum-sha256";
	const char *checksum;

	if (!r->header)
		return 0;
	checksum = r->header(r, s3);
	if (take_list(c, r, s, "Repr-Digest", true) || take_list(c, r, s, "Content-Digest", true) ||
	    take_list(c, r, s, "Digest", false))
		return -1;
	return checksum ? take(c, s, s3, checksum, strlen(checksum)) : 0;
}

bool digest_wanted(const struct stream_request *r)
{
	static const char *const names[] = { "Want-Repr-Digest", "Want-Digest" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = r->header ? r->header(r, names[i]) : NULL;

		if (value && strcasestr(value, "sha-256") && !strcasestr(value, "sha-256=0"))
			return true;
	}
	return false;
}

static const char *base64(struct ctx *c, const unsigned char sha256[TRANSFER_SHA256])
{
	unsigned char *text = arena_alloc(c->arena, BASE64 + 1);

	EVP_EncodeBlock(text, sha256, TRANSFER_SHA256);
	return (const char *)text;
}

const char *digest_repr(struct ctx *c, const unsigned char sha256[TRANSFER_SHA256])
{
	return arena_printf(c->arena, "sha-256=:%s:", base64(c, sha256));
}

const char *digest_plain(struct ctx *c, const unsigned char sha256[TRANSFER_SHA256])
{
	return arena_printf(c->arena, "sha-256=%s", base64(c, sha256));
}

/* ---- what waits to be kept ---- */

static const char *object_uri(struct ctx *c, struct blob *store, const char *key)
{
	const char *uri = roots_uri(c, store ? store : artifacts_config.root, key);

	return uri && strlen(uri) <= URI_MOST ? uri : NULL;
}

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t noted, forgotten;
} notes = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

/* Until nothing is left of what was noted before: who uploaded something, and asks for it now, finds it. Notes are
   kept in turn, so later ones do not count for earlier ones. */
static void await_notes(void)
{
	struct timespec until = clock_deadline(NOTES_MS);
	uint64_t noted;

	pthread_mutex_lock(&notes.lock);
	noted = notes.noted;
	while (notes.forgotten < noted)
		if (pthread_cond_clockwait(&notes.changed, &notes.lock, CLOCK_MONOTONIC, &until))
			break;
	pthread_mutex_unlock(&notes.lock);
}

struct digest_made *digest_note(struct ctx *c, const struct stream *s, const struct transfer *t)
{
	const unsigned char *sha256 = transfer_sha256(t);
	const char *etag = transfer_etag(t);
	const char *uri = sha256 && *etag ? object_uri(c, s->store, s->key) : NULL;
	struct digest_made *m = uri ? calloc(1, sizeof(*m)) : NULL;

	if (!m)
		return NULL;
	m->uri = strdup(uri);
	if (!m->uri) {
		free(m);
		return NULL;
	}
	snprintf(m->etag, sizeof(m->etag), "%s", etag);
	m->size = transfer_size(t);
	memcpy(m->sha256, sha256, TRANSFER_SHA256);
	pthread_mutex_lock(&notes.lock);
	notes.noted++;
	pthread_mutex_unlock(&notes.lock);
	return m;
}

void digest_forget(struct queue_node *made)
{
	uint64_t count = 0;

	for (struct queue_node *next; made; made = next, count++) {
		struct digest_made *m = (struct digest_made *)made;

		next = made->next;
		free(m->uri);
		free(m);
	}
	pthread_mutex_lock(&notes.lock);
	notes.forgotten += count;
	pthread_cond_broadcast(&notes.changed);
	pthread_mutex_unlock(&notes.lock);
}

/* ---- what is kept ---- */

static bool database(struct ctx *c)
{
	if (!c->db && artifacts_config.take && artifacts_config.take(c))
		return false;
	return c->db;
}

static void give_back(struct ctx *c)
{
	if (c->db && artifacts_config.give_back)
		artifacts_config.give_back(c);
}

static int hex(char ch)
{
	return ch >= '0' && ch <= '9' ? ch - '0' : ch - 'a' + 10;
}

void digest_find(struct ctx *c, struct stream *s)
{
	const char *uri = object_uri(c, s->store, s->key);
	struct artifact_object o = { 0 };

	await_notes();
	if (!uri || !database(c) || store_artifact_get(c, uri, &o) <= 0) {
		error_clear(c);
	} else if (strlen(o.etag) < sizeof(s->made_etag)) {
		s->digest = true;
		memcpy(s->made_etag, o.etag, strlen(o.etag) + 1);
		s->made_size = (uint64_t)*o.size;
		for (size_t i = 0; i < TRANSFER_SHA256; i++)
			s->sha256[i] = (unsigned char)(hex(o.sha256[2 * i]) << 4 |
						       hex(o.sha256[2 * i + 1]));
	}
	give_back(c);
}

static void describe(struct ctx *c, const struct digest_made *m, struct artifact_object *ret)
{
	char *text = arena_alloc(c->arena, 2 * TRANSFER_SHA256 + 1);

	for (size_t i = 0; i < TRANSFER_SHA256; i++)
		snprintf(text + 2 * i, 3, "%02x", m->sha256[i]);
	*ret = (struct artifact_object){
		.uri = m->uri,
		.etag = m->etag,
		.size = box_int64(c->arena, (int64_t)m->size),
		.sha256 = text,
	};
}

void digest_keep(struct ctx *c, const struct queue_node *made)
{
	struct artifact_object *objects;
	size_t count = 0, n = 0;

	for (const struct queue_node *m = made; m; m = m->next)
		count++;
	objects = NEW_ARRAY(c->arena, count, struct artifact_object);
	for (; made; made = made->next)
		describe(c, (const struct digest_made *)made, &objects[n++]);
	if (!database(c) || store_artifact_put(c, objects, n, clock_wall_ms())) {
		log_event(LOG_WARN, "SHA-256 of artifacts not kept", "count", log_fmt("%zu", n),
			  "first", objects[0].uri, "error", c->error.message, "detail",
			  c->error.detail, NULL);
		error_clear(c);
	}
	give_back(c);
}

void artifacts_forget(struct ctx *c, struct blob *store, const char *key)
{
	const char *uri = object_uri(c, store, key);

	await_notes();
	/* Records are good for what they say only: one that stays does no harm. */
	if (uri && (!database(c) || store_artifact_forget(c, uri))) {
		log_event(LOG_WARN, "SHA-256 of a removed artifact stays", "id", c->request_id,
			  "uri", uri, "error", c->error.message, "detail", c->error.detail, NULL);
		error_clear(c);
	}
	give_back(c);
}
