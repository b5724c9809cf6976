/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Finding an installed PostgreSQL: Debian, Red Hat, Alpine, SUSE, source builds, then PATH and
 * pg_config. */

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "private_parts.h"
#include "base/number.h"

#define INSTALL_HINT                                                                               \
	"install PostgreSQL %d or newer, for example: apt-get install postgresql; or use a "       \
	"server "                                                                                  \
	"of yours: --backend-store-uri postgresql://user:password@host/database"

static const char *const patterns[] = {
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/usr/libexec/postgresql*",
	"/usr/lib/postgresql*/bin",
	"/usr/lib64/pgsql/bin",
	"/opt/postgresql*/bin",
	"/usr/local/pgsql/bin",
	"/usr/local/postgresql*/bin",
	"/usr/local/bin",
	"/usr/bin",
};

struct search {
	const struct identity *as;
	int wanted;                     /* 0: the newest */
	int oldest_seen;                /* to say what was found instead */
	struct programs best;
};

int find_version(const char *line)
{
	const char *p = strstr(line, "(PostgreSQL) ");

	return p ? number_leading(p + strlen("(PostgreSQL) ")) : 0;
}

/* A directory counts by where its postgres really is: /usr/local/bin often holds a link only. */
static void consider(struct search *s, const char *dir)
{
	char path[PATH_MAX], real[PATH_MAX], initdb[PATH_MAX + 8], line[128] = "";
	const char *argv[] = { real, "--version", NULL };
	int major;

	if (snprintf(path, sizeof(path), "%s/postgres", dir) >= (int)sizeof(path) ||
	    !realpath(path, real))
		return;
	*strrchr(real, '/') = '\0';
	if (s->best.major && strcmp(real, s->best.bin) == 0)
		return;
	snprintf(initdb, sizeof(initdb), "%s/initdb", real);
	if (access(initdb, X_OK) != 0)
		return;
	snprintf(path, sizeof(path), "%s", real);
	strncat(real, "/postgres", sizeof(real) - strlen(real) - 1);
	if (access(real, X_OK) != 0 ||
	    run_read(&(struct launch){ .argv = argv, .as = s->as, .directory = "/" }, line,
		     sizeof(line)))
		return;
	major = find_version(line);
	if (major <= 0)
		return;
	if (!s->oldest_seen || major < s->oldest_seen)
		s->oldest_seen = major;
	if (major < PRIVATE_OLDEST || (s->wanted && major != s->wanted) || major <= s->best.major)
		return;
	s->best.major = major;
	snprintf(s->best.bin, sizeof(s->best.bin), "%s", path);
}

static void consider_pattern(struct search *s, const char *pattern)
{
	glob_t found;

	if (glob(pattern, 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++)
			consider(s, found.gl_pathv[i]);
	}
	globfree(&found);
}

/* pg_config knows where its postgres is, when that is no directory of PATH. */
static void consider_pg_config(struct search *s, const char *dir)
{
	char program[PATH_MAX], bin[PATH_MAX] = "";
	const char *argv[] = { program, "--bindir", NULL };

	if (snprintf(program, sizeof(program), "%s/pg_config", dir) >= (int)sizeof(program) ||
	    access(program, X_OK) != 0 ||
	    run_read(&(struct launch){ .argv = argv, .as = s->as, .directory = "/" }, bin,
		     sizeof(bin)))
		return;
	bin[strcspn(bin, "\n")] = '\0';
	if (*bin == '/')
		consider(s, bin);
}

static void consider_path(struct search *s)
{
	const char *p = getenv("PATH");
	char dir[PATH_MAX];

	while (p && *p) {
		size_t n = strcspn(p, ":");

		if (*p == '/' && n < sizeof(dir)) {
			memcpy(dir, p, n);
			dir[n] = '\0';
			consider(s, dir);
			if (!s->best.major)
				consider_pg_config(s, dir);
		}
		p += n + (p[n] == ':');
	}
}

static int not_found(struct ctx *c, const struct search *s, const char *bin_dir)
{
	if (s->wanted && s->oldest_seen)
		return fail(c, INVALID_STATE,
			    "the data directory was made by PostgreSQL %d, which is not "
			    "installed: apt-get install postgresql-%d, or move the data with "
			    "pg_upgrade",
			    s->wanted, s->wanted);
	if (s->oldest_seen)
		return fail(c, INVALID_STATE,
			    "the installed PostgreSQL %d is too old: " INSTALL_HINT, s->oldest_seen,
			    PRIVATE_OLDEST);
	if (bin_dir)
		return fail(c, INVALID_STATE,
			    "no PostgreSQL programs (postgres, initdb) in %s: " INSTALL_HINT,
			    bin_dir, PRIVATE_OLDEST);
	return fail(c, INVALID_STATE, "PostgreSQL is not installed: " INSTALL_HINT, PRIVATE_OLDEST);
}

int find_programs(struct ctx *c, const char *bin_dir, const struct identity *as, int major,
                  struct programs *ret)
{
	struct search s = { .as = as, .wanted = major };

	if (bin_dir) {
		consider(&s, bin_dir);
	} else {
		for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
			consider_pattern(&s, patterns[i]);
		if (!s.best.major)
			consider_path(&s);
	}
	if (!s.best.major)
		return not_found(c, &s, bin_dir);
	*ret = s.best;
	return 0;
}
