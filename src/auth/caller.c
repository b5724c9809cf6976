/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "caller.h"

#include <string.h>

#include "auth/auth.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "store/role.h"

int auth_caller_denied(struct ctx *c)
{
	return fail(c, PERMISSION_DENIED, "Permission denied");
}

int auth_caller_load(struct ctx *c, struct caller *ret)
{
	int found;

	*ret = (struct caller){ 0 };
	if (!c->user || !auth_current())
		return fail(c, ENDPOINT_NOT_FOUND,
		            "This server runs without user accounts (--app-name basic-auth).");
	found = store_user_get(c, c->user, &ret->user);
	if (found < 0)
		return -1;
	if (!found)             /* deleted a moment ago */
		return fail(c, UNAUTHENTICATED, "You are not authenticated.");
	ret->admin = ret->user.is_admin && *ret->user.is_admin;
	return ret->admin ? 0 : store_role_reach(c, *ret->user.id, &ret->reach);
}

static const struct reach *reach_of(const struct caller *k, const char *workspace)
{
	for (size_t i = 0; i < k->reach.count; i++) {
		const struct reach *r = LIST_AT(const struct reach, &k->reach, i);

		if (strcmp(r->workspace, workspace) == 0)
			return r;
	}
	return NULL;
}

bool auth_caller_present(const struct caller *k, const char *workspace)
{
	return k->admin || reach_of(k, workspace);
}

bool auth_caller_manages(const struct caller *k, const char *workspace)
{
	const struct reach *r = k->admin ? NULL : reach_of(k, workspace);

	return k->admin || (r && *r->manages);
}

struct list auth_caller_managed(struct ctx *c, const struct caller *k)
{
	const char **names = NEW_ARRAY(c->arena, k->reach.count, const char *);
	struct list managed = { .items = names };

	for (size_t i = 0; i < k->reach.count; i++) {
		const struct reach *r = LIST_AT(const struct reach, &k->reach, i);

		if (*r->manages)
			names[managed.count++] = r->workspace;
	}
	return managed;
}

int auth_caller_manages_user(struct ctx *c, const struct caller *k, int64_t user_id)
{
	struct list theirs = { 0 };

	if (store_role_reach(c, user_id, &theirs))
		return -1;
	for (size_t i = 0; i < theirs.count; i++) {
		if (auth_caller_manages(k, LIST_AT(const struct reach, &theirs, i)->workspace))
			return 1;
	}
	return 0;
}

int auth_caller_find_user(struct ctx *c, const char *username, struct user *ret)
{
	int found = store_user_get(c, username, ret);

	if (found < 0)
		return -1;
	if (!found)
		return fail(c, RESOURCE_DOES_NOT_EXIST, "User with username=%s not found",
		            username);
	return 0;
}

const char *auth_caller_list_json(struct ctx *c, const struct record *r, const struct list *items)
{
	struct buf b = BUF(c->arena, LIMIT_ARENA);

	buf_addc(&b, '[');
	for (size_t i = 0; i < items->count; i++) {
		if (i)
			buf_addc(&b, ',');
		record_write(&b, r, (const char *)items->items + i * r->size);
	}
	buf_addc(&b, ']');
	if (!buf_failed(&b))
		return buf_text(&b);
	(void)!fail(c, INVALID_PARAMETER_VALUE, "The answer is too large.");
	return NULL;
}
