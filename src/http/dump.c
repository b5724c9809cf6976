/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* dump — the route table for docs/api.md and the tests that go over every row. */
#include <stdio.h>

#include "http.h"

static const char *const permissions[] = {
#define X(name) #name,
	HTTP_PERMISSIONS(X)
#undef X
};
static const char *const kinds[] = {
	"route", "read", "write", "stream", "stream_db", "inline", "blocking", "absent"
};
static const char *const mounts[] = { "api,ajax-api", "ajax-api", "root" };
static const char *const types[] = { "string", "int64", "double",  "bool", "enum",
				     "object", "list",  "strings", "raw" };

enum { DEPTH = 6 }; /* records may hold each other */

/* "name:type", '!' = required; objects and lists with their fields in braces. */
static void fields(FILE *to, const struct record *r, bool reply, int depth)
{
	const char *separator = "";

	for (const struct field *f = r->fields; f->name; f++) {
		if (reply && f->flags & (ALIAS | INPUT_ONLY | WHOLE))
			continue;
		fprintf(to, "%s%s:%s%s", separator, f->name, types[f->type],
			f->flags & REQUIRED ? "!"
			: f->flags & ALIAS  ? "="
					    : "");
		if (f->record && depth < DEPTH) {
			fputc('{', to);
			fields(to, f->record, reply, depth + 1);
			fputc('}', to);
		}
		separator = ",";
	}
}

void http_dump_routes(FILE *to)
{
	fputs("method\tmounts\tpath\tkind\thandler\trequest\treply\tneeds\treason\n", to);
	for (size_t i = 0; i < route_count; i++) {
		const struct route *r = &routes[i];

		fprintf(to, "%s\t%s\t%s\t%s\t%s\t", method_names[r->method], mounts[r->mount],
			r->path, kinds[r->kind], r->handler);
		if (r->request)
			fields(to, r->request, false, 0);
		fputc('\t', to);
		if (r->reply)
			fields(to, r->reply, true, 0);
		fprintf(to, "\t%s\t%s\n", permissions[r->needs], r->reason ? r->reason : "");
	}
}
