/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Uploads: a file without a name -> write -> fsync -> its name appears -> fsync of the directory. A
 * crash at any point leaves nothing visible and, where the file system has O_TMPFILE, nothing at
 * all.
 */
#include "local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FLUSH_EVERY = 8 << 20 }; /* bytes after which the kernel is told to start writing */

struct local_writer {
	struct blob_writer writer;
	struct local *local;
	struct local_file file;
	uint64_t at;
	uint64_t flushed;
	char *key;
	char *upload_id;
	unsigned part;
	bool failed; /* a write or sync failed: never tried again on this file */
};

int local_file_begin(struct local *l, struct local_file *f)
{
	f->name[0] = '\0';
	if (l->unnamed) {
		f->fd = local_open(l->own, ".", O_TMPFILE | O_RDWR, 0600);
		return f->fd < 0 ? -1 : 0;
	}
	local_tmp_name(l, f->name);
	f->fd = local_open(l->own, f->name, O_CREAT | O_EXCL | O_RDWR, 0600);
	if (f->fd < 0)
		f->name[0] = '\0';
	return f->fd < 0 ? -1 : 0;
}

void local_file_end(struct local *l, struct local_file *f)
{
	if (f->name[0])
		(void)unlinkat(l->own, f->name, 0);
	local_closep(&f->fd);
	f->fd = -1;
	f->name[0] = '\0';
}

/* Gives an unnamed file its first name. */
static int name_it(int fd, int dir, const char *name)
{
	char path[32];

	if (linkat(fd, "", dir, name, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno != ENOENT && errno != EPERM && errno != EACCES)
		return -1;
	/* Older kernels want a capability for the above; this way needs /proc. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, path, dir, name, AT_SYMLINK_FOLLOW);
}

/* f gets the name `name` in dir, in the place of any file of that name. */
static int place(struct local *l, struct local_file *f, int dir, const char *name)
{
	struct stat st;

	if (!f->name[0]) {
		if (name_it(f->fd, dir, name) == 0)
			return 0;
		if (errno != EEXIST)
			return -1;
		local_tmp_name(l, f->name);
		if (name_it(f->fd, l->own, f->name)) {
			f->name[0] = '\0';
			return -1;
		}
	}
	/* rename() would replace a symlink or a fifo just as well; somebody put it there for a
	 * reason. */
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode)) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : ELOOP;
		return -1;
	}
	if (renameat(l->own, f->name, dir, name))
		return -1;
	f->name[0] = '\0';
	return 0;
}

/* -1 with errno; after a failed fsync the name may be there all the same. *made: see
 * local_make_parent(). */
static int publish_in(struct local *l, struct local_file *f, const char *key, bool make,
		      size_t *made)
{
	const char *name;
	CLEANUP(local_closep) int dir = -1;
	bool sync_all;

	*made = strlen(key);
	dir = make ? local_make_parent(l, key, &name, made) : local_open_parent(l, key, &name);
	if (dir < 0)
		return -1;
	/* A directory that another upload made but has not yet made durable must not carry our
	 * answer. */
	sync_all = atomic_load(&l->making) > (make ? 1 : 0) || atomic_load(&l->doubt);
	if (place(l, f, dir, name))
		return -1;
	if (fsync(dir) || (sync_all && local_sync_parents(l, key)))
		return -1;
	return 0;
}

static int publish_fail(struct ctx *c, int err, const char *key)
{
	switch (err) {
	case ENOTDIR:
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Artifact path passes through a file: '%.500s'", key);
	case EISDIR:
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Artifact path refers to a directory, not a file: '%.500s'", key);
	case EXDEV:
		return fail_because(c, INTERNAL_ERROR, "EXDEV",
				    "Artifacts below '%.500s' lie on another file system", key);
	default:
		return local_fail(c, err, "publish");
	}
}

int local_publish(struct ctx *c, struct local *l, struct local_file *f, const char *key)
{
	size_t made = 0;
	int rc = publish_in(l, f, key, false, &made);

	/* Repeated when a delete takes the directory away between its making and our name in it. */
	for (int i = 0; rc && errno == ENOENT && i < 100; i++) {
		atomic_fetch_add(&l->making, 1);
		rc = publish_in(l, f, key, true, &made);
		if (rc) {
			int saved = errno;

			local_unmake(l, key, made);
			errno = saved;
		}
		atomic_fetch_sub(&l->making, 1);
	}
	return rc ? publish_fail(c, errno, key) : 0;
}

int local_write_begin(struct ctx *c, struct blob *b, const struct blob_target *t,
		      struct blob_ready ready, struct blob_writer **ret)
{
	struct local *l = (struct local *)b;
	struct local_writer *w;

	(void)ready;
	if (local_key_hidden(t->key))
		return fail(c, INVALID_PARAMETER_VALUE, "Invalid path");
	w = calloc(1, sizeof(*w));
	if (!w)
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	w->writer.ops = &blob_local;
	w->local = l;
	w->part = t->part;
	w->file.fd = -1;
	w->key = strdup(t->key);
	w->upload_id = t->upload_id ? strdup(t->upload_id) : NULL;
	*ret = &w->writer; /* its owner closes it, also after a failure below */
	if (!w->key || (t->upload_id && !w->upload_id))
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	if (t->upload_id) {
		int dir = local_parts_open(c, l, t->key, t->upload_id);

		if (dir < 0)
			return -1;
		close(dir);
	}
	return local_file_begin(l, &w->file) ? local_fail(c, errno, "create") : 0;
}

int local_write(struct ctx *c, struct blob_writer *writer, const void *data, size_t n,
		size_t *taken)
{
	struct local_writer *w = (struct local_writer *)writer;

	for (*taken = 0; *taken < n;) {
		ssize_t k = write(w->file.fd, (const char *)data + *taken, n - *taken);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0) {
			w->failed = true;
			return local_fail(c, errno, "write");
		}
		*taken += (size_t)k;
	}
	w->at += n;
	if (w->at - w->flushed >= FLUSH_EVERY) {
		/* Only asks: the one fsync at the end judges. It then has little left to wait for.
		 */
		(void)sync_file_range(w->file.fd, (off_t)w->flushed, (off_t)(w->at - w->flushed),
				      SYNC_FILE_RANGE_WRITE);
		w->flushed = w->at;
	}
	return 0;
}

static int commit_part(struct ctx *c, struct local_writer *w)
{
	CLEANUP(local_closep) int dir = local_parts_open(c, w->local, w->key, w->upload_id);
	char name[LOCAL_NAME];

	if (dir < 0)
		return -1;
	local_part_name(w->part, name);
	if (place(w->local, &w->file, dir, name) || fsync(dir))
		return local_fail(c, errno, "part");
	return 0;
}

int local_write_commit(struct ctx *c, struct blob_writer *writer, char etag[BLOB_ETAG])
{
	struct local_writer *w = (struct local_writer *)writer;
	struct stat st;

	if (w->failed)
		return local_fail(c, EIO, "commit");
	/* A failed fsync is final: the kernel may have dropped the pages and a second one would
	 * lie. */
	if (fsync(w->file.fd) || fstat(w->file.fd, &st)) {
		w->failed = true;
		return local_fail(c, errno, "fsync");
	}
	local_etag(&st, etag);
	return w->upload_id ? commit_part(c, w) : local_publish(c, w->local, &w->file, w->key);
}

void local_write_close(struct blob_writer *writer)
{
	struct local_writer *w = (struct local_writer *)writer;

	local_file_end(w->local, &w->file);
	free(w->key);
	free(w->upload_id);
	free(w);
}
