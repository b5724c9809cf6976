/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Requests to S3: where they go, how they are signed, and what answers mean. A HEAD has no body, so that its status and
 * headers must do.
 */
#include "s3.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/log.h"

enum {
	SKEW_REFUSED_S = 14 * 60,       /* AWS refuses from a quarter of an hour on */
	CODE_MOST = 64,
	MESSAGE_MOST = 500,
};

static const char owner_header[] = "x-amz-expected-bucket-owner";

/* ---- where ---- */

const char *s3_region(const struct s3 *s)
{
	return atomic_load(&((struct s3 *)(uintptr_t)s)->region);
}

time_t s3_now(const struct s3 *s)
{
	return time(NULL) + (time_t)atomic_load(&((struct s3 *)(uintptr_t)s)->skew_s);
}

/* "s3.<region>.<this>": botocore/data/partitions.json */
static const char *suffix_of(const char *region)
{
	if (!strncmp(region, "cn-", 3))
		return "amazonaws.com.cn";
	if (!strncmp(region, "us-isob-", 8))
		return "sc2s.sgov.gov";
	return !strncmp(region, "us-iso-", 7) ? "c2s.ic.gov" : "amazonaws.com";
}

void s3_place(struct ctx *c, const struct s3 *s, const char *object, struct s3_place *ret)
{
	const char *region = s3_region(s);
	const char *endpoint = s->endpoint ? s->endpoint
	                                   : arena_printf(c->arena, "https://s3.%s.%s", region,
	                                                  suffix_of(region));
	const char *host = strstr(endpoint, "://") + 3;
	const char *base = host + strcspn(host, "/");
	const char *bucket = net_encode(c, s->remote.bucket, false);
	const char *key = object ? net_encode(c, object, true) : "";

	ret->host = arena_printf(c->arena, "%s%s%.*s", s->virtual_host ? bucket : "",
	                         s->virtual_host ? "." : "", (int)(base - host), host);
	if (s->virtual_host)
		ret->path = arena_printf(c->arena, "%s/%s", base, key);
	else
		ret->path = arena_printf(c->arena, "%s/%s%s%s", base, bucket, object ? "/" : "", key);
	ret->url = arena_printf(c->arena, "%.*s%s%s", (int)(host - endpoint), endpoint, ret->host,
	                        ret->path);
}

/* MLFLOW_S3_UPLOAD_EXTRA_ARGS may say it too, and comes first. */
static bool has_owner(const struct remote_request *q)
{
	for (size_t i = 0; i < q->header_count; i++) {
		if (!strcasecmp(q->headers[i].name, owner_header))
			return true;
	}
	return false;
}

static int prepare(struct ctx *c, struct remote *r, const struct remote_request *q,
                   const struct identity_value *v, struct net_exchange_request *ret)
{
	const struct s3 *s = (const struct s3 *)r;
	struct net_header *headers = NEW_ARRAY(c->arena, q->header_count + 1, struct net_header);
	struct aws_credentials keys = { v->text[AWS_KEY_ID], v->text[AWS_SECRET], v->text[AWS_TOKEN] };
	struct aws_request a = {
		.method = q->method,
		.query = q->query,
		.headers = headers,
		.header_count = q->header_count,
		.payload_hash = AWS_UNSIGNED_PAYLOAD,
		.region = s3_region(s),
		.service = "s3",
		.now = s3_now(s),
	};
	struct s3_place place;

	if (q->header_count)
		memcpy(headers, q->headers, q->header_count * sizeof(*headers));
	if (s->bucket_owner && !has_owner(q))
		headers[a.header_count++] = (struct net_header){ owner_header, s->bucket_owner };
	s3_place(c, s, q->object, &place);
	a.host = place.host;
	a.path = place.path;
	ret->url = q->query ? arena_printf(c->arena, "%s?%s", place.url, q->query) : place.url;
	ret->headers = headers;
	ret->header_count = a.header_count;
	if (keys.key_id)
		ret->headers = aws_sign(c, &keys, &a, &ret->header_count);
	ret->ca_file = s->ca_file;
	ret->flags = s->insecure ? NET_INSECURE_TLS : 0;
	return 0;
}

/* ---- what the store says of itself ---- */

static pthread_mutex_t learning = PTHREAD_MUTEX_INITIALIZER;

static bool is_region(const char *text)
{
	size_t n = text ? strlen(text) : 0;

	for (size_t i = 0; i < n; i++) {
		if (!islower((unsigned char)text[i]) && !isdigit((unsigned char)text[i])
		    && text[i] != '-')
			return false;
	}
	return n > 0 && n < 64;
}

/* It becomes part of a host name, so only what looks like one is taken. Others may be using the old one. */
static bool learn_region(struct s3 *s, const char *region)
{
	bool known = false;

	pthread_mutex_lock(&learning);
	for (size_t i = 0; !known && i < sizeof(s->regions) / sizeof(s->regions[0]); i++) {
		bool added = !s->regions[i];

		if (added)
			s->regions[i] = strdup(region);
		known = s->regions[i] && !strcmp(s->regions[i], region);
		if (!known)
			continue;
		if (added)
			log_event(LOG_WARN, "the bucket is in another region: set AWS_REGION", "bucket",
			          s->remote.bucket, "region", region, NULL);
		atomic_store(&s->region, s->regions[i]);
	}
	pthread_mutex_unlock(&learning);
	return known;
}

/* How far the store's clock is from the one that signs. 0: it does not say. */
static int64_t skew(const struct s3 *s, const struct net_reply *reply)
{
	int64_t date = remote_date(remote_reply_header(reply, "Date"));

	return date < 0 ? 0 : date - (int64_t)s3_now(s);
}

static void learn_skew(struct s3 *s, int64_t by)
{
	if (by > -60 && by < 60)
		return;         /* another call has just learnt it */
	atomic_store(&s->skew_s, (int64_t)(s3_now(s) - time(NULL)) + by);
	log_event(LOG_WARN, "the clock of this machine differs from the artifact store's", "bucket",
	          s->remote.bucket, "seconds", log_fmt("%lld", (long long)by), NULL);
}

/* ---- codes ---- */

#define TROUBLE "The artifact store has trouble, also when asked again; try again later"

enum about { WORDS, OBJECT, BUCKET, REGION };

static const struct meaning {
	const char *code;
	enum remote_verdict verdict;
	enum error_code error;
	const char *words;
	enum about about;
} meanings[] = {
	{ "NoSuchKey", REMOTE_REFUSED, RESOURCE_DOES_NOT_EXIST, NULL, OBJECT },
	{ "NoSuchBucket", REMOTE_REFUSED, RESOURCE_DOES_NOT_EXIST, NULL, BUCKET },
	{ "NoSuchUpload", REMOTE_REFUSED, RESOURCE_DOES_NOT_EXIST,
	  "No such multipart upload: it was completed or aborted", WORDS },
	{ "NoSuchVersion", REMOTE_REFUSED, RESOURCE_DOES_NOT_EXIST, NULL, OBJECT },
	{ "AccessDenied", REMOTE_REFUSED, PERMISSION_DENIED,
	  "The server's S3 credentials do not permit this: check the policies of user, role and bucket",
	  WORDS },
	{ "InvalidAccessKeyId", REMOTE_REFRESH, PERMISSION_DENIED,
	  "The server's S3 credentials were refused: the store does not know the access key id", WORDS },
	{ "XAdminUserNotFound", REMOTE_REFRESH, PERMISSION_DENIED,
	  "The server's S3 credentials were refused: the store does not know the access key id", WORDS },
	{ "SignatureDoesNotMatch", REMOTE_REFUSED, PERMISSION_DENIED,
	  "The server's S3 credentials were refused: check the secret access key", WORDS },
	{ "ExpiredToken", REMOTE_REFRESH, PERMISSION_DENIED,
	  "The server's S3 credentials were refused: the session token has expired", WORDS },
	{ "TokenRefreshRequired", REMOTE_REFRESH, PERMISSION_DENIED,
	  "The server's S3 credentials were refused: the session token has expired", WORDS },
	{ "InvalidToken", REMOTE_REFRESH, PERMISSION_DENIED,
	  "The server's S3 credentials were refused: the session token is not valid", WORDS },
	{ "InvalidTokenId", REMOTE_REFRESH, PERMISSION_DENIED,
	  "The server's S3 credentials were refused: the session token is not valid", WORDS },
	{ "RequestTimeTooSkewed", REMOTE_REFUSED, INTERNAL_ERROR,
	  "The server's clock differs too much from the artifact store's: check its time synchronisation",
	  WORDS },
	{ "AuthorizationHeaderMalformed", REMOTE_REFUSED, INTERNAL_ERROR, NULL, REGION },
	{ "PermanentRedirect", REMOTE_REFUSED, INTERNAL_ERROR, NULL, REGION },
	{ "TemporaryRedirect", REMOTE_REFUSED, INTERNAL_ERROR, NULL, REGION },
	{ "IllegalLocationConstraintException", REMOTE_REFUSED, INTERNAL_ERROR, NULL, REGION },
	{ "SlowDown", REMOTE_RETRY, TEMPORARILY_UNAVAILABLE,
	  "The artifact store is overloaded; try again later", WORDS },
	{ "Throttling", REMOTE_RETRY, TEMPORARILY_UNAVAILABLE,
	  "The artifact store is overloaded; try again later", WORDS },
	{ "ThrottlingException", REMOTE_RETRY, TEMPORARILY_UNAVAILABLE,
	  "The artifact store is overloaded; try again later", WORDS },
	{ "RequestLimitExceeded", REMOTE_RETRY, TEMPORARILY_UNAVAILABLE,
	  "The artifact store is overloaded; try again later", WORDS },
	{ "InternalError", REMOTE_RETRY, TEMPORARILY_UNAVAILABLE, TROUBLE, WORDS },
	{ "ServiceUnavailable", REMOTE_RETRY, TEMPORARILY_UNAVAILABLE, TROUBLE, WORDS },
	{ "RequestTimeout", REMOTE_RETRY, TEMPORARILY_UNAVAILABLE,
	  "The artifact store gave up waiting for the upload; try again", WORDS },
	{ "OperationAborted", REMOTE_RETRY, TEMPORARILY_UNAVAILABLE,
	  "The artifact store is busy with a conflicting request; try again later", WORDS },
	{ "IncompleteBody", REMOTE_RETRY, TEMPORARILY_UNAVAILABLE,
	  "The artifact did not reach the store whole; try again", WORDS },
	{ "BadDigest", REMOTE_RETRY, TEMPORARILY_UNAVAILABLE,
	  "The artifact reached the store altered; try again", WORDS },
	{ "XAmzContentChecksumMismatch", REMOTE_RETRY, TEMPORARILY_UNAVAILABLE,
	  "The artifact reached the store altered; try again", WORDS },
	{ "XMinioStorageFull", REMOTE_REFUSED, INSUFFICIENT_STORAGE, "The artifact store is full", WORDS },
	{ "QuotaExceeded", REMOTE_REFUSED, INSUFFICIENT_STORAGE,
	  "The quota of the artifact store is used up", WORDS },
	{ "XMinioAdminBucketQuotaExceeded", REMOTE_REFUSED, INSUFFICIENT_STORAGE,
	  "The quota of the artifact store is used up", WORDS },
	{ "EntityTooLarge", REMOTE_REFUSED, PAYLOAD_TOO_LARGE,
	  "The artifact is larger than the store allows", WORDS },
	{ "EntityTooSmall", REMOTE_REFUSED, INVALID_PARAMETER_VALUE,
	  "A part of the multipart upload is smaller than the store allows", WORDS },
	{ "InvalidPart", REMOTE_REFUSED, INVALID_PARAMETER_VALUE,
	  "A part of the multipart upload is missing or was replaced", WORDS },
	{ "InvalidPartOrder", REMOTE_REFUSED, INVALID_PARAMETER_VALUE,
	  "The parts of the multipart upload are not in order", WORDS },
	{ "KeyTooLongError", REMOTE_REFUSED, INVALID_PARAMETER_VALUE,
	  "The name of the artifact is longer than the store allows", WORDS },
	{ "InvalidURI", REMOTE_REFUSED, INVALID_PARAMETER_VALUE,
	  "The artifact store does not allow this name", WORDS },
	{ "XMinioInvalidObjectName", REMOTE_REFUSED, INVALID_PARAMETER_VALUE,
	  "The artifact store does not allow this name", WORDS },
	{ "XMinioInvalidResourceName", REMOTE_REFUSED, INVALID_PARAMETER_VALUE,
	  "The artifact store does not allow this name", WORDS },
	{ "XMinioParentIsObject", REMOTE_REFUSED, INVALID_PARAMETER_VALUE,
	  "A directory of the artifact's path is a file", WORDS },
	{ "ObjectParentIsFile", REMOTE_REFUSED, INVALID_PARAMETER_VALUE,
	  "A directory of the artifact's path is a file", WORDS },
	{ "ExistingObjectIsDirectory", REMOTE_REFUSED, INVALID_PARAMETER_VALUE,
	  "The artifact's path is a directory", WORDS },
	{ "InvalidObjectState", REMOTE_REFUSED, INVALID_STATE,
	  "The artifact is archived: it must be restored in the store before it can be read", WORDS },
	{ "InvalidRange", REMOTE_REFUSED, RANGE_NOT_SATISFIABLE,
	  "The range is beyond the end of the artifact", WORDS },
	{ "PreconditionFailed", REMOTE_REFUSED, IO_ERROR, "The artifact changed meanwhile", WORDS },
	{ "InvalidBucketName", REMOTE_REFUSED, INVALID_PARAMETER_VALUE,
	  "The artifact store does not allow this bucket name", WORDS },
	{ "NotImplemented", REMOTE_REFUSED, NOT_IMPLEMENTED,
	  "The artifact store does not support this operation", WORDS },
	{ "403", REMOTE_REFUSED, PERMISSION_DENIED,
	  "The artifact store denied access: check the server's S3 credentials and their policies", WORDS },
	{ "404", REMOTE_REFUSED, RESOURCE_DOES_NOT_EXIST, NULL, OBJECT },
	{ "301", REMOTE_REFUSED, INTERNAL_ERROR, NULL, REGION },
	{ "307", REMOTE_REFUSED, INTERNAL_ERROR, NULL, REGION },
	{ "412", REMOTE_REFUSED, IO_ERROR, "The artifact changed meanwhile", WORDS },
	{ "416", REMOTE_REFUSED, RANGE_NOT_SATISFIABLE,
	  "The range is beyond the end of the artifact", WORDS },
	{ "501", REMOTE_REFUSED, NOT_IMPLEMENTED,
	  "The artifact store does not support this operation", WORDS },
	{ "507", REMOTE_REFUSED, INSUFFICIENT_STORAGE, "The artifact store is full", WORDS },
};

static const struct meaning passing = { "", REMOTE_RETRY, TEMPORARILY_UNAVAILABLE, TROUBLE, WORDS };

static const struct meaning *find(const char *code)
{
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
		if (!strcmp(meanings[i].code, code))
			return &meanings[i];
	}
	return NULL;
}

/* By the store's code, else by the status. NULL: neither says anything; so a 404 for some other reason is no missing object. */
static const struct meaning *meaning_of(struct ctx *c, int status, const char *code)
{
	const struct meaning *m = find(code);

	if (!m && (status != 404 || !*code))
		m = find(arena_printf(c->arena, "%d", status));
	if (!m && (status == 408 || status == 429 || status >= 500))
		m = &passing;
	return m;
}

bool s3_is_passing(int status, const char *code)
{
	const struct meaning *m = find(code);

	if (m)
		return m->verdict == REMOTE_RETRY;
	return status == 408 || status == 429 || (status >= 500 && status != 501 && status != 507);
}

/* It goes into messages and logs, whoever wrote it. */
static const char *checked(const char *code)
{
	size_t n = code ? strlen(code) : 0;

	for (size_t i = 0; i < n; i++) {
		if (!isalnum((unsigned char)code[i]) && code[i] != '.')
			return "";
	}
	return n && n <= CODE_MOST ? code : "";
}

static const char *code_of(struct ctx *c, const struct net_reply *reply)
{
	return reply->size ? checked(s3_xml_text(c, reply->body, reply->size, "Code")) : "";
}

static const char *region_of(struct ctx *c, const struct net_reply *reply)
{
	const char *region = remote_reply_header(reply, "x-amz-bucket-region");

	if (!region && reply->size)
		region = s3_xml_text(c, reply->body, reply->size, "Region");
	return is_region(region) ? region : NULL;
}

/* ---- judging ---- */

/* A store of one's own has one address: there a wrong region is for its administrator to set right. */
static bool moved(struct ctx *c, struct s3 *s, const struct net_reply *reply,
                  const struct meaning *m, bool bare)
{
	const char *region = region_of(c, reply);

	if (!s->is_aws || !region)
		return false;
	if (bare && reply->status == 400)
		return strcmp(region, s3_region(s)) != 0 && learn_region(s, region);
	return m && m->about == REGION && learn_region(s, region);
}

static enum remote_verdict judge(struct ctx *c, struct remote *r, const struct remote_request *q,
                                 const struct net_reply *reply)
{
	struct s3 *s = (struct s3 *)r;
	const char *code = code_of(c, reply);
	const struct meaning *m = meaning_of(c, reply->status, code);
	bool bare = !strcmp(q->method, "HEAD");
	int64_t by = skew(s, reply);
	bool skewed = by > SKEW_REFUSED_S || by < -SKEW_REFUSED_S;

	if (moved(c, s, reply, m, bare))
		return REMOTE_MOVED;
	if ((!strcmp(code, "RequestTimeTooSkewed") && by) || (bare && reply->status == 403 && skewed)) {
		learn_skew(s, by);
		return REMOTE_MOVED;
	}
	/* What is said of a HEAD with an expired token. */
	if (bare && reply->status == 400)
		return REMOTE_REFRESH;
	return m ? m->verdict : REMOTE_REFUSED;
}

/* ---- refusing ---- */

static const char *without_prefix(const struct s3 *s, const char *object)
{
	size_t n = strlen(s->remote.prefix);

	return n && !strncmp(object, s->remote.prefix, n) && object[n] == '/' ? object + n + 1 : object;
}

static int fail_by(struct ctx *c, const struct s3 *s, const struct meaning *m, int status,
                   const char *code, const char *object, const char *region, const char *detail)
{
	enum about about = m ? m->about : WORDS;

	if (about == OBJECT && object)
		return fail_because(c, m->error, detail, "No such artifact: '%.1000s'",
		                    without_prefix(s, object));
	if (about == OBJECT || about == BUCKET)
		return fail_because(c, RESOURCE_DOES_NOT_EXIST, detail,
		                    "The bucket '%s' does not exist", s->remote.bucket);
	if (about == REGION && region)
		return fail_because(c, m->error, detail,
		                    "The bucket '%s' is in the region '%s', not '%s': set AWS_REGION",
		                    s->remote.bucket, region, s3_region(s));
	if (about == REGION)
		return fail_because(c, m->error, detail,
		                    "The artifact store expects another region than '%s' or has another "
		                    "address: check AWS_REGION and MLFLOW_S3_ENDPOINT_URL", s3_region(s));
	if (m)
		return fail_because(c, m->error, detail, "%s", m->words);
	if (!strncmp(code, "KMS.", 4))
		return fail_because(c, PERMISSION_DENIED, detail,
		                    "The encryption key of the artifact store cannot be used (%s)", code);
	return fail_because(c, status == 401 ? PERMISSION_DENIED : INTERNAL_ERROR, detail,
	                    "The artifact store refused the request (%d%s%s)", status, *code ? " " : "",
	                    code);
}

static int fail_with(struct ctx *c, const struct s3 *s, int status, const char *code,
                     const char *message, const char *object, const char *request_id,
                     const char *region)
{
	const struct meaning *m;
	const char *detail;

	code = checked(remote_said(c, &s->remote, code));
	message = remote_said(c, &s->remote, message);
	request_id = remote_said(c, &s->remote, request_id);
	m = meaning_of(c, status, code);
	detail = arena_printf(c->arena,
	                      "status=%d code=%s store_request_id=%.100s bucket=%s object=%.200s: %.*s",
	                      status, code, request_id, s->remote.bucket,
	                      object ? object : "", MESSAGE_MOST, message);
	return fail_by(c, s, m, status, code, object, region, detail);
}

int s3_fail(struct ctx *c, const struct s3 *s, int status, const char *code, const char *message,
            const char *object, const char *request_id)
{
	return fail_with(c, s, status, code, message, object, request_id, NULL);
}

static int refuse(struct ctx *c, struct remote *r, const struct remote_request *q,
                  const struct net_reply *reply)
{
	const char *id = remote_reply_header(reply, "x-amz-request-id");
	const char *message = NULL;

	if (reply->size) {
		message = s3_xml_text(c, reply->body, reply->size, "Message");
		if (!id)
			id = s3_xml_text(c, reply->body, reply->size, "RequestId");
	}
	return fail_with(c, (const struct s3 *)r, reply->status, code_of(c, reply), message, q->object,
	                 id, region_of(c, reply));
}

const struct remote_ops s3_remote_ops = {
	.prepare = prepare,
	.judge = judge,
	.refuse = refuse,
};
