/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * cache — who gave which credentials, for a short while: keyed digests of Authorization headers
 * (the key is this process's own and random, so that a dump of memory does not help to guess
 * passwords) and what was found behind them. Bounded; the oldest goes first, wrong ones before right
 * ones. Any thread.
 */
#ifndef AUTH_CACHE_H
#define AUTH_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct auth_grants;

/* A user as last read, shared by all who look at it. */
struct account {
	atomic_uint references;
	int64_t id;
	bool admin;
	char *name;
	char *hash;                     /* of the password */
	struct auth_grants *grants;
};

struct account *auth_account_hold(struct account *a);
void auth_account_release(struct account *a); /* NULL is fine */

enum { DIGEST_BYTES = 32 };

enum cache_answer {
	CACHE_ABSENT,                   /* unknown, or wrong and too long ago */
	CACHE_EXPIRED,                  /* was right, too long ago: try again */
	CACHE_STALE,                    /* was right; users or grants may have changed since */
	CACHE_RIGHT,
	CACHE_WRONG,                    /* such a user or password there is not */
};

struct auth_cache;

/* ttl_ms 0: nothing is kept. stale_ms: how long what was read stays good without a word from
   auth_cache_alive(). */
struct auth_cache *auth_cache_new(size_t limit, int64_t ttl_ms, int64_t stale_ms);
void auth_cache_free(struct auth_cache *k);

/* False: no memory. */
bool auth_cache_digest(struct auth_cache *k, const char *text, unsigned char out[DIGEST_BYTES]);

/* STALE and RIGHT hold *ret for the caller. */
enum cache_answer auth_cache_find(struct auth_cache *k, const unsigned char digest[DIGEST_BYTES],
                                  struct account **ret);

/* account NULL: wrong credentials. generation and read_ms: of before the account was read.
   checked: the password was really tried, otherwise an older trial goes on counting. */
void auth_cache_put(struct auth_cache *k, const unsigned char digest[DIGEST_BYTES],
                    struct account *account, uint64_t generation, int64_t read_ms, bool checked);

/* Everything kept becomes stale. */
void auth_cache_outdate(struct auth_cache *k);
uint64_t auth_cache_generation(const struct auth_cache *k);

/* At that time (clock_ms) nothing had changed since the last auth_cache_outdate(). */
void auth_cache_alive(struct auth_cache *k, int64_t at_ms);

#endif
