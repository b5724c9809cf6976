/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* SHA-256 of the bytes that pass. */
#include "transfer_impl.h"

/* OpenSSL has SHA-256; what it may not have is memory. */
static int broken(struct ctx *c)
{
	return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
}

int hash_begin(struct ctx *c, struct transfer *t)
{
	if (!t->hash)
		t->hash = EVP_MD_CTX_new();
	return t->hash && EVP_DigestInit_ex(t->hash, EVP_sha256(), NULL) ? 0 : broken(c);
}

int hash_add(struct ctx *c, struct transfer *t, const void *data, size_t n)
{
	return !t->hash || !n || EVP_DigestUpdate(t->hash, data, n) ? 0 : broken(c);
}

int hash_end(struct ctx *c, struct transfer *t)
{
	if (!t->hash || t->hashed)
		return 0;
	if (!EVP_DigestFinal_ex(t->hash, t->sha256, NULL))
		return broken(c);
	t->hashed = true;
	hash_drop(t);
	return 0;
}

void hash_drop(struct transfer *t)
{
	EVP_MD_CTX_free(t->hash);
	t->hash = NULL;
}
