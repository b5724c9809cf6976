/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "../../src/http/guard.h"

#include <cmocka.h>

struct row {
	const char *list; /* NULL: defaults */
	const char *value;
	bool allowed;
};

static const struct row hosts[] = {
	{ NULL, "localhost", true },
	{ NULL, "LocalHost:5000", true },
	{ NULL, "127.0.0.1", true },
	{ NULL, "127.0.0.1:5000", true },
	{ NULL, "[::1]", true },
	{ NULL, "[::1]:5000", true },
	{ NULL, "[0:0:0:0:0:0:0:1]:5000", true },
	{ NULL, "0.0.0.0:5000", true },
	{ NULL, "10.0.0.1", true },
	{ NULL, "172.16.0.1:1", true },
	{ NULL, "172.31.9.9", true },
	{ NULL, "192.168.1.1:5000", true },
	{ NULL, "[fd00::1]", true },
	{ NULL, "[fc00::1]:80", true },
	{ NULL, "", false },
	{ NULL, "example.com", false },
	{ NULL, "10.example.com", false },
	{ NULL, "192.168.1.1.example.com", false },
	{ NULL, "localhost.example.com", false },
	{ NULL, "127.0.0.2", false },
	{ NULL, "172.32.0.1", false },
	{ NULL, "172.15.0.1", false },
	{ NULL, "11.0.0.1", false },
	{ NULL, "8.8.8.8", false },
	{ NULL, "[2001:db8::1]", false },
	{ NULL, "[::ffff:8.8.8.8]", false },
	{ NULL, "localhost:", true },
	{ NULL, "localhost:5000:1", false },
	{ NULL, "localhost:999999", false },
	{ NULL, "localhost:http", false },
	{ NULL, "user@localhost", false },
	{ NULL, "localhost/x", false },
	{ NULL, "[::1", false },
	{ NULL, "[::1]x", false },
	{ NULL, "[]", false },
	{ NULL, "127.1", false },
	{ NULL, "010.0.0.1", false },
	{ "*", "anything.example.com", true },
	{ "mlflow.example.com", "mlflow.example.com", true },
	{ "mlflow.example.com", "MLFLOW.example.com", true },
	{ "mlflow.example.com", "mlflow.example.com:5000", false },
	{ "mlflow.example.com:5000", "mlflow.example.com:5000", true },
	{ "mlflow.example.com:5000", "mlflow.example.com", false },
	{ "mlflow.example.com", "evilmlflow.example.com", false },
	{ "mlflow.example.com", "localhost", false },
	{ "a.example.com, b.example.com", "b.example.com", true },
	{ "*.example.com", "x.example.com", true },
	{ "*.example.com", "x.example.com:5000", false },
	{ "*.example.com:*", "x.example.com:5000", true },
	{ "*.example.com", "example.com.evil.com", false },
	{ "10.*", "10.1.2.3:5000", true },
	{ "10.*", "10.evil.com", false },
	{ "10.0.0.1", "10.0.0.1", true },
	{ "[::1]:5000", "[0::1]:5000", true },
	{ "[::1]:5000", "[0::1]:5001", false },
	{ " , ", "localhost", true },
};

static void test_hosts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		struct guard *g = guard_new(hosts[i].list, NULL);

		assert_non_null(g);
		if (guard_host_allowed(g, hosts[i].value) != hosts[i].allowed)
			fail_msg("list %s, host %s", hosts[i].list ? hosts[i].list : "-",
				 hosts[i].value);
		assert_false(guard_host_allowed(g, NULL));
		guard_free(g);
	}
}

static const struct {
	const char *list;
	const char *origin;
	bool write, read;
} origins[] = {
	{ NULL, "http://localhost", true, true },
	{ NULL, "http://localhost:3000", true, true },
	{ NULL, "https://localhost:3000", true, false },
	{ NULL, "http://127.0.0.1:1", true, true },
	{ NULL, "http://[::1]:1", true, true },
	{ NULL, "http://127.0.0.2", false, false },
	{ NULL, "http://[::2]", false, false },
	{ NULL, "null", false, false },
	{ NULL, "", false, false },
	{ NULL, "localhost", false, false },
	{ NULL, "://localhost", false, false },
	{ NULL, "http://localhost.evil.com", false, false },
	{ NULL, "http://localhost@evil.com", false, false },
	{ NULL, "http://evil.com/://localhost", false, false },
	{ NULL, "http://evil.com?://localhost", false, false },
	{ NULL, "http://localhost:80@evil.com", false, false },
	{ NULL, "http://localhost/", false, false },
	{ "*", "http://evil.com", true, true },
	{ "https://ui.example.com", "https://ui.example.com", true, true },
	{ "https://ui.example.com", "http://ui.example.com", false, false },
	{ "https://ui.example.com", "https://ui.example.com:8443", false, false },
	{ "https://ui.example.com", "http://localhost", true, true },
	{ "https://*.example.com", "https://a.example.com", true, true },
	{ "https://*.example.com", "https://example.com", false, false },
};

static void test_origins(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(origins) / sizeof(origins[0]); i++) {
		struct guard *g = guard_new(NULL, origins[i].list);

		assert_non_null(g);
		if (guard_origin_may_write(g, origins[i].origin) != origins[i].write ||
		    guard_origin_may_read(g, origins[i].origin) != origins[i].read)
			fail_msg("list %s, origin %s", origins[i].list ? origins[i].list : "-",
				 origins[i].origin);
		guard_free(g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_origins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
