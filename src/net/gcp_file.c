/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * Credentials files (google/auth/_default.py). What they name is trusted as google-auth does: whoever may write them has
 * what is in them anyway.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "gcp_impl.h"

#define GOOGLE_TOKEN    "https://oauth2.googleapis.com/token"
#define GOOGLE_UNIVERSE "googleapis.com"

enum { LIFETIME_S = 3600, FORM = 2 * GCP_FILE };

static void close_file(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

int gcp_file_read(struct ctx *c, const char *what, const char *path, const char **text, size_t *n)
{
	/* Not blocking: a FIFO would hold us. */
	CLEANUP(close_file) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	char *to;

	if (fd < 0)
		return fail_because(c, INVALID_STATE, strerror(errno), "%s %s %s.", what, path,
				    errno == ENOENT ? "does not exist" : "cannot be opened");
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return fail(c, INVALID_STATE, "%s %s is no regular file.", what, path);
	to = arena_alloc(c->arena, GCP_FILE + 1);
	*n = 0;
	while (*n <= GCP_FILE) {
		ssize_t got = read(fd, to + *n, GCP_FILE + 1 - *n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail_because(c, INVALID_STATE, strerror(errno),
					    "%s %s cannot be read.", what, path);
		if (!got)
			break;
		*n += (size_t)got;
	}
	if (*n > GCP_FILE)
		return fail(c, INVALID_STATE, "%s %s is larger than %d bytes.", what, path,
			    GCP_FILE);
	to[*n] = '\0';
	*text = to;
	return 0;
}

const char *gcp_file_needs(struct ctx *c, const struct gcp_file *f, const json_t *object,
			   const char *name)
{
	const char *text = gcp_text_member(object, name);
	const char *type = gcp_text_member(f->root, "type");

	if (!text)
		fail(c, INVALID_STATE, "The credentials file %s (type %s) has no %s.", f->path,
		     type ? type : "", name);
	return text;
}

static const struct net_header form_header = { "Content-Type",
					       "application/x-www-form-urlencoded" };

static int token_by_form(struct ctx *c, struct net *n, struct gcp_call *call,
			 const struct buf *form, struct identity_value *ret)
{
	int64_t now = clock_wall_ms();
	json_t *answer;

	if (buf_failed(form))
		return fail(c, INVALID_STATE, "The request to %s is too long.", call->what);
	call->request.method = "POST";
	call->request.headers = &form_header;
	call->request.header_count = 1;
	call->request.body = buf_text(form);
	call->request.size = form->size;
	return gcp_http_ask(c, n, call, &answer) ? -1 : gcp_http_token(c, call, answer, now, ret);
}

/* ---- service_account: RFC 7523 ---- */

struct account {
	const char *email, *key, *key_id, *token_uri;
};

static int assertion(struct ctx *c, const struct account *a, const char *scope, const char *of,
		     const char **ret)
{
	struct buf header = BUF(c->arena, GCP_FILE);
	struct buf claims = BUF(c->arena, GCP_FILE);
	int64_t now = clock_wall_ms() / 1000;
	unsigned char signature[GCP_SIGNATURE];
	const char *signed_text;
	size_t size;

	buf_add(&header, "{\"typ\":\"JWT\",\"alg\":\"RS256\"");
	if (a->key_id) {
		buf_add(&header, ",\"kid\":");
		buf_add_json_string(&header, a->key_id);
	}
	buf_add(&header, "}");
	buf_add(&claims, "{\"iss\":");
	buf_add_json_string(&claims, a->email);
	/* google-auth says this one whatever token_uri is, and so do the keys' owners expect it. */
	buf_addf(&claims, ",\"aud\":\"%s\",\"scope\":\"%s\",\"iat\":%lld,\"exp\":%lld}",
		 GOOGLE_TOKEN, scope, (long long)now, (long long)now + LIFETIME_S);
	if (buf_failed(&header) || buf_failed(&claims))
		return fail(c, INVALID_STATE, "The texts of %s are too long.", of);
	signed_text = arena_printf(c->arena, "%s.%s",
				   gcp_text_base64url(c, buf_text(&header), header.size),
				   gcp_text_base64url(c, buf_text(&claims), claims.size));
	if (gcp_text_sign(c, a->key, of, signed_text, strlen(signed_text), signature, &size))
		return -1;
	*ret = arena_printf(c->arena, "%s.%s", signed_text, gcp_text_base64url(c, signature, size));
	return 0;
}

static int service_account(struct ctx *c, struct net *n, const struct gcp_file *f,
			   const json_t *info, const char *scope, struct identity_value *ret)
{
	struct account a = {
		.email = gcp_file_needs(c, f, info, "client_email"),
		.key = gcp_file_needs(c, f, info, "private_key"),
		.key_id = gcp_text_member(info, "private_key_id"),
		.token_uri = gcp_file_needs(c, f, info, "token_uri"),
	};
	struct buf form = BUF(c->arena, FORM);
	struct gcp_call call = { .what = "Google's token endpoint",
				 .advice = "the key may be deleted, the account disabled or this "
					   "server's clock wrong; "
					   "create a new key if it is gone" };
	const char *jwt = NULL;

	if (!a.email || !a.key || !a.token_uri)
		return -1;
	if (strlen(a.key) >= IDENTITY_TEXT || strlen(a.email) >= IDENTITY_TEXT)
		return fail(c, INVALID_STATE, "The private_key or client_email in %s is too long.",
			    f->path);
	call.whose = arena_printf(c->arena, "the service account %s of %s", a.email, f->path);
	if (assertion(c, &a, scope, call.whose, &jwt))
		return -1;
	call.secrets[0] = jwt;
	call.secrets[1] = a.key;
	call.request.url = a.token_uri;
	gcp_text_field(c, &form, "grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
	gcp_text_field(c, &form, "assertion", jwt);
	if (token_by_form(c, n, &call, &form, ret))
		return -1;
	ret->text[GCP_EMAIL] = arena_strdup(c->arena, a.email);
	ret->text[GCP_KEY] = arena_strdup(c->arena, a.key);
	return 0;
}

static int fetch_service_account(struct ctx *c, struct net *n, const struct gcp_file *f,
				 struct identity_value *ret)
{
	return service_account(c, n, f, f->root, GCP_SCOPE_STORAGE, ret);
}

/* ---- authorized_user: what `gcloud auth application-default login` leaves ---- */

/* Scopes as the file has them: a list, or a text; NULL: none. */
static const char *scopes_of(struct ctx *c, const json_t *info)
{
	const json_t *scopes = json_object_get(info, "scopes");
	struct buf text = BUF(c->arena, GCP_FILE);
	const json_t *one;
	size_t i;

	if (json_is_string(scopes))
		return json_string_value(scopes);
	json_array_foreach(scopes, i, one)
	{
		if (!json_is_string(one))
			continue;
		if (text.size)
			buf_addc(&text, ' ');
		buf_add(&text, json_string_value(one));
	}
	return text.size ? buf_text(&text) : NULL;
}

static int authorized_user(struct ctx *c, struct net *n, const struct gcp_file *f,
			   const json_t *info, struct identity_value *ret)
{
	const char *id = gcp_file_needs(c, f, info, "client_id");
	const char *secret = gcp_file_needs(c, f, info, "client_secret");
	const char *refresh = gcp_file_needs(c, f, info, "refresh_token");
	const char *uri = gcp_text_member(info, "token_uri");
	struct buf form = BUF(c->arena, FORM);
	struct gcp_call call = {
		.request.url = uri ? uri : GOOGLE_TOKEN,
		.what = "Google's token endpoint",
		.whose = arena_printf(c->arena, "the user of %s", f->path),
		.advice = "log in again with `gcloud auth application-default login`, or better, "
			  "use a service account",
		.secrets = { refresh, secret },
	};

	if (!id || !secret || !refresh)
		return -1;
	gcp_text_field(c, &form, "grant_type", "refresh_token");
	gcp_text_field(c, &form, "client_id", id);
	gcp_text_field(c, &form, "client_secret", secret);
	gcp_text_field(c, &form, "refresh_token", refresh);
	gcp_text_field(c, &form, "scope", scopes_of(c, info));
	gcp_text_field(c, &form, "rapt", gcp_text_member(info, "rapt_token"));
	return token_by_form(c, n, &call, &form, ret);
}

static int fetch_authorized_user(struct ctx *c, struct net *n, const struct gcp_file *f,
				 struct identity_value *ret)
{
	return authorized_user(c, n, f, f->root, ret);
}

/* ---- impersonation ---- */

/* .../serviceAccounts/EMAIL:generateAccessToken */
static const char *email_of(struct ctx *c, const char *url)
{
	const char *end = strstr(url, ":generateAccessToken");
	const char *from = end ? memrchr(url, '/', (size_t)(end - url)) : NULL;

	return from && from + 1 < end ? arena_strndup(c->arena, from + 1, (size_t)(end - from - 1))
				      : NULL;
}

/* RFC 3339 in UTC, with or without a fraction. -1: it is no such text. */
static int64_t time_of(const char *text)
{
	struct tm tm = { 0 };
	const char *end = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;

	if (end && *end == '.')
		end += 1 + strspn(end + 1, "0123456789");
	return end && strcmp(end, "Z") == 0 ? (int64_t)timegm(&tm) * 1000 : -1;
}

static const char *impersonation_body(struct ctx *c, const json_t *delegates,
				      const char *const *scopes, int64_t lifetime_s, size_t *size)
{
	struct buf body = BUF(c->arena, FORM);
	const json_t *one;
	size_t i;

	buf_add(&body, "{\"scope\":[");
	for (i = 0; scopes[i]; i++) {
		if (i)
			buf_addc(&body, ',');
		buf_add_json_string(&body, scopes[i]);
	}
	buf_add(&body, "],\"delegates\":[");
	json_array_foreach(delegates, i, one)
	{
		if (i)
			buf_addc(&body, ',');
		buf_add_json_string(&body, json_is_string(one) ? json_string_value(one) : "");
	}
	buf_addf(&body, "],\"lifetime\":\"%llds\"}",
		 (long long)(lifetime_s > 0 ? lifetime_s : LIFETIME_S));
	*size = body.size;
	return buf_failed(&body) ? NULL : buf_text(&body);
}

int gcp_file_impersonate(struct ctx *c, struct net *n, const struct gcp_file *f, const char *url,
			 const struct identity_value *source, const json_t *delegates,
			 const char *const *scopes, int64_t lifetime_s, struct identity_value *ret)
{
	const struct net_header json = { "Content-Type", "application/json" };
	const char *email = email_of(c, url);
	const char *bearer = source->text[GCP_TOKEN];
	struct gcp_call call = {
		.request = { .method = "POST",
			     .url = url,
			     .token = bearer,
			     .headers = &json,
			     .header_count = 1 },
		.what = "Google's IAM credentials API",
		.advice = "grant the file's identity the role Service Account Token Creator on "
			  "that account "
			  "(a workload identity pool's: Workload Identity User)",
		.secrets = { bearer },
	};
	struct identity_value got = { 0 };
	json_t *answer;

	if (!email)
		return fail(c, INVALID_STATE,
			    "The service_account_impersonation_url in %s names no account: it must "
			    "end in "
			    "/serviceAccounts/EMAIL:generateAccessToken.",
			    f->path);
	call.whose = arena_printf(c->arena, "to let %s act as %s", f->path, email);
	call.request.body =
		impersonation_body(c, delegates, scopes, lifetime_s, &call.request.size);
	if (!call.request.body)
		return fail(c, INVALID_STATE, "The delegates in %s are too long.", f->path);
	if (gcp_http_ask(c, n, &call, &answer))
		return -1;
	json_object_set(answer, "access_token", json_object_get(answer, "accessToken"));
	if (gcp_http_token(c, &call, answer, 0, &got))
		return -1;
	got.expires_ms = time_of(json_string_value(json_object_get(answer, "expireTime")));
	if (got.expires_ms < 0)
		return fail(c, TEMPORARILY_UNAVAILABLE,
			    "%s (%s) does not say properly when the access token expires.",
			    call.what, gcp_http_shown(c, url));
	ret->text[GCP_TOKEN] = got.text[GCP_TOKEN];
	ret->text[GCP_EMAIL] = email;
	ret->text[GCP_KEY] = NULL;
	ret->expires_ms = got.expires_ms;
	return 0;
}

/* The token that may sign for the account, and who stands between: signing goes the same way as the token came. */
static const char *signer(struct ctx *c, const char *token, const json_t *delegates)
{
	struct buf text = BUF(c->arena, IDENTITY_TEXT - 1);
	const json_t *one;
	size_t i;

	buf_add(&text, token);
	json_array_foreach(delegates, i, one)
	{
		buf_addc(&text, '\n');
		buf_add(&text, json_is_string(one) ? json_string_value(one) : "");
	}
	return buf_failed(&text) ? NULL : buf_text(&text);
}

static int fetch_impersonated(struct ctx *c, struct net *n, const struct gcp_file *f,
			      struct identity_value *ret)
{
	const char *url = gcp_file_needs(c, f, f->root, "service_account_impersonation_url");
	const json_t *info = json_object_get(f->root, "source_credentials");
	const json_t *delegates = json_object_get(f->root, "delegates");
	const char *type = gcp_text_member(info, "type");
	const char *own = scopes_of(c, f->root);
	const char *const scopes[] = { own ? own : GCP_SCOPE_STORAGE, NULL };
	const struct gcp_file inner = { f->path, info };
	struct identity_value source = { 0 };
	int failed;

	if (!url)
		return -1;
	if (type && strcmp(type, "service_account") == 0)
		failed = service_account(c, n, f, info, GCP_SCOPE_IAM, &source);
	else if (type && strcmp(type, "authorized_user") == 0)
		failed = authorized_user(c, n, f, info, &source);
	else if (type && strcmp(type, "external_account_authorized_user") == 0)
		failed = gcp_external_user(c, n, &inner, &source);
	else
		return fail(c, INVALID_STATE,
			    "The source_credentials of %s are of type %s: service_account, "
			    "authorized_user "
			    "and external_account_authorized_user can be used.",
			    f->path, type ? type : "(none)");
	if (failed || gcp_file_impersonate(c, n, f, url, &source, delegates, scopes, 0, ret))
		return -1;
	ret->text[GCP_SIGNER] = signer(c, source.text[GCP_TOKEN], delegates);
	if (source.expires_ms < ret->expires_ms)
		ret->expires_ms = source.expires_ms;
	return 0;
}

/* ---- the file ---- */

static const struct {
	const char *type;
	int (*fetch)(struct ctx *c, struct net *n, const struct gcp_file *f,
		     struct identity_value *ret);
} types[] = {
	{ "service_account", fetch_service_account },
	{ "authorized_user", fetch_authorized_user },
	{ "external_account", gcp_external_fetch },
	{ "external_account_authorized_user", gcp_external_user },
	{ "impersonated_service_account", fetch_impersonated },
};

int gcp_file_fetch(struct ctx *c, struct net *n, const char *path, struct identity_value *ret)
{
	struct gcp_file f = { .path = path };
	const char *text, *type, *universe;
	size_t size;

	if (gcp_file_read(c, "The Google Cloud credentials file", path, &text, &size))
		return -1;
	f.root = gcp_text_json(c, text, size);
	if (!f.root)
		return fail(c, INVALID_STATE,
			    "The Google Cloud credentials file %s is no JSON object.", path);
	type = gcp_text_member(f.root, "type");
	universe = gcp_text_member(f.root, "universe_domain");
	if (universe && strcmp(universe, GOOGLE_UNIVERSE) != 0)
		return fail(c, INVALID_STATE,
			    "The credentials in %s are of the universe %s: only %s is supported.",
			    path, universe, GOOGLE_UNIVERSE);
	for (size_t i = 0; type && i < sizeof(types) / sizeof(*types); i++) {
		if (strcmp(type, types[i].type) != 0)
			continue;
		if (types[i].fetch(c, n, &f, ret))
			return -1;
		ret->text[GCP_QUOTA] =
			gcp_text_member(f.root, "quota_project_id")
				? arena_strdup(c->arena,
					       gcp_text_member(f.root, "quota_project_id"))
				: NULL;
		return 0;
	}
	return fail(c, INVALID_STATE,
		    "The Google Cloud credentials file %s is of type %s: service_account, "
		    "authorized_user, "
		    "external_account, external_account_authorized_user and "
		    "impersonated_service_account can be used.",
		    path, type ? type : "(none)");
}
