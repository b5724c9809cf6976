/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "auth/signup.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/user.h"
#include "auth_impl.h"
#include "base/arena.h"
#include "base/clock.h"
#include "caller.h"

enum { TOKEN_MS = 3600 * 1000, MAC_BYTES = 32 };

/* "<end>.<mac of user and end>" */
static const char *sign(struct ctx *c, int64_t end)
{
	const char *text = arena_printf(c->arena, "%lld\n%s", (long long)end, c->user);
	unsigned char mac[MAC_BYTES];
	char hex[2 * MAC_BYTES + 1];
	const struct auth *a = auth_current();

	if (!HMAC(EVP_sha256(), a->secret, sizeof(a->secret), (const unsigned char *)text,
	          strlen(text), mac, NULL)) {
		(void)!fail(c, TEMPORARILY_UNAVAILABLE,
		            "The server is out of memory; try again later.");
		return NULL;
	}
	for (size_t i = 0; i < MAC_BYTES; i++)
		snprintf(hex + 2 * i, 3, "%02x", mac[i]);
	return arena_printf(c->arena, "%lld.%s", (long long)end, hex);
}

static int check_token(struct ctx *c, const char *token)
{
	long long end = token ? strtoll(token, NULL, 10) : 0;
	int64_t now = clock_wall_ms();
	const char *right;

	if (!token || !*token)
		return fail(c, BAD_REQUEST, "The CSRF token is missing.");
	right = sign(c, end);
	if (!right)
		return -1;
	if (strlen(right) != strlen(token) || CRYPTO_memcmp(right, token, strlen(right)) != 0)
		return fail(c, BAD_REQUEST, "The CSRF token is invalid.");
	if (end < now || end > now + TOKEN_MS)
		return fail(c, BAD_REQUEST, "The CSRF token has expired.");
	return 0;
}

static int check_caller(struct ctx *c)
{
	struct caller k;

	if (auth_caller_load(c, &k))
		return -1;
	return k.admin || auth_caller_managed(c, &k).count ? 0 : auth_caller_denied(c);
}

static void add_html(struct buf *html, const char *text)
{
	for (; *text; text++) {
		const char *name = *text == '<' ? "&lt;" : *text == '>' ? "&gt;"
			: *text == '&' ? "&amp;" : *text == '"' ? "&quot;"
			: *text == '\'' ? "&#39;" : NULL;

		if (name)
			buf_add(html, name);
		else
			buf_addc(html, *text);
	}
}

static void add_head(struct buf *html)
{
	buf_add(html, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	        "<title>Sign up a user</title>\n</head>\n<body>\n");
}

int auth_signup_page(struct ctx *c, const char *prefix, struct buf *html)
{
	const char *token;

	if (check_caller(c))
		return -1;
	token = sign(c, clock_wall_ms() + TOKEN_MS);
	if (!token)
		return -1;
	add_head(html);
	buf_add(html, "<form action=\"");
	add_html(html, prefix);
	buf_add(html, "/api/2.0/mlflow/users/create-ui\" method=\"post\">\n"
	        "<input type=\"hidden\" name=\"csrf_token\" value=\"");
	add_html(html, token);
	buf_add(html, "\">\n"
	        "<p><label for=\"username\">Username:</label><br>\n"
	        "<input type=\"text\" id=\"username\" name=\"username\" minlength=\"4\""
	        " required></p>\n"
	        "<p><label for=\"password\">Password:</label><br>\n"
	        "<input type=\"password\" id=\"password\" name=\"password\" minlength=\"12\""
	        " autocomplete=\"new-password\" required></p>\n"
	        "<p><input type=\"submit\" value=\"Sign up\"></p>\n"
	        "</form>\n</body>\n</html>\n");
	return 0;
}

int auth_signup_create(struct ctx *c, const char *prefix, const char *token, const char *username,
                       const char *password, struct buf *html)
{
	const struct create_user in = { username, password };
	struct user_reply made = { 0 };

	if (check_caller(c) || check_token(c, token))
		return -1;
	if (!username || !*username || !password || !*password)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Username and password cannot be empty.");
	bool taken = auth_user_create(c, &in, &made) != 0;
	if (taken && c->error.code != RESOURCE_ALREADY_EXISTS)
		return -1;
	error_clear(c);
	add_head(html);
	buf_add(html, taken ? "<p>Username has already been taken: "
	                    : "<p>Successfully signed up user: ");
	add_html(html, username);
	buf_add(html, "</p>\n<p><a href=\"");
	add_html(html, prefix);
	buf_add(html, taken ? "/signup\">Back</a></p>\n" : "/\">Home</a></p>\n");
	buf_add(html, "</body>\n</html>\n");
	return 0;
}
