/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * db_uri_normalize() and db_uri_redact() on any text: libpq takes what the first lets through, the
 * second never shows a password that the first understood.
 */
#include <assert.h>
#include <libpq-fe.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/utf8.h"
#include "db/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A password as it stands, where a password stands, and nowhere else: long enough not to be in the
   rest by chance. (Percent-decoded it may equal the name of the database, which is shown.) */
static void hidden(PQconninfoOption *options, const char *uri, const char *redacted)
{
	for (const PQconninfoOption *o = options; o && o->keyword; o++) {
		const char *first;

		if (strcmp(o->keyword, "password") != 0 || !o->val || strlen(o->val) < 12)
			continue;
		first = strstr(uri, o->val);
		if (first && first > uri && first[-1] == ':' && first[strlen(o->val)] == '@' &&
		    !strstr(first + 1, o->val))
			assert(!strstr(redacted, o->val));
	}
}

static int try_it(struct ctx *c, void *arg)
{
	const char *uri = arg, *ret = NULL;
	const char *redacted = db_uri_redact(c, uri);

	assert(redacted);
	if (db_uri_normalize(c, uri, &ret) == 0) {
		char *why = NULL;
		PQconninfoOption *options = PQconninfoParse(ret, &why);

		if (options)
			hidden(options, uri, redacted);
		PQconninfoFree(options);
		PQfreemem(why);
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ctx c = { .arena = arena_new(4 << 20) };
	char *text = malloc(size + 1);

	if (!c.arena || !text)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	if (work_run(&c, try_it, text))
		assert(c.error.code && c.error.message);
	arena_free(c.arena);
	free(text);
	return 0;
}
