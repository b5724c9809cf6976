/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/ctx.h"

#include <cmocka.h>
#undef fail                             /* cmocka's macro hides ours */

static void test_alloc(void **state)
{
	static const size_t sizes[] = { 0, 1, 15, 16, 17, 100, 4000, 5000, 70000, 3 << 20 };
	struct arena *a = arena_new(64 << 20);
	size_t used = 0;

	(void)state;
	for (size_t round = 0; round < 4; round++) {
		for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
			unsigned char *p = arena_alloc(a, sizes[i]);

			assert_non_null(p);
			assert_int_equal((uintptr_t)p % 16, 0);
			for (size_t k = 0; k < sizes[i]; k++)
				assert_int_equal(p[k], 0);
			memset(p, 0xa5, sizes[i]);
			used += (sizes[i] + 15) / 16 * 16;
			assert_int_equal(arena_used(a), used);
		}
	}
	arena_free(a);
	arena_free(NULL);
}

static void test_texts(void **state)
{
	struct arena *a = arena_new(1 << 20);
	char long_text[1000];

	(void)state;
	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	assert_string_equal(arena_strdup(a, "abc"), "abc");
	assert_string_equal(arena_strndup(a, "abc", 2), "ab");
	assert_string_equal(arena_strndup(a, "abc", 9), "abc");
	assert_memory_equal(arena_memdup(a, "a\0b", 3), "a\0b", 3);
	assert_non_null(arena_memdup(a, NULL, 0));
	assert_string_equal(arena_printf(a, "%s-%d", "abc", 7), "abc-7");
	assert_string_equal(arena_printf(a, "%s", long_text), long_text);
	arena_free(a);
}

static void test_grow(void **state)
{
	struct arena *a = arena_new(64 << 20);
	size_t size = 0;
	char *p = NULL;

	(void)state;
	for (size_t next = 10; next < 5 << 20; next = next * 3 / 2) {
		p = arena_grow(a, p, size, next);
		for (size_t i = size; i < next; i++) {
			assert_int_equal(p[i], 0);
			p[i] = (char)i;
		}
		for (size_t i = 0; i < next; i += 97)
			assert_int_equal(p[i], (char)i);
		size = next;
		if (next % 2)
			arena_alloc(a, 24);     /* then it is not the newest any more */
	}
	p = arena_grow(a, NULL, 0, 0);
	assert_non_null(arena_grow(a, p, 0, 50));
	arena_free(a);
}

static char order[8];

static void note(void *p)
{
	strcat(order, p);
}

static void test_defer(void **state)
{
	struct arena *a = arena_new(1 << 20);

	(void)state;
	order[0] = '\0';
	arena_defer(a, note, arena_strdup(a, "1"));
	arena_defer(a, note, arena_strdup(a, "2"));
	arena_defer(a, note, arena_strdup(a, "3"));
	arena_free(a);
	assert_string_equal(order, "321");
}

enum wish { ALLOC, ARRAY, OVERFLOW_, HUGE_SIZE, PRINTF, STRDUP, GROW, DEFER, WISHES };

static int want(struct ctx *c, void *arg)
{
	char text[8192];
	void *p;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	switch (*(enum wish *)arg) {
	case ALLOC:
		for (;;)
			arena_alloc(c->arena, 100);
	case ARRAY:
		arena_array(c->arena, 1000, 1000);
		break;
	case OVERFLOW_:
		arena_array(c->arena, SIZE_MAX / 2, 3);
		break;
	case HUGE_SIZE:
		arena_alloc(c->arena, SIZE_MAX - 3);
		break;
	case PRINTF:
		arena_printf(c->arena, "%s", text);
		break;
	case STRDUP:
		arena_strdup(c->arena, text);
		break;
	case GROW:
		p = arena_grow(c->arena, NULL, 0, 1000);
		arena_grow(c->arena, p, 1000, 1000000);
		break;
	case DEFER:
		for (;;)
			arena_defer(c->arena, note, "");
	default:
		break;
	}
	return 0;
}

static void test_limit(void **state)
{
	(void)state;
	for (enum wish w = ALLOC; w < WISHES; w++) {
		struct ctx c = { .arena = arena_new(6000) };

		order[0] = '\0';
		assert_int_equal(work_run(&c, want, &w), -1);
		assert_int_equal(c.error.code, INVALID_PARAMETER_VALUE);
		assert_non_null(c.error.message);
		assert_true(arena_used(c.arena) <= 6000);
		/* What remains is still usable. */
		assert_non_null(arena_strdup(c.arena, w == ALLOC || w == DEFER ? "" : "abc"));
		arena_free(c.arena);
	}
}

/* The handle that could not be remembered is closed all the same. */
static int defer_when_full(struct ctx *c, void *arg)
{
	while (arena_used(c->arena) < 1024)
		arena_alloc(c->arena, 16);
	arena_defer(c->arena, note, arg);
	return 0;
}

static void test_defer_full(void **state)
{
	struct ctx c = { .arena = arena_new(1024) };
	char handle[] = "h";

	(void)state;
	order[0] = '\0';
	assert_int_equal(work_run(&c, defer_when_full, handle), -1);
	assert_string_equal(order, "h");
	arena_free(c.arena);
	assert_string_equal(order, "h");
}

static void count_up(void *p)
{
	++*(int *)p;
}

static int exhaust_child(struct ctx *ctx, void *arg)
{
	(void)arg;
	arena_alloc(arena_child(ctx->arena, 100000), 200000);
	return 0;
}

/* What is reset can be used again; what is not ends with its parent, and so does its work. */
static void test_child(void **state)
{
	struct ctx c = { .arena = arena_new(1 << 20) };
	struct arena *child = arena_child(c.arena, 1 << 20);
	int ends = 0;

	(void)state;
	for (int i = 0; i < 3; i++) {
		char *p = arena_alloc(child, 100000);

		assert_int_equal(p[99999], 0);
		memset(p, 'x', 100000);
		arena_defer(child, count_up, &ends);
		arena_reset(child);
		assert_int_equal(ends, i + 1);
		assert_int_equal(arena_used(child), 0);
	}
	arena_defer(child, count_up, &ends);
	assert_int_equal(work_run(&c, exhaust_child, NULL), -1);
	assert_int_not_equal(c.error.code, 0);
	arena_free(c.arena);
	assert_int_equal(ends, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alloc),   cmocka_unit_test(test_texts),
		cmocka_unit_test(test_grow),    cmocka_unit_test(test_defer),
		cmocka_unit_test(test_child),   cmocka_unit_test(test_limit),   cmocka_unit_test(test_defer_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
