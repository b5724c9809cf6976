/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* capstan promote: a model version from one server to another. */
#include "exchange/promote.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "cli/cli.h"
#include "net/net.h"

enum { LOG_MS = 10000 };

enum {
	OPTION_TO,
	OPTION_TO_NAME,
	OPTION_EXPERIMENT,
	OPTION_ALIAS,
	OPTION_DRY_RUN,
	OPTION_INSECURE_TLS,
	OPTION_CA_FILE,
	OPTION_USER,
	OPTION_PASSWORD,
	OPTION_TOKEN,
	OPTION_SRC_USER,
	OPTION_SRC_PASSWORD,
	OPTION_SRC_TOKEN,
	OPTION_DST_USER,
	OPTION_DST_PASSWORD,
	OPTION_DST_TOKEN,
	OPTIONS
};

/* clang-format off */
static const struct cli_option options[OPTIONS] = {
	[OPTION_TO] = { .name = "to", .value = "DST_URI", .required = true,
		.help = "The destination server, as http(s)://[user:password@]host[:port][/prefix]." },
	[OPTION_TO_NAME] = { .name = "to-name", .value = "NAME",
		.help = "The registered model's name at the destination. By default the same." },
	[OPTION_EXPERIMENT] = { .name = "experiment", .value = "NAME",
		.help = "The experiment at the destination that takes the run; made where there is "
		        "none. By default one of the same name." },
	[OPTION_ALIAS] = { .name = "alias", .value = "ALIAS", .many = true,
		.help = "Set this alias to the version when all is there. May be given again." },
	[OPTION_DRY_RUN] = { .name = "dry-run", .type = CLI_SWITCH, .fallback = "0",
		.help = "Only say what would be copied." },
	[OPTION_INSECURE_TLS] = { .name = "insecure-tls", .type = CLI_SWITCH, .fallback = "0",
		.env = "MLFLOW_TRACKING_INSECURE_TLS",
		.help = "Do not check the servers' certificates." },
	[OPTION_CA_FILE] = { .name = "ca-file", .value = "FILE",
		.env = "MLFLOW_TRACKING_SERVER_CERT_PATH",
		.help = "Certificates to trust instead of the system's." },
	[OPTION_USER] = { .env = "MLFLOW_TRACKING_USERNAME",
		.help = "Who asks both servers, unless said apart." },
	[OPTION_PASSWORD] = { .env = "MLFLOW_TRACKING_PASSWORD", .help = "Its password." },
	[OPTION_TOKEN] = { .env = "MLFLOW_TRACKING_TOKEN",
		.help = "A bearer token for both servers, where there is no user." },
	[OPTION_SRC_USER] = { .env = "CAPSTAN_PROMOTE_SRC_USERNAME",
		.help = "Who asks the source. user:password@ in its address wins over this." },
	[OPTION_SRC_PASSWORD] = { .env = "CAPSTAN_PROMOTE_SRC_PASSWORD", .help = "Its password." },
	[OPTION_SRC_TOKEN] = { .env = "CAPSTAN_PROMOTE_SRC_TOKEN",
		.help = "A bearer token for the source." },
	[OPTION_DST_USER] = { .env = "CAPSTAN_PROMOTE_DST_USERNAME",
		.help = "Who asks the destination." },
	[OPTION_DST_PASSWORD] = { .env = "CAPSTAN_PROMOTE_DST_PASSWORD", .help = "Its password." },
	[OPTION_DST_TOKEN] = { .env = "CAPSTAN_PROMOTE_DST_TOKEN",
		.help = "A bearer token for the destination." },
};
/* clang-format on */

const struct cli_command cli_promote_command = {
	.name = "promote",
	.positional = "SRC_URI models:/NAME/VERSION",
	.positionals = 2,
	.summary = "Copy a model version with its run to another server.",
	.description =
		"Copy a model version from one tracking server to another (Capstan or MLflow): its "
		"run with params, tags, datasets and every point of its curves, the run's artifacts, "
		"and the logged model. models:/NAME@ALIAS names a version too. Run it again after "
		"any interruption: it completes what is there and doubles nothing. The version is "
		"made last, its aliases after it.\n\nCredentials come from user:password@ in an "
		"address, from CAPSTAN_PROMOTE_SRC_USERNAME, _PASSWORD and _TOKEN and "
		"CAPSTAN_PROMOTE_DST_..., or from MLFLOW_TRACKING_USERNAME, _PASSWORD and _TOKEN "
		"for both.",
	.options = options,
	.count = OPTIONS,
};

/* What the user sees while it works: one line that changes, or a log. */
struct screen {
	bool terminal;
	const char *step;
	int64_t logged_ms;
	bool drawn;
};

static const char *size_text(char *to, size_t size, int64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes;
	unsigned unit = 0;

	while (value >= 1024 && unit < 4) {
		value /= 1024;
		unit++;
	}
	snprintf(to, size, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return to;
}

static void erase(struct screen *s)
{
	if (s->drawn)
		fputs("\r\033[K", stderr);
	s->drawn = false;
}

static void progress(void *arg, const char *step, const struct promote_report *r)
{
	struct screen *s = arg;
	int64_t now = clock_ms();
	char bytes[32];

	size_text(bytes, sizeof(bytes), r->sent_bytes);
	if (s->terminal) {
		fprintf(stderr, "\r\033[K%s: %" PRId64 " points, %" PRId64 " files, %s sent", step,
			r->points, r->files, bytes);
		s->drawn = true;
		return;
	}
	if (step == s->step && now - s->logged_ms < LOG_MS)
		return;
	s->step = step;
	s->logged_ms = now;
	log_event(LOG_INFO, "promote", "step", step, "points", log_fmt("%" PRId64, r->points),
		  "files", log_fmt("%" PRId64, r->files), "sent",
		  log_fmt("%" PRId64, r->sent_bytes), NULL);
}

static void print_counts(const struct promote_report *r, bool dry_run)
{
	char all[32], sent[32];

	printf("  run         %s (%" PRId64 " params, %" PRId64 " tags, %" PRId64
	       " points of %" PRId64 " metrics, %" PRId64 " datasets)\n",
	       r->run_id ? r->run_id : r->runs ? "new" : "none", r->params, r->tags, r->points,
	       r->curves, r->datasets);
	if (r->model_id)
		printf("  model       %s\n", r->model_id);
	if (dry_run) {
		printf("  artifacts   %" PRId64 " files, %s\n", r->files,
		       size_text(all, sizeof(all), r->bytes));
		return;
	}
	printf("  artifacts   %" PRId64 " files, %s (%" PRId64 " files, %s sent now)\n", r->files,
	       size_text(all, sizeof(all), r->bytes), r->sent_files,
	       size_text(sent, sizeof(sent), r->sent_bytes));
	if (*r->digest)
		printf("  sha256      %s\n", r->digest);
}

static void print_report(const struct promote_report *r, bool dry_run)
{
	const char *what = dry_run ? r->existed ? "Is there already" : "Would promote"
			   : r->existed ? "Was there already"
					: "Promoted";

	printf("%s: models:/%s/%s -> models:/%s/%s\n", what, r->model, r->version, r->to_name,
	       r->to_version ? r->to_version : "(new)");
	if (!r->existed) {
		if (r->experiment)
			printf("  experiment  %s\n", r->experiment);
		print_counts(r, dry_run);
	}
	if (r->source)
		printf("  source      %s\n", r->source);
	for (size_t i = 0; i < r->aliases.count; i++)
		printf("  alias       %s\n", *LIST_AT(const char *, &r->aliases, i));
	if (r->url)
		printf("  at          %s\n", r->url);
	for (size_t i = 0; i < r->notes.count; i++)
		printf("  note        %s\n", *LIST_AT(const char *, &r->notes, i));
}

/* The credentials of one side: its own, else those of both. */
static struct mlflow_login login(const struct cli_values *v, const char *uri, int user)
{
	const char *const *text = v->text;
	bool own = text[user] || text[user + 2];
	struct mlflow_login l = {
		.uri = uri,
		.user = own ? text[user] : text[OPTION_USER],
		.password = own ? text[user + 1] : text[OPTION_PASSWORD],
		.token = own ? text[user + 2] : text[OPTION_TOKEN],
		.ca_file = text[OPTION_CA_FILE],
		.insecure_tls = cli_option_is(v, OPTION_INSECURE_TLS),
	};

	return l;
}

static size_t split_lines(struct ctx *c, const char *text, const char *const **ret)
{
	size_t count = 0;
	const char **parts = NEW_ARRAY(c->arena, text ? strlen(text) + 1 : 1, const char *);

	while (text && *text) {
		size_t size = strcspn(text, "\n");
		if (size)
			parts[count++] = arena_strndup(c->arena, text, size);
		text += size + (text[size] != 0);
	}
	*ret = parts;
	return count;
}

int cli_promote(struct ctx *c, const struct cli_values *v)
{
	struct screen screen = { .terminal = isatty(STDERR_FILENO) };
	struct promote_report report;
	struct promote_options o = {
		.from = login(v, v->positional, OPTION_SRC_USER),
		.to = login(v, v->text[OPTION_TO], OPTION_DST_USER),
		.version_uri = v->positional2,
		.to_name = v->text[OPTION_TO_NAME],
		.experiment = v->text[OPTION_EXPERIMENT],
		.dry_run = cli_option_is(v, OPTION_DRY_RUN),
		.progress = progress,
		.progress_arg = &screen,
	};

	o.alias_count = split_lines(c, v->text[OPTION_ALIAS], &o.aliases);
	net_init();
	int failed = promote_run(c, &o, &report);
	erase(&screen);
	if (failed) {
		if (report.files || report.points)
			fprintf(stderr,
				"capstan promote: stopped after %" PRId64 " points and %" PRId64
				" files. Run it again: it goes on from there.\n",
				report.points, report.files);
		return -1;
	}
	print_report(&report, o.dry_run);
	return 0;
}
