/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * auth — who asks, and may he? Every row of routes.def names a permission; require.c says which
 * grants each takes. Known users and kept facts are judged in memory on the event thread, all else
 * in auth's threads and in workers. Without --app-name basic-auth everybody may everything.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "http.h"
#include "require.h"
#include "base/access.h"

/* ---- who ---- */

/* Rows that ask nothing of nobody; what does not exist is not told to strangers. */
static bool is_open(const struct job *j)
{
	const struct route *r = j->match.route;

	return r && (r->needs == NEEDS_NOTHING || r->needs == NEEDS_UPLOAD_PART);
}

static enum MHD_Result count_credentials(void *count, enum MHD_ValueKind kind, const char *name,
					 const char *value)
{
	(void)kind, (void)value;
	*(unsigned *)count += strcasecmp(name, "Authorization") == 0;
	return MHD_YES;
}

/* A proxy in front may have judged the one, and we the other. */
static bool is_repeated(const struct job *j)
{
	unsigned count = 0;

	MHD_get_connection_values(j->connection, MHD_HEADER_KIND, count_credentials, &count);
	return count > 1;
}

static void checked(struct auth_check *k)
{
	job_resume(k->owner);
}

static void welcome(struct job *j)
{
	j->ctx.principal = &j->principal;
	j->ctx.user = j->principal.name;
}

int auth_identify(struct job *j)
{
	struct auth *a = j->server->options.auth;
	const char *authorization;

	if (!a || is_open(j))
		return 0;
	authorization = job_header(j, "Authorization");
	if (authorization && is_repeated(j))
		return fail(&j->ctx, BAD_REQUEST, "The Authorization header is repeated.");
	switch (auth_recall(&j->ctx, a, authorization, &j->principal)) {
	case 1:
		welcome(j);
		return 0;
	case 0:
		j->check = (struct auth_check){
			.ctx = &j->ctx,
			.authorization = authorization,
			.ret = &j->principal,
			.done = checked,
			.owner = j,
		};
		j->state = JOB_VERDICT;
		j->hand = HAND_AUTH;
		return 0;
	default:
		j->unknown_user = true;
		return -1;
	}
}

int auth_known(struct job *j)
{
	if (j->ctx.error.code) {
		j->unknown_user = true;
		return -1;
	}
	welcome(j);
	return 0;
}

bool auth_judges(const struct job *j)
{
	return j->ctx.principal && !j->ctx.principal->admin;
}

/* ---- what searches may show ---- */

/* Grants may name anything; what is no experiment's id matches none. */
static void view_experiments(struct job *j, struct access_ids *ret)
{
	struct ctx *c = &j->ctx;
	struct auth_view view;
	int64_t *ids;

	auth_view(c, j->server->options.auth, c->principal, AUTH_EXPERIMENT, &view);
	ids = NEW_ARRAY(c->arena, view.count, int64_t);
	*ret = (struct access_ids){ .all = view.all, .ids = ids };
	for (size_t i = 0; i < view.count; i++) {
		const char *text = view.ids[i];
		size_t digits = strspn(text, "0123456789");

		if (digits && digits < 19 && !text[digits] && (*text != '0' || digits == 1))
			ids[ret->count++] = (int64_t)strtoll(text, NULL, 10);
	}
}

static void view_names(struct job *j, enum auth_resource type, struct access_names *ret)
{
	struct ctx *c = &j->ctx;
	struct auth_view view;

	auth_view(c, j->server->options.auth, c->principal, type, &view);
	*ret = (struct access_names){ .all = view.all, .names = view.ids, .count = view.count };
}

/* Of a type below what is listed only a veto counts. */
static bool vetoed(const struct job *j, enum auth_resource type)
{
	struct auth_requirement r = { .rungs = { { type, NULL, ACTION_NOT_DENIED } }, .count = 1 };

	return !auth_allows(j->server->options.auth, j->ctx.principal, &r, 1);
}

static void view(struct job *j)
{
	enum http_permission needs = j->match.route->needs;
	bool versions = needs == NEEDS_FILTER_MODEL_VERSIONS;
	struct access *a = NEW(j->ctx.arena, struct access);

	view_experiments(j, &a->experiments);
	view_names(j, AUTH_REGISTERED_MODEL, &a->models);
	view_names(j, AUTH_PROMPT, &a->prompts);
	if ((needs == NEEDS_FILTER_RUNS && vetoed(j, AUTH_RUN)) ||
	    (needs == NEEDS_FILTER_LOGGED_MODELS && vetoed(j, AUTH_LOGGED_MODEL)))
		a->experiments = (struct access_ids){ 0 };
	if (versions && vetoed(j, AUTH_REGISTERED_MODEL_VERSION))
		a->models = (struct access_names){ 0 };
	if (versions && vetoed(j, AUTH_PROMPT_VERSION))
		a->prompts = (struct access_names){ 0 };
	j->ctx.access = a;
}

static bool filters(enum http_permission needs)
{
	return needs == NEEDS_FILTER_EXPERIMENTS || needs == NEEDS_FILTER_RUNS ||
	       needs == NEEDS_FILTER_LOGGED_MODELS || needs == NEEDS_FILTER_REGISTERED_MODELS ||
	       needs == NEEDS_FILTER_MODEL_VERSIONS;
}

/* ---- may he ---- */

int auth_permit(struct job *j)
{
	struct requirements needed;
	int got = require_route(j, &needed);

	if (got <= 0)
		return got;
	if (!auth_allows(j->server->options.auth, j->ctx.principal, needed.items, needed.count))
		return fail(&j->ctx, PERMISSION_DENIED, "Permission denied");
	if (filters(j->match.route->needs))
		view(j);
	return 1;
}

/* The grants that the store wrote along count at once. */
static bool changes_grants(enum http_permission needs)
{
	return needs == NEEDS_CREATE_EXPERIMENT || needs == NEEDS_CREATE_REGISTERED_MODEL ||
	       needs == NEEDS_RENAME_REGISTERED_MODEL || needs == NEEDS_DELETE_REGISTERED_MODEL;
}

void auth_after(struct job *j)
{
	if (!j->ctx.principal)
		return;
	if (changes_grants(j->match.route->needs))
		auth_changed(j->server->options.auth);
	if (auth_judges(j))
		withhold(j);
}
