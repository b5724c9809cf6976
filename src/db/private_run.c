/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Processes of the private PostgreSQL: starting them as another user, finding those that a crash
 * left. */

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/number.h"
#include "private_parts.h"

enum { FAST_MS = 10000, QUIT_MS = 5000, KILL_MS = 5000, CHILD_MS = 200, STEP_MS = 10 };

static void nap(int ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L }, NULL);
}

/* ---- starting ---- */

/* Nothing of the daemon's environment: no secrets, no PGDATA, no preloaded library. */
static const char *const environment[] = { "PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C",
					   "TZ=UTC", NULL };

/* In the child, where only async-signal-safe calls are allowed. The libc's setuid() would signal
   threads that do not exist here: the kernel's own calls. */
static bool become(const struct identity *as)
{
	if (!as->change)
		return true;
	return syscall(SYS_setgroups, 0, NULL) == 0 &&
	       syscall(SYS_setresgid, as->gid, as->gid, as->gid) == 0 &&
	       syscall(SYS_setresuid, as->uid, as->uid, as->uid) == 0;
}

static void reset_signals(void)
{
	struct sigaction def = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		sigaction(i, &def, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool connect_output(int output)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	return null >= 0 && dup2(null, 0) == 0 && dup2(output >= 0 ? output : null, 1) == 1 &&
	       dup2(output >= 0 ? output : null, 2) == 2;
}

static _Noreturn void child(const struct launch *l, pid_t parent, int report)
{
	int error;

	setsid();                       /* a Ctrl-C in the terminal is for the daemon */
	umask(077);
	if (connect_output(l->output) && become(l->as) && chdir(l->directory) == 0 &&
	    /* After the change of user, which clears it. */
	    (!l->parent_death || prctl(PR_SET_PDEATHSIG, l->parent_death) == 0)) {
		if (getppid() != parent)
			_exit(127);     /* the daemon died before it could be noticed */
		reset_signals();
		execve(l->argv[0], (char *const *)(uintptr_t)l->argv,
		       (char *const *)(uintptr_t)environment);
	}
	error = errno;
	if (write(report, &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);
}

pid_t run_start(const struct launch *l)
{
	pid_t parent = getpid(), pid;
	int ends[2], error = 0;

	if (pipe2(ends, O_CLOEXEC))
		return -1;
	pid = fork();
	if (pid == 0)
		child(l, parent, ends[1]);
	close(ends[1]);
	if (pid > 0) {
		ssize_t n;

		do {
			n = read(ends[0], &error, sizeof(error));
		} while (n < 0 && errno == EINTR);
		if (n == sizeof(error)) {
			waitpid(pid, NULL, 0);
			pid = -1;
		}
	} else {
		error = errno;
	}
	close(ends[0]);
	if (pid < 0)
		errno = error;
	return pid;
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int run_wait(const struct launch *l)
{
	struct launch mortal = *l;
	pid_t pid;

	mortal.parent_death = SIGKILL;
	pid = run_start(&mortal);
	return pid < 0 ? -1 : wait_for(pid);
}

int run_read(const struct launch *l, char *to, size_t size)
{
	struct launch piped = *l;
	int ends[2];
	size_t used = 0;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return -1;
	piped.output = ends[1];
	piped.parent_death = SIGKILL;
	pid = run_start(&piped);
	close(ends[1]);
	while (pid > 0) {
		char rest[256];
		bool full = used + 1 >= size;
		ssize_t n = read(ends[0], full ? rest : to + used,
				 full ? sizeof(rest) : size - 1 - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		if (!full)
			used += (size_t)n;
	}
	to[used] = '\0';
	close(ends[0]);
	return pid > 0 && wait_for(pid) == 0 ? 0 : -1;
}

/* The child's exit status is the number of the part that stopped it: 1 for "/", 2 for "/a" ... */
static _Noreturn void walk(const struct identity *as, char *path)
{
	int depth = 1;

	if (!become(as))
		_exit(255);
	for (char *p = path;; depth++) {
		char *slash = strchr(p + 1, '/');

		if (slash)
			*slash = '\0';
		if (access(path, X_OK) != 0)
			_exit(depth < 254 ? depth : 254);
		if (!slash)
			_exit(0);
		*slash = '/';
		p = slash;
	}
}

int run_reachable(const struct identity *as, const char *path, char part[PATH_MAX])
{
	int depth;
	pid_t pid;
	char *end = part;

	snprintf(part, PATH_MAX, "%s", path);
	if (!as->change)
		return 0;
	pid = fork();
	if (pid == 0)
		walk(as, part);
	depth = pid > 0 ? wait_for(pid) : 255;
	if (depth == 0)
		return 0;
	for (int i = 0; i < depth && end; i++)
		end = strchr(end + 1, '/');
	if (end)
		*end = '\0';
	return -1;
}

/* ---- finding ---- */

enum kin { STRANGER, POSTMASTER, BACKEND };

/*
 * By the command line, which everybody may read (unlike /proc/pid/cwd, in containers): the
 * postmaster has an argument cluster_name=<title>, its children are "postgres: <title>: ...". The
 * title is the directory's device and inode, so that the same path in another container is another
 * cluster.
 */
static enum kin judge(const char *line, size_t size, const char *title)
{
	static const char setting[] = "cluster_name=";
	const char *name = strrchr(line, '/');

	if (strncmp(line, "postgres: ", 10) == 0) {
		size_t n = strlen(title);

		return strncmp(line + 10, title, n) == 0 && line[10 + n] == ':' ? BACKEND
										: STRANGER;
	}
	if (strcmp(name ? name + 1 : line, "postgres") != 0)
		return STRANGER;
	for (const char *arg = line; arg < line + size; arg += strlen(arg) + 1) {
		if (strncmp(arg, setting, sizeof(setting) - 1) == 0 &&
		    strcmp(arg + sizeof(setting) - 1, title) == 0)
			return POSTMASTER;
	}
	return STRANGER;
}

static size_t read_command_line(const char *pid, char *to, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%.20s/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, to, size - 1);
	close(fd);
	to[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

size_t run_find(const char *title, pid_t *postmaster, pid_t pids[PRIVATE_PROCESSES])
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	size_t count = 0;

	*postmaster = 0;
	while (proc && (entry = readdir(proc))) {
		char line[PATH_MAX * 2];
		size_t size;
		enum kin kin;

		if (!isdigit((unsigned char)*entry->d_name))
			continue;
		size = read_command_line(entry->d_name, line, sizeof(line));
		kin = size ? judge(line, size, title) : STRANGER;
		if (kin == POSTMASTER)
			*postmaster = number_leading(entry->d_name);
		else if (kin == BACKEND && count < PRIVATE_PROCESSES)
			pids[count++] = number_leading(entry->d_name);
	}
	if (proc)
		closedir(proc);
	return count;
}

/* ---- ending ---- */

static bool gone(const char *title, int ms)
{
	pid_t postmaster, pids[PRIVATE_PROCESSES];

	for (int64_t end = clock_ms() + ms;;) {
		if (run_find(title, &postmaster, pids) == 0 && !postmaster)
			return true;
		if (clock_ms() >= end)
			return false;
		nap(STEP_MS);
	}
}

static void signal_all(const char *title, int sig)
{
	pid_t postmaster, pids[PRIVATE_PROCESSES];
	size_t n = run_find(title, &postmaster, pids);

	if (postmaster)
		kill(postmaster, sig);
	for (size_t i = 0; i < n; i++)
		kill(pids[i], sig);
}

bool run_end_all(const char *title)
{
	pid_t postmaster, pids[PRIVATE_PROCESSES];
	size_t n = run_find(title, &postmaster, pids);

	if (!postmaster && n == 0)
		return true;
	if (postmaster) {
		kill(postmaster, SIGINT);       /* "fast": ends sessions, writes a checkpoint */
		if (gone(title, FAST_MS))
			return true;
		kill(postmaster, SIGQUIT);
		if (gone(title, QUIT_MS))
			return true;
	} else {
		/* Their postmaster is dead, and so is their shared memory: nothing they do counts
		 * any more. */
		signal_all(title, SIGQUIT);
		if (gone(title, CHILD_MS))
			return true;
	}
	signal_all(title, SIGKILL);
	return gone(title, KILL_MS);
}
