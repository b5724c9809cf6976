/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <openssl/crypto.h>
#include <string.h>
#include <strings.h>

#include "auth_impl.h"
#include "base/utf8.h"

static int sextet(char ch)
{
	if (ch >= 'A' && ch <= 'Z')
		return ch - 'A';
	if (ch >= 'a' && ch <= 'z')
		return ch - 'a' + 26;
	if (ch >= '0' && ch <= '9')
		return ch - '0' + 52;
	return ch == '+' ? 62 : ch == '/' ? 63 : -1;
}

/* Whole groups of four, "=" only at the end; returns the size, or -1. */
static long decode(const char *text, size_t size, char *to, size_t room)
{
	size_t at = 0;
	size_t pads = 0;
	unsigned bits = 0;

	if (size % 4 || size / 4 * 3 >= room)
		return -1;
	while (pads < 2 && pads < size && text[size - 1 - pads] == '=')
		pads++;
	for (size_t i = 0; i < size - pads; i++) {
		int v = sextet(text[i]);

		if (v < 0)
			return -1;
		bits = bits << 6 | (unsigned)v;
		if (i % 4 == 0)
			continue;
		to[at++] = (char)(bits >> (6 - i % 4 * 2) & 0xff);
	}
	to[at] = 0;
	return (long)at;
}

bool auth_credentials_parse(const char *authorization, struct credentials *ret)
{
	static const char scheme[] = "Basic ";
	const char *at;
	char *colon;
	size_t size;
	long length;

	if (strncasecmp(authorization, scheme, strlen(scheme)) != 0)
		return false;
	at = authorization + strlen(scheme);
	at += strspn(at, " \t");
	size = strlen(at);
	while (size && (at[size - 1] == ' ' || at[size - 1] == '\t'))
		size--;
	length = decode(at, size, ret->text, sizeof(ret->text));
	if (length < 0 || strlen(ret->text) != (size_t)length
	    || !utf8_valid(ret->text, (size_t)length))
		return false;
	colon = strchr(ret->text, ':');
	if (!colon)
		return false;
	*colon = 0;
	ret->name = ret->text;
	ret->password = colon + 1;
	return true;
}

void auth_credentials_clear(struct credentials *r)
{
	OPENSSL_cleanse(r, sizeof(*r));
}
