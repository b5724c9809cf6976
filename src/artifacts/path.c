/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "artifacts/path.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/utf8.h"

enum { DECODINGS = 10 }; /* MLflow's bound */

static int invalid(struct ctx *c)
{
	return fail(c, INVALID_PARAMETER_VALUE, "Invalid path");
}

static int hex(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	ch = (char)tolower((unsigned char)ch);
	return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

/* Decodes in place; false when nothing changed. %00 stays text, as it would end the string. */
static bool decode(char *s)
{
	bool changed = false;
	char *to = s;

	for (; *s; s++) {
		int hi = *s == '%' ? hex(s[1]) : -1;
		int lo = hi >= 0 ? hex(s[2]) : -1;

		if (lo >= 0 && hi + lo > 0) {
			*to++ = (char)(hi << 4 | lo);
			s += 2;
			changed = true;
		} else
			*to++ = *s;
	}
	*to = '\0';
	return changed;
}

const char *artifact_path_decode(struct ctx *c, const char *text)
{
	char *copy = arena_strdup(c->arena, text);

	decode(copy);
	return copy;
}

/* Absolute, a drive, a file: URI, a fragment, a backslash or a segment "..": in no spelling a name
 * of ours. */
static bool hostile(const char *s)
{
	if (*s == '/' || strpbrk(s, "#\\") || (isalpha((unsigned char)*s) && s[1] == ':') ||
	    !strncasecmp(s, "file:", 5))
		return true;
	while (*s) {
		size_t n = strcspn(s, "/");

		if (n == 2 && !memcmp(s, "..", 2))
			return true;
		s += n + (s[n] == '/');
	}
	return false;
}

/* Hostile in this form, or in any that further decoding makes of it. */
static bool hostile_decoded(struct ctx *c, const char *path)
{
	char *copy = arena_strdup(c->arena, path);

	for (int i = 0; i < DECODINGS; i++) {
		if (hostile(copy))
			return true;
		if (!decode(copy))
			return false;
	}
	return true;
}

static void add_name(struct buf *to, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char ch = (unsigned char)s[i];

		if (ch < 32 || ch == 127)
			buf_addf(to, "%%%02x", ch);
		else
			buf_addc(to, s[i]);
	}
}

static int add_segment(struct ctx *c, struct buf *key, const char *s, size_t n,
		       enum artifact_path_use use)
{
	size_t start;

	if (n == 1 && *s == '.')
		return use == ARTIFACT_DIRECTORY ? 0 : invalid(c);
	if (key->size)
		buf_addc(key, '/');
	start = key->size;
	add_name(key, s, n);
	return key->size - start > LIMIT_PATH_SEGMENT ? invalid(c) : 0;
}

int artifact_path_key(struct ctx *c, const char *path, enum artifact_path_use use, const char **ret)
{
	struct buf key = BUF(c->arena, LIMIT_PATH);
	size_t length = strlen(path);
	const char *name;

	if (length > LIMIT_PATH || !utf8_valid(path, length) || hostile_decoded(c, path))
		return invalid(c);
	if (use == ARTIFACT_FILE && (!length || path[length - 1] == '/'))
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Artifact path must include a filename (cannot end with '/').");
	for (const char *s = path; *s;) {
		size_t n = strcspn(s, "/");

		if (n && add_segment(c, &key, s, n, use))
			return -1;
		s += n + (s[n] == '/');
	}
	*ret = buf_text(&key);
	/* What was dropped in front may have hidden a form that is refused: "./C:x". */
	if (buf_failed(&key) || hostile_decoded(c, *ret))
		return invalid(c);
	name = strrchr(*ret, '/');
	name = name ? name + 1 : *ret;
	if (use == ARTIFACT_FILE && !strncmp(name, ".artifact.uploading.", 20))
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Invalid artifact file name: '%s'. Artifact names starting with "
			    "'.artifact.uploading.' are reserved.",
			    name);
	return strcmp(*ret, ".capstan-tmp") && strncmp(*ret, ".capstan-tmp/", 13) ? 0 : invalid(c);
}

int artifact_path_join(struct ctx *c, const char *base, const char *key, const char **ret)
{
	if (strlen(base) + strlen(key) + 1 > LIMIT_PATH)
		return invalid(c);
	*ret = arena_printf(c->arena, "%s%s%s", base, *base && *key ? "/" : "", key);
	return strcmp(*ret, ".capstan-tmp") && strncmp(*ret, ".capstan-tmp/", 13) ? 0 : invalid(c);
}
