/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* A home of its own, and an environment without anything of AWS, for each test. */
#ifndef TESTS_WITH_AWS_H
#define TESTS_WITH_AWS_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char aws_home[] = "/tmp/capstan-aws-XXXXXX";

static void aws_clear_environment(void)
{
	extern char **environ;

	for (char **e = environ; *e;) {
		char name[128];

		if (strncmp(*e, "AWS_", 4) != 0) {
			e++;
			continue;
		}
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(*e, "="), *e);
		unsetenv(name);
		e = environ;
	}
	setenv("HOME", aws_home, 1);
	/* Nothing outside of this machine is asked. */
	setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
}

static const char *aws_path(const char *name)
{
	static char path[4][256];
	static int next;
	char *ret = path[next = (next + 1) % 4];

	snprintf(ret, sizeof(*path), "%s/%s", aws_home, name);
	return ret;
}

static void aws_write(const char *name, const char *text)
{
	FILE *f = fopen(aws_path(name), "we");

	if (!f || fputs(text, f) < 0 || fclose(f))
		abort();
}

static void aws_remove(const char *name)
{
	if (unlink(aws_path(name)) && errno != ENOENT && rmdir(aws_path(name)))
		abort();
}

static void aws_make_home(void)
{
	if (!mkdtemp(aws_home) || mkdir(aws_path(".aws"), 0700))
		abort();
}

static void aws_remove_home(void)
{
	static const char *const names[] = { ".aws/config", ".aws/credentials", "token", "program", "other", ".aws", "" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		aws_remove(names[i]);
}

#endif
