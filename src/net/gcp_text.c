/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <string.h>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/arena.h"
#include "base/limits.h"
#include "gcp_impl.h"

/* ---- JSON ---- */

/* jansson descends by recursion: 2,048 levels are more than our threads' stacks hold. */
static bool too_deep(const char *text, size_t n)
{
	int depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < n; i++) {
		if (quoted && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			quoted = !quoted;
		else if (!quoted && (text[i] == '{' || text[i] == '['))
			depth++;
		else if (!quoted && (text[i] == '}' || text[i] == ']'))
			depth--;
		if (depth > LIMIT_JSON_DEPTH)
			return true;
	}
	return false;
}

static void give_back(void *json)
{
	json_decref(json);
}

struct slot {
	json_t *json;
};

static void free_slot(void *arg)
{
	struct slot *s = arg;

	if (s->json)
		give_back(s->json);
}

json_t *gcp_text_json(struct ctx *c, const char *text, size_t n)
{
	struct slot *s;

	if (too_deep(text, n))
		return NULL;
	s = NEW(c->arena, struct slot);
	arena_defer(c->arena, free_slot, s);
	s->json = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
	return json_is_object(s->json) ? s->json : NULL;
}

const char *gcp_text_member(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text && *text ? text : NULL;
}

/* ---- base64 ---- */

static char *encode(struct ctx *c, const void *data, size_t n)
{
	unsigned char *ret = arena_alloc(c->arena, (n + 2) / 3 * 4 + 1);

	EVP_EncodeBlock(ret, data, (int)n);
	return (char *)ret;
}

const char *gcp_text_base64(struct ctx *c, const void *data, size_t n)
{
	return encode(c, data, n);
}

const char *gcp_text_base64url(struct ctx *c, const void *data, size_t n)
{
	char *ret = encode(c, data, n);

	for (char *p = ret; *p; p++) {
		if (*p == '+')
			*p = '-';
		else if (*p == '/')
			*p = '_';
		else if (*p == '=')
			*p = '\0';
	}
	return ret;
}

const unsigned char *gcp_text_unbase64(struct ctx *c, const char *text, size_t *n)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t letters = strspn(text, alphabet);
	size_t padding = strspn(text + letters, "=");
	unsigned char *ret;

	if (text[letters + padding] || padding > 2 || (letters + padding) % 4 ||
	    letters > GCP_ANSWER)
		return NULL;
	ret = arena_alloc(c->arena, (letters + padding) / 4 * 3 + 1);
	if (EVP_DecodeBlock(ret, (const unsigned char *)text, (int)(letters + padding)) < 0)
		return NULL;
	*n = (letters + padding) / 4 * 3 - padding;
	return ret;
}

void gcp_text_field(struct ctx *c, struct buf *form, const char *name, const char *value)
{
	if (!value || !*value)
		return;
	if (form->size)
		buf_addc(form, '&');
	buf_add(form, name);
	buf_addc(form, '=');
	buf_add(form, net_encode(c, value, false));
}

/* ---- signature ---- */

static void free_bio(BIO **bio)
{
	BIO_free(*bio);
}

static void free_key(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

static void free_digest(EVP_MD_CTX **digest)
{
	EVP_MD_CTX_free(*digest);
}

/* A key that wants a password is of no use: without this libcrypto would ask for it on the terminal. */
static int no_password(char *to, int size, int writing, void *arg)
{
	(void)to, (void)size, (void)writing, (void)arg;
	return -1;
}

int gcp_text_sign(struct ctx *c, const char *pem, const char *of, const void *data, size_t n,
		  unsigned char signature[GCP_SIGNATURE], size_t *size)
{
	CLEANUP(free_bio) BIO *bio = BIO_new_mem_buf(pem, -1);
	CLEANUP(free_key)
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
	CLEANUP(free_digest) EVP_MD_CTX *digest = EVP_MD_CTX_new();

	if (!bio || !digest)
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	if (!key || EVP_PKEY_base_id(key) != EVP_PKEY_RSA)
		return fail(c, INVALID_STATE,
			    "The private key of %s is no RSA key in PEM form: download the key "
			    "file anew.",
			    of);
	*size = GCP_SIGNATURE;
	if (EVP_PKEY_size(key) > GCP_SIGNATURE ||
	    EVP_DigestSignInit(digest, NULL, EVP_sha256(), NULL, key) != 1 ||
	    EVP_DigestSign(digest, signature, size, data, n) != 1)
		return fail(c, INVALID_STATE, "The private key of %s cannot be used for signing.",
			    of);
	return 0;
}
