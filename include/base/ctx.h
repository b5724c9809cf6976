/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * ctx — one unit of work: its memory, its database connection, who asks, and its first error.
 * Every function that can fail takes it, returns 0 or -1 (lookups: 1 found, 0 not, -1 error), and
 * says why with fail(). Library code never logs an error: whoever ends the unit of work does, once.
 */
#ifndef BASE_CTX_H
#define BASE_CTX_H

#include <stdbool.h>
#include <stdarg.h>

struct access;
struct arena;
struct principal;
struct db;
struct buf;

enum error_code {
	OK = 0,
#define ERROR(name, status) name,
#include "base/errors.def"
#undef ERROR
	ERROR_CODES
};

struct error {
	enum error_code code;
	const char *message;            /* in the ctx's arena; ours, safe to send */
	const char *detail; /* what the database or kernel said: for the log only; may be NULL */
};

struct ctx {
	struct arena *arena;
	struct db *db;                  /* NULL where no connection is at hand (event threads) */
	const char *user;               /* NULL: anonymous */
	const struct principal *principal;      /* the same user: auth/auth.h; NULL: no auth */
	const struct access *access;    /* what searches may show: base/access.h; NULL: all */
	const char *request_id;         /* for the log; NULL outside of requests */
	struct error error;
};

#define MUST_CHECK __attribute__((warn_unused_result))

/*
 * Sets the first cause and returns -1; a later call changes nothing. It always returns, never
 * escapes: where there is no memory for the words, that becomes the cause.
 */
int fail(struct ctx *c, enum error_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same with what the database or the kernel said, which goes to the log and never to a client.
 */
int fail_because(struct ctx *c, enum error_code code, const char *detail, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Forgets the error, to try another way. */
void error_clear(struct ctx *c);

const char *error_name(enum error_code code);
int error_status(enum error_code code);

/* MLflow's {"error_code", "message", "sqlstate", "error_class"}. */
void error_write(const struct error *e, struct buf *to);

/*
 * Runs fn(c, arg) so that exhausted memory becomes an ordinary error: -1 with
 * TEMPORARILY_UNAVAILABLE (memory) or INVALID_PARAMETER_VALUE (the arena's limit: too large an
 * answer). After such an escape the ctx's database connection must be reset (db_recover does)
 * before reuse.
 */
int work_run(struct ctx *c, int (*fn)(struct ctx *c, void *arg), void *arg) MUST_CHECK;

/* Handles that clean themselves at the end of their scope; TAKE hands one over. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define TAKE(p) \
	(__extension__({ __typeof__(p) take_ = (p); (p) = NULL; take_; }))

#endif
