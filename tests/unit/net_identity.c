/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "with_http.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/identity.h"
#include "net/net.h"
#include "net/pump.h"

#include <cmocka.h>            /* last: it defines fail() */

/* What the next fetches do. */
static struct {
	atomic_int fetches, freed, ready;
	atomic_int pause_ms;
	atomic_int lifetime_ms;         /* 0: never expires */
	atomic_bool fails, same, hangs, long_text;
} source;

static int fetch(struct ctx *c, struct net *n, void *arg, struct identity_value *ret)
{
	int count = atomic_fetch_add(&source.fetches, 1) + 1;

	assert_ptr_equal(arg, &source);
	assert_non_null(n);
	assert_non_null(identity_cancel());
	if (atomic_load(&source.hangs)) {
		struct net_reply reply;
		const struct net_request q = {
			.method = "GET", .url = arena_printf(c->arena, "http://127.0.0.1:%u/", http.port),
			.timeout_ms = 60000, .cancel = identity_cancel(),
		};

		return net_perform(c, n, &q, &reply);
	}
	usleep((unsigned)atomic_load(&source.pause_ms) * 1000);
	if (atomic_load(&source.fails))
		return (fail_because)(c, PERMISSION_DENIED, "the detail", "failure %d", count);
	ret->text[0] = arena_printf(c->arena, "value %d", atomic_load(&source.same) ? 1 : count);
	if (atomic_load(&source.long_text))
		ret->text[0] = arena_printf(c->arena, "%0*d", IDENTITY_TEXT, 1);
	ret->text[2] = "third";
	ret->expires_ms = atomic_load(&source.lifetime_ms) ? clock_wall_ms() + source.lifetime_ms : 0;
	return 0;
}

static void freed(void *arg)
{
	assert_ptr_equal(arg, &source);
	atomic_fetch_add(&source.freed, 1);
}

static void ready(void *arg)
{
	(void)arg;
	atomic_fetch_add(&source.ready, 1);
}

struct fixture {
	struct ctx c;
	struct identity *identity;
	struct identity_value v;
};

static int begin(void **state)
{
	static const struct identity_ops ops = { fetch, freed, "test" };
	static struct fixture f;

	memset(&source, 0, sizeof(source));
	f = (struct fixture){ .c = { .arena = arena_new(1 << 20) }, .identity = identity_new(&ops, &source) };
	*state = &f;
	return !f.identity || !f.c.arena;
}

static int end(void **state)
{
	struct fixture *f = *state;

	identity_free(f->identity);
	arena_free(f->c.arena);
	return atomic_load(&source.freed) != 1;
}

static int get(struct fixture *f, int wait_ms)
{
	error_clear(&f->c);
	return identity_get(&f->c, f->identity, wait_ms, &f->v);
}

static void expect(struct fixture *f, int wait_ms, const char *value)
{
	if (get(f, wait_ms))
		fail_msg("%s", f->c.error.message);
	assert_string_equal(f->v.text[0], value);
	assert_null(f->v.text[1]);
	assert_string_equal(f->v.text[2], "third");
}

static void wait_fetches(int count, int most_ms)
{
	int64_t until = clock_ms() + most_ms;

	while (atomic_load(&source.fetches) < count && clock_ms() < until)
		usleep(5000);
	assert_int_equal(atomic_load(&source.fetches), count);
	usleep(30000);                  /* and taken over */
}

static void *ask(void *arg)
{
	struct fixture mine = { .c = { .arena = arena_new(1 << 20) }, .identity = arg };

	expect(&mine, 3000, "value 1");
	arena_free(mine.c.arena);
	return NULL;
}

/* However many ask: one fetch; a value that does not expire is not fetched again. */
static void once(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[8];

	atomic_store(&source.pause_ms, 200);
	assert_int_equal(get(f, 20), -1);
	assert_int_equal(f->c.error.code, TEMPORARILY_UNAVAILABLE);
	for (int i = 0; i < 8; i++)
		assert_int_equal(thread_start(&threads[i], "ask", ask, f->identity), 0);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	usleep(1200000);
	expect(f, 0, "value 1");
	assert_int_equal(atomic_load(&source.fetches), 1);
}

static void polled(void **state)
{
	struct fixture *f = *state;
	int other;

	atomic_store(&source.pause_ms, 100);
	assert_int_equal(identity_poll(&f->c, f->identity, ready, f, &f->v), NET_AGAIN);
	assert_int_equal(identity_poll(&f->c, f->identity, ready, f, &f->v), NET_AGAIN);
	assert_int_equal(identity_poll(&f->c, f->identity, ready, &other, &f->v), NET_AGAIN);
	identity_forget(f->identity, &other);
	identity_forget(f->identity, &other);
	wait_fetches(1, 2000);
	usleep(200000);
	assert_int_equal(atomic_load(&source.ready), 1);
	assert_int_equal(identity_poll(&f->c, f->identity, ready, f, &f->v), 0);
	assert_string_equal(f->v.text[0], "value 1");
	assert_int_equal(atomic_load(&source.ready), 1);
}

/* A quarter of the lifetime before its end there is a new value, and until then the old one: nobody waits. */
static void refreshed(void **state)
{
	struct fixture *f = *state;
	int64_t until;

	atomic_store(&source.lifetime_ms, 2000);
	expect(f, 1000, "value 1");
	atomic_store(&source.pause_ms, 300);
	until = clock_ms() + 1400;
	while (clock_ms() < until) {
		expect(f, 0, "value 1");
		usleep(20000);
	}
	wait_fetches(2, 400);
	expect(f, 0, "value 1");
	usleep(400000);
	expect(f, 0, "value 2");
	until = clock_ms() + 2500;
	while (clock_ms() < until) {
		assert_int_equal(get(f, 0), 0);
		usleep(5000);
	}
}

static void failed(void **state)
{
	struct fixture *f = *state;
	int64_t began;

	atomic_store(&source.fails, true);
	assert_int_equal(identity_poll(&f->c, f->identity, ready, f, &f->v), NET_AGAIN);
	assert_int_equal(get(f, 2000), -1);
	assert_int_equal(f->c.error.code, PERMISSION_DENIED);
	assert_string_equal(f->c.error.message, "failure 1");
	assert_string_equal(f->c.error.detail, "the detail");
	began = clock_ms();
	assert_int_equal(get(f, 2000), -1);             /* at once */
	assert_in_range(clock_ms() - began, 0, 100);
	error_clear(&f->c);
	assert_int_equal(identity_poll(&f->c, f->identity, ready, f, &f->v), -1);
	usleep(50000);
	assert_int_equal(atomic_load(&source.ready), 1);
	assert_int_equal(atomic_load(&source.fetches), 1);
	atomic_store(&source.fails, false);
	wait_fetches(2, 2500);                          /* after 1 to 2 seconds */
	assert_in_range(clock_ms() - began, 900, 2500);
	expect(f, 0, "value 2");
}

/* While the old value is good, failures are not the callers'. */
static void old_value(void **state)
{
	struct fixture *f = *state;
	int64_t expires;

	atomic_store(&source.lifetime_ms, 1600);
	expect(f, 1000, "value 1");
	expires = f->v.expires_ms;
	atomic_store(&source.fails, true);
	wait_fetches(2, 1500);
	while (clock_wall_ms() < expires - 50) {
		expect(f, 0, "value 1");
		usleep(10000);
	}
	usleep(100000);
	assert_int_equal(get(f, 1000), -1);
	assert_non_null(strstr(f->c.error.message, "failure "));
}

static void refused(void **state)
{
	struct fixture *f = *state;
	struct identity_value first, other;

	identity_refused(f->identity, &f->v);           /* before there is one */
	expect(f, 1000, "value 1");
	first = f->v;
	other = f->v;
	other.text[0] = "another";
	identity_refused(f->identity, &other);
	usleep(50000);
	assert_int_equal(atomic_load(&source.fetches), 1);
	atomic_store(&source.pause_ms, 100);
	identity_refused(f->identity, &first);
	expect(f, 1000, "value 2");                     /* waited for */
	identity_refused(f->identity, &first);          /* the old one */
	identity_refused(f->identity, &f->v);           /* too soon */
	expect(f, 0, "value 2");
	usleep(200000);
	assert_int_equal(atomic_load(&source.fetches), 2);
}

/* What was refused is still better than nothing, when there is nothing else. */
static void refused_and_failed(void **state)
{
	struct fixture *f = *state;

	expect(f, 1000, "value 1");
	atomic_store(&source.fails, true);
	identity_refused(f->identity, &f->v);
	expect(f, 1000, "value 1");
	assert_int_equal(atomic_load(&source.fetches), 2);
}

static atomic_bool in_ready;

static void slow_ready(void *arg)
{
	atomic_store(&in_ready, true);
	usleep(300000);
	atomic_store((atomic_bool *)arg, true);
}

static void forgotten(void **state)
{
	struct fixture *f = *state;
	atomic_bool done = false;

	atomic_store(&source.pause_ms, 100);
	assert_int_equal(identity_poll(&f->c, f->identity, ready, f, &f->v), NET_AGAIN);
	assert_int_equal(identity_poll(&f->c, f->identity, slow_ready, &done, &f->v), NET_AGAIN);
	identity_forget(f->identity, f);
	while (!atomic_load(&in_ready))
		usleep(1000);
	identity_forget(f->identity, &done);
	assert_true(atomic_load(&done));                /* it has ended */
	usleep(100000);
	assert_int_equal(atomic_load(&source.ready), 0);
}

static const char *silence(const char *request)
{
	(void)request;
	while (!atomic_load(&http.stop))
		usleep(10000);
	return NULL;
}

static void ends_while_it_hangs(void **state)
{
	struct fixture *f = *state;
	int64_t began;

	assert_int_equal(http_start(silence), 0);
	atomic_store(&source.hangs, true);
	assert_int_equal(get(f, 200), -1);
	began = clock_ms();
	end(state);
	assert_in_range(clock_ms() - began, 0, 2500);
	http_stop();
	begin(state);
}

static void not_good(void **state)
{
	struct fixture *f = *state;

	atomic_store(&source.lifetime_ms, -1000);
	assert_int_equal(get(f, 1000), -1);
	assert_non_null(strstr(f->c.error.message, "already expired"));
	end(state);
	begin(state);
	atomic_store(&source.long_text, true);
	assert_int_equal(get(f, 1000), -1);
	assert_non_null(strstr(f->c.error.message, "longer than"));
	assert_null(identity_cancel());
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(once), TEST(polled), TEST(refreshed), TEST(failed), TEST(old_value), TEST(refused),
		TEST(refused_and_failed), TEST(forgotten), TEST(ends_while_it_hangs), TEST(not_good),
	};

	net_init();
	log_configure(LOG_ERROR, LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
