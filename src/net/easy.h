/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* easy — what the blocking client and the pump have in common: a libcurl handle set up as ours are, and our words for
   the ways it ends. */
#ifndef NET_EASY_H
#define NET_EASY_H

#include <stdbool.h>
#include <stddef.h>

#include <curl/curl.h>

#include "net/net.h"

struct easy {
	CURL *curl;
	struct curl_slist *headers;
	unsigned flags;                 /* enum net_flags */
	bool forbidden;                 /* the peer's address was not public */
	bool begun;                     /* connected: the request is about to be written */
	char said[CURL_ERROR_SIZE];
};

struct easy_request {
	const char *url;
	const struct net_header *headers;
	size_t header_count;
	const char *ca_file;
	unsigned flags;
};

/* e->curl exists; all of its options are set anew. CURLE_BAD_FUNCTION_ARGUMENT: a header is not one line.
   CURLE_OUT_OF_MEMORY. Allocates in no arena. */
CURLcode easy_prepare(struct easy *e, const struct easy_request *r) MUST_CHECK;
/* PUT with the method's name for all that have a body from a callback. */
void easy_upload(struct easy *e, const char *method, int64_t size);
void easy_clear(struct easy *e);

struct easy_end {
	CURLcode code;
	const char *failure;            /* net_reply.failure */
	enum error_code error;
	const char *says;
};

/* Of a transfer that failed; before easy_clear(). */
const struct easy_end *easy_end(struct easy *e, CURLcode code);
/* libcurl's words, for the log. Valid as long as e. */
const char *easy_said(const struct easy *e, CURLcode code);

#endif
