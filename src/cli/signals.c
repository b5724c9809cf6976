/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "cli/signals.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

int cli_signals_open(struct ctx *c, int *ret_fd)
{
	static const int stopping[] = { SIGTERM, SIGINT, SIGHUP };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(stopping) / sizeof(*stopping); i++) {
		struct sigaction now;
		bool ignored = !sigaction(stopping[i], NULL, &now) && now.sa_handler == SIG_IGN;
		if (!ignored || stopping[i] == SIGTERM)
			sigaddset(&set, stopping[i]);
	}
	signal(SIGPIPE, SIG_IGN);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	*ret_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (*ret_fd < 0)
		return fail(c, INTERNAL_ERROR, "Cannot receive signals: %s.", strerror(errno));
	return 0;
}

int cli_signals_wait(int fd, int other_fd, int timeout_ms)
{
	struct pollfd on[2] = { { .fd = fd, .events = POLLIN },
				{ .fd = other_fd, .events = POLLIN } };
	struct signalfd_siginfo info;

	if (poll(on, 2, timeout_ms) <= 0 || !(on[0].revents & POLLIN))
		return 0;
	return read(fd, &info, sizeof(info)) == sizeof(info) ? (int)info.ssi_signo : 0;
}
