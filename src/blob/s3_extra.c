/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "s3_extra.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/arena.h"
#include "base/log.h"

enum { EXTRA_HEADERS = 64, MD5_SIZE = 16, BASE64_OF_MD5 = 25 };

#define VARIABLE     "MLFLOW_S3_UPLOAD_EXTRA_ARGS"
#define CUSTOMER     "x-amz-server-side-encryption-customer-"
#define CUSTOMER_KEY CUSTOMER "key"
#define CUSTOMER_MD5 CUSTOMER "key-MD5"

/* mlflow/store/artifact/s3_artifact_repo.py, _S3_PARAM_TO_HEADER; and what it gives elsewhere. */
static const struct {
	const char *name, *header;
} known[] = {
	{ "ACL", "x-amz-acl" },
	{ "BucketKeyEnabled", "x-amz-server-side-encryption-bucket-key-enabled" },
	{ "CacheControl", "Cache-Control" },
	{ "ContentDisposition", "Content-Disposition" },
	{ "ContentEncoding", "Content-Encoding" },
	{ "ContentLanguage", "Content-Language" },
	{ "ContentType", "Content-Type" },
	{ "ExpectedBucketOwner", "x-amz-expected-bucket-owner" },
	{ "Expires", "Expires" },
	{ "GrantFullControl", "x-amz-grant-full-control" },
	{ "GrantRead", "x-amz-grant-read" },
	{ "GrantReadACP", "x-amz-grant-read-acp" },
	{ "GrantWriteACP", "x-amz-grant-write-acp" },
	{ "ObjectLockLegalHoldStatus", "x-amz-object-lock-legal-hold" },
	{ "ObjectLockMode", "x-amz-object-lock-mode" },
	{ "ObjectLockRetainUntilDate", "x-amz-object-lock-retain-until-date" },
	{ "RequestPayer", "x-amz-request-payer" },
	{ "SSECustomerAlgorithm", CUSTOMER "algorithm" },
	{ "SSECustomerKey", CUSTOMER_KEY },
	{ "SSECustomerKeyMD5", CUSTOMER_MD5 },
	{ "SSEKMSEncryptionContext", "x-amz-server-side-encryption-context" },
	{ "SSEKMSKeyId", "x-amz-server-side-encryption-aws-kms-key-id" },
	{ "ServerSideEncryption", "x-amz-server-side-encryption" },
	{ "StorageClass", "x-amz-storage-class" },
	{ "Tagging", "x-amz-tagging" },
	{ "WebsiteRedirectLocation", "x-amz-website-redirect-location" },
};

static const char *find(const char *name)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!strcmp(known[i].name, name))
			return known[i].header;
	}
	return NULL;
}

static bool printable(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f)
			return false;
	}
	return true;
}

static int add(struct ctx *c, struct s3 *s, const char *header, const char *value)
{
	struct net_header *h;

	if (s->extra_count == EXTRA_HEADERS)
		return fail(c, INVALID_PARAMETER_VALUE, VARIABLE ": more than %d headers", EXTRA_HEADERS);
	if (!printable(value))
		return fail(c, INVALID_PARAMETER_VALUE,
		            VARIABLE ": the value for %.100s may hold printable ASCII only", header);
	if (!s->extra)
		s->extra = calloc(EXTRA_HEADERS, sizeof(*s->extra));
	if (!s->extra)
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	h = &s->extra[s->extra_count++];
	h->name = strdup(header);
	h->value = strdup(value);
	return h->name && h->value ? 0 : fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
}

/* boto3 (sse_md5) takes the key itself and encodes it. */
static int add_customer_key(struct ctx *c, struct s3 *s, const char *key)
{
	size_t n = strlen(key);
	char *text = arena_alloc(c->arena, n / 3 * 4 + 8);

	EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)key, (int)n);
	return add(c, s, CUSTOMER_KEY, text);
}

static int add_customer_md5(struct ctx *c, struct s3 *s, const char *key)
{
	unsigned char md5[MD5_SIZE];
	char text[BASE64_OF_MD5];

	if (!EVP_Digest(key, strlen(key), md5, NULL, EVP_md5(), NULL))
		return fail(c, INTERNAL_ERROR,
		            VARIABLE ": SSECustomerKey needs MD5, which OpenSSL does not offer here");
	EVP_EncodeBlock((unsigned char *)text, md5, MD5_SIZE);
	return add(c, s, CUSTOMER_MD5, text);
}

static bool is_token(const char *text)
{
	for (const char *p = text; *p; p++) {
		if (!isalnum((unsigned char)*p) && !strchr("!#$%&'*+-.^_`|~", *p))
			return false;
	}
	return *text;
}

static int add_metadata(struct ctx *c, struct s3 *s, const json_t *map)
{
	const char *name;
	json_t *value;

	if (!json_is_object(map))
		return fail(c, INVALID_PARAMETER_VALUE, VARIABLE ": Metadata is an object of texts");
	json_object_foreach((json_t *)(uintptr_t)map, name, value) {
		if (!is_token(name) || !json_is_string(value))
			return fail(c, INVALID_PARAMETER_VALUE,
			            VARIABLE ": Metadata is an object of texts by simple names, not '%.100s'",
			            name);
		if (add(c, s, arena_printf(c->arena, "x-amz-meta-%s", name), json_string_value(value)))
			return -1;
	}
	return 0;
}

/* Ours is always CRC-32C: other algorithms protect no better, and would need the data twice. */
static int take_algorithm(struct ctx *c, const json_t *value)
{
	if (!json_is_string(value))
		return fail(c, INVALID_PARAMETER_VALUE, VARIABLE ": ChecksumAlgorithm is a text");
	if (strcasecmp(json_string_value(value), "CRC32C"))
		log_event(LOG_WARN, "uploads to S3 carry CRC32C checksums", "instead_of",
		          json_string_value(value), "because", VARIABLE, NULL);
	return 0;
}

static int add_one(struct ctx *c, struct s3 *s, const char *name, const json_t *value, bool has_md5)
{
	const char *header = find(name);
	const char *text = json_is_string(value)    ? json_string_value(value)
	                   : json_is_true(value)    ? "true"
	                   : json_is_false(value)   ? "false"
	                   : json_is_integer(value) ? arena_printf(c->arena, "%" JSON_INTEGER_FORMAT,
	                                                           json_integer_value(value))
	                                            : NULL;

	if (!strcmp(name, "Metadata"))
		return add_metadata(c, s, value);
	if (!strcmp(name, "ChecksumAlgorithm"))
		return take_algorithm(c, value);
	if (!header)
		return fail(c, INVALID_PARAMETER_VALUE,
		            VARIABLE ": '%.100s' is none of the arguments of boto3's upload_file that are "
		            "supported", name);
	if (!text)
		return fail(c, INVALID_PARAMETER_VALUE, VARIABLE ": the value of %s is no text", name);
	if (strcmp(name, "SSECustomerKey"))
		return add(c, s, header, text);
	if (!has_md5 && add_customer_md5(c, s, text))
		return -1;
	return add_customer_key(c, s, text);
}

int s3_extra_read(struct ctx *c, struct s3 *s, const char *json)
{
	CLEANUP(json_decrefp) json_t *root = NULL;
	json_error_t error;
	const char *name;
	json_t *value;
	bool has_md5;

	if (!json)
		return 0;
	root = json_loads(json, JSON_REJECT_DUPLICATES, &error);
	if (!json_is_object(root))
		return fail_because(c, INVALID_PARAMETER_VALUE, root ? NULL : error.text,
		                    VARIABLE " is no JSON object");
	has_md5 = json_object_get(root, "SSECustomerKeyMD5");
	json_object_foreach(root, name, value) {
		if (add_one(c, s, name, value, has_md5))
			return -1;
	}
	return 0;
}

void s3_extra_free(struct s3 *s)
{
	for (size_t i = 0; i < s->extra_count; i++) {
		if (s->extra[i].value)
			OPENSSL_cleanse((char *)(uintptr_t)s->extra[i].value, strlen(s->extra[i].value));
		free((char *)(uintptr_t)s->extra[i].name);
		free((char *)(uintptr_t)s->extra[i].value);
	}
	free(TAKE(s->extra));
	s->extra_count = 0;
}

const struct net_header *s3_customer_key(struct ctx *c, const struct s3 *s, size_t *count)
{
	struct net_header *ret = NULL;

	*count = 0;
	for (size_t i = 0; i < s->extra_count; i++) {
		if (strncmp(s->extra[i].name, CUSTOMER, strlen(CUSTOMER)) != 0)
			continue;
		if (!ret)
			ret = NEW_ARRAY(c->arena, s->extra_count, struct net_header);
		ret[(*count)++] = s->extra[i];
	}
	return ret;
}
