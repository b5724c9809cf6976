/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "registry/history.h"

#include <errno.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/limits.h"
#include "store/model_move.h"
#include "store/registered_model.h"
#include "validate.h"

enum { DEFAULT_RESULTS = 100 };

const struct record get_model_history_record = {
	sizeof(struct get_model_history), (const struct field[]){
	STRING(struct get_model_history, name,        REQUIRED),
	STRING(struct get_model_history, alias,       0),
	STRING(struct get_model_history, version,     0),
	STRING(struct get_model_history, at,          0),
	INT64 (struct get_model_history, max_results, 0),
	STRING(struct get_model_history, page_token,  0),
	END }};

const struct record model_history_record = {
	sizeof(struct model_history), (const struct field[]){
	LIST  (struct model_history, moves,           0, &model_move_record),
	STRING(struct model_history, next_page_token, 0),
	INT64 (struct model_history, at,              0),
	LIST  (struct model_history, aliases,         0, &model_alias_record),
	END }};

/* Given and not empty. */
static const char *given(const char *text)
{
	return text && *text ? text : NULL;
}

static int missing(struct ctx *c, const char *name)
{
	return fail(c, RESOURCE_DOES_NOT_EXIST, "Registered Model with name=%s not found", name);
}

static int aliases_at(struct ctx *c, const struct get_model_history *in, struct model_history *out)
{
	char *end;
	int64_t at;
	int known;

	errno = 0;
	at = strtoll(in->at, &end, 10);
	if (errno || *end || at < 0)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Parameter 'at' must be a time in milliseconds since 1970, got '%s'.",
		            in->at);
	if (given(in->version) || given(in->page_token) || in->max_results)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Parameter 'at' goes with 'alias' only, not with 'version',"
		            " 'max_results' or 'page_token'.");
	known = store_model_aliases_at(c, in->name, given(in->alias), at, &out->aliases);
	if (known < 0)
		return -1;
	out->at = box_int64(c->arena, at);
	return known ? 0 : missing(c, in->name);
}

static int moves(struct ctx *c, const struct get_model_history *in, struct model_history *out)
{
	struct version_number version = { 0 };
	struct model_move_query q = {
		.name = in->name, .alias = given(in->alias), .page_token = given(in->page_token),
		.max_results = in->max_results ? *in->max_results : DEFAULT_RESULTS,
	};
	int known;

	if (q.max_results < 1 || q.max_results > LIMIT_MOVE_PAGE)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Invalid value %lld for parameter 'max_results' supplied. It must be"
		            " at least 1 and at most %d.", (long long)q.max_results, LIMIT_MOVE_PAGE);
	if (given(in->version)) {
		if (validate_version(c, in->version, "version", &version))
			return -1;
		q.version = version.number ? version.number : -1;
	}
	known = store_model_moves(c, &q, &out->moves, &out->next_page_token);
	if (known < 0)
		return -1;
	return known ? 0 : missing(c, in->name);
}

int registry_history_get(struct ctx *c, const struct get_model_history *in,
                         struct model_history *out)
{
	if (validate_model_name(c, in->name, "name") ||
	    (given(in->alias) && validate_alias(c, in->alias)))
		return -1;
	return given(in->at) ? aliases_at(c, in, out) : moves(c, in, out);
}
