/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "artifacts/artifact.h"

#include <string.h>

#include "artifacts/digest.h"
#include "artifacts/location.h"
#include "artifacts/path.h"
#include "base/arena.h"
#include "base/limits.h"
#include "blob/blob.h"
#include "config.h"
#include "handlers.h"
#include "store/location.h"

int artifacts_delete_tree(struct ctx *c, const char *artifact_uri, uint64_t *bytes_freed)
{
	struct blob *store;
	const char *key;

	if (location_find(c, artifact_uri, "", &store, &key))
		return -1;
	if (!*key)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "'%.500s' is the artifact destination itself", artifact_uri);
	if (blob_remove(c, store, key, bytes_freed) < 0)
		return -1;
	artifacts_forget(c, store, key);
	return 0;
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

int artifacts_find(struct ctx *c, const char *uri, const char *below, struct blob **store,
		   const char **key)
{
	if (artifacts_config.give_back)
		artifacts_config.give_back(c);
	if (!artifacts_config.root || (location_proxied(c, uri) && !artifacts_config.serve))
		return artifacts_proxy_ready(c);
	return location_find(c, uri, below, store, key);
}

int artifacts_run_uri(struct ctx *c, const char *run_id, const char **uri)
{
	int found = store_run_artifact_uri(c, run_id, uri);

	if (!found)
		return fail(c, RESOURCE_DOES_NOT_EXIST, "Run with id=%.200s not found", run_id);
	return found < 0 ? -1 : 0;
}

int artifacts_model_uri(struct ctx *c, const char *model_id, const char **uri)
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
	const char *below, *key;
	struct blob *store;

	if (artifact_path_key(c, path ? path : "", ARTIFACT_DIRECTORY, &below) ||
	    artifacts_find(c, uri, below, &store, &key))
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

	if (check_directory(c, in->path) || artifacts_run_uri(c, in->run_id, &uri))
		return -1;
	return list_location(c, uri, in->path, out);
}

int artifacts_model_list(struct ctx *c, const struct list_model_artifacts *in,
			 struct list_artifacts_reply *out)
{
	const char *uri;

	if (check_directory(c, in->artifact_directory_path) || artifacts_model_uri(c, in->model_id, &uri))
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

static int download(struct ctx *c, const struct stream_request *r, struct blob *store,
		    const char *key, struct stream *s)
{
	*s = (struct stream){
		.kind = STREAM_DOWNLOAD,
		.key = key,
		.store = store,
		.range = r->range,
		.if_none_match = r->if_none_match,
		.if_range = r->if_range,
		.file_name = base_name(key),
	};
	return artifacts_redirects(store) ? artifacts_redirect(c, store, key, &s->redirect) : 0;
}

/* A file of a run or model. */
int artifacts_download_from(struct ctx *c, const struct stream_request *r, const char *uri,
			    const char *path, struct stream *s)
{
	const char *below, *key;
	struct blob *store;

	if (artifact_path_key(c, path, ARTIFACT_ANY, &below) || artifacts_find(c, uri, below, &store, &key))
		return -1;
	return download(c, r, store, key, s);
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
	    artifacts_run_uri(c, run_id ? run_id : "None", &uri))
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
	    artifacts_model_uri(c, model_id ? model_id : "", &uri))
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
	const char *uri, *below, *key;
	struct blob *store;

	if (check_ui_upload(c, r, run_id, path) || artifacts_run_uri(c, run_id, &uri) ||
	    artifact_path_key(c, path, ARTIFACT_FILE, &below) ||
	    artifacts_find(c, uri, below, &store, &key) || artifacts_uploads_allowed(c, store))
		return -1;
	*s = (struct stream){
		.kind = STREAM_UPLOAD,
		.key = key,
		.store = store,
		.size = r->content_length,
		.limit = LIMIT_UI_UPLOAD,
		.not_empty = true,
	};
	return digest_announced(c, r, s);
}

int artifacts_proxy_download(struct ctx *c, const struct stream_request *r, struct stream *s)
{
	const char *key;

	if (artifacts_proxy_ready(c) || artifact_path_key(c, r->path, ARTIFACT_ANY, &key))
		return -1;
	return download(c, r, artifacts_config.root, key, s);
}

int artifacts_proxy_upload(struct ctx *c, const struct stream_request *r, struct stream *s)
{
	const char *key;

	if (artifacts_proxy_ready(c) || artifact_path_key(c, r->path, ARTIFACT_FILE, &key) ||
	    artifacts_uploads_allowed(c, artifacts_config.root))
		return -1;
	*s = (struct stream){
		.kind = STREAM_UPLOAD,
		.key = key,
		.store = artifacts_config.root,
		.size = r->content_length,
	};
	return digest_announced(c, r, s);
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
	if (blob_remove(c, artifacts_config.root, key, &bytes) < 0)
		return -1;
	artifacts_forget(c, artifacts_config.root, key);
	return 0;
}
