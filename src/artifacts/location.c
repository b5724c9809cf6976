/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "artifacts/location.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "artifacts/path.h"
#include "base/arena.h"
#include "config.h"
#include "roots.h"

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
		    "Artifacts at '%.500s' are not kept by this server: it serves its artifact "
		    "destination, its default artifact root and what --artifact-roots names",
		    uri);
}

static int invalid(struct ctx *c)
{
	return fail(c, INVALID_PARAMETER_VALUE, "Invalid path");
}

/* ---- where it is ---- */

/* What a location stands for. */
struct place {
	bool proxied;           /* key is of the destination; else */
	const char *text;       /* "s3://bucket/key" or a path, as stores are named */
	bool plain;             /* which is how it was spelled: no other spelling is served by more than
	                           its own roots, so that texts can be compared */
	const char *key;
};

/* a//b is a/b: one name for one file, as keys have it. */
static const char *collapse(struct ctx *c, const char *path)
{
	char *copy = arena_strdup(c->arena, path), *to = copy;

	for (const char *p = copy; *p; p++) {
		if (*p != '/' || to == copy || to[-1] != '/')
			*to++ = *p;
	}
	*to = '\0';
	return copy;
}

static int file_place(struct ctx *c, const char *uri, const char *rest, struct place *ret)
{
	const char *at = path_of(rest);

	/* file://host/p names another machine. */
	if (!at || (!strncmp(rest, "//", 2) && at != rest + 2 && strncmp(rest, "//localhost/", 12)))
		return unsupported(c, uri);
	ret->text = collapse(c, artifact_path_decode(c, at));
	ret->plain = !strcmp(ret->text, at) && !strncmp(uri, "file:", 5);
	return 0;
}

/* Names of buckets: what both clouds have ever taken, and no host with a port. */
static size_t bucket_length(const char *text)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return n >= 3 && n <= 222 && isalnum((unsigned char)*text) && (!text[n] || text[n] == '/')
		? n : 0;
}

int location_remote(struct ctx *c, const char *uri, const char **ret)
{
	const char *bucket = uri + 5, *key;
	size_t n;

	if (strncmp(uri, "s3://", 5) && strncmp(uri, "gs://", 5))
		return unsupported(c, uri);
	n = bucket_length(bucket);
	if (!n)
		return unsupported(c, uri);
	key = bucket + n;
	key += *key == '/';
	/* Keys are not decoded: what decodes to something else is judged in that form too. */
	if (strstr(key, "//") || strpbrk(key, "?#") || *key == '/' ||
	    artifact_path_key(c, key, ARTIFACT_ANY, &key))
		return c->error.code ? -1 : invalid(c);
	*ret = arena_printf(c->arena, "%.*s%s%s", (int)(5 + n), uri, *key ? "/" : "", key);
	n = strlen(*ret);
	/* Another spelling than the one by which it is stored and compared: control characters. */
	return strncmp(uri, *ret, n) || uri[n + strspn(uri + n, "/")] ? invalid(c) : 0;
}

static int read_place(struct ctx *c, const char *uri, struct place *ret)
{
	const char *scheme = location_scheme(c, uri);
	const char *rest = uri + strlen(scheme) + (*scheme ? 1 : 0);
	const char *path = path_of(rest);

	*ret = (struct place){ 0 };
	if (!*scheme) {
		ret->text = collapse(c, uri);
		ret->plain = !strcmp(ret->text, uri);
		return *uri == '/' ? 0 : unsupported(c, uri);
	}
	if (is(scheme, "file"))
		return file_place(c, uri, rest, ret);
	if (is(scheme, "s3") || is(scheme, "gs")) {
		ret->plain = true;
		return location_remote(c, uri, &ret->text);
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
		return invalid(c);
	ret->proxied = true;
	/* Clients put this path into an URL, from which http decodes it once. */
	return artifact_path_key(c, artifact_path_decode(c, path + strspn(path, "/")), ARTIFACT_ANY,
				 &ret->key);
}

/* What lies at `below` of it. */
static int enter(struct ctx *c, struct place *p, const char *below)
{
	if (p->proxied)
		return artifact_path_join(c, p->key, below, &p->key);
	if (*below)
		p->text = arena_printf(c->arena, "%s/%s", p->text, below);
	return 0;
}

/* The key when it is the destination's or the default root's (*in_default); 0 neither. */
static int own_key(struct ctx *c, const struct place *p, bool *in_default, const char **key)
{
	const struct artifacts_config *a = &artifacts_config;
	const char *const own[] = { a->path, a->real_path, a->uri, a->default_path, a->default_uri };

	*in_default = false;
	*key = p->key;
	if (p->proxied)
		return 1;
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		const char *rest = roots_below(p->text, own[i]);

		if (!rest)
			continue;
		*in_default = own[i] == a->default_path || own[i] == a->default_uri;
		rest += strspn(rest, "/");
		return artifact_path_key(c, rest, ARTIFACT_ANY, key) ? -1 : 1;
	}
	return 0;
}

int location_to_key(struct ctx *c, const char *uri, const char **key)
{
	struct place p;
	bool in_default;
	int own;

	if (read_place(c, uri, &p))
		return -1;
	own = own_key(c, &p, &in_default, key);
	return own ? own < 0 ? -1 : 0 : unsupported(c, uri);
}

/* In a place that --artifact-roots allows: a directory is a store of its own, and so is each bucket. */
static int find_allowed(struct ctx *c, const struct place *p, const char *uri, struct blob **store,
			const char **key)
{
	const char *root = roots_allowed(p->text);
	const char *rest;

	if (!root || !p->plain)
		return unsupported(c, uri);
	if (*root != '/')
		root = arena_strndup(c->arena, p->text, 5 + bucket_length(p->text + 5));
	rest = roots_below(p->text, root);
	if (!rest || artifact_path_key(c, rest + strspn(rest, "/"), ARTIFACT_ANY, key))
		return c->error.code ? -1 : unsupported(c, uri);
	*store = roots_open(c, root);
	return *store ? 0 : -1;
}

static int find_default(struct ctx *c, struct blob **store)
{
	const char *path = artifacts_config.default_path;

	*store = roots_open(c, path ? path : artifacts_config.default_uri);
	if (*store || !path || c->error.code == NOT_IMPLEMENTED)
		return *store ? 0 : -1;
	/* A directory of others is none of ours. */
	error_clear(c);
	return unsupported(c, path);
}

int location_find(struct ctx *c, const char *uri, const char *below, struct blob **store,
		  const char **key)
{
	struct place p;
	bool in_default;
	int own;

	if (read_place(c, uri, &p) || enter(c, &p, below))
		return -1;
	own = own_key(c, &p, &in_default, key);
	if (own < 0)
		return -1;
	if (!own)
		return find_allowed(c, &p, uri, store, key);
	if (in_default)
		return find_default(c, store);
	*store = artifacts_config.root;
	return *store ? 0 : unsupported(c, uri);
}

/* ---- places that hold others ---- */

struct texts {
	const char **items;
	size_t count, capacity;
};

/* root/key and all that hold it, down to root itself. */
static void add_holders(struct ctx *c, struct texts *t, const char *prefix, const char *root,
			const char *key)
{
	size_t roots = strlen(root);
	char *text;

	while (roots && root[roots - 1] == '/')
		roots--;
	text = arena_printf(c->arena, "%s%.*s%s%s", prefix, (int)roots, root, *key ? "/" : "", key);
	roots += strlen(prefix);
	for (;;) {
		size_t n = strlen(text);

		if (t->count == t->capacity) {
			size_t more = t->capacity ? 2 * t->capacity : 32;

			t->items = arena_grow(c->arena, t->items, t->capacity * sizeof(*t->items),
					      more * sizeof(*t->items));
			t->capacity = more;
		}
		t->items[t->count++] = text;
		while (n > roots && text[n - 1] != '/')
			n--;
		if (n <= roots)
			return;
		text = arena_strndup(c->arena, text, n - 1);
	}
}

static void add_paths(struct ctx *c, struct texts *t, const char *root, const char *key)
{
	static const char *const spellings[] = { "", "file:", "file://", "file://localhost" };

	for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++)
		add_holders(c, t, spellings[i], root, key);
}

static void add_remote(struct ctx *c, struct texts *t, const char *text)
{
	size_t n = 5 + bucket_length(text + 5);

	add_holders(c, t, "", arena_strndup(c->arena, text, n), text + n + (text[n] == '/'));
}

static void add_own(struct ctx *c, struct texts *t, const char *key)
{
	add_holders(c, t, "", "mlflow-artifacts:", key);
	add_holders(c, t, "", "mlflow-artifacts://", key);
	if (artifacts_config.uri)
		add_holders(c, t, "", artifacts_config.uri, key);
	if (artifacts_config.path)
		add_paths(c, t, artifacts_config.path, key);
	if (artifacts_config.real_path)
		add_paths(c, t, artifacts_config.real_path, key);
}

size_t location_holders(struct ctx *c, const char *uri, const char ***texts)
{
	struct texts t = { 0 };
	struct place p;
	bool in_default;
	const char *key;
	int own = read_place(c, uri, &p) ? -1 : own_key(c, &p, &in_default, &key);

	error_clear(c);
	if (own > 0 && !in_default)
		add_own(c, &t, key);
	else if (own >= 0 && *p.text == '/')
		add_paths(c, &t, "", p.text + strspn(p.text, "/"));
	else if (own >= 0)
		add_remote(c, &t, p.text);
	*texts = t.items;
	return t.count;
}

bool location_holds_root(struct ctx *c, const char *uri)
{
	const struct artifacts_config *a = &artifacts_config;
	const char *const own[] = { a->path, a->real_path, a->uri, a->default_path, a->default_uri };
	struct place p;

	if (read_place(c, uri, &p)) {
		error_clear(c);
		return false;
	}
	for (size_t i = 0; !p.proxied && i < sizeof(own) / sizeof(own[0]); i++) {
		if (own[i] && roots_below(own[i], p.text))
			return true;
	}
	return p.proxied && !*p.key;
}
