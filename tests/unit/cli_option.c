/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "cli/cli.h"
#include "cli/serve.h"

#include <cmocka.h> /* last: it defines fail() */

static const char *const *environment; /* name, value, ..., NULL */

static const char *fake_getenv(const char *name)
{
	for (const char *const *at = environment; at && *at; at += 2) {
		if (!strcmp(*at, name))
			return at[1];
	}
	return NULL;
}

struct parsed {
	struct ctx c;
	struct cli_values v;
	int result;
};

/* args: NULL-terminated. */
static struct parsed parse(const struct cli_command *command, const char *const *args)
{
	struct parsed p = { .c = { .arena = arena_new(1 << 20) } };
	int count = 0;

	while (args[count])
		count++;
	p.result = cli_option_parse(&p.c, command, count, (char *const *)(uintptr_t)args,
				    fake_getenv, &p.v);
	return p;
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void good(void **state)
{
	static const struct {
		const char *args[6];
		const char *env[6];
		enum cli_serve_option option;
		const char *value;
	} cases[] = {
		{ { NULL }, { NULL }, SERVE_HOST, "127.0.0.1" },
		{ { NULL }, { NULL }, SERVE_PORT, "5000" },
		{ { NULL }, { NULL }, SERVE_BACKEND_STORE_URI, NULL },
		{ { "-h", "0.0.0.0" }, { NULL }, SERVE_HOST, "0.0.0.0" },
		{ { "-h::1" }, { NULL }, SERVE_HOST, "::1" },
		{ { "--host=::1" }, { NULL }, SERVE_HOST, "::1" },
		{ { "--host=" }, { NULL }, SERVE_HOST, "" },
		{ { "--host", "--help" }, { NULL }, SERVE_HOST, "--help" },
		{ { "--host", "a" }, { "MLFLOW_HOST", "b" }, SERVE_HOST, "a" },
		{ { NULL }, { "MLFLOW_HOST", "b" }, SERVE_HOST, "b" },
		{ { NULL }, { "MLFLOW_HOST", "" }, SERVE_HOST, "127.0.0.1" },
		{ { "--port", "1", "--port", "2" }, { NULL }, SERVE_PORT, "2" },
		{ { "-p0" }, { "MLFLOW_PORT", "nonsense" }, SERVE_PORT, "0" },
		{ { NULL }, { NULL }, SERVE_SERVE_ARTIFACTS, "1" },
		{ { "--no-serve-artifacts" }, { NULL }, SERVE_SERVE_ARTIFACTS, "0" },
		{ { "--no-serve-artifacts", "--serve-artifacts" },
		  { NULL },
		  SERVE_SERVE_ARTIFACTS,
		  "1" },
		{ { NULL }, { "MLFLOW_SERVE_ARTIFACTS", "False" }, SERVE_SERVE_ARTIFACTS, "0" },
		{ { "--x-frame-options", "deny" }, { NULL }, SERVE_X_FRAME_OPTIONS, "DENY" },
		{ { "--log-format", "JSON" }, { NULL }, SERVE_LOG_FORMAT, "json" },
		{ { NULL },
		  { "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE", "20" },
		  SERVE_DB_POOL_SIZE,
		  "20" },
		{ { NULL },
		  { "MLFLOW_TRUNCATE_LONG_VALUES", "false" },
		  SERVE_TRUNCATE_LONG_VALUES,
		  "0" },
		{ { "--disable-workspaces" }, { NULL }, SERVE_ENABLE_WORKSPACES, "0" },
		{ { "-w", "8" }, { NULL }, SERVE_WORKERS, "8" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		environment = cases[i].env;
		struct parsed p = parse(&cli_serve_command, cases[i].args);
		if (p.result)
			fail_msg("case %zu: %s", i, p.c.error.message);
		if (cases[i].value)
			assert_string_equal(p.v.text[cases[i].option], cases[i].value);
		else
			assert_null(p.v.text[cases[i].option]);
		arena_free(p.c.arena);
	}
}

static void bad(void **state)
{
	static const struct {
		const char *args[4];
		const char *env[5];
		const char *message;
	} cases[] = {
		{ { "--nonsense" }, { NULL }, "No such option: '--nonsense'." },
		{ { "--hos", "x" }, { NULL }, "No such option: '--hos'." },
		{ { "-x" }, { NULL }, "No such option: '-x'." },
		{ { "--port" }, { NULL }, "Option '--port' needs an argument." },
		{ { "-p" }, { NULL }, "Option '--port' needs an argument." },
		{ { "--port", "65536" },
		  { NULL },
		  "--port must be a whole number from 0 to 65535, not '65536'." },
		{ { "--port", "5e3" },
		  { NULL },
		  "--port must be a whole number from 0 to 65535, not '5e3'." },
		{ { "--port", " 5" },
		  { NULL },
		  "--port must be a whole number from 0 to 65535, not ' 5'." },
		{ { "--port", "" },
		  { NULL },
		  "--port must be a whole number from 0 to 65535, not ''." },
		{ { "--port", "99999999999999999999" },
		  { NULL },
		  "--port must be a whole number from 0 to 65535, not '99999999999999999999'." },
		{ { NULL },
		  { "MLFLOW_PORT", "x" },
		  "MLFLOW_PORT must be a whole number from 0 to 65535, not 'x'." },
		{ { NULL },
		  { "MLFLOW_SERVE_ARTIFACTS", "maybe" },
		  "MLFLOW_SERVE_ARTIFACTS must be true or false." },
		{ { "--log-level", "loud" },
		  { NULL },
		  "--log-level must be one of debug|info|warn|error." },
		{ { "--log-level", "" },
		  { NULL },
		  "--log-level must be one of debug|info|warn|error." },
		{ { "--stop=1" }, { NULL }, "Option '--stop' takes no value." },
		{ { "extra" }, { NULL }, "Got an unexpected argument: 'extra'." },
		{ { "--", "--host" }, { NULL }, "Got an unexpected argument: '--host'." },
		{ { NULL },
		  { "MLFLOW_HOST", "a", "MLFLOW_HOST_FILE", "/b" },
		  "Set MLFLOW_HOST or MLFLOW_HOST_FILE, not both." },
		{ { NULL },
		  { "MLFLOW_HOST_FILE", "/nonexistent" },
		  "MLFLOW_HOST_FILE: cannot read '/nonexistent': No such file or directory." },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		environment = cases[i].env;
		struct parsed p = parse(&cli_serve_command, cases[i].args);
		assert_int_equal(p.result, -1);
		assert_int_equal(p.c.error.code, INVALID_PARAMETER_VALUE);
		assert_string_equal(p.c.error.message, cases[i].message);
		arena_free(p.c.arena);
	}
}

static void refused(void **state)
{
	(void)state;
	environment = NULL;
	struct parsed p = parse(&cli_serve_command, LIST("--app-name", "my-auth"));
	assert_int_equal(p.result, -1);
	assert_string_equal(p.c.error.message, "--app-name must be one of basic-auth.");
	arena_free(p.c.arena);
}

static void value_from_file(void **state)
{
	char path[] = "/tmp/capstan-option-XXXXXX";
	int fd = mkstemp(path);
	const char *const env[] = { "MLFLOW_BACKEND_STORE_URI_FILE", path, NULL };

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "postgresql://u:p@h/d\r\n\n", 23), 23);
	environment = env;
	struct parsed p = parse(&cli_serve_command, LIST("--port", "1"));
	assert_int_equal(p.result, 0);
	assert_string_equal(p.v.text[SERVE_BACKEND_STORE_URI], "postgresql://u:p@h/d");
	assert_int_equal(p.v.source[SERVE_BACKEND_STORE_URI], CLI_ENVIRONMENT);
	arena_free(p.c.arena);

	assert_int_equal(write(fd, "\0x", 2), 2);
	p = parse(&cli_serve_command, LIST("--port", "1"));
	assert_int_equal(p.result, -1);
	arena_free(p.c.arena);
	close(fd);
	unlink(path);
}

static char warned[256];

static void warn(const char *name, const char *why)
{
	assert_non_null(why);
	strncat(warned, name, sizeof(warned) - strlen(warned) - 1);
	strncat(warned, " ", sizeof(warned) - strlen(warned) - 1);
}

static void unused(void **state)
{
	const char *const env[] = { "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW", "10",
				    "MLFLOW_UVICORN_OPTS", "x", NULL };

	(void)state;
	environment = env;
	struct parsed p = parse(&cli_serve_command, LIST("--workers", "4", "--dev", "--host", "a"));
	assert_int_equal(p.result, 0);
	warned[0] = 0;
	cli_option_unused(&p.v, warn);
	assert_string_equal(
		warned, "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW --workers MLFLOW_UVICORN_OPTS --dev ");
	arena_free(p.c.arena);
}

static void positional(void **state)
{
	(void)state;
	environment = NULL;
	struct parsed p = parse(&cli_upgrade_command, LIST("postgresql://h/d"));
	assert_int_equal(p.result, 0);
	assert_string_equal(p.v.positional, "postgresql://h/d");
	arena_free(p.c.arena);
	p = parse(&cli_upgrade_command, LIST("a", "b"));
	assert_int_equal(p.result, -1);
	arena_free(p.c.arena);
	p = parse(&cli_upgrade_command, LIST("--", "-odd"));
	assert_int_equal(p.result, 0);
	assert_string_equal(p.v.positional, "-odd");
	arena_free(p.c.arena);
}

/* Every row of every table can be shown and says something. */
static void tables(void **state)
{
	const struct cli_command *const all[] = { &cli_serve_command, &cli_gc_command,
						  &cli_upgrade_command };

	(void)state;
	for (size_t k = 0; k < sizeof(all) / sizeof(*all); k++) {
		char *text = NULL;
		size_t size = 0;
		FILE *to = open_memstream(&text, &size);
		cli_option_help(to, all[k]);
		cli_option_markdown(to, all[k]);
		fclose(to);
		for (size_t i = 0; i < all[k]->count; i++) {
			const struct cli_option *o = &all[k]->options[i];
			assert_true(o->name || o->env);
			assert_true(o->help || o->unused);
			assert_non_null(strstr(text, o->name ? o->name : o->env));
			assert_true(o->type != CLI_NUMBER || o->max > o->min);
			assert_true(o->type != CLI_SWITCH || o->fallback);
			assert_true(o->type == CLI_SWITCH || !o->name || o->value);
		}
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),    cmocka_unit_test(bad),
		cmocka_unit_test(refused), cmocka_unit_test(value_from_file),
		cmocka_unit_test(unused),  cmocka_unit_test(positional),
		cmocka_unit_test(tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
