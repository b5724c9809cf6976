/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "registry/webhook.h"
#include "registry/webhook_send.h"

#include <cmocka.h>            /* last: it defines fail() */

#define KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

/* Texts of mlflow/utils/validation.py. says NULL: good. */
static const struct {
	const char *url, *says;
} cases[] = {
	{ "https://example.com/hook", NULL },
	{ "HTTPS://EXAMPLE.com", NULL },
	{ "https://u:p@example.com:8443/a?b#c", NULL },
	{ "https://[2606:4700::1]:443/", NULL },
	{ "https://example.com:notaport/", NULL },
	{ "", "Webhook URL cannot be empty or just whitespace: ''" },
	{ " \t", "Webhook URL cannot be empty or just whitespace: ' \\t'" },
	{ "http://example.com", "Invalid webhook URL scheme: 'http'. Allowed schemes are: https." },
	{ "ftp://example.com", "Invalid webhook URL scheme: 'ftp'. Allowed schemes are: https." },
	{ "example.com", "Invalid webhook URL scheme: ''. Allowed schemes are: https." },
	{ "://example.com", "Invalid webhook URL scheme: ''. Allowed schemes are: https." },
	{ "1https://example.com", "Invalid webhook URL scheme: ''. Allowed schemes are: https." },
	{ "http", "Invalid webhook URL scheme: ''. Allowed schemes are: https." },
	{ "https://", "Webhook URL must include a hostname: 'https://'" },
	{ "https:/example.com", "Webhook URL must include a hostname: 'https:/example.com'" },
	{ "https:example.com", "Webhook URL must include a hostname: 'https:example.com'" },
	{ "https://:443/", "Webhook URL must include a hostname: 'https://:443/'" },
	{ "https://u@/x", "Webhook URL must include a hostname: 'https://u@/x'" },
	{ "https://[::1/", "Invalid webhook URL 'https://[::1/': ValueError('Invalid IPv6 URL')" },
	{ "https://::1]/", "Invalid webhook URL 'https://::1]/': ValueError('Invalid IPv6 URL')" },
	{ "https://exa mple.com/", "percent-encoded" },
	{ "https://example.com/\n", "percent-encoded" },
	{ "https://a\\@b/", "percent-encoded" },
};

static struct webhook_config config = {
	.schemes = "https", .timeout_ms = 1000, .workers = 8, .key = KEY,
};

static void urls(void **state)
{
	struct ctx c = { .arena = arena_new(1 << 22) };

	(void)state;
	assert_int_equal(registry_webhook_configure(&c, &config), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int failed = registry_webhook_url_check(&c, cases[i].url, false);

		if (!failed != !cases[i].says)
			fail_msg("%s: %s", cases[i].url, failed ? c.error.message : "accepted");
		if (failed && !strstr(c.error.message, cases[i].says))
			fail_msg("%s: %s", cases[i].url, c.error.message);
		error_clear(&c);
	}
	arena_free(c.arena);
}

static void schemes(void **state)
{
	struct ctx c = { .arena = arena_new(1 << 22) };

	(void)state;
	config.schemes = " https ,http";
	assert_int_equal(registry_webhook_configure(&c, &config), 0);
	assert_int_equal(registry_webhook_url_check(&c, "http://example.com", false), 0);
	assert_int_equal(registry_webhook_url_check(&c, "ftp://example.com", false), -1);
	assert_non_null(strstr(c.error.message, "Allowed schemes are: https, http."));
	config.schemes = "https";
	config.key = "short";
	error_clear(&c);
	assert_int_equal(registry_webhook_configure(&c, &config), -1);
	config.key = KEY;
	arena_free(c.arena);
}

static void targets(void **state)
{
	static const char *const closed[] = {
		"https://127.0.0.1/", "https://localhost/", "https://[::1]/", "https://[::ffff:10.0.0.1]/",
		"https://169.254.169.254/latest/meta-data/", "https://2130706433/", "https://0x7f.1/",
		"https://100.64.0.1/", "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/", "https://0/",
	};
	struct ctx c = { .arena = arena_new(1 << 22) };

	(void)state;
	assert_int_equal(registry_webhook_configure(&c, &config), 0);
	for (size_t i = 0; i < sizeof(closed) / sizeof(*closed); i++) {
		error_clear(&c);
		assert_int_equal(registry_webhook_url_check(&c, closed[i], true), -1);
		if (!strstr(c.error.message, "Webhook URL must not resolve to a non-public IP address. '"))
			fail_msg("%s: %s", closed[i], c.error.message);
	}
	error_clear(&c);
	assert_int_equal(registry_webhook_url_check(&c, "https://nothing.invalid/", true), -1);
	assert_non_null(strstr(c.error.message, "Cannot resolve Webhook URL hostname 'nothing.invalid': "));
	error_clear(&c);
	config.allow_private = true;
	assert_int_equal(registry_webhook_configure(&c, &config), 0);
	assert_int_equal(registry_webhook_url_check(&c, "https://127.0.0.1/", true), 0);
	arena_free(c.arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls), cmocka_unit_test(schemes), cmocka_unit_test(targets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
