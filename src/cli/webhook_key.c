/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * The key of webhook secrets, where the operator gives none: random, in the data directory and not in the database,
 * so that a dump of the database does not hold the secrets and their key.
 */
#include "cli/webhook_key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/log.h"

static int close_if_open(int fd, int result)
{
	if (fd >= 0)
		close(fd);
	return result;
}

static int write_key(struct ctx *c, const char *dir, const char *path, const char *key)
{
	const char *made = arena_printf(c->arena, "%s.new", path);
	int fd = open(made, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool bad = fd < 0 || fchmod(fd, 0600) || write(fd, key, FERNET_KEY_TEXT) != FERNET_KEY_TEXT
	           || fsync(fd);
	const char *why = bad ? strerror(errno) : NULL;

	close_if_open(fd, 0);
	if (!bad && rename(made, path)) {
		bad = true;
		why = strerror(errno);
	}
	if (bad)
		return fail(c, IO_ERROR, "%s cannot be written: %s.", path, why);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		fsync(fd);
	return close_if_open(fd, 0);
}

int cli_webhook_key(struct ctx *c, const char *dir, const char **ret)
{
	const char *path = arena_printf(c->arena, "%s/webhook-secrets.key", dir);
	char *key = arena_alloc(c->arena, FERNET_KEY_TEXT + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct fernet parsed;

	*ret = key;
	if (fd < 0 && errno != ENOENT)
		return fail(c, IO_ERROR, "%s cannot be read: %s.", path, strerror(errno));
	if (fd >= 0) {
		ssize_t n = read(fd, key, FERNET_KEY_TEXT);

		close(fd);
		if (n == FERNET_KEY_TEXT && registry_fernet_key(key, &parsed))
			return 0;
		return fail(c, INVALID_STATE,
		            "%s is damaged: it must hold a Fernet key, 32 bytes in URL-safe base64.", path);
	}
	registry_fernet_new_key(key);
	if (write_key(c, dir, path, key))
		return -1;
	log_event(LOG_INFO, "key of webhook secrets made", "path", path, NULL);
	return 0;
}
