/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <stdio.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/ctx.h"

#include <cmocka.h>
#undef fail                             /* cmocka's macro hides ours */

static void test_first_cause(void **state)
{
	struct ctx c = { .arena = arena_new(1 << 20) };

	(void)state;
	assert_int_equal(fail(&c, RESOURCE_DOES_NOT_EXIST, "Run with id=%s not found", "abc"), -1);
	assert_int_equal(fail_because(&c, INTERNAL_ERROR, "42P01", "later"), -1);
	assert_int_equal(c.error.code, RESOURCE_DOES_NOT_EXIST);
	assert_string_equal(c.error.message, "Run with id=abc not found");
	assert_null(c.error.detail);
	error_clear(&c);
	assert_int_equal(c.error.code, OK);
	assert_int_equal(fail_because(&c, IO_ERROR, "ENOSPC", "Disk full"), -1);
	assert_string_equal(c.error.detail, "ENOSPC");
	arena_free(c.arena);
}

static void test_without_arena(void **state)
{
	struct ctx c = { 0 };

	(void)state;
	assert_int_equal(fail(&c, BAD_REQUEST, "No such thing"), -1);
	assert_string_equal(c.error.message, "No such thing");
	error_clear(&c);
	assert_int_equal(fail(&c, BAD_REQUEST, "No %s", "thing"), -1);
	assert_string_equal(c.error.message, "BAD_REQUEST");
}

/* Checked against mlflow.exceptions.MlflowException.serialize_as_json() of 3.17.2. */
static void test_write(void **state)
{
	static const struct {
		enum error_code code;
		int status;
		const char *message, *json;
	} cases[] = {
		{ INVALID_PARAMETER_VALUE, 400, "a \"b\"",
		  "{\"error_code\":\"INVALID_PARAMETER_VALUE\",\"message\":\"a \\\"b\\\"\","
		  "\"sqlstate\":\"KAM00\",\"error_class\":\"INVALID_PARAMETER_VALUE\"}" },
		{ RESOURCE_DOES_NOT_EXIST, 404, "x",
		  "{\"error_code\":\"RESOURCE_DOES_NOT_EXIST\",\"message\":\"x\","
		  "\"sqlstate\":\"KAM00\",\"error_class\":\"RESOURCE_NOT_FOUND\"}" },
		{ TEMPORARILY_UNAVAILABLE, 503, "x",
		  "{\"error_code\":\"TEMPORARILY_UNAVAILABLE\",\"message\":\"x\","
		  "\"sqlstate\":\"XXM00\",\"error_class\":\"CLIENT_INTERNAL_ERROR\"}" },
		{ NOT_IMPLEMENTED, 501, "x", "{\"error_code\":\"NOT_IMPLEMENTED\",\"message\":"
		  "\"x\"}" },
		{ MALFORMED_REQUEST, 400, "cut \xc3",
		  "{\"error_code\":\"MALFORMED_REQUEST\",\"message\":\"cut ?\"}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct ctx c = { .arena = arena_new(1 << 20) };
		struct buf b = BUF(c.arena, 1 << 16);

		fail(&c, cases[i].code, "%s", cases[i].message);
		error_write(&c.error, &b);
		assert_string_equal(buf_text(&b), cases[i].json);
		assert_int_equal(error_status(cases[i].code), cases[i].status);
		arena_free(c.arena);
	}
	assert_string_equal(error_name(RESOURCE_CONFLICT), "RESOURCE_CONFLICT");
}

static int too_much(struct ctx *c, void *arg)
{
	(void)arg;
	for (int i = 0; i < 1000000; i++)
		arena_alloc(c->arena, 64);
	return 0;
}

static int outer(struct ctx *c, void *arg)
{
	int *inner_result = arg;

	*inner_result = work_run(c, too_much, NULL);
	if (c->error.code != INVALID_PARAMETER_VALUE)
		return 1;
	error_clear(c);
	arena_alloc(c->arena, 1 << 20);         /* escapes to the outer run */
	return 2;
}

static int succeed(struct ctx *c, void *arg)
{
	arena_alloc(c->arena, 10);
	return *(int *)arg;
}

static void test_work_run(void **state)
{
	struct ctx c = { .arena = arena_new(10000) };
	int in = 7, inner = 0;

	(void)state;
	assert_int_equal(work_run(&c, succeed, &in), 7);
	assert_int_equal(c.error.code, OK);
	assert_int_equal(work_run(&c, outer, &inner), -1);
	assert_int_equal(inner, -1);
	assert_int_equal(c.error.code, INVALID_PARAMETER_VALUE);
	assert_null(arena_escape(c.arena, NULL));       /* none is left behind */
	arena_free(c.arena);
}

static int message_too_long(struct ctx *c, void *arg)
{
	return fail(c, RESOURCE_CONFLICT, "%s", (const char *)arg);
}

static void test_no_room_for_message(void **state)
{
	struct ctx c = { .arena = arena_new(100) };
	char text[200];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(work_run(&c, message_too_long, text), -1);
	assert_int_equal(c.error.code, INVALID_PARAMETER_VALUE);
	arena_free(c.arena);
}

#ifndef ARENA_DEBUG
/* More than any machine has, within the limit: malloc itself refuses. */
static int no_memory(struct ctx *c, void *arg)
{
	(void)arg;
	arena_alloc(c->arena, SIZE_MAX / 4);
	return 0;
}

static void test_memory(void **state)
{
	struct ctx c = { .arena = arena_new(SIZE_MAX / 2) };

	(void)state;
	assert_int_equal(work_run(&c, no_memory, NULL), -1);
	assert_int_equal(c.error.code, TEMPORARILY_UNAVAILABLE);
	arena_free(c.arena);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_cause),
		cmocka_unit_test(test_without_arena),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_work_run),
		cmocka_unit_test(test_no_room_for_message),
#ifndef ARENA_DEBUG
		cmocka_unit_test(test_memory),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
