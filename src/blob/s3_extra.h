/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* s3_extra — MLFLOW_S3_UPLOAD_EXTRA_ARGS: what boto3's upload_file() takes as ExtraArgs, as the headers that say it. */
#ifndef BLOB_S3_EXTRA_H
#define BLOB_S3_EXTRA_H

#include "s3.h"

/* json: NULL none. A name that boto3 does not know is an error. */
int s3_extra_read(struct ctx *c, struct s3 *s, const char *json) MUST_CHECK;
void s3_extra_free(struct s3 *s);

#endif
