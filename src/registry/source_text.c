/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "source_text.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/arena.h"

enum { MOST_DECODINGS = 32 };

/* ---- parts ---- */

static char *lower(struct arena *a, const char *s, size_t n)
{
	char *copy = arena_strndup(a, s, n);

	for (char *p = copy; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return copy;
}

static size_t scheme_length(const char *text)
{
	size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	                        "0123456789+-.");

	return isalpha((unsigned char)*text) && text[n] == ':' ? n : 0;
}

struct uri uri_parse(struct arena *a, const char *text)
{
	size_t n = scheme_length(text);
	struct uri u = { .scheme = lower(a, text, n), .host = "", .query = "", .fragment = "" };
	char *rest = arena_strdup(a, text + n + (n ? 1 : 0));
	char *cut;

	if (strncmp(rest, "//", 2) == 0) {
		n = strcspn(rest + 2, "/?#");
		u.host = lower(a, rest + 2, n);
		rest += 2 + n;
	}
	cut = strchr(rest, '#');
	if (cut) {
		*cut = '\0';
		u.fragment = cut + 1;
	}
	cut = strchr(rest, '?');
	if (cut) {
		*cut = '\0';
		u.query = cut + 1;
	}
	u.path = rest;
	return u;
}

bool uri_scheme_in(const struct uri *u, const char *const *schemes)
{
	for (; *schemes; schemes++) {
		if (strcmp(u->scheme, *schemes) == 0)
			return true;
	}
	return false;
}

bool uri_is_local(const struct uri *u)
{
	return !*u->scheme || strcmp(u->scheme, "file") == 0;
}

/* ---- encodings ---- */

static int hex(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	ch = (char)tolower((unsigned char)ch);
	return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

/* One decoding in place; whether it changed anything. A NUL becomes 0x01, which nobody accepts. */
static bool decode(char *text)
{
	char *to = text;

	for (const char *p = text; *p; p++) {
		int high = *p == '%' ? hex(p[1]) : -1;
		int low = high >= 0 ? hex(p[2]) : -1;

		if (low < 0) {
			*to++ = *p;
			continue;
		}
		*to = (char)(high * 16 + low);
		to += *to ? 1 : (*to = 1);
		p += 2;
	}
	if (!*to)
		return false;
	*to = '\0';
	return true;
}

/* Until nothing changes. NULL: there is no end of it. */
static char *decoded(struct arena *a, const char *text, size_t n)
{
	char *copy = arena_strndup(a, text, n);

	for (int i = 0; i < MOST_DECODINGS; i++) {
		if (!decode(copy))
			return copy;
	}
	return NULL;
}

static bool has_parent(const char *text)
{
	for (const char *p = text; *p;) {
		size_t n = strcspn(p, "/\\?#;&=:");

		if (n == 2 && p[0] == '.' && p[1] == '.')
			return true;
		p += n + (p[n] != '\0');
	}
	return false;
}

static bool has_control(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return true;
	}
	return false;
}

bool uri_is_clean(struct arena *a, const char *text)
{
	char *copy = arena_strdup(a, text);
	size_t n = strlen(text);

	if (!n || text[0] == ' ' || text[n - 1] == ' ')
		return false;
	for (int i = 0; i < MOST_DECODINGS; i++) {
		if (has_control(copy) || has_parent(copy))
			return false;
		if (!decode(copy))
			return true;
	}
	return false;
}

/* ---- paths ---- */

/* The next segment that is one: neither empty nor ".". *n 0: there is none. */
static const char *segment(const char *p, size_t *n)
{
	for (;;) {
		p += strspn(p, "/");
		*n = strcspn(p, "/");
		if (*n != 1 || *p != '.')
			return p;
		p += 1;
	}
}

static bool segments_below(struct arena *a, const char *path, const char *root, bool decoding)
{
	bool any = false;
	size_t n, m;

	for (;;) {
		const char *x, *y;

		root = segment(root, &m);
		if (!m)
			return any;
		path = segment(path, &n);
		x = decoding ? decoded(a, path, n) : arena_strndup(a, path, n);
		y = decoding ? decoded(a, root, m) : arena_strndup(a, root, m);
		if (!n || !x || !y || strcmp(x, y) != 0)
			return false;
		path += n;
		root += m;
		any = true;
	}
}

bool uri_below(struct arena *a, const struct uri *u, const struct uri *root)
{
	return strcmp(u->scheme, root->scheme) == 0 && strcmp(u->host, root->host) == 0 &&
	       segments_below(a, u->path, root->path, true);
}

/* What location_to_key() of artifacts/ reads later: a file: URI decoded once, a plain path as it
   stands. */
static const char *local_path(struct arena *a, const struct uri *u)
{
	char cwd[PATH_MAX];
	char *path = arena_printf(a, "%s%s%s%s%s", *u->scheme || !*u->host ? "" : "//",
	                          *u->scheme ? "" : u->host, u->path, *u->query ? "?" : "",
	                          u->query);

	if (*u->scheme)
		decode(path);
	if (*path == '/')
		return path;
	return getcwd(cwd, sizeof(cwd)) ? arena_printf(a, "%s/%s", cwd, path) : "";
}

bool uri_path_below(struct arena *a, const struct uri *u, const struct uri *root)
{
	return segments_below(a, local_path(a, u), local_path(a, root), false);
}

/* Where the path of a local source starts. NULL: it has none that is absolute. */
static const char *local_start(const char *text)
{
	size_t n = scheme_length(text);

	if (n && strncasecmp(text, "file:", 5) != 0)
		return NULL;
	text += n ? n + 1 : 0;
	if (n && strncmp(text, "//", 2) == 0)
		text += 2 + strcspn(text + 2, "/?#");
	return *text == '/' && (n || text[1] != '/') ? text : NULL;
}

const char *uri_resolve_local(struct arena *a, const char *text)
{
	const char *path = local_start(text);
	char *whole, *base, *to;
	size_t n;

	if (!path || !strstr(path, "/..") || strpbrk(path, "?#"))
		return text;
	whole = arena_strdup(a, text);
	base = to = whole + (path - text);
	for (path += 1;; path += n + 1) {
		n = strcspn(path, "/");
		if (n == 2 && path[0] == '.' && path[1] == '.') {
			while (to > base && *--to != '/')
				;
		} else if (n && (n > 1 || *path != '.')) {
			*to++ = '/';
			memcpy(to, path, n);
			to += n;
		}
		if (!path[n])
			break;
	}
	if (to == base)
		*to++ = '/';
	*to = '\0';
	return whole;
}

bool uri_is_absolute(struct arena *a, const char *text, const struct uri *u)
{
	const char *whole = decoded(a, text, strlen(text));
	const char *path;
	bool any = false;

	if (!whole || *u->path != '/')
		return false;
	path = uri_parse(a, whole).path;
	if (*path != '/')
		return false;
	for (const char *p = path; *p;) {
		size_t n = strcspn(p, "/");

		if (n == 1 && *p == '.')
			return false;
		any = any || n;
		p += n + (p[n] != '\0');
	}
	return any;
}

/* ---- kinds ---- */

bool uri_is_artifact_route(struct arena *a, const char *text)
{
	struct uri u = uri_parse(a, text);
	const char *path;

	if (strcmp(u.scheme, "mlflow-artifacts") == 0)
		return true;
	if (strcmp(u.scheme, "http") != 0 && strcmp(u.scheme, "https") != 0)
		return false;
	path = strstr(u.path, "/api/2.0/mlflow-artifacts/artifacts");
	return path && (!path[35] || path[35] == '/');
}

/* Names of models may have these characters; keys of a bucket may have all but '#'. */
bool uri_has_params(const char *text, const struct uri *u)
{
	static const char *const paths[] = { "", "file", "http", "https", "mlflow-artifacts",
		"runs", NULL };

	if (strcmp(u->scheme, "models") == 0)
		return false;
	if (strchr(text, '#') || strstr(text, "%23"))
		return true;
	if (!uri_scheme_in(u, paths))
		return false;
	return strchr(text, ';') || strstr(text, "%3b") || strstr(text, "%3B") ||
	       (*u->scheme && strchr(text, '?'));
}
