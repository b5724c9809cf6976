/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* ops — what a store implements; the contracts are those of blob.h. Every member is required but those for what its
   abilities leave out. */
#ifndef BLOB_OPS_H
#define BLOB_OPS_H

#include "blob/blob.h"

struct blob_ops {
	unsigned abilities;
	/* Whether open() is for this URI. */
	bool (*owns)(const char *uri);
	struct blob *(*open)(struct ctx *c, const char *uri);
	void (*close)(struct blob *b);

	int (*stat)(struct ctx *c, struct blob *b, const char *key, struct blob_info *ret);
	int (*list)(struct ctx *c, struct blob *b, const char *key,
		    int (*each)(struct ctx *c, void *arg, const struct blob_entry *e), void *arg);
	int (*remove)(struct ctx *c, struct blob *b, const char *key, uint64_t *bytes);

	int (*read_open)(struct ctx *c, struct blob *b, const char *key,
			 const struct blob_want *want, struct blob_ready ready,
			 struct blob_reader **ret, struct blob_info *info);
	int (*read)(struct ctx *c, struct blob_reader *r, uint64_t offset, void *to, size_t n,
		    size_t *got);
	int (*read_at_hand)(struct ctx *c, struct blob_reader *r, uint64_t offset, void *to,
			    size_t n, size_t *got);
	void (*read_close)(struct blob_reader *r);

	int (*write_begin)(struct ctx *c, struct blob *b, const struct blob_target *t,
			   struct blob_ready ready, struct blob_writer **ret);
	int (*write)(struct ctx *c, struct blob_writer *w, const void *data, size_t n,
		     size_t *taken);
	int (*write_commit)(struct ctx *c, struct blob_writer *w, char etag[BLOB_ETAG]);
	void (*write_close)(struct blob_writer *w);

	int (*parts_create)(struct ctx *c, struct blob *b, const char *key, const char **upload_id);
	int (*parts_complete)(struct ctx *c, struct blob *b, const char *key, const char *upload_id,
			      const struct blob_part *parts, size_t count);
	int (*parts_abort)(struct ctx *c, struct blob *b, const char *key, const char *upload_id);

	int (*sign)(struct ctx *c, struct blob *b, const struct blob_sign *s,
		    struct blob_signed *ret);
	int (*sign_part)(struct ctx *c, struct blob *b, const char *key, const char *upload_id,
			 unsigned part, int64_t expires_s, const char **url);
};

/* The first member of a store's own structs. */
struct blob {
	const struct blob_ops *ops;
};

struct blob_reader {
	const struct blob_ops *ops;
};

struct blob_writer {
	const struct blob_ops *ops;
};

extern const struct blob_ops blob_local;
extern const struct blob_ops blob_s3;
extern const struct blob_ops blob_gcs;

#endif
