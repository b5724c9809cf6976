/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "location.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/utf8.h"

/* What Python's urlparse() finds. Members are never NULL. */
struct parts {
	const char *scheme;             /* lower case */
	const char *host;
	const char *path;
	const char *params;
	const char *query;
	const char *fragment;
};

static bool scheme_character(char ch)
{
	return isalnum((unsigned char)ch) || ch == '+' || ch == '-' || ch == '.';
}

/* Cuts text at the first `at`; what follows it, "" when there is none. */
static char *cut(char *text, char at)
{
	char *found = strchr(text, at);

	if (!found)
		return text + strlen(text);
	*found = '\0';
	return found + 1;
}

static bool one_of(const char *name, const char *const *names)
{
	for (; *names; names++) {
		if (strcmp(name, *names) == 0)
			return true;
	}
	return false;
}

/* The copy that urlparse() works on: no leading blanks and controls, no tabs and line ends
   anywhere. */
static char *cleaned(struct arena *a, const char *text)
{
	char *copy, *to;

	while (*text && (unsigned char)*text <= ' ')
		text++;
	copy = to = arena_strdup(a, text);
	for (const char *p = copy; *p; p++) {
		if (!strchr("\t\r\n", *p))
			*to++ = *p;
	}
	*to = '\0';
	return copy;
}

static const char *take_scheme(char **rest)
{
	char *text = *rest;
	size_t n = 0;

	while (scheme_character(text[n]))
		n++;
	if (!n || text[n] != ':' || !isalpha((unsigned char)text[0]))
		return "";
	text[n] = '\0';
	*rest = text + n + 1;
	for (char *p = text; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return text;
}

static const char *take_host(struct arena *a, char **rest)
{
	size_t n;
	char *host;

	if (strncmp(*rest, "//", 2) != 0)
		return "";
	n = strcspn(*rest + 2, "/?#");
	host = arena_strndup(a, *rest + 2, n);
	*rest += 2 + n;
	return host;
}

static struct parts parse(struct arena *a, const char *location)
{
	static const char *const with_params[] = { "", "ftp", "hdl", "prospero", "http", "https",
		"shttp", "rtsp", "rtsps", "rtspu", "sip", "sips", "mms", "sftp", "tel", NULL };
	char *rest = cleaned(a, location);
	struct parts p = { .params = "" };
	char *last;

	p.scheme = take_scheme(&rest);
	p.host = take_host(a, &rest);
	p.fragment = cut(rest, '#');
	p.query = cut(rest, '?');
	if (one_of(p.scheme, with_params)) {
		last = strrchr(rest, '/');
		p.params = cut(last ? last : rest, ';');
	}
	p.path = rest;
	return p;
}

static int hex_digit(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	ch = (char)tolower((unsigned char)ch);
	return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

/* Percent-decodes once. NULL: a NUL byte, or not UTF-8. */
static const char *unquote(struct arena *a, const char *text)
{
	char *out = arena_strdup(a, text);
	char *to = out;

	for (const char *p = text; *p; p++) {
		int high = *p == '%' ? hex_digit(p[1]) : -1;
		int low = high >= 0 ? hex_digit(p[2]) : -1;

		if (low < 0) {
			*to++ = *p;
			continue;
		}
		*to = (char)(high * 16 + low);
		if (!*to++)
			return NULL;
		p += 2;
	}
	*to = '\0';
	return utf8_valid(out, (size_t)(to - out)) ? out : NULL;
}

/* A query is not to lead out of the path it follows, however often it is encoded. */
static int check_query(struct ctx *c, const char *query)
{
	for (int i = 0; i < 10; i++) {
		const char *decoded = unquote(c->arena, query);

		if (!decoded || strstr(decoded, ".."))
			return fail(c, INVALID_PARAMETER_VALUE, "Invalid query string");
		if (strcmp(decoded, query) == 0)
			return 0;
		query = decoded;
	}
	return 0;
}

/* Schemes whose use makes the server connect to a host that the client names. */
static int check_scheme(struct ctx *c, const struct parts *p)
{
	static const char *const host_addressed[] = { "ftp", "sftp", "hdfs", "viewfs", "http",
		"https", "mlflow-artifacts", "r2", "b2", "abfss", NULL };

	if (!one_of(p->scheme, host_addressed))
		return 0;
	if (strcmp(p->scheme, "mlflow-artifacts") == 0 && !*p->host)
		return 0;
	return fail(c, INVALID_PARAMETER_VALUE,
	            "'artifact_location' cannot use the '%s' scheme: the '%s' scheme addresses a"
	            " host other than the"
	            " tracking server's configured artifact storage, so the server would connect to"
	            " the host named"
	            " in the URI.", p->scheme, p->scheme);
}

static int check_length(struct ctx *c, const char *location)
{
	if (utf8_length(location) <= LIMIT_ARTIFACT_LOCATION)
		return 0;
	return fail(c, INVALID_PARAMETER_VALUE,
	            "Invalid artifact path length. The length of the artifact path cannot be"
	            " greater than %d"
	            " characters.", LIMIT_ARTIFACT_LOCATION);
}

/* cwd and path joined like pathlib: no empty and no "." segments. */
static int absolute(struct ctx *c, const char *path, const char **ret)
{
	char cwd[PATH_MAX];
	const char *decoded = unquote(c->arena, path);
	const char *joined;
	char *rest = NULL;
	char *p;

	if (!decoded)
		return fail(c, INVALID_PARAMETER_VALUE, "Invalid artifact location");
	if (!getcwd(cwd, sizeof(cwd)))
		return fail_because(c, INTERNAL_ERROR, strerror(errno),
		                    "The working directory is not available");
	joined = strcmp(cwd, "/") == 0 ? "" : cwd;
	p = strtok_r(arena_strdup(c->arena, decoded), "/", &rest);
	for (; p; p = strtok_r(NULL, "/", &rest)) {
		if (strcmp(p, ".") != 0)
			joined = arena_printf(c->arena, "%s/%s", joined, p);
	}
	*ret = *joined ? joined : "/";
	return 0;
}

static bool remote(const char *host)
{
	const char *at = strrchr(host, '@');
	const char *name = at ? at + 1 : host;

	return *name && strcmp(name, ".") != 0 && strncasecmp(name, "localhost", 9) != 0
	       && strncmp(name, "127.0.0.1", 9) != 0;
}

static int resolve(struct ctx *c, const struct parts *p, const char *location, const char **ret)
{
	bool file = strcmp(p->scheme, "file") == 0;
	const char *path = file ? p->path : location;

	*ret = location;
	if (!file && (*p->scheme || strcmp(location, "databricks") == 0))
		return 0;
	if (file && remote(p->host))
		return fail(c, INVALID_PARAMETER_VALUE, "%s is not a valid remote uri.", location);
	if (*path == '/' || strncasecmp(path, "%2f", 3) == 0)
		return 0;
	if (absolute(c, path, ret))
		return -1;
	if (file)
		*ret = arena_printf(c->arena, "file://%s%s%s", *ret, *p->query ? "?" : "",
		                    p->query);
	return 0;
}

int location_resolve(struct ctx *c, const char *location, const char **ret)
{
	struct parts p = parse(c->arena, location);

	if (*p.fragment || *p.params)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "'artifact_location' URL can't include fragments or params.");
	if (check_query(c, p.query) || check_scheme(c, &p))
		return -1;
	if (strncmp(location, "runs:", 5) == 0)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Artifact location cannot be a runs:/ URI. Given: '%s'", location);
	if (check_length(c, location) || resolve(c, &p, location, ret))
		return -1;
	return check_length(c, *ret);
}
