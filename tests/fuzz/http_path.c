/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The strings of a request's head that we take apart ourselves: target, route, Host, Origin,
   file names. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/http/disposition.h"
#include "../../src/http/guard.h"
#include "../../src/http/routes.h"
#include "../../src/http/target.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int try_it(struct ctx *c, void *arg)
{
	struct route_match m;
	struct target t;
	const char *raw = arg;

	if (target_parse(c, raw, &t))
		return -1;
	/* What was let through is clean. */
	if (*t.path != '/' || !utf8_valid(t.path, strlen(t.path)))
		abort();
	for (size_t i = 0; i < t.count; i++) {
		if (!utf8_valid(t.arguments[i].value, strlen(t.arguments[i].value)))
			abort();
	}
	for (unsigned method = 0; method <= METHODS; method++)
		route_find(c, (enum http_method)method, t.path, &m);
	return 0;
}

static int try_name(struct ctx *c, void *arg)
{
	struct buf b = BUF(c->arena, 1 << 20);

	disposition_write(&b, arg);
	for (const char *p = buf_text(&b); *p; p++) {
		if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
			abort();
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct guard *defaults, *listed;
	struct ctx c = { .arena = arena_new(8 << 20) };
	char *text = malloc(size + 1);

	if (!defaults) {
		routes_init();
		defaults = guard_new(NULL, NULL);
		listed = guard_new("10.*,*.example.com:*,[::1]:5000",
				   "https://*.example.com,http://a");
	}
	if (!c.arena || !text)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	if (work_run(&c, try_it, text))
		error_clear(&c);
	if (work_run(&c, try_name, text))
		error_clear(&c);
	guard_host_allowed(defaults, text);
	guard_host_allowed(listed, text);
	/* Only these can be local whatever is listed. */
	if (guard_origin_may_write(defaults, text) && !strstr(text, "localhost") &&
	    !strcasestr(text, "localhost") && !strstr(text, "127.0.0.1") && !strstr(text, "[::1]"))
		abort();
	guard_origin_may_read(listed, text);
	arena_free(c.arena);
	free(text);
	return 0;
}
