/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * SQLAlchemy's database URIs to libpq's. SQLAlchemy allows characters in passwords that end a part
 * for libpq
 * ('/', '?', '#', ':'), so a URI is taken apart by SQLAlchemy's rules, decoded, and written anew.
 */

#include "db/uri.h"

#include <ctype.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/buf.h"

enum { URI_MOST = 16 << 10 };

/* Pieces of the text, still encoded; NULL data: absent. */
struct piece {
	const char *data;
	size_t size;
};

struct parts {
	struct piece scheme, user, password, address, database, query;
};

static bool is_text(struct piece p, const char *s)
{
	return p.size == strlen(s) && strncasecmp(p.data, s, p.size) == 0;
}

static struct piece cut(const char *from, const char *to)
{
	return (struct piece){ from, (size_t)(to - from) };
}

/* False: not scheme://... */
static bool split(const char *uri, struct parts *ret)
{
	const char *p = strstr(uri, "://"), *end = uri + strlen(uri), *at, *slash, *colon;

	*ret = (struct parts){ 0 };
	if (!p || p == uri)
		return false;
	for (const char *s = uri; s < p; s++) {
		if (!isalnum((unsigned char)*s) && !strchr("+-._", *s))
			return false;
	}
	ret->scheme = cut(uri, p);
	p += 3;
	/* user[:password]@, where the user has no '/' and no ':' and the password no '@' */
	colon = p + strcspn(p, ":/");
	at = *colon == ':' ? strchr(colon, '@') : NULL;
	if (at)
		ret->password = cut(colon + 1, at);
	else
		at = memrchr(p, '@', (size_t)(colon - p));
	if (at) {
		ret->user = cut(p, ret->password.data ? colon : at);
		p = at + 1;
	}
	slash = p + strcspn(p, "/?");
	ret->address = cut(p, slash);
	p = slash;
	if (*p == '/') {
		slash = p + 1 + strcspn(p + 1, "?");
		ret->database = cut(p + 1, slash);
		p = slash;
	}
	if (*p == '?')
		ret->query = cut(p + 1, end);
	return true;
}

static int hex_digit(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	ch = (char)(ch | 0x20);
	return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

/* Percent-decodes leniently, as Python does, and encodes for libpq. `plus`: '+' is a blank (query).
 */
static void add_encoded(struct buf *to, struct piece p, bool plus)
{
	for (size_t i = 0; i < p.size; i++) {
		unsigned char ch = (unsigned char)p.data[i];

		if (ch == '+' && plus) {
			ch = ' ';
		} else if (ch == '%' && i + 2 < p.size) {
			int high = hex_digit(p.data[i + 1]), low = hex_digit(p.data[i + 2]);

			if (high >= 0 && low >= 0 && high + low > 0) {
				ch = (unsigned char)(high * 16 + low);
				i += 2;
			}
		}
		if (isalnum(ch) || strchr("-._~", ch))
			buf_addc(to, (char)ch);
		else
			buf_addf(to, "%%%02X", ch);
	}
}

/* The address keeps its structure: brackets, port, several hosts; a socket directory is encoded. */
static void add_address(struct buf *to, struct piece p)
{
	for (size_t i = 0; i < p.size; i++) {
		char ch = p.data[i];

		if (isalnum((unsigned char)ch) || strchr("-._~:,[]%", ch))
			buf_addc(to, ch);
		else
			buf_addf(to, "%%%02X", (unsigned char)ch);
	}
}

/* SQLAlchemy's and its drivers' own options mean nothing to libpq; the encoding is ours to choose.
 */
static bool libpq_knows(const PQconninfoOption *known, struct piece name)
{
	if (is_text(name, "client_encoding"))
		return false;
	for (; known->keyword; known++) {
		if (strlen(known->keyword) == name.size &&
		    memcmp(known->keyword, name.data, name.size) == 0)
			return true;
	}
	return false;
}

static void add_option(struct buf *to, const PQconninfoOption *known, struct piece name,
		       struct piece value, char *separator)
{
	if (is_text(name, "ssl")) {     /* asyncpg, pg8000 */
		name = (struct piece){ "sslmode", 7 };
		if (is_text(value, "true") || is_text(value, "1"))
			value = (struct piece){ "require", 7 };
		if (is_text(value, "false") || is_text(value, "0"))
			value = (struct piece){ "disable", 7 };
	}
	if (!libpq_knows(known, name))
		return;
	buf_addc(to, *separator);
	*separator = '&';
	buf_addn(to, name.data, name.size);
	buf_addc(to, '=');
	add_encoded(to, value, true);
}

static void free_known(PQconninfoOption **known)
{
	PQconninfoFree(*known);
}

static int add_query(struct ctx *c, struct buf *to, struct piece query)
{
	CLEANUP(free_known) PQconninfoOption *known = PQconndefaults();
	const char *p = query.data, *end = query.data + query.size;
	char separator = '?';

	if (!known)
		return fail(c, TEMPORARILY_UNAVAILABLE,
			    "The server is out of memory; try again later.");
	while (p < end) {
		const char *next = memchr(p, '&', (size_t)(end - p));
		const char *stop = next ? next : end;
		const char *equals = memchr(p, '=', (size_t)(stop - p));

		if (equals)
			add_option(to, known, cut(p, equals), cut(equals + 1, stop), &separator);
		p = next ? next + 1 : end;
	}
	return 0;
}

static int refuse(struct ctx *c, const struct parts *parts, bool has_scheme)
{
	static const char what[] =
		"Capstan keeps its data in PostgreSQL. Leave --backend-store-uri out, and it "
		"runs a private PostgreSQL by itself; or pass "
		"postgresql://user:password@host:5432/database";

	if (!has_scheme)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "--backend-store-uri is a file path, which is not "
			    "supported. %s",
			    what);
	return fail(c, INVALID_PARAMETER_VALUE,
		    "--backend-store-uri begins with %.*s://, which is not "
		    "supported. %s",
		    (int)(parts->scheme.size < 40 ? parts->scheme.size : 40), parts->scheme.data,
		    what);
}

static bool is_postgres(struct piece scheme)
{
	const char *plus = memchr(scheme.data, '+', scheme.size);

	if (plus)
		scheme.size = (size_t)(plus - scheme.data);
	return is_text(scheme, "postgresql") || is_text(scheme, "postgres");
}

int db_uri_normalize(struct ctx *c, const char *uri, const char **ret)
{
	struct buf to = BUF(c->arena, URI_MOST * 4);
	struct parts parts;
	bool has_scheme = split(uri, &parts);

	if (!has_scheme || !is_postgres(parts.scheme))
		return refuse(c, &parts, has_scheme);
	if (strlen(uri) > URI_MOST)
		return fail(c, INVALID_PARAMETER_VALUE, "--backend-store-uri is too long");
	buf_add(&to, "postgresql://");
	if (parts.user.data) {
		add_encoded(&to, parts.user, false);
		if (parts.password.data) {
			buf_addc(&to, ':');
			add_encoded(&to, parts.password, false);
		}
		buf_addc(&to, '@');
	}
	add_address(&to, parts.address);
	if (parts.database.size) {
		buf_addc(&to, '/');
		add_encoded(&to, parts.database, false);
	}
	if (parts.query.size && add_query(c, &to, parts.query))
		return -1;
	if (buf_failed(&to))
		return fail(c, INVALID_PARAMETER_VALUE, "--backend-store-uri is too long");
	*ret = buf_text(&to);
	return 0;
}

/* No host: a Unix socket. Of several, where the first is. */
bool db_uri_is_local(const char *conninfo)
{
	static const char *const here[] = { "/", "@", "localhost", "127.", "::1" };
	CLEANUP(free_known) PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
	bool local = true;

	for (const PQconninfoOption *o = options; o && o->keyword; o++) {
		bool names = strcmp(o->keyword, "host") == 0 || strcmp(o->keyword, "hostaddr") == 0;

		if (!names || !o->val || !*o->val)
			continue;
		local = false;
		for (size_t i = 0; i < sizeof(here) / sizeof(here[0]); i++)
			local |= strncmp(o->val, here[i], strlen(here[i])) == 0;
	}
	return options && local;
}

const char *db_uri_redact(struct ctx *c, const char *uri)
{
	struct buf to = BUF(c->arena, URI_MOST);
	struct parts parts;

	if (!split(uri, &parts) || !is_postgres(parts.scheme))
		return "(not shown)";
	buf_addn(&to, parts.scheme.data, parts.scheme.size);
	buf_add(&to, "://");
	if (parts.user.data) {
		buf_addn(&to, parts.user.data, parts.user.size);
		buf_add(&to, parts.password.data ? ":***@" : "@");
	}
	buf_addn(&to, parts.address.data, parts.address.size);
	if (parts.database.size) {
		buf_addc(&to, '/');
		buf_addn(&to, parts.database.data, parts.database.size);
	}
	if (parts.query.size)
		buf_add(&to, "?...");
	return buf_failed(&to) ? "(not shown)" : buf_text(&to);
}
