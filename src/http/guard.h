/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * guard — against DNS rebinding and foreign web pages: Host and Origin checks with the rules, flags
 * and texts of MLflow's security middleware (mlflow/server/security_utils.py), stricter where that
 * can be tricked: "10.*" and its like match addresses only, names compare without case.
 */
#ifndef HTTP_GUARD_H
#define HTTP_GUARD_H

#include <stdbool.h>

struct guard;

/* Lists are comma-separated; NULL: MLflow's defaults. NULL returned: no memory. */
struct guard *guard_new(const char *allowed_hosts, const char *cors_allowed_origins);
void guard_free(struct guard *g);

/* host: the Host header, NULL: none. */
bool guard_host_allowed(const struct guard *g, const char *host);

/* May a page of this origin change state here? */
bool guard_origin_may_write(const struct guard *g, const char *origin);

/* May it read answers (Access-Control-Allow-Origin)? */
bool guard_origin_may_read(const struct guard *g, const char *origin);

/* --cors-allowed-origins=*: any page may, but without credentials. */
bool guard_any_origin(const struct guard *g);

#endif
