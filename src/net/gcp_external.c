/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Workload identity federation: a token of somebody else's is exchanged for Google's (RFC 8693; google/auth/
 * external_account.py, identity_pool.py, oauth2/sts.py).
 */
#include <ctype.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "gcp_impl.h"

#define STS         "https://sts.googleapis.com/v1/token"
#define AWS_SUBJECT "urn:ietf:params:aws:token-type:aws4_request"

enum { FORM = 4 * GCP_FILE, MOST_HEADERS = 32, SOURCE_MS = 10000 };

/* ---- the subject token ---- */

/* The token in what a file or an address gave: all of it, or a member of the JSON object that it is. */
static int subject_in(struct ctx *c, const struct gcp_file *f, const json_t *source,
		      const char *text, size_t n, const char *where, const char **ret)
{
	const json_t *format = json_object_get(source, "format");
	const char *type = gcp_text_member(format, "type");
	const char *name = gcp_text_member(format, "subject_token_field_name");

	if (type && strcmp(type, "text") != 0 && strcmp(type, "json") != 0)
		return fail(
			c, INVALID_STATE,
			"The credential_source of %s has the format %s: text and json can be used.",
			f->path, type);
	if (type && strcmp(type, "json") == 0) {
		if (!name)
			return fail(c, INVALID_STATE,
				    "The credential_source of %s has the format json, but no "
				    "subject_token_field_name.",
				    f->path);
		*ret = gcp_text_member(gcp_text_json(c, text, n), name);
		return *ret ? 0
			    : fail(c, INVALID_STATE,
				   "%s, the credential_source of %s, is no JSON object with a text "
				   "%s.",
				   where, f->path, name);
	}
	while (n && isspace((unsigned char)text[n - 1]))
		n--;
	if (!n || memchr(text, '\0', n))
		return fail(c, INVALID_STATE, "%s, the credential_source of %s, holds no token.",
			    where, f->path);
	*ret = arena_strndup(c->arena, text, n);
	return 0;
}

static int subject_of_url(struct ctx *c, struct net *n, const struct gcp_file *f,
			  const json_t *source, const char *url, const char **ret)
{
	struct net_header headers[MOST_HEADERS];
	struct net_request r = {
		.method = "GET",
		.url = url,
		.headers = headers,
		.timeout_ms = SOURCE_MS,
		.most = GCP_FILE,
		.flags = gcp_http_flags(url),
		.cancel = identity_cancel(),
	};
	const char *shown = gcp_http_shown(c, url);
	struct net_reply got;
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)json_object_get(source, "headers"), name, value)
	{
		if (!json_is_string(value) || r.header_count == MOST_HEADERS)
			return fail(c, INVALID_STATE,
				    "The headers in the credential_source of %s must be texts, at "
				    "most %d.",
				    f->path, MOST_HEADERS);
		headers[r.header_count++] = (struct net_header){ name, json_string_value(value) };
	}
	if (net_perform(c, n, &r, &got)) {
		const struct error e = c->error;

		error_clear(c);
		return fail_because(c, e.code, e.detail,
				    "%s, the credential_source of %s, could not be asked: %s",
				    shown, f->path, e.message);
	}
	if (got.status != 200)
		return fail(c, got.status >= 500 ? TEMPORARILY_UNAVAILABLE : PERMISSION_DENIED,
			    "%s, the credential_source of %s, gave no token (status %d).", shown,
			    f->path, got.status);
	return subject_in(c, f, source, got.body, got.size, shown, ret);
}

static int subject(struct ctx *c, struct net *n, const struct gcp_file *f, const char *audience,
		   const char *type, const char **ret)
{
	const json_t *source = json_object_get(f->root, "credential_source");
	const char *file = gcp_text_member(source, "file");
	const char *url = gcp_text_member(source, "url");
	const char *text;
	size_t size;

	if (strcmp(type, AWS_SUBJECT) == 0 || json_object_get(source, "environment_id"))
		return gcp_external_aws(c, n, f, source, audience, ret);
	if (json_object_get(source, "executable"))
		return fail(c, INVALID_STATE,
			    "The credential_source of %s is an executable: this server runs none. "
			    "Let it write "
			    "the token to a file and name that as credential_source.file.",
			    f->path);
	if (json_object_get(source, "certificate"))
		return fail(c, INVALID_STATE,
			    "The credential_source of %s is a certificate, which is not supported: "
			    "use a file, "
			    "url or AWS source.",
			    f->path);
	if (!file == !url)
		return fail(c, INVALID_STATE,
			    "The credential_source of %s must have either file or url.", f->path);
	if (url)
		return subject_of_url(c, n, f, source, url, ret);
	if (gcp_file_read(c,
			  arena_printf(c->arena,
				       "The subject token file (credential_source.file of %s)",
				       f->path),
			  file, &text, &size))
		return -1;
	return subject_in(c, f, source, text, size, file, ret);
}

/* ---- the exchange ---- */

static int sts(struct ctx *c, struct net *n, struct gcp_call *call, const struct gcp_file *f,
	       const struct buf *form, struct identity_value *ret)
{
	const struct net_header type = { "Content-Type", "application/x-www-form-urlencoded" };
	const char *id = gcp_text_member(f->root, "client_id");
	const char *secret = gcp_text_member(f->root, "client_secret");
	int64_t now = clock_wall_ms();
	json_t *answer;

	if (buf_failed(form))
		return fail(c, INVALID_STATE, "What %s says, with its subject token, is too long.",
			    f->path);
	call->request.method = "POST";
	call->request.headers = &type;
	call->request.header_count = 1;
	call->request.body = buf_text(form);
	call->request.size = form->size;
	call->request.user = id;
	call->request.password = id ? secret ? secret : "" : NULL;
	call->what = "Google's Security Token Service";
	call->secrets[1] = secret;
	return gcp_http_ask(c, n, call, &answer) ? -1 : gcp_http_token(c, call, answer, now, ret);
}

static bool of_workforce(const char *audience)
{
	static const char begin[] = "//iam.googleapis.com/locations/";
	const char *at = strncmp(audience, begin, strlen(begin)) == 0
				 ? strchr(audience + strlen(begin), '/')
				 : NULL;

	return at && strncmp(at, "/workforcePools/", strlen("/workforcePools/")) == 0;
}

/* Whom a workforce pool's user charges; a client of its own says it already. */
static const char *options(struct ctx *c, const struct gcp_file *f)
{
	const char *project = gcp_text_member(f->root, "workforce_pool_user_project");
	struct buf text = BUF(c->arena, GCP_FILE);

	if (!project || gcp_text_member(f->root, "client_id"))
		return NULL;
	buf_add(&text, "{\"userProject\": ");
	buf_add_json_string(&text, project);
	buf_addc(&text, '}');
	return net_encode(c, buf_text(&text), true);
}

static int exchange(struct ctx *c, struct net *n, const struct gcp_file *f, const char *scope,
		    struct identity_value *ret)
{
	const char *audience = gcp_file_needs(c, f, f->root, "audience");
	const char *type = gcp_file_needs(c, f, f->root, "subject_token_type");
	const char *url = gcp_text_member(f->root, "token_url");
	struct buf form = BUF(c->arena, FORM);
	struct gcp_call call = {
		.request.url = url && strcmp(url, "https://sts.{universe_domain}/v1/token") != 0
				       ? url
				       : STS,
		.whose = arena_printf(c->arena, "the subject token of %s", f->path),
		.advice = "compare the provider's issuer, audience and attribute condition with "
			  "the token's claims",
	};
	const char *token;

	if (!audience || !type)
		return -1;
	if (gcp_text_member(f->root, "workforce_pool_user_project") && !of_workforce(audience))
		return fail(c, INVALID_STATE,
			    "%s has a workforce_pool_user_project, but its audience is no "
			    "workforce pool.",
			    f->path);
	if (subject(c, n, f, audience, type, &token))
		return -1;
	call.secrets[0] = token;
	gcp_text_field(c, &form, "grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
	gcp_text_field(c, &form, "audience", audience);
	gcp_text_field(c, &form, "scope", scope);
	gcp_text_field(c, &form, "requested_token_type",
		       "urn:ietf:params:oauth:token-type:access_token");
	gcp_text_field(c, &form, "subject_token", token);
	gcp_text_field(c, &form, "subject_token_type", type);
	gcp_text_field(c, &form, "options", options(c, f));
	return sts(c, n, &call, f, &form, ret);
}

int gcp_external_fetch(struct ctx *c, struct net *n, const struct gcp_file *f,
		       struct identity_value *ret)
{
	/* The account has no key here: its own token is what calls signBlob for it. */
	static const char *const scopes[] = { GCP_SCOPE_STORAGE, GCP_SCOPE_IAM, NULL };
	const char *url = gcp_text_member(f->root, "service_account_impersonation_url");
	const json_t *more = json_object_get(f->root, "service_account_impersonation");
	struct identity_value source = { 0 };

	if (!url)
		return exchange(c, n, f, GCP_SCOPE_STORAGE, ret);
	if (exchange(c, n, f, GCP_SCOPE_IAM, &source))
		return -1;
	return gcp_file_impersonate(
		c, n, f, url, &source, NULL, scopes,
		json_integer_value(json_object_get(more, "token_lifetime_seconds")), ret);
}

int gcp_external_user(struct ctx *c, struct net *n, const struct gcp_file *f,
		      struct identity_value *ret)
{
	const char *refresh = gcp_file_needs(c, f, f->root, "refresh_token");
	const char *url = gcp_file_needs(c, f, f->root, "token_url");
	struct buf form = BUF(c->arena, FORM);
	struct gcp_call call = {
		.request.url = url,
		.whose = arena_printf(c->arena, "the user of %s", f->path),
		.advice =
			"log in again with `gcloud auth application-default login --login-config`",
		.secrets = { refresh },
	};

	if (!refresh || !url || !gcp_file_needs(c, f, f->root, "client_id") ||
	    !gcp_file_needs(c, f, f->root, "client_secret"))
		return -1;
	gcp_text_field(c, &form, "grant_type", "refresh_token");
	gcp_text_field(c, &form, "refresh_token", refresh);
	return sts(c, n, &call, f, &form, ret);
}
