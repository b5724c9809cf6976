/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Numbers in text: exact or correctly rounded, whatever the locale. */
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "record_impl.h"

struct scanned {
	uint64_t mantissa;              /* the first 19 digits: always fit */
	int exponent;                   /* value = ± mantissa * 10^exponent, if exact */
	bool negative;
	bool exact;
};

uint64_t power_5(int k)
{
	static const uint64_t powers[MAX_POWER_5 + 1] = {
		1, 5, 25, 125, 625, 3125, 15625, 78125, 390625, 1953125, 9765625, 48828125,
		244140625, 1220703125, 6103515625, 30517578125, 152587890625, 762939453125,
		3814697265625, 19073486328125, 95367431640625, 476837158203125,
		2384185791015625, 11920928955078125, 59604644775390625, 298023223876953125,
		1490116119384765625, 7450580596923828125,
	};

	return powers[k];
}

static bool is_digit(char ch)
{
	return ch >= '0' && ch <= '9';
}

/* Digits into the mantissa; what no longer fits only matters when it is not zero. */
static const char *scan_digits(const char *p, const char *end, struct scanned *d, int *count,
                               bool fraction)
{
	for (; p < end && is_digit(*p); p++) {
		if (*count < 19) {
			d->mantissa = d->mantissa * 10 + (uint64_t)(*p - '0');
			*count += d->mantissa != 0;     /* leading zeros take no room */
			d->exponent -= fraction;
		} else {
			d->exact &= *p == '0';
			d->exponent += !fraction;
		}
	}
	return p;
}

/* [+-] digits [. digits] [e [+-] digits], at least one digit: Python's float(), no extras. */
static bool scan(const char *s, size_t n, struct scanned *d)
{
	const char *p = s, *end = s + n, *start;
	int count = 0, e = 0;
	bool minus = false, digits;

	*d = (struct scanned){ .exact = true };
	if (n > INT32_MAX / 2)
		return false;           /* exponent is an int */
	if (p < end && (*p == '-' || *p == '+'))
		d->negative = *p++ == '-';
	start = p;
	p = scan_digits(p, end, d, &count, false);
	digits = p > start;
	if (p < end && *p == '.') {
		start = ++p;
		p = scan_digits(p, end, d, &count, true);
		digits |= p > start;
	}
	if (!digits)
		return false;
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < end && (*p == '-' || *p == '+'))
			minus = *p++ == '-';
		start = p;
		for (; p < end && is_digit(*p); p++) {
			if (e < 100000000)
				e = e * 10 + (*p - '0');
		}
		if (p == start)
			return false;
		d->exponent += minus ? -e : e;
	}
	return p == end;
}

enum number_result number_int64(const char *s, size_t n, int64_t *ret)
{
	struct scanned d;
	uint64_t v;

	if (!scan(s, n, &d))
		return NUMBER_WRONG;
	v = d.mantissa;
	if (!v && d.exact) {
		*ret = 0;
		return NUMBER_OK;
	}
	for (; d.exponent < 0 && v % 10 == 0; d.exponent++)
		v /= 10;
	if (d.exponent < 0 || d.exponent > 18 || !d.exact)
		return NUMBER_RANGE;
	for (; d.exponent > 0; d.exponent--) {
		if (__builtin_mul_overflow(v, (uint64_t)10, &v))
			return NUMBER_RANGE;
	}
	if (v > (uint64_t)INT64_MAX + d.negative)
		return NUMBER_RANGE;
	*ret = d.negative ? (int64_t)(0 - v) : (int64_t)v;
	return NUMBER_OK;
}

static double power_2(int k)
{
	uint64_t bits = (uint64_t)(k + 1023) << 52;
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

/* 10^k = 5^k * 2^k: with 5^|k| in 64 bits all is exact up to the one rounding of the conversion. */
static bool convert(uint64_t m, int k, double *ret)
{
	static const double tens[] = {
		1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
		1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
	};
	uint128 q;
	int shift;

	if (m == 0) {
		*ret = 0;
	} else if (m < UINT64_C(1) << 53 && k >= -22 && k <= 22) {
		*ret = k < 0 ? (double)m / tens[-k] : (double)m * tens[k];
	} else if (k >= 0 && k <= MAX_POWER_5) {
		*ret = (double)((uint128)m * power_5(k)) * power_2(k);
	} else if (k < 0 && k >= -MAX_POWER_5) {
		shift = 64 + __builtin_clzll(m);
		q = ((uint128)m << shift) / power_5(-k);
		if (q * power_5(-k) != (uint128)m << shift)
			q |= 1;         /* only to tell "more than half" from "half" */
		*ret = (double)q * power_2(k - shift);
	} else {
		return false;
	}
	return true;
}

static locale_t c_locale;

static void make_c_locale(void)
{
	c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	if (!c_locale)
		abort();
}

enum number_result number_double(const char *s, size_t n, double *ret)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct scanned d;
	bool sign = n && (*s == '-' || *s == '+');

	if (scan(s, n, &d)) {
		if (d.exact && convert(d.mantissa, d.exponent, ret)) {
			if (d.negative)
				*ret = -*ret;
			return NUMBER_OK;
		}
		pthread_once(&once, make_c_locale);
		*ret = strtod_l(s, NULL, c_locale);
		return NUMBER_OK;
	}
	if ((n - sign == 8 && !strncasecmp(s + sign, "infinity", 8)) ||
	    (n - sign == 3 && !strncasecmp(s + sign, "inf", 3)))
		*ret = *s == '-' ? -HUGE_VAL : HUGE_VAL;
	else if (n - sign == 3 && !strncasecmp(s + sign, "nan", 3))
		*ret = (double)NAN;
	else
		return NUMBER_WRONG;
	return NUMBER_OK;
}
