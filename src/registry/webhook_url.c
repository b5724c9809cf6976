/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Python's urllib.parse.urlparse() where MLflow asks it, and stricter: characters that no URL has are refused, not
 * removed. What protects is not this but the judgement of the connected socket (net/net.h).
 */
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "net/net.h"
#include "registry/webhook.h"
#include "registry/webhook_send.h"
#include "store/text.h"

enum { RESOLVE_MS = 5000, MESSAGE = 64 << 10 };

struct parts {
	const char *scheme;             /* lower case, "" */
	const char *host;               /* lower case, without brackets, "" */
	bool broken;                    /* brackets that do not match */
};

static const char *repr(struct ctx *c, const char *text)
{
	struct buf b = BUF(c->arena, MESSAGE);

	store_text_repr(&b, text);
	return buf_text(&b);
}

static const char *lower(struct arena *a, const char *s, size_t n)
{
	char *ret = arena_strndup(a, s, n);

	for (char *p = ret; *p; p++)
		*p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 'a' - 'A') : *p;
	return ret;
}

static bool is_alpha(char ch)
{
	return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
}

static size_t scheme_size(const char *url)
{
	size_t n = strspn(url, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");

	return is_alpha(*url) && url[n] == ':' ? n : 0;
}

static void split(struct ctx *c, const char *url, struct parts *ret)
{
	size_t n = scheme_size(url);
	const char *at, *end, *open, *close;

	ret->scheme = lower(c->arena, url, n);
	ret->host = "";
	at = n ? url + n + 1 : url;
	if (strncmp(at, "//", 2) != 0)
		return;
	at += 2;
	end = at + strcspn(at, "/?#");
	for (const char *p = at; p < end; p++) {
		if (*p == '@')
			at = p + 1;
	}
	open = memchr(at, '[', (size_t)(end - at));
	close = memchr(at, ']', (size_t)(end - at));
	if (!open && !close) {
		ret->host = lower(c->arena, at, strcspn(at, ":/?#"));
		return;
	}
	ret->broken = !open || !close || close < open || open != at;
	if (!ret->broken)
		ret->host = lower(c->arena, open + 1, (size_t)(close - open - 1));
}

static bool blank(const char *url)
{
	return !url[strspn(url, " \t\r\n\v\f")];
}

static bool has_strange(const char *url)
{
	for (; *url; url++) {
		if ((unsigned char)*url <= ' ' || *url == 0x7f || *url == '\\')
			return true;
	}
	return false;
}

/* One of the comma-separated list? */
static bool is_allowed(const char *list, const char *scheme)
{
	size_t n = strlen(scheme);

	while (*list) {
		size_t size;

		list += strspn(list, " ,");
		size = strcspn(list, " ,");
		if (n && size == n && memcmp(list, scheme, n) == 0)
			return true;
		list += size;
	}
	return false;
}

static const char *spaced(struct ctx *c, const char *list)
{
	struct buf b = BUF(c->arena, MESSAGE);

	while (*(list += strspn(list, " ,"))) {
		size_t n = strcspn(list, " ,");

		if (b.size)
			buf_add(&b, ", ");
		buf_addn(&b, list, n);
		list += n;
	}
	return buf_text(&b);
}

static int check_resolves(struct ctx *c, const char *host)
{
	struct net_host found;

	if (net_resolve(c, host, RESOLVE_MS, &found))
		return -1;
	if (found.timed_out)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Timed out resolving Webhook URL hostname %s after %d seconds", repr(c, host),
		            RESOLVE_MS / 1000);
	if (found.error)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Cannot resolve Webhook URL hostname %s: [Errno %d] %s", repr(c, host),
		            found.error, net_resolve_error(found.error));
	if (!found.is_public)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Webhook URL must not resolve to a non-public IP address. %s resolves to %s.",
		            repr(c, host), found.address);
	return 0;
}

int registry_webhook_url_check(struct ctx *c, const char *url, bool resolve)
{
	const struct webhook_config *w = registry_webhook_settings();
	struct parts p = { 0 };

	if (blank(url))
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Webhook URL cannot be empty or just whitespace: %s", repr(c, url));
	if (has_strange(url))
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Invalid webhook URL %s: spaces, control characters and backslashes must be"
		            " percent-encoded", repr(c, url));
	split(c, url, &p);
	if (p.broken)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Invalid webhook URL %s: ValueError('Invalid IPv6 URL')", repr(c, url));
	if (!is_allowed(w->schemes, p.scheme))
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Invalid webhook URL scheme: %s. Allowed schemes are: %s.", repr(c, p.scheme),
		            spaced(c, w->schemes));
	if (!*p.host)
		return fail(c, INVALID_PARAMETER_VALUE, "Webhook URL must include a hostname: %s",
		            repr(c, url));
	return resolve && !w->allow_private ? check_resolves(c, p.host) : 0;
}
