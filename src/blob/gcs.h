/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * gcs — what the files of the Google Cloud Storage store share. Objects go through the JSON API, multipart uploads of
 * clients and signed URLs through the XML API. Source: cloud.google.com/storage/docs (json_api/v1, xml-api,
 * performing-resumable-uploads, request-endpoints); google-cloud-storage for names of settings.
 */
#ifndef BLOB_GCS_H
#define BLOB_GCS_H

#include <jansson.h>

#include "remote.h"

enum {
	GCS_QUANTUM = 256 << 10,        /* pieces of a resumable upload are multiples of it */
	GCS_PAGE = 500,                 /* entries of one page of a list: with the longest names it fits in REMOTE_TEXT */
	GCS_DELETES = 16,               /* in flight */
	GCS_TAG = 48,                   /* bytes of a generation in text, and of a CRC32C */
};

struct gcs {
	struct remote remote;           /* first member */
	char *endpoint;                 /* "https://host[:port][/path]", no slash at its end */
	char *bucket_path;              /* the bucket's name, encoded */
	char *ca_file;                  /* NULL: the system's */
};

extern const struct remote_ops gcs_remote_ops;  /* gcs_request.c */

/* ---- gcs_request.c: URLs, tokens, what answers mean ---- */

/* STORAGE_EMULATOR_HOST and API_ENDPOINT_OVERRIDE: with or without a scheme, no slash at its end. malloc'ed; NULL: no
   memory, or (error set) no URL. */
char *gcs_endpoint(struct ctx *c);

/* Complete URLs in c's arena: of an object or the bucket in the JSON API, to begin an upload of this type (which answers
   with what gcs_object_read() reads), and in the XML API. */
const char *gcs_json_url(struct ctx *c, const struct gcs *g, const char *object);
const char *gcs_upload_url(struct ctx *c, const struct gcs *g, const char *object, const char *type);
/* Whether a URL of the store's is one that tokens and artifacts may go to: the endpoint's scheme and host, or Google's. */
bool gcs_ours(const struct gcs *g, const char *url);
const char *gcs_xml_url(struct ctx *c, const struct gcs *g, const char *object);

/* Whether the answer says that there is no bucket of this name. */
bool gcs_no_bucket(const struct net_reply *reply);

/* A tree that is freed with the arena. NULL: error set. */
json_t *gcs_json(struct ctx *c, const char *text, size_t size);
/* A number that the API writes as a string. */
bool gcs_json_uint(const json_t *object, const char *name, uint64_t *ret);
/* RFC 3339, as "2026-01-02T03:04:05.678Z". -1: not one. */
int64_t gcs_time(const char *text);

/* The entity tag for clients: it changes with every generation. */
void gcs_etag(const char *generation, char etag[BLOB_ETAG]);
/* As GCS writes it: big-endian, base64. */
void gcs_crc_text(uint32_t crc, char text[GCS_TAG]);

/* What an upload answered. */
struct gcs_object {
	char generation[GCS_TAG];
	bool has_size, has_crc;
	uint64_t size;
	char crc[GCS_TAG];
};
int gcs_object_read(struct ctx *c, const char *text, size_t size, struct gcs_object *ret) MUST_CHECK;

/* ---- gcs_list.c ---- */
int gcs_stat(struct ctx *c, struct blob *b, const char *key, struct blob_info *ret) MUST_CHECK;
int gcs_list(struct ctx *c, struct blob *b, const char *key,
             int (*each)(struct ctx *c, void *arg, const struct blob_entry *e), void *arg) MUST_CHECK;

/* ---- gcs_remove.c ---- */
int gcs_remove(struct ctx *c, struct blob *b, const char *key, uint64_t *bytes) MUST_CHECK;

/* One page of the names below a prefix: GET of the bucket with this query. The tree lives as long as c's arena. */
int gcs_page(struct ctx *c, struct gcs *g, const char *query, const json_t **ret) MUST_CHECK;

/* ---- gcs_read.c ---- */
int gcs_read_open(struct ctx *c, struct blob *b, const char *key, const struct blob_want *want,
                  struct blob_ready ready, struct blob_reader **ret, struct blob_info *info) MUST_CHECK;

/* ---- gcs_write.c: small objects in one request, larger ones in resumable uploads ---- */
int gcs_write_begin(struct ctx *c, struct blob *b, const struct blob_target *t, struct blob_ready ready,
                    struct blob_writer **ret) MUST_CHECK;
int gcs_write(struct ctx *c, struct blob_writer *w, const void *data, size_t n, size_t *taken) MUST_CHECK;
int gcs_write_commit(struct ctx *c, struct blob_writer *w, char etag[BLOB_ETAG]) MUST_CHECK;
void gcs_write_close(struct blob_writer *w);

/* ---- gcs_parts.c: multipart uploads of clients, signed URLs ---- */
int gcs_part_begin(struct ctx *c, struct gcs *g, const struct blob_target *t, struct blob_ready ready,
                   struct blob_writer **ret) MUST_CHECK;
int gcs_parts_create(struct ctx *c, struct blob *b, const char *key, const char **upload_id) MUST_CHECK;
int gcs_parts_complete(struct ctx *c, struct blob *b, const char *key, const char *upload_id,
                       const struct blob_part *parts, size_t count) MUST_CHECK;
int gcs_parts_abort(struct ctx *c, struct blob *b, const char *key, const char *upload_id) MUST_CHECK;
int gcs_sign(struct ctx *c, struct blob *b, const struct blob_sign *s, struct blob_signed *ret) MUST_CHECK;
int gcs_sign_part(struct ctx *c, struct blob *b, const char *key, const char *upload_id, unsigned part,
                  int64_t expires_s, const char **url) MUST_CHECK;

#endif
