/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "auth/password.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"

enum {
	SCRYPT_N = 32768, SCRYPT_R = 8, SCRYPT_P = 1,
	SCRYPT_BYTES = 64,
	SALT_CHARACTERS = 16,
	PBKDF2_ITERATIONS = 1000000,
	KEY_MAX = 64,
	KDF_WAIT_S = 10,
	KDF_WORKERS = 3,                /* handlers that try or wait at one time */
	/* What a stored hash may ask for: 64 MiB, some seconds. */
	SCRYPT_N_MAX = 1 << 18, SCRYPT_R_MAX = 32, SCRYPT_P_MAX = 16,
	PBKDF2_ITERATIONS_MAX = 10000000,
};

#define SCRYPT_MEMORY_MAX (UINT64_C(64) << 20)

/* ---- few at one time ---- */

/* Who leaves hands his place to one who waits, so that threads that try one password after the other
   let handlers in between. Of those that hold a database connection, as workers do, few may wait:
   the others have requests to answer. */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t freed = PTHREAD_COND_INITIALIZER;
static unsigned running, waiting, granted, workers;

static bool wait_for_place(void)
{
	struct timespec until;
	int error = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += KDF_WAIT_S;
	waiting++;
	while (!granted && error != ETIMEDOUT)
		error = pthread_cond_clockwait(&freed, &gate, CLOCK_MONOTONIC, &until);
	waiting--;
	if (!granted)
		return false;
	granted--;
	return true;
}

static int enter(struct ctx *c)
{
	bool worker = c->db, in = false;

	pthread_mutex_lock(&gate);
	workers += worker;
	if (running < AUTH_KDF_AT_ONCE) {
		running++;
		in = true;
	} else if (!worker || workers <= KDF_WORKERS) {
		in = wait_for_place();
	}
	workers -= worker && !in;
	pthread_mutex_unlock(&gate);
	return in ? 0 : fail(c, TEMPORARILY_UNAVAILABLE,
	                     "Too many passwords are being checked; try again later.");
}

static void leave(const struct ctx *c)
{
	pthread_mutex_lock(&gate);
	workers -= c->db != NULL;
	if (waiting > granted) {
		granted++;
		pthread_cond_signal(&freed);
	} else {
		running--;
	}
	pthread_mutex_unlock(&gate);
}

/* ---- the forms ---- */

struct method {
	const EVP_MD *digest;           /* pbkdf2; NULL: scrypt */
	uint64_t n, r, p;               /* scrypt; n: pbkdf2's iterations */
	size_t size;                    /* of the key */
	const char *salt;
	size_t salt_size;
	const char *hex;
};

static bool number(const char **text, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;
	const char *s = *text;

	for (; *s >= '0' && *s <= '9' && v <= max; s++)
		v = v * 10 + (uint64_t)(*s - '0');
	if (s == *text || v == 0 || v > max)
		return false;
	*text = s;
	*ret = v;
	return true;
}

static bool parse_scrypt(const char *s, struct method *m)
{
	m->digest = NULL;
	m->n = SCRYPT_N;
	m->r = SCRYPT_R;
	m->p = SCRYPT_P;
	m->size = SCRYPT_BYTES;
	if (*s == ':') {
		s++;
		if (!number(&s, SCRYPT_N_MAX, &m->n) || *s++ != ':'
		    || !number(&s, SCRYPT_R_MAX, &m->r) || *s++ != ':'
		    || !number(&s, SCRYPT_P_MAX, &m->p))
			return false;
	}
	return *s == '$' && m->n > 1 && (m->n & (m->n - 1)) == 0
	       && 128 * m->n * m->r <= SCRYPT_MEMORY_MAX;
}

static bool parse_pbkdf2(const char *s, struct method *m)
{
	static const struct { const char *name; const EVP_MD *(*digest)(void); } digests[] = {
		{ "sha256", EVP_sha256 }, { "sha512", EVP_sha512 }, { "sha1", EVP_sha1 },
	};

	m->digest = EVP_sha256();
	m->n = PBKDF2_ITERATIONS;
	if (*s == ':') {
		size_t size = strcspn(++s, ":$");
		size_t i = 0;

		while (i < sizeof(digests) / sizeof(*digests)
		       && (strlen(digests[i].name) != size
		           || memcmp(digests[i].name, s, size) != 0))
			i++;
		if (i == sizeof(digests) / sizeof(*digests))
			return false;
		m->digest = digests[i].digest();
		s += size;
		if (*s == ':' && (s++, !number(&s, PBKDF2_ITERATIONS_MAX, &m->n)))
			return false;
	}
	m->size = (size_t)EVP_MD_get_size(m->digest);
	return *s == '$';
}

static bool parse(const char *hash, struct method *m)
{
	bool known = strncmp(hash, "scrypt", 6) == 0 ? parse_scrypt(hash + 6, m)
		: strncmp(hash, "pbkdf2", 6) == 0 && parse_pbkdf2(hash + 6, m);

	if (!known)
		return false;
	m->salt = strchr(hash, '$') + 1;
	m->salt_size = strcspn(m->salt, "$");
	m->hex = m->salt + m->salt_size;
	return m->salt_size && *m->hex++ == '$' && strlen(m->hex) == 2 * m->size;
}

static int derive(struct ctx *c, const struct method *m, const char *password,
                  char hex[2 * KEY_MAX + 1])
{
	unsigned char key[KEY_MAX];
	size_t size = strlen(password);
	int done;

	if (enter(c))
		return -1;
	done = m->digest
		? PKCS5_PBKDF2_HMAC(password, (int)size, (const unsigned char *)m->salt,
		                    (int)m->salt_size, (int)m->n, m->digest, (int)m->size, key)
		: EVP_PBE_scrypt(password, size, (const unsigned char *)m->salt, m->salt_size,
		                 m->n, m->r, m->p, 2 * SCRYPT_MEMORY_MAX, key, m->size);
	leave(c);
	if (done != 1)
		return fail(c, TEMPORARILY_UNAVAILABLE,
		            "The server is out of memory; try again later.");
	for (size_t i = 0; i < m->size; i++)
		snprintf(hex + 2 * i, 3, "%02x", key[i]);
	OPENSSL_cleanse(key, sizeof(key));
	return 0;
}

int auth_password_verify(struct ctx *c, const char *password, const char *hash)
{
	struct method m = { .n = SCRYPT_N, .r = SCRYPT_R, .p = SCRYPT_P, .size = SCRYPT_BYTES,
	                    .salt = "0123456789abcdef", .salt_size = SALT_CHARACTERS };
	struct method stored = { 0 };
	char hex[2 * KEY_MAX + 1];
	bool known = hash && parse(hash, &stored);

	if (derive(c, known ? &stored : &m, password, hex))
		return -1;
	bool same = known && CRYPTO_memcmp(hex, stored.hex, 2 * stored.size) == 0;
	OPENSSL_cleanse(hex, sizeof(hex));
	return same;
}

const char *auth_password_hash(struct ctx *c, const char *password)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned char bytes[SALT_CHARACTERS];
	char salt[SALT_CHARACTERS + 1] = { 0 };
	char hex[2 * KEY_MAX + 1];
	struct method m = { .n = SCRYPT_N, .r = SCRYPT_R, .p = SCRYPT_P, .size = SCRYPT_BYTES,
	                    .salt = salt, .salt_size = SALT_CHARACTERS };

	if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
		(void)!fail(c, TEMPORARILY_UNAVAILABLE, "No random numbers; try again later.");
		return NULL;
	}
	for (size_t i = 0; i < SALT_CHARACTERS; i++)
		salt[i] = alphabet[bytes[i] % 64];
	if (derive(c, &m, password, hex))
		return NULL;
	return arena_printf(c->arena, "scrypt:%d:%d:%d$%s$%s", SCRYPT_N, SCRYPT_R, SCRYPT_P, salt,
	                    hex);
}
