/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Temporaries: LOCAL_TMP/<process>/..., one folder for each daemon that uses the root, locked while
 * it lives. So a start can remove what dead ones left and never touches what a living one, perhaps
 * on another machine, is writing.
 */
#include "local.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/id.h"

void local_tmp_name(struct local *l, char name[LOCAL_NAME])
{
	snprintf(name, LOCAL_NAME, "t%08x", atomic_fetch_add(&l->serial, 1));
}

static bool dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* A stream over a directory of its own: `dir` stays as it is. */
static DIR *scan(int dir, const char *path)
{
	int fd = local_open(dir, path, O_RDONLY | O_DIRECTORY, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d)
		local_closep(&fd);
	return d;
}

/*
 * Removes the entries of trash/name, then itself. Its folders are moved up into trash under new
 * names instead of being entered, so that neither the depth of a tree nor its width costs memory or
 * descriptors.
 */
static int empty_folder(int trash, const char *name, unsigned *serial, uint64_t *bytes)
{
	DIR *d = scan(trash, name);
	struct dirent *e;
	int rc = 0;

	if (!d)
		return -1;
	while (!rc && (e = readdir(d))) {
		struct stat st;
		char up[LOCAL_NAME];

		if (dots(e->d_name))
			continue;
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW)) {
			rc = errno == ENOENT ? 0 : -1;
		} else if (S_ISDIR(st.st_mode)) {
			snprintf(up, sizeof(up), "d%u", (*serial)++);
			rc = renameat(dirfd(d), e->d_name, trash, up);
		} else {
			rc = unlinkat(dirfd(d), e->d_name, 0);
			if (!rc && S_ISREG(st.st_mode) && st.st_nlink == 1)
				*bytes += (uint64_t)st.st_size;
		}
	}
	closedir(d);
	return rc ? rc : unlinkat(trash, name, AT_REMOVEDIR);
}

/* Everything in the folder trash. Entries that appear meanwhile are its own: repeat until it is
 * empty. */
static int empty_trash(int trash, uint64_t *bytes)
{
	unsigned serial = 1;
	bool more = true;
	int rc = 0;

	while (more && !rc) {
		DIR *d = scan(trash, ".");
		struct dirent *e;

		if (!d)
			return -1;
		more = false;
		while (!rc && (e = readdir(d))) {
			if (dots(e->d_name))
				continue;
			more = true;
			if (unlinkat(trash, e->d_name, 0) == 0)
				continue;
			if (errno != EISDIR && errno != EPERM)
				rc = errno == ENOENT ? 0 : -1;
			else
				rc = empty_folder(trash, e->d_name, &serial, bytes);
		}
		closedir(d);
	}
	return rc;
}

int local_remove_tree(struct local *l, int dir, const char *name, uint64_t *bytes)
{
	char trash_name[LOCAL_NAME];
	CLEANUP(local_closep) int trash = -1;
	int rc;

	local_tmp_name(l, trash_name);
	if (mkdirat(l->own, trash_name, 0700))
		return -1;
	trash = local_open(l->own, trash_name, O_RDONLY | O_DIRECTORY, 0);
	/* One rename: the tree is gone for all readers at once. */
	rc = trash < 0 ? -1 : renameat(dir, name, trash, "d0");
	if (!rc)
		rc = empty_trash(trash, bytes);
	if (rc) {
		int saved = errno;

		(void)unlinkat(l->own, trash_name, AT_REMOVEDIR);
		errno = saved;
		return -1;
	}
	return unlinkat(l->own, trash_name, AT_REMOVEDIR);
}

/* A folder in LOCAL_TMP whose daemon is dead, or a stray file: away with it. */
static void sweep_one(struct local *l, const char *name)
{
	CLEANUP(local_closep) int fd = local_open(l->tmp, name, O_RDONLY | O_DIRECTORY, 0);
	uint64_t bytes = 0;

	if (fd < 0) {
		if (errno == ENOTDIR || errno == ELOOP)
			(void)unlinkat(l->tmp, name, 0);
		return;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		(void)local_remove_tree(l, l->tmp, name, &bytes);
}

static void sweep(struct local *l)
{
	DIR *d = scan(l->tmp, ".");
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d)))
		if (!dots(e->d_name) && strcmp(e->d_name, l->own_name) != 0)
			sweep_one(l, e->d_name);
	closedir(d);
}

static int make_own(struct local *l)
{
	uint8_t random[8];

	id_random(random, sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(l->own_name + 2 * i, 3, "%02x", random[i]);
	if (mkdirat(l->tmp, l->own_name, 0700))
		return -1;
	l->own = local_open(l->tmp, l->own_name, O_RDONLY | O_DIRECTORY, 0);
	return l->own < 0 ? -1 : flock(l->own, LOCK_EX | LOCK_NB);
}

int local_tmp_open(struct local *l)
{
	if (mkdirat(l->root, LOCAL_TMP, 0700) && errno != EEXIST)
		return -1;
	l->tmp = local_open(l->root, LOCAL_TMP, O_RDONLY | O_DIRECTORY, 0);
	if (l->tmp < 0)
		return -1;
	/* Another daemon's sweep may take our folder between its making and its locking: make
	 * another. */
	for (int i = 0; i < 10; i++) {
		struct stat st;

		if (make_own(l) == 0 && fstat(l->own, &st) == 0 && st.st_nlink > 0) {
			sweep(l);
			return 0;
		}
		local_closep(&l->own);
		l->own = -1;
	}
	return -1;
}

void local_tmp_close(struct local *l)
{
	uint64_t bytes = 0;

	if (l->own >= 0) {
		(void)empty_trash(l->own, &bytes);
		(void)unlinkat(l->tmp, l->own_name, AT_REMOVEDIR);
	}
	local_closep(&l->own);
	local_closep(&l->tmp);
}
