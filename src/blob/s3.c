/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * S3 as object store: its settings, judged when it is opened. Names and rules of boto3 and of MLflow's
 * s3_artifact_repo.py, so that a server which moves over keeps its environment.
 */
#include "s3.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "s3_extra.h"

static const char default_region[] = "us-east-1";

static bool s3_owns(const char *uri)
{
	return !strncasecmp(uri, "s3://", 5);
}

static void s3_close(struct blob *b)
{
	struct s3 *s = (struct s3 *)b;

	remote_clear(&s->remote);
	for (size_t i = 0; i < sizeof(s->regions) / sizeof(s->regions[0]); i++)
		free(s->regions[i]);
	s3_extra_free(s);
	free(s->endpoint);
	free(s->ca_file);
	free(s->bucket_owner);
	free(s);
}

/* ---- texts ---- */

/* As MLflow: an empty variable is none. */
static const char *setting(const char *name)
{
	const char *text = getenv(name);

	return text && *text ? text : NULL;
}

static bool made_of(const char *text, const char *others)
{
	for (; *text; text++) {
		if (!isalnum((unsigned char)*text) && !strchr(others, *text))
			return false;
	}
	return true;
}

static int keep(struct ctx *c, char **to, const char *text)
{
	if (!text)
		return 0;
	*to = strdup(text);
	return *to ? 0 : fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
}

/* ---- settings ---- */

/* Not the rules for new buckets: old ones have capitals and underscores, other stores have more. */
static int check_bucket(struct ctx *c, const char *bucket)
{
	size_t n = strlen(bucket);

	if (n < 3 || n > 255 || !made_of(bucket, "._-") || *bucket == '.')
		return fail(c, INVALID_PARAMETER_VALUE, "Invalid bucket name '%.255s'%s", bucket,
		            strncmp(bucket, "arn:", 4) ? "" : ": ARNs of access points are not supported");
	return 0;
}

/* Whether it can be the first label of a host name (RFC 1123), as botocore decides. */
static bool is_label(const char *bucket)
{
	size_t n = strlen(bucket);

	if (n > 63 || !isalnum((unsigned char)bucket[0]) || !isalnum((unsigned char)bucket[n - 1]))
		return false;
	for (const char *p = bucket; *p; p++) {
		if (isupper((unsigned char)*p) || *p == '_' || *p == '.')
			return false;
	}
	return true;
}

/* Scheme and host in lower case and without the scheme's port, as they go into the Host header. */
static char *normalized(const char *url)
{
	char *ret = strdup(url), *host, *end, *port;
	size_t n;

	if (!ret)
		return NULL;
	host = strstr(ret, "://") + 3;
	end = host + strcspn(host, "/");
	for (char *p = ret; p < end; p++)
		*p = (char)tolower((unsigned char)*p);
	port = !strncmp(ret, "https:", 6) ? ":443" : ":80";
	n = strlen(port);
	if ((size_t)(end - host) > n && !strncmp(end - n, port, n)) {
		memmove(end - n, end, strlen(end) + 1);
		end -= n;
	}
	for (n = strlen(ret); n > (size_t)(end - ret) && ret[n - 1] == '/'; n--)
		ret[n - 1] = '\0';
	return ret;
}

static int set_endpoint(struct ctx *c, struct s3 *s, const char *url)
{
	const char *host;

	s->is_aws = !url;
	if (!url)
		return 0;
	host = strstr(url, "://");
	if (!host || (strncasecmp(url, "http://", 7) && strncasecmp(url, "https://", 8)) || !host[3]
	    || !made_of(host + 3, ".-_~%:/[]") || host[3] == '/')
		return fail(c, INVALID_PARAMETER_VALUE,
		            "The S3 endpoint '%.200s' is no http:// or https:// URL of a host "
		            "(MLFLOW_S3_ENDPOINT_URL, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL)", url);
	s->endpoint = normalized(url);
	return s->endpoint ? 0 : fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
}

static bool is_address(const char *endpoint)
{
	const char *host = strstr(endpoint, "://") + 3;
	size_t n = strcspn(host, ":/");

	return *host == '[' || strspn(host, "0123456789.") >= n;
}

/* botocore: a configured endpoint is asked by path unless "virtual" is said, AWS by host unless "path" is. */
static int set_addressing(struct ctx *c, struct s3 *s)
{
	const char *style = setting("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE");

	if (!style)
		style = "auto";
	if (strcmp(style, "auto") && strcmp(style, "virtual") && strcmp(style, "path"))
		return fail(c, INVALID_PARAMETER_VALUE,
		            "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE is 'auto', 'virtual' or 'path', not '%.50s'",
		            style);
	s->virtual_host = s->is_aws ? strcmp(style, "path") != 0
	                            : !strcmp(style, "virtual") && !is_address(s->endpoint);
	s->virtual_host = s->virtual_host && is_label(s->remote.bucket);
	return 0;
}

static int set_tls(struct ctx *c, struct s3 *s, const char *ca_bundle)
{
	const char *ignore = setting("MLFLOW_S3_IGNORE_TLS");

	if (ignore && strcasecmp(ignore, "true") && strcasecmp(ignore, "false")
	    && strcmp(ignore, "1") && strcmp(ignore, "0"))
		return fail(c, INVALID_PARAMETER_VALUE,
		            "MLFLOW_S3_IGNORE_TLS is 'true', 'false', '1' or '0', not '%.50s'", ignore);
	s->insecure = ignore && (!strcasecmp(ignore, "true") || !strcmp(ignore, "1"));
	return keep(c, &s->ca_file, ca_bundle && *ca_bundle ? ca_bundle : NULL);
}

static int set_region(struct ctx *c, struct s3 *s, const char *region)
{
	if (!region || !*region)
		region = default_region;
	if (strlen(region) > 63 || !made_of(region, "-"))
		return fail(c, INVALID_PARAMETER_VALUE, "Invalid AWS region '%.100s'", region);
	if (keep(c, &s->regions[0], region))
		return -1;
	atomic_store(&s->region, s->regions[0]);
	return 0;
}

static int set_owner(struct ctx *c, struct s3 *s)
{
	const char *owner = setting("MLFLOW_S3_EXPECTED_BUCKET_OWNER");

	if (owner && (strlen(owner) > 64 || !made_of(owner, "-_")))
		return fail(c, INVALID_PARAMETER_VALUE,
		            "MLFLOW_S3_EXPECTED_BUCKET_OWNER is an account id, not '%.100s'", owner);
	return keep(c, &s->bucket_owner, owner);
}

/* Public buckets are read without credentials, by MLflow's experimental variable. */
static int set_identity(struct ctx *c, struct s3 *s)
{
	const char *version = setting("MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION");

	if (version && !strcasecmp(version, "unsigned"))
		return 0;
	if (version && strcmp(version, "s3v4") && strcmp(version, "v4") && strcmp(version, "s3v4-query"))
		return fail(c, INVALID_PARAMETER_VALUE,
		            "MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION is 's3v4' or 'unsigned', not '%.50s'",
		            version);
	s->remote.identity = remote_aws(c);
	return s->remote.identity ? 0 : -1;
}

static int configure(struct ctx *c, struct s3 *s, const char *uri)
{
	struct aws_settings settings = { 0 };
	const char *endpoint = setting("MLFLOW_S3_ENDPOINT_URL");

	if (remote_parse(c, &s->remote, uri) || check_bucket(c, s->remote.bucket)
	    || aws_settings_read(c, &settings))
		return -1;
	if (set_endpoint(c, s, endpoint ? endpoint : settings.s3_endpoint) || set_addressing(c, s)
	    || set_tls(c, s, settings.ca_bundle) || set_region(c, s, settings.region)
	    || set_owner(c, s) || s3_extra_read(c, s, setting("MLFLOW_S3_UPLOAD_EXTRA_ARGS")))
		return -1;
	s->checksums = true;
	return set_identity(c, s);
}

static struct blob *s3_open(struct ctx *c, const char *uri)
{
	struct s3 *s = calloc(1, sizeof(*s));

	if (!s) {
		(void)fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
		return NULL;
	}
	s->remote.blob.ops = &blob_s3;
	s->remote.ops = &s3_remote_ops;
	if (configure(c, s, uri)) {
		s3_close(&s->remote.blob);
		return NULL;
	}
	return &s->remote.blob;
}

const struct blob_ops blob_s3 = {
	.abilities = BLOB_SIGNS_READS | BLOB_SIGNS_WRITES | BLOB_SIGNS_PARTS | BLOB_NEVER_WAITS,
	.owns = s3_owns,
	.open = s3_open,
	.close = s3_close,
	.stat = s3_stat,
	.list = s3_list,
	.remove = s3_remove,
	.read_open = s3_read_open,
	.read = remote_read,
	.read_close = remote_read_close,
	.write_begin = s3_write_begin,
	.write = s3_write,
	.write_commit = s3_write_commit,
	.write_close = s3_write_close,
	.parts_create = s3_parts_create,
	.parts_complete = s3_parts_complete,
	.parts_abort = s3_parts_abort,
	.sign = s3_sign,
	.sign_part = s3_sign_part,
};
