/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* A directory as object store: one root descriptor, every name opened beneath it. */
#include "local.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/utf8.h"

enum { LARGE = 1 << 20 }; /* objects that are read ahead */

struct local_reader {
	struct blob_reader reader;
	int fd;
};

/* ---- the root ---- */

static bool local_owns(const char *uri)
{
	size_t n = 0;

	if (!strncmp(uri, "file:", 5))
		return true;
	while (isalnum((unsigned char)uri[n]) || (n > 0 && uri[n] && strchr("+.-", uri[n])))
		n++;
	return *uri && (n == 0 || strncmp(uri + n, ":", 1) != 0);
}

/* The path of file:///p, file://localhost/p, file:/p or a plain one. */
static const char *uri_path(const char *uri)
{
	if (strncmp(uri, "file:", 5) != 0)
		return uri;
	uri += 5;
	if (!strncmp(uri, "//localhost/", 12))
		return uri + 11;
	return strncmp(uri, "//", 2) ? uri : uri + 2;
}

static int make_root(const char *path)
{
	char part[LIMIT_PATH + 1];
	size_t n = strlen(path);

	if (n == 0 || n > LIMIT_PATH) {
		errno = EINVAL;
		return -1;
	}
	for (size_t i = 1; i <= n; i++) {
		if (path[i] && path[i] != '/')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, 0700) && errno != EEXIST)
			return -1;
	}
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Whether the file system keeps files without a name. */
static bool has_tmpfile(int dir)
{
	int fd = local_open(dir, ".", O_TMPFILE | O_RDWR, 0600);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void local_close(struct blob *b)
{
	struct local *l = (struct local *)b;

	local_tmp_close(l);
	local_closep(&l->root);
	free(l);
}

static int open_root(struct ctx *c, struct local *l, const char *path)
{
	int fd;

	l->root = make_root(path);
	if (l->root < 0)
		return fail_because(c, INTERNAL_ERROR, path,
				    "Cannot open the artifact directory: %s",
				    strerrordesc_np(errno));
	fd = local_open(l->root, ".", O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fail(c, INTERNAL_ERROR,
			    "Artifacts need openat2 (Linux 5.6 or newer, allowed by seccomp): %s",
			    strerrordesc_np(errno));
	close(fd);
	if (local_tmp_open(l))
		return fail_because(c, INTERNAL_ERROR, path,
				    "Cannot write to the artifact directory: %s",
				    strerrordesc_np(errno));
	/* Directories that a killed daemon made and did not sync are taken for durable from here
	 * on. */
	if (syncfs(l->root))
		atomic_store(&l->doubt, true);
	l->unnamed = has_tmpfile(l->own);
	return 0;
}

static struct blob *local_open_uri(struct ctx *c, const char *uri)
{
	struct local *l = calloc(1, sizeof(*l));

	if (!l) {
		(void)fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
		return NULL;
	}
	l->blob.ops = &blob_local;
	l->root = l->tmp = l->own = -1;
	if (open_root(c, l, uri_path(uri))) {
		local_close(&l->blob);
		return NULL;
	}
	return &l->blob;
}

/* ---- looking ---- */

/* Errors of a lookup that mean: not here. A symlink on the way is nothing of ours. */
static bool missing(int err)
{
	return err == ENOENT || err == ENOTDIR || err == ELOOP || err == EXDEV ||
	       err == ENAMETOOLONG || err == ENXIO;
}

static void describe(const struct stat *st, struct blob_info *ret)
{
	*ret = (struct blob_info){ .directory = S_ISDIR(st->st_mode),
				   .modified = st->st_mtim.tv_sec };
	if (ret->directory)
		return;
	ret->size = (uint64_t)st->st_size;
	local_etag(st, ret->etag);
}

static int local_stat(struct ctx *c, struct blob *b, const char *key, struct blob_info *ret)
{
	struct local *l = (struct local *)b;
	CLEANUP(local_closep) int fd = local_open(l->root, *key ? key : ".", O_PATH, 0);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return missing(errno) ? 0 : local_fail(c, errno, "stat");
	if (local_key_hidden(key) || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
		return 0;
	describe(&st, ret);
	return 1;
}

static void close_dir(void *d)
{
	closedir(d);
}

static int by_name(const void *a, const void *b)
{
	const struct blob_entry *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* Adds the entry to the list when it is ours to show. */
static int collect(struct ctx *c, DIR *d, const char *name, bool top, struct blob_entry **items,
		   size_t *count, size_t *capacity)
{
	struct stat st;

	if (!strcmp(name, ".") || !strcmp(name, "..") || (top && !strcmp(name, LOCAL_TMP)) ||
	    !strncmp(name, LOCAL_MLFLOW_TMP, strlen(LOCAL_MLFLOW_TMP)) ||
	    !utf8_valid(name, strlen(name)))
		return 0;
	if (fstatat(dirfd(d), name, &st, AT_SYMLINK_NOFOLLOW) ||
	    (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
		return 0;
	if (*count == LOCAL_LISTING)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "The directory holds more than %d artifacts", LOCAL_LISTING);
	if (*count == *capacity) {
		size_t more = *capacity ? *capacity * 2 : 64;

		*items = arena_grow(c->arena, *items, *capacity * sizeof(**items),
				    more * sizeof(**items));
		*capacity = more;
	}
	(*items)[(*count)++] = (struct blob_entry){
		.name = arena_strdup(c->arena, name),
		.directory = S_ISDIR(st.st_mode),
		.size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0,
	};
	return 0;
}

static int local_list(struct ctx *c, struct blob *b, const char *key,
		      int (*each)(struct ctx *c, void *arg, const struct blob_entry *e), void *arg)
{
	struct local *l = (struct local *)b;
	struct blob_entry *items = NULL;
	size_t count = 0, capacity = 0;
	struct dirent *e;
	DIR *d;
	int fd;

	if (local_key_hidden(key))
		return 0;
	fd = local_open(l->root, *key ? key : ".", O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return missing(errno) ? 0 : local_fail(c, errno, "list");
	d = fdopendir(fd);
	if (!d) {
		local_closep(&fd);
		return local_fail(c, errno, "list");
	}
	/* The arena may be exhausted in here: it closes the directory then. */
	arena_defer(c->arena, close_dir, d);
	while ((e = readdir(d)))
		if (collect(c, d, e->d_name, !*key, &items, &count, &capacity))
			return -1;
	if (count)
		qsort(items, count, sizeof(*items), by_name);
	for (size_t i = 0; i < count; i++)
		if (each(c, arg, &items[i]))
			return -1;
	return 1;
}

static int local_remove(struct ctx *c, struct blob *b, const char *key, uint64_t *bytes)
{
	struct local *l = (struct local *)b;
	const char *name;
	CLEANUP(local_closep) int dir = -1;
	struct stat st;

	if (local_key_hidden(key))
		return fail(c, INVALID_PARAMETER_VALUE, "Invalid path");
	dir = local_open_parent(l, key, &name);
	if (dir < 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return missing(errno) ? 0 : local_fail(c, errno, "delete");
	if (S_ISDIR(st.st_mode)) {
		if (local_remove_tree(l, dir, name, bytes))
			return errno == ENOENT ? 0 : local_fail(c, errno, "delete");
	} else {
		if (unlinkat(dir, name, 0))
			return errno == ENOENT ? 0 : local_fail(c, errno, "delete");
		if (S_ISREG(st.st_mode) && st.st_nlink == 1)
			*bytes += (uint64_t)st.st_size;
	}
	return fsync(dir) ? local_fail(c, errno, "delete") : 1;
}

/* ---- reading ---- */

static int local_read_open(struct ctx *c, struct blob *b, const char *key,
			   const struct blob_want *want, struct blob_ready ready,
			   struct blob_reader **ret, struct blob_info *info)
{
	struct local *l = (struct local *)b;
	struct local_reader *r;
	CLEANUP(local_closep) int fd = -1;
	struct stat st;

	(void)want, (void)ready;
	/* O_NONBLOCK: a fifo must not hold this thread. */
	fd = local_open(l->root, *key ? key : ".", O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0 || fstat(fd, &st)) {
		if (!missing(errno))
			return local_fail(c, errno, "open");
		return fail(c, RESOURCE_DOES_NOT_EXIST, "No such artifact: '%.1000s'", key);
	}
	if (!local_key_hidden(key) && S_ISDIR(st.st_mode))
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Artifact path refers to a directory, not a file: '%.1000s'", key);
	if (local_key_hidden(key) || !S_ISREG(st.st_mode))
		return fail(c, RESOURCE_DOES_NOT_EXIST, "No such artifact: '%.1000s'", key);
	r = malloc(sizeof(*r));
	if (!r)
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	if (st.st_size >= LARGE)
		(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	describe(&st, info);
	r->reader.ops = &blob_local;
	r->fd = TAKE_FD(fd);
	*ret = &r->reader;
	return 0;
}

static int local_read(struct ctx *c, struct blob_reader *reader, uint64_t offset, void *to,
		      size_t n, size_t *got)
{
	struct local_reader *r = (struct local_reader *)reader;
	ssize_t k;

	do {
		k = pread(r->fd, to, n, (off_t)offset);
	} while (k < 0 && errno == EINTR);
	if (k < 0)
		return local_fail(c, errno, "read");
	*got = (size_t)k;
	return 0;
}

/* What preadv2() says when it will not wait; EOPNOTSUPP where the file system cannot tell. */
static bool would_wait(int err)
{
	return err == EAGAIN || err == EOPNOTSUPP || err == ENOSYS;
}

static int local_read_at_hand(struct ctx *c, struct blob_reader *reader, uint64_t offset, void *to,
			      size_t n, size_t *got)
{
	struct local_reader *r = (struct local_reader *)reader;
	const struct iovec at = { to, n };
	ssize_t k;

	do {
		k = preadv2(r->fd, &at, 1, (off_t)offset, RWF_NOWAIT);
	} while (k < 0 && errno == EINTR);
	if (k < 0)
		return would_wait(errno) ? BLOB_AGAIN : local_fail(c, errno, "read");
	*got = (size_t)k;
	return 0;
}

static void local_read_close(struct blob_reader *reader)
{
	struct local_reader *r = (struct local_reader *)reader;

	close(r->fd);
	free(r);
}

const struct blob_ops blob_local = {
	.abilities = BLOB_READS_AT_HAND,
	.owns = local_owns,
	.open = local_open_uri,
	.close = local_close,
	.stat = local_stat,
	.list = local_list,
	.remove = local_remove,
	.read_open = local_read_open,
	.read = local_read,
	.read_at_hand = local_read_at_hand,
	.read_close = local_read_close,
	.write_begin = local_write_begin,
	.write = local_write,
	.write_commit = local_write_commit,
	.write_close = local_write_close,
	.parts_create = local_parts_create,
	.parts_complete = local_parts_complete,
	.parts_abort = local_parts_abort,
};
