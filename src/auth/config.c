/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "auth/config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "auth/grants.h"
#include "base/arena.h"
#include "base/log.h"

enum {
	FILE_MAX = 64 << 10,
	CACHE_LIMIT = 10000,
	/* MLflow's is 0, because its other workers would go on accepting old passwords for that
	   long. Ours learn of changes within AUTH_STALE_MS. */
	CACHE_TTL_S = 300,
	CACHE_LIMIT_MAX = 1000000,
	CACHE_TTL_MAX_S = 86400,
};

#define BASIC_FUNCTION "mlflow.server.auth:authenticate_request_basic_auth"

struct reader {
	struct ctx *ctx;
	const char *name;
	int line;
	struct auth_config *out;
};

static int wrong(struct reader *r, const char *key, const char *why)
{
	return fail(r->ctx, INVALID_PARAMETER_VALUE, "%s, line %d: %s %s.", r->name, r->line, key,
	            why);
}

static int whole(struct reader *r, const char *key, const char *value, long most, long *ret)
{
	char *end;

	errno = 0;
	*ret = strtol(value, &end, 10);
	if (!*value || *end || errno || *ret < 0 || *ret > most)
		return wrong(r, key, "must be a whole number, and not that large");
	return 0;
}

/* configparser's words for yes and no. */
static bool is_boolean(const char *value)
{
	static const char *const words[] = { "1", "yes", "true", "on", "0", "no", "false", "off" };

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strcasecmp(value, words[i]) == 0)
			return true;
	}
	return false;
}

static void unused(struct reader *r, const char *key, const char *why)
{
	log_event(LOG_WARN, "setting changes nothing", "file", r->name, "setting", key, "why", why,
	          NULL);
}

/* Settings whose value is taken as it is not, and why. */
static const struct { const char *key; const char *why; } ignored[] = {
	{ "database_uri", "users are kept in the backend store" },
	{ "read_database_uri", "users are kept in the backend store" },
	{ "workspace_cache_max_size", "there is one workspace" },
	{ "workspace_cache_ttl_seconds", "there is one workspace" },
};

static int set(struct reader *r, const char *key, const char *value)
{
	struct auth_config *o = r->out;
	enum auth_permission p;
	long n;

	for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++) {
		if (strcmp(key, ignored[i].key) == 0)
			return unused(r, key, ignored[i].why), 0;
	}
	if (strcmp(key, "default_permission") == 0) {
		if (!auth_permission_parse(value, &p) || p == AUTH_DENY)
			return wrong(r, key, "must be READ, USE, EDIT, MANAGE or NO_PERMISSIONS");
		o->default_permission = value;
	} else if (strcmp(key, "admin_username") == 0) {
		o->admin_username = value;
	} else if (strcmp(key, "admin_password") == 0) {
		o->admin_password = *value ? value : NULL;
	} else if (strcmp(key, "authorization_function") == 0) {
		if (strcmp(value, BASIC_FUNCTION) != 0)
			return wrong(r, key, "cannot be changed: there is no Python in this"
			             " server, users log in by name and password");
	} else if (strcmp(key, "grant_default_workspace_access") == 0) {
		/* Without workspaces everybody has the default permission there anyway. */
		if (!is_boolean(value))
			return wrong(r, key, "must be true or false");
	} else if (strcmp(key, "auth_cache_max_size") == 0) {
		if (whole(r, key, value, CACHE_LIMIT_MAX, &n))
			return -1;
		o->cache_limit = n ? (size_t)n : 1;
	} else if (strcmp(key, "auth_cache_ttl_seconds") == 0) {
		if (whole(r, key, value, CACHE_TTL_MAX_S, &n))
			return -1;
		o->cache_ttl_ms = n * 1000;
	} else {
		unused(r, key, "there is no such setting");
	}
	return 0;
}

static char *trimmed(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		*--end = 0;
	return s;
}

/* configparser doubles the sign, because one begins a reference. */
static int undouble(struct reader *r, const char *key, char *value)
{
	char *to = value;

	for (const char *s = value; *s; s++) {
		if (*s == '%' && s[1] == '(')
			return wrong(r, key, "refers to another setting by %(...), which is not"
			             " supported; a percent sign is written %%");
		if (*s == '%' && s[1] == '%')
			s++;
		*to++ = *s;
	}
	*to = 0;
	return 0;
}

static int read_line(struct reader *r, char *line, bool *ours)
{
	char *text = trimmed(line);
	char *delimiter;
	char *key;
	char *value;

	if (!*text || *text == '#' || *text == ';')
		return 0;
	if (*text == '[') {
		char *end = strchr(text, ']');

		if (!end)
			return wrong(r, text, "is no section");
		*end = 0;
		*ours = strcmp(text + 1, "mlflow") == 0;
		return 0;
	}
	if (!*ours)
		return 0;
	delimiter = strpbrk(text, "=:");
	if (!delimiter)
		return wrong(r, text, "is no setting: name = value");
	*delimiter = 0;
	key = trimmed(text);
	value = trimmed(delimiter + 1);
	for (char *s = key; *s; s++)
		*s = (char)tolower((unsigned char)*s);
	return undouble(r, key, value) ? -1 : set(r, key, value);
}

int auth_config_parse(struct ctx *c, const char *name, const char *text, struct auth_config *ret)
{
	struct reader r = { .ctx = c, .name = name, .out = ret };
	char *at = arena_strdup(c->arena, text);
	bool ours = false;

	*ret = (struct auth_config){ .default_permission = "READ", .admin_username = "admin",
	                             .cache_limit = CACHE_LIMIT,
	                             .cache_ttl_ms = CACHE_TTL_S * 1000 };
	while (at) {
		char *line = strsep(&at, "\n");

		r.line++;
		if (read_line(&r, line, &ours))
			return -1;
	}
	return 0;
}

int auth_config_read(struct ctx *c, const char *path, struct auth_config *ret)
{
	char *text;
	size_t size = 0;
	ssize_t got = 1;
	int fd;

	if (!path)
		return auth_config_parse(c, "", "", ret);
	text = arena_alloc(c->arena, FILE_MAX + 1);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && got > 0 && size < FILE_MAX) {
		got = read(fd, text + size, FILE_MAX - size);
		if (got > 0)
			size += (size_t)got;
	}
	int error = errno;
	if (fd >= 0)
		close(fd);
	if (fd < 0 || got < 0)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "MLFLOW_AUTH_CONFIG_PATH: cannot read '%s': %s.", path,
		            strerror(error));
	if (strlen(text) != size || size == FILE_MAX)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "MLFLOW_AUTH_CONFIG_PATH: '%s' is no configuration file.", path);
	return auth_config_parse(c, path, text, ret);
}
