/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * What the files that write to S3 share: one PUT from memory, a multipart upload, its completion. All are stepped by the
 * threads of their caller and keep nothing in a ctx's arena.
 */
#ifndef BLOB_S3_WRITE_H
#define BLOB_S3_WRITE_H

#include <sys/types.h>

#include "s3.h"

enum {
	S3_ID = 1024,           /* bytes of an upload id */
	S3_ROUNDS = 5,          /* of completing an upload */
	S3_PATIENCE = 4,        /* with that, in stalls */
	S3_COMPLETE = 20,       /* all of it, in stalls: a store may keep its answer alive with white space */
};

/* ---- s3_put.c ---- */

/* A part that the store has. */
struct s3_sent {
	unsigned number;
	uint32_t crc;
	char etag[BLOB_ETAG];
};

struct s3_put {
	struct s3 *s;
	const char *object;             /* the owner's, as all pointers here */
	const char *upload_id;          /* NULL: the object itself */
	unsigned part;
	const char *content_type;       /* of the object */
	const void *body;               /* NULL: written piece by piece */
	size_t size;
	bool written;
	bool checksum;                  /* sends crc; false again where the store refused that */
	uint32_t crc;
	struct blob_ready ready;
	char etag[BLOB_ETAG];           /* when done */

	struct remote_call *call;
	bool refused;                   /* the checksum */
};
/* Begins it when it is not, and goes on. 0 done; BLOB_AGAIN. */
int s3_put_step(struct ctx *c, struct s3_put *p) MUST_CHECK;
int s3_put_write(struct ctx *c, struct s3_put *p, const void *data, size_t n, size_t *taken) MUST_CHECK;
void s3_put_end(struct s3_put *p);

/* For what makes an object (make): its type and all of MLFLOW_S3_UPLOAD_EXTRA_ARGS; else those that every request about
   it needs. In c's arena, with room for two more. */
struct net_header *s3_write_headers(struct ctx *c, const struct s3 *s, bool make, const char *content_type, size_t *count);
/* fail() by what the store answered, as if with this status. */
int s3_write_refused(struct ctx *c, struct s3 *s, const struct remote_call *k, int status, const char *method,
                     const char *object);
/* Whether this answer is about the checksum that was sent, not about the rest. */
bool s3_checksum_refused(struct ctx *c, int status, const char *text, size_t size);
void s3_checksums_off(struct s3 *s);
/* Base64 of the value, big endian. */
void s3_crc_text(uint32_t crc, char to[12]);

/* ---- s3_complete.c ---- */

struct s3_complete {
	struct s3 *s;
	const char *object;
	const char *upload_id;
	const struct s3_sent *parts;
	size_t count;
	int64_t size;                   /* of the object; -1 unknown */
	bool checksums;
	struct blob_ready ready;
	char etag[BLOB_ETAG];           /* when done */

	char *xml;
	size_t xml_size;
	struct remote_call *call;
	int64_t since;                  /* clock_ms() of the first try */
	unsigned rounds;
	bool judging;
	bool retry;                     /* not there: complete again */
};
int s3_complete_step(struct ctx *c, struct s3_complete *k) MUST_CHECK;
void s3_complete_end(struct s3_complete *k);

bool s3_upload_id_valid(const char *id);
/* "partNumber=..&uploadId=.." or, of no part, "uploadId=..". */
const char *s3_upload_query(struct ctx *c, const char *upload_id, unsigned part);
/* That S3 gives an object made of these parts. False: their tags are no MD5s. */
bool s3_multipart_etag(const struct s3_sent *parts, size_t count, char to[BLOB_ETAG]);

/* ---- s3_upload.c ---- */

struct s3_upload;
/* size -1: unknown. NULL: error set. */
struct s3_upload *s3_upload_new(struct ctx *c, struct s3 *s, const char *object, const char *content_type, int64_t size,
                                struct blob_ready ready);
/* Takes a whole first part over that was collected before (remote_part_take); of an unknown size only. */
void s3_upload_adopt(struct s3_upload *u, void *memory, size_t size, uint32_t crc);
int s3_upload_write(struct ctx *c, struct s3_upload *u, const void *data, size_t n, size_t *taken) MUST_CHECK;
int s3_upload_commit(struct ctx *c, struct s3_upload *u, char etag[BLOB_ETAG]) MUST_CHECK;
void s3_upload_close(struct s3_upload *u);

#endif
