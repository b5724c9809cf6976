/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* routes — the table of routes.def, and finding the row of a path. */
#ifndef HTTP_ROUTES_H
#define HTTP_ROUTES_H

#include <stdbool.h>
#include <stddef.h>

#include "artifacts/transfer.h"
#include "base/record.h"
#include "http/api.h"
#include "store/read.h"
#include "store/write.h"

enum http_method {
	METHOD_GET,
	METHOD_HEAD,
	METHOD_POST,
	METHOD_PUT,
	METHOD_PATCH,
	METHOD_DELETE,
	METHOD_OPTIONS,
	METHODS                         /* also: any other */
};
extern const char *const method_names[METHODS];
enum http_method method_parse(const char *name);

enum route_kind {
	KIND_ROUTE, KIND_READ, KIND_WRITE, KIND_STREAM, KIND_STREAM_DB, KIND_INLINE, KIND_BLOCKING,
	KIND_ABSENT                     /* 501; refused with the head */
};
enum route_mount { MOUNT_BOTH, MOUNT_AJAX, MOUNT_ROOT };

struct route {
	enum route_kind kind;
	enum route_mount mount;
	enum http_method method;
	const char *path;               /* as in routes.def */
	const char *handler;            /* ABSENT: "" */
	const char *reason;             /* ABSENT: why */
	enum http_permission needs;
	const struct record *request;   /* ROUTE, READ, WRITE */
	const struct record *reply;
	union {
		int (*route)(struct ctx *c, const void *in, void *out);
		int (*read)(struct ctx *c, const void *in, struct read *r, void *out);
		int (*write)(struct ctx *c, const void *in, struct write *w, void *out);
		int (*stream)(struct ctx *c, const struct stream_request *in, struct stream *out);
		int (*text)(struct ctx *c, struct http_text *out);
	} call;
};

extern const struct route routes[];
extern const size_t route_count;

/* One whose handler waits for artifact stores. */
bool route_of_stores(const struct route *r);
/* ... and that needs no database before that. */
bool route_of_proxy(const struct route *r);

/* One that may look at more than a few rows: a search, a history. */
bool route_is_heavy(const struct route *r);

/* One of users and roles. False for NULL. */
bool route_of_accounts(const struct route *r);

enum { ROUTE_FIELDS = 4 };              /* most {fields} of one path */

struct route_match {
	const struct route *route;      /* NULL: none */
	bool ajax;                      /* by its /ajax-api/ twin */
	unsigned allowed;               /* methods of the path, a bit each; 0: no such path */
	size_t count;
	const char *names[ROUTE_FIELDS];
	const char *values[ROUTE_FIELDS];
};

/* Once, before any other call. */
void routes_init(void);

/* path: decoded. Field names and values are copied into the arena. HEAD finds GET's row. */
void route_find(struct ctx *c, enum http_method method, const char *path, struct route_match *ret);

#endif
