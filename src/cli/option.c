/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "cli/option.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/arena.h"

enum { ENV_FILE_MAX = 64 << 10 };

/* "--host" for messages; the environment's name where there is no flag or it came from there. */
static const char *shown(struct ctx *c, const struct cli_option *o, enum cli_source source)
{
	if (source == CLI_ENVIRONMENT || !o->name)
		return o->env;
	return arena_printf(c->arena, "--%s", o->name);
}

static int as_number(const char *text, long *ret)
{
	char *end;

	if (!*text || *text == ' ' || *text == '\t')
		return -1;
	errno = 0;
	*ret = strtol(text, &end, 10);
	return errno || *end ? -1 : 0;
}

static int as_switch(const char *text, const char **ret)
{
	static const char *const yes[] = { "1", "true", "t", "yes", "y", "on" };
	static const char *const no[] = { "0", "false", "f", "no", "n", "off" };

	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
		if (!strcasecmp(text, yes[i]) || !strcasecmp(text, no[i])) {
			*ret = strcasecmp(text, yes[i]) ? "0" : "1";
			return 0;
		}
	}
	return -1;
}

/* The listed spelling of `text` in "a|b|c". */
static const char *as_choice(struct ctx *c, const char *choices, const char *text)
{
	size_t size = strlen(text);

	for (const char *at = choices; size && *at;) {
		size_t length = strcspn(at, "|");
		if (length == size && !strncasecmp(at, text, size))
			return arena_strndup(c->arena, at, length);
		at += length + (at[length] == '|');
	}
	return NULL;
}

static int set(struct ctx *c, struct cli_values *v, size_t i, const char *text,
	       enum cli_source source)
{
	const struct cli_option *o = &v->command->options[i];
	const char *name = shown(c, o, source);
	long number;

	switch (o->type) {
	case CLI_TEXT:
		break;
	case CLI_NUMBER:
		if (as_number(text, &number) || number < o->min || number > o->max)
			return fail(c, INVALID_PARAMETER_VALUE,
				    "%s must be a whole number from %ld to %ld, not '%s'.", name,
				    o->min, o->max, text);
		break;
	case CLI_CHOICE:
		text = as_choice(c, o->choices, text);
		if (!text)
			return fail(c, INVALID_PARAMETER_VALUE, "%s must be one of %s.", name,
				    o->choices);
		break;
	case CLI_SWITCH:
		if (as_switch(text, &text))
			return fail(c, INVALID_PARAMETER_VALUE, "%s must be true or false.", name);
		break;
	}
	if (o->many && v->text[i] && v->source[i] == source)
		text = arena_printf(c->arena, "%s\n%s", v->text[i], text);
	v->text[i] = text;
	v->source[i] = source;
	return 0;
}

static int read_file(struct ctx *c, const char *env, const char *path, const char **ret)
{
	char *text = arena_alloc(c->arena, ENV_FILE_MAX + 1);
	size_t size = 0;
	ssize_t got = 1;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	while (fd >= 0 && got > 0 && size < ENV_FILE_MAX) {
		got = read(fd, text + size, ENV_FILE_MAX - size);
		if (got > 0)
			size += (size_t)got;
	}
	int error = errno;
	if (fd >= 0)
		close(fd);
	if (fd < 0 || got < 0)
		return fail(c, INVALID_PARAMETER_VALUE, "%s: cannot read '%s': %s.", env, path,
			    strerror(error));
	while (size && (text[size - 1] == '\n' || text[size - 1] == '\r'))
		text[--size] = 0;
	if (strlen(text) != size)
		return fail(c, INVALID_PARAMETER_VALUE, "%s: '%s' is not a text file.", env, path);
	*ret = text;
	return 0;
}

/* NAME or NAME_FILE; an empty one counts as not set, as MLflow's command line has it. */
static int from_environment(struct ctx *c, struct cli_values *v, size_t i,
			    const char *(*getenv_)(const char *name))
{
	const char *env = v->command->options[i].env;
	const char *file_env = arena_printf(c->arena, "%s_FILE", env);
	const char *text = getenv_(env);
	const char *path = getenv_(file_env);

	if (text && !*text)
		text = NULL;
	if (path && *path) {
		if (text)
			return fail(c, INVALID_PARAMETER_VALUE, "Set %s or %s, not both.", env,
				    file_env);
		if (read_file(c, file_env, path, &text))
			return -1;
	}
	return text && *text ? set(c, v, i, text, CLI_ENVIRONMENT) : 0;
}

/* Which option a long name means; *negated tells which of a switch's two. */
static int find_long(const struct cli_command *command, const char *name, size_t size,
		     bool *negated)
{
	for (size_t i = 0; i < command->count; i++) {
		const struct cli_option *o = &command->options[i];
		*negated = o->negation && strlen(o->negation) == size &&
			   !memcmp(o->negation, name, size);
		if (*negated ||
		    (o->name && strlen(o->name) == size && !memcmp(o->name, name, size)))
			return (int)i;
	}
	return -1;
}

static int find_letter(const struct cli_command *command, char letter)
{
	for (size_t i = 0; i < command->count; i++) {
		if (command->options[i].letter == letter)
			return (int)i;
	}
	return -1;
}

struct cursor {
	int count;
	char *const *args;
	int at;
};

/* The value of option i: what is attached to its flag, else the next argument. */
static int take_value(struct ctx *c, struct cli_values *v, struct cursor *in, size_t i,
		      const char *attached)
{
	if (!attached && in->at == in->count)
		return fail(c, INVALID_PARAMETER_VALUE, "Option '--%s' needs an argument.",
			    v->command->options[i].name);
	return set(c, v, i, attached ? attached : in->args[in->at++], CLI_FLAG);
}

static int take_long(struct ctx *c, struct cli_values *v, struct cursor *in, const char *arg)
{
	const char *equals = strchr(arg, '=');
	size_t size = equals ? (size_t)(equals - arg) : strlen(arg);
	bool negated;

	if (!strcmp(arg, "help") || !strcmp(arg, "help-markdown")) {
		v->help = true;
		v->help_markdown = arg[4];
		return 0;
	}
	int i = find_long(v->command, arg, size, &negated);
	if (i < 0)
		return fail(c, INVALID_PARAMETER_VALUE, "No such option: '--%.*s'.", (int)size,
			    arg);
	if (v->command->options[i].type != CLI_SWITCH)
		return take_value(c, v, in, (size_t)i, equals ? equals + 1 : NULL);
	if (equals)
		return fail(c, INVALID_PARAMETER_VALUE, "Option '--%.*s' takes no value.",
			    (int)size, arg);
	return set(c, v, (size_t)i, negated ? "0" : "1", CLI_FLAG);
}

static int take(struct ctx *c, struct cli_values *v, struct cursor *in, bool *only_positional)
{
	const char *arg = in->args[in->at++];

	if (*only_positional || arg[0] != '-' || !arg[1]) {
		const char **slot = v->positional ? &v->positional2 : &v->positional;
		if (!v->command->positional || *slot ||
		    (v->positional && v->command->positionals < 2))
			return fail(c, INVALID_PARAMETER_VALUE, "Got an unexpected argument: '%s'.",
				    arg);
		*slot = arg;
		return 0;
	}
	if (!strcmp(arg, "--")) {
		*only_positional = true;
		return 0;
	}
	if (arg[1] == '-')
		return take_long(c, v, in, arg + 2);
	int i = find_letter(v->command, arg[1]);
	if (i < 0)
		return fail(c, INVALID_PARAMETER_VALUE, "No such option: '-%c'.", arg[1]);
	return take_value(c, v, in, (size_t)i, arg[2] ? arg + 2 : NULL);
}

static int check_refused(struct ctx *c, const struct cli_values *v)
{
	for (size_t i = 0; i < v->command->count; i++) {
		const struct cli_option *o = &v->command->options[i];
		bool asked = v->source[i] != CLI_DEFAULT &&
			     (o->type != CLI_SWITCH || cli_option_is(v, i));
		if (o->refused && asked)
			return fail(c, INVALID_PARAMETER_VALUE, "%s: %s.",
				    shown(c, o, v->source[i]), o->refused);
	}
	return 0;
}

static int check_given(struct ctx *c, const struct cli_values *v)
{
	int given = (v->positional != NULL) + (v->positional2 != NULL);

	if (given < v->command->positionals)
		return fail(c, INVALID_PARAMETER_VALUE, "Arguments are missing: %s.",
			    v->command->positional);
	for (size_t i = 0; i < v->command->count; i++) {
		if (v->command->options[i].required && !v->text[i])
			return fail(c, INVALID_PARAMETER_VALUE, "Option '--%s' is missing.",
				    v->command->options[i].name);
	}
	return check_refused(c, v);
}

int cli_option_parse(struct ctx *c, const struct cli_command *command, int count, char *const *args,
		     const char *(*getenv_)(const char *name), struct cli_values *out)
{
	struct cursor in = { count, args, 0 };
	bool only_positional = false;

	*out = (struct cli_values){ .command = command };
	out->text = NEW_ARRAY(c->arena, command->count, const char *);
	out->source = NEW_ARRAY(c->arena, command->count, enum cli_source);
	while (in.at < in.count) {
		if (take(c, out, &in, &only_positional))
			return -1;
		if (out->help)
			return 0;
	}
	for (size_t i = 0; i < command->count; i++) {
		const struct cli_option *o = &command->options[i];
		if (out->source[i] == CLI_DEFAULT && o->env && from_environment(c, out, i, getenv_))
			return -1;
		if (out->source[i] == CLI_DEFAULT)
			out->text[i] = o->fallback;
	}
	return check_given(c, out);
}

long cli_option_number(const struct cli_values *v, size_t option)
{
	long number = 0;
	int failed;

	assert(v->text[option]);
	failed = as_number(v->text[option], &number);
	assert(!failed); /* it was checked */
	return number;
}

bool cli_option_is(const struct cli_values *v, size_t option)
{
	const char *text = v->text[option];

	return text && text[0] == '1';
}

void cli_option_unused(const struct cli_values *v, void (*warn)(const char *name, const char *why))
{
	for (size_t i = 0; i < v->command->count; i++) {
		const struct cli_option *o = &v->command->options[i];
		char flag[64];
		if (!o->unused || v->source[i] == CLI_DEFAULT)
			continue;
		if (o->type == CLI_SWITCH && !cli_option_is(v, i))
			continue;
		snprintf(flag, sizeof(flag), "--%s", o->name ? o->name : "");
		warn(v->source[i] == CLI_FLAG ? flag : o->env, o->unused);
	}
}
