/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* source_text — sources as text: what parts they have, and what hides in them. */
#ifndef REGISTRY_SOURCE_TEXT_H
#define REGISTRY_SOURCE_TEXT_H

#include <stdbool.h>

struct arena;

/* As Python's urlsplit() has it. Members are never NULL. */
struct uri {
	const char *scheme;             /* lower case; "": none */
	const char *host;               /* lower case, with port and all */
	const char *path;
	const char *query;
	const char *fragment;
};

struct uri uri_parse(struct arena *a, const char *text);

bool uri_scheme_in(const struct uri *u, const char *const *schemes);

/* A path of this machine: no scheme, or file. */
bool uri_is_local(const struct uri *u);

/* mlflow-artifacts:, or the route of a server's artifact proxy. */
bool uri_is_artifact_route(struct arena *a, const char *text);

/* No control characters, no blanks at its ends, and no ".." however often it is percent-encoded
   and whatever stands around it. */
bool uri_is_clean(struct arena *a, const char *text);

/* A local path or file: URI without the ".." segments that are written plainly in its path; all else
   as it stands. */
const char *uri_resolve_local(struct arena *a, const char *text);

/* The path is absolute, not empty, and has no "." in it. */
bool uri_is_absolute(struct arena *a, const char *text, const struct uri *u);

/* A fragment, or params or a query where they are none of a storage's business. */
bool uri_has_params(const char *text, const struct uri *u);

/* At or below: scheme and host are the same, and path segments, each decoded. */
bool uri_below(struct arena *a, const struct uri *u, const struct uri *root);
/* The same of local paths. */
bool uri_path_below(struct arena *a, const struct uri *u, const struct uri *root);

#endif
