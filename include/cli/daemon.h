/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* daemon — the parts of the running server, started in order and stopped in the opposite one. */
#ifndef CLI_DAEMON_H
#define CLI_DAEMON_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/ctx.h"
#include "cli/home.h"
#include "cli/option.h"

struct auth;
struct blob;
struct committer;
struct curve_loop;
struct db_pool;
struct db_private;
struct http_server;
struct transfer_engine;
struct settle_loop;
struct webhook_loop;

struct daemon {
	const struct cli_values *values; /* of cli_serve_command */
	struct cli_home home;
	const char *conninfo;
	unsigned committers; /* connections that commit; the others of the pool read */
	unsigned readers;    /* ... for workers and shared reads */
	unsigned workers;
	struct db_private *private;
	atomic_bool private_stopping;
	struct db_pool *read_pool;
	struct reader *reader;
	struct db_pool *commit_pool;
	struct committer *committer;
	struct db_pool *auth_pool; /* NULL: auth takes the readers' connections */
	struct auth *auth;         /* NULL: no user accounts */
	struct blob *root;
	struct transfer_engine *transfers;
	struct db_pool *webhook_pool;
	struct webhook_loop *webhooks;
	struct db_pool *curve_pool;
	struct curve_loop *curves;
	struct db_pool *settle_pool;
	struct settle_loop *settling;
	struct http_server *http;
};

/* Everything up to an open port. After -1 cli_daemon_stop() still has to run. */
int cli_daemon_start(struct ctx *c, struct daemon *d) MUST_CHECK;

/* Drains and stops what was started; PostgreSQL last. */
void cli_daemon_stop(struct daemon *d);

/* Stops the private PostgreSQL unless somebody else already does. */
void cli_daemon_stop_private(struct daemon *d);

#endif
