/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * home — the data directory and its lock: capstan.pid holds the daemon's pid and, on the second
 * line, how to
 * reach the private database (nothing when it is the operator's own), and is flock()ed for as
 * long as the daemon lives.
 */
#ifndef CLI_HOME_H
#define CLI_HOME_H

#include "base/ctx.h"

struct cli_home {
	const char *dir; /* absolute */
	const char *logs;
	const char *artifacts;
	int lock; /* -1: not held */
};

/* Makes the directory and its folders. */
int cli_home_open(struct ctx *c, const char *dir, struct cli_home *ret) MUST_CHECK;

/* Takes the lock and writes the pid. INVALID_STATE: another daemon has it. */
int cli_home_lock(struct ctx *c, struct cli_home *home) MUST_CHECK;

/* Writes the second line. */
int cli_home_publish(struct ctx *c, const struct cli_home *home, const char *conninfo) MUST_CHECK;

/* The daemon that holds the lock: 1 with *pid and *conninfo ("" where it has none to offer), 0
   nobody, -1. */
int cli_home_owner(struct ctx *c, const char *dir, int *pid, const char **conninfo) MUST_CHECK;

/* SIGTERM to the daemon on `dir`, then waits for its end. 0 stopped or nobody was there (*pid 0).
   */
int cli_home_stop(struct ctx *c, const char *dir, int wait_ms, int *pid) MUST_CHECK;

#endif
