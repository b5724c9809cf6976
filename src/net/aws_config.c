/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * The shared files as botocore reads them (configloader.py), that is, by the rules of Python's configparser: an indented
 * line continues the value before it only where it is indented more, names are case-insensitive, there are no comments
 * behind values. libinih reads a profile whose lines are all indented as one value, and cuts names at 49 bytes.
 */
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "aws_impl.h"
#include "base/arena.h"
#include "base/buf.h"

enum { FILE_MOST = 4 << 20, VALUE_MOST = 1 << 20 };

#define SPACE " \t\r\f\v"

struct parser {
	struct ctx *c;
	const struct aws_section **first;
	const struct aws_section **sections;    /* where the next one goes */
	struct aws_section *section;
	const struct aws_entry **entries;
	struct aws_entry *entry;
	size_t indent;                          /* of the entry */
	struct buf value;
};

/* ---- reading ---- */

static char *trimmed(struct ctx *c, const char *from, const char *end)
{
	while (from < end && strchr(SPACE, *from))
		from++;
	while (end > from && strchr(SPACE, end[-1]))
		end--;
	return arena_strndup(c->arena, from, (size_t)(end - from));
}

/* A value that begins on the next line has names and values of its own. */
static const char *check_nested(const char *value)
{
	for (const char *line = value; *line == '\n'; line = strchrnul(line + 1, '\n')) {
		if (!line[1])
			break;
		if (line[1] != '\n' && strcspn(line + 1, "=\n") == strcspn(line + 1, "\n"))
			return "there is an indented line without a name and a value";
	}
	return NULL;
}

static const char *end_entry(struct parser *p)
{
	char *text;
	char *end;

	if (!p->entry)
		return NULL;
	text = arena_strdup(p->c->arena, buf_text(&p->value));
	end = strchr(text, '\0');
	while (end > text && end[-1] == '\n')
		*--end = '\0';
	p->entry->value = text;
	p->entry = NULL;
	return check_nested(text);
}

static const char *begin_section(struct parser *p, const char *line, const char *end)
{
	const char *close = memrchr(line, ']', (size_t)(end - line));
	const char *wrong = end_entry(p);
	struct aws_section *s;

	if (wrong)
		return wrong;
	if (!close || close == line + 1)
		return "a section's name does not end";
	s = NEW(p->c->arena, struct aws_section);
	s->name = arena_strndup(p->c->arena, line + 1, (size_t)(close - line - 1));
	for (const struct aws_section *other = *p->first; other; other = other->next) {
		if (strcmp(other->name, s->name) == 0)
			return "a section appears twice";
	}
	*p->sections = p->section = s;
	p->sections = &s->next;
	p->entries = &s->entries;
	return NULL;
}

static const char *begin_entry(struct parser *p, const char *line, const char *end)
{
	const char *sign = line;
	const char *wrong = end_entry(p);
	struct aws_entry *e;
	char *name;

	if (wrong)
		return wrong;
	if (!p->section)
		return "there is something before the first section";
	while (sign < end && *sign != '=' && *sign != ':')
		sign++;
	if (sign == end || sign == line)
		return "there is a line without a name and a value";
	e = NEW(p->c->arena, struct aws_entry);
	e->name = name = trimmed(p->c, line, sign);
	for (char *ch = name; *ch; ch++)
		*ch = *ch >= 'A' && *ch <= 'Z' ? (char)(*ch | 32) : *ch;
	for (const struct aws_entry *other = p->section->entries; other; other = other->next) {
		if (strcmp(other->name, e->name) == 0)
			return "a name appears twice in a section";
	}
	*p->entries = p->entry = e;
	p->entries = &e->next;
	p->value = (struct buf)BUF(p->c->arena, VALUE_MOST);
	buf_add(&p->value, trimmed(p->c, sign + 1, end));
	return NULL;
}

static const char *read_line(struct parser *p, const char *line, const char *end)
{
	size_t indent = strspn(line, SPACE);
	const char *text = line + indent;

	if (end > line && end[-1] == '\r')
		end--;
	if (text < end && (*text == '#' || *text == ';'))
		return NULL;
	if (text >= end) {
		if (p->entry)
			buf_addc(&p->value, '\n');
		return NULL;
	}
	if (p->entry && indent > p->indent) {
		buf_addc(&p->value, '\n');
		buf_add(&p->value, trimmed(p->c, text, end));
		return NULL;
	}
	p->indent = indent;
	return *text == '[' ? begin_section(p, text, end) : begin_entry(p, text, end);
}

static int parse(struct ctx *c, const char *what, const char *path, const char *text,
                 const struct aws_section **ret)
{
	struct parser p = { .c = c, .first = ret, .sections = ret };
	const char *wrong = NULL;
	unsigned number = 0;

	if (strncmp(text, "\xEF\xBB\xBF", 3) == 0)
		text += 3;
	for (const char *line = text; *line && !wrong;) {
		const char *end = strchrnul(line, '\n');

		wrong = read_line(&p, line, end);
		line = *end ? end + 1 : end;
		number++;
	}
	if (!wrong)
		wrong = end_entry(&p);
	if (!wrong)
		return 0;
	return fail_because(c, INVALID_PARAMETER_VALUE, path,
	                    "The server's %s cannot be parsed: %s (line %u).", what, wrong, number);
}

static int read_one(struct ctx *c, const char *what, const char *path,
                    const struct aws_section **ret)
{
	const char *text;
	int found = aws_file(c, what, path, FILE_MOST, &text);

	*ret = NULL;
	return found > 0 ? parse(c, what, path, text, ret) : found;
}

static const char *home(struct ctx *c)
{
	const char *set = aws_variable("HOME");
	char *text = arena_alloc(c->arena, 4096);
	struct passwd entry;
	struct passwd *found = NULL;

	if (set)
		return set;
	if (getpwuid_r(getuid(), &entry, text, 4096, &found) || !found)
		return "/";
	return found->pw_dir;
}

static const char *path_of(struct ctx *c, const char *variable, const char *usual)
{
	const char *path = aws_variable(variable);

	if (!path)
		path = usual;
	return strncmp(path, "~/", 2) == 0 ? arena_printf(c->arena, "%s%s", home(c), path + 1) : path;
}

int aws_config_read(struct ctx *c, struct aws_config *ret)
{
	const char *profile = aws_variable("AWS_DEFAULT_PROFILE");

	*ret = (struct aws_config){ .profile = "default" };
	if (!profile)
		profile = aws_variable("AWS_PROFILE");
	if (profile) {
		ret->profile = profile;
		ret->is_named = true;
	}
	ret->config_path = path_of(c, "AWS_CONFIG_FILE", "~/.aws/config");
	ret->credentials_path = path_of(c, "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials");
	if (read_one(c, "AWS config file", ret->config_path, &ret->config)
	    || read_one(c, "AWS credentials file", ret->credentials_path, &ret->credentials))
		return -1;
	if (!ret->is_named || aws_config_has(c, ret, ret->profile))
		return 0;
	return fail_because(c, INVALID_PARAMETER_VALUE,
	                    arena_printf(c->arena, "%s, %s", ret->config_path, ret->credentials_path),
	                    "The AWS profile '%s' (AWS_PROFILE) is neither in the AWS config file nor in the "
	                    "AWS credentials file.", profile);
}

/* ---- looking up ---- */

/* "profile a", "services \"a b\"": of that kind and name? */
static bool is_called(struct ctx *c, const char *section, const char *kind, const char *name)
{
	char **words;

	if (strncmp(section, kind, strlen(kind)) != 0)
		return false;
	words = aws_words(c, section);
	return words && words[0] && words[1] && !words[2] && strcmp(words[1], name) == 0;
}

static const char *entry(const struct aws_section *s, const char *name)
{
	for (const struct aws_entry *e = s ? s->entries : NULL; e; e = e->next) {
		if (strcmp(e->name, name) == 0)
			return e->value;
	}
	return NULL;
}

static const struct aws_section *config_section(struct ctx *c, const struct aws_config *f,
                                                const char *kind, const char *name)
{
	const struct aws_section *ret = NULL;
	bool is_default = strcmp(kind, "profile") == 0 && strcmp(name, "default") == 0;

	for (const struct aws_section *s = f->config; s; s = s->next) {
		if ((is_default && strcmp(s->name, "default") == 0) || is_called(c, s->name, kind, name))
			ret = s;
	}
	return ret;
}

static const struct aws_section *credentials_section(const struct aws_config *f, const char *profile)
{
	const struct aws_section *s = f->credentials;

	while (s && strcmp(s->name, profile) != 0)
		s = s->next;
	return s;
}

bool aws_config_has(struct ctx *c, const struct aws_config *f, const char *profile)
{
	return config_section(c, f, "profile", profile) || credentials_section(f, profile);
}

const char *aws_config_own(struct ctx *c, const struct aws_config *f, const char *profile,
                           const char *name)
{
	return entry(config_section(c, f, "profile", profile), name);
}

const char *aws_config_secret(struct ctx *c, const struct aws_config *f, const char *profile,
                              const char *name)
{
	(void)c;
	return entry(credentials_section(f, profile), name);
}

const char *aws_config_get(struct ctx *c, const struct aws_config *f, const char *profile,
                           const char *name)
{
	const char *value = aws_config_secret(c, f, profile, name);

	return value ? value : aws_config_own(c, f, profile, name);
}

const char *aws_config_setting(struct ctx *c, const struct aws_config *f, const char *variable,
                               const char *name)
{
	const char *value = aws_variable(variable);

	if (!value)
		value = aws_config_get(c, f, f->profile, name);
	return value && *value ? value : NULL;
}

const char *aws_config_region(struct ctx *c, const struct aws_config *f)
{
	const char *region = aws_variable("AWS_REGION");

	return region ? region : aws_config_setting(c, f, "AWS_DEFAULT_REGION", "region");
}

/* A value of the form "\nendpoint_url = x\nother = y". */
static const char *nested(struct ctx *c, const char *value, const char *name)
{
	size_t n = strlen(name);

	for (const char *line = value; line && *line == '\n'; line = strchr(line + 1, '\n')) {
		const char *equals = strchrnul(line + 1, '=');
		const char *end = strchrnul(line + 1, '\n');

		if (equals < end && strncmp(line + 1, name, n) == 0
		    && line + 1 + n + strspn(line + 1 + n, SPACE) == equals)
			return trimmed(c, equals + 1, end);
	}
	return NULL;
}

int aws_config_endpoint(struct ctx *c, const struct aws_config *f, const char *service,
                        const char **ret)
{
	const char *ignore = aws_config_setting(c, f, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
	                                        "ignore_configured_endpoint_urls");
	const char *variable = strcmp(service, "s3") == 0 ? "AWS_ENDPOINT_URL_S3" : "AWS_ENDPOINT_URL_STS";
	const char *services = aws_config_get(c, f, f->profile, "services");
	const struct aws_section *section;

	*ret = NULL;
	if (ignore && strcasecmp(ignore, "true") == 0)
		return 0;
	*ret = aws_variable(variable);
	if (!*ret)
		*ret = aws_variable("AWS_ENDPOINT_URL");
	if (*ret)
		return 0;
	if (services) {
		section = config_section(c, f, "services", services);
		if (!section)
			return fail_because(c, INVALID_PARAMETER_VALUE, f->config_path,
			                    "The AWS profile '%s' names the services section '%s', which is "
			                    "not in the AWS config file.", f->profile, services);
		*ret = nested(c, entry(section, service), "endpoint_url");
	}
	if (!*ret)
		*ret = aws_config_get(c, f, f->profile, "endpoint_url");
	if (*ret && !**ret)
		*ret = NULL;
	return 0;
}

int aws_settings_read(struct ctx *c, struct aws_settings *ret)
{
	struct aws_config f;
	const char *ca;

	if (aws_config_read(c, &f) || aws_config_endpoint(c, &f, "s3", &ret->s3_endpoint))
		return -1;
	ret->region = aws_config_region(c, &f);
	ca = aws_config_setting(c, &f, "AWS_CA_BUNDLE", "ca_bundle");
	ret->region = ret->region ? arena_strdup(c->arena, ret->region) : NULL;
	ret->ca_bundle = ca ? arena_strdup(c->arena, ca) : NULL;
	if (ret->s3_endpoint)
		ret->s3_endpoint = arena_strdup(c->arena, ret->s3_endpoint);
	return 0;
}
