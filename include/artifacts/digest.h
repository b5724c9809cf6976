/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* digest — SHA-256 of artifacts: what requests say of it (RFC 9530, RFC 3230, S3's checksum header), and
   what is kept with an object. */
#ifndef ARTIFACTS_DIGEST_H
#define ARTIFACTS_DIGEST_H

#include <stdbool.h>

#include "artifacts/transfer.h"
#include "base/ctx.h"
#include "base/queue.h"

/* Of an upload, into s: Repr-Digest, Content-Digest, Digest, x-amz-checksum-sha256. -1: malformed, or they
   differ. */
int digest_announced(struct ctx *c, const struct stream_request *r, struct stream *s) MUST_CHECK;

/* Want-Repr-Digest or Want-Digest asks for it. */
bool digest_wanted(const struct stream_request *r);

/* "sha-256=:...:" and "sha-256=..." */
const char *digest_repr(struct ctx *c, const unsigned char sha256[TRANSFER_SHA256]);
const char *digest_plain(struct ctx *c, const unsigned char sha256[TRANSFER_SHA256]);

/* Looks up what is kept of a download's object, and waits a moment for what digest_note() saw before. Without it, or
   without a database, s stays as it is: nothing fails. */
void digest_find(struct ctx *c, struct stream *s);

/* An upload that is done. Its answer does not wait for the database: in between it is one of these. */
struct digest_made {
	struct queue_node node; /* first member */
	char *uri;
	char etag[80];
	uint64_t size;
	unsigned char sha256[TRANSFER_SHA256];
};

/* NULL: there is nothing to keep, or no memory. Each one is forgotten once, kept or not. Never waits. */
struct digest_made *digest_note(struct ctx *c, const struct stream *s, const struct transfer *t);
/* A chain of them. What fails is logged and c's error cleared: the uploads stand. */
void digest_keep(struct ctx *c, const struct queue_node *made);
void digest_forget(struct queue_node *made);

#endif
