/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Files of model versions. Who may open what a source names is judged before (http/require.c); here
   only what it opens counts, below the artifact root like everything else. */

#include <stdlib.h>
#include <string.h>

#include "artifacts/artifact.h"
#include "artifacts/path.h"
#include "base/arena.h"
#include "handlers.h"
#include "store/location.h"
#include "store/model_version.h"

/* Digits only: what else Python's int() takes, no client sends. */
static int parse_version(struct ctx *c, const char *text, struct version_number *ret)
{
	if (!text || !*text || text[strspn(text, "0123456789")])
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Parameter 'version' must be an integer, got '%.200s'.",
			    text ? text : "");
	text += strspn(text, "0");
	*ret = (struct version_number){
		.number = strlen(text) <= 9 ? strtoll(text, NULL, 10) : 0,
		.text = *text ? text : "0",
	};
	return 0;
}

/* runs:/<run id>/path: below the run's artifacts. */
static int run_path(struct ctx *c, const char *rest, const char *path, const char **uri,
		    const char **below)
{
	size_t n;
	const char *run_id;
	int found;

	rest += strspn(rest, "/");
	n = strcspn(rest, "/");
	run_id = arena_strndup(c->arena, rest, n);
	rest += n + strspn(rest + n, "/");
	found = store_run_artifact_uri(c, run_id, uri);
	if (!found)
		return fail(c, RESOURCE_DOES_NOT_EXIST, "Run with id=%.200s not found", run_id);
	*below = *rest ? arena_printf(c->arena, "%s/%s", rest, path) : path;
	return found < 0 ? -1 : 0;
}

int artifacts_version_get(struct ctx *c, const struct stream_request *r, struct stream *s)
{
	const char *name = r->query(r, "name");
	const char *path = r->query(r, "path");
	const char *uri, *key;
	struct version_number version;

	if (!path)
		return fail(c, INVALID_PARAMETER_VALUE, "Request must specify path.");
	if (artifact_path_key(c, path, ARTIFACT_ANY, &key))
		return -1;
	if (!name || !*name)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "Missing value for required parameter 'name'.");
	if (parse_version(c, r->query(r, "version"), &version) ||
	    store_model_version_location(c, name, &version, &uri))
		return -1;
	if (!strncmp(uri, "runs:", 5) && run_path(c, uri + 5, path, &uri, &path))
		return -1;
	return artifacts_download_from(c, r, uri, path, s);
}
