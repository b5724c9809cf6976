/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* A token: version 0x80, seconds since 1970 (8 bytes), IV, ciphertext, HMAC of all before; URL-safe base64, padded. */
#include "registry/fernet.h"

#include <string.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/arena.h"
#include "base/id.h"

enum { VERSION = 0x80, TIME = 8, BLOCK = 16, MAC = 32, HEAD = 1 + TIME + BLOCK };

static void to_url_safe(char *text)
{
	for (; *text; text++)
		*text = *text == '+' ? '-' : *text == '/' ? '_' : *text;
}

/* Bytes, or -1. `to` has room for 3/4 of the text. */
static long decode(struct arena *a, const char *text, uint8_t *to)
{
	size_t n = strlen(text), padding = 0;
	char *standard;
	int size;

	while (padding < n && text[n - 1 - padding] == '=')
		padding++;
	if (!n || n % 4 || n > 1 << 20 || padding > 2
	    || strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
	               != n - padding)
		return -1;
	standard = arena_strdup(a, text);
	for (char *p = standard; *p; p++)
		*p = *p == '-' ? '+' : *p == '_' ? '/' : *p;
	size = EVP_DecodeBlock(to, (const unsigned char *)standard, (int)n);
	return size < 0 ? -1 : size - (long)padding;
}

bool registry_fernet_key(const char *text, struct fernet *ret)
{
	struct arena *a = arena_new(1 << 12);
	uint8_t bytes[FERNET_KEY_TEXT];
	bool good = a && strlen(text) == FERNET_KEY_TEXT && decode(a, text, bytes) == sizeof(*ret);

	if (good)
		memcpy(ret, bytes, sizeof(*ret));
	OPENSSL_cleanse(bytes, sizeof(bytes));
	arena_free(a);
	return good;
}

void registry_fernet_new_key(char ret[FERNET_KEY_TEXT + 1])
{
	uint8_t bytes[sizeof(struct fernet)];

	id_random(bytes, sizeof(bytes));
	EVP_EncodeBlock((unsigned char *)ret, bytes, sizeof(bytes));
	to_url_safe(ret);
	OPENSSL_cleanse(bytes, sizeof(bytes));
}

static void free_cipher(void *p)
{
	EVP_CIPHER_CTX_free(p);
}

static int out_of_memory(struct ctx *c)
{
	return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
}

static EVP_CIPHER_CTX *new_cipher(struct ctx *c)
{
	EVP_CIPHER_CTX *e = EVP_CIPHER_CTX_new();

	if (e)
		arena_defer(c->arena, free_cipher, e);
	else
		out_of_memory(c);
	return e;
}

static bool sign(const struct fernet *f, const uint8_t *bytes, size_t n, uint8_t mac[MAC])
{
	return HMAC(EVP_sha256(), f->signing, sizeof(f->signing), bytes, n, mac, NULL) != NULL;
}

const char *registry_fernet_encrypt(struct ctx *c, const struct fernet *f, const char *text)
{
	size_t n = strlen(text), size;
	uint8_t *raw = arena_alloc(c->arena, HEAD + n + BLOCK + MAC);
	EVP_CIPHER_CTX *e = new_cipher(c);
	uint64_t now = (uint64_t)time(NULL);
	int first = 0, rest = 0;
	char *ret;

	if (!e)
		return NULL;
	raw[0] = VERSION;
	for (int i = 0; i < TIME; i++)
		raw[1 + i] = (uint8_t)(now >> (8 * (TIME - 1 - i)));
	id_random(raw + 1 + TIME, BLOCK);
	if (n > 1 << 20 || EVP_EncryptInit_ex(e, EVP_aes_128_cbc(), NULL, f->encryption, raw + 1 + TIME) != 1
	    || EVP_EncryptUpdate(e, raw + HEAD, &first, (const uint8_t *)text, (int)n) != 1
	    || EVP_EncryptFinal_ex(e, raw + HEAD + first, &rest) != 1) {
		out_of_memory(c);
		return NULL;
	}
	size = HEAD + (size_t)(first + rest);
	if (!sign(f, raw, size, raw + size)) {
		out_of_memory(c);
		return NULL;
	}
	size += MAC;
	ret = arena_alloc(c->arena, (size + 2) / 3 * 4 + 1);
	EVP_EncodeBlock((unsigned char *)ret, raw, (int)size);
	to_url_safe(ret);
	return ret;
}

int registry_fernet_decrypt(struct ctx *c, const struct fernet *f, const char *token, const char **ret)
{
	uint8_t *raw = arena_alloc(c->arena, strlen(token) + 1);
	long size = decode(c->arena, token, raw);
	long n = size - HEAD - MAC;
	EVP_CIPHER_CTX *e;
	uint8_t mac[MAC];
	int first = 0, rest = 0;
	char *text;

	if (n <= 0 || n % BLOCK || raw[0] != VERSION)
		return 0;
	if (!sign(f, raw, (size_t)(size - MAC), mac))
		return out_of_memory(c);
	if (CRYPTO_memcmp(mac, raw + size - MAC, MAC) != 0)
		return 0;
	e = new_cipher(c);
	if (!e)
		return -1;
	text = arena_alloc(c->arena, (size_t)n + BLOCK + 1);
	if (EVP_DecryptInit_ex(e, EVP_aes_128_cbc(), NULL, f->encryption, raw + 1 + TIME) != 1
	    || EVP_DecryptUpdate(e, (uint8_t *)text, &first, raw + HEAD, (int)n) != 1
	    || EVP_DecryptFinal_ex(e, (uint8_t *)text + first, &rest) != 1)
		return 0;
	*ret = text;
	return 1;
}
