/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* signals — the main thread's: what asks the daemon to stop, read from a descriptor. */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include "base/ctx.h"

/* Blocks SIGTERM, SIGINT and SIGHUP for this thread and all that follow it, and ignores SIGPIPE.
   A signal that was ignored
   when the program started (nohup) stays so. *ret_fd: a signalfd. */
int cli_signals_open(struct ctx *c, int *ret_fd) MUST_CHECK;

/* Waits for a signal: its number, or 0 after timeout_ms (-1: none) or when other_fd (-1: none)
   can be read. */
int cli_signals_wait(int fd, int other_fd, int timeout_ms);

#endif
