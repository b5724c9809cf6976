/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "blob/blob.h"

#include <assert.h>
#include <string.h>

#include "blob/ops.h"
#include "remote.h"

static const struct blob_ops *const stores[] = { &blob_local, &blob_s3, &blob_gcs };

struct blob *blob_open(struct ctx *c, const char *uri)
{
	for (size_t i = 0; i < sizeof(stores) / sizeof(stores[0]); i++)
		if (stores[i]->owns(uri))
			return stores[i]->open(c, uri);
	(void)fail(c, NOT_IMPLEMENTED,
		   "Artifacts can be kept in a directory (a path or file://), s3:// or gs:// only, not in "
		   "'%.200s'",
		   uri);
	return NULL;
}

void blob_close(struct blob *b)
{
	if (b)
		b->ops->close(b);
}

unsigned blob_abilities(const struct blob *b)
{
	return b->ops->abilities;
}

int blob_sign(struct ctx *c, struct blob *b, const struct blob_sign *s, struct blob_signed *ret)
{
	assert(b->ops->abilities & (s->write ? BLOB_SIGNS_WRITES : BLOB_SIGNS_READS));
	return b->ops->sign(c, b, s, ret);
}

int blob_sign_part(struct ctx *c, struct blob *b, const char *key, const char *upload_id,
		   unsigned part, int64_t expires_s, const char **url)
{
	assert(b->ops->abilities & BLOB_SIGNS_PARTS);
	return b->ops->sign_part(c, b, key, upload_id, part, expires_s, url);
}

int blob_stat(struct ctx *c, struct blob *b, const char *key, struct blob_info *ret)
{
	return b->ops->stat(c, b, key, ret);
}

int blob_list(struct ctx *c, struct blob *b, const char *key,
	      int (*each)(struct ctx *c, void *arg, const struct blob_entry *e), void *arg)
{
	return b->ops->list(c, b, key, each, arg);
}

int blob_remove(struct ctx *c, struct blob *b, const char *key, uint64_t *bytes)
{
	assert(*key); /* never the whole root */
	return b->ops->remove(c, b, key, bytes);
}

int blob_read_open(struct ctx *c, struct blob *b, const char *key, const struct blob_want *want,
		   struct blob_ready ready, struct blob_reader **ret, struct blob_info *info)
{
	return b->ops->read_open(c, b, key, want, ready, ret, info);
}

int blob_read(struct ctx *c, struct blob_reader *r, uint64_t offset, void *to, size_t n,
	      size_t *got)
{
	return r->ops->read(c, r, offset, to, n, got);
}

int blob_read_at_hand(struct ctx *c, struct blob_reader *r, uint64_t offset, void *to, size_t n,
		      size_t *got)
{
	assert(r->ops->abilities & BLOB_READS_AT_HAND);
	return r->ops->read_at_hand(c, r, offset, to, n, got);
}

void blob_read_close(struct blob_reader *r)
{
	if (r)
		r->ops->read_close(r);
}

int blob_write_begin(struct ctx *c, struct blob *b, const struct blob_target *t,
		     struct blob_ready ready, struct blob_writer **ret)
{
	assert(*t->key);
	return b->ops->write_begin(c, b, t, ready, ret);
}

int blob_write(struct ctx *c, struct blob_writer *w, const void *data, size_t n, size_t *taken)
{
	return w->ops->write(c, w, data, n, taken);
}

int blob_write_commit(struct ctx *c, struct blob_writer *w, char etag[BLOB_ETAG])
{
	return w->ops->write_commit(c, w, etag);
}

void blob_write_close(struct blob_writer *w)
{
	if (w)
		w->ops->write_close(w);
}

int blob_parts_create(struct ctx *c, struct blob *b, const char *key, const char **upload_id)
{
	assert(*key);
	return b->ops->parts_create(c, b, key, upload_id);
}

int blob_parts_complete(struct ctx *c, struct blob *b, const char *key, const char *upload_id,
			const struct blob_part *parts, size_t count)
{
	return b->ops->parts_complete(c, b, key, upload_id, parts, count);
}

int blob_parts_abort(struct ctx *c, struct blob *b, const char *key, const char *upload_id)
{
	return b->ops->parts_abort(c, b, key, upload_id);
}

void blob_shutdown(void)
{
	remote_shutdown();
}

void blob_stop(void)
{
	remote_stop();
}

bool blob_stats(struct blob_stats *ret)
{
	struct net_pump_stats s;

	if (!remote_stats(&s))
		return false;
	*ret = (struct blob_stats){ s.exchanges, s.connects, s.failures, s.bytes_in, s.bytes_out,
				    s.active };
	return true;
}
