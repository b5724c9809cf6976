/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* admit — what a request's head decides: guard, route, permission, content type, size. */
#include "http.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "workspace.h"

/* Served with and without --static-prefix: probes cannot know it, and MLflow's own proxy routes
   do so. */
static bool without_prefix(const char *path)
{
	static const char *const exact[] = { "/health", "/version", "/livez", "/readyz",
					     "/metrics" };
	static const char *const proxy[] = { "/api/2.0/mlflow-artifacts/artifacts/",
					     "/ajax-api/2.0/mlflow-artifacts/artifacts/" };

	for (size_t i = 0; i < sizeof(exact) / sizeof(exact[0]); i++) {
		if (strcmp(path, exact[i]) == 0)
			return true;
	}
	for (size_t i = 0; i < sizeof(proxy) / sizeof(proxy[0]); i++) {
		if (strncmp(path, proxy[i], strlen(proxy[i])) == 0)
			return true;
	}
	return false;
}

/* Probes come from kubelets that name a pod's address, whatever --allowed-hosts says. */
static bool is_probe(const char *path)
{
	return strcmp(path, "/health") == 0 || strcmp(path, "/version") == 0 ||
	       strcmp(path, "/livez") == 0 || strcmp(path, "/readyz") == 0;
}

static int strip_prefix(struct job *j)
{
	const struct http_server *s = j->server;
	const char *path = j->target.path;

	if (!s->prefix_length)
		return 0;
	if (strncmp(path, s->options.static_prefix, s->prefix_length) == 0 &&
	    path[s->prefix_length] == '/') {
		j->target.path = path + s->prefix_length;
		return 0;
	}
	if (without_prefix(path))
		return 0;
	return fail(&j->ctx, ENDPOINT_NOT_FOUND, "No such path; this server's begin with %s.",
		    s->options.static_prefix);
}

static bool changes_state(enum http_method m)
{
	return m == METHOD_POST || m == METHOD_PUT || m == METHOD_PATCH || m == METHOD_DELETE ||
	       m == METHODS;
}

static int check_guard(struct job *j)
{
	const struct guard *g = j->server->guard;

	if (j->server->options.disable_security)
		return 0;
	if (!is_probe(j->target.path) && !guard_host_allowed(g, job_header(j, "Host")))
		return fail(&j->ctx, PERMISSION_DENIED,
			    "Invalid Host header - possible DNS rebinding attack detected");
	if (j->origin && changes_state(j->method) && !guard_origin_may_write(g, j->origin))
		return fail(&j->ctx, PERMISSION_DENIED, "Cross-origin request blocked");
	return 0;
}

static int preflight(struct job *j)
{
	const struct guard *g = j->server->guard;
	enum http_method wanted = method_parse(job_header(j, "Access-Control-Request-Method"));

	j->preflight = true;
	if (!guard_origin_may_read(g, j->origin))
		return fail(&j->ctx, BAD_REQUEST, "Disallowed CORS origin");
	if (wanted == METHODS || (wanted == METHOD_HEAD && !guard_any_origin(g)))
		return fail(&j->ctx, BAD_REQUEST, "Disallowed CORS method");
	j->status = 200;
	j->content_type = "text/plain; charset=utf-8";
	j->reply = (struct buf)BUF(j->ctx.arena, 16);
	buf_add(&j->reply, "OK");
	return 0;
}

static const char *allow_text(struct arena *a, unsigned allowed)
{
	struct buf b = BUF(a, 256);

	for (unsigned m = 0; m < METHODS; m++) {
		bool head = m == METHOD_HEAD && allowed & 1u << METHOD_GET;

		if (allowed & 1u << m || head || m == METHOD_OPTIONS) {
			buf_add(&b, b.size ? ", " : "");
			buf_add(&b, method_names[m]);
		}
	}
	return buf_text(&b);
}

/* Said once the user is known: what there is here is not for everybody. */
static int found(struct job *j)
{
	struct ctx *c = &j->ctx;

	/* Users and roles are there with --app-name basic-auth alone, as in MLflow. */
	if (!j->match.allowed || (!j->server->options.auth && route_of_accounts(j->match.route)))
		return fail(c, ENDPOINT_NOT_FOUND, "No such endpoint: %.200s", j->target.path);
	if (j->match.route)
		return 0;
	j->allow = allow_text(c->arena, j->match.allowed);
	if (j->method == METHOD_OPTIONS) {
		j->status = 204;
		return 0;
	}
	return fail(c, METHOD_NOT_ALLOWED, "Method not allowed here; allowed: %s", j->allow);
}

/* A web page can post text/plain or a form to any server without asking; JSON it cannot
   (CVE-2023-43472). */
static int check_content_type(struct job *j)
{
	static const char wanted[] = "application/json";
	const char *given;
	size_t size;

	if (j->method != METHOD_POST && j->method != METHOD_PUT)
		return 0;
	given = job_header(j, "Content-Type");
	if (!given)
		return fail(&j->ctx, INVALID_PARAMETER_VALUE,
			    "Bad Request. Content-Type header is missing.");
	size = strcspn(given, ";");
	while (size && (given[size - 1] == ' ' || given[size - 1] == '\t'))
		size--;
	if (size == strlen(wanted) && strncasecmp(given, wanted, size) == 0)
		return 0;
	return fail(&j->ctx, INVALID_PARAMETER_VALUE,
		    "Bad Request. Content-Type must be one of ['application/json'].");
}

static void read_length(struct job *j)
{
	const char *length = job_header(j, "Content-Length");

	/* libmicrohttpd refuses malformed, repeated and conflicting ones. */
	if (job_header(j, "Transfer-Encoding"))
		j->length = -1;
	else if (length)
		j->length = (int64_t)strtoll(length, NULL, 10);
}

/* The rows that stay with --artifacts-only: the artifact proxy's, users', and service info. */
static bool without_tracking(const struct route *r)
{
	switch (r->needs) {
	case NEEDS_NOTHING:
	case NEEDS_SIGNED_IN:
	case NEEDS_ADMIN:
	case NEEDS_ACCOUNTS:
	case NEEDS_ACCOUNTS_ADMIN:
	case NEEDS_UPLOAD_PART:
	case NEEDS_READ_ARTIFACTS:
	case NEEDS_EDIT_ARTIFACTS:
	case NEEDS_DELETE_ARTIFACTS:
		return true;
	default:
		return false;
	}
}

static int check_artifacts(struct job *j)
{
	static const char proxy[] = "2.0/mlflow-artifacts/";
	const struct http_options *o = &j->server->options;
	const struct route *r = j->match.route;

	if (o->artifacts_only && !without_tracking(r))
		return fail(&j->ctx, TEMPORARILY_UNAVAILABLE,
			    "Endpoint: %s disabled due to the mlflow server running in "
			    "`--artifacts-only` mode. To enable tracking server functionality, run "
			    "`mlflow server` without `--artifacts-only`", j->target.path);
	if (o->serve_artifacts || strncmp(r->path, proxy, strlen(proxy)) != 0)
		return 0;
	return fail(&j->ctx, TEMPORARILY_UNAVAILABLE,
		    "Artifact serving is disabled. "
		    "Run `capstan serve` with `--serve-artifacts` to enable.");
}

int admit(struct job *j)
{
	struct ctx *c = &j->ctx;

	read_length(j);
	j->origin = job_header(j, "Origin");
	if (target_parse(c, j->raw, &j->target) || strip_prefix(j) || check_guard(j))
		return -1;
	if (j->method == METHOD_OPTIONS && j->origin &&
	    job_header(j, "Access-Control-Request-Method") && !j->server->options.disable_security)
		return preflight(j);
	if (workspace_check_header(j))
		return -1;
	route_find(c, j->method, j->target.path, &j->match);
	return auth_identify(j);
}

/* Rows whose handler is not given records are judged by their head, and so are admins' rows. */
static int check_permission(struct job *j)
{
	const struct route *r = j->match.route;
	bool now = r->kind == KIND_STREAM || r->kind == KIND_INLINE || r->kind == KIND_BLOCKING ||
		   r->needs == NEEDS_ADMIN || r->needs == NEEDS_ACCOUNTS_ADMIN ||
		   r->needs == NEEDS_MANAGE_WEBHOOKS;

	return now && auth_judges(j) && auth_permit(j) <= 0 ? -1 : 0;
}

int admit_user(struct job *j)
{
	struct ctx *c = &j->ctx;

	if (j->preflight)
		return 0;
	if (found(j))
		return -1;
	if (!j->match.route) /* OPTIONS */
		return 0;
	if (j->match.route->kind == KIND_ABSENT)
		return fail(c, NOT_IMPLEMENTED, "%s", j->match.route->reason);
	if (check_artifacts(j) || check_permission(j) || workspace_check_route(j))
		return -1;
	if (!j->match.route->request)
		return 0;
	if (check_content_type(j))
		return -1;
	if (j->length > LIMIT_BODY)
		return fail(c, PAYLOAD_TOO_LARGE, "The request body is larger than %d bytes.",
			    LIMIT_BODY);
	return 0;
}
