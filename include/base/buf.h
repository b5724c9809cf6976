/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * buf — text that grows in an arena up to a maximum. Failure (the maximum) is sticky: build all of
 * it, then ask buf_failed() once. data is always NUL-terminated once anything was added.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

struct buf {
	struct arena *arena;
	char *data;
	size_t size;
	size_t capacity;
	size_t max;
	bool failed;
};

#define BUF(a, limit) { .arena = (a), .max = (limit) }

void buf_add(struct buf *b, const char *s);
void buf_addn(struct buf *b, const char *s, size_t n);
void buf_addc(struct buf *b, char ch);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_add_int64(struct buf *b, int64_t v);

/* Shortest text that reads back as the same double; JSON number, or "NaN" quoted. Infinities, which
   MLflow stores as the largest double, are written as ±1.7976931348623157e+308. */
void buf_add_json_double(struct buf *b, double v);

/* A quoted JSON string. Input is valid UTF-8 (all text enters through record_read or the database).
 */
void buf_add_json_string(struct buf *b, const char *s);
void buf_add_json_stringn(struct buf *b, const char *s, size_t n);

/* An empty buf takes a text of its arena over. */
void buf_adopt(struct buf *b, char *text, size_t size);

/* Room for n bytes at the end, to be written by hand; NULL: the maximum. Then buf_took() says where
 * they end. */
char *buf_grow(struct buf *b, size_t n);

static inline char *buf_room(struct buf *b, size_t n)
{
	return n < b->capacity - b->size && !b->failed ? b->data + b->size : buf_grow(b, n);
}

static inline void buf_took(struct buf *b, char *end)
{
	*end = '\0';
	b->size = (size_t)(end - b->data);
}

static inline bool buf_failed(const struct buf *b)
{
	return b->failed;
}

/* The text, "" when nothing was added. */
const char *buf_text(const struct buf *b);

#endif
