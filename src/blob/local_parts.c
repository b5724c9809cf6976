/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Multipart uploads: a folder m<secret> among the owner's temporaries with the file `key` and one
 * file for each part. The id is <owner><secret>, so that every daemon on this root finds it; an
 * upload ends with the daemon that began it.
 */
#include "local.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/id.h"
#include "base/limits.h"

enum {
	OWNER = 16,
	SECRET = 32,           /* hex digits: 128 bits */
	MOST_UPLOADS = 1000,   /* of one daemon at one time */
	ABANDONED = 24 * 3600, /* seconds without a new part */
};

struct parts_path {
	char text[sizeof(LOCAL_TMP) + OWNER + SECRET + 8];
};

static bool parts_path(const char *id, struct parts_path *p)
{
	if (strlen(id) != OWNER + SECRET || strspn(id, "0123456789abcdef") != OWNER + SECRET)
		return false;
	snprintf(p->text, sizeof(p->text), "%.*s/m%s", OWNER, id, id + OWNER);
	return true;
}

void local_part_name(unsigned part, char name[LOCAL_NAME])
{
	snprintf(name, LOCAL_NAME, "%u", part);
}

int local_parts_open(struct ctx *c, struct local *l, const char *key, const char *upload_id)
{
	CLEANUP(local_closep) int dir = -1;
	CLEANUP(local_closep) int fd = -1;
	struct parts_path path;
	char have[LIMIT_PATH + 1];
	ssize_t n = -1;

	errno = ENOENT;
	if (parts_path(upload_id, &path))
		dir = local_open(l->tmp, path.text, O_RDONLY | O_DIRECTORY, 0);
	if (dir >= 0)
		fd = local_open(dir, "key", O_RDONLY, 0);
	if (fd >= 0)
		n = read(fd, have, sizeof(have));
	/* A disk that does not answer is not the client's mistake: the upload may well be there. */
	if (n < 0 && errno != ENOENT)
		return local_fail(c, errno, "multipart");
	if (n < 0 || (size_t)n != strlen(key) || memcmp(have, key, (size_t)n) != 0)
		return fail(c, RESOURCE_DOES_NOT_EXIST, "No such multipart upload");
	return TAKE_FD(dir);
}

/* Drops abandoned uploads of ours. Returns how many remain. */
static unsigned expire(struct local *l)
{
	int fd = local_open(l->own, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	time_t now = time(NULL);
	struct dirent *e;
	unsigned count = 0;

	if (!d) {
		local_closep(&fd);
		return 0;
	}
	while ((e = readdir(d))) {
		struct stat st;
		uint64_t bytes = 0;

		if (e->d_name[0] != 'm' || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		if (now - st.st_mtime > ABANDONED)
			(void)local_remove_tree(l, l->own, e->d_name, &bytes);
		else
			count++;
	}
	closedir(d);
	return count;
}

/* -1 with errno; a write that a regular file takes in part only has met the end of its disk. */
static int write_whole(int fd, const void *data, size_t n)
{
	ssize_t k = write(fd, data, n);

	if (k >= 0 && (size_t)k != n)
		errno = ENOSPC;
	return k >= 0 && (size_t)k == n ? 0 : -1;
}

static int write_key(struct local *l, const char *folder, const char *key)
{
	CLEANUP(local_closep) int dir = local_open(l->own, folder, O_RDONLY | O_DIRECTORY, 0);
	CLEANUP(local_closep) int fd = -1;

	if (dir >= 0)
		fd = local_open(dir, "key", O_CREAT | O_EXCL | O_WRONLY, 0600);
	return fd < 0 ? -1 : write_whole(fd, key, strlen(key));
}

int local_parts_create(struct ctx *c, struct blob *b, const char *key, const char **upload_id)
{
	struct local *l = (struct local *)b;
	uint8_t random[SECRET / 2];
	char folder[SECRET + 2] = "m";

	if (local_key_hidden(key))
		return fail(c, INVALID_PARAMETER_VALUE, "Invalid path");
	if (expire(l) >= MOST_UPLOADS)
		return fail(c, REQUEST_LIMIT_EXCEEDED, "Too many multipart uploads are open");
	id_random(random, sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(folder + 1 + 2 * i, 3, "%02x", random[i]);
	*upload_id = arena_printf(c->arena, "%s%s", l->own_name, folder + 1);
	if (mkdirat(l->own, folder, 0700))
		return local_fail(c, errno, "mkdir");
	if (write_key(l, folder, key)) {
		int saved = errno;
		uint64_t bytes = 0;

		(void)local_remove_tree(l, l->own, folder, &bytes);
		return local_fail(c, saved, "multipart");
	}
	return 0;
}

/* Appends all of `from`. Reflinks where the file system can, copies in the kernel where not. */
static int append_file(int to, int from, uint64_t size)
{
	while (size > 0) {
		ssize_t n =
			copy_file_range(from, NULL, to, NULL, size < 1 << 30 ? size : 1 << 30, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 &&
		    (errno == EXDEV || errno == ENOSYS || errno == EINVAL || errno == EOPNOTSUPP)) {
			char block[16384];

			n = read(from, block, sizeof(block));
			if (n > 0 && write_whole(to, block, (size_t)n))
				return -1;
		}
		if (n <= 0) {
			errno = n ? errno : EIO;
			return -1;
		}
		size -= (uint64_t)n;
	}
	return 0;
}

static bool same_tag(const char *have, const char *asked)
{
	size_t n = strlen(have);

	/* Clients may strip the quotes. */
	return !strcmp(have, asked) || (strlen(asked) == n - 2 && !memcmp(have + 1, asked, n - 2));
}

static int append_part(struct ctx *c, int dir, int to, const struct blob_part *p)
{
	CLEANUP(local_closep) int fd = -1;
	char name[LOCAL_NAME];
	char etag[BLOB_ETAG];
	struct stat st;

	local_part_name(p->number, name);
	fd = local_open(dir, name, O_RDONLY, 0);
	if (fd < 0 && errno == ENOENT)
		return fail(c, INVALID_PARAMETER_VALUE, "Part %u was not uploaded", p->number);
	if (fd < 0 || fstat(fd, &st))
		return local_fail(c, errno, "part");
	local_etag(&st, etag);
	if (p->etag && !same_tag(etag, p->etag))
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Part %u is not the one that was uploaded (etag)", p->number);
	return append_file(to, fd, (uint64_t)st.st_size) ? local_fail(c, errno, "concatenate") : 0;
}

static int concatenate(struct ctx *c, struct local *l, int dir, const char *key,
		       const struct blob_part *parts, size_t count, struct local_file *f)
{
	for (size_t i = 0; i < count; i++) {
		if (i > 0 && parts[i].number <= parts[i - 1].number)
			return fail(c, INVALID_PARAMETER_VALUE, "Parts must be in ascending order");
		if (append_part(c, dir, f->fd, &parts[i]))
			return -1;
	}
	if (fsync(f->fd))
		return local_fail(c, errno, "fsync");
	return local_publish(c, l, f, key);
}

int local_parts_complete(struct ctx *c, struct blob *b, const char *key, const char *upload_id,
			 const struct blob_part *parts, size_t count)
{
	struct local *l = (struct local *)b;
	CLEANUP(local_closep) int dir = local_parts_open(c, l, key, upload_id);
	struct local_file f;
	int rc;

	if (dir < 0)
		return -1;
	if (local_file_begin(l, &f))
		return local_fail(c, errno, "create");
	rc = concatenate(c, l, dir, key, parts, count, &f);
	local_file_end(l, &f);
	if (rc)
		return -1;
	/* The object stands; what is left of its parts goes with the next sweep at the latest. */
	struct error kept = c->error;
	if (local_parts_abort(c, b, key, upload_id))
		c->error = kept;
	return 0;
}

int local_parts_abort(struct ctx *c, struct blob *b, const char *key, const char *upload_id)
{
	struct local *l = (struct local *)b;
	CLEANUP(local_closep) int dir = local_parts_open(c, l, key, upload_id);
	struct parts_path path;
	uint64_t bytes = 0;

	if (dir < 0)
		return -1;
	(void)parts_path(upload_id, &path);
	return local_remove_tree(l, l->tmp, path.text, &bytes) ? local_fail(c, errno, "abort") : 0;
}
