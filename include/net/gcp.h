/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * gcp — access tokens in Application Default Credentials' order, and V4 signed URLs of Cloud Storage.
 * Sources: google-auth (google/auth/_default.py, google/oauth2/, google/auth/external_account.py), RFC 7523, RFC 8693,
 * cloud.google.com/storage/docs/authentication/signatures.
 */
#ifndef NET_GCP_H
#define NET_GCP_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/ctx.h"
#include "net/identity.h"
#include "net/net.h"

enum {                                  /* identity_value.text[] */
	GCP_TOKEN,                      /* "" with an emulator: requests go without */
	GCP_EMAIL,                      /* of the service account; NULL: a user's */
	GCP_KEY,                        /* PEM of its private key; NULL: signing goes through the IAM API */
	GCP_QUOTA,                      /* the project to be charged, for the header x-goog-user-project; NULL: none */
	GCP_SIGNER,                     /* the token that may call the IAM API's signBlob for GCP_EMAIL, then a line for each
	                                   delegate; NULL: GCP_TOKEN, without any */
};

/*
 * GOOGLE_APPLICATION_CREDENTIALS (service_account, authorized_user, external_account with file, url, executable-free and
 * aws sources, service_account_impersonation_url, impersonated_service_account), gcloud's well-known file
 * (CLOUDSDK_CONFIG), metadata server (GCE_METADATA_HOST, GCE_METADATA_IP, NO_GCE_CHECK; workload identity). With
 * STORAGE_EMULATOR_HOST only what these variables name, and where they name nothing no token at all: a login that lies
 * about is not sent to an emulator. NULL: no memory.
 */
struct identity *gcp_identity_new(void);

struct gcp_request {
	const char *method;
	const char *host;               /* "storage.googleapis.com", or a bucket's, with a port that is not the scheme's */
	const char *path;               /* encoded, begins with "/" */
	const char *query;              /* encoded, in any order; NULL: none */
	const struct net_header *headers; /* to be signed besides host */
	size_t header_count;
	time_t now;
};

/* The query string of a V4 signed URL, complete, without "?". Signs with the value's key, else through IAM's signBlob
   (IAM_ENDPOINT for tests: the environment variable CAPSTAN_GCP_IAM_ENDPOINT), which blocks. A user's credentials cannot
   sign: a clear error. expires_s: 1 to 604800. */
int gcp_presign(struct ctx *c, struct net *n, const struct identity_value *v, const struct gcp_request *r, int64_t expires_s,
                const char **query) MUST_CHECK;

/* For tests with the published vectors. */
const char *gcp_canonical_request(struct ctx *c, const char *email, const struct gcp_request *r, int64_t expires_s);
const char *gcp_string_to_sign(struct ctx *c, const char *email, const struct gcp_request *r, int64_t expires_s);

#endif
