/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "local.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/limits.h"

int local_open(int dir, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOCTTY),
		.mode = mode,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	/* EAGAIN: something was renamed while the kernel walked; it cannot be sure, and asks us to
	 * repeat. */
	for (int i = 0; i < 100; i++) {
		long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			return (int)fd;
	}
	return -1;
}

void local_closep(const int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

static const char *last_segment(const char *key)
{
	const char *slash = strrchr(key, '/');

	return slash ? slash + 1 : key;
}

/* The first n bytes of key as a path; "." for none. */
static void prefix(char to[LIMIT_PATH + 1], const char *key, size_t n)
{
	if (n == 0)
		memcpy(to, ".", 2);
	else {
		memcpy(to, key, n);
		to[n] = '\0';
	}
}

int local_open_parent(struct local *l, const char *key, const char **name)
{
	char path[LIMIT_PATH + 1];

	if (strlen(key) > LIMIT_PATH) {
		errno = ENAMETOOLONG;
		return -1;
	}
	*name = last_segment(key);
	prefix(path, key, *name > key ? (size_t)(*name - key) - 1 : 0);
	return local_open(l->root, path, O_RDONLY | O_DIRECTORY, 0);
}

/* Opens segment `name` of `dir`, making it, durably, when it is missing. */
static int enter(struct local *l, int dir, const char *name, bool *made)
{
	int fd = local_open(dir, name, O_RDONLY | O_DIRECTORY, 0);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	if (mkdirat(dir, name, 0700) == 0)
		*made = true;
	else if (errno != EEXIST)
		return -1;
	/* Also when another upload made it just now: it may not have synced it yet. */
	if (fsync(dir)) {
		atomic_store(&l->doubt, true);
		return -1;
	}
	return local_open(dir, name, O_RDONLY | O_DIRECTORY, 0);
}

int local_make_parent(struct local *l, const char *key, const char **name, size_t *made)
{
	int dir = local_open(l->root, ".", O_RDONLY | O_DIRECTORY, 0);
	size_t at = 0;

	*name = last_segment(key);
	*made = strlen(key);
	while (dir >= 0 && key + at < *name) {
		char segment[LIMIT_PATH_SEGMENT + 1];
		size_t n = strcspn(key + at, "/");
		bool fresh = false;
		int next = -1;

		if (n < sizeof(segment)) {
			memcpy(segment, key + at, n);
			segment[n] = '\0';
			next = enter(l, dir, segment, &fresh);
		} else
			errno = ENAMETOOLONG;
		if (fresh && *made > at)
			*made = at;
		local_closep(&dir);
		dir = next;
		at += n + 1;
	}
	if (dir < 0) {
		int saved = errno;

		local_unmake(l, key, *made);
		errno = saved;
	}
	return dir;
}

void local_unmake(struct local *l, const char *key, size_t made)
{
	char path[LIMIT_PATH + 1];
	size_t end = (size_t)(last_segment(key) - key);

	while (end > made) {
		const char *name;
		int dir;

		prefix(path, key, end - 1);
		dir = local_open_parent(l, path, &name);
		if (dir >= 0) {
			/* Not empty: another upload uses it by now. Missing: it was never made. */
			if (unlinkat(dir, name, AT_REMOVEDIR) && errno != ENOENT)
				end = 1;
			close(dir);
		}
		for (end--; end > 0 && key[end - 1] != '/'; end--)
			;
	}
}

int local_sync_parents(struct local *l, const char *key)
{
	char path[LIMIT_PATH + 1];

	for (size_t i = 0; key[i]; i++) {
		int fd;

		if (i > 0 && key[i] != '/')
			continue;
		prefix(path, key, i);
		fd = local_open(l->root, path, O_RDONLY | O_DIRECTORY, 0);
		if (fd < 0)
			return -1;
		if (fsync(fd)) {
			local_closep(&fd);
			return -1;
		}
		close(fd);
	}
	return 0;
}

bool local_key_hidden(const char *key)
{
	size_t n = strcspn(key, "/");

	return n == strlen(LOCAL_TMP) && !memcmp(key, LOCAL_TMP, n);
}

void local_etag(const struct stat *st, char etag[BLOB_ETAG])
{
	snprintf(etag, BLOB_ETAG, "\"%" PRIx64 "-%" PRIx64 "-%" PRIx64 "\"", (uint64_t)st->st_size,
		 (uint64_t)st->st_mtim.tv_sec * 1000000000 + (uint64_t)st->st_mtim.tv_nsec,
		 (uint64_t)st->st_ino);
}

int local_fail(struct ctx *c, int err, const char *doing)
{
	const char *why = strerrordesc_np(err);
	char detail[200];

	snprintf(detail, sizeof(detail), "%s: %s", doing, why ? why : "unknown error");
	switch (err) {
	case ENOSPC:
	case EDQUOT:
		return fail_because(c, INSUFFICIENT_STORAGE, detail,
				    "The artifact store has no space left");
	case EROFS:
		return fail_because(c, TEMPORARILY_UNAVAILABLE, detail,
				    "The artifact store is read-only");
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return fail_because(c, TEMPORARILY_UNAVAILABLE, detail,
				    "Too many artifacts are open");
	case ENAMETOOLONG:
	case ELOOP:
	case EINVAL:
		return fail_because(c, INVALID_PARAMETER_VALUE, detail, "Invalid path");
	case EFBIG:
		return fail_because(c, PAYLOAD_TOO_LARGE, detail,
				    "The artifact is too large for its store");
	case EIO:
		return fail_because(c, IO_ERROR, detail,
				    "The artifact store reported a read or write error");
	default:
		return fail_because(c, INTERNAL_ERROR, detail, "The artifact store failed");
	}
}
