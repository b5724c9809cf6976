/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* signup — the sign-up page and what its form posts: auth/signup.h. */
#ifndef HTTP_SIGNUP_H
#define HTTP_SIGNUP_H

#include "base/ctx.h"
#include "http/api.h"

int http_signup_page(struct ctx *c, struct http_text *t) MUST_CHECK;
int http_signup_create(struct ctx *c, struct http_text *t) MUST_CHECK;

#endif
