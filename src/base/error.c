/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "base/ctx.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include "arena_escape.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/utf8.h"

static const struct {
	const char *name;
	int status;
} codes[ERROR_CODES] = {
	[OK] = { "OK", 200 },
#define ERROR(name, status) [name] = { #name, status },
#include "base/errors.def"
#undef ERROR
};

#define USER "KAM00"
#define SYSTEM "XXM00"

/* mlflow/error_classification.py of 3.17.2, client side: the server raises MlflowException itself.
   Codes missing there have neither. */
static const struct {
	const char *sqlstate;
	const char *error_class;
} classes[ERROR_CODES] = {
	[BAD_REQUEST] = { USER, "INVALID_PARAMETER_VALUE" },
	[CUSTOMER_UNAUTHORIZED] = { USER, "PERMISSION_DENIED" },
	[ENDPOINT_NOT_FOUND] = { USER, "RESOURCE_NOT_FOUND" },
	[FEATURE_DISABLED] = { USER, "FEATURE_DISABLED" },
	[INTERNAL_ERROR] = { SYSTEM, "CLIENT_INTERNAL_ERROR" },
	[INVALID_PARAMETER_VALUE] = { USER, "INVALID_PARAMETER_VALUE" },
	[INVALID_STATE] = { SYSTEM, "CLIENT_INTERNAL_ERROR" },
	[NOT_FOUND] = { USER, "RESOURCE_NOT_FOUND" },
	[PERMISSION_DENIED] = { USER, "PERMISSION_DENIED" },
	[RESOURCE_ALREADY_EXISTS] = { USER, "RESOURCE_ALREADY_EXISTS" },
	[RESOURCE_DOES_NOT_EXIST] = { USER, "RESOURCE_NOT_FOUND" },
	[TEMPORARILY_UNAVAILABLE] = { SYSTEM, "CLIENT_INTERNAL_ERROR" },
};

struct words {
	enum error_code code;
	const char *detail;
	const char *fmt;
	va_list ap;
};

/* The format was checked against its arguments where fail() is called. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"

static int say(struct ctx *c, void *arg)
{
	struct words *w = arg;

	c->error.message = arena_vprintf(c->arena, w->fmt, w->ap);
	c->error.detail = w->detail ? arena_strdup(c->arena, w->detail) : NULL;
	c->error.code = w->code;
	return 0;
}

#pragma GCC diagnostic pop

__attribute__((format(printf, 4, 0)))
static int vfail(struct ctx *c, enum error_code code, const char *detail, const char *fmt,
                 va_list ap)
{
	struct words w = { .code = code, .detail = detail, .fmt = fmt };

	assert(code > OK && code < ERROR_CODES);
	if (c->error.code != OK)
		return -1;
	if (!c->arena) {
		c->error.message = strchr(fmt, '%') ? codes[code].name : fmt;
		c->error.code = code;
		return -1;
	}
	va_copy(w.ap, ap);
	/* Who fails holds handles with CLEANUP, which an escape past him would leave open. */
	(void)!work_run(c, say, &w);
	va_end(w.ap);
	return -1;
}

int fail(struct ctx *c, enum error_code code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfail(c, code, NULL, fmt, ap);
	va_end(ap);
	return -1;
}

int fail_because(struct ctx *c, enum error_code code, const char *detail, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfail(c, code, detail, fmt, ap);
	va_end(ap);
	return -1;
}

void error_clear(struct ctx *c)
{
	c->error = (struct error){ 0 };
}

const char *error_name(enum error_code code)
{
	assert(code < ERROR_CODES);
	return codes[code].name;
}

int error_status(enum error_code code)
{
	assert(code < ERROR_CODES);
	return codes[code].status;
}

/* An input repeated in it may be of many megabytes, and a "%.*s" may have cut it within a
   character: what goes out is short and valid JSON. */
static void add_message(struct buf *to, const char *message)
{
	size_t n = strlen(message);

	if (n > LIMIT_ERROR_MESSAGE) {
		n = LIMIT_ERROR_MESSAGE;
		while (n && ((unsigned char)message[n] & 0xC0) == 0x80)
			n--;
		message = arena_printf(to->arena, "%.*s...", (int)n, message);
		n = strlen(message);
	}
	if (utf8_valid(message, n)) {
		buf_add_json_stringn(to, message, n);
		return;
	}
	char *ascii = arena_strndup(to->arena, message, n);

	for (char *p = ascii; *p; p++) {
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	}
	buf_add_json_stringn(to, ascii, n);
}

void error_write(const struct error *e, struct buf *to)
{
	assert(e->code < ERROR_CODES);
	buf_add(to, "{\"error_code\":\"");
	buf_add(to, codes[e->code].name);
	buf_add(to, "\",\"message\":");
	add_message(to, e->message ? e->message : codes[e->code].name);
	if (classes[e->code].sqlstate) {
		buf_add(to, ",\"sqlstate\":\"");
		buf_add(to, classes[e->code].sqlstate);
		buf_add(to, "\",\"error_class\":\"");
		buf_add(to, classes[e->code].error_class);
		buf_addc(to, '"');
	}
	buf_addc(to, '}');
}

/* The arena is full: only static text can say so. It replaces an earlier error. */
static int escaped(struct ctx *c, enum error_code code, const char *message)
{
	c->error = (struct error){ .code = code, .message = message };
	return -1;
}

int work_run(struct ctx *c, int (*fn)(struct ctx *c, void *arg), void *arg)
{
	jmp_buf here;
	jmp_buf *outer;
	int result;

	assert(c->arena);
	outer = arena_escape(c->arena, &here);
	switch (setjmp(here)) {         /* one of the few places where C lets setjmp() stand */
	case 0:
		result = fn(c, arg);
		break;
	case ARENA_LIMIT:
		result = escaped(c, INVALID_PARAMETER_VALUE,
		                 "The request or its answer is too large; ask for fewer items.");
		break;
	default:
		result = escaped(c, TEMPORARILY_UNAVAILABLE,
		                 "The server is out of memory; try again later.");
	}
	arena_escape(c->arena, outer);
	return result;
}
