/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* config — what artifacts_configure() and its likes were told; constant after them. */
#ifndef ARTIFACTS_CONFIG_H
#define ARTIFACTS_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blob;

struct ctx;

struct artifacts_config {
	struct blob *root;
	bool serve;
	char *path;      /* of the destination, absolute; NULL: not a directory */
	char *real_path; /* the same without symlinks */
	char *uri;       /* of a destination on a network, as location_remote() spells it; NULL */
	char *default_path; /* --default-artifact-root; NULL: no directory of its own */
	char *default_uri;  /* ... on a network; NULL */
	char **allowed;     /* --artifact-roots: "s3://", "s3://bucket/prefix", "/directory" */
	size_t allowed_count;
	bool presigned_only;
	int (*take)(struct ctx *c);       /* gets one; NULL: there is no database */
	void (*give_back)(struct ctx *c); /* c's database connection, if it has one; NULL: stays */
	int64_t presigned_s; /* how long signed URLs of downloads are good; 0: MLflow's 300 */
};
extern struct artifacts_config artifacts_config;

#endif
