/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Trees of artifacts: what is there, and what is missing at the destination. */
#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "promote_impl.h"

enum { DEPTH_MAX = 64 };

struct entry {
	const char *name;
	bool directory;
	int64_t size;                   /* -1: unknown */
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

/* The path below the root of a location on this machine: file:///x, file:/x, /x. */
static const char *local_path(const char *location)
{
	if (!strncmp(location, "file://localhost/", 17))
		return location + 16;
	if (!strncmp(location, "file:///", 8))
		return location + 7;
	if (!strncmp(location, "file:/", 6) && location[6] != '/')
		return location + 5;
	return location[0] == '/' ? location : NULL;
}

static const char advice[] =
	"promote copies through the servers' artifact proxy: start that server with its "
	"artifacts served (MLflow: --artifacts-destination ROOT and no --default-artifact-root) and "
	"log there.";

/* Where a location can be reached. `readable`: files of this machine will do. */
static int reach(struct ctx *c, struct mlflow *m, const char *what, const char *location,
		 bool readable, struct promote_place *ret)
{
	const char *path = local_path(location);
	struct stat st;

	*ret = (struct promote_place){ .server = m };
	if (mlflow_artifact_place(c, m, location, &ret->proxy, &ret->path))
		return 0;
	/* Only of a server on this machine: another one must not choose which of our files are
	   read. */
	if (readable && path && mlflow_is_local(m) && !strstr(path, "/../") && !stat(path, &st) &&
	    S_ISDIR(st.st_mode)) {
		ret->dir = path;
		return 0;
	}
	/* A run that logged no files has no directory either. */
	if (readable && path && mlflow_is_local(m)) {
		ret->dir = "";
		return 0;
	}
	return fail(c, INVALID_PARAMETER_VALUE, "The artifacts of %s at %s lie at '%s', out of reach: %s",
		    what, mlflow_uri(m), location, advice);
}

/* A name that another server gave must stay inside of its directory. */
static bool safe(const char *name)
{
	return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static const char *below(struct ctx *c, const char *dir, const char *name)
{
	if (!*dir)
		return name;
	return *name ? arena_printf(c->arena, "%s/%s", dir, name) : dir;
}

static int list_remote(struct ctx *c, const struct promote_place *place, const char *dir,
		       struct list *ret)
{
	const char *path = below(c, place->path, dir);
	CLEANUP(mlflow_json_done) json_t *reply = NULL;
	size_t i, capacity = 0;
	json_t *file;

	if (mlflow_get(c, place->server, &reply, place->proxy, "path", *path ? path : NULL, NULL) < 0)
		return -1;
	const json_t *files = json_object_get(reply, "files");
	json_array_foreach(files, i, file) {
		const char *name = mlflow_text(file, "path");
		struct entry *e;
		if (!safe(name))
			return fail(c, INVALID_PARAMETER_VALUE,
				    "%s lists an artifact with the path '%s' in '%s'.",
				    mlflow_uri(place->server), name, path);
		e = list_add(c->arena, ret, &capacity, sizeof(*e));
		e->name = arena_strdup(c->arena, name);
		e->directory = json_is_true(json_object_get(file, "is_dir"));
		e->size = json_object_get(file, "file_size") ? mlflow_int(file, "file_size") : -1;
	}
	return 0;
}

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static int list_local(struct ctx *c, struct promote *p, const struct promote_place *place,
		      const char *dir, struct list *ret)
{
	const char *path = below(c, place->dir, dir);
	CLEANUP(close_dir) DIR *d = *place->dir ? opendir(path) : NULL;
	size_t capacity = 0;
	struct dirent *found;

	if (!*place->dir)
		return 0;
	if (!d)
		return fail(c, IO_ERROR, "Cannot read the directory '%s'.", path);
	while ((found = readdir(d))) {
		struct stat st;
		struct entry *e;
		if (!safe(found->d_name) ||
		    fstatat(dirfd(d), found->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
			promote_note(c, p, "'%s/%s' is neither a file nor a directory: left out.",
				     path, found->d_name);
			continue;
		}
		e = list_add(c->arena, ret, &capacity, sizeof(*e));
		e->name = arena_strdup(c->arena, found->d_name);
		e->directory = S_ISDIR(st.st_mode);
		e->size = st.st_size;
	}
	return 0;
}

static int list(struct ctx *c, struct promote *p, const struct promote_place *place,
		const char *dir, struct list *ret)
{
	int failed = place->dir ? list_local(c, p, place, dir, ret)
				: list_remote(c, place, dir, ret);

	if (!failed && ret->count)
		qsort(ret->items, ret->count, sizeof(struct entry), by_name);
	return failed;
}

static const struct entry *find(const struct list *entries, const char *name)
{
	struct entry key = { .name = name };

	return entries->count ? bsearch(&key, entries->items, entries->count, sizeof(key), by_name)
			      : NULL;
}

static int note_digest(struct ctx *c, struct promote *p, const unsigned char *sha, const char *path)
{
	EVP_MD_CTX *all = p->manifest;
	char hex[2 * PROMOTE_SHA + 3];

	for (int i = 0; i < PROMOTE_SHA; i++)
		snprintf(hex + 2 * i, 3, "%02x", sha[i]);
	memcpy(hex + sizeof(hex) - 3, "  ", 3);
	if (EVP_DigestUpdate(all, hex, sizeof(hex) - 1) != 1 ||
	    EVP_DigestUpdate(all, path, strlen(path)) != 1 || EVP_DigestUpdate(all, "\n", 1) != 1)
		return fail(c, INTERNAL_ERROR, "The digest failed.");
	return 0;
}

/* A file, with memory of its own: there may be very many. */
static int copy_file(struct ctx *c, struct promote *p, const struct promote_place *from,
		     const struct promote_place *to, const char *path, int64_t size, bool there)
{
	unsigned char sha[PROMOTE_SHA];
	struct ctx sub = *c;

	sub.arena = p->scratch;
	int failed = promote_file(&sub, p, from, to, path, size, there, sha, &size);
	if (failed)
		fail_because(c, sub.error.code,
			     sub.error.detail ? arena_strdup(c->arena, sub.error.detail) : NULL,
			     "Artifact '%s': %s", path, sub.error.message);
	arena_reset(p->scratch);
	if (failed)
		return -1;
	p->report->bytes += size;
	p->report->files++;
	return note_digest(c, p, sha, path);
}

/* All below `dir` of both places. to: NULL only counts. */
static int copy_dir(struct ctx *c, struct promote *p, const struct promote_place *from,
		    const struct promote_place *to, const char *dir, int depth)
{
	struct list here = { 0 }, there = { 0 };

	if (depth > DEPTH_MAX)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Artifact directories are more than %d deep: '%s'.", DEPTH_MAX, dir);
	if (list(c, p, from, dir, &here))
		return -1;
	if (to && here.count && list(c, p, to, dir, &there))
		return -1;
	for (size_t i = 0; i < here.count; i++) {
		const struct entry *e = LIST_AT(struct entry, &here, i);
		const struct entry *old = find(&there, e->name);
		const char *path = below(c, dir, e->name);
		if (e->directory) {
			if (copy_dir(c, p, from, to, path, depth + 1))
				return -1;
			continue;
		}
		if (!to) {
			p->report->files++;
			p->report->bytes += e->size > 0 ? e->size : 0;
			continue;
		}
		/* MLflow leaves the size of an empty file out, as it does what it does not know. */
		bool same = old && !old->directory && old->size == e->size;
		if (copy_file(c, p, from, to, path, e->size, same))
			return -1;
	}
	return 0;
}

int promote_artifacts(struct ctx *c, struct promote *p, const char *what, const char *from,
		      const char *to)
{
	struct promote_place source, target;

	if (reach(c, p->from, what, from, true, &source))
		return -1;
	if (to && reach(c, p->to, "the copy", to, false, &target))
		return -1;
	return copy_dir(c, p, &source, to ? &target : NULL, "", 0);
}

void promote_digest(struct promote *p)
{
	unsigned char sha[PROMOTE_SHA];

	if (!p->report->files || p->o->dry_run || EVP_DigestFinal_ex(p->manifest, sha, NULL) != 1)
		return;
	for (int i = 0; i < PROMOTE_SHA; i++)
		snprintf(p->report->digest + 2 * i, 3, "%02x", sha[i]);
}
