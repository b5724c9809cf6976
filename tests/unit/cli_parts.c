/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "cli/duration.h"
#include "cli/home.h"
#include "cli/notify.h"

#include <cmocka.h> /* last: it defines fail() */

static void durations(void **state)
{
	static const struct {
		const char *text;
		int64_t ms; /* -1: refused */
	} cases[] = {
		{ "1d", 86400000 },
		{ "7d2h", 612000000 },
		{ "1d2h3m4s", 93784000 },
		{ "1.5h", 5400000 },
		{ "0s", 0 },
		{ ".5s", 500 },
		{ "90m", 5400000 },
		{ "", -1 },
		{ "1", -1 },
		{ "d", -1 },
		{ "1x", -1 },
		{ "2h1d", -1 },
		{ "1h1h", -1 },
		{ "1d ", -1 },
		{ "-1d", -1 },
		{ "1..5d", -1 },
		{ "1e3d", -1 },
		{ "999999999999999999999d", -1 },
		{ "99999999999999999999999999999999999999999d", -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int64_t ms = -1;
		bool fine = cli_duration_parse(cases[i].text, &ms);
		assert_int_equal(fine, cases[i].ms >= 0);
		assert_int_equal(ms, cases[i].ms);
	}
}

static int bound(const struct sockaddr_un *to, socklen_t size)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)to, size), 0);
	return fd;
}

static void notify_reaches(const char *path, int fd)
{
	char got[64] = "";

	assert_int_equal(cli_notify(path, "READY=1\nSTATUS=x"), 0);
	assert_int_equal(recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT), 16);
	assert_string_equal(got, "READY=1\nSTATUS=x");
	close(fd);
}

static void notify_sockets(void **state)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	char name[64];

	(void)state;
	snprintf(name, sizeof(name), "/tmp/capstan-notify-%d", (int)getpid());
	strcpy(to.sun_path, name);
	unlink(name);
	notify_reaches(name, bound(&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
						    strlen(name) + 1)));
	unlink(name);

	snprintf(name, sizeof(name), "@capstan-notify-%d", (int)getpid());
	memcpy(to.sun_path, name, strlen(name));
	to.sun_path[0] = 0;
	notify_reaches(name, bound(&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
						    strlen(name))));

	assert_int_equal(cli_notify(NULL, "x"), -1);
	assert_int_equal(cli_notify("", "x"), -1);
	assert_int_equal(cli_notify("relative", "x"), -1);
	assert_int_equal(cli_notify("/tmp/nobody-listens-here", "x"), -1);
}

static void watchdog(void **state)
{
	(void)state;
	assert_int_equal(cli_notify_interval("30000000", NULL, 7), 15000);
	assert_int_equal(cli_notify_interval("30000000", "7", 7), 15000);
	assert_int_equal(cli_notify_interval("30000000", "8", 7), -1);
	assert_int_equal(cli_notify_interval(NULL, NULL, 7), -1);
	assert_int_equal(cli_notify_interval("0", NULL, 7), -1);
	assert_int_equal(cli_notify_interval("junk", NULL, 7), -1);
	assert_int_equal(cli_notify_interval("100", NULL, 7), 1);
}

static void remove_tree(const char *dir)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

static void lock(void **state)
{
	char dir[] = "/tmp/capstan-home-XXXXXX";
	struct ctx c = { .arena = arena_new(1 << 20) };
	struct cli_home first, second;
	const char *conninfo;
	int pid;

	(void)state;
	assert_non_null(mkdtemp(dir));
	const char *below = arena_printf(c.arena, "%s/a/b", dir);
	assert_int_equal(cli_home_owner(&c, below, &pid, &conninfo), 0);
	assert_int_equal(cli_home_open(&c, below, &first), 0);
	assert_int_equal(cli_home_owner(&c, below, &pid, &conninfo), 0);
	assert_int_equal(cli_home_lock(&c, &first), 0);
	assert_int_equal(cli_home_owner(&c, below, &pid, &conninfo), 1);
	assert_int_equal(pid, getpid());
	assert_string_equal(conninfo, "");
	assert_int_equal(cli_home_publish(&c, &first, "host=/x dbname=y"), 0);
	assert_int_equal(cli_home_owner(&c, below, &pid, &conninfo), 1);
	assert_string_equal(conninfo, "host=/x dbname=y");

	assert_int_equal(cli_home_open(&c, below, &second), 0);
	assert_int_equal(cli_home_lock(&c, &second), -1);
	assert_int_equal(c.error.code, INVALID_STATE);
	assert_non_null(strstr(c.error.message, "Another capstan"));
	error_clear(&c);
	close(first.lock);
	assert_int_equal(cli_home_lock(&c, &second), 0);
	close(second.lock);
	assert_int_equal(cli_home_stop(&c, below, 1000, &pid), 0);
	assert_int_equal(pid, 0);
	remove_tree(dir);
	arena_free(c.arena);
}

static void stop(void **state)
{
	char dir[] = "/tmp/capstan-home-XXXXXX";
	struct ctx c = { .arena = arena_new(64 << 20) };
	struct cli_home home;
	const char *conninfo;
	int pid = 0;

	(void)state;
	assert_non_null(mkdtemp(dir));
	pid_t child = fork();
	if (!child) {
		if (cli_home_open(&c, dir, &home) || cli_home_lock(&c, &home))
			_exit(1);
		for (;;)
			pause();
	}
	while (cli_home_owner(&c, dir, &pid, &conninfo) != 1) {
		error_clear(&c);
		usleep(1000);
	}
	assert_int_equal(cli_home_stop(&c, dir, 5000, &pid), 0);
	assert_int_equal(pid, child);
	assert_int_equal(waitpid(child, NULL, 0), child);
	remove_tree(dir);
	arena_free(c.arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations), cmocka_unit_test(notify_sockets),
		cmocka_unit_test(watchdog),  cmocka_unit_test(lock),
		cmocka_unit_test(stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
