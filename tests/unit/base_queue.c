/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

#include "base/queue.h"
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

static void test_order_and_limit(void **state)
{
	struct queue *q = queue_new(2);
	struct item a = { 0 }, b = { 0 }, c = { 0 };

	(void)state;
	assert_true(queue_push(q, &a.node));
	assert_true(queue_push(q, &b.node));
	assert_false(queue_push(q, &c.node));
	assert_int_equal(queue_length(q), 2);
	assert_ptr_equal(queue_pop(q), &a);
	assert_true(queue_push(q, &c.node));
	assert_ptr_equal(queue_pop(q), &b);
	queue_close(q);
	assert_false(queue_push(q, &a.node));
	assert_ptr_equal(queue_pop(q), &c);
	assert_null(queue_pop(q));
	assert_int_equal(queue_length(q), 0);
	queue_free(q);
	queue_free(NULL);
}

static void test_pop_many(void **state)
{
	static const struct {
		size_t weights[4], max_count, max_weight, taken;
	} cases[] = {
		{ { 1, 1, 1, 1 }, 10, 10, 4 },
		{ { 1, 1, 1, 1 }, 3, 10, 3 },
		{ { 1, 1, 1, 1 }, 10, 2, 2 },
		{ { 9, 1, 1, 1 }, 10, 5, 1 },           /* the first is always taken */
		{ { 2, 9, 1, 1 }, 10, 5, 1 },           /* and none is overtaken */
		{ { 2, 3, 1, 1 }, 10, 5, 2 },
		{ { SIZE_MAX, SIZE_MAX, 1, 1 }, 10, 5, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct queue *q = queue_new(4);
		struct item items[4] = { 0 };
		struct queue_node *n;
		size_t count, seen = 0;

		for (size_t k = 0; k < 4; k++) {
			items[k].weight = cases[i].weights[k];
			assert_true(queue_push(q, &items[k].node));
		}
		n = queue_pop_many(q, cases[i].max_count, cases[i].max_weight, weigh, &count);
		assert_int_equal(count, cases[i].taken);
		for (; n; n = n->next)
			assert_ptr_equal(n, &items[seen++]);
		assert_int_equal(seen, count);
		assert_int_equal(queue_length(q), 4 - count);
		queue_close(q);
		while (queue_pop(q))
			seen++;
		assert_int_equal(seen, 4);
		assert_null(queue_pop_many(q, 1, 1, weigh, &count));
		assert_int_equal(count, 0);
		queue_free(q);
	}
}

enum { PRODUCERS = 3, CONSUMERS = 3, ITEMS = 5000 };

static struct queue *shared;
static struct item all[PRODUCERS][ITEMS];
static _Atomic size_t popped;

static void *produce(void *arg)
{
	struct item *items = arg;

	for (size_t i = 0; i < ITEMS; i++) {
		while (!queue_push(shared, &items[i].node))
			;
	}
	return NULL;
}

static void *consume(void *arg)
{
	struct queue_node *n;
	size_t count;

	(void)arg;
	while ((n = queue_pop_many(shared, 16, 100, weigh, &count))) {
		for (; n; n = n->next) {
			((struct item *)n)->weight++;
			popped++;
		}
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t producers[PRODUCERS], consumers[CONSUMERS];

	(void)state;
	shared = queue_new(64);
	for (int i = 0; i < CONSUMERS; i++)
		assert_int_equal(thread_start(&consumers[i], "consumer-with-long-name", consume,
		  NULL), 0);
	for (int i = 0; i < PRODUCERS; i++)
		assert_int_equal(thread_start(&producers[i], "producer", produce, all[i]), 0);
	for (int i = 0; i < PRODUCERS; i++)
		pthread_join(producers[i], NULL);
	queue_close(shared);
	for (int i = 0; i < CONSUMERS; i++)
		pthread_join(consumers[i], NULL);
	assert_int_equal(popped, PRODUCERS * ITEMS);
	for (int i = 0; i < PRODUCERS; i++) {
		for (int k = 0; k < ITEMS; k++)
			assert_int_equal(all[i][k].weight, 1);
	}
	queue_free(shared);
}

static void *look(void *arg)
{
	sigset_t *set = arg;

	pthread_sigmask(SIG_SETMASK, NULL, set);
	return NULL;
}

static void test_signals(void **state)
{
	sigset_t inside, before, after;
	pthread_t t;

	(void)state;
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	assert_int_equal(thread_start(&t, "look", look, &inside), 0);
	pthread_join(t, NULL);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	assert_true(sigismember(&inside, SIGTERM));
	assert_true(sigismember(&inside, SIGCHLD));
	assert_int_equal(sigismember(&before, SIGTERM), sigismember(&after, SIGTERM));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_and_limit),
		cmocka_unit_test(test_pop_many),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
