/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* notify — systemd's readiness and watchdog protocol, spoken directly (sd_notify(3)). */
#ifndef CLI_NOTIFY_H
#define CLI_NOTIFY_H

#include <stdint.h>

/* Sends "READY=1\nSTATUS=..." to the socket (path, or @abstract); NULL or what cannot be reached
   is ignored: nobody
   listens. 0 when sent, -1 otherwise. */
int cli_notify(const char *socket_path, const char *state);

/* How often to say WATCHDOG=1, from WATCHDOG_USEC and WATCHDOG_PID: half the interval, in ms; -1:
   never. */
int cli_notify_interval(const char *watchdog_usec, const char *watchdog_pid, int64_t own_pid);

#endif
