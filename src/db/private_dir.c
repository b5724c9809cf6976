/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The private PostgreSQL's files: data directory, lock, cluster, settings, socket directory, log.
 */

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/id.h"
#include "base/number.h"
#include "private_parts.h"

enum { LOCK_TRIES = 10, LOCK_STEP_MS = 50, LOG_MOST = 16 << 20 };

static int fail_errno(struct ctx *c, const char *doing, const char *path)
{
	int error = errno;

	switch (error) {
	case ENOSPC:
	case EDQUOT:
		return fail_because(
			c, INSUFFICIENT_STORAGE, strerror(error),
			"cannot %s %s: the disk is full; free some space, or choose another "
			"--data-dir",
			doing, path);
	case EACCES:
	case EPERM:
	case EROFS:
		return fail_because(
			c, PERMISSION_DENIED, strerror(error),
			"cannot %s %s (%s): make it writable for this user, or choose another "
			"--data-dir",
			doing, path, strerror(error));
	default:
		return fail_because(c, IO_ERROR, strerror(error), "cannot %s %s: %s", doing, path,
		                    strerror(error));
	}
}

/* ---- the data directory ---- */

/* With its parents. One that we make is closed to others; for another user's PostgreSQL it can be
 * passed through. */
static int make_directory(struct ctx *c, const char *path, mode_t mode)
{
	char part[PATH_MAX];

	if (snprintf(part, sizeof(part), "%s", path) >= (int)sizeof(part))
		return fail(c, INVALID_PARAMETER_VALUE, "the path %.60s... is too long", path);
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0755) && errno != EEXIST)
			return fail_errno(c, "create directory", part);
		*slash = '/';
	}
	if (mkdir(part, mode) && errno != EEXIST)
		return fail_errno(c, "create directory", part);
	return 0;
}

/* "" when nobody knows. */
static void read_holder(int lock, char to[32])
{
	ssize_t n = pread(lock, to, 31, 0);

	to[n > 0 ? n : 0] = '\0';
	to[strcspn(to, "\n")] = '\0';
}

/* A daemon that was just killed may need a moment to be gone. The file stays: to remove it would be
 * a race. */
static int lock_directory(struct ctx *c, struct directories *d)
{
	char path[PATH_MAX + 16], holder[32];

	snprintf(path, sizeof(path), "%s/capstan.lock", d->data);
	d->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (d->lock < 0)
		return fail_errno(c, "write", path);
	for (int tries = 0; flock(d->lock, LOCK_EX | LOCK_NB); tries++) {
		if (errno != EWOULDBLOCK)
			return fail_errno(c, "lock", path);
		if (tries >= LOCK_TRIES) {
			read_holder(d->lock, holder);
			return fail(c, RESOURCE_CONFLICT,
				    "another capstan (process %s) is using %s: stop it, or "
				    "choose another --data-dir",
				    *holder ? holder : "unknown", d->data);
		}
		nanosleep(&(struct timespec){ .tv_nsec = LOCK_STEP_MS * 1000000L }, NULL);
	}
	snprintf(holder, sizeof(holder), "%d\n", (int)getpid());
	if (ftruncate(d->lock, 0) || pwrite(d->lock, holder, strlen(holder), 0) < 0)
		return fail_errno(c, "write", path);
	return 0;
}

int dir_open(struct ctx *c, const struct db_private_options *o, struct directories *d)
{
	char logs[PATH_MAX + 8];

	*d = (struct directories){ .lock = -1 };
	if (make_directory(c, o->data_dir, geteuid() == 0 ? 0711 : 0700))
		return -1;
	if (!realpath(o->data_dir, d->data))
		return fail_errno(c, "open directory", o->data_dir);
	snprintf(logs, sizeof(logs), "%s/logs", d->data);
	if (o->log_dir)
		snprintf(logs, sizeof(logs), "%s", o->log_dir);
	if (strlen(d->data) > PATH_MAX - 64 || strlen(logs) > PATH_MAX - 64)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "the path of the data directory is too long");
	if (make_directory(c, logs, 0700) || lock_directory(c, d))
		return -1;
	snprintf(d->cluster, sizeof(d->cluster), "%.*s/postgres", PATH_MAX - 64, d->data);
	snprintf(d->log, sizeof(d->log), "%.*s/postgres.log", PATH_MAX - 64, logs);
	return 0;
}

void dir_close(struct directories *d)
{
	if (d->lock >= 0)
		close(d->lock);
	d->lock = -1;
}

/* ---- who ---- */

static int by_name(struct ctx *c, const char *name, struct identity *ret)
{
	char room[4096];
	struct passwd entry, *found = NULL;

	getpwnam_r(name, &entry, room, sizeof(room), &found);
	if (!found)
		return fail(c, INVALID_PARAMETER_VALUE, "there is no user \"%s\" to run PostgreSQL",
			    name);
	if (entry.pw_uid == 0)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "PostgreSQL does not run as root: name another user");
	ret->uid = entry.pw_uid;
	ret->gid = entry.pw_gid;
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	return 0;
}

/* initdb refuses a user without a name. */
static int by_uid(struct ctx *c, uid_t uid, struct identity *ret)
{
	char room[4096];
	struct passwd entry, *found = NULL;

	getpwuid_r(uid, &entry, room, sizeof(room), &found);
	if (!found)
		return fail(c, INVALID_STATE,
			    "user id %u has no entry in /etc/passwd, which PostgreSQL needs: add "
			    "one, or use a server of yours: --backend-store-uri",
			    (unsigned)uid);
	ret->uid = entry.pw_uid;
	ret->gid = entry.pw_gid;
	snprintf(ret->name, sizeof(ret->name), "%s", entry.pw_name);
	return 0;
}

static int not_ours(struct ctx *c, const struct directories *d, uid_t owner)
{
	struct identity other = { 0 };
	struct ctx quiet = { 0 };
	int unknown = by_uid(&quiet, owner, &other);

	return fail(c, PERMISSION_DENIED,
		    "%s belongs to user %s: start capstan as that user or as root, or choose "
		    "another --data-dir",
		    d->cluster, unknown ? "(unknown)" : other.name);
}

int dir_identity(struct ctx *c, const struct db_private_options *o, const struct directories *d,
                 struct identity *ret)
{
	struct stat cluster;
	bool exists = lstat(d->cluster, &cluster) == 0;
	struct ctx quiet = { 0 };

	*ret = (struct identity){ .change = geteuid() == 0 };
	if (exists && !S_ISDIR(cluster.st_mode))
		return fail(c, INVALID_STATE,
			    "%s is no directory: remove it, or choose another --data-dir",
			    d->cluster);
	if (!ret->change) {
		if (exists && cluster.st_uid != geteuid())
			return not_ours(c, d, cluster.st_uid);
		return by_uid(c, geteuid(), ret);
	}
	/* A cluster stays with the user that made it. */
	if (exists && cluster.st_uid != 0)
		return by_uid(c, cluster.st_uid, ret);
	if (o->run_as)
		return by_name(c, o->run_as, ret);
	return by_name(&quiet, "postgres", ret) == 0 ? 0 : by_name(c, "nobody", ret);
}

/* ---- the cluster ---- */

int dir_version(struct ctx *c, const struct directories *d, int *major)
{
	char path[PATH_MAX + 16], text[16];
	ssize_t n;
	int fd;

	*major = 0;
	snprintf(path, sizeof(path), "%s/PG_VERSION", d->cluster);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		if (errno != ENOENT)
			return fail_errno(c, "read", path);
		if (rmdir(d->cluster) && errno != ENOENT)
			return fail(
				c, INVALID_STATE,
				"%s exists but holds no PostgreSQL data: move it away, or choose "
				"another --data-dir",
				d->cluster);
		return 0;
	}
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	*major = number_leading(text);
	return *major > 0 ? 0
			  : fail(c, INVALID_STATE,
				 "%s is damaged: restore the data directory from a backup", path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static int remove_tree(const char *path)
{
	return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) && errno != ENOENT ? -1
											       : 0;
}

static int sync_directory(struct ctx *c, const char *path, bool whole)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result = fd < 0 ? -1 : whole ? syncfs(fd) : fsync(fd);

	if (result)
		fail_errno(c, "write", path);
	if (fd >= 0)
		close(fd);
	return result;
}

/* Bytes sort as MLflow's keys do; letters beyond ASCII still have cases where the system knows
 * them. */
static bool has_utf8_locale(const struct identity *as)
{
	const char *argv[] = { "/usr/bin/locale", "-a", NULL };
	char list[8192];

	return run_read(&(struct launch){ .argv = argv, .as = as, .directory = "/" }, list,
			sizeof(list)) == 0 &&
	       strstr(list, "C.utf8\n");
}

static int run_initdb(struct ctx *c, const struct directories *d, const struct programs *p,
                      const struct identity *as, const char *target)
{
	char program[PATH_MAX + 8];
	off_t from;
	const char *argv[] = { program,
			       "-D",
			       target,
			       "-U",
			       "postgres",
			       "-E",
			       "UTF8",
			       "--locale=C",
			       has_utf8_locale(as) ? "--lc-ctype=C.UTF-8" : "--lc-ctype=C",
			       "--data-checksums",
			       "--no-sync",
			       "--auth-local=trust",
			       "--auth-host=reject",
			       NULL };
	struct launch l = {
		.argv = argv, .as = as, .directory = target, .output = dir_log(d, &from)
	};
	int status;

	if (l.output < 0)
		return fail_errno(c, "write", d->log);
	snprintf(program, sizeof(program), "%s/initdb", p->bin);
	status = run_wait(&l);
	close(l.output);
	if (status < 0)
		return fail_errno(c, "run", program);
	return status == 0 ? 0 : dir_fail(c, d, from, "initialise its database");
}

static int check_reachable(struct ctx *c, const struct identity *as, const char *path)
{
	char part[PATH_MAX];

	if (run_reachable(as, path, part) == 0)
		return 0;
	return fail(c, PERMISSION_DENIED,
		    "PostgreSQL runs as user \"%s\", who may not pass through %s: "
		    "chmod o+x %s, or choose another --data-dir",
		    as->name, part, part);
}

int dir_init(struct ctx *c, const struct directories *d, const struct programs *p,
	     const struct identity *as)
{
	char fresh[PATH_MAX];
	int result;

	snprintf(fresh, sizeof(fresh), "%.*s/postgres.new", PATH_MAX - 64, d->data);
	if (remove_tree(fresh))
		return fail_errno(c, "remove", fresh);
	if (mkdir(fresh, 0700))
		return fail_errno(c, "create directory", fresh);
	if (as->change && chown(fresh, as->uid, as->gid))
		return fail_errno(c, "give away directory", fresh);
	/* initdb without its own fsync of a thousand files, then one sync of the whole, then the
	 * name. */
	result = check_reachable(c, as, fresh) || run_initdb(c, d, p, as, fresh) ||
	         sync_directory(c, fresh, true) ? -1 : 0;
	if (result == 0 && rename(fresh, d->cluster))
		result = fail_errno(c, "rename", fresh);
	if (result)
		remove_tree(fresh);
	else
		result = sync_directory(c, d->data, false);
	return result;
}

/* ---- settings ---- */

static int write_file(struct ctx *c, const char *path, const struct identity *as, const char *text)
{
	char fresh[PATH_MAX + 16];
	size_t n = strlen(text);
	int fd;

	snprintf(fresh, sizeof(fresh), "%s.new", path);
	unlink(fresh);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail_errno(c, "write", fresh);
	if (write(fd, text, n) != (ssize_t)n || fsync(fd) ||
	    (as->change && fchown(fd, as->uid, as->gid)) || rename(fresh, path)) {
		fail_errno(c, "write", path);
		close(fd);
		unlink(fresh);
		return -1;
	}
	close(fd);
	return 0;
}

static bool same_text(const char *path, const char *text)
{
	char have[8192];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd < 0 ? -1 : read(fd, have, sizeof(have) - 1);

	if (fd >= 0)
		close(fd);
	have[n > 0 ? n : 0] = '\0';
	return n >= 0 && strcmp(have, text) == 0;
}

static int put_file(struct ctx *c, const struct directories *d, const char *name,
		    const struct identity *as, const char *text)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/%s", d->cluster, name);
	return same_text(path, text) ? 0 : write_file(c, path, as, text);
}

/*
 * Errors of statements are the daemon's to log (a duplicate point is an error to PostgreSQL, and
 * ordinary to us). The last lines hold whatever custom.conf says.
 */
static const char settings[] = "# Written by capstan at every start: your own settings go to "
			       "custom.conf beside this file.\n"
			       "max_connections = %u\n"
			       "shared_buffers = 128MB\n"
			       "effective_cache_size = 1GB\n"
			       "work_mem = 16MB\n"
			       "maintenance_work_mem = 128MB\n"
			       "wal_buffers = 16MB\n"
			       "min_wal_size = 256MB\n"
			       "max_wal_size = 2GB\n"
			       "checkpoint_timeout = 5min\n"
			       "checkpoint_completion_target = 0.9\n"
			       "wal_compression = off\n"
			       "max_wal_senders = 2\n"
			       "max_worker_processes = 4\n"
			       "max_parallel_workers_per_gather = 0\n"
			       "max_parallel_maintenance_workers = 1\n"
			       "jit = off\n"
			       "random_page_cost = 1.1\n"
			       "autovacuum_naptime = 15s\n"
			       "autovacuum_max_workers = 2\n"
			       "autovacuum_vacuum_scale_factor = 0.1\n"
			       "autovacuum_analyze_scale_factor = 0.05\n"
			       "autovacuum_vacuum_cost_limit = 1000\n"
			       "dynamic_shared_memory_type = %s\n"
			       "timezone = 'UTC'\n"
			       "log_timezone = 'UTC'\n"
			       "lc_messages = 'C'\n"
			       "default_text_search_config = 'pg_catalog.simple'\n"
			       "log_destination = 'stderr'\n"
			       "logging_collector = off\n"
			       "log_min_messages = log\n"
			       "log_checkpoints = off\n"
			       "log_line_prefix = '%%m [%%p] '\n"
			       "%s"
			       "include_if_exists = 'custom.conf'\n"
			       "fsync = on\n"
			       "synchronous_commit = on\n"
			       "full_page_writes = on\n"
			       "listen_addresses = ''\n"
			       "port = 5432\n"
			       "ssl = off\n"
			       "unix_socket_directories = '%s'\n"
			       "unix_socket_permissions = 0700\n";

int dir_configure(struct ctx *c, const struct directories *d, const struct programs *p,
                  const struct identity *as, unsigned connections)
{
	char text[8192];
	int n = snprintf(text, sizeof(text), settings, connections + 10,
	                 access("/dev/shm", W_OK | X_OK) == 0 ? "posix" : "mmap",
	                 p->major >= 14 ? "recovery_init_sync_method = syncfs\n" : "", d->socket);

	if (n >= (int)sizeof(text))
		return fail(c, INVALID_PARAMETER_VALUE,
			    "the path of the data directory is too long");
	return put_file(c, d, "capstan.conf", as, text) ||
	       put_file(c, d, "pg_hba.conf", as,
	                "# Written by capstan: the socket's directory is open to one user only.\n"
	                "local all all trust\n") ? -1 : 0;
}

/* ---- the socket ---- */

/* Characters that libpq and PostgreSQL read as themselves in lists of directories; and room for the
 * file's name. */
static bool fits(const char *dir)
{
	for (const char *p = dir; *p; p++) {
		if (!strchr("/._-+", *p) && !((*p | 0x20) >= 'a' && (*p | 0x20) <= 'z') &&
		    !(*p >= '0' && *p <= '9'))
			return false;
	}
	return strlen(dir) + strlen("/.s.PGSQL.5432") <= PRIVATE_SOCKET_PATH;
}

/* Some file systems (shared folders of virtual machines) have no sockets. */
static bool takes_sockets(const char *dir)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok;

	snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/probe", dir);
	if (strlen(dir) > 80)
		snprintf(address.sun_path, sizeof(address.sun_path), "%.101s/p", dir);
	unlink(address.sun_path);
	ok = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	unlink(address.sun_path);
	if (fd >= 0)
		close(fd);
	return ok;
}

/* Ours alone: a directory that another user could have put there is not used. */
static bool is_private(const char *dir, const struct identity *as)
{
	struct stat st;

	return lstat(dir, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == as->uid &&
	       (st.st_mode & 077) == 0;
}

static bool prepare(const char *dir, const struct identity *as)
{
	char part[PATH_MAX];

	if (!fits(dir))
		return false;
	if (mkdir(dir, 0700) == 0) {
		if (as->change && lchown(dir, as->uid, as->gid))
			return false;
	}
	return is_private(dir, as) && takes_sockets(dir) && run_reachable(as, dir, part) == 0;
}

static int elsewhere(struct ctx *c, struct directories *d, const struct identity *as)
{
	const char *roots[] = { "/run", getenv("XDG_RUNTIME_DIR"), "/tmp" };
	char record[PATH_MAX + 32];
	uint64_t random;

	snprintf(record, sizeof(record), "%s/postgres-run.path", d->data);
	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		if (!roots[i])
			continue;
		id_random(&random, sizeof(random));
		snprintf(d->socket, sizeof(d->socket), "%.60s/capstan-%016llx", roots[i],
			 (unsigned long long)random);
		if (prepare(d->socket, as))
			return write_file(c, record, &(struct identity){ 0 }, d->socket);
		rmdir(d->socket);
	}
	return fail(c, INVALID_STATE,
		    "no directory for PostgreSQL's socket: the data directory's path is too long "
		    "or takes "
		    "no sockets, and /run and /tmp are not writable; choose a shorter --data-dir");
}

/* The one chosen at an earlier start. */
static bool recorded(struct directories *d, const struct identity *as)
{
	char record[PATH_MAX + 32];
	ssize_t n;
	int fd;

	snprintf(record, sizeof(record), "%s/postgres-run.path", d->data);
	fd = open(record, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	n = read(fd, d->socket, sizeof(d->socket) - 1);
	close(fd);
	d->socket[n > 0 ? n : 0] = '\0';
	return *d->socket == '/' && is_private(d->socket, as) && prepare(d->socket, as);
}

int dir_socket(struct ctx *c, struct directories *d, const struct identity *as)
{
	struct stat st;

	if (stat(d->cluster, &st))
		return fail_errno(c, "open directory", d->cluster);
	if (check_reachable(c, as, d->cluster))
		return -1;
	snprintf(d->title, sizeof(d->title), "capstan-%llx-%llx",
		 (unsigned long long)st.st_dev & 0xffffffffu, (unsigned long long)st.st_ino);
	snprintf(d->socket, sizeof(d->socket), "%.*s/postgres-run", PATH_MAX - 64, d->data);
	if (prepare(d->socket, as) || recorded(d, as))
		return 0;
	return elsewhere(c, d, as);
}

void dir_clean(const struct directories *d)
{
	char path[PATH_MAX + 32];
	static const char *const leftovers[] = { ".s.PGSQL.5432", ".s.PGSQL.5432.lock" };

	snprintf(path, sizeof(path), "%s/postmaster.pid", d->cluster);
	unlink(path);
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", d->socket, leftovers[i]);
		unlink(path);
	}
}

/* ---- the log ---- */

int dir_log(const struct directories *d, off_t *end)
{
	char old[PATH_MAX + 8];
	struct stat st;
	int fd;

	if (stat(d->log, &st) == 0 && st.st_size > LOG_MOST) {
		snprintf(old, sizeof(old), "%s.1", d->log);
		rename(d->log, old);
	}
	fd = open(d->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (end)
		*end = fd >= 0 && fstat(fd, &st) == 0 ? st.st_size : 0;
	return fd;
}

void dir_log_reason(const struct directories *d, off_t from, bool running, char to[256])
{
	/* While it runs FATAL is the end of a session only. */
	static const char *const marks[] = { "PANIC:  ", "FATAL:  ", "initdb: error: " };
	char text[16384], *p;
	struct stat st;
	ssize_t n = -1;
	int fd = open(d->log, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0 && fstat(fd, &st) == 0) {
		if (st.st_size - from > (off_t)sizeof(text) - 1)
			from = st.st_size - (off_t)sizeof(text) + 1;
		n = pread(fd, text, sizeof(text) - 1, from);
	}
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	*to = '\0';
	for (size_t i = 0; i < (running ? 1 : sizeof(marks) / sizeof(marks[0])) && !*to; i++) {
		p = strstr(text, marks[i]);
		if (p) {
			p += strlen(marks[i]);
			snprintf(to, 256, "%.*s", (int)strcspn(p, "\n"), p);
		}
	}
	if (strstr(text, "No space left on device"))
		snprintf(to, 256, "No space left on device");
}

int dir_fail(struct ctx *c, const struct directories *d, off_t from, const char *what)
{
	char reason[256];

	dir_log_reason(d, from, false, reason);
	if (strstr(reason, "No space left on device"))
		return fail(c, INSUFFICIENT_STORAGE,
			    "PostgreSQL could not %s: the disk of %s is full; free some "
			    "space, or choose another --data-dir",
			    what, d->data);
	return fail(c, INVALID_STATE, "PostgreSQL could not %s%s%s (its log: %s)", what,
		    *reason ? ": " : "", reason, d->log);
}
