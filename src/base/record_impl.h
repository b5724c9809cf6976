/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What the files of record (and the number writer of buf) share. */
#ifndef BASE_RECORD_IMPL_H
#define BASE_RECORD_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/record.h"

__extension__ typedef unsigned __int128 uint128;

enum { MAX_POWER_5 = 27 };              /* the last one of 64 bits */

/* 5^k, k in 0..MAX_POWER_5. */
uint64_t power_5(int k);

enum number_result {
	NUMBER_OK,
	NUMBER_WRONG,                   /* no number at all */
	NUMBER_RANGE,                   /* int64: fraction or too large */
};

/* A whole text as protobuf-JSON takes it: 12, 12.0, 12e3; exact or refused. */
enum number_result number_int64(const char *s, size_t n, int64_t *ret);

/* A whole text: decimals, "NaN", "Infinity", "inf" in any case; correctly rounded, 1e400 is
   infinite. The byte at s[n] must be readable and not continue a number. */
enum number_result number_double(const char *s, size_t n, double *ret);

/* Decodes the JSON escape behind a backslash and advances; else what is wrong with it. Input ends
   in NUL. Escaped NULs and lone surrogates, which PostgreSQL cannot store, count as wrong. */
const char *record_escape(const char **at, uint32_t *ch);

/* A refused value as json.dumps() writes it, for the error message: ASCII, no spaces, cut. */
const char *record_echo(struct arena *a, const char *json, size_t n);
const char *record_echo_string(struct arena *a, const char *s);

/* " See the API docs ..." closes each message about a parameter. */
#define RECORD_HINT " See the API docs for more information about request parameters."

/* Number of the value named n bytes of `name` in an ENUM field's names, or -1. */
int record_enum(const struct field *f, const char *name, size_t n);

/* The name for a number, NULL when there is none. */
const char *record_enum_number(const struct field *f, int64_t number);

/* What REQUIRED refuses: no value, or "". */
bool record_absent(const struct field *f, const void *out);

/* Where the member is. */
static inline void *record_member(const struct field *f, void *out)
{
	return (char *)out + f->offset;
}

#endif
