/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Reading: media downloads. */
#include "gcs.h"

int gcs_read_open(struct ctx *c, struct blob *b, const char *key, const struct blob_want *want,
		  struct blob_ready ready, struct blob_reader **ret, struct blob_info *info)
{
	struct gcs *g = (struct gcs *)b;
	/* As they are stored: what the store unpacks on the way has neither length nor ranges. */
	static const struct net_header as_stored = { "Accept-Encoding", "gzip" };
	const struct remote_request base = {
		.method = "GET",
		.object = remote_object(c, &g->remote, key),
		.query = "alt=media",
		.headers = &as_stored,
		.header_count = 1,
	};

	return remote_read_open(c, &g->remote, key, want, ready, ret, info, &base);
}
