/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The private PostgreSQL's start, refusals, crashes and stop. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "db/private.h"

#include <cmocka.h>            /* last: it defines fail() */

static char root[64];
static char *self;

static struct ctx begin_work(void)
{
	return (struct ctx){ .arena = arena_new(64 << 20) };
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static const char *in_root(const char *name)
{
	static char path[160];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	return path;
}

static struct db_private *start(struct ctx *c, const char *dir)
{
	struct db_private *p = NULL;
	struct db_private_options o = { .data_dir = dir, .connections = 4 };

	return db_private_start(c, &o, &p) ? NULL : p;
}

static void refusals(void **state)
{
	struct ctx c = begin_work();
	struct db_private *p = NULL;
	char dir[256], path[512];
	FILE *f;

	(void)state;
	snprintf(dir, sizeof(dir), "%s", in_root("data"));
	p = start(&c, dir);
	if (!p)
		fail_msg("%s", c.error.message);
	assert_null(start(&c, dir));
	assert_non_null(strstr(c.error.message, "another capstan"));
	print_message("%s\n", c.error.message);
	error_clear(&c);
	db_private_stop(p);

	snprintf(dir, sizeof(dir), "%s", in_root("other"));
	struct db_private_options o = { .data_dir = dir, .connections = 4, .bin_dir = "/nonexistent" };

	assert_int_equal(db_private_start(&c, &o, &p), -1);
	assert_non_null(strstr(c.error.message, "apt-get install postgresql"));
	print_message("%s\n", c.error.message);
	error_clear(&c);

	o.bin_dir = in_root("bin");
	mkdir(o.bin_dir, 0755);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/bin/%s", root, i ? "postgres" : "initdb");
		f = fopen(path, "w");
		fputs("#!/bin/sh\necho 'postgres (PostgreSQL) 12.3'\n", f);
		fclose(f);
		chmod(path, 0755);
	}
	assert_int_equal(db_private_start(&c, &o, &p), -1);
	assert_non_null(strstr(c.error.message, "12 is too old"));
	print_message("%s\n", c.error.message);
	error_clear(&c);

	o.bin_dir = NULL;
	snprintf(path, sizeof(path), "%s/postgres", dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/postgres/PG_VERSION", dir);
	f = fopen(path, "w");
	fputs("99\n", f);
	fclose(f);
	assert_int_equal(db_private_start(&c, &o, &p), -1);
	assert_non_null(strstr(c.error.message, "made by PostgreSQL 99"));
	print_message("%s\n", c.error.message);
	error_clear(&c);

	if (geteuid() == 0) {
		snprintf(path, sizeof(path), "%s", in_root("closed"));
		mkdir(path, 0700);
		strcat(path, "/data");
		o.data_dir = path;
		assert_int_equal(db_private_start(&c, &o, &p), -1);
		assert_non_null(strstr(c.error.message, "chmod o+x"));
		print_message("%s\n", c.error.message);
		error_clear(&c);
	}
	o.data_dir = "/proc/nothing/here";
	assert_int_equal(db_private_start(&c, &o, &p), -1);
	print_message("%s\n", c.error.message);
	arena_free(c.arena);
}

static void long_path(void **state)
{
	struct ctx c = begin_work();
	char dir[512], socket[256];
	struct db_private *p;

	(void)state;
	snprintf(dir, sizeof(dir), "%s/%0120d and, spaces", root, 7);
	for (int i = 0; i < 2; i++) {
		int64_t began = clock_ms();

		p = start(&c, dir);
		if (!p)
			fail_msg("%s", c.error.message);
		print_message("start %d: %d ms\n", i + 1, (int)(clock_ms() - began));
		snprintf(socket, sizeof(socket), "%.*s", (int)strcspn(db_private_conninfo(p) + 5, " "),
		         db_private_conninfo(p) + 5);
		assert_null(strstr(socket, root));
		began = clock_ms();
		db_private_stop(p);
		print_message("stop: %d ms\n", (int)(clock_ms() - began));
	}
	rmdir(socket);
	arena_free(c.arena);
}

static bool alive(pid_t pid)
{
	char path[64], line[64] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, line, sizeof(line) - 1) < 0)
		*line = '\0';
	if (fd >= 0)
		close(fd);
	return *line != '\0';           /* a zombie has none */
}

/* A daemon of its own: prints its postmaster's pid and waits. */
static int hold(const char *dir)
{
	struct ctx c = begin_work();
	struct db_private *p;

	log_configure(LOG_WARN, LOG_TEXT);
	p = start(&c, dir);
	if (!p) {
		printf("%s\n", c.error.message);
		return 1;
	}
	printf("%d\n", db_private_pid(p));
	fflush(stdout);
	pause();
	return 0;
}

static pid_t start_holder(const char *dir, pid_t *postmaster)
{
	int ends[2];
	char line[256] = "";
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		dup2(ends[1], 1);
		execl("/proc/self/exe", self, "--hold", dir, NULL);
		_exit(127);
	}
	close(ends[1]);
	assert_true(read(ends[0], line, sizeof(line) - 1) > 0);
	close(ends[0]);
	*postmaster = atoi(line);
	if (*postmaster <= 0)
		fail_msg("%s", line);
	return pid;
}

static void daemon_killed(void **state)
{
	char dir[256];
	pid_t postmaster, daemon;
	int64_t began;

	(void)state;
	snprintf(dir, sizeof(dir), "%s", in_root("held"));
	for (int round = 0; round < 3; round++) {
		began = clock_ms();
		daemon = start_holder(dir, &postmaster);
		print_message("start %d: %d ms\n", round + 1, (int)(clock_ms() - began));
		assert_true(alive(postmaster));
		if (round == 1)                 /* both at once */
			kill(postmaster, SIGKILL);
		kill(daemon, SIGKILL);
		waitpid(daemon, NULL, 0);
		if (round == 0)
			continue;               /* the next start meets the dying orphan */
		for (began = clock_ms(); alive(postmaster) && clock_ms() - began < 10000;)
			usleep(5000);
		assert_false(alive(postmaster));
	}
	usleep(200000);
}

static void stopped_postmaster(void **state)    /* an orphan that cannot notice */
{
	char dir[256];
	pid_t postmaster, daemon, next;

	(void)state;
	snprintf(dir, sizeof(dir), "%s", in_root("held"));
	daemon = start_holder(dir, &postmaster);
	/* An orphan as an old kernel or an administrator's pg_ctl leaves it: no signal reaches it for now. */
	kill(postmaster, SIGSTOP);
	kill(daemon, SIGKILL);
	waitpid(daemon, NULL, 0);
	usleep(100000);
	kill(postmaster, SIGCONT);
	daemon = start_holder(dir, &next);
	assert_false(alive(postmaster));
	assert_true(alive(next));
	kill(daemon, SIGKILL);
	waitpid(daemon, NULL, 0);
	for (int64_t began = clock_ms(); alive(next) && clock_ms() - began < 10000;)
		usleep(5000);
	assert_false(alive(next));
}

/* ---- all of it ---- */

static int set_up(void **state)
{
	(void)state;
	log_configure(LOG_WARN, LOG_TEXT);
	snprintf(root, sizeof(root), "/tmp/capstan-db-XXXXXX");
	return mkdtemp(root) && chmod(root, 0755) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refusals),
		cmocka_unit_test(long_path),
		cmocka_unit_test(daemon_killed),
		cmocka_unit_test(stopped_postmaster),
	};

	self = argv[0];
	if (argc == 3 && strcmp(argv[1], "--hold") == 0)
		return hold(argv[2]);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
