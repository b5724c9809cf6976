/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * The shortest decimal text of a double, laid out like Python's repr(): 1.0, 0.1, 1e+16, 1e-05.
 *
 * A double stands for all reals between its halfway points to its neighbours. Scaled by the power
 * of ten that gives it 17 or 18 digits, these bounds fit 128 bits exactly for ordinary magnitudes,
 * so the shortest decimal between them is found with integers. The rest is left to printf(), which
 * next to a power of two may take a digit more than needed.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/number.h"
#include "record_impl.h"

struct decimal {
	uint64_t digits;                /* no trailing zeros */
	int exponent;                   /* value = digits * 10^exponent */
};

/* v = m * 2^e with 53 bits of m. False: not between 2e-11 and 7e16. */
static bool shortest(uint64_t m, int e, struct decimal *ret)
{
	/* floor(log10(v)) or one less; 1233 / 4096 is log10(2) near enough for these exponents */
	int log10 = ((e + 52) * 1233) >> 12;
	int k = 16 - log10;
	int shift = 2 - e - k, zeros = 0;
	uint64_t even = !(m & 1), low, high, h, l, value, power = 1;
	uint128 v4, lower, upper, rest, half;

	if (k < 0 || k > MAX_POWER_5 || shift < 1 || shift > 120)
		return false;
	v4 = (uint128)(4 * m) * power_5(k);
	/* At a power of two the neighbour below is only half as far. */
	lower = v4 - (m == UINT64_C(1) << 52 ? 1 : 2) * (uint128)power_5(k);
	upper = v4 + 2 * (uint128)power_5(k);
	/* The integers within the bounds; the bounds themselves read back as v when m is even. */
	low = (uint64_t)((lower + (((uint128)1 << shift) - even)) >> shift);
	high = (uint64_t)((upper - (uint64_t)!even) >> shift);
	for (h = high, l = low; h / 10 >= (l + 9) / 10; h /= 10, l = (l + 9) / 10) {
		power *= 10;
		zeros++;
	}
	/* The nearest multiple of power, ties to even. */
	value = (uint64_t)(v4 >> shift);
	rest = (uint128)(value % power) << shift | (v4 & (((uint128)1 << shift) - 1));
	half = ((uint128)power << shift) / 2;
	value /= power;
	if (rest > half || (rest == half && value & 1))
		value++;
	if (value * power < low)
		value++;
	else if (value * power > high)
		value--;
	ret->digits = value;
	ret->exponent = zeros - k;
	return true;
}

static void slowly(double v, struct decimal *ret)
{
	char text[32];
	char *mantissa = text, *e;

	for (int precision = 0; precision < 17; precision++) {
		snprintf(text, sizeof(text), "%.*e", precision, v);
		if (strtod(text, NULL) == v)
			break;
	}
	e = strchr(text, 'e');
	ret->digits = 0;
	ret->exponent = number_leading(e + 1) + 1;
	for (; mantissa < e; mantissa++) {
		if (*mantissa >= '0' && *mantissa <= '9') {     /* not the point, of any locale */
			ret->digits = ret->digits * 10 + (uint64_t)(*mantissa - '0');
			ret->exponent--;
		}
	}
	while (ret->digits % 10 == 0) {
		ret->digits /= 10;
		ret->exponent++;
	}
}

static void layout(struct buf *b, const char *digits, int n, int exponent)
{
	int point = n + exponent;       /* digits before the decimal point */

	if (point > 16 || point < -3) {
		buf_addn(b, digits, 1);
		if (n > 1) {
			buf_addc(b, '.');
			buf_addn(b, digits + 1, (size_t)n - 1);
		}
		buf_addf(b, "e%c%02d", point > 0 ? '+' : '-', abs(point - 1));
	} else if (point <= 0) {
		buf_addn(b, "0.0000", (size_t)(2 - point));
		buf_addn(b, digits, (size_t)n);
	} else if (point < n) {
		buf_addn(b, digits, (size_t)point);
		buf_addc(b, '.');
		buf_addn(b, digits + point, (size_t)(n - point));
	} else {
		buf_addn(b, digits, (size_t)n);
		buf_addn(b, "0000000000000000", (size_t)exponent);
		buf_addn(b, ".0", 2);
	}
}

void buf_add_json_double(struct buf *b, double v)
{
	struct decimal d;
	char text[20];
	char *p = text + sizeof(text);
	uint64_t bits;
	int e;

	if (isnan(v)) {
		buf_add(b, "\"NaN\"");
		return;
	}
	if (isinf(v))
		v = v > 0 ? 1.7976931348623157e308 : -1.7976931348623157e308;
	memcpy(&bits, &v, sizeof(bits));
	if (bits >> 63)
		buf_addc(b, '-');
	v = fabs(v);
	if (v < 1e15 && v == (double)(int64_t)v) {
		buf_add_int64(b, (int64_t)v);
		buf_addn(b, ".0", 2);
		return;
	}
	e = (int)(bits >> 52 & 0x7ff) - 1075;
	if (e == -1075 || !shortest((bits & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1) << 52, e, &d))
		slowly(v, &d);
	do {
		*--p = (char)('0' + d.digits % 10);
		d.digits /= 10;
	} while (d.digits);
	layout(b, p, (int)(text + sizeof(text) - p), d.exponent);
}
