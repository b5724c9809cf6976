/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "registry/alias.h"

#include "base/clock.h"
#include "store/model_alias.h"
#include "validate.h"

const struct record set_model_alias_record = {
	sizeof(struct set_model_alias), (const struct field[]){
	STRING(struct set_model_alias, name,             REQUIRED),
	STRING(struct set_model_alias, alias,            REQUIRED),
	STRING(struct set_model_alias, version,          REQUIRED),
	STRING(struct set_model_alias, expected_version, 0),
	STRING(struct set_model_alias, reason,           0),
	END }};

const struct record delete_model_alias_record = {
	sizeof(struct delete_model_alias), (const struct field[]){
	STRING(struct delete_model_alias, name,             REQUIRED),
	STRING(struct delete_model_alias, alias,            REQUIRED),
	STRING(struct delete_model_alias, expected_version, 0),
	STRING(struct delete_model_alias, reason,           0),
	END }};

const struct record get_model_alias_record = {
	sizeof(struct get_model_alias), (const struct field[]){
	STRING(struct get_model_alias, name,  REQUIRED),
	STRING(struct get_model_alias, alias, REQUIRED),
	END }};

/* Absent: any. "" and "0": the alias must not exist. */
static int expectation(struct ctx *c, const char *text, int64_t *ret)
{
	struct version_number v = { 0 };

	*ret = -1;
	if (!text)
		return 0;
	if (*text && validate_version(c, text, "expected_version", &v))
		return -1;
	/* A number that no version has is expected in vain: none is as large. */
	*ret = v.number || !v.text || (v.text[0] == '0' && !v.text[1]) ? v.number : INT64_MAX;
	return 0;
}

int registry_alias_set(struct ctx *c, const struct set_model_alias *in, struct empty *out)
{
	struct alias_move m = { .name = in->name, .alias = in->alias, .raw = in->version,
		.reason = in->reason, .now = clock_wall_ms() };

	(void)out;
	if (validate_model_name(c, in->name, "name") || validate_new_alias(c, in->alias) ||
	    validate_version(c, in->version, "version", &m.version) ||
	    expectation(c, in->expected_version, &m.expected) || validate_reason(c, in->reason))
		return -1;
	return store_model_alias_set(c, &m);
}

int registry_alias_delete(struct ctx *c, const struct delete_model_alias *in, struct empty *out)
{
	struct alias_move m = { .name = in->name, .alias = in->alias, .reason = in->reason,
		.now = clock_wall_ms() };

	(void)out;
	if (validate_model_name(c, in->name, "name") || validate_alias(c, in->alias) ||
	    expectation(c, in->expected_version, &m.expected) || validate_reason(c, in->reason))
		return -1;
	return store_model_alias_delete(c, &m);
}

int registry_alias_get(struct ctx *c, const struct get_model_alias *in,
                       struct model_version_reply *out)
{
	if (validate_model_name(c, in->name, "name") || validate_alias(c, in->alias))
		return -1;
	return store_model_alias_get(c, in->name, in->alias, &out->model_version);
}
