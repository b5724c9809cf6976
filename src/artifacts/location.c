/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "artifacts/location.h"

#include <string.h>
#include <strings.h>

#include "artifacts/path.h"
#include "base/arena.h"
#include "config.h"
#include "handlers.h"

#define ANCHOR "/api/2.0/mlflow-artifacts/artifacts/"

static size_t scheme_length(const char *uri)
{
	size_t n = strspn(uri, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");

	return n && uri[n] == ':' ? n : 0;
}

const char *location_scheme(struct ctx *c, const char *artifact_uri)
{
	return arena_strndup(c->arena, artifact_uri, scheme_length(artifact_uri));
}

static bool is(const char *scheme, const char *name)
{
	return strcasecmp(scheme, name) == 0;
}

bool location_proxied(struct ctx *c, const char *artifact_uri)
{
	const char *scheme = location_scheme(c, artifact_uri);

	return is(scheme, "mlflow-artifacts") || is(scheme, "http") || is(scheme, "https");
}

/* Behind "scheme:": the path, past any //host. NULL: there is none. */
static const char *path_of(const char *rest)
{
	if (strncmp(rest, "//", 2) != 0)
		return rest;
	return strchr(rest + 2, '/');
}

static int unsupported(struct ctx *c, const char *uri)
{
	return fail(c, NOT_IMPLEMENTED,
		    "Artifacts at '%.500s' are not kept by this server: it serves its own artifact "
		    "destination only",
		    uri);
}

/* The rest of path when it lies in root or is root; NULL: elsewhere. */
static const char *below(const char *path, const char *root)
{
	size_t n = root ? strlen(root) : 0;

	while (n > 0 && root[n - 1] == '/')
		n--;
	if (!n || strncmp(path, root, n) != 0 || (path[n] && path[n] != '/'))
		return NULL;
	return path + n;
}

static int plain_key(struct ctx *c, const char *uri, const char *path, bool *in_default,
		     const char **key)
{
	const char *rest = below(path, artifacts_config.path);

	if (!rest)
		rest = below(path, artifacts_config.real_path);
	*in_default = !rest;
	if (!rest)
		rest = below(path, artifacts_config.default_path);
	if (!rest)
		return unsupported(c, uri);
	return artifact_path_key(c, rest + strspn(rest, "/"), ARTIFACT_ANY, key);
}

static int find(struct ctx *c, const char *uri, bool *in_default, const char **key)
{
	const char *scheme = location_scheme(c, uri);
	const char *rest = uri + strlen(scheme) + (*scheme ? 1 : 0);
	const char *path = *scheme ? path_of(rest) : uri;

	if (!*scheme)
		return plain_key(c, uri, path, in_default, key);
	if (is(scheme, "file")) {
		/* file://host/p names another machine. */
		if (!strncmp(rest, "//", 2) && path != rest + 2 &&
		    strncmp(rest, "//localhost/", 12))
			return unsupported(c, uri);
		return path ? plain_key(c, uri, artifact_path_decode(c, path), in_default, key)
			    : unsupported(c, uri);
	}
	if (is(scheme, "http") || is(scheme, "https")) {
		path = path ? strstr(path, ANCHOR) : NULL;
		if (!path)
			return unsupported(c, uri);
		path += strlen(ANCHOR);
	} else if (!is(scheme, "mlflow-artifacts"))
		return unsupported(c, uri);
	if (!path)
		path = "";
	if (strpbrk(path, "?#"))
		return fail(c, INVALID_PARAMETER_VALUE, "Invalid path");
	/* Clients put this path into an URL, from which http decodes it once. */
	return artifact_path_key(c, artifact_path_decode(c, path + strspn(path, "/")), ARTIFACT_ANY,
				 key);
}

int location_to_key(struct ctx *c, const char *uri, const char **key)
{
	bool in_default = false;

	return find(c, uri, &in_default, key);
}

int location_find(struct ctx *c, const char *uri, struct blob **store, const char **key)
{
	bool in_default = false;

	if (find(c, uri, &in_default, key))
		return -1;
	*store = in_default ? artifacts_default_root(c) : artifacts_config.root;
	return *store ? 0 : unsupported(c, uri);
}
