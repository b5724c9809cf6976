/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * s3 — what the files of the S3 store share. Source: docs.aws.amazon.com/AmazonS3/latest/API; MLflow's
 * mlflow/store/artifact/s3_artifact_repo.py for names of settings.
 */
#ifndef BLOB_S3_H
#define BLOB_S3_H

#include <stdatomic.h>
#include <time.h>

#include "net/aws.h"
#include "remote.h"

struct s3 {
	struct remote remote;           /* first member */
	char *endpoint;                 /* "https://host[:port][/path]", without the bucket, no slash at its end; NULL: AWS */
	char *ca_file;                  /* NULL: the system's */
	char *bucket_owner;             /* MLFLOW_S3_EXPECTED_BUCKET_OWNER; NULL */
	bool virtual_host;              /* bucket.host instead of host/bucket */
	bool insecure;                  /* MLFLOW_S3_IGNORE_TLS */
	bool is_aws;                    /* no endpoint was configured: it follows the region */
	_Atomic bool checksums;         /* x-amz-checksum-crc32c; off where the store once refused it */
	_Atomic(char *) region;         /* may be learnt from an answer; old ones live until close */
	char *regions[4];               /* all it had */
	_Atomic int64_t skew_s;         /* the store's clock minus ours, learnt where it refused ours */
	struct net_header *extra;       /* MLFLOW_S3_UPLOAD_EXTRA_ARGS as headers, by boto3's names */
	size_t extra_count;
};

extern const struct remote_ops s3_remote_ops;   /* s3_request.c */

/* ---- s3.c: open, close; s3_request.c: URLs, signing, what answers mean ---- */

/* Host header, path and whole URL (without query) of an object; NULL: of the bucket. In c's arena. */
struct s3_place { const char *host, *path, *url; };
void s3_place(struct ctx *c, const struct s3 *s, const char *object, struct s3_place *ret);
const char *s3_region(const struct s3 *s);
/* For signing: our clock, or the store's where they differ too much. */
time_t s3_now(const struct s3 *s);
/* The headers of `extra` that every request for an object needs whose key is the customer's (SSE-C), in c's arena. */
const struct net_header *s3_customer_key(struct ctx *c, const struct s3 *s, size_t *count);
/* fail() for an error within an answer: of a page of deletions, or in a 200. object: NULL the bucket. */
int s3_fail(struct ctx *c, const struct s3 *s, int status, const char *code, const char *message, const char *object,
            const char *request_id);
/* Whether an error of that code may pass when tried again. */
bool s3_is_passing(int status, const char *code);

/* ---- s3_xml.c: answers, read with expat; no DTD, no entities, bounded ---- */

/* The text of the first element of that name, at any depth; NULL: none. In c's arena. */
const char *s3_xml_text(struct ctx *c, const char *xml, size_t size, const char *element);
/* An answer whose root element has that name: a proxy's page for people is none. */
struct net_xml;
int s3_xml_read(struct ctx *c, const char *xml, size_t size, const char *name, const struct net_xml **root) MUST_CHECK;

/* ---- s3_list.c ---- */
int s3_stat(struct ctx *c, struct blob *b, const char *key, struct blob_info *ret) MUST_CHECK;
int s3_list(struct ctx *c, struct blob *b, const char *key,
            int (*each)(struct ctx *c, void *arg, const struct blob_entry *e), void *arg) MUST_CHECK;
int s3_remove(struct ctx *c, struct blob *b, const char *key, uint64_t *bytes) MUST_CHECK;

/* ---- s3_read.c ---- */
int s3_read_open(struct ctx *c, struct blob *b, const char *key, const struct blob_want *want,
                 struct blob_ready ready, struct blob_reader **ret, struct blob_info *info) MUST_CHECK;

/* ---- s3_write.c: small objects in one PUT, larger ones as multipart uploads ---- */
int s3_write_begin(struct ctx *c, struct blob *b, const struct blob_target *t, struct blob_ready ready,
                   struct blob_writer **ret) MUST_CHECK;
int s3_write(struct ctx *c, struct blob_writer *w, const void *data, size_t n, size_t *taken) MUST_CHECK;
int s3_write_commit(struct ctx *c, struct blob_writer *w, char etag[BLOB_ETAG]) MUST_CHECK;
void s3_write_close(struct blob_writer *w);

/* ---- s3_parts.c: multipart uploads of clients, signed URLs ---- */
int s3_parts_create(struct ctx *c, struct blob *b, const char *key, const char **upload_id) MUST_CHECK;
int s3_parts_complete(struct ctx *c, struct blob *b, const char *key, const char *upload_id,
                      const struct blob_part *parts, size_t count) MUST_CHECK;
int s3_parts_abort(struct ctx *c, struct blob *b, const char *key, const char *upload_id) MUST_CHECK;
int s3_sign(struct ctx *c, struct blob *b, const struct blob_sign *s, struct blob_signed *ret) MUST_CHECK;
int s3_sign_part(struct ctx *c, struct blob *b, const char *key, const char *upload_id, unsigned part,
                 int64_t expires_s, const char **url) MUST_CHECK;

#endif
