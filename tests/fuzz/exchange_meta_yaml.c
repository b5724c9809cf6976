/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The files of MLflow's file store: any bytes are read or refused. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/exchange/meta_yaml.h"
#include "base/arena.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const char *text;
	size_t size;
};

static int read_both(struct ctx *c, void *arg)
{
	const struct input *in = arg;
	struct metric_line line;
	struct list meta;
	int64_t number;

	if (metric_line_read(in->text, &line))
		assert(line.rest[0] == '\0' || (line.rest >= in->text && line.rest <= in->text + in->size));
	if (meta_yaml_read(c, in->text, in->size, &meta)) {
		assert(c->error.code == INVALID_PARAMETER_VALUE);
		return -1;
	}
	for (size_t i = 0; i < meta.count; i++) {
		const struct meta_pair *pair = LIST_AT(struct meta_pair, &meta, i);
		assert(pair->key && pair->parent && (!pair->value || pair->value[pair->size] == '\0'));
		if (meta_yaml_int(&meta, pair->key, &number) > 0)
			assert(meta_yaml_text(&meta, pair->key));
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { .size = size };
	struct ctx c = { .arena = arena_new(64 << 20) };
	char *text = malloc(size + 1);

	if (!c.arena || !text)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	in.text = text;
	int failed = work_run(&c, read_both, &in);
	assert(!failed || c.error.code);
	arena_free(c.arena);
	free(text);
	return 0;
}
