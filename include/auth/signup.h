/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * signup — the page on which an admin makes users by hand. A web page can make a browser post a
 * form to any server, with the credentials it knows: so the form carries a token that only this
 * page gives, for its user and an hour.
 */
#ifndef AUTH_SIGNUP_H
#define AUTH_SIGNUP_H

#include "base/buf.h"
#include "base/ctx.h"

/* Both write an HTML page. prefix: in front of this server's paths. c->db is needed. */
int auth_signup_page(struct ctx *c, const char *prefix, struct buf *html) MUST_CHECK;
/* What the form says; NULL: absent. */
int auth_signup_create(struct ctx *c, const char *prefix, const char *token, const char *username,
                       const char *password, struct buf *html) MUST_CHECK;

#endif
