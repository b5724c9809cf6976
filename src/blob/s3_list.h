/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* s3_list — pages of ListObjectsV2, for listing and for removing. */
#ifndef BLOB_S3_LIST_H
#define BLOB_S3_LIST_H

#include "s3.h"

enum { S3_TOKEN = 4096 };

/* Calls each() for every key that begins with prefix (common: for what shares the next segment), then page_end() after each
   page. Their ctx is the page's: its memory ends with it. */
struct s3_pages {
	struct s3 *s;
	const char *prefix;
	bool delimiter;
	unsigned max_keys;              /* 0: all, by pages of 1,000; else one page of so many */
	int (*each)(struct ctx *c, void *arg, const char *key, bool common, uint64_t size);
	int (*page_end)(struct ctx *c, void *arg);
	void *arg;

	char token[S3_TOKEN];           /* ours */
	bool more;
	unsigned empty;                 /* pages in a row */
};
int s3_pages(struct ctx *c, struct s3_pages *p) MUST_CHECK;

/* The prefix of what is below a key: "" of the whole bucket. In c's arena. */
const char *s3_below(struct ctx *c, const struct s3 *s, const char *key);
/* A key as encoding-type=url writes it. */
const char *s3_decode(struct ctx *c, const char *text);

/* 1 found, 0 not: of an object, not of what is below. */
int s3_stat_object(struct ctx *c, struct s3 *s, const char *object, struct blob_info *ret) MUST_CHECK;

#endif
