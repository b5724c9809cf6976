/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/lanes.h"
#include "base/thread.h"

#include <cmocka.h>

struct item {
	struct queue_node node;
	size_t weight;
};

static size_t weigh(const struct queue_node *n)
{
	return ((const struct item *)n)->weight;
}

static struct lanes *two(size_t limit, unsigned first, unsigned second)
{
	return lanes_new((const struct lane[]){ { limit, first }, { limit, second } }, 2);
}

static void test_order(void **state)
{
	struct lanes *l = two(4, 3, 3);
	struct item a = { 0 }, b = { 0 }, c = { 0 };
	unsigned lane = 9;

	(void)state;
	assert_true(lanes_push(l, 1, &a.node));
	assert_true(lanes_push(l, 0, &b.node));
	assert_true(lanes_push(l, 0, &c.node));
	assert_int_equal(lanes_waiting(l, 0), 2);
	assert_int_equal(lanes_length(l), 3);
	assert_ptr_equal(lanes_pop(l, &lane), &b);
	assert_int_equal(lane, 0);
	assert_ptr_equal(lanes_pop(l, &lane), &c);
	assert_ptr_equal(lanes_pop(l, &lane), &a);
	assert_int_equal(lane, 1);
	assert_int_equal(lanes_length(l), 0);
	lanes_free(l);
	lanes_free(NULL);
}

/* A lane that is full refuses its own alone. */
static void test_limit(void **state)
{
	struct lanes *l = two(1, 1, 1);
	struct item a = { 0 }, b = { 0 }, c = { 0 };
	unsigned lane;

	(void)state;
	assert_true(lanes_push(l, 1, &a.node));
	assert_false(lanes_push(l, 1, &b.node));
	assert_true(lanes_push(l, 0, &b.node));
	assert_ptr_equal(lanes_pop(l, &lane), &b);
	assert_ptr_equal(lanes_pop(l, &lane), &a);
	assert_true(lanes_push(l, 1, &c.node));
	lanes_close(l);
	assert_false(lanes_push(l, 0, &a.node));
	lanes_done(l, 1);
	assert_ptr_equal(lanes_pop(l, &lane), &c);
	assert_null(lanes_pop(l, &lane));
	lanes_free(l);
}

/* What has all it may have at work waits, and what is behind it does not. */
static void test_most(void **state)
{
	struct lanes *l = two(4, 1, 2);
	struct item a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };
	unsigned lane;

	(void)state;
	lanes_push(l, 0, &a.node);
	lanes_push(l, 0, &b.node);
	lanes_push(l, 1, &c.node);
	lanes_push(l, 1, &d.node);
	assert_ptr_equal(lanes_pop(l, &lane), &a);
	assert_ptr_equal(lanes_pop(l, &lane), &c);
	assert_int_equal(lane, 1);
	lanes_done(l, 0);
	assert_ptr_equal(lanes_pop(l, &lane), &b);
	assert_ptr_equal(lanes_pop(l, &lane), &d);
	lanes_free(l);
}

static void test_many(void **state)
{
	struct lanes *l = two(8, 2, 2);
	struct item items[6] = { { .weight = 2 }, { .weight = 3 }, { .weight = 9 }, { .weight = 1 },
				 { .weight = 1 }, { .weight = 1 } };
	struct queue_node *n;
	unsigned lane;
	size_t count;

	(void)state;
	for (size_t i = 0; i < 6; i++)
		assert_true(lanes_push(l, 1, &items[i].node));
	n = lanes_pop_many(l, 10, 5, weigh, &count, &lane);
	assert_ptr_equal(n, &items[0]);
	assert_ptr_equal(n->next, &items[1]);
	assert_null(n->next->next);
	assert_int_equal(count, 2);
	/* More of it must fit; the first of a pop need not. */
	assert_null(lanes_pop_more(l, 1, 10, 5, weigh, &count));
	assert_int_equal(count, 0);
	n = lanes_pop_many(l, 10, 5, weigh, &count, &lane);
	assert_ptr_equal(n, &items[2]);
	assert_int_equal(count, 1);
	n = lanes_pop_more(l, 1, 2, 5, weigh, &count);
	assert_ptr_equal(n, &items[3]);
	assert_int_equal(count, 2);
	assert_null(lanes_pop_more(l, 0, 2, 5, weigh, &count));
	assert_int_equal(lanes_waiting(l, 1), 1);
	assert_true(lanes_push(l, 1, &items[0].node));
	n = lanes_pop_more(l, 1, 9, 9, weigh, &count);
	assert_ptr_equal(n, &items[5]);
	assert_ptr_equal(n->next, &items[0]);
	lanes_free(l);
}

enum { PRODUCERS = 4, CONSUMERS = 5, ITEMS = 5000 };

static struct lanes *shared;
static struct item all[PRODUCERS][ITEMS];
static _Atomic size_t popped;
static _Atomic unsigned working[2], greatest[2];

static void *produce(void *arg)
{
	struct item *items = arg;

	for (size_t i = 0; i < ITEMS; i++) {
		while (!lanes_push(shared, i % 3 == 0, &items[i].node))
			;
	}
	return NULL;
}

static void *consume(void *arg)
{
	struct queue_node *n;
	size_t count;
	unsigned lane;

	(void)arg;
	while ((n = lanes_pop_many(shared, 8, 100, weigh, &count, &lane))) {
		unsigned now = ++working[lane];

		if (now > greatest[lane])
			greatest[lane] = now;
		for (; n; n = n->next) {
			((struct item *)n)->weight++;
			popped++;
		}
		working[lane]--;
		lanes_done(shared, lane);
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t producers[PRODUCERS], consumers[CONSUMERS];

	(void)state;
	shared = two(64, 4, 2);
	for (int i = 0; i < CONSUMERS; i++)
		assert_int_equal(thread_start(&consumers[i], "consumer", consume, NULL), 0);
	for (int i = 0; i < PRODUCERS; i++)
		assert_int_equal(thread_start(&producers[i], "producer", produce, all[i]), 0);
	for (int i = 0; i < PRODUCERS; i++)
		pthread_join(producers[i], NULL);
	lanes_close(shared);
	for (int i = 0; i < CONSUMERS; i++)
		pthread_join(consumers[i], NULL);
	assert_int_equal(popped, PRODUCERS * ITEMS);
	for (int i = 0; i < PRODUCERS; i++) {
		for (int k = 0; k < ITEMS; k++)
			assert_int_equal(all[i][k].weight, 1);
	}
	assert_true(greatest[0] <= 4);
	assert_true(greatest[1] <= 2);
	lanes_free(shared);
}

/* Everybody asleep, and the last that holds a place up leaves: who waits for it goes on. */
static void *pop_one(void *arg)
{
	unsigned lane;
	struct queue_node **to = arg;

	*to = lanes_pop(shared, &lane);
	return NULL;
}

static void test_done_wakes(void **state)
{
	struct item a = { 0 }, b = { 0 };
	struct queue_node *got = NULL;
	pthread_t thread;
	unsigned lane;

	(void)state;
	shared = two(4, 1, 1);
	lanes_push(shared, 1, &a.node);
	assert_ptr_equal(lanes_pop(shared, &lane), &a);
	assert_int_equal(thread_start(&thread, "popper", pop_one, &got), 0);
	lanes_push(shared, 1, &b.node);
	usleep(20000);
	lanes_close(shared);
	usleep(20000);
	assert_null(got);
	lanes_done(shared, 1);
	pthread_join(thread, NULL);
	assert_ptr_equal(got, &b);
	lanes_free(shared);
}

static void *paced(void *arg)
{
	thread_pace(THREAD_PROMPT);
	thread_pace(THREAD_BULK);
	*(int *)arg = nice(0);
	thread_pace(THREAD_PROMPT);
	return NULL;
}

/* Of the thread alone. */
static void test_pace(void **state)
{
	int before = nice(0), after = -1;
	pthread_t thread;

	(void)state;
	assert_int_equal(thread_start(&thread, "bulk", paced, &after), 0);
	pthread_join(thread, NULL);
	assert_true(after >= before && after >= 5);
	assert_int_equal(nice(0), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order), cmocka_unit_test(test_limit), cmocka_unit_test(test_most),
		cmocka_unit_test(test_many), cmocka_unit_test(test_threads), cmocka_unit_test(test_done_wakes),
		cmocka_unit_test(test_pace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
