/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * option — command lines as tables. One table per command drives parsing, the environment, --help
 * and the
 * flag table of docs/operations.md. A value comes from the flag, else from the environment (NAME,
 * or the
 * content of the file that NAME_FILE names), else it is the default.
 */
#ifndef CLI_OPTION_H
#define CLI_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/ctx.h"

enum cli_type {
	CLI_TEXT,
	CLI_NUMBER, /* between min and max */
	CLI_CHOICE, /* one of choices, any case */
	CLI_SWITCH, /* --name and, where there is one, --negation */
};

struct cli_option {
	const char *name;     /* without dashes; NULL: environment only */
	const char *negation; /* switches */
	char letter;          /* 0: none */
	enum cli_type type;
	const char *env;      /* NULL: flag only */
	const char *value;    /* what the help calls it: "URI" */
	const char *fallback; /* default; NULL: none */
	const char *choices;  /* "text|json" */
	long min, max;
	const char *topic;   /* heading in the help: set where a new one begins */
	const char *unused;  /* why it changes nothing here: accepted with a warning */
	const char *refused; /* why it cannot be had: an error when asked for */
	bool many;           /* may be given again: the texts, with newlines between */
	bool required;
	const char *help;
};

struct cli_command {
	const char *name;        /* "serve", "db upgrade" */
	const char *positional;  /* the positional arguments in the help: "[URL]"; NULL: none */
	int positionals;         /* how many there must be; 0: at most one */
	const char *summary;     /* one line */
	const char *description; /* text above the options */
	const struct cli_option *options;
	size_t count;
};

enum cli_source { CLI_DEFAULT, CLI_ENVIRONMENT, CLI_FLAG };

struct cli_values {
	const struct cli_command *command;
	const char **text; /* per option; NULL: not given and no default; switches: "1" or "0" */
	enum cli_source *source;
	const char *positional; /* NULL: none */
	const char *positional2; /* where the command has two */
	bool help, help_markdown;
};

/* args: what follows the command's name. getenv_: getenv(), or a test's. -1:
   INVALID_PARAMETER_VALUE, one line. */
int cli_option_parse(struct ctx *c, const struct cli_command *command, int count, char *const *args,
		     const char *(*getenv_)(const char *name), struct cli_values *out) MUST_CHECK;

/* The parsed value of an option that has a default or was given. */
long cli_option_number(const struct cli_values *v, size_t option);
bool cli_option_is(const struct cli_values *v, size_t option);

/* Calls warn("--workers", why) for each unused option that somebody set. */
void cli_option_unused(const struct cli_values *v, void (*warn)(const char *name, const char *why));

void cli_option_help(FILE *to, const struct cli_command *command);
void cli_option_markdown(FILE *to, const struct cli_command *command);

#endif
