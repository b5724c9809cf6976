/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/base/crc32c_impl.h"
#include "base/clock.h"
#include "base/crc32c.h"

#include <cmocka.h>            /* last: it defines fail() */

enum { LONGEST = 40000 };

/* RFC 3720, B.4, and the check value of the catalogues of CRCs. */
static void vectors(void **state)
{
	unsigned char bytes[48] = { 0 };
	static const unsigned char read_pdu[48] = {
		0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0,
		0, 0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0,
	};

	(void)state;
	assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, 32);
	assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43);
	for (unsigned char i = 0; i < 32; i++)
		bytes[i] = i;
	assert_int_equal(crc32c(0, bytes, 32), 0x46dd794e);
	for (unsigned char i = 0; i < 32; i++)
		bytes[i] = (unsigned char)(31 - i);
	assert_int_equal(crc32c(0, bytes, 32), 0x113fdb5c);
	assert_int_equal(crc32c(0, read_pdu, 48), 0xd9963a56);
	assert_int_equal(crc32c_by_table(0, read_pdu, 48), 0xd9963a56);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(0, "", 0), 0);
	assert_int_equal(crc32c(7, NULL, 0), 7);
}

/* Bit by bit, as the polynomial is defined. */
static uint32_t plain(uint32_t crc, const unsigned char *p, size_t n)
{
	crc = ~crc;
	for (size_t i = 0; i < n; i++) {
		crc ^= p[i];
		for (int k = 0; k < 8; k++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78U : crc >> 1;
	}
	return ~crc;
}

/* Any length from any address, and in pieces: around the rounds of 3 * 2048 bytes too. */
static void all_ways(void **state)
{
	static unsigned char bytes[LONGEST + 16];
	static const size_t edges[] = { 7, 8, 9, 6143, 6144, 6145, 6151, 6152, 12287, 12288, 12289, 39999 };
	unsigned seed = 20261122;
	size_t edge_count = sizeof(edges) / sizeof(*edges);

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)rand_r(&seed);
	for (size_t i = 0; i < 400; i++) {
		size_t n = i < edge_count ? edges[i] : (size_t)rand_r(&seed) % (i % 2 ? 64 : LONGEST);
		const unsigned char *p = bytes + rand_r(&seed) % 16;
		size_t cut = n ? (size_t)rand_r(&seed) % n : 0;
		uint32_t begin = i % 3 ? (uint32_t)rand_r(&seed) : 0;
		uint32_t want = plain(begin, p, n);

		assert_int_equal(crc32c(begin, p, n), want);
		assert_int_equal(crc32c_by_table(begin, p, n), want);
		assert_int_equal(crc32c(crc32c(begin, p, cut), p + cut, n - cut), want);
	}
}

/* CAPSTAN_CRC32C_SPEED=1 prints both. */
static void speed(void **state)
{
	enum { SIZE = 8 << 20, ROUNDS = 64 };
	unsigned char *bytes = NULL;
	uint32_t crc = 0;
	int64_t began;

	(void)state;
	if (!getenv("CAPSTAN_CRC32C_SPEED"))
		skip();
	bytes = malloc(SIZE);
	assert_non_null(bytes);
	memset(bytes, 'x', SIZE);
	began = clock_us();
	for (int i = 0; i < ROUNDS; i++)
		crc = crc32c(crc, bytes, SIZE);
	print_message("crc32c %.2f GB/s (%08x)\n", (double)SIZE * ROUNDS / (double)(clock_us() - began) / 1e3, crc);
	began = clock_us();
	crc = 0;
	for (int i = 0; i < ROUNDS; i++)
		crc = crc32c_by_table(crc, bytes, SIZE);
	print_message("by table %.2f GB/s (%08x)\n", (double)SIZE * ROUNDS / (double)(clock_us() - began) / 1e3, crc);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors),
		cmocka_unit_test(all_ways),
		cmocka_unit_test(speed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
