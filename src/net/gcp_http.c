/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <ctype.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/arena.h"
#include "base/clock.h"
#include "gcp_impl.h"

enum {
	TRIES = 3,
	PAUSE_MS = 200, /* before the second; doubles */
	TIMEOUT_MS = 10000,
	GIVE_UP_MS = 15000, /* no further try after so long */
	WINDOW = 8,         /* bytes of a secret that already tell too much */
	SHOWN_WORDS = 400,
	DEFAULT_LIFETIME_S = 3600,
	LONGEST_LIFETIME_S = 7 * 86400,
};

const char *gcp_http_shown(struct ctx *c, const char *url)
{
	const char *authority = strstr(url, "://");
	size_t end = strcspn(url, "?#");
	const char *host;

	authority = authority ? authority + 3 : url;
	host = memchr(authority, '@', strcspn(authority, "/?#"));
	return arena_printf(c->arena, "%.*s%.*s", (int)(authority - url), url,
			    (int)(url + end - (host ? host + 1 : authority)),
			    host ? host + 1 : authority);
}

unsigned gcp_http_flags(const char *url)
{
	static const char *const hosts[] = {
		"http://169.254.",        "http://127.",
		"http://localhost",       "http://[::1]",
		"http://[fd00:ec2::254]", "http://metadata.google.internal",
	};

	for (size_t i = 0; i < sizeof(hosts) / sizeof(*hosts); i++)
		if (strncasecmp(url, hosts[i], strlen(hosts[i])) == 0)
			return NET_DIRECT;
	return 0;
}

/* ---- what may be shown of a refusal ---- */

/* Whether these bytes are a piece of a secret that is long enough to tell something, or all of a short one. */
static size_t told(const char *at, size_t n, const char *secret)
{
	size_t length = secret ? strlen(secret) : 0;
	size_t piece = length < WINDOW ? length : WINDOW;

	return piece && piece <= n && memmem(secret, length, at, piece) ? piece : 0;
}

/* Somebody's words without any piece of what we sent in confidence. */
static const char *masked(struct ctx *c, const char *words, const char *const *secrets)
{
	size_t n = strnlen(words, SHOWN_WORDS);
	char *ret = arena_strndup(c->arena, words, n);

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < GCP_SECRETS; k++)
			memset(ret + i, '*', told(words + i, n - i, secrets[k]));
	return ret;
}

/* OAuth's {"error": "code", "error_description": "words"} or Google's {"error": {"status": "CODE", "message": "words"}}. */
static void reasons(struct ctx *c, const struct gcp_call *call, const struct net_reply *got,
		    const char **code, const char **words)
{
	const json_t *answer = gcp_text_json(c, got->body, got->size);
	const json_t *error = json_object_get(answer, "error");

	*code = json_is_object(error) ? gcp_text_member(error, "status") : json_string_value(error);
	*words = json_is_object(error) ? gcp_text_member(error, "message")
				       : gcp_text_member(answer, "error_description");
	if (*code &&
	    (strlen(*code) > 64 ||
	     (*code)[strspn(*code, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")]))
		*code = NULL;
	*words = *words ? masked(c, *words, call->secrets) : NULL;
}

static bool may_help(int status, const char *code)
{
	return status == 408 || status == 429 || status >= 500 ||
	       (code &&
		(strcmp(code, "internal_failure") == 0 || strcmp(code, "server_error") == 0 ||
		 strcmp(code, "temporarily_unavailable") == 0));
}

static int refused(struct ctx *c, const struct gcp_call *call, const struct net_reply *got)
{
	const char *url = gcp_http_shown(c, call->request.url);
	const char *code, *words;

	reasons(c, call, got, &code, &words);
	if (may_help(got->status, code))
		return fail_because(c, TEMPORARILY_UNAVAILABLE, words,
				    "%s (%s) is not available right now (status %d%s%s).",
				    call->what, url, got->status, code ? ", " : "",
				    code ? code : "");
	return fail_because(c, PERMISSION_DENIED, words, "%s (%s) refused %s (status %d%s%s): %s.",
			    call->what, url, call->whose, got->status, code ? ", " : "",
			    code ? code : "", call->advice);
}

/* ---- the exchange ---- */

static int once(struct ctx *c, struct net *n, const struct gcp_call *call, json_t **ret)
{
	struct net_request r = call->request;
	struct net_reply got;

	r.timeout_ms = r.timeout_ms ? r.timeout_ms : TIMEOUT_MS;
	r.most = GCP_ANSWER;
	r.flags |= gcp_http_flags(r.url);
	r.cancel = identity_cancel();
	if (net_perform(c, n, &r, &got)) {
		const struct error e = c->error;

		error_clear(c);
		return fail_because(c, e.code, e.detail, "%s (%s) could not be asked: %s",
				    call->what, gcp_http_shown(c, r.url), e.message);
	}
	if (got.status != 200)
		return refused(c, call, &got);
	*ret = gcp_text_json(c, got.body, got.size);
	if (!*ret)
		return fail(c, TEMPORARILY_UNAVAILABLE,
			    "%s (%s) answered with something that is no JSON object.", call->what,
			    gcp_http_shown(c, r.url));
	return 0;
}

int gcp_http_ask(struct ctx *c, struct net *n, const struct gcp_call *call, json_t **ret)
{
	int64_t began = clock_ms();
	int pause = PAUSE_MS;

	for (int i = 1;; i++, pause *= 2) {
		struct timespec wait = { 0, pause * 1000000L };

		if (once(c, n, call, ret) == 0)
			return 0;
		if (c->error.code != TEMPORARILY_UNAVAILABLE || i == TRIES ||
		    clock_ms() - began > GIVE_UP_MS ||
		    (identity_cancel() && atomic_load(identity_cancel())))
			return -1;
		error_clear(c);
		nanosleep(&wait, NULL);
	}
}

/* ---- the token in an answer ---- */

/* Some write the number as a text. False: it is none. */
static bool seconds(const json_t *value, int64_t *ret)
{
	const char *text = json_string_value(value);
	char *end = NULL;

	*ret = DEFAULT_LIFETIME_S;
	if (!value || json_is_null(value))
		return true;
	if (json_is_number(value))
		*ret = json_number_value(value) < LONGEST_LIFETIME_S
			       ? (int64_t)json_number_value(value)
			       : LONGEST_LIFETIME_S;
	else if (text && isdigit((unsigned char)*text))
		*ret = strtoll(text, &end, 10);
	else
		return false;
	return (!end || !*end) && *ret > 0;
}

int gcp_http_token(struct ctx *c, const struct gcp_call *call, const json_t *answer,
		   int64_t asked_ms, struct identity_value *ret)
{
	const char *token = gcp_text_member(answer, "access_token");
	const char *url = gcp_http_shown(c, call->request.url);
	int64_t life;

	if (!token)
		return fail(c, TEMPORARILY_UNAVAILABLE, "%s (%s) answered without an access token.",
			    call->what, url);
	for (const char *p = token; *p; p++)
		if (*p <= ' ' || *p > '~')
			return fail(c, TEMPORARILY_UNAVAILABLE,
				    "%s (%s) gave an access token that no header can carry.",
				    call->what, url);
	if (strlen(token) >= IDENTITY_TEXT)
		return fail(c, TEMPORARILY_UNAVAILABLE,
			    "%s (%s) gave an access token longer than %d bytes.", call->what, url,
			    IDENTITY_TEXT - 1);
	if (!seconds(json_object_get(answer, "expires_in"), &life))
		return fail(c, TEMPORARILY_UNAVAILABLE,
			    "%s (%s) does not say properly when the access token expires.",
			    call->what, url);
	ret->text[GCP_TOKEN] = arena_strdup(c->arena, token);
	ret->expires_ms = asked_ms + 1000 * (life < LONGEST_LIFETIME_S ? life : LONGEST_LIFETIME_S);
	return 0;
}
