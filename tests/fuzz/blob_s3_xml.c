/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What an S3 store, or whoever answers in its place, sends as XML. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/blob/s3_list.h"
#include "base/arena.h"
#include "net/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t input_size;

static void look(struct ctx *c, const struct net_xml *x)
{
	static const char *const names[] = { "Key", "Size", "Prefix", "Code", "Message", "ETag" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *text = net_xml_text(x, names[i]);

		if (text && strlen(s3_decode(c, text)) > strlen(text))
			abort();
	}
}

static int try_it(struct ctx *c, void *arg)
{
	static const char *const names[] = { "Code", "Message", "NextContinuationToken", "UploadId" };
	const struct net_xml *root;
	const char *xml = arg;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *text = s3_xml_text(c, xml, input_size, names[i]);

		/* Texts never grow: there are no entities but XML's own. */
		if (c->error.code != OK || (text && strlen(text) > input_size))
			abort();
	}
	if (s3_xml_read(c, xml, input_size, "ListBucketResult", &root))
		return -1;
	for (const struct net_xml *x = root->child; x; x = x->next)
		look(c, x);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ctx c = { .arena = arena_new(64 << 20) };
	char *text = malloc(size + 1);

	if (!c.arena || !text)
		abort();
	input_size = size;
	memcpy(text, data, size);
	text[size] = '\0';
	if (work_run(&c, try_it, text))
		error_clear(&c);
	arena_free(c.arena);
	free(text);
	return 0;
}
