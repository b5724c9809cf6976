/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "cli/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int cli_notify(const char *socket_path, const char *state)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t size = socket_path ? strlen(socket_path) : 0;

	if (size < 2 || size > sizeof(to.sun_path) - 1 ||
	    (*socket_path != '/' && *socket_path != '@'))
		return -1;
	memcpy(to.sun_path, socket_path, size);
	if (*socket_path == '@')
		to.sun_path[0] = 0;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	/* An abstract address is as long as it is said to be: no byte after the name. */
	socklen_t length =
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + (*socket_path == '/'));
	ssize_t sent =
		sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to, length);
	close(fd);
	return sent < 0 ? -1 : 0;
}

int cli_notify_interval(const char *watchdog_usec, const char *watchdog_pid, int64_t own_pid)
{
	char *end;

	if (!watchdog_usec || !*watchdog_usec)
		return -1;
	if (watchdog_pid && *watchdog_pid && strtoll(watchdog_pid, NULL, 10) != own_pid)
		return -1;
	long long usec = strtoll(watchdog_usec, &end, 10);
	if (*end || usec <= 0)
		return -1;
	long long ms = usec / 2000;
	return ms < 1 ? 1 : ms > 3600000 ? 3600000 : (int)ms;
}
