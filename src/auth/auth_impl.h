/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* auth_impl — what the files of this layer know of struct auth. */
#ifndef AUTH_AUTH_IMPL_H
#define AUTH_AUTH_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "auth/auth.h"
#include "auth/grants.h"
#include "base/queue.h"
#include "cache.h"

enum { KDF_THREADS = 2, THREADS = KDF_THREADS + 3 };

struct auth {
	struct db_pool *pool;
	enum auth_permission fallback;  /* default_permission */
	unsigned char secret[32];       /* of the sign-up form */
	struct auth_cache *cache;
	struct queue *looks;            /* the password is right; who it is must be read again */
	struct queue *again;            /* it was right a while ago, and must be tried again */
	struct queue *trials;           /* the password must be tried */
	pthread_t threads[THREADS];
	unsigned started;
	pthread_mutex_t lock;           /* of stopping, for the watch thread's sleep */
	pthread_cond_t stop;
	bool stopping;
};

/* credentials.c: "Basic dXNlcjpwYXNz". False: not of this form. The text holds both. */
struct credentials {
	char text[8192];
	const char *name;
	const char *password;
};
bool auth_credentials_parse(const char *authorization, struct credentials *ret);
void auth_credentials_clear(struct credentials *r);

/* check.c: the threads behind auth_submit(). */
int auth_check_start(struct ctx *c, struct auth *a) MUST_CHECK;
void auth_check_stop(struct auth *a);

/* bootstrap.c: the first admin, and old default passwords. */
int auth_bootstrap(struct ctx *c, const struct auth_options *o) MUST_CHECK;
/* The password of earlier MLflow versions' basic_auth.ini: no admin may use it. */
bool auth_bootstrap_is_legacy(const char *password);

/* auth.c */
int auth_refuse(struct ctx *c);
/* Makes *ret of an account that the caller holds; c's arena lets go of it in the end. */
void auth_principal_set(struct ctx *c, struct account *held, struct principal *ret);

#endif
