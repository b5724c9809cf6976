/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Google Cloud Storage as object store: its settings. */
#include "gcs.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"

static bool gcs_owns(const char *uri)
{
	return !strncmp(uri, "gs:", 3);
}

static void gcs_close(struct blob *b)
{
	struct gcs *g = (struct gcs *)b;

	remote_clear(&g->remote);
	free(g->endpoint);
	free(g->bucket_path);
	free(g->ca_file);
	free(g);
}

/* MLflow's GCS client is built on requests: what makes that trust a private authority does so here. */
static int read_ca_file(struct ctx *c, struct gcs *g)
{
	const char *path = getenv("REQUESTS_CA_BUNDLE");
	struct stat st;

	if (!path || !*path)
		path = getenv("CURL_CA_BUNDLE");
	if (!path || !*path || stat(path, &st) || !S_ISREG(st.st_mode))
		return 0;
	g->ca_file = strdup(path);
	return g->ca_file ? 0 : fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
}

static int configure(struct ctx *c, struct gcs *g, const char *uri)
{
	if (remote_parse(c, &g->remote, uri))
		return -1;
	g->endpoint = gcs_endpoint(c);
	if (!g->endpoint)
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	g->bucket_path = strdup(net_encode(c, g->remote.bucket, false));
	if (!g->bucket_path)
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	if (read_ca_file(c, g))
		return -1;
	g->remote.identity = remote_gcp(c);
	return g->remote.identity ? 0 : -1;
}

static struct blob *gcs_open(struct ctx *c, const char *uri)
{
	struct gcs *g = calloc(1, sizeof(*g));

	if (!g) {
		(void)fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
		return NULL;
	}
	g->remote.blob.ops = &blob_gcs;
	g->remote.ops = &gcs_remote_ops;
	if (configure(c, g, uri)) {
		gcs_close(&g->remote.blob);
		return NULL;
	}
	return &g->remote.blob;
}

const struct blob_ops blob_gcs = {
	.abilities = BLOB_SIGNS_READS | BLOB_SIGNS_WRITES | BLOB_SIGNS_PARTS | BLOB_NEVER_WAITS,
	.owns = gcs_owns,
	.open = gcs_open,
	.close = gcs_close,
	.stat = gcs_stat,
	.list = gcs_list,
	.remove = gcs_remove,
	.read_open = gcs_read_open,
	.read = remote_read,
	.read_close = remote_read_close,
	.write_begin = gcs_write_begin,
	.write = gcs_write,
	.write_commit = gcs_write_commit,
	.write_close = gcs_write_close,
	.parts_create = gcs_parts_create,
	.parts_complete = gcs_parts_complete,
	.parts_abort = gcs_parts_abort,
	.sign = gcs_sign,
	.sign_part = gcs_sign_part,
};
