/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * The private PostgreSQL. One thread, the supervisor, starts the postmaster and lives as long as it
 * may run: the kernel ends the postmaster (a "fast" shutdown) when that thread ends, so that
 * nothing is left behind even after kill -9 of the daemon.
 */

#include "db/private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"
#include "base/thread.h"
#include "internal.h"
#include "private_parts.h"

enum {
	READY_STEP_MS = 4,
	RESTART_FIRST_MS = 100,
	RESTART_MOST_MS = 5000,
	STEADY_MS = 10000,
	BLIND_STEP_MS = 50
};

enum outcome { OUTCOME_NONE, OUTCOME_READY, OUTCOME_FAILED };

struct db_private {
	struct directories dirs;
	struct programs programs;
	struct identity as;
	char conninfo[PATH_MAX + 64], admin[PATH_MAX + 64];
	pthread_t supervisor;
	bool supervised;
	int stop;                       /* eventfd: written once, to stop */
	atomic_int pid;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum outcome outcome;           /* of the first start */
	off_t log_from;                 /* where this start's lines begin */
};

/* ---- the supervisor's thread ---- */

static pid_t start_postmaster(struct db_private *p)
{
	char program[PATH_MAX + 16], config[PATH_MAX + 32], title[64];
	const char *argv[] = { program, "-D", p->dirs.cluster, "-c", config, "-c", title, NULL };
	struct launch l = {
		.argv = argv, .as = &p->as, .directory = p->dirs.cluster, .parent_death = SIGINT
	};
	pid_t pid;
	int error;

	snprintf(program, sizeof(program), "%s/postgres", p->programs.bin);
	snprintf(config, sizeof(config), "config_file=%s/capstan.conf", p->dirs.cluster);
	snprintf(title, sizeof(title), "cluster_name=%s", p->dirs.title);
	l.output = dir_log(&p->dirs, &p->log_from);
	if (l.output < 0)
		return -1;
	pid = run_start(&l);
	error = errno;
	close(l.output);
	errno = error;
	return pid;
}

/* postmaster.pid: the pid in line 1, "ready" in line 8. */
static bool is_ready(const struct db_private *p, pid_t pid)
{
	char path[PATH_MAX + 32], text[1024], *line = text;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/postmaster.pid", p->dirs.cluster);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	if (number_leading(text) != pid)
		return false;
	for (int i = 1; i < 8 && line; i++) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	return line && strncmp(line, "ready", 5) == 0;
}

static bool stop_wanted(const struct db_private *p, int wait_ms)
{
	struct pollfd f = { .fd = p->stop, .events = POLLIN };

	return poll(&f, 1, wait_ms) > 0;
}

/* True: waitpid() has it. */
static bool reap(pid_t pid, int *status)
{
	return waitpid(pid, status, WNOHANG) == pid;
}

/* Waits until it accepts connections. False: it ended, or we are to stop. */
static bool wait_ready(const struct db_private *p, pid_t pid, bool *ended, int *status)
{
	for (int64_t start = clock_ms(), told = start;;) {
		if (is_ready(p, pid))
			return true;
		*ended = reap(pid, status);
		if (*ended || stop_wanted(p, READY_STEP_MS) ||
		    clock_ms() - start > PRIVATE_READY_MS)
			return false;
		if (clock_ms() - told > 5000) {
			told = clock_ms();
			log_event(LOG_INFO, "postgres is recovering", "seconds",
			          log_fmt("%lld", (long long)(told - start) / 1000), NULL);
		}
	}
}

/* Until it ends (true) or we are to stop (false). */
static bool watch(const struct db_private *p, pid_t pid, int *status)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd f[2] = { { .fd = p->stop, .events = POLLIN },
			       { .fd = fd, .events = POLLIN } };
	bool ended = false;

	for (;;) {
		int n = poll(f, 2, fd < 0 ? BLIND_STEP_MS : -1);

		ended = reap(pid, status);
		if (ended || (n > 0 && f[0].revents))
			break;
	}
	if (fd >= 0)
		close(fd);
	return ended;
}

static bool wait_end(pid_t pid, int ms)
{
	int status;

	for (int64_t end = clock_ms() + ms;;) {
		if (reap(pid, &status))
			return true;
		if (clock_ms() >= end)
			return false;
		nanosleep(&(struct timespec){ .tv_nsec = READY_STEP_MS * 1000000L }, NULL);
	}
}

/* "Fast", then "immediate", then by force. */
static void stop_postmaster(const struct db_private *p, pid_t pid)
{
	int status;

	kill(pid, SIGINT);
	if (wait_end(pid, PRIVATE_STOP_MS))
		return;
	log_event(LOG_WARN, "postgres does not stop", NULL);
	kill(pid, SIGQUIT);
	if (wait_end(pid, 5000))
		return;
	kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	run_end_all(p->dirs.title);
}

static void tell(struct db_private *p, enum outcome outcome)
{
	pthread_mutex_lock(&p->lock);
	if (p->outcome == OUTCOME_NONE)
		p->outcome = outcome;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

static void log_end(const struct db_private *p, int status, bool running)
{
	char reason[256];

	dir_log_reason(&p->dirs, p->log_from, running, reason);
	log_event(LOG_ERROR, "postgres ended", "status",
		  WIFSIGNALED(status) ? log_fmt("signal %d", WTERMSIG(status))
				      : log_fmt("%d", WEXITSTATUS(status)),
		  "reason", *reason ? reason : NULL, "log", p->dirs.log, NULL);
}

/* One life of a postmaster. False: we are to stop. *steady: it had been ready for a while. */
static bool live_once(struct db_private *p, bool *steady)
{
	int64_t ready_at = 0;
	int status = 0;
	bool ended = false;
	pid_t pid = start_postmaster(p);

	*steady = false;
	if (pid < 0) {
		log_event(LOG_ERROR, "postgres does not start", "reason", strerror(errno), NULL);
		return true;
	}
	atomic_store(&p->pid, pid);
	if (wait_ready(p, pid, &ended, &status)) {
		ready_at = clock_ms();
		log_event(LOG_INFO, "postgres started", "pid", log_fmt("%d", pid), NULL);
		tell(p, OUTCOME_READY);
		ended = watch(p, pid, &status);
	}
	if (!ended) {
		stop_postmaster(p, pid);
		atomic_store(&p->pid, 0);
		return false;
	}
	atomic_store(&p->pid, 0);
	/* Its children do not notice while they compute; a new one could not start beside them. */
	if (run_end_all(p->dirs.title))
		dir_clean(&p->dirs);
	else
		log_event(LOG_WARN, "processes of postgres do not end", NULL);
	log_end(p, status, ready_at != 0);
	*steady = ready_at && clock_ms() - ready_at > STEADY_MS;
	return true;
}

static void *supervise(void *arg)
{
	struct db_private *p = arg;
	int backoff = 0;

	for (;;) {
		bool steady;

		if (!live_once(p, &steady) || p->outcome != OUTCOME_READY)
			break;
		if (steady)
			backoff = 0;
		if (stop_wanted(p, backoff))
			break;
		backoff = backoff ? backoff * 2 : RESTART_FIRST_MS;
		if (backoff > RESTART_MOST_MS)
			backoff = RESTART_MOST_MS;
	}
	tell(p, OUTCOME_FAILED);
	return NULL;
}

/* ---- the daemon's side ---- */

static int start_supervisor(struct ctx *c, struct db_private *p)
{
	enum outcome outcome;

	if (thread_start(&p->supervisor, "postgres", supervise, p))
		return fail(c, TEMPORARILY_UNAVAILABLE, "cannot start a thread: %s",
			    strerror(errno));
	p->supervised = true;
	pthread_mutex_lock(&p->lock);
	while (p->outcome == OUTCOME_NONE)
		pthread_cond_wait(&p->changed, &p->lock);
	outcome = p->outcome;
	pthread_mutex_unlock(&p->lock);
	return outcome == OUTCOME_READY ? 0 : dir_fail(c, &p->dirs, p->log_from, "start");
}

static void close_connection(PGconn **conn)
{
	PQfinish(*conn);
}

static int run_sql(struct ctx *c, PGconn *conn, const char *sql, bool *rows)
{
	PGresult *result = PQexec(conn, sql);
	ExecStatusType status = PQresultStatus(result);

	if (rows)
		*rows = PQntuples(result) > 0;
	PQclear(result);
	if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
		return 0;
	return fail_because(c, INVALID_STATE, PQerrorMessage(conn),
			    "PostgreSQL could not create its database: %.*s",
			    (int)strcspn(PQerrorMessage(conn), "\n"), PQerrorMessage(conn));
}

/* The daemon is no superuser in it: a role of its own, owner of one database. */
static int make_database(struct ctx *c, const struct db_private *p)
{
	CLEANUP(close_connection) PGconn *conn = connect_open(p->admin);
	bool exists;

	if (!conn || PQstatus(conn) != CONNECTION_OK)
		return connect_explain(c, conn);
	if (run_sql(c, conn, "SELECT 1 FROM pg_roles WHERE rolname = 'capstan'", &exists) ||
	    (!exists && run_sql(c, conn, "CREATE ROLE capstan LOGIN", NULL)) ||
	    run_sql(c, conn, "SELECT 1 FROM pg_database WHERE datname = 'capstan'", &exists) ||
	    (!exists && run_sql(c, conn, "CREATE DATABASE capstan OWNER capstan", NULL)))
		return -1;
	return 0;
}

/* Answers, and has its database: created at the first start, or after a crash in the middle of it.
 */
static int check_database(struct ctx *c, const struct db_private *p)
{
	CLEANUP(close_connection) PGconn *conn = connect_open(p->conninfo);

	if (conn && PQstatus(conn) == CONNECTION_OK)
		return 0;
	return make_database(c, p);
}

static int prepare(struct ctx *c, const struct db_private_options *o, struct db_private *p)
{
	int major;

	if (dir_open(c, o, &p->dirs) || dir_identity(c, o, &p->dirs, &p->as) ||
	    dir_version(c, &p->dirs, &major) ||
	    find_programs(c, o->bin_dir, &p->as, major, &p->programs))
		return -1;
	if (!major) {
		log_event(LOG_INFO, "creating a database", "directory", p->dirs.cluster, "postgres",
			  p->programs.bin, NULL);
		if (dir_init(c, &p->dirs, &p->programs, &p->as))
			return -1;
	}
	if (dir_socket(c, &p->dirs, &p->as))
		return -1;
	if (!run_end_all(p->dirs.title))
		return fail(c, RESOURCE_CONFLICT,
			    "a PostgreSQL of an earlier start still runs on %s and does not end: "
			    "stop it, then start again",
			    p->dirs.cluster);
	dir_clean(&p->dirs);
	snprintf(p->conninfo, sizeof(p->conninfo), "host=%s port=5432 user=capstan dbname=capstan",
		 p->dirs.socket);
	snprintf(p->admin, sizeof(p->admin), "host=%s port=5432 user=postgres dbname=postgres",
		 p->dirs.socket);
	return dir_configure(c, &p->dirs, &p->programs, &p->as, o->connections);
}

int db_private_start(struct ctx *c, const struct db_private_options *o, struct db_private **ret)
{
	struct db_private *p = calloc(1, sizeof(*p));

	if (!p)
		return fail(c, TEMPORARILY_UNAVAILABLE, "out of memory");
	p->dirs.lock = -1;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	p->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->stop < 0)
		fail(c, TEMPORARILY_UNAVAILABLE, "eventfd: %s", strerror(errno));
	if (p->stop < 0 || prepare(c, o, p) || start_supervisor(c, p) || check_database(c, p)) {
		db_private_stop(p);
		return -1;
	}
	*ret = p;
	return 0;
}

const char *db_private_conninfo(const struct db_private *p)
{
	return p->conninfo;
}

int db_private_pid(const struct db_private *p)
{
	return atomic_load(&p->pid);
}

void db_private_stop(struct db_private *p)
{
	uint64_t one = 1;

	if (!p)
		return;
	if (p->supervised) {
		if (write(p->stop, &one, sizeof(one)) < 0)
			abort();        /* an eventfd takes its first value */
		pthread_join(p->supervisor, NULL);
		log_event(LOG_INFO, "postgres stopped", NULL);
	}
	if (p->stop >= 0)
		close(p->stop);
	dir_close(&p->dirs);
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
