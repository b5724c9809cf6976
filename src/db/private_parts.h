/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The private PostgreSQL's parts: find (programs), dir (files), run (processes). */
#ifndef DB_PRIVATE_PARTS_H
#define DB_PRIVATE_PARTS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/ctx.h"
#include "db/private.h"

enum {
	PRIVATE_SOCKET_PATH = 107,      /* sun_path */
	PRIVATE_OLDEST = 13,
	PRIVATE_PROCESSES = 512,
	PRIVATE_READY_MS = 600000,      /* a long recovery is not a failure */
	PRIVATE_STOP_MS = 60000,
};

/* Who runs PostgreSQL: another user only when we are root. */
struct identity {
	bool change;
	uid_t uid;
	gid_t gid;
	char name[64];
};

/* ---- private_run.c ---- */

struct launch {
	const char *const *argv;        /* argv[0] is a path */
	const struct identity *as;
	const char *directory;
	int output;                     /* standard output and error; not closed */
	int parent_death;               /* signal when the calling thread ends; 0: none */
};

/* Starts a program in a session of its own. The pid, or -1 with errno. */
pid_t run_start(const struct launch *l);
/* Runs one to its end. Exit status; 128 + signal; -1 with errno. */
int run_wait(const struct launch *l);
/* The first bytes of what it prints; -1: not run, or failed. */
int run_read(const struct launch *l, char *to, size_t size);
/* Whether `as` can reach directory `path`: 0; -1 with the part that stops it in `part`. */
int run_reachable(const struct identity *as, const char *path, char part[PATH_MAX]);

/* Processes of the cluster, ours or an earlier daemon's: *postmaster (0: none), the others in pids.
 */
size_t run_find(const char *title, pid_t *postmaster, pid_t pids[PRIVATE_PROCESSES]);
/* Ends them, politely first; true once none is left. */
bool run_end_all(const char *title);

/* ---- private_find.c ---- */

struct programs {
	char bin[PATH_MAX];
	int major;
};

/* `major` 0: the newest. */
int find_programs(struct ctx *c, const char *bin_dir, const struct identity *as, int major,
                  struct programs *ret) MUST_CHECK;
/* "postgres (PostgreSQL) 15.20 (Debian...)" -> 15, "9.6.3" -> 9; 0: not such a line. */
int find_version(const char *line);

/* ---- private_dir.c ---- */

struct directories {
	char data[PATH_MAX];            /* resolved */
	char cluster[PATH_MAX];         /* <data>/postgres */
	char socket[PATH_MAX];
	char log[PATH_MAX];             /* <log_dir>/postgres.log */
	char title[40]; /* cluster_name: tells our processes from another cluster's */
	int lock;
};

/* Makes and locks the data directory; fills all but `socket` and `title`. */
int dir_open(struct ctx *c, const struct db_private_options *o, struct directories *d) MUST_CHECK;
void dir_close(struct directories *d);
/* Decides who runs PostgreSQL. */
int dir_identity(struct ctx *c, const struct db_private_options *o, const struct directories *d,
                 struct identity *ret) MUST_CHECK;
/* The cluster's major version; 0: none yet. */
int dir_version(struct ctx *c, const struct directories *d, int *major) MUST_CHECK;
/* initdb, whole or not at all. */
int dir_init(struct ctx *c, const struct directories *d, const struct programs *p,
	     const struct identity *as) MUST_CHECK;
/* The directory of the socket, for `as` alone; the title. */
int dir_socket(struct ctx *c, struct directories *d, const struct identity *as) MUST_CHECK;
/* capstan.conf, pg_hba.conf. */
int dir_configure(struct ctx *c, const struct directories *d, const struct programs *p,
                  const struct identity *as, unsigned connections) MUST_CHECK;
/* Removes what a crash left behind; only when no process of the cluster lives. */
void dir_clean(const struct directories *d);
/* Opens the log to append; -1 with errno. *end (may be NULL): its size. */
int dir_log(const struct directories *d, off_t *end);
/* The line after byte `from` of the log that tells why PostgreSQL failed; "" when there is none. */
void dir_log_reason(const struct directories *d, off_t from, bool running, char to[256]);
/* The error for a failure whose reason is in the log. */
int dir_fail(struct ctx *c, const struct directories *d, off_t from, const char *what);

#endif
