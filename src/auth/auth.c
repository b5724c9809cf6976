/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "auth/auth.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "auth_impl.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"
#include "db/db.h"
#include "store/settings.h"

enum { CONNECT_MS = 10000 };

static struct auth *current;

struct auth *auth_current(void)
{
	return current;
}

/* ---- start and stop ---- */

static int prepare(struct ctx *c, void *arg)
{
	const struct auth_options *o = arg;

	return db_get(c, o->pool, CONNECT_MS) ? -1 : auth_bootstrap(c, o);
}

static int bootstrap(struct ctx *c, const struct auth_options *o)
{
	int result = work_run(c, prepare, (void *)(uintptr_t)o);

	if (c->db) {
		if (result)
			db_recover(c);
		db_put(c, o->pool);
		c->db = NULL;
	}
	return result;
}

/* Every daemon on one database makes the same of it. */
static bool make_secret(struct auth *a, const struct auth_options *o)
{
	static const char purpose[] = "capstan sign-up form";
	const char *from = o->secret_key && *o->secret_key ? o->secret_key
		: store_settings_token_key();
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool done = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL)
		&& EVP_DigestUpdate(md, purpose, sizeof(purpose))
		&& EVP_DigestUpdate(md, from, strlen(from))
		&& EVP_DigestFinal_ex(md, a->secret, NULL);

	EVP_MD_CTX_free(md);
	return done;
}

struct auth *auth_new(struct ctx *c, const struct auth_options *o)
{
	struct auth *a = calloc(1, sizeof(*a));

	assert(!current);
	if (!a) {
		(void)!fail(c, INTERNAL_ERROR, "No memory for user accounts.");
		return NULL;
	}
	a->pool = o->pool;
	pthread_mutex_init(&a->lock, NULL);
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&a->stop, &monotonic);
	pthread_condattr_destroy(&monotonic);
	a->cache = auth_cache_new(o->cache_limit, o->cache_ttl_ms, AUTH_STALE_MS);
	a->looks = queue_new(LIMIT_QUEUE);
	a->again = queue_new(LIMIT_QUEUE);
	a->trials = queue_new(LIMIT_PASSWORD_QUEUE);
	if (!auth_permission_parse(o->default_permission, &a->fallback))
		(void)!fail(c, INVALID_PARAMETER_VALUE,
		            "default_permission of the authentication configuration must be READ,"
		            " USE, EDIT, MANAGE or NO_PERMISSIONS, not '%s'.",
		            o->default_permission);
	else if (!a->cache || !a->looks || !a->again || !a->trials || !make_secret(a, o))
		(void)!fail(c, INTERNAL_ERROR, "No memory for user accounts.");
	else if (!bootstrap(c, o) && !auth_check_start(c, a))
		return current = a;
	auth_free(a);
	return NULL;
}

void auth_free(struct auth *a)
{
	if (!a)
		return;
	auth_check_stop(a);
	if (current == a)
		current = NULL;
	queue_free(a->looks);
	queue_free(a->again);
	queue_free(a->trials);
	auth_cache_free(a->cache);
	pthread_cond_destroy(&a->stop);
	pthread_mutex_destroy(&a->lock);
	OPENSSL_cleanse(a->secret, sizeof(a->secret));
	free(a);
}

/* ---- who ---- */

int auth_refuse(struct ctx *c)
{
	return fail(c, UNAUTHENTICATED,
	            "You are not authenticated. Please see "
	            "https://www.mlflow.org/docs/latest/auth/index.html#authenticating-to-mlflow "
	            "on how to authenticate.");
}

static void set(struct account *held, struct principal *ret)
{
	*ret = (struct principal){ .id = held->id, .name = held->name, .admin = held->admin,
	                           .grants = held->grants };
}

/* What the arena lets go of in the end. Made before anything is held: it may have no room, and
   then jumps away. */
struct hold {
	struct account *account;
};

static void release(void *hold)
{
	auth_account_release(((struct hold *)hold)->account);
}

static struct hold *hold_new(struct ctx *c)
{
	struct hold *h = NEW(c->arena, struct hold);

	arena_defer(c->arena, release, h);
	return h;
}

static int make_hold(struct ctx *c, void *arg)
{
	*(struct hold **)arg = hold_new(c);
	return 0;
}

void auth_principal_set(struct ctx *c, struct account *held, struct principal *ret)
{
	struct hold *hold = NULL;

	if (work_run(c, make_hold, &hold)) {
		auth_account_release(held);
		return;
	}
	hold->account = held;
	set(held, ret);
}

int auth_recall(struct ctx *c, struct auth *a, const char *authorization, struct principal *ret)
{
	unsigned char digest[DIGEST_BYTES];
	struct credentials given;
	struct hold *hold;
	bool good;

	if (!authorization)
		return auth_refuse(c);
	hold = hold_new(c);
	if (!auth_cache_digest(a->cache, authorization, digest))
		return fail(c, TEMPORARILY_UNAVAILABLE,
		            "The server is out of memory; try again later.");
	switch (auth_cache_find(a->cache, digest, &hold->account)) {
	case CACHE_RIGHT:
		set(hold->account, ret);
		return 1;
	case CACHE_WRONG:
		return auth_refuse(c);
	case CACHE_STALE:
	case CACHE_EXPIRED:
		return 0;
	case CACHE_ABSENT:
		break;
	}
	good = auth_credentials_parse(authorization, &given);
	auth_credentials_clear(&given);
	return good ? 0 : auth_refuse(c);
}

bool auth_submit(struct auth *a, struct auth_check *k)
{
	unsigned char digest[DIGEST_BYTES];
	struct account *known = NULL;
	enum cache_answer answer = auth_cache_digest(a->cache, k->authorization, digest)
		? auth_cache_find(a->cache, digest, &known) : CACHE_ABSENT;

	auth_account_release(known);
	k->queued_ms = clock_ms();
	return queue_push(answer == CACHE_ABSENT ? a->trials
	                  : answer == CACHE_EXPIRED ? a->again : a->looks, &k->node);
}

/* ---- what ---- */

bool auth_allows(const struct auth *a, const struct principal *p, const struct auth_requirement *r,
                 size_t count)
{
	if (p->admin)
		return true;
	for (size_t i = 0; i < count; i++) {
		if (!auth_grants_allow(p->grants, a->fallback, &r[i]))
			return false;
	}
	return true;
}

void auth_view(struct ctx *c, const struct auth *a, const struct principal *p,
               enum auth_resource type, struct auth_view *ret)
{
	if (p->admin)
		*ret = (struct auth_view){ .all = true };
	else
		auth_grants_view(c, p->grants, a->fallback, type, ret);
}

bool auth_manages_workspace(const struct auth *a, const struct principal *p)
{
	(void)a;
	return p->admin || auth_grants_manage_workspace(p->grants);
}

void auth_changed(struct auth *a)
{
	auth_cache_outdate(a->cache);
}
