/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * mlflow_client — another tracking server's REST API (MLflow's or Capstan's), as `promote` and
 * `import` need it: JSON calls with retries, pages, and where artifacts lie. Blocking; one thread
 * at a time. Trees are jansson's and belong to the caller.
 */
#ifndef EXCHANGE_MLFLOW_CLIENT_H
#define EXCHANGE_MLFLOW_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "net/net.h"

struct mlflow;

struct mlflow_login {
	const char *uri;                /* http(s)://[user:password@]host[:port][/prefix] */
	const char *user, *password;    /* what the URI says wins; NULL: none */
	const char *token;              /* bearer; used where there is no user */
	const char *ca_file;
	bool insecure_tls;
};

/* Closed with the ctx's arena. `whose`: what messages call it, "The source". NULL: no such URI. */
struct mlflow *mlflow_open(struct ctx *c, const char *whose, const struct mlflow_login *login);
/* The same server with connections of its own, for another thread. */
struct mlflow *mlflow_again(struct ctx *c, const struct mlflow *m);
/* Without credentials and trailing slash: fit for logs. */
const char *mlflow_uri(const struct mlflow *m);
/* Does it run on this machine, as its address says? */
bool mlflow_is_local(const struct mlflow *m);

/*
 * path: below /api/2.0/mlflow/, ready encoded, or from the root where it begins with "/", or a whole
 * address. Pairs of name and value end with NULL; a pair with a NULL value is left out. *ret: a new
 * reference, NULL where not wanted.
 * 1; 0: RESOURCE_DOES_NOT_EXIST; -1: error, ENDPOINT_NOT_FOUND or NOT_IMPLEMENTED where the server
 * has no such route.
 */
int mlflow_get(struct ctx *c, struct mlflow *m, json_t **ret, const char *path, ...)
	MUST_CHECK __attribute__((sentinel));
/* Takes `body` over. Repeated after a broken connection or 503 unless `once`. */
int mlflow_send(struct ctx *c, struct mlflow *m, const char *method, const char *path,
		json_t *body, bool once, json_t **ret) MUST_CHECK;

/* An URL of the artifact store behind the server, for an exchange of one's own: credentials go
   only to the server itself. */
void mlflow_request(const struct mlflow *m, const char *method, const char *url,
		    struct net_request *ret);
int mlflow_perform(struct ctx *c, struct mlflow *m, const struct net_request *r,
		   struct net_reply *ret) MUST_CHECK;
/* Whether a failed exchange may do better a moment later; waits that moment. attempt: from 0. */
bool mlflow_retry(const struct mlflow *m, int status, int attempt);
/* The reply's error in the server's words. Always -1. */
int mlflow_refused(struct ctx *c, const struct mlflow *m, const char *what,
		   const struct net_reply *reply);

/* Where the artifact proxy serves a location (mlflow-artifacts:/..., or the http form of it): the
   proxy's address, and the path below it, not encoded. False: no proxy does. */
bool mlflow_artifact_place(struct ctx *c, const struct mlflow *m, const char *location,
			   const char **ret_proxy, const char **ret_path);

/* Members of a tree: "" or 0 where there is none; numbers may come as text. */
const char *mlflow_text(const json_t *object, const char *key);
int64_t mlflow_int(const json_t *object, const char *key);
double mlflow_double(const json_t *object, const char *key);
/* The value of `key` in an array of {"key", "value"}; NULL: none. */
const char *mlflow_tag(const json_t *tags, const char *key);

void mlflow_json_done(json_t **p);      /* for CLEANUP */

#endif
