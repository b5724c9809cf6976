/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* digest — SHA-256 of artifacts: what requests say of it (RFC 9530, RFC 3230, S3's checksum header), and
   what is kept with an object. */
#ifndef ARTIFACTS_DIGEST_H
#define ARTIFACTS_DIGEST_H

#include <stdbool.h>

#include "artifacts/transfer.h"
#include "base/ctx.h"

/* Of an upload, into s: Repr-Digest, Content-Digest, Digest, x-amz-checksum-sha256. -1: malformed, or they
   differ. */
int digest_announced(struct ctx *c, const struct stream_request *r, struct stream *s) MUST_CHECK;

/* Want-Repr-Digest or Want-Digest asks for it. */
bool digest_wanted(const struct stream_request *r);

/* "sha-256=:...:" and "sha-256=..." */
const char *digest_repr(struct ctx *c, const unsigned char sha256[TRANSFER_SHA256]);
const char *digest_plain(struct ctx *c, const unsigned char sha256[TRANSFER_SHA256]);

/* Looks up what is kept of a download's object. Without it, or without a database, s stays as it is:
   nothing fails. */
void digest_find(struct ctx *c, struct stream *s);

/* Keeps it for uploads that are done. What fails is logged and c's error cleared: the uploads stand. */
struct digest_made { const struct stream *stream; const struct transfer *transfer; };
void digest_keep(struct ctx *c, const struct digest_made *made, size_t count);

#endif
