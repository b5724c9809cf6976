/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * auth — who asks, and what their roles grant: MLflow's auth app (mlflow/server/auth of 3.17.2). http/ authenticates
 * each request here and asks for what its route needs; the 27 routes' handlers are in auth/user.h and auth/role.h.
 *
 * Passwords cost a slow KDF (werkzeug's scrypt and pbkdf2 strings), so it runs in threads of auth's own, a bounded
 * number with a bounded queue, with the same cost for unknown users; a right answer is kept for a short while as a keyed
 * digest, never the password. Grants of a user are kept too. Both are forgotten at once when they change through this
 * daemon, and within AUTH_STALE_MS when they change through another one on the same database.
 */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/queue.h"

enum { AUTH_STALE_MS = 1000 };

struct db_pool;
struct auth;

struct auth_options {
	struct db_pool *pool;
	const char *default_permission; /* "READ" ...: basic_auth.ini */
	const char *admin_username;     /* bootstrap, when there is no such user; NULL: "admin" */
	const char *admin_password;     /* NULL: none: fails unless an admin exists */
	const char *secret_key;         /* signs the sign-up page's form; NULL: the database's own */
	size_t cache_limit;             /* credentials kept at one time */
	int64_t cache_ttl_ms;           /* how long without checking the password again; 0: not at all */
};

/* Makes the first admin where needed. NULL: error set (no admin password configured: says what to do). */
struct auth *auth_new(struct ctx *c, const struct auth_options *o);
void auth_free(struct auth *a);

/* The one of this process, for handlers; NULL: no accounts, everybody may everything. */
struct auth *auth_current(void);

struct principal {
	int64_t id;
	const char *name;
	bool admin;
	const void *grants;             /* auth's own; valid while the principal is held */
};

/* ---- who ---- */

/* From memory, never blocks: 1 known (*ret, in c's arena), 0 ask auth_submit(), -1 UNAUTHENTICATED (no or no basic
   credentials). `authorization` is the header's value or NULL. */
int auth_recall(struct ctx *c, struct auth *a, const char *authorization, struct principal *ret) MUST_CHECK;

/* The slow way. done is called once, from auth's thread; afterwards ctx->error is UNAUTHENTICATED (wrong),
   TEMPORARILY_UNAVAILABLE (no database), or unset with *ret filled. */
struct auth_check {
	struct queue_node node;         /* first member */
	struct ctx *ctx;
	const char *authorization;
	struct principal *ret;
	void (*done)(struct auth_check *k);
	void *owner;
	int64_t queued_ms;              /* auth's own */
};
/* False: too many wait (answer 503); done is not called then. */
bool auth_submit(struct auth *a, struct auth_check *k);

/* ---- what ---- */

#define AUTH_RESOURCES(X) \
	X(WORKSPACE, "workspace") X(EXPERIMENT, "experiment") X(REGISTERED_MODEL, "registered_model") \
	X(PROMPT, "prompt") X(SCORER, "scorer") X(GATEWAY_SECRET, "gateway_secret") \
	X(GATEWAY_ENDPOINT, "gateway_endpoint") X(GATEWAY_MODEL_DEFINITION, "gateway_model_definition") \
	X(MCP_SERVER, "mcp_server") X(RUN, "run") X(TRACE, "trace") X(ASSESSMENT, "assessment") \
	X(LOGGED_MODEL, "logged_model") X(REVIEW_QUEUE, "review_queue") \
	X(REGISTERED_MODEL_VERSION, "registered_model_version") X(PROMPT_VERSION, "prompt_version") \
	X(SCORER_VERSION, "scorer_version") X(MCP_SERVER_VERSION, "mcp_server_version")

enum auth_resource {
#define X(name, text) AUTH_##name,
	AUTH_RESOURCES(X)
#undef X
	AUTH_RESOURCE_COUNT
};

/* requirements.py: what an action asks of the governing permission. NOT_DENIED: only a DENY refuses. */
enum auth_action {
	ACTION_READ, ACTION_USE, ACTION_UPDATE, ACTION_DELETE, ACTION_MANAGE, ACTION_CREATE, ACTION_NOT_DENIED
};

enum { AUTH_RUNGS = 4 };

/* rungs[0] is the requirement's own key, the others are consulted in order only when the user holds no grant there
   (Requirement.fallback_if_no_grant). id NULL: "*". */
struct auth_requirement {
	struct { enum auth_resource type; const char *id; enum auth_action action; } rungs[AUTH_RUNGS];
	unsigned count;
};

/* All of them? Admins always. From memory, never blocks. */
bool auth_allows(const struct auth *a, const struct principal *p, const struct auth_requirement *r, size_t count);

/* What of a type the principal may read, for searches: the default, and the ids that differ from it. Strings in c's
   arena. */
struct auth_view { bool all; const char *const *ids; size_t count; };
void auth_view(struct ctx *c, const struct auth *a, const struct principal *p,
               enum auth_resource type, struct auth_view *ret);

/* May manage users and roles: admin, or MANAGE on the (default) workspace. */
bool auth_manages_workspace(const struct auth *a, const struct principal *p);

/* After a change in this daemon: users, roles or grants. */
void auth_changed(struct auth *a);

#endif
