/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "roots.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "artifacts/artifact.h"
#include "artifacts/location.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"
#include "blob/blob.h"
#include "config.h"

struct artifacts_config artifacts_config;

/* What a closed transfer left to be taken back in the background still uses its store. */
enum { IDLE_MS = 600000 };

/* ---- configuration ---- */

static bool is_remote(const char *uri)
{
	return !strncmp(uri, "s3://", 5) || !strncmp(uri, "gs://", 5);
}

/* Of a plain path or file:// URI, made absolute. NULL: neither, or no memory. */
static char *directory_path(const char *uri)
{
	char cwd[PATH_MAX];
	char *path = NULL;

	if (!strncmp(uri, "file:", 5)) {
		uri += 5;
		if (!strncmp(uri, "//localhost/", 12))
			uri += 11;
		else if (!strncmp(uri, "//", 2))
			uri += 2;
	} else if (strstr(uri, "://"))
		return NULL;
	if (*uri == '/')
		return strdup(uri);
	while (!strncmp(uri, "./", 2))
		uri += 2 + strspn(uri + 2, "/");
	if (!getcwd(cwd, sizeof(cwd)) || asprintf(&path, "%s/%s", cwd, uri) < 0)
		return NULL;
	return path;
}

static char *remote_uri(const char *uri)
{
	size_t n = strlen(uri);

	while (n > 5 && uri[n - 1] == '/')
		n--;
	return is_remote(uri) ? strndup(uri, n) : NULL;
}

static void forget_roots(void)
{
	for (size_t i = 0; i < artifacts_config.allowed_count; i++)
		free(artifacts_config.allowed[i]);
	free(artifacts_config.allowed);
	artifacts_config.allowed = NULL;
	artifacts_config.allowed_count = 0;
}

void artifacts_configure(struct blob *root, const char *destination_uri, bool serve)
{
	free(artifacts_config.path);
	free(artifacts_config.real_path);
	free(artifacts_config.uri);
	free(artifacts_config.default_path);
	free(artifacts_config.default_uri);
	forget_roots();
	artifacts_config = (struct artifacts_config){ .root = root, .serve = serve };
	if (!destination_uri)
		return;
	artifacts_config.uri = remote_uri(destination_uri);
	if (!artifacts_config.uri)
		artifacts_config.path = directory_path(destination_uri);
	if (artifacts_config.path)
		artifacts_config.real_path = realpath(artifacts_config.path, NULL);
}

/* Both as they are without symlinks. */
static bool contains(const char *dir, const char *path)
{
	char a[PATH_MAX], b[PATH_MAX];
	size_t n;

	if (!realpath(dir, a) || !realpath(path, b))
		return false;
	n = strcmp(a, "/") ? strlen(a) : 0;
	return !strncmp(a, b, n) && (!b[n] || b[n] == '/');
}

void artifacts_configure_default(const char *root_uri, const char *private_dir)
{
	bool elsewhere = strchr(root_uri, ':') && strncmp(root_uri, "file:", 5);
	char *path = elsewhere ? NULL : directory_path(root_uri);

	if (path && private_dir && contains(path, private_dir)) {
		free(path);
		path = NULL;
	}
	free(artifacts_config.default_path);
	free(artifacts_config.default_uri);
	artifacts_config.default_path = path;
	artifacts_config.default_uri = remote_uri(root_uri);
}

static int bad_root(struct ctx *c, const char *item, const char *why)
{
	return fail(c, INVALID_PARAMETER_VALUE, "--artifact-roots: '%.500s' %s.", item, why);
}

/* Read at once and used much later: what is no directory yet is judged by its name. */
static int allow_directory(struct ctx *c, const char *item, const char *private_dir, char **ret)
{
	char *path = NULL;

	if (strncmp(item, "file:", 5) && strchr(item, ':'))
		return bad_root(c, item, "is neither s3://, gs:// nor a directory");
	path = directory_path(item);
	if (!path)
		return bad_root(c, item, "is no directory");
	/* Under a second name what is in there would be nobody's to judge. */
	if ((private_dir && contains(path, private_dir)) ||
	    (artifacts_config.path && (contains(path, artifacts_config.path) ||
				       contains(artifacts_config.path, path)))) {
		free(path);
		return bad_root(c, item, "holds the data directory or the artifact destination, or "
				"lies in it: name one beside them");
	}
	*ret = path;
	return 0;
}

static int allow(struct ctx *c, const char *item, const char *private_dir)
{
	char **more, *text = NULL;
	const char *ignored;

	if (is_remote(item)) {
		if (item[5] && location_remote(c, item, &ignored)) {
			error_clear(c);
			return bad_root(c, item, "names no bucket and prefix");
		}
		text = remote_uri(item);
	} else if (allow_directory(c, item, private_dir, &text))
		return -1;
	more = realloc(artifacts_config.allowed,
		       (artifacts_config.allowed_count + 1) * sizeof(*more));
	if (!more || !text) {
		free(text);
		return fail(c, INTERNAL_ERROR, "Out of memory");
	}
	more[artifacts_config.allowed_count++] = text;
	artifacts_config.allowed = more;
	return 0;
}

int artifacts_configure_roots(struct ctx *c, const char *list, const char *private_dir)
{
	forget_roots();
	for (const char *at = list; *at;) {
		size_t n = strcspn(at, ",");
		char *item = arena_strndup(c->arena, at + strspn(at, " "), n);

		item[strcspn(item, ",")] = '\0';
		n = strlen(item);
		while (n && item[n - 1] == ' ')
			item[--n] = '\0';
		if (n && allow(c, item, private_dir))
			return -1;
		at += strcspn(at, ",");
		at += *at == ',';
	}
	return 0;
}

int artifacts_configure_presigned(struct ctx *c, bool only, int64_t seconds)
{
	artifacts_config.presigned_only = only;
	artifacts_config.presigned_s = seconds;
	if (!only || !artifacts_config.root ||
	    blob_abilities(artifacts_config.root) & BLOB_SIGNS_READS)
		return 0;
	return fail(c, INVALID_PARAMETER_VALUE,
		    "--artifacts-presigned-only needs an artifact destination that signs URLs: "
		    "s3:// or gs://, not a directory.");
}

bool artifacts_redirect_downloads(void)
{
	return artifacts_config.presigned_only;
}

void artifacts_configure_database(int (*take)(struct ctx *c), void (*give_back)(struct ctx *c))
{
	artifacts_config.take = take;
	artifacts_config.give_back = give_back;
}

/* ---- texts ---- */

const char *roots_below(const char *text, const char *root)
{
	size_t n = root ? strlen(root) : 0;

	while (n > 0 && root[n - 1] == '/')
		n--;
	if (!n || strncmp(text, root, n) != 0 || (text[n] && text[n] != '/'))
		return NULL;
	return text + n;
}

const char *roots_allowed(const char *text)
{
	for (size_t i = 0; i < artifacts_config.allowed_count; i++) {
		const char *root = artifacts_config.allowed[i];

		if (strlen(root) == 5 && is_remote(root) ? !strncmp(text, root, 5)
							 : roots_below(text, root) != NULL)
			return root;
	}
	return NULL;
}

/* ---- open stores ---- */

struct root {
	struct blob *store;
	char *uri;
	unsigned holds;
	int64_t used_ms;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct root roots[LIMIT_ROOTS];

static void release(void *store)
{
	roots_release(store);
}

static struct root *find(const struct blob *store)
{
	for (size_t i = 0; i < LIMIT_ROOTS; i++) {
		if (roots[i].store == store)
			return &roots[i];
	}
	return NULL;
}

static struct blob *known(const char *uri)
{
	struct blob *store = NULL;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; !store && i < LIMIT_ROOTS; i++) {
		if (!roots[i].store || strcmp(roots[i].uri, uri) != 0)
			continue;
		store = roots[i].store;
		roots[i].holds++;
	}
	pthread_mutex_unlock(&lock);
	return store;
}

/* A free place, else the one that was idle for longest, whose store goes to *old. */
static struct root *place(struct blob **old)
{
	struct root *r = find(NULL);

	if (r)
		return r;
	for (size_t i = 0; i < LIMIT_ROOTS; i++) {
		if (!roots[i].holds && (!r || roots[i].used_ms < r->used_ms))
			r = &roots[i];
	}
	if (!r || clock_ms() - r->used_ms < IDLE_MS)
		return NULL;
	*old = r->store;
	free(r->uri);
	*r = (struct root){ 0 };
	return r;
}

/* What is to be closed afterwards: an old one, or, without a place for it, store itself. */
static struct blob *keep(struct blob *store, const char *uri, bool *kept)
{
	struct blob *old = NULL;
	struct root *r;

	pthread_mutex_lock(&lock);
	r = place(&old);
	if (r)
		r->uri = strdup(uri);
	*kept = r && r->uri;
	if (*kept) {
		r->store = store;
		r->holds = 1;
	}
	pthread_mutex_unlock(&lock);
	if (!*kept)
		blob_close(store);
	return old;
}

static bool is_directory(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

/* Two threads may open the same at one time: both are kept, and the second is found no more. */
struct blob *roots_open(struct ctx *c, const char *uri)
{
	struct blob *store = known(uri), *old;
	bool kept = true;

	if (!store) {
		/* Clients make it: here it would hide that nothing is there. */
		if (!is_remote(uri) && !is_directory(uri)) {
			(void)fail(c, NOT_IMPLEMENTED,
				   "Artifacts at '%.500s' are not kept by this server: there is no such "
				   "directory", uri);
			return NULL;
		}
		store = blob_open(c, uri);
		if (!store)
			return NULL;
		old = keep(store, uri, &kept);
		if (old)
			blob_close(old);
	}
	if (!kept) {
		(void)fail(c, TEMPORARILY_UNAVAILABLE,
			   "Artifacts of more than %d buckets are in use; try again later.",
			   LIMIT_ROOTS);
		return NULL;
	}
	arena_defer(c->arena, release, store);
	return store;
}

void roots_hold(struct blob *store)
{
	struct root *r;

	pthread_mutex_lock(&lock);
	r = store ? find(store) : NULL;
	if (r)
		r->holds++;
	pthread_mutex_unlock(&lock);
}

void roots_release(struct blob *store)
{
	struct root *r;

	pthread_mutex_lock(&lock);
	r = store ? find(store) : NULL;
	if (r && r->holds) {
		r->holds--;
		r->used_ms = clock_ms();
	}
	pthread_mutex_unlock(&lock);
}

const char *roots_uri(struct ctx *c, struct blob *store, const char *key)
{
	const struct artifacts_config *a = &artifacts_config;
	const char *uri = a->uri ? a->uri : a->real_path ? a->real_path : a->path;
	char *copy = NULL;
	struct root *r;

	if (store == a->root)
		return uri ? arena_printf(c->arena, "%s/%s", uri, key) : NULL;
	pthread_mutex_lock(&lock);
	r = find(store);
	if (r)
		copy = strdup(r->uri);
	pthread_mutex_unlock(&lock);
	if (!copy)
		return NULL;
	arena_defer(c->arena, free, copy);
	return arena_printf(c->arena, "%s/%s", copy, key);
}

void artifacts_close(void)
{
	for (size_t i = 0; i < LIMIT_ROOTS; i++) {
		if (roots[i].store)
			blob_close(roots[i].store);
		free(roots[i].uri);
		roots[i] = (struct root){ 0 };
	}
}
