/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "cache.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "auth/grants.h"
#include "base/clock.h"

enum {
	BUCKETS = 4096,
	WRONG_MS = 5000,                /* a client that repeats a wrong password costs little */
};

struct entry {
	struct entry *next;             /* of its bucket */
	struct entry *newer, *older;    /* of its kind, by the time of the trial */
	unsigned char digest[DIGEST_BYTES];
	struct account *account;        /* NULL: wrong */
	uint64_t generation;
	int64_t read_ms;
	int64_t until_ms;
};

enum { WRONG, RIGHT, KINDS };

struct ages {
	struct entry *newest, *oldest;
};

struct auth_cache {
	pthread_rwlock_t lock;
	pthread_key_t mac;              /* each thread's EVP_MAC_CTX, keyed once */
	EVP_MAC *algorithm;
	unsigned char key[32];
	struct entry *buckets[BUCKETS];
	struct ages ages[KINDS];
	size_t count, limit;
	int64_t ttl_ms, stale_ms;
	_Atomic uint64_t generation;
	_Atomic int64_t alive_ms;
};

/* ---- accounts ---- */

struct account *auth_account_hold(struct account *a)
{
	atomic_fetch_add_explicit(&a->references, 1, memory_order_relaxed);
	return a;
}

void auth_account_release(struct account *a)
{
	if (!a || atomic_fetch_sub_explicit(&a->references, 1, memory_order_acq_rel) != 1)
		return;
	auth_grants_free(a->grants);
	free(a->name);
	free(a->hash);
	free(a);
}

/* ---- digests ---- */

static void mac_free(void *mac)
{
	EVP_MAC_CTX_free(mac);
}

static EVP_MAC_CTX *mac_of_thread(struct auth_cache *k)
{
	EVP_MAC_CTX *mac = pthread_getspecific(k->mac);
	char name[] = "SHA256";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
		OSSL_PARAM_construct_end(),
	};

	if (mac)
		return mac;
	mac = EVP_MAC_CTX_new(k->algorithm);
	if (!mac || !EVP_MAC_init(mac, k->key, sizeof(k->key), params)
	    || pthread_setspecific(k->mac, mac)) {
		EVP_MAC_CTX_free(mac);
		return NULL;
	}
	return mac;
}

bool auth_cache_digest(struct auth_cache *k, const char *text, unsigned char out[DIGEST_BYTES])
{
	EVP_MAC_CTX *mac = mac_of_thread(k);
	size_t size = 0;

	/* Without a key it starts again with the old one. */
	return mac && EVP_MAC_init(mac, NULL, 0, NULL)
	       && EVP_MAC_update(mac, (const unsigned char *)text, strlen(text))
	       && EVP_MAC_final(mac, out, &size, DIGEST_BYTES) && size == DIGEST_BYTES;
}

/* ---- entries ---- */

struct auth_cache *auth_cache_new(size_t limit, int64_t ttl_ms, int64_t stale_ms)
{
	struct auth_cache *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->limit = limit;
	k->ttl_ms = ttl_ms;
	k->stale_ms = stale_ms;
	k->algorithm = EVP_MAC_fetch(NULL, "HMAC", NULL);
	if (!k->algorithm || RAND_bytes(k->key, sizeof(k->key)) != 1
	    || pthread_key_create(&k->mac, mac_free)) {
		EVP_MAC_free(k->algorithm);
		free(k);
		return NULL;
	}
	pthread_rwlock_init(&k->lock, NULL);
	return k;
}

static struct entry **place(struct auth_cache *k, const unsigned char digest[DIGEST_BYTES])
{
	struct entry **at = &k->buckets[(digest[0] << 8 | digest[1]) % BUCKETS];

	while (*at && memcmp((*at)->digest, digest, DIGEST_BYTES) != 0)
		at = &(*at)->next;
	return at;
}

static struct ages *ages_of(struct auth_cache *k, const struct entry *e)
{
	return &k->ages[e->account ? RIGHT : WRONG];
}

static void unlink_age(struct auth_cache *k, struct entry *e)
{
	struct ages *a = ages_of(k, e);

	*(e->newer ? &e->newer->older : &a->newest) = e->older;
	*(e->older ? &e->older->newer : &a->oldest) = e->newer;
}

static void link_newest(struct auth_cache *k, struct entry *e)
{
	struct ages *a = ages_of(k, e);

	e->newer = NULL;
	e->older = a->newest;
	*(a->newest ? &a->newest->newer : &a->oldest) = e;
	a->newest = e;
}

static void drop(struct auth_cache *k, struct entry *e)
{
	*place(k, e->digest) = e->next;
	unlink_age(k, e);
	k->count--;
	auth_account_release(e->account);
	free(e);
}

void auth_cache_free(struct auth_cache *k)
{
	if (!k)
		return;
	for (unsigned i = 0; i < KINDS; i++) {
		while (k->ages[i].oldest)
			drop(k, k->ages[i].oldest);
	}
	/* The destructor is for threads that end; this one goes on. */
	EVP_MAC_CTX_free(pthread_getspecific(k->mac));
	pthread_key_delete(k->mac);
	EVP_MAC_free(k->algorithm);
	OPENSSL_cleanse(k->key, sizeof(k->key));
	pthread_rwlock_destroy(&k->lock);
	free(k);
}

static bool fresh(const struct auth_cache *k, const struct entry *e, int64_t now)
{
	int64_t sure = atomic_load_explicit(&k->alive_ms, memory_order_acquire);

	if (sure < e->read_ms)
		sure = e->read_ms;
	return e->generation == atomic_load_explicit(&k->generation, memory_order_acquire)
	       && now - sure < k->stale_ms;
}

enum cache_answer auth_cache_find(struct auth_cache *k, const unsigned char digest[DIGEST_BYTES],
                                  struct account **ret)
{
	int64_t now = clock_ms();
	enum cache_answer answer = CACHE_ABSENT;
	struct entry *e;

	pthread_rwlock_rdlock(&k->lock);
	e = *place(k, digest);
	if (e && now < e->until_ms) {
		if (e->account)
			answer = fresh(k, e, now) ? CACHE_RIGHT : CACHE_STALE;
		else if (fresh(k, e, now))
			answer = CACHE_WRONG;
		if (e->account)
			*ret = auth_account_hold(e->account);
	} else if (e && e->account) {
		answer = CACHE_EXPIRED;
	}
	pthread_rwlock_unlock(&k->lock);
	return answer;
}

void auth_cache_put(struct auth_cache *k, const unsigned char digest[DIGEST_BYTES],
                    struct account *account, uint64_t generation, int64_t read_ms, bool checked)
{
	struct account *old = NULL;
	struct entry *e;

	if (!k->ttl_ms)
		return;
	pthread_rwlock_wrlock(&k->lock);
	e = *place(k, digest);
	if (e) {
		old = e->account;
		unlink_age(k, e);
	} else if (checked && (e = calloc(1, sizeof(*e)))) {
		/* A storm of wrong passwords must not make us forget who is signed in. */
		if (k->count >= k->limit)
			drop(k, k->ages[WRONG].oldest ? k->ages[WRONG].oldest : k->ages[RIGHT].oldest);
		memcpy(e->digest, digest, DIGEST_BYTES);
		*place(k, digest) = e;
		k->count++;
	}
	if (e) {
		e->account = account ? auth_account_hold(account) : NULL;
		link_newest(k, e);
		e->generation = generation;
		e->read_ms = read_ms;
		if (checked)
			e->until_ms = read_ms + (account || k->ttl_ms < WRONG_MS ? k->ttl_ms
			                                                         : WRONG_MS);
	}
	pthread_rwlock_unlock(&k->lock);
	auth_account_release(old);
}

void auth_cache_outdate(struct auth_cache *k)
{
	atomic_fetch_add_explicit(&k->generation, 1, memory_order_acq_rel);
}

uint64_t auth_cache_generation(const struct auth_cache *k)
{
	return atomic_load_explicit(&k->generation, memory_order_acquire);
}

void auth_cache_alive(struct auth_cache *k, int64_t at_ms)
{
	atomic_store_explicit(&k->alive_ms, at_ms, memory_order_release);
}
