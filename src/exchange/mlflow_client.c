/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "exchange/mlflow_client.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"

enum {
	CALL_MS = 120000,
	ATTEMPTS = 5,
	REPLY_MAX = 128 << 20,          /* a page of 50,000 runs */
	URL_MAX = 64 << 10,
	SCRATCH = 192 << 20,
	SHOWN = 600,
};

#define API "/api/2.0/mlflow/"
#define PROXY "/api/2.0/mlflow-artifacts/artifacts"

struct mlflow {
	const char *whose;
	const char *uri;                /* no credentials, no slash at the end */
	const char *origin;             /* scheme://host:port */
	const char *host;
	const char *user, *password, *token, *ca_file;
	bool insecure_tls;
	struct net *net;
	struct arena *scratch;
};

static void close_net(void *p)
{
	net_free(p);
}

static int hex(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	if (ch >= 'a' && ch <= 'f')
		return ch - 'a' + 10;
	return ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
}

/* The n bytes at `text`, percent escapes undone. */
static const char *decode(struct ctx *c, const char *text, size_t n)
{
	char *to = arena_alloc(c->arena, n + 1);
	size_t size = 0;

	for (size_t i = 0; i < n; i++) {
		if (text[i] == '%' && i + 2 < n && hex(text[i + 1]) >= 0 &&
		    hex(text[i + 2]) >= 0) {
			to[size++] = (char)(hex(text[i + 1]) << 4 | hex(text[i + 2]));
			i += 2;
		} else {
			to[size++] = text[i];
		}
	}
	return to;
}

/* The host of "host:port" or "[v6]:port". */
static const char *host_of(struct ctx *c, const char *authority)
{
	const char *end = authority[0] == '[' ? strchr(authority, ']') : strrchr(authority, ':');

	if (authority[0] == '[')
		return arena_strndup(c->arena, authority + 1,
				     end ? (size_t)(end - authority - 1) : strlen(authority + 1));
	return arena_strndup(c->arena, authority,
			     end ? (size_t)(end - authority) : strlen(authority));
}

static int parse(struct ctx *c, struct mlflow *m, const char *uri)
{
	const char *scheme = !strncasecmp(uri, "http://", 7)    ? "http://"
			     : !strncasecmp(uri, "https://", 8) ? "https://"
								: NULL;

	if (!scheme)
		return fail(c, INVALID_PARAMETER_VALUE,
			    "%s must be an http:// or https:// address of a tracking server.",
			    m->whose);
	const char *at = uri + strlen(scheme);
	size_t size = strcspn(at, "/?#");
	if (at[size] == '?' || strpbrk(at + size, "?#"))
		return fail(c, INVALID_PARAMETER_VALUE, "%s: an address has no query or fragment.",
			    m->whose);
	const char *authority = arena_strndup(c->arena, at, size);
	const char *sign = strrchr(authority, '@');
	if (sign) {
		const char *colon = memchr(authority, ':', (size_t)(sign - authority));
		const char *end = colon ? colon : sign;
		m->user = decode(c, authority, (size_t)(end - authority));
		m->password = colon ? decode(c, colon + 1, (size_t)(sign - colon - 1)) : "";
		m->token = NULL;
		authority = sign + 1;
	}
	if (!*authority)
		return fail(c, INVALID_PARAMETER_VALUE, "%s: the address names no host.", m->whose);
	size_t path = strlen(at + size);
	while (path && at[size + path - 1] == '/')
		path--;
	m->host = host_of(c, authority);
	m->origin = arena_printf(c->arena, "%s%s", scheme, authority);
	m->uri = arena_printf(c->arena, "%s%.*s", m->origin, (int)path, at + size);
	return 0;
}

static struct mlflow *with_net(struct ctx *c, struct mlflow *m)
{
	m->scratch = arena_child(c->arena, SCRATCH);
	m->net = net_new();
	if (!m->net) {
		fail(c, TEMPORARILY_UNAVAILABLE, "No memory.");
		return NULL;
	}
	arena_defer(c->arena, close_net, m->net);
	return m;
}

struct mlflow *mlflow_open(struct ctx *c, const char *whose, const struct mlflow_login *login)
{
	struct mlflow *m = NEW(c->arena, struct mlflow);

	m->whose = whose;
	m->user = login->user;
	m->password = login->password ? login->password : "";
	m->token = login->user ? NULL : login->token;
	m->ca_file = login->ca_file;
	m->insecure_tls = login->insecure_tls;
	return parse(c, m, login->uri) ? NULL : with_net(c, m);
}

struct mlflow *mlflow_again(struct ctx *c, const struct mlflow *m)
{
	struct mlflow *copy = arena_memdup(c->arena, m, sizeof(*m));

	return with_net(c, copy);
}

const char *mlflow_uri(const struct mlflow *m)
{
	return m->uri;
}

bool mlflow_is_local(const struct mlflow *m)
{
	return !strcasecmp(m->host, "localhost") || !strncmp(m->host, "127.", 4) ||
	       !strcmp(m->host, "::1");
}

/* Is `url` on the server itself? */
static bool own(const struct mlflow *m, const char *url)
{
	size_t n = strlen(m->origin);

	return !strncasecmp(url, m->origin, n) && (url[n] == '/' || !url[n]);
}

void mlflow_request(const struct mlflow *m, const char *method, const char *url,
		    struct net_request *ret)
{
	*ret = (struct net_request){
		.method = method,
		.url = url,
		.ca_file = m->ca_file,
		.flags = m->insecure_tls ? NET_INSECURE_TLS : 0,
		.timeout_ms = CALL_MS,
		.source_size = -1,
	};
	if (own(m, url)) {
		ret->user = m->user;
		ret->password = m->user ? m->password : NULL;
		ret->token = m->user ? NULL : m->token;
	}
}

int mlflow_perform(struct ctx *c, struct mlflow *m, const struct net_request *r,
		   struct net_reply *ret)
{
	return net_perform(c, m->net, r, ret);
}

bool mlflow_retry(const struct mlflow *m, int status, int attempt)
{
	bool passing = !status || status == 429 || status == 502 || status == 503 || status == 504;
	long ms = 250L << attempt;
	struct timespec pause = { ms / 1000, ms % 1000 * 1000000 };

	(void)m;
	if (!passing || attempt + 1 >= ATTEMPTS)
		return false;
	nanosleep(&pause, NULL);
	return true;
}

static enum error_code code_named(const char *name)
{
	for (int i = OK + 1; i < ERROR_CODES; i++) {
		if (!strcmp(error_name((enum error_code)i), name))
			return (enum error_code)i;
	}
	return INTERNAL_ERROR;
}

/* What an HTTP status means where the body is not MLflow's. */
static enum error_code code_of(int status)
{
	switch (status) {
	case 401:
		return UNAUTHENTICATED;
	case 403:
		return PERMISSION_DENIED;
	case 404:
	case 405:
		return ENDPOINT_NOT_FOUND;
	case 429:
		return REQUEST_LIMIT_EXCEEDED;
	case 501:
		return NOT_IMPLEMENTED;
	case 502:
	case 503:
	case 504:
		return TEMPORARILY_UNAVAILABLE;
	default:
		return status < 500 ? BAD_REQUEST : INTERNAL_ERROR;
	}
}

static const char *hint(int status)
{
	if (status == 401)
		return " Give credentials: user:password@ in the address, or the environment.";
	if (status >= 300 && status < 400)
		return " It redirects; give the address that it redirects to.";
	return "";
}

int mlflow_refused(struct ctx *c, const struct mlflow *m, const char *what,
		   const struct net_reply *reply)
{
	CLEANUP(mlflow_json_done) json_t *tree =
		json_loadb(reply->body ? reply->body : "", reply->size, JSON_ALLOW_NUL, NULL);
	const char *code = mlflow_text(tree, "error_code");
	const char *message = mlflow_text(tree, "message");
	const char *plain = reply->body && strncmp(reply->content_type, "text/html", 9) ? reply->body
											: "";

	if (!*message)
		message = *code ? code : plain;
	fail(c, *code ? code_named(code) : code_of(reply->status),
	     "%s, %s, answered %d to %s%s%.*s%s%s", m->whose, m->uri, reply->status, what,
	     *message ? ": " : ".", SHOWN, message, strlen(message) > SHOWN ? "..." : "",
	     hint(reply->status));
	return -1;
}

/* The scratch arena's error in the caller's, before it is emptied. */
static void keep_error(struct ctx *c, struct mlflow *m, const struct error *e)
{
	fail_because(c, e->code, e->detail ? arena_strdup(c->arena, e->detail) : NULL,
		     "%s, %s: %s", m->whose, m->uri, e->message ? e->message : "failed");
}

static int parse_reply(struct ctx *c, struct mlflow *m, const char *what,
		       const struct net_reply *reply, json_t **ret)
{
	json_error_t why;

	if (!ret)
		return 1;
	*ret = json_loadb(reply->body ? reply->body : "", reply->size, JSON_ALLOW_NUL, &why);
	if (json_is_object(*ret))
		return 1;
	mlflow_json_done(ret);
	return fail(c, BAD_REQUEST,
		    "%s, %s, did not answer JSON to %s (%s): is it a tracking server?", m->whose,
		    m->uri, what, why.text);
}

static int call(struct ctx *c, struct mlflow *m, const char *method, const char *path,
		const char *query, const char *body, bool once, json_t **ret)
{
	static const struct net_header json_type = { "Content-Type", "application/json" };
	bool whole = !strncmp(path, "http://", 7) || !strncmp(path, "https://", 8);
	bool root = whole || path[0] == '/';
	const char *url = arena_printf(m->scratch, "%s%s%s%s", whole ? "" : m->uri, root ? "" : API,
				       path, query);
	const char *what = arena_printf(m->scratch, "%s %s", method, path);
	struct net_request r;
	struct net_reply reply = { 0 };
	struct ctx sub = *c;

	sub.arena = m->scratch;
	mlflow_request(m, method, url, &r);
	r.most = REPLY_MAX;
	if (body) {
		r.headers = &json_type;
		r.header_count = 1;
		r.body = body;
		r.size = strlen(body);
	}
	for (int attempt = 0;; attempt++) {
		sub.error = (struct error){ 0 };
		reply = (struct net_reply){ 0 };
		int failed = mlflow_perform(&sub, m, &r, &reply);
		bool passing = !failed || sub.error.code == TEMPORARILY_UNAVAILABLE;
		if (!failed && reply.status >= 200 && reply.status < 300)
			return parse_reply(c, m, what, &reply, ret);
		if (!once && passing && mlflow_retry(m, failed ? 0 : reply.status, attempt))
			continue;
		if (failed) {
			keep_error(c, m, &sub.error);
			return -1;
		}
		break;
	}
	mlflow_refused(c, m, what, &reply);
	if (c->error.code != RESOURCE_DOES_NOT_EXIST)
		return -1;
	error_clear(c);
	return 0;
}

int mlflow_get(struct ctx *c, struct mlflow *m, json_t **ret, const char *path, ...)
{
	struct buf query = BUF(m->scratch, URL_MAX);
	struct ctx sub = *c;
	const char *name;
	va_list ap;

	sub.arena = m->scratch;
	va_start(ap, path);
	while ((name = va_arg(ap, const char *))) {
		const char *value = va_arg(ap, const char *);
		if (value)
			buf_addf(&query, "%c%s=%s", query.size ? '&' : '?', name,
				 net_encode(&sub, value, false));
	}
	va_end(ap);
	int done = buf_failed(&query) ? fail(c, INVALID_PARAMETER_VALUE, "The address is too long.")
				      : call(c, m, "GET", path, buf_text(&query), NULL, false, ret);
	arena_reset(m->scratch);
	return done;
}

int mlflow_send(struct ctx *c, struct mlflow *m, const char *method, const char *path, json_t *body,
		bool once, json_t **ret)
{
	char *text = body ? json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;

	json_decref(body);
	if (!text)
		return fail(c, TEMPORARILY_UNAVAILABLE, "No memory for a request.");
	int done = call(c, m, method, path, "", text, once, ret);
	free(text);
	arena_reset(m->scratch);
	return done;
}

/* scheme://authority/prefix of the server that `mlflow-artifacts://authority/` names. */
static const char *named_server(struct ctx *c, const struct mlflow *m, const char *authority,
				size_t size)
{
	if (!size)
		return m->uri;
	return arena_printf(c->arena, "%.*s%.*s%s",
			    (int)(strstr(m->origin, "://") + 3 - m->origin), m->origin, (int)size,
			    authority, m->uri + strlen(m->origin));
}

bool mlflow_artifact_place(struct ctx *c, const struct mlflow *m, const char *location,
			   const char **ret_proxy, const char **ret_path)
{
	static const char scheme[] = "mlflow-artifacts:";
	const char *at = location;

	if (!strncmp(location, "http://", 7) || !strncmp(location, "https://", 8)) {
		at = strstr(location, PROXY);
		if (!at)
			return false;
		at += strlen(PROXY);
		*ret_proxy = arena_strndup(c->arena, location, (size_t)(at - location));
		at += *at == '/';
		*ret_path = decode(c, at, strcspn(at, "?#"));
		return true;
	}
	if (strncmp(location, scheme, sizeof(scheme) - 1) != 0)
		return false;
	at += sizeof(scheme) - 1;
	const char *server = m->uri;
	if (at[0] == '/' && at[1] == '/') {
		size_t authority = strcspn(at + 2, "/");
		server = named_server(c, m, at + 2, authority);
		at += 2 + authority;
	}
	while (*at == '/')
		at++;
	*ret_proxy = arena_printf(c->arena, "%s" PROXY, server);
	*ret_path = at;
	return true;
}

const char *mlflow_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

int64_t mlflow_int(const json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);

	if (json_is_string(v))
		return strtoll(json_string_value(v), NULL, 10);
	return json_is_real(v) ? (int64_t)json_real_value(v) : json_integer_value(v);
}

double mlflow_double(const json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);

	return json_is_string(v) ? strtod(json_string_value(v), NULL) : json_number_value(v);
}

const char *mlflow_tag(const json_t *tags, const char *key)
{
	size_t i;
	json_t *tag;

	json_array_foreach(tags, i, tag) {
		if (!strcmp(mlflow_text(tag, "key"), key))
			return mlflow_text(tag, "value");
	}
	return NULL;
}

void mlflow_json_done(json_t **p)
{
	json_decref(*p);
	*p = NULL;
}
