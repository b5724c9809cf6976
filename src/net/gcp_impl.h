/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What the files net/gcp_*.c share. */
#ifndef NET_GCP_IMPL_H
#define NET_GCP_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/ctx.h"
#include "net/gcp.h"
#include "net/identity.h"
#include "net/net.h"

enum {
	GCP_FILE = 64 << 10,   /* of credentials, of subject tokens */
	GCP_ANSWER = 64 << 10, /* of a token endpoint */
	GCP_SIGNATURE = 2048,  /* of the largest RSA key that is taken */
	GCP_SECRETS = 4,
};

#define GCP_SCOPE_STORAGE "https://www.googleapis.com/auth/devstorage.read_write"
#define GCP_SCOPE_IAM     "https://www.googleapis.com/auth/iam"

/* ---- gcp_text.c ---- */

/* The object that is in n bytes of JSON; the arena's. NULL: it is none. */
json_t *gcp_text_json(struct ctx *c, const char *text, size_t n);
/* A member that is a text and not empty, else NULL. */
const char *gcp_text_member(const json_t *object, const char *name);

const char *gcp_text_base64(struct ctx *c, const void *data, size_t n);
/* URL-safe, without padding: as in a JWT. */
const char *gcp_text_base64url(struct ctx *c, const void *data, size_t n);
/* NULL: it is no base64. */
const unsigned char *gcp_text_unbase64(struct ctx *c, const char *text, size_t *n);

/* "&name=value" of a form; nothing for NULL and "". */
void gcp_text_field(struct ctx *c, struct buf *form, const char *name, const char *value);

/* RSASSA-PKCS1-v1_5 with SHA-256. Fails when the PEM holds no RSA key; `of` says whose it is. */
int gcp_text_sign(struct ctx *c, const char *pem, const char *of, const void *data, size_t n,
		  unsigned char signature[GCP_SIGNATURE], size_t *size) MUST_CHECK;

/* ---- gcp_http.c ---- */

/* An exchange with somebody who answers in JSON, tried again where that may help. */
struct gcp_call {
	struct net_request request; /* its most and timeout_ms are set by gcp_http_ask() */
	const char *what;           /* "the token endpoint" */
	const char *whose;          /* "the service account a@b in /key.json" */
	const char *advice;         /* what to do when it refuses: a sentence's end */
	const char *secrets
		[GCP_SECRETS]; /* what must not come back to us in an error's words; NULL: none */
};

/* The answer, an object; the arena's. */
int gcp_http_ask(struct ctx *c, struct net *n, const struct gcp_call *call,
		 json_t **ret) MUST_CHECK;

/* access_token and expires_in of such an answer to a question that was asked at asked_ms (wall). */
int gcp_http_token(struct ctx *c, const struct gcp_call *call, const json_t *answer,
		   int64_t asked_ms, struct identity_value *ret) MUST_CHECK;

/* A URL as it may be shown: without user, password and query. */
const char *gcp_http_shown(struct ctx *c, const char *url);
/* For hosts on the link itself proxies are of no use. */
unsigned gcp_http_flags(const char *url);

/* ---- gcp_file.c ---- */

struct gcp_file {
	const char *path;
	const json_t *root;
};

int gcp_file_read(struct ctx *c, const char *what, const char *path, const char **text,
		  size_t *n) MUST_CHECK;
/* A token by the credentials in this file. */
int gcp_file_fetch(struct ctx *c, struct net *n, const char *path,
		   struct identity_value *ret) MUST_CHECK;
/* A member that must be there; NULL: it is not, error set. */
const char *gcp_file_needs(struct ctx *c, const struct gcp_file *f, const json_t *object,
			   const char *name);

/* Exchanges the token of `source` for one of the service account that the URL names (IAM's generateAccessToken): its
   token and email go to ret. `delegates` and `lifetime_s` may be NULL and 0. */
int gcp_file_impersonate(struct ctx *c, struct net *n, const struct gcp_file *f, const char *url,
			 const struct identity_value *source, const json_t *delegates,
			 const char *const *scopes, int64_t lifetime_s,
			 struct identity_value *ret) MUST_CHECK;

/* ---- gcp_external.c ---- */

int gcp_external_fetch(struct ctx *c, struct net *n, const struct gcp_file *f,
		       struct identity_value *ret) MUST_CHECK;
/* What workload and workforce pools' users have: refreshed at the STS. */
int gcp_external_user(struct ctx *c, struct net *n, const struct gcp_file *f,
		      struct identity_value *ret) MUST_CHECK;

/* ---- gcp_external_aws.c ---- */

/* A signed GetCallerIdentity request, serialized: the subject token. */
int gcp_external_aws(struct ctx *c, struct net *n, const struct gcp_file *f, const json_t *source,
		     const char *audience, const char **ret) MUST_CHECK;

/* ---- gcp_metadata.c ---- */

/* Is there a metadata server? */
bool gcp_metadata_here(struct ctx *c, struct net *n);
int gcp_metadata_fetch(struct ctx *c, struct net *n, struct identity_value *ret) MUST_CHECK;

#endif
