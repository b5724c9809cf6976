/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "signup.h"

#include "auth/signup.h"
#include "db/db.h"
#include "http.h"

/* Whoever runs BLOCKING handlers gives the connection back. */
static int prepare(struct ctx *c, struct http_text *t, const char **prefix)
{
	const struct http_options *o = &http_current()->options;

	t->content_type = "text/html; charset=utf-8";
	*prefix = o->static_prefix ? o->static_prefix : "";
	return db_get(c, o->pool, HTTP_DB_WAIT_MS);
}

int http_signup_page(struct ctx *c, struct http_text *t)
{
	const char *prefix;

	if (prepare(c, t, &prefix))
		return -1;
	return auth_signup_page(c, prefix, &t->body);
}

int http_signup_create(struct ctx *c, struct http_text *t)
{
	const char *prefix;

	if (prepare(c, t, &prefix))
		return -1;
	return auth_signup_create(c, prefix, t->form(t, "csrf_token"), t->form(t, "username"),
	                          t->form(t, "password"), &t->body);
}
