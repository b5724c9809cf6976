/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * aws — credentials in the SDKs' order, and Signature Version 4.
 * Sources: docs.aws.amazon.com "Create a signed AWS API request", "SDKs and Tools: credential provider chain";
 * botocore/credentials.py, botocore/utils.py.
 */
#ifndef NET_AWS_H
#define NET_AWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/ctx.h"
#include "net/identity.h"
#include "net/net.h"

/* ---- configuration ---- */

/* What environment and the shared config file's profile (AWS_PROFILE, AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE) say
   besides credentials. Strings in c's arena. A file that is there but cannot be read or parsed is an error. */
struct aws_settings {
	const char *region;             /* AWS_REGION, AWS_DEFAULT_REGION, the profile's; NULL */
	const char *s3_endpoint;        /* AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile's (services section too); NULL;
	                                   AWS_IGNORE_CONFIGURED_ENDPOINT_URLS honoured */
	const char *ca_bundle;          /* AWS_CA_BUNDLE, the profile's; NULL */
};
int aws_settings_read(struct ctx *c, struct aws_settings *ret) MUST_CHECK;

/* ---- credentials ---- */

enum { AWS_KEY_ID, AWS_SECRET, AWS_TOKEN };     /* identity_value.text[] */

/*
 * The chain, decided anew at each fetch: environment (AWS_ACCESS_KEY_ID ...), AssumeRoleWithWebIdentity
 * (AWS_WEB_IDENTITY_TOKEN_FILE + AWS_ROLE_ARN, or the profile's), shared credentials and config files with profiles
 * (role_arn + source_profile or credential_source, credential_process), container (AWS_CONTAINER_CREDENTIALS_FULL_URI or
 * _RELATIVE_URI with AWS_CONTAINER_AUTHORIZATION_TOKEN[_FILE]: ECS, EKS Pod Identity), IMDSv2
 * (AWS_EC2_METADATA_SERVICE_ENDPOINT, AWS_EC2_METADATA_DISABLED). Token files are read at each fetch.
 * NULL: no memory or thread.
 */
struct identity *aws_identity_new(void);

/* ---- signing ---- */

struct aws_credentials {
	const char *key_id, *secret;
	const char *token;              /* NULL: none */
};

#define AWS_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"

struct aws_request {
	const char *method;
	const char *host;               /* as in the Host header, with a port that is not the scheme's */
	const char *path;               /* encoded, begins with "/", as in the URL; for S3 neither normalised nor encoded again */
	const char *query;              /* encoded, without "?", in any order; NULL: none */
	const struct net_header *headers; /* to be signed besides host; names in any case */
	size_t header_count;
	const char *payload_hash;       /* hex SHA-256 of the body, or AWS_UNSIGNED_PAYLOAD */
	const char *region, *service;
	time_t now;
	bool normalize, encode_twice;   /* services other than S3 */
};

/* Headers to send: the request's own, then x-amz-date, x-amz-security-token (with a token), x-amz-content-sha256 (service
   s3) and Authorization. In c's arena; *count says how many. */
const struct net_header *aws_sign(struct ctx *c, const struct aws_credentials *k, const struct aws_request *r,
                                  size_t *count);

/* The query string of a presigned URL, complete, without "?". The request's headers must be sent as they are by whoever
   uses it. expires_s: 1 to 604800. */
const char *aws_presign(struct ctx *c, const struct aws_credentials *k, const struct aws_request *r, int64_t expires_s);

/* For tests with the published vectors. */
const char *aws_canonical_request(struct ctx *c, const struct aws_credentials *k, const struct aws_request *r);
const char *aws_string_to_sign(struct ctx *c, const struct aws_credentials *k, const struct aws_request *r);

#endif
