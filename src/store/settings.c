/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/settings.h"

#include <stdio.h>
#include <string.h>

#include "db/db.h"

enum { SETTING_GET };

static const struct stmt stmts[] = {
	[SETTING_GET] = { "setting_get", "t", "SELECT value FROM settings WHERE name = $1" },
};

struct setting {
	const char *value;
};

static const struct record setting_record = { sizeof(struct setting), (const struct field[]){
	STRING(struct setting, value, 0),
	END }};

/* Written once before the first request, then only read. */
static char token_key[129];

int store_settings_load(struct ctx *c)
{
	struct setting found = { 0 };
	int got = db_one(c, &stmts[SETTING_GET], ARGS(TEXT("page_token_key")), &setting_record,
	                 &found);

	if (got < 0)
		return -1;
	if (!got || strlen(found.value) < 32 || strlen(found.value) >= sizeof(token_key))
		return fail(c, INVALID_STATE,
		            "The database's setting page_token_key is missing or damaged; it is a"
		            " random text of"
		            " 32 to 128 characters in table settings");
	snprintf(token_key, sizeof(token_key), "%s", found.value);
	return 0;
}

const char *store_settings_token_key(void)
{
	return token_key;
}
