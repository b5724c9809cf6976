/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aws_impl.h"
#include "base/arena.h"

/* ---- time ---- */

/* "Z", "+01:00", "+0100", or nothing, which is taken for UTC. -1: something else. */
static int zone(const char *p, int *seconds)
{
	int sign = *p == '-' ? -1 : 1;
	int digits[4];
	int n = 0;

	*seconds = 0;
	if (!*p || strcmp(p, "Z") == 0 || strcmp(p, "z") == 0 || strcmp(p, " UTC") == 0)
		return 0;
	if (*p != '+' && *p != '-')
		return -1;
	for (p++; *p && n < 4; p++) {
		if (*p == ':' && n == 2)
			continue;
		if (*p < '0' || *p > '9')
			return -1;
		digits[n++] = *p - '0';
	}
	if (*p || (n != 4 && n != 2))
		return -1;
	*seconds = (digits[0] * 10 + digits[1]) * 3600;
	if (n == 4)
		*seconds += (digits[2] * 10 + digits[3]) * 60;
	*seconds *= sign;
	return 0;
}

int64_t aws_time(const char *text)
{
	struct tm tm = { 0 };
	const char *p = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
	int64_t ms = 0;
	int offset;

	if (text && !p)
		p = strptime(text, "%Y-%m-%d %H:%M:%S", &tm);
	if (!p)
		return -1;
	if (*p == '.') {
		int64_t unit = 100;

		for (p++; *p >= '0' && *p <= '9'; p++, unit /= 10)
			ms += unit * (*p - '0');
	}
	if (zone(p, &offset))
		return -1;
	return ((int64_t)timegm(&tm) - offset) * 1000 + ms;
}

/* ---- words ---- */

/* As Python's shlex.split(): one word; NULL: a quote or a backslash that does not end. */
static const char *word(const char *p, char *to)
{
	char quote = 0;

	for (; *p && (quote || !strchr(" \t\r\n", *p)); p++) {
		if (quote && *p == quote) {
			quote = 0;
		} else if (!quote && (*p == '\'' || *p == '"')) {
			quote = *p;
		} else if (*p == '\\' && quote != '\'') {
			if (!p[1])
				return NULL;
			/* Within double quotes it stands for itself, unless before these two. */
			if (quote && p[1] != '"' && p[1] != '\\')
				*to++ = *p;
			*to++ = *++p;
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
	return quote ? NULL : p;
}

char **aws_words(struct ctx *c, const char *text)
{
	size_t size = strlen(text);
	char **ret = NEW_ARRAY(c->arena, size / 2 + 2, char *);
	size_t n = 0;

	for (const char *p = text + strspn(text, " \t\r\n"); *p; p += strspn(p, " \t\r\n")) {
		ret[n] = arena_alloc(c->arena, size + 1);
		p = word(p, ret[n++]);
		if (!p)
			return NULL;
	}
	ret[n] = NULL;
	return ret;
}

/* ---- files, environment, errors ---- */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static int cannot_read(struct ctx *c, const char *what, const char *path, const char *why)
{
	char *detail = arena_printf(c->arena, "%s: %s", path, why);

	return fail_because(c, AWS_TROUBLE, detail, "The server cannot read its %s: %s.", what, why);
}

int aws_file(struct ctx *c, const char *what, const char *path, size_t most, const char **text)
{
	struct stat is;
	char *to;
	size_t room;
	size_t size = 0;
	ssize_t n = 1;

	if (stat(path, &is))
		return errno == ENOENT || errno == ENOTDIR ? 0
		                                           : cannot_read(c, what, path, strerror(errno));
	if (!S_ISREG(is.st_mode))
		return cannot_read(c, what, path, "it is not a file");
	if ((uint64_t)is.st_size > most)
		return cannot_read(c, what, path, "it is too large");
	/* One more than it has, to see that it has no more. */
	room = (size_t)is.st_size + 1;
	to = arena_alloc(c->arena, room + 1);
	CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return cannot_read(c, what, path, strerror(errno));
	while (size < room && (n = read(fd, to + size, room - size)) > 0)
		size += (size_t)n;
	if (n < 0)
		return cannot_read(c, what, path, strerror(errno));
	if (size == room)
		return cannot_read(c, what, path, "it is being written");
	to[size] = '\0';
	if (strlen(to) != size)
		return cannot_read(c, what, path, "it is not a text");
	*text = to;
	return 1;
}

const char *aws_variable(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

int aws_explain(struct ctx *c, const char *fmt, ...)
{
	struct error was = c->error;
	char *words;
	va_list ap;

	va_start(ap, fmt);
	words = arena_vprintf(c->arena, fmt, ap);
	va_end(ap);
	error_clear(c);
	return fail_because(c, was.code, was.detail, "%s: %s", words, was.message);
}

struct held {
	json_t *json;
};

static void let_go(void *arg)
{
	struct held *h = arg;

	json_decref(h->json);
}

const json_t *aws_json(struct ctx *c, const char *text, size_t size)
{
	struct held *h = NEW(c->arena, struct held);

	arena_defer(c->arena, let_go, h);
	h->json = json_loadb(text, size, 0, NULL);
	return json_is_object(h->json) ? h->json : NULL;
}

const char *aws_json_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text && *text ? text : NULL;
}

const char *aws_harmless(const char *text, const char *secret)
{
	return text && secret && *secret && strstr(text, secret) ? NULL : text;
}

int aws_pause(struct ctx *c, int ms)
{
	const _Atomic bool *cancel = identity_cancel();

	for (; ms > 0; ms -= 50) {
		struct timespec t = { .tv_nsec = (ms < 50 ? ms : 50) * 1000000L };

		if (cancel && atomic_load(cancel))
			return fail(c, TEMPORARILY_UNAVAILABLE, "The server is stopping.");
		nanosleep(&t, NULL);
	}
	return 0;
}

bool aws_may_retry(const struct net_reply *reply)
{
	static const char *const final[] = { "address", "url", "cancelled", "memory", "too_large" };

	for (size_t i = 0; i < sizeof(final) / sizeof(*final); i++) {
		if (strcmp(reply->failure, final[i]) == 0)
			return false;
	}
	return true;
}
