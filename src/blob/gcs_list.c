/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Looking: what an object is, and what lies directly below a prefix. */
#include "gcs.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/utf8.h"

enum {
	LISTING = 500000,               /* entries of one directory, as on disk */
	PAGE_ARENA = 32 << 20,
};

static const short missing_is_fine[] = { 404, 0 };

static bool is_kind(const json_t *page, const char *name, json_type kind)
{
	const json_t *value = json_object_get(page, name);

	return !value || json_typeof(value) == kind;
}

int gcs_page(struct ctx *c, struct gcs *g, const char *query, const json_t **ret)
{
	const struct remote_request q = { .method = "GET", .query = query };
	struct remote_reply got;

	if (remote_perform(c, &g->remote, &q, &got))
		return -1;
	*ret = gcs_json(c, got.reply.body, got.reply.size);
	if (!*ret)
		return -1;
	if (!is_kind(*ret, "items", JSON_ARRAY) || !is_kind(*ret, "prefixes", JSON_ARRAY) ||
	    !is_kind(*ret, "nextPageToken", JSON_STRING))
		return fail_because(c, TEMPORARILY_UNAVAILABLE, "a list of other types",
				    "The artifact store's answer cannot be understood");
	return 0;
}

/* ---- one object ---- */

/* "key/" for the objects below it; "" of the root of a bucket. */
static const char *below(struct ctx *c, const struct gcs *g, const char *key)
{
	const char *object = remote_object(c, &g->remote, key);

	return *object ? arena_printf(c->arena, "%s/", object) : "";
}

/* 1: something lies below the key. */
static int is_directory(struct ctx *c, struct gcs *g, const char *key)
{
	const json_t *page;

	if (gcs_page(c, g,
		     arena_printf(c->arena, "prefix=%s&maxResults=1&fields=items(name)",
				  net_encode(c, below(c, g, key), false)),
		     &page))
		return -1;
	return json_array_size(json_object_get(page, "items")) > 0;
}

static int describe(struct ctx *c, const struct remote_reply *got, struct blob_info *ret)
{
	const json_t *object = gcs_json(c, got->reply.body, got->reply.size);
	uint64_t generation;

	if (!object)
		return -1;
	*ret = (struct blob_info){ 0 };
	ret->modified = gcs_time(json_string_value(json_object_get(object, "updated")));
	if (!gcs_json_uint(object, "size", &ret->size))
		return fail(c, TEMPORARILY_UNAVAILABLE,
			    "The artifact store answered without the artifact's size");
	if (gcs_json_uint(object, "generation", &generation))
		gcs_etag(arena_printf(c->arena, "%llu", (unsigned long long)generation), ret->etag);
	return 1;
}

int gcs_stat(struct ctx *c, struct blob *b, const char *key, struct blob_info *ret)
{
	struct gcs *g = (struct gcs *)b;
	const struct remote_request q = {
		.method = "GET",
		.object = remote_object(c, &g->remote, key),
		.query = "fields=size,updated,generation",
		.also = missing_is_fine,
	};
	struct remote_reply got;
	int found;

	if (*key) {
		if (remote_perform(c, &g->remote, &q, &got))
			return -1;
		if (got.reply.status != 404)
			return describe(c, &got, ret);
	}
	/* The root is there when its bucket is. */
	found = is_directory(c, g, key);
	if (found < 0 || (!found && *key))
		return found;
	*ret = (struct blob_info){ .directory = true, .modified = -1 };
	return 1;
}

/* ---- a directory ---- */

struct listing {
	struct gcs *g;
	struct arena *arena;            /* the caller's: names outlive their page */
	const char *prefix;             /* with its slash */
	struct blob_entry *items;
	size_t count, capacity;
	bool exists;
};

static int add(struct ctx *c, struct listing *l, const char *name, bool directory, uint64_t size)
{
	size_t skip = strlen(l->prefix), n;

	if (!name || strncmp(name, l->prefix, skip) != 0)
		return fail_because(c, TEMPORARILY_UNAVAILABLE, "a name outside of the prefix",
				    "The artifact store's answer cannot be understood");
	l->exists = true;
	name += skip;
	n = strlen(name);
	if (directory && n > 0 && name[n - 1] == '/')
		n--;
	/* What no key can name: folders' own objects, doubled slashes, dots. */
	if (n == 0 || memchr(name, '/', n) || !utf8_valid(name, n) || (n == 1 && name[0] == '.') ||
	    (n == 2 && !memcmp(name, "..", 2)))
		return 0;
	if (l->count == LISTING)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "The directory holds more than %d artifacts", LISTING);
	if (l->count == l->capacity) {
		size_t more = l->capacity ? l->capacity * 2 : 64;

		l->items = arena_grow(l->arena, l->items, l->capacity * sizeof(*l->items),
				      more * sizeof(*l->items));
		l->capacity = more;
	}
	l->items[l->count++] = (struct blob_entry){
		.name = arena_strndup(l->arena, name, n), .directory = directory, .size = size
	};
	return 0;
}

static int add_page(struct ctx *c, struct listing *l, const json_t *page)
{
	const json_t *items = json_object_get(page, "items");
	const json_t *prefixes = json_object_get(page, "prefixes");

	for (size_t i = 0; i < json_array_size(items); i++) {
		const json_t *item = json_array_get(items, i);
		uint64_t size = 0;

		(void)gcs_json_uint(item, "size", &size);
		if (add(c, l, json_string_value(json_object_get(item, "name")), false, size))
			return -1;
	}
	for (size_t i = 0; i < json_array_size(prefixes); i++)
		if (add(c, l, json_string_value(json_array_get(prefixes, i)), true, 0))
			return -1;
	return 0;
}

/* One page after `token` ("" the first); *next: the following one's token in the caller's arena, NULL the end. */
static int list_page(struct ctx *c, struct listing *l, const char *token, const char **next)
{
	const char *query = arena_printf(
		c->arena,
		"prefix=%s&delimiter=%%2F&maxResults=%d&fields=nextPageToken,prefixes,items(name,size)%s%s",
		net_encode(c, l->prefix, false), GCS_PAGE, *token ? "&pageToken=" : "",
		net_encode(c, token, false));
	const json_t *page;
	const char *more;

	if (gcs_page(c, l->g, query, &page) || add_page(c, l, page))
		return -1;
	more = json_string_value(json_object_get(page, "nextPageToken"));
	*next = more && *more ? arena_strdup(l->arena, more) : NULL;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct blob_entry *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : (int)x->directory - (int)y->directory;
}

static int collect(struct ctx *c, struct listing *l)
{
	/* A page's answer and tree go before the next comes. */
	struct ctx each = *c;
	const char *token = "";
	size_t before;
	int rc = 0, empty = 0;

	each.arena = arena_child(c->arena, PAGE_ARENA);
	for (int pages = 0; token && !rc; pages++) {
		const char *next = NULL;

		before = l->count;
		rc = list_page(&each, l, token, &next);
		empty = l->count == before ? empty + 1 : 0;
		if (!rc && next && (pages == REMOTE_PAGES || empty > REMOTE_PAGES_EMPTY ||
				    !strcmp(next, token)))
			rc = fail(&each, TEMPORARILY_UNAVAILABLE,
				  "The artifact store's listing never ends");
		token = next;
		if (!rc)
			arena_reset(each.arena);
	}
	if (rc)
		(void)fail_because(c, each.error.code, each.error.detail, "%s", each.error.message);
	return rc;
}

int gcs_list(struct ctx *c, struct blob *b, const char *key,
	     int (*each)(struct ctx *c, void *arg, const struct blob_entry *e), void *arg)
{
	struct gcs *g = (struct gcs *)b;
	struct listing l = { .g = g, .arena = c->arena, .prefix = below(c, g, key) };

	if (collect(c, &l))
		return -1;
	if (l.count)
		qsort(l.items, l.count, sizeof(*l.items), by_name);
	for (size_t i = 0; i < l.count; i++)
		if (each(c, arg, &l.items[i]))
			return -1;
	return l.exists || !*key;
}
