/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "s3.h"

int s3_read_open(struct ctx *c, struct blob *b, const char *key, const struct blob_want *want,
                 struct blob_ready ready, struct blob_reader **ret, struct blob_info *info)
{
	struct s3 *s = (struct s3 *)b;
	struct remote_request q = { .method = "GET", .object = remote_object(c, &s->remote, key),
		                    .ranged = true };

	q.headers = s3_customer_key(c, s, &q.header_count);
	return remote_read_open(c, &s->remote, key, want, ready, ret, info, &q);
}
