/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "../../src/http/http.h"
#include "base/arena.h"

#include <cmocka.h>

/* Writes a path that the row must be found by, its fields filled with "v". */
static void fill(const struct route *r, const char *mount, char *to, size_t size)
{
	const char *p = r->path;
	size_t n = (size_t)snprintf(to, size, "%s", mount);

	while (*p && n + 2 < size) {
		if (*p == '{') {
			to[n++] = 'v';
			p = strchr(p, '}') + 1;
		} else {
			to[n++] = *p++;
		}
	}
	to[n] = '\0';
}

static void test_every_row_is_found(void **state)
{
	char path[512];

	(void)state;
	for (size_t i = 0; i < route_count; i++) {
		struct ctx c = { .arena = arena_new(1 << 20) };
		const struct route *r = &routes[i];
		struct route_match m;

		fill(r, r->mount == MOUNT_ROOT ? "" : "/ajax-api/", path, sizeof(path));
		route_find(&c, r->method, path, &m);
		if (m.route != r)
			fail_msg("%s %s is not found by %s", method_names[r->method], r->path,
				 path);
		if (r->mount != MOUNT_ROOT) {
			fill(r, "/api/", path, sizeof(path));
			route_find(&c, r->method, path, &m);
			if ((m.route == r) != (r->mount == MOUNT_BOTH))
				fail_msg("%s", path);
		}
		strcat(path, "/");
		route_find(&c, r->method, path, &m);
		if (m.route && !strchr(r->path, '{'))
			fail_msg("%s is found", path);
		arena_free(c.arena);
	}
}

static bool has_field(const struct route *r, const char *name, size_t size)
{
	for (const struct field *f = r->request->fields; f->name; f++) {
		if (strlen(f->name) == size && memcmp(f->name, name, size) == 0)
			return true;
	}
	return false;
}

/* A row's {field} is a member of its request; what is absent says why. */
static void test_rows_are_sound(void **state)
{
	(void)state;
	for (size_t i = 0; i < route_count; i++) {
		const struct route *r = &routes[i];
		assert_true(r->method < METHODS);
		assert_int_equal(r->kind == KIND_ABSENT, r->reason != NULL);
		if (r->kind == KIND_ABSENT)
			assert_int_equal(r->needs, NEEDS_SIGNED_IN);
		assert_true((*r->path == '/') == (r->mount == MOUNT_ROOT));
		for (const char *p = strchr(r->path, '{'); r->request && p;
		     p = strchr(p + 1, '{')) {
			if (!has_field(r, p + 1, strcspn(p + 1, "}")))
				fail_msg("%s", r->path);
		}
	}
}

/* What we have comes before what we have not; every method below a feature that we have not is. */
static void test_absent(void **state)
{
	static const struct { enum http_method method; const char *path; bool found; } table[] = {
		{ METHOD_POST, "/api/3.0/mlflow/traces", true },
		{ METHOD_DELETE, "/api/3.0/mlflow/traces/a/b/c", true },
		{ METHOD_PUT, "/ajax-api/3.0/mlflow/gateway/x", true },
		{ METHOD_GET, "/api/3.0/mlflow/gateway/", false },
		{ METHOD_GET, "/api/3.0/mlflow/tracesabc", false },
		{ METHOD_GET, "/api/3.0/jobs/1", false },
		{ METHOD_GET, "/ajax-api/3.0/jobs/1", true },
		{ METHOD_POST, "/gateway/x/mlflow/invocations", true },
		{ METHOD_POST, "/api/gateway/x/mlflow/invocations", false },
	};
	struct ctx c = { .arena = arena_new(1 << 20) };
	bool absent = false;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct route_match m;

		route_find(&c, table[i].method, table[i].path, &m);
		if ((m.route != NULL) != table[i].found)
			fail_msg("%s", table[i].path);
		if (m.route)
			assert_int_equal(m.route->kind, KIND_ABSENT);
	}
	for (size_t i = 0; i < route_count; i++) {
		assert_true(!absent || routes[i].kind == KIND_ABSENT);
		absent = routes[i].kind == KIND_ABSENT;
	}
	arena_free(c.arena);
}

static void test_methods(void **state)
{
	struct ctx c = { .arena = arena_new(1 << 20) };
	struct route_match m;

	(void)state;
	route_find(&c, METHOD_HEAD, "/health", &m);
	assert_non_null(m.route);
	route_find(&c, METHOD_POST, "/health", &m);
	assert_null(m.route);
	assert_int_equal(m.allowed, 1u << METHOD_GET);
	route_find(&c, METHODS, "/health", &m);
	assert_null(m.route);
	route_find(&c, METHOD_GET, "/api/health", &m);
	assert_int_equal(m.allowed, 0);
	route_find(&c, METHOD_GET, "/api/", &m);
	assert_int_equal(m.allowed, 0);
	route_find(&c, METHOD_GET, "", &m);
	assert_int_equal(m.allowed, 0);
	route_find(&c, METHOD_GET, "/3.0/mlflow/server-info", &m);
	assert_int_equal(m.allowed, 0);
	route_find(&c, METHOD_GET, "/api/3.0/mlflow/server-info", &m);
	assert_false(m.ajax);
	route_find(&c, METHOD_GET, "/ajax-api/3.0/mlflow/server-info", &m);
	assert_true(m.route && m.ajax);
	assert_int_equal(method_parse("get"), METHODS);
	assert_int_equal(method_parse("PATCH"), METHOD_PATCH);
	arena_free(c.arena);
}

static void test_heavy(void **state)
{
	static const struct {
		enum http_method method;
		const char *path;
		bool heavy;
	} cases[] = {
		{ METHOD_POST, "/api/2.0/mlflow/runs/search", true },
		{ METHOD_GET, "/api/2.0/mlflow/registered-models/search", true },
		{ METHOD_POST, "/ajax-api/2.0/mlflow/experiments/search-datasets", true },
		{ METHOD_GET, "/api/2.0/mlflow/metrics/get-history", true },
		{ METHOD_GET, "/api/2.0/mlflow/metrics/get-history-bulk-interval", true },
		{ METHOD_GET, "/api/2.0/mlflow/runs/get", false },
		{ METHOD_GET, "/api/2.0/mlflow/experiments/get-by-name", false },
		{ METHOD_POST, "/api/2.0/mlflow/runs/log-batch", false },
		{ METHOD_GET, "/health", false },
	};
	struct ctx c = { .arena = arena_new(1 << 20) };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct route_match m;

		route_find(&c, cases[i].method, cases[i].path, &m);
		assert_non_null(m.route);
		assert_int_equal(route_is_heavy(m.route), cases[i].heavy);
	}
	arena_free(c.arena);
}

static void test_metrics_text(void **state)
{
	struct http_server s = { .lanes = lanes_new(&(struct lane){ 4, 1 }, 1),
				 .store_queue = queue_new(4),
				 .worker_count = 8,
				 .started_ms = 1700000000000 };
	struct arena *a = arena_new(4 << 20);
	struct buf text = BUF(a, 1 << 20);
	struct ctx c = { .arena = a };
	struct route_match m;

	(void)state;
	route_find(&c, METHOD_GET, "/health", &m);
	metrics_request(m.route, METHOD_GET, 200, 300);
	metrics_request(m.route, METHOD_GET, 200, 30000);
	metrics_request(m.route, METHOD_GET, 418, 300000000);
	metrics_request(NULL, METHODS, 404, 10);
	metrics_write(&s, &text);
	assert_false(buf_failed(&text));
	assert_non_null(strstr(text.data, "capstan_http_requests_total{route=\"/"
					  "health\",method=\"GET\",status=\"200\"} 2\n"));
	assert_non_null(
		strstr(text.data, "{route=\"/health\",method=\"GET\",status=\"other\"} 1\n"));
	assert_non_null(strstr(text.data, "{route=\"unmatched\",method=\"\",status=\"404\"} 1\n"));
	assert_non_null(
		strstr(text.data, "_bucket{route=\"/health\",method=\"GET\",le=\"0.0005\"} 1\n"));
	assert_non_null(
		strstr(text.data, "_bucket{route=\"/health\",method=\"GET\",le=\"0.05\"} 2\n"));
	assert_non_null(
		strstr(text.data, "_bucket{route=\"/health\",method=\"GET\",le=\"+Inf\"} 3\n"));
	assert_non_null(strstr(text.data, "_count{route=\"/health\",method=\"GET\"} 3\n"));
	assert_non_null(strstr(text.data, "process_start_time_seconds 1700000000\n"));
	for (const char *line = text.data; *line; line = strchr(line, '\n') + 1)
		assert_true(*line == '#' || strncmp(line, "capstan_", 8) == 0 ||
			    strncmp(line, "process_", 8) == 0);
	lanes_free(s.lanes);
	queue_free(s.store_queue);
	arena_free(a);
}

static int setup(void **state)
{
	(void)state;
	routes_init();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_row_is_found),
		cmocka_unit_test(test_rows_are_sound),
		cmocka_unit_test(test_absent),
		cmocka_unit_test(test_methods),
		cmocka_unit_test(test_heavy),
		cmocka_unit_test(test_metrics_text),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
