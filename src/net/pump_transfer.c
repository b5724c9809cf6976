/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * What libcurl calls in the pump's thread: bytes between its buffers and the rings, and the answer's head.
 *
 * A full ring pauses the transfer before the socket is read again, while there is room for a whole buffer of libcurl's:
 * what a write callback refuses libcurl copies, and perhaps copies again. Only an answer that comes while its request
 * is still sent takes that way.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "pump_impl.h"

static void mark(struct net_exchange *x)
{
	if (x->dirty)
		return;
	x->dirty = true;
	x->dirty_next = x->pump->dirty;
	x->pump->dirty = x;
}

void pump_notify(struct net_exchange *x)
{
	pthread_mutex_lock(&x->lock);
	if (!x->closed && x->waiting && pump_can_go_on(x, x->waiting)) {
		x->waiting = 0;
		pthread_cond_broadcast(&x->changed);
		if (x->ready) {
			x->waking = true;
			pthread_mutex_unlock(&x->lock);
			x->ready(x->arg);
			pthread_mutex_lock(&x->lock);
			x->waking = false;
			pthread_cond_broadcast(&x->changed);
		}
	}
	pthread_mutex_unlock(&x->lock);
}

/* ---- the head ---- */

static bool keep_header(struct net_exchange *x, const char *line, size_t size)
{
	const char *colon = memchr(line, ':', size);
	const char *value = colon + 1;
	const char *stop = line + size;
	size_t name_size = (size_t)(colon - line);
	size_t need;

	if (!colon || *line == ' ' || *line == '\t')
		return true;
	while (value < stop && (*value == ' ' || *value == '\t'))
		value++;
	while (stop > value && (stop[-1] == ' ' || stop[-1] == '\t'))
		stop--;
	need = name_size + (size_t)(stop - value) + 2;
	if (x->header_count == PUMP_HEADERS || need > PUMP_HEAD - x->heads_size) {
		x->too_large = true;
		return false;
	}
	if (need > x->heads_capacity - x->heads_size) {
		size_t capacity = x->heads_capacity ? x->heads_capacity : 512;
		char *more;

		while (capacity < x->heads_size + need)
			capacity *= 2;
		more = realloc(x->heads, capacity);
		if (!more) {
			x->no_memory = true;
			return false;
		}
		x->heads = more;
		x->heads_capacity = capacity;
	}
	memcpy(x->heads + x->heads_size, line, name_size);
	x->heads[x->heads_size + name_size] = '\0';
	memcpy(x->heads + x->heads_size + name_size + 1, value, (size_t)(stop - value));
	x->heads_size += need;
	x->heads[x->heads_size - 1] = '\0';
	x->header_count++;
	return true;
}

static int status_of(const char *line, size_t size)
{
	const char *at = memchr(line, ' ', size);
	int status = 0;

	while (at && ++at < line + size && *at >= '0' && *at <= '9' && status < 1000)
		status = status * 10 + (*at - '0');
	return status;
}

static int64_t length_of(const struct net_exchange *x)
{
	int64_t length = -1;
	const char *end = x->heads + x->heads_size;

	for (const char *name = x->heads; name < end;) {
		const char *value = name + strlen(name) + 1;

		if (strcasecmp(name, "Transfer-Encoding") == 0)
			return -1;
		if (strcasecmp(name, "Content-Length") == 0 && *value >= '0' && *value <= '9')
			length = strtoll(value, NULL, 10);
		name = value + strlen(value) + 1;
	}
	return length;
}

static void head_complete(struct net_exchange *x)
{
	bool early;

	pthread_mutex_lock(&x->lock);
	x->head.status = x->status;
	x->head.content_length = length_of(x);
	x->head_done = true;
	early = (x->fixed || x->written) && !x->sent_all;
	ring_free(&x->out);
	pthread_mutex_unlock(&x->lock);
	/* The rest of the announced body is never sent: nothing else may follow on this connection. */
	if (early)
		curl_easy_setopt(x->easy.curl, CURLOPT_FORBID_REUSE, 1L);
	mark(x);
}

static size_t on_header(char *line, size_t one, size_t size, void *arg)
{
	struct net_exchange *x = arg;
	size_t n = size;

	(void)one;
	if (x->head_done)               /* trailers */
		return size;
	while (n && (line[n - 1] == '\n' || line[n - 1] == '\r'))
		n--;
	if (n >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		x->status = status_of(line, n);
		x->heads_size = x->header_count = 0;
		return size;
	}
	if (n)
		return keep_header(x, line, n) ? size : 0;
	if (x->status >= 200)
		head_complete(x);
	return size;
}

/* ---- bodies ---- */

/* While this transfer fills its ring the owner can already empty it; less waits for the end of the turn. */
static void progress(struct net_exchange *x, bool much)
{
	if (much)
		pump_notify(x);
	else
		mark(x);
}

static size_t on_body(char *data, size_t one, size_t n, void *arg)
{
	struct net_exchange *x = arg;
	int64_t length;
	bool pause, much, refused;

	(void)one;
	pthread_mutex_lock(&x->lock);
	length = x->head.content_length;
	refused = n > ring_room(&x->in);
	if (!refused && !ring_fit(&x->in, n, length < 0 ? 0 : (size_t)(length - x->received))) {
		x->no_memory = true;
		pthread_mutex_unlock(&x->lock);
		return 0;
	}
	pause = false;
	if (refused) {
		x->recv_paused = true;
	} else {
		ring_put(&x->in, data, n);
		x->received += (int64_t)n;
		/* A pause after the last byte would only keep the transfer from its end. */
		pause = !x->recv_paused && ring_room(&x->in) < x->step && x->received != length
		        && (x->sent_all || !(x->fixed || x->written));
		x->recv_paused |= pause;
	}
	much = (x->waiting & WAIT_READ) && x->in.used >= x->in.most / 2;
	n = refused ? CURL_WRITEFUNC_PAUSE : n;
	pthread_mutex_unlock(&x->lock);
	/* Both ways: for a pause of one libcurl tries the other at once, and reads again with it. */
	if (pause)
		curl_easy_pause(x->easy.curl, CURLPAUSE_ALL);
	if (!refused)
		atomic_fetch_add_explicit(&x->pump->bytes_in, n, memory_order_relaxed);
	progress(x, much);
	return n;
}

static size_t send_fixed(struct net_exchange *x, char *to, size_t n)
{
	size_t left = (size_t)(x->body_size - x->sent);

	n = n < left ? n : left;
	if (n)
		memcpy(to, x->body + x->sent, n);
	return n;
}

static size_t send_written(struct net_exchange *x, char *to, size_t n)
{
	n = ring_take(&x->out, to, n);
	if (!n && !x->ended) {
		x->send_paused = true;
		return CURL_READFUNC_PAUSE;
	}
	if (!x->out.used && x->ended)
		ring_free(&x->out);
	return n;
}

static size_t on_send(char *to, size_t one, size_t count, void *arg)
{
	struct net_exchange *x = arg;
	size_t n = one * count;
	bool much = false;

	pthread_mutex_lock(&x->lock);
	if (x->closed) {
		n = CURL_READFUNC_ABORT;
	} else if (x->head_done) {
		n = 0;
	} else {
		n = x->fixed ? send_fixed(x, to, n) : send_written(x, to, n);
		if (n != CURL_READFUNC_PAUSE) {
			x->sent += (int64_t)n;
			x->sent_all = x->body_size >= 0 ? x->sent == x->body_size : !n;
			atomic_fetch_add_explicit(&x->pump->bytes_out, n, memory_order_relaxed);
			much = pump_can_go_on(x, x->waiting & WAIT_WRITE);
		}
	}
	pthread_mutex_unlock(&x->lock);
	progress(x, much);
	return n;
}

bool pump_rewind(struct net_exchange *x)
{
	bool can;

	pthread_mutex_lock(&x->lock);
	can = !x->closed && (!x->sent || x->repeatable);
	if (can && !x->copied) {
		x->sent = 0;
		x->sent_all = x->body_size == 0;
		x->send_paused = false;
	}
	pthread_mutex_unlock(&x->lock);
	return can;
}

static int on_rewind(void *arg, curl_off_t offset, int origin)
{
	return offset == 0 && origin == SEEK_SET && pump_rewind(arg) ? CURL_SEEKFUNC_OK
	                                                             : CURL_SEEKFUNC_CANTSEEK;
}

void pump_resume(struct net_exchange *x)
{
	bool changed, recv_paused, send_paused;
	CURLcode code;

	pthread_mutex_lock(&x->lock);
	x->asked = false;
	recv_paused = x->recv_paused && ring_room(&x->in) < x->in.most / 2;
	send_paused = x->send_paused && !x->head_done && !x->out.used && !x->ended;
	changed = recv_paused != x->recv_paused || send_paused != x->send_paused;
	x->recv_paused = recv_paused;
	x->send_paused = send_paused;
	pthread_mutex_unlock(&x->lock);
	if (!changed)
		return;
	x->moved_ms = clock_ms();
	code = curl_easy_pause(x->easy.curl, (recv_paused ? CURLPAUSE_RECV : 0)
	                                             | (send_paused ? CURLPAUSE_SEND : 0));
	/* A bad argument is a transfer that is over and not yet reaped. */
	if (code == CURLE_OK || code == CURLE_BAD_FUNCTION_ARGUMENT)
		return;
	x->broke = code;
	mark(x);
}

void pump_callbacks(struct net_exchange *x)
{
	CURL *e = x->easy.curl;

	curl_easy_setopt(e, CURLOPT_PRIVATE, x);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, x);
	/* What a proxy says to CONNECT is no answer. */
	curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, x);
	curl_easy_setopt(e, CURLOPT_READFUNCTION, on_send);
	curl_easy_setopt(e, CURLOPT_READDATA, x);
	curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_rewind);
	curl_easy_setopt(e, CURLOPT_SEEKDATA, x);
}
