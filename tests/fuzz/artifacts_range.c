/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Range, If-Range and If-None-Match: any text, any size of the object; a range lies within it. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/artifacts/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t total = 0, first = 0, length = 0;
	char *text;
	int status;

	if (size < sizeof(total))
		return 0;
	memcpy(&total, data, sizeof(total));
	total >>= total % 64;           /* of all orders */
	size -= sizeof(total);
	text = malloc(size + 1);
	if (!text)
		abort();
	memcpy(text, data + sizeof(total), size);
	text[size] = '\0';
	status = range_read(text, total, &first, &length);
	assert(status == 200 || status == 206 || status == 416);
	if (status == 206)
		assert(length && first < total && length <= total - first);
	range_none_match(text, "\"5d-61a\"");
	if (range_if_range(text, "\"5d-61a\""))
		assert(strstr(text, "\"5d-61a\"")); /* blanks around it are fine */
	free(text);
	return 0;
}
