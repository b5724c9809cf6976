/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Requests to Google Cloud Storage, and what their answers mean. */
#include "gcs.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "net/gcp.h"
#include "net/xml.h"

#define DEFAULT_ENDPOINT "https://storage.googleapis.com"

enum { VALUES = 200000 };              /* of an answer: a page of 500 objects has 20,000, when all that is known of them is said */

/* ---- where ---- */

static bool control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || *text == 127)
			return true;
	return false;
}

char *gcs_endpoint(struct ctx *c)
{
	const char *set = getenv("STORAGE_EMULATOR_HOST");
	const char *scheme = "http://"; /* of an emulator that is given as host:port */
	char *url;
	size_t n;

	if (!set || !*set) {
		set = getenv("API_ENDPOINT_OVERRIDE");
		scheme = "https://";
	}
	if (!set || !*set)
		set = DEFAULT_ENDPOINT;
	if (!strncasecmp(set, "http://", 7) || !strncasecmp(set, "https://", 8))
		scheme = "";
	else if (strstr(set, "://"))
		scheme = NULL;
	if (!scheme || control(set) || strpbrk(set, "?#@")) {
		(void)fail(c, INVALID_PARAMETER_VALUE,
			   "STORAGE_EMULATOR_HOST and API_ENDPOINT_OVERRIDE must be http:// or https:// URLs");
		return NULL;
	}
	n = strlen(scheme) + strlen(set);
	url = malloc(n + 1);
	if (!url)
		return NULL;
	snprintf(url, n + 1, "%s%s", scheme, set);
	while (n > 8 && url[n - 1] == '/')
		url[--n] = '\0';
	return url;
}

const char *gcs_json_url(struct ctx *c, const struct gcs *g, const char *object)
{
	if (!object)
		return arena_printf(c->arena, "%s/storage/v1/b/%s/o", g->endpoint, g->bucket_path);
	/* One segment, whatever it holds. */
	return arena_printf(c->arena, "%s/storage/v1/b/%s/o/%s", g->endpoint, g->bucket_path,
			    net_encode(c, object, false));
}

const char *gcs_upload_url(struct ctx *c, const struct gcs *g, const char *object,
			   const char *type)
{
	return arena_printf(
		c->arena,
		"%s/upload/storage/v1/b/%s/o?uploadType=%s&name=%s&fields=generation,size,crc32c",
		g->endpoint, g->bucket_path, type, net_encode(c, object, false));
}

const char *gcs_xml_url(struct ctx *c, const struct gcs *g, const char *object)
{
	return arena_printf(c->arena, "%s/%s/%s", g->endpoint, g->bucket_path,
			    net_encode(c, object, true));
}

/* Scheme and host. */
static size_t origin(const char *url)
{
	const char *host = strstr(url, "://") + 3;

	return (size_t)(host - url) + strcspn(host, "/?#");
}

static bool at_google(const char *url)
{
	static const char domain[] = ".googleapis.com";
	size_t n = origin(url), m = sizeof(domain) - 1;

	/* Neither user nor port. */
	return !strncasecmp(url, "https://", 8) && n > 8 + m &&
	       strspn(url + 8, "abcdefghijklmnopqrstuvwxyz0123456789-.") >= n - 8 &&
	       !strncmp(url + n - m, domain, m);
}

bool gcs_ours(const struct gcs *g, const char *url)
{
	size_t n = origin(g->endpoint);

	if (!strstr(url, "://") || control(url))
		return false;
	return (origin(url) == n && !strncasecmp(url, g->endpoint, n)) ||
	       (at_google(g->endpoint) && at_google(url));
}

static int prepare(struct ctx *c, struct remote *r, const struct remote_request *q,
		   const struct identity_value *v, struct net_exchange_request *ret)
{
	struct gcs *g = (struct gcs *)r;
	const char *url = q->url ? q->url : gcs_json_url(c, g, q->object);
	struct net_header *headers = NEW_ARRAY(c->arena, q->header_count + 2, struct net_header);
	size_t count = 0;

	for (; count < q->header_count; count++)
		headers[count] = q->headers[count];
	if (v->text[GCP_TOKEN] && *v->text[GCP_TOKEN] && gcs_ours(g, url)) {
		headers[count++] = (struct net_header){
			"Authorization", arena_printf(c->arena, "Bearer %s", v->text[GCP_TOKEN])
		};
		if (v->text[GCP_QUOTA])
			headers[count++] = (struct net_header){ "x-goog-user-project",
								v->text[GCP_QUOTA] };
	}
	ret->method = q->method;
	ret->url = q->query ? arena_printf(c->arena, "%s%c%s", url, strchr(url, '?') ? '&' : '?',
					   q->query)
			    : url;
	ret->headers = headers;
	ret->header_count = count;
	ret->ca_file = g->ca_file;
	return 0;
}

/* ---- what answers mean ---- */

struct words { /* of an error's body; "" where it has none */
	char reason[64];
	char message[400];
};

static void keep(char *to, size_t size, const char *text)
{
	if (text)
		snprintf(to, size, "%s", text);
}

static void words_json(const struct net_reply *reply, struct words *w)
{
	json_t *root = json_loadb(reply->body, reply->size, 0, NULL);
	json_t *error = json_object_get(root, "error");
	json_t *first = json_array_get(json_object_get(error, "errors"), 0);

	keep(w->reason, sizeof(w->reason), json_string_value(json_object_get(first, "reason")));
	keep(w->message, sizeof(w->message), json_string_value(json_object_get(error, "message")));
	json_decref(root);
}

/* The text of the first <name>: an error body is flat, and what it says is only for the log and for known codes. */
static void words_xml(const char *body, const char *name, char *to, size_t size)
{
	char open[32];
	const char *from, *end;

	snprintf(open, sizeof(open), "<%s>", name);
	from = strstr(body, open);
	end = from ? strchr(from + 1, '<') : NULL;
	if (end) {
		from += strlen(open);
		snprintf(to, size, "%.*s", (int)(end - from), from);
	}
}

static struct words words(const struct net_reply *reply)
{
	struct words w = { "", "" };
	const char *body = reply->body ? reply->body : "";

	while (isspace((unsigned char)*body))
		body++;
	if (*body == '{') {
		words_json(reply, &w);
	} else if (*body == '<') {
		words_xml(body, "Code", w.reason, sizeof(w.reason));
		words_xml(body, "Message", w.message, sizeof(w.message));
	} else {
		keep(w.message, sizeof(w.message), body);
	}
	return w;
}

static bool one_of(const char *text, const char *const *names)
{
	for (; *names; names++)
		if (!strcasecmp(text, *names))
			return true;
	return false;
}

bool gcs_no_bucket(const struct net_reply *reply)
{
	struct words w = words(reply);

	return reply->status == 404 &&
	       (!strcmp(w.reason, "NoSuchBucket") || strcasestr(w.message, "bucket does not exist"));
}

static const char *const slow_down[] = { "rateLimitExceeded", "userRateLimitExceeded",
					 "SlowDown", "backendError", NULL };

/* "Provided CRC32C "..." doesn't match calculated CRC32C "..."." */
static bool arrived_damaged(const struct net_reply *reply)
{
	struct words w = words(reply);

	return reply->status == 400 && strstr(w.message, "match calculated");
}

static enum remote_verdict judge(struct ctx *c, struct remote *r, const struct remote_request *q,
				 const struct net_reply *reply)
{
	(void)c;
	(void)r;
	if (reply->status >= 200 && reply->status < 300)
		return REMOTE_FINE;
	if (reply->status == 401)
		return REMOTE_REFRESH;
	if (reply->status == 408 || reply->status == 429 ||
	    (reply->status >= 500 && reply->status != 501))
		return REMOTE_RETRY;
	/* What is still at hand as a whole; a session is over then. */
	if (arrived_damaged(reply) && !strcmp(q->method, "POST"))
		return REMOTE_RETRY;
	if (reply->status == 403) {
		struct words w = words(reply);

		return one_of(w.reason, slow_down) ? REMOTE_RETRY : REMOTE_REFUSED;
	}
	return REMOTE_REFUSED;
}

static int refuse_missing(struct ctx *c, const struct remote *r, const struct remote_request *q,
			  const struct net_reply *reply, const char *detail)
{
	struct words w = words(reply);

	/* Uploads begin with POST and need no more than a bucket; so do lists. */
	if (gcs_no_bucket(reply) || (!q->object && (!q->url || !strcmp(q->method, "POST"))))
		return fail_because(c, RESOURCE_DOES_NOT_EXIST, detail,
				    "The bucket gs://%s does not exist: create it or correct the artifact location",
				    r->bucket);
	if (!strcmp(w.reason, "NoSuchUpload"))
		return fail_because(c, RESOURCE_DOES_NOT_EXIST, detail,
				    "No such multipart upload");
	if (q->object)
		return fail_because(c, RESOURCE_DOES_NOT_EXIST, detail,
				    "No such artifact: '%.500s'", q->object);
	return fail_because(c, RESOURCE_DOES_NOT_EXIST, detail,
			    "The artifact store gs://%s found nothing there", r->bucket);
}

static const char *const quota[] = { "quotaExceeded", "dailyLimitExceeded", "storageLimitExceeded",
				     "limitExceeded", NULL };
static const char *const account[] = { "accountDisabled", "accountDisabledException",
				       "billingNotEnabled", "UserProjectAccountProblem",
				       "accessNotConfigured", "SERVICE_DISABLED", NULL };

static int refuse_forbidden(struct ctx *c, const struct remote *r, const struct net_reply *reply,
			    const char *detail)
{
	struct words w = words(reply);

	if (one_of(w.reason, quota))
		return fail_because(c, RESOURCE_EXHAUSTED, detail,
				    "A quota of the artifact store gs://%s is used up", r->bucket);
	if (one_of(w.reason, account))
		return fail_because(c, PERMISSION_DENIED, detail,
				    "The Google Cloud project of gs://%s is disabled, without billing, or without the Cloud Storage API: enable it",
				    r->bucket);
	if (strstr(w.reason, "etention") || strcasestr(w.message, "retention policy") ||
	    strcasestr(w.message, "hold"))
		return fail_because(c, PERMISSION_DENIED, detail,
				    "A retention policy or hold of the bucket gs://%s forbids that",
				    r->bucket);
	return fail_because(c, PERMISSION_DENIED, detail,
			    "The server's Google Cloud identity may not do that in gs://%s: grant it Storage Object Admin on the bucket",
			    r->bucket);
}

static int refuse(struct ctx *c, struct remote *r, const struct remote_request *q,
		  const struct net_reply *reply)
{
	struct words w = words(reply);
	const char *detail = reply->status
				     ? arena_printf(c->arena, "%s gs://%s: HTTP %d %s %s", q->method,
						    r->bucket, reply->status, w.reason, w.message)
				     : arena_printf(c->arena, "%s gs://%s: %s", q->method, r->bucket,
						    reply->failure ? reply->failure : "");

	detail = remote_said(c, r, detail);
	switch (reply->status) {
	case 401:
		return fail_because(c, PERMISSION_DENIED, detail,
				    "The server's Google Cloud credentials were refused by gs://%s: check GOOGLE_APPLICATION_CREDENTIALS or the workload's service account",
				    r->bucket);
	case 403:
		return refuse_forbidden(c, r, reply, detail);
	case 404:
		return refuse_missing(c, r, q, reply, detail);
	case 412:
		return fail_because(c, RESOURCE_CONFLICT, detail,
				    "The artifact changed meanwhile: try again");
	case 413:
		return fail_because(c, PAYLOAD_TOO_LARGE, detail,
				    "The artifact is larger than the store takes");
	case 416:
		return fail_because(c, RANGE_NOT_SATISFIABLE, detail,
				    "The range lies outside of the artifact");
	case 429:
		return fail_because(c, one_of(w.reason, quota) ? RESOURCE_EXHAUSTED
							       : TEMPORARILY_UNAVAILABLE,
				    detail, "The artifact store gs://%s is busy: try again later",
				    r->bucket);
	default:
		break;
	}
	if (reply->status == 0 || reply->status == 408 || reply->status >= 500)
		return fail_because(c, TEMPORARILY_UNAVAILABLE, detail,
				    "The artifact store gs://%s does not answer as it should: try again later",
				    r->bucket);
	if (arrived_damaged(reply))
		return fail_because(c, INTERNAL_ERROR, detail,
				    "The artifact arrived damaged at the store: upload it again");
	return fail_because(c, INTERNAL_ERROR, detail,
			    "The artifact store gs://%s refused the request (HTTP %d): see the server's log",
			    r->bucket, reply->status);
}

/* ---- versions ---- */

void gcs_etag(const char *generation, char etag[BLOB_ETAG])
{
	size_t n = generation ? strspn(generation, "0123456789") : 0;

	if (n == 0 || generation[n] || n > 30)
		etag[0] = '\0';
	else
		snprintf(etag, BLOB_ETAG, "\"g%s\"", generation);
}

static void tag(const struct remote_call *k, char etag[BLOB_ETAG])
{
	gcs_etag(remote_call_header(k, "x-goog-generation"), etag);
}

static const char *pin(struct ctx *c, const char *etag)
{
	return arena_printf(c->arena, "generation=%.*s", (int)strspn(etag + 2, "0123456789"),
			    etag + 2);
}

const struct remote_ops gcs_remote_ops = {
	.prepare = prepare,
	.judge = judge,
	.refuse = refuse,
	.tag = tag,
	.pin = pin,
};

/* ---- what they hold ---- */

static void free_json(void *tree)
{
	json_decref(tree);
}

/* A tree takes fifty times its text and more. */
static bool is_modest(const char *text, size_t size)
{
	size_t values = 0;
	bool quoted = false;

	for (const char *p = text, *end = text + size; p < end; p++) {
		if (*p == '"')
			quoted = !quoted;
		else if (quoted)
			p += *p == '\\';
		else
			values += *p == ',' || *p == '{' || *p == '[';
	}
	return values <= VALUES;
}

json_t *gcs_json(struct ctx *c, const char *text, size_t size)
{
	json_error_t why;
	json_t *tree;

	if (!is_modest(text, size)) {
		(void)fail(c, TEMPORARILY_UNAVAILABLE,
			   "The artifact store's answer holds more than %d values", VALUES);
		return NULL;
	}
	tree = json_loadb(text, size, JSON_REJECT_DUPLICATES, &why);
	if (!json_is_object(tree)) {
		(void)fail_because(c, TEMPORARILY_UNAVAILABLE,
				   tree ? "not an object"
					: arena_printf(c->arena, "line %d column %d", why.line, why.column),
				   "The artifact store answered with something that is no JSON");
		json_decref(tree);
		return NULL;
	}
	arena_defer(c->arena, free_json, tree);
	return tree;
}

bool gcs_json_uint(const json_t *object, const char *name, uint64_t *ret)
{
	const json_t *value = json_object_get(object, name);
	const char *text = json_string_value(value);
	unsigned long long number;
	char *end;

	if (json_is_integer(value) && json_integer_value(value) >= 0) {
		*ret = (uint64_t)json_integer_value(value);
		return true;
	}
	if (!text || !isdigit((unsigned char)*text))
		return false;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno || *end || number > INT64_MAX)
		return false;
	*ret = number;
	return true;
}

int64_t gcs_time(const char *text)
{
	struct tm tm = { 0 };
	const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;

	if (!rest)
		return -1;
	if (*rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	/* The API writes UTC; some emulators an offset. */
	if (*rest == '+' || *rest == '-') {
		int hours = 0, minutes = 0;

		if (sscanf(rest + 1, "%2d:%2d", &hours, &minutes) != 2)
			return -1;
		return timegm(&tm) - (*rest == '+' ? 1 : -1) * (hours * 3600 + minutes * 60);
	}
	return timegm(&tm);
}

void gcs_crc_text(uint32_t crc, char text[GCS_TAG])
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint64_t bits = (uint64_t)crc << 4; /* six digits of six bits */

	for (int i = 0; i < 6; i++)
		text[i] = digits[bits >> (30 - 6 * i) & 63];
	memcpy(text + 6, "==", 3);
}

int gcs_object_read(struct ctx *c, const char *text, size_t size, struct gcs_object *ret)
{
	const json_t *tree = gcs_json(c, text, size);
	const json_t *generation = json_object_get(tree, "generation");
	uint64_t number;

	*ret = (struct gcs_object){ 0 };
	if (!tree)
		return -1;
	if (generation && gcs_json_uint(tree, "generation", &number))
		snprintf(ret->generation, sizeof(ret->generation), "%llu",
			 (unsigned long long)number);
	ret->has_size = gcs_json_uint(tree, "size", &ret->size);
	ret->has_crc = json_is_string(json_object_get(tree, "crc32c"));
	if (ret->has_crc)
		keep(ret->crc, sizeof(ret->crc), json_string_value(json_object_get(tree, "crc32c")));
	return 0;
}
