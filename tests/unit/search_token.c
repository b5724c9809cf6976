/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Page tokens: round trip, forgery, other queries. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/limits.h"
#include "search/search.h"

#include <cmocka.h>

#define PREFIX "Invalid page token"

static struct arena *arena;

static int setup(void **state)
{
	(void)state;
	arena = arena_new(128 << 20);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

static void refuse(const char *key, const char *purpose, const char *token, const char *message)
{
	struct ctx c = { .arena = arena };
	const char *payload = NULL;
	assert_int_equal(token_open(&c, key, purpose, token, &payload), -1);
	assert_int_equal(c.error.code, INVALID_PARAMETER_VALUE);
	assert_null(payload);
	if (message)
		assert_string_equal(c.error.message, message);
	assert_int_equal(strncmp(c.error.message, PREFIX, strlen(PREFIX)), 0);
}

static void test_round_trip(void **state)
{
	(void)state;
	static const char *const payloads[] = { "", "x", "xy", "xyz", "5:a'b\"-", "é日本" };
	struct ctx c = { .arena = arena };
	for (size_t i = 0; i < sizeof(payloads) / sizeof(*payloads); i++) {
		const char *token = token_make(&c, "key", "history", payloads[i]);
		const char *back;
		assert_int_equal(strspn(token,
					"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					"0123456789-_"),
				 strlen(token));
		assert_int_equal(token_open(&c, "key", "history", token, &back), 0);
		assert_string_equal(back, payloads[i]);
	}
}

static void test_forged(void **state)
{
	(void)state;
	struct ctx c = { .arena = arena };
	const char *token = token_make(&c, "key", "history", "12345");
	size_t n = strlen(token);
	/* every character changed, every length cut */
	for (size_t i = 0; i < n; i++) {
		char *other = arena_strdup(arena, token);
		other[i] = other[i] == 'A' ? 'B' : 'A';
		refuse("key", "history", other, NULL);
		refuse("key", "history", arena_strndup(arena, token, i), NULL);
	}
	refuse("key2", "history", token, PREFIX ": not one of this server");
	refuse("key", "other", token, PREFIX ": it belongs to another query");
	refuse("key", "history", "eyJvZmZzZXQiOiAxfQ==", PREFIX ", could not base64-decode");
	refuse("key", "history", "eyJvZmZzZXQiOiAxfQ", PREFIX ": not one of this server");
	refuse("key", "history", "a b", PREFIX ", could not base64-decode");
	refuse("key", "history", arena_printf(arena, "%sA", token), NULL);
	char *large = arena_alloc(arena, LIMIT_PAGE_TOKEN + 2);
	memset(large, 'A', LIMIT_PAGE_TOKEN + 1);
	refuse("key", "history", large, PREFIX ": too long");
}

static const int64_t ids[] = { 1, 2 };

static struct search_query query(void)
{
	return (struct search_query){ .entity = SEARCH_RUNS,
				      .view = VIEW_ACTIVE,
				      .filter = "metrics.a > 1",
				      .experiment_ids = ids,
				      .experiment_count = 1,
				      .max_results = 10,
				      .token_key = "key" };
}

static const char *token_of(const struct search_query *q)
{
	struct ctx c = { .arena = arena };
	struct search_page p;
	assert_int_equal(search_build(&c, q, &p), 0);
	return search_token(&c, q, &p, (const char *[]){ "1", "00112233445566778899aabbccddeeff" },
			    2);
}

static int opens(struct search_query q, const char *token)
{
	struct ctx c = { .arena = arena };
	struct search_page p;
	q.page_token = token;
	int got = search_build(&c, &q, &p);
	if (got)
		assert_string_equal(c.error.message, PREFIX ": it belongs to another query");
	return got;
}

static void test_bound_to_query(void **state)
{
	(void)state;
	const char *order[] = { "start_time DESC" };
	struct search_query q = query();
	const char *token = token_of(&q);
	assert_int_equal(opens(q, token), 0);
	q.max_results = 50000; /* a page may change its size */
	assert_int_equal(opens(q, token), 0);
	q = query();
	q.filter = "metrics.a > 2";
	assert_int_equal(opens(q, token), -1);
	q = query();
	q.view = VIEW_ALL;
	assert_int_equal(opens(q, token), -1);
	q = query();
	q.experiment_count = 2;
	assert_int_equal(opens(q, token), -1);
	q = query();
	q.experiment_ids = ids + 1;
	assert_int_equal(opens(q, token), -1);
	q = query();
	q.order_by = (struct list){ order, 1 };
	assert_int_equal(opens(q, token), -1);
	q = query();
	q.entity = SEARCH_LOGGED_MODELS;
	assert_int_equal(opens(q, token), -1);
}

/* A token of ours with a position that does not fit is refused, not trusted. */
static void test_wrong_position(void **state)
{
	(void)state;
	struct ctx c = { .arena = arena };
	struct search_query q = query();
	struct search_page p;
	assert_int_equal(search_build(&c, &q, &p), 0);
	q.page_token = search_token(&c, &q, &p, (const char *[]){ "1", "2", "3" }, 3);
	assert_int_equal(search_build(&c, &q, &p), -1);
	assert_string_equal(c.error.message, PREFIX ": not one of this server");
}

/* The longest position: every order column a tag of 8,000 four-byte characters. */
static void test_largest(void **state)
{
	(void)state;
	struct ctx c = { .arena = arena };
	struct search_query q = query();
	struct search_page p;
	const char *order[LIMIT_ORDER_BY];
	const char *position[LIMIT_ORDER_BY + 2];
	char *value = arena_alloc(arena, LIMIT_TAG_VALUE * 4 + 1);
	for (size_t i = 0; i < LIMIT_TAG_VALUE; i++)
		memcpy(value + 4 * i, "\xf0\x9f\x98\x80", 4);
	for (size_t i = 0; i < LIMIT_ORDER_BY; i++) {
		order[i] = arena_printf(arena, "tags.t%zu", i);
		position[i] = value;
	}
	position[LIMIT_ORDER_BY] = "1";
	position[LIMIT_ORDER_BY + 1] = "00112233445566778899aabbccddeeff";
	q.order_by = (struct list){ order, LIMIT_ORDER_BY };
	assert_int_equal(search_build(&c, &q, &p), 0);
	q.page_token = search_token(&c, &q, &p, position, LIMIT_ORDER_BY + 2);
	assert_int_equal(search_build(&c, &q, &p), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_forged),
		cmocka_unit_test(test_bound_to_query), cmocka_unit_test(test_wrong_position),
		cmocka_unit_test(test_largest),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
