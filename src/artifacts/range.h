/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* range — Range, If-Range and If-None-Match of RFC 9110, for one object. */
#ifndef ARTIFACTS_RANGE_H
#define ARTIFACTS_RANGE_H

#include <stdbool.h>
#include <stdint.h>

/* One range of an object of `total` bytes: 206 with *first and *length, 200 when the header is
   absent, not for us (other units, several ranges, syntax) or ignored, 416 when it can't be
   satisfied. */
int range_read(const char *header, uint64_t total, uint64_t *first, uint64_t *length);

/* What the header asks for, before the size is known. False: all. */
struct blob_want;
bool range_want(const char *header, struct blob_want *ret);

/* If-None-Match names etag (weakly), or is "*". */
bool range_none_match(const char *header, const char *etag);

/* If-Range lets the range stand: absent, or exactly etag. Dates never do: a second is too coarse to
 * be a validator. */
bool range_if_range(const char *header, const char *etag);

#endif
