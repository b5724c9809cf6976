/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The help a table of options speaks for itself: as text, and as docs/operations.md's table. */
#include <stdio.h>
#include <string.h>

#include "cli/option.h"

enum { WIDTH = 98, INDENT = 28, LEFT = 80 };

/* Words from column `at` on, continued at `indent`. */
static void wrap(FILE *to, const char *text, int at, int indent)
{
	while (*text) {
		size_t word = strcspn(text, " \n");
		if (at > indent && at + 1 + (int)word > WIDTH) {
			fprintf(to, "\n%*s", indent, "");
			at = indent;
		} else if (at > indent) {
			fputc(' ', to);
			at++;
		}
		fwrite(text, 1, word, to);
		at += (int)word;
		text += word;
		if (*text == '\n') {
			fprintf(to, "\n%*s", indent, "");
			at = indent;
			text++;
		}
		text += *text == ' ';
	}
	fputc('\n', to);
}

/* "-h, --host HOST", "--serve-artifacts / --no-serve-artifacts". */
static void spell(char *out, size_t size, const struct cli_option *o)
{
	char letter[8] = "";

	if (o->letter)
		snprintf(letter, sizeof(letter), "-%c, ", o->letter);
	if (o->negation)
		snprintf(out, size, "--%s / --%s", o->name, o->negation);
	else
		snprintf(out, size, "%s--%s%s%s", letter, o->name, o->value ? " " : "",
			 o->value ? o->value : "");
}

static void option_help(FILE *to, const struct cli_option *o)
{
	char left[LEFT];
	char text[2048];

	spell(left, sizeof(left), o);
	if (!o->help)
		return;
	snprintf(text, sizeof(text), "%s%s%s%s%s%s%s%s%s%s", o->unused ? "Accepted, unused: " : "",
		 o->unused ? o->unused : o->help, o->unused ? "." : "", o->env ? " [env: " : "",
		 o->env ? o->env : "", o->env ? "]" : "",
		 o->fallback && !o->unused ? " [default: " : "",
		 o->fallback && !o->unused ? o->fallback : "", o->fallback && !o->unused ? "]" : "",
		 o->refused ? " [not yet available]" : "");
	if (strlen(left) + 4 > INDENT)
		fprintf(to, "  %s\n%*s", left, INDENT, "");
	else
		fprintf(to, "  %-*s", INDENT - 2, left);
	wrap(to, text, INDENT, INDENT);
}

void cli_option_help(FILE *to, const struct cli_command *command)
{
	fprintf(to, "Usage: capstan %s%s%s%s\n\n", command->name,
		command->count ? " [OPTIONS]" : "", command->positional ? " " : "",
		command->positional ? command->positional : "");
	wrap(to, command->description, 0, 0);
	for (size_t i = 0; i < command->count; i++) {
		if (command->options[i].topic)
			fprintf(to, "\n%s:\n", command->options[i].topic);
		if (command->options[i].name)
			option_help(to, &command->options[i]);
	}
	fprintf(to, "%s  %-*s%s\n", command->count ? "\n" : "\nOptions:\n", INDENT - 2, "--help",
		"Show this text.");
	bool environment = false;
	for (size_t i = 0; i < command->count; i++)
		environment |= command->options[i].env != NULL;
	if (environment)
		fputs("\nA flag wins over the environment. Each NAME of the environment may "
		      "instead be given as "
		      "NAME_FILE,\nthe path of a file that holds the value.\n",
		      to);
}

static void cell(FILE *to, const char *text)
{
	for (; *text; text++) {
		if (*text == '|')
			fputc('\\', to);
		fputc(*text == '\n' ? ' ' : *text, to);
	}
}

void cli_option_markdown(FILE *to, const struct cli_command *command)
{
	fputs("| flag | environment | default | meaning |\n| --- | --- | --- | --- |\n", to);
	for (size_t i = 0; i < command->count; i++) {
		const struct cli_option *o = &command->options[i];
		char left[LEFT] = "";
		if (o->name)
			spell(left, sizeof(left), o);
		fprintf(to, "| %s%s%s | %s%s%s | ", *left ? "`" : "", left, *left ? "`" : "",
			o->env ? "`" : "", o->env ? o->env : "", o->env ? "`" : "");
		fprintf(to, "%s%s%s | ", o->fallback ? "`" : "", o->fallback ? o->fallback : "",
			o->fallback ? "`" : "");
		if (o->unused)
			fputs("accepted, unused: ", to);
		cell(to, o->unused ? o->unused : o->help ? o->help : "");
		if (o->refused)
			fputs(" Not yet available: refused.", to);
		fputs(" |\n", to);
	}
}
