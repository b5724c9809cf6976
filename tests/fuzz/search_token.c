/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Page tokens: one that we did not make is refused, whatever it is; one that we made comes back as it was. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "search/search.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int forged(struct ctx *c, void *arg)
{
	const char *payload;

	/* Not the key of the others: the fuzzer reads their tokens from our memory. */
	return token_open(c, "a key for this alone", "purpose", arg, &payload);
}

static int own(struct ctx *c, void *arg)
{
	const char *text = arg, *back = NULL;
	const char *token = token_make(c, "key", text, text);

	assert(token && token_open(c, "key", text, token, &back) == 0 && strcmp(back, text) == 0);
	/* Of another purpose, or with another key, it is nothing. */
	assert(token_open(c, "yek", text, token, &back));
	error_clear(c);
	assert(token_open(c, "key", arena_printf(c->arena, "%s.", text), token, &back));
	return -1;
}

/* The bytes as they stand behind the right version and purpose: all but the signature is good. */
static int nearly(struct ctx *c, void *arg)
{
	const char *text = arg, *payload;
	char *token = arena_strdup(c->arena, token_make(c, "key", "purpose", text));
	size_t n = strlen(token);

	for (size_t i = 0; i < n && i < strlen(text); i++) {
		char *other = arena_strdup(c->arena, token);

		other[n - 1 - i] = text[i];
		if (strcmp(other, token) != 0)
			assert(token_open(c, "key", "purpose", other, &payload));
		error_clear(c);
	}
	return fail(c, INVALID_PARAMETER_VALUE, "%s", "");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int (*const jobs[])(struct ctx *, void *) = { forged, own, nearly };
	char *text;

	if (size > 4096)
		return 0;
	text = malloc(size + 1);
	if (!text)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	for (size_t i = 0; i < sizeof(jobs) / sizeof(*jobs); i++) {
		struct ctx c = { .arena = arena_new(64 << 20) };

		if (!c.arena)
			abort();
		assert(work_run(&c, jobs[i], text) && c.error.code == INVALID_PARAMETER_VALUE);
		arena_free(c.arena);
	}
	free(text);
	return 0;
}
