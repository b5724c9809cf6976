/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * tuple — a row's hash, the same for what a source gave and what the target gives back. Sums of hashes do not depend
 * on the order of rows.
 */
#ifndef EXCHANGE_TUPLE_H
#define EXCHANGE_TUPLE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t tuple_mix(uint64_t h)
{
	h ^= h >> 30;
	h *= 0xbf58476d1ce4e5b9u;
	h ^= h >> 27;
	h *= 0x94d049bb133111ebu;
	return h ^ h >> 31;
}

static inline uint64_t tuple_null(void)
{
	return 0x5851f42d4c957f2du;
}

static inline uint64_t tuple_int(int64_t v)
{
	return tuple_mix((uint64_t)v + 0x9e3779b97f4a7c15u);
}

/* All NaNs are one, and so are the zeros. */
static inline uint64_t tuple_real(double v)
{
	uint64_t bits = 0x7ff8000000000000u;

	if (v == 0)
		bits = 0;
	else if (!isnan(v))
		memcpy(&bits, &v, sizeof(bits));
	return tuple_mix(bits + 0xd1342543de82ef95u);
}

static inline uint64_t tuple_text(const char *s, size_t n)
{
	uint64_t h = 0x2545f4914f6cdd1du ^ n;

	while (n) {
		size_t step = n < 8 ? n : 8;
		uint64_t word = 0;
		memcpy(&word, s, step);
		h = tuple_mix(h ^ word);
		s += step;
		n -= step;
	}
	return h;
}

static inline uint64_t tuple_add(uint64_t row, uint64_t cell)
{
	return tuple_mix(row * 31 + cell);
}

#endif
