/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "guard.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HOST_MAX = 255 + 8 }; /* a DNS name, brackets, a port */

struct names {
	char *text; /* the list, cut at its commas */
	char **items;
	size_t count;
	bool all; /* one of them is "*" */
};

struct guard {
	bool own_hosts; /* else the defaults */
	struct names hosts;
	struct names origins;
};

/* A host as of RFC 3986, taken apart. */
struct host {
	char name[HOST_MAX + 1]; /* without brackets */
	bool bracketed;
	const char *port; /* digits, NULL: none */
};

static bool names_parse(struct names *n, const char *list)
{
	size_t most = 1;
	char *rest, *item;

	if (!list || !*list)
		return true;
	for (const char *p = list; *p; p++)
		most += *p == ',';
	n->text = strdup(list);
	n->items = calloc(most, sizeof(*n->items));
	if (!n->text || !n->items)
		return false;
	rest = n->text;
	while ((item = strsep(&rest, ","))) {
		size_t length;

		while (isspace((unsigned char)*item))
			item++;
		length = strlen(item);
		while (length && isspace((unsigned char)item[length - 1]))
			item[--length] = '\0';
		if (!length)
			continue;
		n->all |= strcmp(item, "*") == 0;
		n->items[n->count++] = item;
	}
	return true;
}

struct guard *guard_new(const char *allowed_hosts, const char *cors_allowed_origins)
{
	struct guard *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	if (!names_parse(&g->hosts, allowed_hosts) ||
	    !names_parse(&g->origins, cors_allowed_origins)) {
		guard_free(g);
		return NULL;
	}
	g->own_hosts = g->hosts.count > 0;
	return g;
}

void guard_free(struct guard *g)
{
	if (!g)
		return;
	free(g->hosts.text);
	free(g->hosts.items);
	free(g->origins.text);
	free(g->origins.items);
	free(g);
}

static bool host_parse(const char *text, struct host *ret)
{
	size_t size = strlen(text);
	const char *end, *colon;

	*ret = (struct host){ 0 };
	if (!size || size > HOST_MAX)
		return false;
	if (*text == '[') {
		end = strchr(text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return false;
		ret->bracketed = true;
		memcpy(ret->name, text + 1, (size_t)(end - text - 1));
		colon = end[1] ? end + 1 : NULL;
	} else {
		colon = strchr(text, ':');
		/* An address without brackets, as ":: 1" lists in fc00:* write it: no port. */
		if (colon && strchr(colon + 1, ':'))
			colon = NULL;
		memcpy(ret->name, text, colon ? (size_t)(colon - text) : size);
	}
	for (const char *p = ret->name; *p; p++) {
		if (!isalnum((unsigned char)*p) && !strchr("-._:", *p))
			return false;
	}
	if (colon) {
		size_t digits = strspn(colon + 1, "0123456789");

		if (colon[1 + digits] || digits > 5)
			return false;
		ret->port = colon + 1;
	}
	return *ret->name;
}

static bool is_address4(const struct host *h, uint32_t *ret)
{
	struct in_addr a;

	if (h->bracketed || inet_pton(AF_INET, h->name, &a) != 1)
		return false;
	*ret = ntohl(a.s_addr);
	return true;
}

static bool is_address6(const struct host *h, struct in6_addr *ret)
{
	return inet_pton(AF_INET6, h->name, ret) == 1;
}

/* localhost, 127.0.0.1, [::1], 0.0.0.0 and the private ranges, any port. */
static bool default_host(const struct host *h)
{
	struct in6_addr six;
	uint32_t four;

	if (!h->bracketed && strcasecmp(h->name, "localhost") == 0)
		return true;
	if (is_address4(h, &four)) {
		return four == 0x7f000001 || four == 0 || four >> 24 == 10 ||
		       four >> 20 == (172 << 4 | 1) || four >> 16 == (192 << 8 | 168);
	}
	if (is_address6(h, &six)) {
		return IN6_IS_ADDR_LOOPBACK(&six) || (six.s6_addr[0] & 0xfe) == 0xfc;
	}
	return false;
}

static bool same_host(const char *pattern, const struct host *h)
{
	struct in6_addr mine6, theirs6;
	uint32_t mine, theirs;
	struct host p;

	if (!host_parse(pattern, &p))
		return false;
	if (!p.port != !h->port || (p.port && strcmp(p.port, h->port) != 0))
		return false;
	if (is_address4(&p, &mine))
		return is_address4(h, &theirs) && mine == theirs;
	if (is_address6(&p, &mine6))
		return is_address6(h, &theirs6) && memcmp(&mine6, &theirs6, sizeof(mine6)) == 0;
	return strcasecmp(p.name, h->name) == 0;
}

/* "10.*" means addresses: without this, a name such as 10.example.com would pass. */
static bool numeric(const char *pattern)
{
	return strspn(pattern, "0123456789.*:") == strlen(pattern);
}

bool guard_host_allowed(const struct guard *g, const char *host)
{
	struct host h;
	uint32_t four;

	if (!host || !*host)
		return false;
	if (g->hosts.all)
		return true;
	if (!host_parse(host, &h))
		return false;
	if (!g->own_hosts)
		return default_host(&h);
	for (size_t i = 0; i < g->hosts.count; i++) {
		const char *pattern = g->hosts.items[i];

		if (!strchr(pattern, '*')) {
			if (same_host(pattern, &h))
				return true;
		} else if ((!numeric(pattern) || is_address4(&h, &four)) &&
			   fnmatch(pattern, host, FNM_NOESCAPE | FNM_CASEFOLD) == 0) {
			return true;
		}
	}
	return false;
}

/* "http://localhost:3000" and the like: a page of this machine. `http_only`: what MLflow's CORS
   patterns accept. */
static bool local_origin(const char *origin, bool http_only)
{
	const char *authority = strstr(origin, "://");
	struct host h;

	if (!authority || authority == origin)
		return false;
	for (const char *p = origin; p < authority; p++) {
		if (!isalnum((unsigned char)*p) && !strchr("+-.", *p))
			return false;
	}
	if (http_only && (authority - origin != 4 || strncasecmp(origin, "http", 4) != 0))
		return false;
	if (!host_parse(authority + 3, &h))
		return false;
	if (h.bracketed)
		return strcmp(h.name, "::1") == 0;
	return strcasecmp(h.name, "localhost") == 0 || strcmp(h.name, "127.0.0.1") == 0;
}

static bool listed_origin(const struct guard *g, const char *origin)
{
	for (size_t i = 0; i < g->origins.count; i++) {
		const char *allowed = g->origins.items[i];

		if (strchr(allowed, '*') ? fnmatch(allowed, origin, FNM_NOESCAPE) == 0
					 : strcmp(allowed, origin) == 0)
			return true;
	}
	return false;
}

bool guard_any_origin(const struct guard *g)
{
	return g->origins.all;
}

bool guard_origin_may_write(const struct guard *g, const char *origin)
{
	return g->origins.all || local_origin(origin, false) || listed_origin(g, origin);
}

bool guard_origin_may_read(const struct guard *g, const char *origin)
{
	return g->origins.all || local_origin(origin, true) || listed_origin(g, origin);
}
