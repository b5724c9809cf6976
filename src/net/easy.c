/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "easy.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "address.h"

/* ---- the peer ---- */

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct easy *e = arg;

	(void)purpose;
	if ((e->flags & NET_PUBLIC) && !address_public(&address->addr)) {
		e->forbidden = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* The address the kernel says we are connected to: also of a kept connection, before a request is written. */
static int judge_peer(void *arg, char *peer, char *local, int peer_port, int local_port)
{
	struct easy *e = arg;

	(void)local, (void)peer_port, (void)local_port;
	if (!(e->flags & NET_PUBLIC) || net_address_public(peer)) {
		e->begun = true;
		return CURL_PREREQFUNC_OK;
	}
	e->forbidden = true;
	return CURL_PREREQFUNC_ABORT;
}

static void set_peer(struct easy *e, const char *ca_file)
{
	CURL *curl = e->curl;

	curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, e);
	curl_easy_setopt(curl, CURLOPT_PREREQFUNCTION, judge_peer);
	curl_easy_setopt(curl, CURLOPT_PREREQDATA, e);
	if (e->flags & (NET_PUBLIC | NET_DIRECT)) {
		curl_easy_setopt(curl, CURLOPT_PROXY, "");
		curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	}
	if (e->flags & NET_INSECURE_TLS) {
		curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (ca_file)
		curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file);
}

/* ---- the request ---- */

static CURLcode add_line(struct easy *e, const char *line)
{
	struct curl_slist *more = curl_slist_append(e->headers, line);

	if (!more)
		return CURLE_OUT_OF_MEMORY;
	e->headers = more;
	return CURLE_OK;
}

static bool one_line(const char *text)
{
	return !strpbrk(text, "\r\n");
}

static CURLcode add_header(struct easy *e, const struct net_header *h)
{
	size_t size = strlen(h->name) + strlen(h->value) + sizeof(": ");
	char *line;
	CURLcode result;

	if (!one_line(h->name) || !one_line(h->value))
		return CURLE_BAD_FUNCTION_ARGUMENT;
	line = malloc(size);
	if (!line)
		return CURLE_OUT_OF_MEMORY;
	/* An empty value is written "Name;" for libcurl, which takes "Name:" as leaving it out. */
	snprintf(line, size, *h->value ? "%s: %s" : "%s;%s", h->name, h->value);
	result = add_line(e, line);
	free(line);
	return result;
}

static CURLcode set_headers(struct easy *e, const struct easy_request *r)
{
	bool typed = false;
	CURLcode result = CURLE_OK;

	for (size_t i = 0; i < r->header_count && result == CURLE_OK; i++) {
		typed = typed || strcasecmp(r->headers[i].name, "Content-Type") == 0;
		result = add_header(e, &r->headers[i]);
	}
	if (result == CURLE_OK && !typed)
		result = add_line(e, "Content-Type:");
	if (result == CURLE_OK)
		result = add_line(e, "Expect:");
	curl_easy_setopt(e->curl, CURLOPT_HTTPHEADER, e->headers);
	return result;
}

CURLcode easy_prepare(struct easy *e, const struct easy_request *r)
{
	CURL *curl = e->curl;

	e->flags = r->flags;
	e->forbidden = e->begun = false;
	e->said[0] = '\0';
	curl_easy_reset(curl);
	curl_slist_free_all(e->headers);
	e->headers = NULL;
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	/* A name server that hangs must not hold us beyond the deadline. */
	curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, e->said);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	/* Names of objects may hold "..", and a signature covers the path as it is written. */
	curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "capstan/" CAPSTAN_VERSION);
	set_peer(e, r->ca_file);
	if (curl_easy_setopt(curl, CURLOPT_URL, r->url) != CURLE_OK)
		return CURLE_OUT_OF_MEMORY;
	return set_headers(e, r);
}

void easy_upload(struct easy *e, const char *method, int64_t size)
{
	curl_easy_setopt(e->curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(e->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)size);
	curl_easy_setopt(e->curl, CURLOPT_CUSTOMREQUEST, method);
}

void easy_clear(struct easy *e)
{
	curl_easy_cleanup(e->curl);
	e->curl = NULL;
	curl_slist_free_all(e->headers);
	e->headers = NULL;
}

/* ---- the end ---- */

static const struct easy_end ends[] = {
	{ CURLE_URL_MALFORMAT, "url", INVALID_PARAMETER_VALUE, "The URL is malformed." },
	{ CURLE_UNSUPPORTED_PROTOCOL, "url", INVALID_PARAMETER_VALUE,
	  "The URL is neither http:// nor https://." },
	{ CURLE_COULDNT_RESOLVE_HOST, "dns", TEMPORARILY_UNAVAILABLE,
	  "The host name could not be resolved." },
	{ CURLE_COULDNT_RESOLVE_PROXY, "dns", TEMPORARILY_UNAVAILABLE,
	  "The proxy's host name could not be resolved." },
	{ CURLE_COULDNT_CONNECT, "connect", TEMPORARILY_UNAVAILABLE,
	  "The connection was refused or the host cannot be reached." },
	{ CURLE_SSL_CONNECT_ERROR, "tls", TEMPORARILY_UNAVAILABLE, "The TLS handshake failed." },
	{ CURLE_PEER_FAILED_VERIFICATION, "tls", TEMPORARILY_UNAVAILABLE,
	  "The TLS certificate is not valid for this host." },
	{ CURLE_SSL_CACERT_BADFILE, "tls", INVALID_PARAMETER_VALUE,
	  "The file of TLS certificate authorities cannot be read." },
	{ CURLE_OPERATION_TIMEDOUT, "timeout", TEMPORARILY_UNAVAILABLE,
	  "There was no answer in time." },
	{ CURLE_SEND_ERROR, "reset", TEMPORARILY_UNAVAILABLE,
	  "The connection broke while the request was sent." },
	{ CURLE_SEND_FAIL_REWIND, "reset", TEMPORARILY_UNAVAILABLE,
	  "The connection broke while the request was sent." },
	{ CURLE_RECV_ERROR, "reset", TEMPORARILY_UNAVAILABLE,
	  "The connection broke while the answer was read." },
	{ CURLE_GOT_NOTHING, "reset", TEMPORARILY_UNAVAILABLE,
	  "The connection was closed without an answer." },
	{ CURLE_PARTIAL_FILE, "reset", TEMPORARILY_UNAVAILABLE,
	  "The connection was closed in the middle of the answer." },
	{ CURLE_OUT_OF_MEMORY, "memory", TEMPORARILY_UNAVAILABLE, "Out of memory" },
	/* Last: all others. */
	{ CURLE_OK, "protocol", TEMPORARILY_UNAVAILABLE, "The answer is no valid HTTP." },
};

static const struct easy_end not_public = {
	CURLE_OK, "address", INVALID_PARAMETER_VALUE, "The host's address is not a public one.",
};

const struct easy_end *easy_end(struct easy *e, CURLcode code)
{
	size_t i = 0;
	curl_off_t connected = 0;

	/* Another address of the same host may have been a public one, and failed by itself. */
	if (e->forbidden && (code == CURLE_COULDNT_CONNECT || code == CURLE_ABORTED_BY_CALLBACK))
		return &not_public;
	/* Said of a wrong URL, and of an answer that begins without a status line (on a kept connection, too, which takes
	   no time to connect). */
	curl_easy_getinfo(e->curl, CURLINFO_PRETRANSFER_TIME_T, &connected);
	if (code == CURLE_UNSUPPORTED_PROTOCOL && connected > 0)
		code = CURLE_WEIRD_SERVER_REPLY;
	while (ends[i].code != code && ends[i].code != CURLE_OK)
		i++;
	return &ends[i];
}

const char *easy_said(const struct easy *e, CURLcode code)
{
	return *e->said ? e->said : curl_easy_strerror(code);
}
