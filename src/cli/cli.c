/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/limits.h"
#include "http/server.h"

static int version(struct ctx *c, const struct cli_values *v)
{
	(void)c;
	(void)v;
	puts("capstan " CAPSTAN_VERSION);
	return 0;
}

static int routes(struct ctx *c, const struct cli_values *v)
{
	(void)c;
	(void)v;
	http_dump_routes(stdout);
	return 0;
}

static const struct cli_command version_command = {
	.name = "version",
	.summary = "Print the version.",
	.description = "Print the version.",
};
static const struct cli_command routes_command = {
	.name = "routes",
	.summary = NULL,
	.description = "Print every route of the server as tab-separated lines.",
};

static const struct {
	const char *words[2];
	const struct cli_command *command;
	int (*run)(struct ctx *c, const struct cli_values *v);
} commands[] = {
	{ { "serve", NULL }, &cli_serve_command, cli_serve },
	{ { "server", NULL }, &cli_serve_command, cli_serve },
	{ { "gc", NULL }, &cli_gc_command, cli_gc },
	{ { "db", "upgrade" }, &cli_upgrade_command, cli_upgrade },
	{ { "import", NULL }, &cli_import_command, cli_import },
	{ { "promote", NULL }, &cli_promote_command, cli_promote },
	{ { "version", NULL }, &version_command, version },
	{ { "routes", NULL }, &routes_command, routes },
};
enum { COMMANDS = sizeof(commands) / sizeof(*commands) };

static void help(FILE *to)
{
	fputs("Usage: capstan COMMAND [OPTIONS]\n\n"
	      "An MLflow-compatible tracking server: one daemon, on PostgreSQL.\n\nCommands:\n",
	      to);
	for (size_t i = 0; i < COMMANDS; i++) {
		const struct cli_command *command = commands[i].command;
		if (command->summary && strcmp(commands[i].words[0], "server"))
			fprintf(to, "  %-14s%s\n", command->name, command->summary);
	}
	fputs("\n`capstan COMMAND --help` says more. `capstan serve` with no options starts a "
	      "server on "
	      "http://127.0.0.1:5000.\n",
	      to);
}

static const char *environment(const char *name)
{
	return getenv(name);
}

struct call {
	size_t command;
	int count;
	char *const *args;
	bool wrong_use;
};

static int run(struct ctx *c, void *arg)
{
	struct call *call = arg;
	const struct cli_command *command = commands[call->command].command;
	struct cli_values values;

	if (cli_option_parse(c, command, call->count, call->args, environment, &values)) {
		call->wrong_use = true;
		return -1;
	}
	if (values.help_markdown)
		cli_option_markdown(stdout, command);
	else if (values.help)
		cli_option_help(stdout, command);
	else
		return commands[call->command].run(c, &values);
	return 0;
}

/* How many of the arguments name command i; 0: another. */
static int names(size_t i, int argc, char *const *argv)
{
	if (argc < 2 || strcmp(argv[1], commands[i].words[0]))
		return 0;
	if (!commands[i].words[1])
		return 1;
	return argc > 2 && !strcmp(argv[2], commands[i].words[1]) ? 2 : 0;
}

static int run_command(size_t i, int argc, char *const *argv, int used)
{
	struct call call = { i, argc - 1 - used, argv + 1 + used, false };
	struct ctx c = { .arena = arena_new(LIMIT_ARENA) };

	if (!c.arena) {
		fputs("capstan: no memory\n", stderr);
		return 1;
	}
	int failed = work_run(&c, run, &call);
	if (failed) {
		fprintf(stderr, "capstan %s: %s\n", commands[i].command->name,
			c.error.message ? c.error.message : "failed");
		if (c.error.detail)
			fprintf(stderr, "  (%s)\n", c.error.detail);
		if (call.wrong_use)
			fprintf(stderr, "Try 'capstan %s --help'.\n", commands[i].command->name);
	}
	arena_free(c.arena);
	if (fflush(stdout) && !failed)
		return 1;
	return failed ? call.wrong_use ? 2 : 1 : 0;
}

int cli_main(int argc, char *const *argv)
{
	const char *first = argc > 1 ? argv[1] : "--help";

	if (!strcmp(first, "--version") || !strcmp(first, "-V")) {
		puts("capstan " CAPSTAN_VERSION);
		return 0;
	}
	if (!strcmp(first, "--help") || !strcmp(first, "help")) {
		help(stdout);
		return 0;
	}
	for (size_t i = 0; i < COMMANDS; i++) {
		int used = names(i, argc, argv);
		if (used)
			return run_command(i, argc, argv, used);
	}
	fprintf(stderr, "capstan: no such command: '%s%s%s'.\nTry 'capstan --help'.\n", first,
		!strcmp(first, "db") && argc > 2 ? " " : "",
		!strcmp(first, "db") && argc > 2 ? argv[2] : "");
	return 2;
}
