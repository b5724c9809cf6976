/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * With the processor's own instruction where it has one, else eight bytes at a time by table. The instruction takes three
 * cycles but begins anew each cycle: three streams side by side, whose sums are joined by multiplication with a power
 * of x modulo the polynomial (M. Adler's and V. Gopal's way), hide that.
 */
#include "base/crc32c.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "crc32c_impl.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#define CRC32C_TARGET          __attribute__((target("sse4.2")))
#define CRC32C_WORD(crc, word) ((uint32_t)_mm_crc32_u64((crc), (word)))
#define CRC32C_BYTE(crc, byte) _mm_crc32_u8((crc), (byte))
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#define CRC32C_TARGET
#define CRC32C_WORD(crc, word) __crc32cd((crc), (word))
#define CRC32C_BYTE(crc, byte) __crc32cb((crc), (byte))
#endif

enum {
	STREAM = 2048, /* bytes of each of the three streams in one round */
};

#define POLYNOMIAL 0x82f63b78U /* reflected: bit 31 is x^0 */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint32_t table[8][256]; /* of a byte, with 0 to 7 more bytes behind it */
static uint32_t skip[4][256];  /* of each byte of a sum, with STREAM zero bytes behind it */
static bool by_instruction;

/* a * b modulo the polynomial. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
	uint32_t product = 0;

	for (uint32_t bit = 1U << 31; bit; bit >>= 1) {
		if (a & bit)
			product ^= b;
		b = b & 1 ? b >> 1 ^ POLYNOMIAL : b >> 1;
	}
	return product;
}

/* x^(8n) modulo the polynomial. */
static uint32_t power(size_t n)
{
	uint32_t square = 1U << 23; /* x^8 */
	uint32_t ret = 1U << 31;    /* 1 */

	for (; n; n >>= 1) {
		if (n & 1)
			ret = multiply(square, ret);
		square = multiply(square, square);
	}
	return ret;
}

static void prepare(void)
{
	uint32_t shift = power(STREAM);

	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int k = 0; k < 8; k++)
			crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
		table[0][i] = crc;
		for (int k = 0; k < 4; k++)
			skip[k][i] = multiply(shift, i << (8 * k));
	}
	for (int i = 0; i < 256; i++)
		for (int k = 1; k < 8; k++)
			table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 0xff];
#if defined(__x86_64__)
	by_instruction = __builtin_cpu_supports("sse4.2");
#elif defined(CRC32C_WORD)
	by_instruction = true;
#endif
}

/* ---- by table ---- */

static uint32_t word_of(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t sum_by_table(uint32_t crc, const unsigned char *p, size_t n)
{
	for (; n >= 8; p += 8, n -= 8) {
		uint32_t low = crc ^ word_of(p);
		uint32_t high = word_of(p + 4);

		crc = table[7][low & 0xff] ^ table[6][low >> 8 & 0xff] ^
		      table[5][low >> 16 & 0xff] ^ table[4][low >> 24] ^ table[3][high & 0xff] ^
		      table[2][high >> 8 & 0xff] ^ table[1][high >> 16 & 0xff] ^
		      table[0][high >> 24];
	}
	for (; n; p++, n--)
		crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
	return crc;
}

/* ---- by instruction ---- */

#ifdef CRC32C_WORD
static uint32_t skipped(uint32_t crc)
{
	return skip[0][crc & 0xff] ^ skip[1][crc >> 8 & 0xff] ^ skip[2][crc >> 16 & 0xff] ^
	       skip[3][crc >> 24];
}

static uint64_t long_of(const unsigned char *p)
{
	uint64_t ret;

	memcpy(&ret, p, sizeof(ret)); /* these processors are little-endian */
	return ret;
}

CRC32C_TARGET
static uint32_t sum_by_instruction(uint32_t crc, const unsigned char *p, size_t n)
{
	for (; n >= 3 * STREAM; p += 3 * STREAM, n -= 3 * STREAM) {
		uint32_t second = 0;
		uint32_t third = 0;

		for (size_t i = 0; i < STREAM; i += 8) {
			crc = CRC32C_WORD(crc, long_of(p + i));
			second = CRC32C_WORD(second, long_of(p + STREAM + i));
			third = CRC32C_WORD(third, long_of(p + 2 * STREAM + i));
		}
		crc = skipped(skipped(crc) ^ second) ^ third;
	}
	for (; n >= 8; p += 8, n -= 8)
		crc = CRC32C_WORD(crc, long_of(p));
	for (; n; p++, n--)
		crc = CRC32C_BYTE(crc, *p);
	return crc;
}
#else
static uint32_t sum_by_instruction(uint32_t crc, const unsigned char *p, size_t n)
{
	return sum_by_table(crc, p, n);
}
#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t n)
{
	pthread_once(&once, prepare);
	return ~(by_instruction ? sum_by_instruction(~crc, data, n) : sum_by_table(~crc, data, n));
}

uint32_t crc32c_by_table(uint32_t crc, const void *data, size_t n)
{
	pthread_once(&once, prepare);
	return ~sum_by_table(~crc, data, n);
}
