/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "routes.h"

#include <assert.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "absent.h"
#include "artifacts/artifact.h"
#include "base/arena.h"
#include "handlers.h"

/*
 * Each handler is called through a function with one signature per kind. The typed locals make a
 * handler that does not fit its row's records an error of compilation.
 */
#define NAME(line) NAME_(line)
#define NAME_(line) call_##line

#define ROW_ROUTE(mount_, method_, path_, handler_, request_, reply_, needs_) \
	static int NAME(__LINE__)(struct ctx *c, const void *in, void *out) \
	{ \
		const struct request_ *from = in; \
		struct reply_ *to = out; \
		return handler_(c, from, to); \
	}
#define ROW_WRITE(mount_, method_, path_, handler_, request_, reply_, needs_) \
	static int NAME(__LINE__)(struct ctx *c, const void *in, struct write *w, void *out) \
	{ \
		const struct request_ *from = in; \
		struct reply_ *to = out; \
		return handler_(c, from, w, to); \
	}
#define ROW_READ(mount_, method_, path_, handler_, request_, reply_, needs_) \
	static int NAME(__LINE__)(struct ctx *c, const void *in, struct read *r, void *out) \
	{ \
		const struct request_ *from = in; \
		struct reply_ *to = out; \
		return handler_(c, from, r, to); \
	}
#define ROW_STREAM(mount_, method_, path_, handler_, needs_)
#define ROW_STREAM_DB(mount_, method_, path_, handler_, needs_)
#define ROW_INLINE(mount_, method_, path_, handler_, needs_)
#define ROW_BLOCKING(mount_, method_, path_, handler_, needs_)
#define ROW_ABSENT(mount_, method_, path_, reason_)
#include "rows.h"

#define ROW_(kind_, mount_, method_, path_, handler_, needs_) \
	.kind = kind_, .mount = mount_, .method = METHOD_##method_, .path = path_, \
	.handler = #handler_, .needs = NEEDS_##needs_
#define ROW_ROUTE(mount_, method_, path_, handler_, request_, reply_, needs_) \
	{ ROW_(KIND_ROUTE, mount_, method_, path_, handler_, needs_), \
	  .request = &request_##_record, .reply = &reply_##_record, .call.route = NAME(__LINE__) },
#define ROW_WRITE(mount_, method_, path_, handler_, request_, reply_, needs_) \
	{ ROW_(KIND_WRITE, mount_, method_, path_, handler_, needs_), \
	  .request = &request_##_record, .reply = &reply_##_record, .call.write = NAME(__LINE__) },
#define ROW_READ(mount_, method_, path_, handler_, request_, reply_, needs_) \
	{ ROW_(KIND_READ, mount_, method_, path_, handler_, needs_), \
	  .request = &request_##_record, .reply = &reply_##_record, .call.read = NAME(__LINE__) },
#define ROW_STREAM(mount_, method_, path_, handler_, needs_) \
	{ ROW_(KIND_STREAM, mount_, method_, path_, handler_, needs_), .call.stream = handler_ },
#define ROW_STREAM_DB(mount_, method_, path_, handler_, needs_) \
	{ ROW_(KIND_STREAM_DB, mount_, method_, path_, handler_, needs_), .call.stream = handler_ },
#define ROW_INLINE(mount_, method_, path_, handler_, needs_) \
	{ ROW_(KIND_INLINE, mount_, method_, path_, handler_, needs_), .call.text = handler_ },
#define ROW_BLOCKING(mount_, method_, path_, handler_, needs_) \
	{ ROW_(KIND_BLOCKING, mount_, method_, path_, handler_, needs_), .call.text = handler_ },
#define ROW_ABSENT(mount_, method_, path_, reason_) \
	{ .kind = KIND_ABSENT, .mount = mount_, .method = METHOD_##method_, .path = path_, \
	  .handler = "", .reason = reason_, .needs = NEEDS_SIGNED_IN },

const struct route routes[] = {
#include "rows.h"
};
const size_t route_count = sizeof(routes) / sizeof(routes[0]);

const char *const method_names[METHODS] = {
	[METHOD_GET] = "GET",
	[METHOD_HEAD] = "HEAD",
	[METHOD_POST] = "POST",
	[METHOD_PUT] = "PUT",
	[METHOD_PATCH] = "PATCH",
	[METHOD_DELETE] = "DELETE",
	[METHOD_OPTIONS] = "OPTIONS",
};

enum http_method method_parse(const char *name)
{
	for (unsigned i = 0; i < METHODS; i++) {
		if (strcmp(name, method_names[i]) == 0)
			return (enum http_method)i;
	}
	return METHODS;
}

/*
 * Rows without fields are found by a hash of what follows the mount; the few with fields by trying
 * each. An open table of row numbers + 1, several rows of one path in a run.
 */
enum { SLOTS = 1024, PATTERNS = 256 };

static uint16_t slots[SLOTS];
static uint16_t patterns[PATTERNS];
static size_t pattern_count;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static unsigned hash(const char *s)
{
	uint32_t h = 2166136261u;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	return (h ^ h >> 15) % SLOTS;
}

static void build(void)
{
	assert(sizeof(routes) / sizeof(routes[0]) < SLOTS / 2);
	for (size_t i = 0; i < route_count; i++) {
		if (strchr(routes[i].path, '{')) {
			assert(pattern_count < PATTERNS);
			patterns[pattern_count++] = (uint16_t)i;
			continue;
		}
		unsigned at = hash(routes[i].path);

		while (slots[at])
			at = (at + 1) % SLOTS;
		slots[at] = (uint16_t)(i + 1);
	}
}

bool route_of_proxy(const struct route *r)
{
	static const char proxy[] = "2.0/mlflow-artifacts/";

	return strncmp(r->path, proxy, strlen(proxy)) == 0;
}

bool route_of_stores(const struct route *r)
{
	static const char runs[] = "2.0/mlflow/artifacts/";

	return route_of_proxy(r) || strncmp(r->path, runs, strlen(runs)) == 0 ||
	       (r->kind == KIND_STREAM_DB ? artifacts_redirect_downloads()
					  : strstr(r->path, "}/artifacts/") != NULL);
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

bool route_is_heavy(const struct route *r)
{
	return ends_with(r->path, "/search") || ends_with(r->path, "/search-datasets") ||
	       strstr(r->path, "/get-history") != NULL;
}

bool route_of_accounts(const struct route *r)
{
	return r && (r->needs == NEEDS_ACCOUNTS || r->needs == NEEDS_ACCOUNTS_ADMIN);
}

void routes_init(void)
{
	pthread_once(&once, build);
}

static bool takes_rest(const char *field, size_t size)
{
	return (size == 4 && memcmp(field, "path", 4) == 0) ||
	       (size == 13 && memcmp(field, "artifact_path", 13) == 0);
}

/* Does path fit the pattern? Fills the fields. */
static bool fits(struct ctx *c, const char *pattern, const char *path, struct route_match *ret)
{
	struct { const char *name, *value; size_t name_size, value_size; } got[ROUTE_FIELDS];
	size_t count = 0;

	while (*pattern) {
		const char *close;

		if (*pattern != '{') {
			if (*pattern++ != *path++)
				return false;
			continue;
		}
		close = strchr(pattern, '}');
		assert(close && count < ROUTE_FIELDS);
		got[count].name = pattern + 1;
		got[count].name_size = (size_t)(close - pattern - 1);
		got[count].value = path;
		got[count].value_size = !close[1] && takes_rest(pattern + 1, got[count].name_size)
			? strlen(path) : strcspn(path, "/");
		if (!got[count].value_size)
			return false;
		path += got[count].value_size;
		pattern = close + 1;
		count++;
	}
	if (*path)
		return false;
	for (size_t i = 0; i < count; i++) {
		ret->names[i] = arena_strndup(c->arena, got[i].name, got[i].name_size);
		ret->values[i] = arena_strndup(c->arena, got[i].value, got[i].value_size);
	}
	ret->count = count;
	return true;
}

/* Under which of the row's mounts may the path be looked up? */
static bool mounted(const struct route *r, enum route_mount where)
{
	return where == MOUNT_ROOT ? r->mount == MOUNT_ROOT
	     : where == MOUNT_AJAX ? r->mount != MOUNT_ROOT
	                           : r->mount == MOUNT_BOTH;
}

/* True: this is the row; else only its method is noted. */
static bool chosen(const struct route *r, enum http_method method, struct route_match *ret)
{
	ret->allowed |= 1u << r->method;
	if (r->method != method)
		return false;
	ret->route = r;
	return true;
}

void route_find(struct ctx *c, enum http_method method, const char *path, struct route_match *ret)
{
	enum route_mount where = MOUNT_ROOT;
	struct route_match trial;

	*ret = (struct route_match){ 0 };
	if (method == METHOD_HEAD)
		method = METHOD_GET;
	if (strncmp(path, "/api/", 5) == 0) {
		where = MOUNT_BOTH;
		path += 5;
	} else if (strncmp(path, "/ajax-api/", 10) == 0) {
		where = MOUNT_AJAX;
		ret->ajax = true;
		path += 10;
	}
	for (unsigned at = hash(path); slots[at]; at = (at + 1) % SLOTS) {
		const struct route *r = &routes[slots[at] - 1];

		if (mounted(r, where) && strcmp(r->path, path) == 0 && chosen(r, method, ret))
			return;
	}
	for (size_t i = 0; i < pattern_count; i++) {
		const struct route *r = &routes[patterns[i]];

		trial = *ret;
		if (!mounted(r, where) || !fits(c, r->path, path, &trial))
			continue;
		if (chosen(r, method, &trial)) {
			*ret = trial;
			return;
		}
		ret->allowed = trial.allowed;
	}
}
