/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "cli/home.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"

enum { PID_FILE_MAX = 4096, STOP_POLL_MS = 20, LOCK_TRIES = 25 };

/* Parents as needed. Others may pass through, because a root daemon's PostgreSQL runs as somebody
   else. */
static int make_dirs(struct ctx *c, const char *dir)
{
	char *path = arena_strdup(c->arena, dir);

	for (char *at = path + 1; *path && *at; at++) {
		if (*at != '/')
			continue;
		*at = 0;
		if (mkdir(path, 0755) && errno != EEXIST)
			return fail(c, INVALID_PARAMETER_VALUE,
				    "Cannot create the directory %s: %s.", path, strerror(errno));
		*at = '/';
	}
	if (mkdir(dir, 0711) && errno != EEXIST)
		return fail(c, INVALID_PARAMETER_VALUE, "Cannot create the data directory %s: %s.",
			    dir, strerror(errno));
	return 0;
}

static const char *make_below(struct ctx *c, const char *dir, const char *name)
{
	const char *path = arena_printf(c->arena, "%s/%s", dir, name);

	if (mkdir(path, 0700) && errno != EEXIST) {
		fail(c, INVALID_PARAMETER_VALUE, "Cannot create %s: %s.", path, strerror(errno));
		return NULL;
	}
	return path;
}

int cli_home_open(struct ctx *c, const char *dir, struct cli_home *ret)
{
	char absolute[PATH_MAX];

	*ret = (struct cli_home){ .lock = -1 };
	if (!*dir)
		return fail(c, INVALID_PARAMETER_VALUE, "--data-dir is empty.");
	if (make_dirs(c, dir))
		return -1;
	if (!realpath(dir, absolute))
		return fail(c, INVALID_PARAMETER_VALUE, "Cannot use the data directory %s: %s.",
			    dir, strerror(errno));
	if (access(absolute, R_OK | W_OK | X_OK))
		return fail(c, INVALID_PARAMETER_VALUE,
			    "No permission to write in the data directory %s: give it to this "
			    "user, or choose "
			    "another with --data-dir.",
			    absolute);
	ret->dir = arena_strdup(c->arena, absolute);
	ret->logs = make_below(c, absolute, "logs");
	ret->artifacts = make_below(c, absolute, "artifacts");
	return ret->logs && ret->artifacts ? 0 : -1;
}

static const char *pid_path(struct ctx *c, const char *dir)
{
	return arena_printf(c->arena, "%s/capstan.pid", dir);
}

/* 1: ours. 0: held by the daemon *pid. Whoever only looks (cli_home_owner) holds it for a moment:
   try again. */
static int take_lock(struct ctx *c, const char *dir, int fd, int *pid)
{
	const char *conninfo;

	for (int tries = 0; tries < LOCK_TRIES; tries++) {
		if (!flock(fd, LOCK_EX | LOCK_NB))
			return 1;
		if (errno != EWOULDBLOCK)
			return fail(c, INVALID_STATE, "Cannot lock %s/capstan.pid: %s.", dir,
				    strerror(errno));
		int found = cli_home_owner(c, dir, pid, &conninfo);
		if (found)
			return found < 0 ? -1 : 0;
		poll(NULL, 0, STOP_POLL_MS);
	}
	return 0;
}

int cli_home_lock(struct ctx *c, struct cli_home *home)
{
	const char *path = pid_path(c, home->dir);
	char text[32];
	int pid = 0;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return fail(c, INVALID_PARAMETER_VALUE, "Cannot open %s: %s.", path,
			    strerror(errno));
	int locked = take_lock(c, home->dir, fd, &pid);
	if (locked <= 0) {
		close(fd);
		return fail(c, INVALID_STATE,
			    "Another capstan (pid %d) runs on the data directory %s: stop it with "
			    "--stop, or "
			    "choose another with --data-dir.",
			    pid, home->dir);
	}
	int size = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) || pwrite(fd, text, (size_t)size, 0) != size) {
		int error = errno;
		close(fd);
		return fail(c, INSUFFICIENT_STORAGE, "Cannot write %s: %s.", path, strerror(error));
	}
	home->lock = fd;
	return 0;
}

int cli_home_publish(struct ctx *c, const struct cli_home *home, const char *conninfo)
{
	const char *text = arena_printf(c->arena, "%d\n%s\n", (int)getpid(), conninfo);
	size_t size = strlen(text);

	if (pwrite(home->lock, text, size, 0) != (ssize_t)size)
		return fail(c, INSUFFICIENT_STORAGE, "Cannot write %s/capstan.pid: %s.", home->dir,
			    strerror(errno));
	return 0;
}

int cli_home_owner(struct ctx *c, const char *dir, int *pid, const char **conninfo)
{
	const char *path = pid_path(c, dir);
	char *text = arena_alloc(c->arena, PID_FILE_MAX + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	*pid = 0;
	*conninfo = "";
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return fail(c, INVALID_PARAMETER_VALUE, "Cannot open %s: %s.", path,
			    strerror(errno));
	bool held = flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
	ssize_t got = held ? pread(fd, text, PID_FILE_MAX, 0) : 0;
	close(fd);
	if (!held)
		return 0;
	char *end = got > 0 ? strchr(text, '\n') : NULL;
	if (end) {
		*end = 0;
		*pid = (int)strtol(text, NULL, 10);
		*conninfo = end + 1;
		end[1 + strcspn(end + 1, "\n")] = 0;
	}
	if (*pid <= 1)
		return fail(c, INVALID_STATE, "%s is locked, but by whom it does not say.", path);
	return 1;
}

int cli_home_stop(struct ctx *c, const char *dir, int wait_ms, int *pid)
{
	int64_t deadline = clock_ms() + wait_ms;
	const char *conninfo;
	int first = 0;

	for (;;) {
		int found = cli_home_owner(c, dir, pid, &conninfo);
		if (found < 0)
			return -1;
		if (!found || (first && *pid != first))
			break;
		if (!first && kill(*pid, SIGTERM))
			return fail(c, PERMISSION_DENIED,
				    "Cannot stop the capstan with pid %d: %s.", *pid,
				    strerror(errno));
		first = *pid;
		if (clock_ms() > deadline)
			return fail(c, INVALID_STATE,
				    "The capstan with pid %d did not end within %d s.", *pid,
				    wait_ms / 1000);
		poll(NULL, 0, STOP_POLL_MS);
	}
	*pid = first;
	return 0;
}
