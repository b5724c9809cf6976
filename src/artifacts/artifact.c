/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "artifacts/artifact.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "artifacts/location.h"
#include "artifacts/path.h"
#include "base/arena.h"
#include "base/limits.h"
#include "blob/blob.h"
#include "config.h"
#include "handlers.h"
#include "store/location.h"

struct artifacts_config artifacts_config;

enum { MAX_EXPIRATION = 604800 }; /* seconds: the clouds' limit */

/* Of a plain path or file:// URI, made absolute. NULL: neither, or no memory. */
static char *destination_path(const char *uri)
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

void artifacts_configure(struct blob *root, const char *destination_uri, bool serve)
{
	free(artifacts_config.path);
	free(artifacts_config.real_path);
	free(artifacts_config.default_path);
	artifacts_config = (struct artifacts_config){ .root = root, .serve = serve };
	if (destination_uri)
		artifacts_config.path = destination_path(destination_uri);
	if (artifacts_config.path)
		artifacts_config.real_path = realpath(artifacts_config.path, NULL);
}

/* ---- the default root ---- */

static pthread_mutex_t default_lock = PTHREAD_MUTEX_INITIALIZER;
static struct blob *default_root;

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
	char *path = elsewhere ? NULL : destination_path(root_uri);

	if (path && contains(path, private_dir)) {
		free(path);
		path = NULL;
	}
	free(artifacts_config.default_path);
	artifacts_config.default_path = path;
}

struct blob *artifacts_default_root(struct ctx *c)
{
	const char *path = artifacts_config.default_path;
	struct blob *found;
	struct stat st;

	pthread_mutex_lock(&default_lock);
	if (!default_root && path && !stat(path, &st) && S_ISDIR(st.st_mode)) {
		default_root = blob_open(c, path);
		if (!default_root)
			error_clear(c); /* a directory of others is none of ours */
	}
	found = default_root;
	pthread_mutex_unlock(&default_lock);
	return found;
}

void artifacts_close(void)
{
	if (default_root)
		blob_close(default_root);
	default_root = NULL;
}

int artifacts_delete_tree(struct ctx *c, const char *artifact_uri, uint64_t *bytes_freed)
{
	struct blob *store;
	const char *key;

	if (location_find(c, artifact_uri, &store, &key))
		return -1;
	if (!*key)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "'%.500s' is the artifact destination itself", artifact_uri);
	return blob_remove(c, store, key, bytes_freed) < 0 ? -1 : 0;
}

int artifacts_proxy_ready(struct ctx *c)
{
	if (artifacts_config.root && artifacts_config.serve)
		return 0;
	return fail(c, TEMPORARILY_UNAVAILABLE,
		    "Artifact serving is disabled. Run `capstan serve` with `--serve-artifacts` "
		    "to enable.");
}

/* ---- where runs and models keep theirs ---- */

static int location_key(struct ctx *c, const char *uri, struct blob **store, const char **key)
{
	if (!artifacts_config.root || (location_proxied(c, uri) && !artifacts_config.serve))
		return artifacts_proxy_ready(c);
	return location_find(c, uri, store, key);
}

static int run_uri(struct ctx *c, const char *run_id, const char **uri)
{
	int found = store_run_artifact_uri(c, run_id, uri);

	if (!found)
		return fail(c, RESOURCE_DOES_NOT_EXIST, "Run with id=%.200s not found", run_id);
	return found < 0 ? -1 : 0;
}

static int model_uri(struct ctx *c, const char *model_id, const char **uri)
{
	int found = store_logged_model_artifact_uri(c, model_id, uri);

	if (!found)
		return fail(c, RESOURCE_DOES_NOT_EXIST, "Logged model with ID '%.200s' not found.",
			    model_id);
	return found < 0 ? -1 : 0;
}

/* ---- listing ---- */

struct listing {
	struct list *files;
	size_t capacity;
	const char *prefix; /* in front of each name, as the client spelled it */
};

static int add_file(struct ctx *c, void *arg, const struct blob_entry *e)
{
	struct listing *l = arg;
	struct artifact_file *f = list_add(c->arena, l->files, &l->capacity, sizeof(*f));

	f->path = arena_printf(c->arena, "%s%s", l->prefix, e->name);
	f->is_dir = box_bool(c->arena, e->directory);
	if (!e->directory && e->size)
		f->file_size = box_int64(c->arena, (int64_t)e->size);
	return 0;
}

/* What is below `path` (NULL: all) of the location. Nothing there is an empty list. */
static int list_location(struct ctx *c, const char *uri, const char *path,
			 struct list_artifacts_reply *out)
{
	struct listing l = { .files = &out->files, .prefix = "" };
	const char *base, *below, *key;
	struct blob *store;

	if (artifact_path_key(c, path ? path : "", ARTIFACT_DIRECTORY, &below) ||
	    location_key(c, uri, &store, &base) || artifact_path_join(c, base, below, &key))
		return -1;
	if (path && *path)
		l.prefix = arena_printf(c->arena, "%s%s", path,
					path[strlen(path) - 1] == '/' ? "" : "/");
	out->root_uri = uri;
	return blob_list(c, store, key, add_file, &l) < 0 ? -1 : 0;
}

/* A path that is refused is refused before anything is looked up. */
static int check_directory(struct ctx *c, const char *path)
{
	const char *key;

	return path ? artifact_path_key(c, path, ARTIFACT_DIRECTORY, &key) : 0;
}

int artifacts_list(struct ctx *c, const struct list_artifacts *in, struct list_artifacts_reply *out)
{
	const char *uri;

	if (check_directory(c, in->path) || run_uri(c, in->run_id, &uri))
		return -1;
	return list_location(c, uri, in->path, out);
}

int artifacts_model_list(struct ctx *c, const struct list_model_artifacts *in,
			 struct list_artifacts_reply *out)
{
	const char *uri;

	if (check_directory(c, in->artifact_directory_path) || model_uri(c, in->model_id, &uri))
		return -1;
	return list_location(c, uri, in->artifact_directory_path, out);
}

int artifacts_proxy_list(struct ctx *c, const struct list_proxy_artifacts *in,
			 struct list_artifacts_reply *out)
{
	struct listing l = { .files = &out->files, .prefix = "" };
	const char *key;

	if (artifacts_proxy_ready(c) ||
	    artifact_path_key(c, in->path ? in->path : "", ARTIFACT_DIRECTORY, &key))
		return -1;
	return blob_list(c, artifacts_config.root, key, add_file, &l) < 0 ? -1 : 0;
}

/* ---- streams ---- */

static const char *base_name(const char *key)
{
	const char *slash = strrchr(key, '/');

	return slash ? slash + 1 : key;
}

static void download(const struct stream_request *r, const char *key, struct stream *s)
{
	*s = (struct stream){
		.kind = STREAM_DOWNLOAD,
		.key = key,
		.range = r->range,
		.if_none_match = r->if_none_match,
		.if_range = r->if_range,
		.file_name = base_name(key),
	};
}

/* A file of a run or model. */
int artifacts_download_from(struct ctx *c, const struct stream_request *r, const char *uri,
			    const char *path, struct stream *s)
{
	const char *base, *below, *key;
	struct blob *store;

	if (location_key(c, uri, &store, &base) ||
	    artifact_path_key(c, path, ARTIFACT_ANY, &below) ||
	    artifact_path_join(c, base, below, &key))
		return -1;
	download(r, key, s);
	s->store = store;
	return 0;
}

int artifacts_get(struct ctx *c, const struct stream_request *r, struct stream *s)
{
	const char *run_id = r->query(r, "run_id");
	const char *path = r->query(r, "path");
	const char *uri, *key;

	if (!run_id || !*run_id)
		run_id = r->query(r, "run_uuid");
	if (!path)
		return fail(c, INVALID_PARAMETER_VALUE, "Request must specify path.");
	if (artifact_path_key(c, path, ARTIFACT_ANY, &key) ||
	    run_uri(c, run_id ? run_id : "None", &uri))
		return -1;
	return artifacts_download_from(c, r, uri, path, s);
}

int artifacts_model_get(struct ctx *c, const struct stream_request *r, struct stream *s)
{
	const char *model_id = r->path_field(r, "model_id");
	const char *path = r->query(r, "artifact_file_path");
	const char *uri, *key;

	if (!path || !*path)
		return fail(c, BAD_REQUEST,
			    "Request must include the \"artifact_file_path\" query parameter.");
	if (artifact_path_key(c, path, ARTIFACT_ANY, &key) ||
	    model_uri(c, model_id ? model_id : "", &uri))
		return -1;
	return artifacts_download_from(c, r, uri, path, s);
}

static int check_ui_upload(struct ctx *c, const struct stream_request *r, const char *run_id,
			   const char *path)
{
	const char *key;

	if (!run_id || !*run_id)
		return fail(c, INVALID_PARAMETER_VALUE, "Request must specify run_uuid.");
	if (!path || !*path)
		return fail(c, INVALID_PARAMETER_VALUE, "Request must specify path.");
	if (artifact_path_key(c, path, ARTIFACT_FILE, &key))
		return -1;
	if (r->content_length > LIMIT_UI_UPLOAD)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Artifact size is too large. Max size is 10MB.");
	if (r->content_length == 0)
		return fail(c, INVALID_PARAMETER_VALUE, "Request must specify data.");
	return 0;
}

int artifacts_ui_upload(struct ctx *c, const struct stream_request *r, struct stream *s)
{
	const char *run_id = r->query(r, "run_uuid");
	const char *path = r->query(r, "path");
	const char *uri, *base, *below, *key;
	struct blob *store;

	if (check_ui_upload(c, r, run_id, path) || run_uri(c, run_id, &uri) ||
	    location_key(c, uri, &store, &base) || artifact_path_key(c, path, ARTIFACT_FILE, &below) ||
	    artifact_path_join(c, base, below, &key))
		return -1;
	*s = (struct stream){
		.kind = STREAM_UPLOAD,
		.key = key,
		.store = store,
		.size = r->content_length,
		.limit = LIMIT_UI_UPLOAD,
		.not_empty = true,
	};
	return 0;
}

int artifacts_proxy_download(struct ctx *c, const struct stream_request *r, struct stream *s)
{
	const char *key;

	if (artifacts_proxy_ready(c) || artifact_path_key(c, r->path, ARTIFACT_ANY, &key))
		return -1;
	download(r, key, s);
	return 0;
}

int artifacts_proxy_upload(struct ctx *c, const struct stream_request *r, struct stream *s)
{
	const char *key;

	if (artifacts_proxy_ready(c) || artifact_path_key(c, r->path, ARTIFACT_FILE, &key))
		return -1;
	*s = (struct stream){ .kind = STREAM_UPLOAD, .key = key, .size = r->content_length };
	return 0;
}

int artifacts_proxy_delete(struct ctx *c, const struct delete_proxy_artifact *in, struct empty *out)
{
	uint64_t bytes = 0;
	const char *key;

	(void)out;
	if (artifacts_proxy_ready(c) || artifact_path_key(c, in->artifact_path, ARTIFACT_ANY, &key))
		return -1;
	if (!*key)
		return fail(c, METHOD_NOT_ALLOWED, "The artifact root cannot be deleted");
	return blob_remove(c, artifacts_config.root, key, &bytes) < 0 ? -1 : 0;
}

/* ---- presigned URLs: a directory has none ---- */

static int no_presigned(struct ctx *c, const char *uri, const char *what, const char *whose)
{
	if (location_proxied(c, uri))
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Presigned %s is not supported for %sproxied artifact storage "
			    "(artifact URI scheme: %s). This endpoint requires a %sdirect cloud "
			    "storage artifact URI.",
			    what, whose, location_scheme(c, uri), *whose ? "run with a " : "");
	return fail(c, NOT_IMPLEMENTED,
		    "Presigned %s is not supported for the current artifact repository", what);
}

int artifacts_presigned_download(struct ctx *c, const struct presigned_download *in,
				 struct empty *out)
{
	int64_t expiration = in->expiration ? *in->expiration : 900;
	const char *key, *uri;

	(void)out;
	if (artifact_path_key(c, in->path, ARTIFACT_ANY, &key))
		return -1;
	if (expiration < 1 || expiration > MAX_EXPIRATION)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "expiration must be between 1 and %d seconds (got %lld).",
			    MAX_EXPIRATION, (long long)expiration);
	if (run_uri(c, in->run_id, &uri))
		return -1;
	return no_presigned(c, uri, "download", "runs with ");
}

int artifacts_presigned_upload(struct ctx *c, const struct presigned_upload *in, struct empty *out)
{
	bool run = in->run_id && *in->run_id;
	bool model = in->model_id && *in->model_id;
	const char *key, *uri;

	(void)out;
	if (run == model)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Exactly one of run_id and model_id must be provided.");
	if (artifact_path_key(c, in->path, ARTIFACT_ANY, &key) ||
	    (run ? run_uri(c, in->run_id, &uri) : model_uri(c, in->model_id, &uri)))
		return -1;
	return no_presigned(c, uri, "upload", "");
}

int artifacts_proxy_presigned(struct ctx *c, const struct presigned_proxy_url *in,
			      struct empty *out)
{
	const char *key;

	(void)out;
	if (artifacts_proxy_ready(c) || artifact_path_key(c, in->artifact_path, ARTIFACT_ANY, &key))
		return -1;
	return fail(c, NOT_IMPLEMENTED,
		    "Multipart download is not supported for the current artifact repository");
}
