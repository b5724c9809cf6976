/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * auth — may this user do what the route needs? Each row of routes.def names a permission, and each
 * permission stands in the switch below: there is no default, so a new one does not compile until
 * it is decided here.
 */
#include "http.h"

int auth_check(struct ctx *c, const struct route *r)
{
	/* Without users everybody may everything. */
	if (!c->user)
		return 0;
	switch (r->needs) {
#define X(name) case NEEDS_##name:
		HTTP_PERMISSIONS(X)
#undef X
		return 0;
	}
	return fail(c, PERMISSION_DENIED, "Permission denied");
}
