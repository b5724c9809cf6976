/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * check — the threads behind auth_submit(): one reads users again whose password is known to be
 * right, one tries passwords again that were right a while ago, two try those of strangers, and one
 * watches for changes that other daemons make. So a storm of wrong passwords delays other new
 * logins and nobody else.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "auth/password.h"
#include "auth_impl.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/thread.h"
#include "db/db.h"
#include "store/user.h"

enum {
	WATCH_MS = AUTH_STALE_MS * 2 / 5,
	DB_WAIT_MS = 2000,
	KDF_NICE = 5,                   /* requests of those who are known go first */
};

/* ---- the database ---- */

struct task {
	struct db_pool *pool;
	int (*fn)(struct ctx *c, void *arg);
	void *arg;
};

static int with_connection(struct ctx *c, void *arg)
{
	struct task *t = arg;

	return db_get(c, t->pool, DB_WAIT_MS) ? -1 : t->fn(c, t->arg);
}

/* Runs fn with a connection; c->error is what it says. */
static int with_database(struct ctx *c, struct auth *a, int (*fn)(struct ctx *c, void *arg),
                         void *arg)
{
	struct task t = { a->pool, fn, arg };
	int result = work_run(c, with_connection, &t);

	if (c->db) {
		if (result)
			db_recover(c);
		db_put(c, a->pool);
		c->db = NULL;
	}
	return result;
}

struct look {
	const char *name;
	struct user user;
	struct list grants;
	bool found;
};

static int read_user(struct ctx *c, void *arg)
{
	struct look *l = arg;
	int found = store_user_load(c, l->name, &l->user, &l->grants);

	l->found = found > 0;
	return found < 0 ? -1 : 0;
}

static struct account *account_new(const struct look *l)
{
	struct account *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	atomic_init(&a->references, 1);
	a->id = *l->user.id;
	a->admin = l->user.is_admin && *l->user.is_admin;
	a->name = strdup(l->user.username);
	a->hash = strdup(l->user.password_hash);
	a->grants = auth_grants_new(&l->grants);
	if (a->name && a->hash && a->grants)
		return a;
	auth_account_release(a);
	return NULL;
}

/* ---- one check ---- */

enum verdict { VERDICT_RIGHT, VERDICT_WRONG, VERDICT_TRY, VERDICT_FAILED };

/* The password of the older reading was right: if it is still the user's, so it is now. */
static enum verdict judge(struct ctx *c, const struct look *l, const struct account *older,
                          const char *password, bool may_try)
{
	const char *hash = l->found ? l->user.password_hash : NULL;
	bool admin = l->found && l->user.is_admin && *l->user.is_admin;
	int right = older && hash && strcmp(older->hash, hash) == 0;

	if (!right && !may_try)
		return VERDICT_TRY;
	if (!right)
		right = auth_password_verify(c, password, hash);
	if (right < 0)
		return VERDICT_FAILED;
	if (right && admin && auth_bootstrap_is_legacy(password)) {
		log_event(LOG_WARN, "login refused: an admin with the default password of old"
		          " MLflow versions", "user", l->name, "help",
		          "set MLFLOW_AUTH_ADMIN_PASSWORD and restart", NULL);
		return VERDICT_WRONG;
	}
	return right ? VERDICT_RIGHT : VERDICT_WRONG;
}

/* ctx: the requester's, for his answer; c: the thread's. False: it needs a trial, and may_try
   says no. */
static bool check(struct ctx *c, struct auth *a, struct auth_check *k,
                  const struct credentials *given, bool may_try)
{
	static const char busy[] = "The server is out of memory; try again later.";
	unsigned char digest[DIGEST_BYTES];
	struct account *account = NULL;
	struct look l = { .name = given->name };
	uint64_t generation = auth_cache_generation(a->cache);
	int64_t now = clock_ms();
	enum verdict verdict;

	if (!auth_cache_digest(a->cache, k->authorization, digest))
		return (void)!fail(k->ctx, TEMPORARILY_UNAVAILABLE, busy), true;
	/* Somebody with the same credentials may have been faster. */
	switch (auth_cache_find(a->cache, digest, &account)) {
	case CACHE_RIGHT:
		auth_principal_set(k->ctx, account, k->ret);
		return true;
	case CACHE_WRONG:
		return (void)!auth_refuse(k->ctx), true;
	default:
		break;
	}
	if (with_database(c, a, read_user, &l)) {
		auth_account_release(account);
		return (void)!fail_because(k->ctx, TEMPORARILY_UNAVAILABLE, c->error.detail,
		                           "The service is temporarily unavailable. Please try again."), true;
	}
	verdict = judge(k->ctx, &l, account, given->password, may_try);
	bool tried = !account || !l.found || strcmp(account->hash, l.user.password_hash) != 0;
	auth_account_release(account);
	if (verdict == VERDICT_TRY)
		return false;
	if (verdict == VERDICT_FAILED)
		return true;
	if (verdict == VERDICT_WRONG) {
		log_event(LOG_WARN, "login refused", "user", given->name, "request",
		          k->ctx->request_id, NULL);
		auth_cache_put(a->cache, digest, NULL, generation, now, true);
		return (void)!auth_refuse(k->ctx), true;
	}
	account = account_new(&l);
	if (!account)
		return (void)!fail(k->ctx, TEMPORARILY_UNAVAILABLE, busy), true;
	auth_cache_put(a->cache, digest, account, generation, now, tried);
	auth_principal_set(k->ctx, account, k->ret);
	return true;
}

static void serve(struct auth *a, struct queue *from, bool may_try)
{
	struct ctx c = { .arena = arena_new(LIMIT_ARENA) };
	struct auth_check *k;

	while ((k = (struct auth_check *)(void *)queue_pop(from))) {
		struct credentials given;
		bool done = true;

		if (!c.arena)
			c.arena = arena_new(LIMIT_ARENA);
		if (!c.arena)
			(void)!fail(k->ctx, TEMPORARILY_UNAVAILABLE,
			            "The server is out of memory; try again later.");
		else if (clock_ms() - k->queued_ms > LIMIT_PASSWORD_WAIT)
			(void)!fail(k->ctx, TEMPORARILY_UNAVAILABLE,
			            "Too many passwords are being checked; try again later.");
		else if (!auth_credentials_parse(k->authorization, &given))
			(void)!auth_refuse(k->ctx);
		else
			done = check(&c, a, k, &given, may_try);
		auth_credentials_clear(&given);
		if (!done && !queue_push(a->trials, &k->node)) {
			(void)!fail(k->ctx, TEMPORARILY_UNAVAILABLE,
			            "Too many passwords are being checked; try again later.");
			done = true;
		}
		if (done)
			k->done(k);
		if (c.arena)
			arena_reset(c.arena);
		error_clear(&c);
	}
	arena_free(c.arena);
}

static void *look_run(void *arg)
{
	struct auth *a = arg;

	serve(a, a->looks, false);
	return NULL;
}

static void *again_run(void *arg)
{
	struct auth *a = arg;

	serve(a, a->again, true);
	return NULL;
}

/* On Linux a thread has a niceness of its own. */
static void *trial_run(void *arg)
{
	struct auth *a = arg;

	(void)setpriority(PRIO_PROCESS, 0, KDF_NICE);
	serve(a, a->trials, true);
	return NULL;
}

/* ---- other daemons' changes ---- */

static int read_epoch(struct ctx *c, void *arg)
{
	return store_user_epoch(c, arg);
}

static bool sleep_until(struct auth *a, int64_t ms)
{
	struct timespec until = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	int error = 0;

	pthread_mutex_lock(&a->lock);
	while (!a->stopping && !error)
		error = pthread_cond_timedwait(&a->stop, &a->lock, &until);
	bool stopping = a->stopping;
	pthread_mutex_unlock(&a->lock);
	return !stopping;
}

static void *watch_run(void *arg)
{
	struct auth *a = arg;
	struct ctx c = { .arena = arena_new(LIMIT_ARENA) };
	int64_t seen = 0;
	int64_t began = clock_ms();

	while (c.arena && sleep_until(a, began + WATCH_MS)) {
		int64_t epoch;

		began = clock_ms();
		if (!with_database(&c, a, read_epoch, &epoch)) {
			if (epoch != seen)
				auth_cache_outdate(a->cache);
			seen = epoch;
			auth_cache_alive(a->cache, began);
		}
		arena_reset(c.arena);
		error_clear(&c);
	}
	arena_free(c.arena);
	return NULL;
}

/* ---- start and stop ---- */

int auth_check_start(struct ctx *c, struct auth *a)
{
	static const struct { const char *name; void *(*run)(void *arg); } threads[THREADS] = {
		{ "auth watch", watch_run }, { "auth look", look_run }, { "auth again", again_run },
		{ "auth password", trial_run }, { "auth password", trial_run },
	};

	for (; a->started < THREADS; a->started++) {
		if (thread_start(&a->threads[a->started], threads[a->started].name,
		                 threads[a->started].run, a))
			return fail(c, INTERNAL_ERROR, "No threads for user accounts.");
	}
	return 0;
}

void auth_check_stop(struct auth *a)
{
	pthread_mutex_lock(&a->lock);
	a->stopping = true;
	pthread_cond_broadcast(&a->stop);
	pthread_mutex_unlock(&a->lock);
	for (unsigned i = 0; i < a->started; i++) {
		/* The looking thread may still hand over to the trying ones. */
		if (i == 1)
			queue_close(a->looks);
		if (i == 2) {
			queue_close(a->again);
			queue_close(a->trials);
		}
		pthread_join(a->threads[i], NULL);
	}
}
