/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Regions, endpoints and certificates from the environment and the shared files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "with_aws.h"

#include "base/arena.h"
#include "net/aws.h"

#include <cmocka.h>            /* last: it defines fail() */

static struct ctx c;
static struct aws_settings got;

static int begin(void **state)
{
	(void)state;
	aws_clear_environment();
	aws_remove(".aws/config");
	aws_remove(".aws/credentials");
	aws_remove("other");
	c = (struct ctx){ .arena = arena_new(64 << 20) };
	return !c.arena;
}

static int end(void **state)
{
	(void)state;
	arena_free(c.arena);
	return 0;
}

static void same(const char *is, const char *want, const char *what)
{
	if (!is != !want || (is && strcmp(is, want) != 0))
		fail_msg("%s: %s, not %s", what, is ? is : "(none)", want ? want : "(none)");
}

static void expect(const char *region, const char *endpoint, const char *ca)
{
	error_clear(&c);
	if (aws_settings_read(&c, &got))
		fail_msg("%s", c.error.message);
	same(got.region, region, "region");
	same(got.s3_endpoint, endpoint, "endpoint");
	same(got.ca_bundle, ca, "ca");
}

static void expect_failure(const char *words)
{
	error_clear(&c);
	assert_int_equal(aws_settings_read(&c, &got), -1);
	if (!strstr(c.error.message, words))
		fail_msg("%s", c.error.message);
	assert_int_equal(c.error.code == INVALID_PARAMETER_VALUE || c.error.code == PERMISSION_DENIED, true);
}

static void environment(void **state)
{
	(void)state;
	expect(NULL, NULL, NULL);
	aws_write(".aws/config", "[default]\nregion = file-1\nendpoint_url = http://file\nca_bundle=/file\n");
	expect("file-1", "http://file", "/file");
	setenv("AWS_DEFAULT_REGION", "default-1", 1);
	setenv("AWS_ENDPOINT_URL", "http://all", 1);
	setenv("AWS_CA_BUNDLE", "/env", 1);
	expect("default-1", "http://all", "/env");
	setenv("AWS_REGION", "env-1", 1);
	setenv("AWS_ENDPOINT_URL_S3", "http://s3", 1);
	expect("env-1", "http://s3", "/env");
	setenv("AWS_REGION", "", 1);                    /* empty: not set */
	setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "True", 1);
	expect("default-1", NULL, "/env");
}

static void profiles(void **state)
{
	(void)state;
	aws_write(".aws/config",
	          "# a comment\n"
	          "[default]\n"
	          "  region = d\n"                          /* all indented: three names, not one */
	          "  services = two\n"
	          "  s3 =\n"
	          "    addressing_style = path\n"
	          "  ca_bundle: /d ; no comment\n"
	          "[profile with space]\nregion=no\n"       /* not a profile's name */
	          "[profile \"with space\"]\r\nREGION = w\r\nservices=one\r\n\r\n"
	          "[profile an-administrator-of-everything-there-is-in-account-123456789012]\nregion = long\n"
	          "[profile an-administrator-of-everything-there-is-in-account-2]\nregion = long2\n"
	          "[other]\nregion = no\n"
	          "[services one]\ns3 =\n   endpoint_url = http://one:1/?a=b \ndynamodb =\n   endpoint_url = http://x\n"
	          "[services two]\nsts =\n\tendpoint_url = http://sts\n");
	expect("d", NULL, "/d ; no comment");
	setenv("AWS_PROFILE", "with space", 1);
	expect("w", "http://one:1/?a=b", NULL);
	setenv("AWS_PROFILE", "an-administrator-of-everything-there-is-in-account-123456789012", 1);
	expect("long", NULL, NULL);
	setenv("AWS_PROFILE", "an-administrator-of-everything-there-is-in-account-2", 1);
	expect("long2", NULL, NULL);
	setenv("AWS_PROFILE", "other", 1);
	expect_failure("The AWS profile 'other'");
	setenv("AWS_DEFAULT_PROFILE", "with space", 1);  /* botocore asks it first */
	expect("w", "http://one:1/?a=b", NULL);
}

/* What the credentials file says wins; each file may be elsewhere. */
static void both_files(void **state)
{
	(void)state;
	aws_write(".aws/config", "[profile a]\nregion = config\nca_bundle = /config\n");
	aws_write(".aws/credentials", "\xEF\xBB\xBF[a]\nregion = credentials\n[b]\nregion = b\n");
	setenv("AWS_PROFILE", "a", 1);
	expect("credentials", NULL, "/config");
	setenv("AWS_PROFILE", "b", 1);
	expect("b", NULL, NULL);
	aws_write("other", "[profile b]\nregion = other\n[b]\nregion = no\n");
	setenv("AWS_CONFIG_FILE", "~/other", 1);
	setenv("AWS_SHARED_CREDENTIALS_FILE", aws_path("nothing"), 1);
	expect("other", NULL, NULL);
	setenv("AWS_CONFIG_FILE", aws_path("nothing"), 1);
	unsetenv("AWS_PROFILE");
	expect(NULL, NULL, NULL);
}

static void wrong_files(void **state)
{
	(void)state;
	static const struct {
		const char *text, *words;
	} cases[] = {
		{ "region = x\n", "(line 1)" }, { "[default\n", "(line 1)" }, { "[default]\n\nregion\n", "(line 3)" },
		{ "[default]\na=1\nA=2\n", "twice in a section (line 3)" }, { "[default]\n= 1\n", "(line 2)" },
		{ "[]\n", "(line 1)" }, { "[a]\n[b]\n[a]\n", "a section appears twice (line 3)" },
		{ "[default]\ns3 =\n  a = 1\n  nothing\n", "an indented line without a name and a value" },
		{ "[default]\ns3 =\n  nothing\nb = 1\n", "(line 4)" },
		{ "[default]\nservices = none\n", "the services section 'none'" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		aws_write(".aws/config", cases[i].text);
		expect_failure(cases[i].words);
	}
	aws_write(".aws/config", "");
	expect(NULL, NULL, NULL);
	setenv("AWS_CONFIG_FILE", aws_home, 1);
	expect_failure("AWS config file: it is not a file");
	assert_non_null(strstr(c.error.detail, aws_home));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(environment), TEST(profiles), TEST(both_files), TEST(wrong_files) };
	int result;

	aws_make_home();
	result = cmocka_run_group_tests(tests, NULL, NULL);
	aws_remove_home();
	return result;
}
