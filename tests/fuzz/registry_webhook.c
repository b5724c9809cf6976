/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What webhooks parse by hand: URLs, Fernet keys and tokens. Any text is judged; a forged token never gives a text. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "registry/fernet.h"
#include "registry/webhook.h"
#include "registry/webhook_send.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int try_it(struct ctx *c, void *arg)
{
	static const char zeros[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
	const char *text = arg, *got = NULL;
	struct fernet f;

	if (registry_webhook_url_check(c, text, false)) {
		assert(c->error.code == INVALID_PARAMETER_VALUE);
		error_clear(c);
	}
	registry_fernet_key(text, &f);
	assert(registry_fernet_key(zeros, &f));
	if (registry_fernet_decrypt(c, &f, text, &got) == 1)
		assert(strlen(got) < strlen(text));
	registry_webhook_body(c, EVENT_PROMPT_CREATED, 0, text);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct webhook_config config = {
		.schemes = "https,http", .key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	};
	struct ctx c = { .arena = arena_new(64 << 20) };
	char *text = malloc(size + 1);

	if (!c.arena || !text || registry_webhook_configure(&c, &config))
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	if (work_run(&c, try_it, text))
		assert(c.error.code);
	arena_free(c.arena);
	free(text);
	return 0;
}
