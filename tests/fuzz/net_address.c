/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* An address is public or not, whatever the text; brackets and an IPv4-mapped form change nothing. */
#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), other[128];
	struct in_addr four;
	bool good;

	if (!text)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	good = net_address_public(text);
	if (strlen(text) < 64 && inet_pton(AF_INET, text, &four) == 1) {
		snprintf(other, sizeof(other), "[::ffff:%s]", text);
		assert(net_address_public(other) == good);
		snprintf(other, sizeof(other), "64:ff9b::%s", text);
		assert(net_address_public(other) == good);
	}
	free(text);
	return 0;
}
