/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../../src/blob/remote.h"
#include "base/arena.h"

#include <cmocka.h> /* last: its fail() is not ours */

static unsigned woken;

static void wake(void *arg)
{
	(void)arg;
	woken++;
}

static void test_bound(void **state)
{
	char *all, *half;

	(void)state;
	assert_null(remote_part_take((size_t)REMOTE_PART_MEMORY + 1));
	assert_null(remote_part_take_more(REMOTE_PART_MEMORY));
	half = remote_part_take_more(REMOTE_PART_MEMORY / 2);
	assert_non_null(half);
	assert_null(remote_part_take_more(1));
	all = remote_part_take(REMOTE_PART_MEMORY / 2);
	assert_non_null(all);
	all[REMOTE_PART_MEMORY / 2 - 1] = 1;
	assert_null(remote_part_take(1));
	remote_part_give(all, REMOTE_PART_MEMORY / 2);
	remote_part_give(half, REMOTE_PART_MEMORY / 2);
	all = remote_part_take(REMOTE_PART_MEMORY);
	assert_non_null(all);
	remote_part_give(all, REMOTE_PART_MEMORY);
	remote_part_give(NULL, 5);
}

static void test_turns(void **state)
{
	struct remote_part_wait first = { .n = 2 * REMOTE_PART, .ready = { wake, NULL } };
	struct remote_part_wait second = { .n = 4096, .ready = { wake, NULL } };
	void *a = remote_part_take(REMOTE_PART_MEMORY - REMOTE_PART);
	void *b, *got = NULL;
	struct ctx c = { .arena = arena_new(1 << 20) };

	(void)state;
	assert_non_null(a);
	assert_null(remote_part_take_more(4096));
	b = remote_part_take(REMOTE_PART);
	assert_non_null(b);
	assert_null(remote_part_take(1));
	assert_int_equal(remote_part_await(&c, &first, &got), BLOB_AGAIN);
	assert_int_equal(remote_part_await(&c, &second, &got), BLOB_AGAIN);
	remote_part_give(b, REMOTE_PART);
	/* Not enough for the first, and nobody comes before it. */
	assert_int_equal(remote_part_await(&c, &second, &got), BLOB_AGAIN);
	assert_null(remote_part_take(4096));
	assert_int_equal(woken, 0);
	remote_part_forget(&first);
	assert_int_equal(woken, 1);
	assert_int_equal(remote_part_await(&c, &second, &got), 0);
	memset(got, 1, 4096);
	assert_int_equal(remote_part_await(&c, &first, &b), BLOB_AGAIN);
	remote_part_give(a, REMOTE_PART_MEMORY - REMOTE_PART);
	remote_part_forget(&first); /* granted, and not wanted any more */
	remote_part_give(got, 4096);
	assert_int_equal(woken, 2);
	a = remote_part_take(REMOTE_PART_MEMORY);
	assert_non_null(a);
	remote_part_give(a, REMOTE_PART_MEMORY);
	arena_free(c.arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_turns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
