/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* config — what artifacts_configure() was told; constant after it. */
#ifndef ARTIFACTS_CONFIG_H
#define ARTIFACTS_CONFIG_H

#include <stdbool.h>

struct blob;

struct artifacts_config {
	struct blob *root;
	bool serve;
	char *path;      /* of the destination, absolute; NULL: not a directory */
	char *real_path; /* the same without symlinks */
	char *default_path; /* --default-artifact-root; NULL: no directory of its own */
};
extern struct artifacts_config artifacts_config;

#endif
