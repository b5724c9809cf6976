/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The JSON grammar below record_read(): values passed over and checked, nothing changed. */
#ifndef BASE_RECORD_SCAN_H
#define BASE_RECORD_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/ctx.h"

enum result {
	READ_MALFORMED = -1,            /* ctx has the error */
	READ_OK = 0,
	READ_WRONG,                     /* reader.problem says why; the value was passed over */
};

struct reader {
	struct ctx *c;
	char *start;
	char *at;
	int depth;
	bool strict;                    /* within RAW: no NaN, others will read it */
	const char *problem;
	const char *conflict;           /* a field spelled both ways: comes before any problem */
};

static inline void spaces(struct reader *r)
{
	while (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t')
		r->at++;
}

/* What a string holds as it is. */
static inline bool is_plain(char ch)
{
	return (unsigned char)ch >= 0x20 && ch != '"' && ch != '\\';
}

/* Sets MALFORMED_REQUEST; `at` is the offending byte. */
void record_malformed(struct reader *r, const char *at, const char *why);

static inline enum result malformed(struct reader *r, const char *at, const char *why)
{
	record_malformed(r, at, why);
	return READ_MALFORMED;
}

/* At the opening quote; stops behind the closing one. */
enum result record_skip_string(struct reader *r);

/* Anything but an object or list. */
enum result record_skip_scalar(struct reader *r);

enum result record_skip_value(struct reader *r);

/* Over an opening bracket: one level deeper. */
enum result record_enter(struct reader *r);

/* The ":" behind a member's name. */
enum result record_colon(struct reader *r);

#endif
