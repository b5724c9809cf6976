/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* A socket, whose thread waits where artifacts/transfer.h says so, and what it sends and reads. */
#ifndef TESTS_WITH_TRANSFERS_H
#define TESTS_WITH_TRANSFERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "artifacts/transfer.h"
#include "base/arena.h"
#include "base/limits.h"
#include "blob/blob.h"
#include "blob/ops.h"

#include <cmocka.h> /* last: its fail() is not ours */

struct client {
	pthread_mutex_t lock;
	pthread_cond_t woken;
	bool wake;
	atomic_bool closed;
};

static void client_init(struct client *s)
{
	*s = (struct client){ 0 };
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->woken, NULL);
}

static void client_done(struct client *s)
{
	atomic_store(&s->closed, true);
	pthread_cond_destroy(&s->woken);
	pthread_mutex_destroy(&s->lock);
}

static void wake(void *arg)
{
	struct client *s = arg;

	assert_false(atomic_load(&s->closed));
	pthread_mutex_lock(&s->lock);
	s->wake = true;
	pthread_cond_signal(&s->woken);
	pthread_mutex_unlock(&s->lock);
}

static void suspend(struct client *s, struct transfer *t)
{
	transfer_arm(t);
	pthread_mutex_lock(&s->lock);
	while (!s->wake)
		pthread_cond_wait(&s->woken, &s->lock);
	s->wake = false;
	pthread_mutex_unlock(&s->lock);
}

static struct transfer_engine *engine;

static char byte(size_t i)
{
	return (char)((i * 31) ^ (i >> 8));
}

/* Pushes `cut` of `size` bytes in pieces of `piece`; finishes only when all were pushed. The last
 * state. */
static enum transfer_state upload(const char *key, size_t size, int64_t announced, size_t cut,
				  size_t piece)
{
	struct stream what = { .kind = STREAM_UPLOAD, .key = key, .size = announced };
	enum transfer_state state = TRANSFER_WAIT;
	struct client s;
	struct transfer *t;
	char *data = malloc(piece);
	size_t at = 0;

	client_init(&s);
	t = transfer_begin(engine, &what, wake, &s);
	assert_non_null(t);
	while (at < cut) {
		size_t n = piece < cut - at ? piece : cut - at, taken = 0;

		for (size_t i = 0; i < n; i++)
			data[i] = byte(at + i);
		state = transfer_push(t, data, n, &taken);
		at += taken;
		if (state == TRANSFER_FAILED)
			break;
		if (state == TRANSFER_WAIT)
			suspend(&s, t);
	}
	while (cut == size && (state = transfer_finish(t)) == TRANSFER_WAIT)
		suspend(&s, t);
	transfer_close(t);
	client_done(&s);
	free(data);
	return state;
}

/* Pulls at most `cut` bytes and checks them. How many came; -1 failed. */
static long download(const char *key, size_t cut, size_t piece, const char *range,
		     struct transfer_head *head)
{
	struct stream what = { .kind = STREAM_DOWNLOAD, .key = key, .range = range };
	enum transfer_state state;
	struct client s;
	struct transfer *t;
	char *data = malloc(piece);
	size_t at = 0, got;

	client_init(&s);
	t = transfer_begin(engine, &what, wake, &s);
	assert_non_null(t);
	while ((state = transfer_open(t, head)) == TRANSFER_WAIT)
		suspend(&s, t);
	while (state != TRANSFER_FAILED && state != TRANSFER_DONE && at < cut) {
		state = transfer_pull(t, data, piece, &got);
		for (size_t i = 0; i < got; i++)
			assert_int_equal(data[i], byte((size_t)head->first + at + i));
		at += got;
		if (state == TRANSFER_WAIT)
			suspend(&s, t);
	}
	transfer_close(t);
	client_done(&s);
	free(data);
	return state == TRANSFER_FAILED ? -1 : (long)at;
}

/* ---- SHA-256 ---- */

/* Of byte(0) ... byte(size - 1). */
static const unsigned char *sha256_of(size_t size)
{
	static unsigned char sum[TRANSFER_SHA256];
	unsigned char *data = malloc(size);

	for (size_t i = 0; i < size; i++)
		data[i] = (unsigned char)byte(i);
	assert_true(EVP_Digest(data, size, sum, NULL, EVP_sha256(), NULL));
	free(data);
	return sum;
}

static struct transfer *sent(struct stream *what, struct client *s, enum transfer_state *state)
{
	struct transfer *t = transfer_begin(engine, what, wake, s);
	char data[5000];

	for (size_t at = 0; at < 300000;) {
		size_t taken;

		for (size_t i = 0; i < sizeof(data); i++)
			data[i] = byte(at + i);
		if (transfer_push(t, data, sizeof(data) < 300000 - at ? sizeof(data) : 300000 - at,
				  &taken) == TRANSFER_WAIT)
			suspend(s, t);
		at += taken;
	}
	while ((*state = transfer_finish(t)) == TRANSFER_WAIT)
		suspend(s, t);
	return t;
}

#endif
