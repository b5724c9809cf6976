/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <string.h>

#include "base/arena.h"
#include "net/net.h"

const char *net_url(struct ctx *c, const char *base, const char *path)
{
	size_t n = strlen(base);

	while (n && base[n - 1] == '/')
		n--;
	while (*path == '/')
		path++;
	return arena_printf(c->arena, "%.*s/%s", (int)n, base, path);
}

static bool unreserved(unsigned char ch)
{
	return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9')
	       || ch == '-' || ch == '.' || ch == '_' || ch == '~';
}

const char *net_encode(struct ctx *c, const char *text, bool keep_slashes)
{
	static const char hex[] = "0123456789ABCDEF";
	char *ret = arena_array(c->arena, strlen(text) + 1, 3);
	char *to = ret;

	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (unreserved(*p) || (*p == '/' && keep_slashes)) {
			*to++ = (char)*p;
			continue;
		}
		*to++ = '%';
		*to++ = hex[*p >> 4];
		*to++ = hex[*p & 15];
	}
	*to = '\0';
	return ret;
}
