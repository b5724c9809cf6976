/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* capstan import: an existing MLflow store into this program's database. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/database.h"
#include "db/db.h"
#include "db/migrate.h"
#include "exchange/import.h"
#include "net/net.h"

enum { BAR = 30, DRAW_MS = 100, LOG_MS = 5000 };

enum {
	OPTION_FROM,
	OPTION_TO,
	OPTION_DATA_DIR,
	OPTION_AUTH_FROM,
	OPTION_CONFLICT,
	OPTION_DRY_RUN,
	OPTION_REPORT,
	OPTION_RESTART,
	OPTION_ONLINE,
	OPTION_FORCE,
	OPTION_PG_BIN_DIR,
	OPTION_RUN_AS,
	OPTIONS
};

/* clang-format off */
static const struct cli_option options[OPTIONS] = {
	[OPTION_FROM] = { .name = "from", .value = "URI",
		.help = "The MLflow store: postgresql://..., sqlite:///path, a directory of mlruns, or http(s)://... of "
		        "a server. It is only read. Its password or token: as MLflow's client takes it." },
	[OPTION_TO] = { .name = "to", .env = "MLFLOW_BACKEND_STORE_URI", .value = "URI",
		.help = "The database to import into, as serve's --backend-store-uri. By default the private one of the "
		        "data directory, which is made where there is none." },
	[OPTION_DATA_DIR] = { .name = "data-dir", .env = "CAPSTAN_DATA_DIR", .value = "DIR",
		.fallback = "./capstan-data", .help = "The daemon's directory." },
	[OPTION_AUTH_FROM] = { .name = "auth-from", .value = "URI",
		.help = "Where the users, roles and permissions of MLflow's auth app are, when in another database: "
		        "sqlite:///basic_auth.db." },
	[OPTION_CONFLICT] = { .name = "on-conflict", .type = CLI_CHOICE, .value = "RULE", .choices = "fail|skip",
		.fallback = "fail",
		.help = "What is in the target already with other content: fail, or skip: it stays as it is, and what "
		        "belongs to it stays behind." },
	[OPTION_DRY_RUN] = { .name = "dry-run", .type = CLI_SWITCH, .fallback = "0",
		.help = "Read and check everything, write nothing." },
	[OPTION_REPORT] = { .name = "report", .value = "FILE", .help = "Write the report there too, as JSON." },
	[OPTION_RESTART] = { .name = "restart", .type = CLI_SWITCH, .fallback = "0",
		.help = "Begin again where an earlier run was cut, instead of going on behind it. Nothing is doubled." },
	[OPTION_ONLINE] = { .name = "online", .type = CLI_SWITCH, .fallback = "0",
		.help = "Import although a daemon runs on the database." },
	[OPTION_FORCE] = { .name = "force", .type = CLI_SWITCH, .fallback = "0",
		.help = "Read a schema of a version that this program does not know." },
	[OPTION_PG_BIN_DIR] = { .name = "pg-bin-dir", .env = "CAPSTAN_PG_BIN_DIR", .value = "DIR",
		.help = "Where initdb and postgres are." },
	[OPTION_RUN_AS] = { .name = "run-as", .env = "CAPSTAN_RUN_AS", .value = "USER",
		.help = "Who the private PostgreSQL runs as." },
};
/* clang-format on */

const struct cli_command cli_import_command = {
	.name = "import",
	.summary = "Take over an existing MLflow store.",
	.description = "Bring an existing MLflow store over: experiments, runs with all their history, logged models, "
		       "the registry, webhooks and users, with the same ids and artifact locations. The source is only "
		       "read. A run that was cut goes on where it was. At the end both sides are compared; the exit "
		       "code is 1 when they differ.",
	.options = options,
	.count = OPTIONS,
};

/* ---- progress: a bar on a terminal, now and then a line elsewhere ---- */

struct show {
	bool terminal;
	int64_t last, began;
	int64_t first_rows;
	const char *table;
};

static void draw(const struct show *s, const char *table, int64_t rows, int64_t total, double speed)
{
	char bar[BAR + 1];
	int full = total > 0 ? (int)(rows * BAR / total) : 0;

	for (int i = 0; i < BAR; i++)
		bar[i] = i < full || total <= 0 ? '#' : '.';
	bar[BAR] = '\0';
	(void)s;
	fprintf(stderr, "\r%-24s [%s] %lld/%lld  %.0f/s\033[K", table, bar, (long long)rows,
		(long long)(total < 0 ? rows : total), speed);
	fflush(stderr);
}

static void show(void *arg, const char *table, int64_t rows, int64_t total, bool end)
{
	struct show *s = arg;
	int64_t now = clock_ms();

	if (s->table != table) {
		s->table = table;
		s->began = now;
		s->first_rows = rows;
	}
	if (!rows || (!end && now - s->last < (s->terminal ? DRAW_MS : LOG_MS)))
		return;
	s->last = now;
	double seconds = (double)(now - s->began) / 1000;
	double speed = seconds > 0 ? (double)(rows - s->first_rows) / seconds : 0;
	if (s->terminal) {
		draw(s, table, rows, total, speed);
		if (end)
			fputc('\n', stderr);
	} else {
		log_event(LOG_INFO, end ? "imported" : "importing", "table", table, "rows",
			  log_fmt("%lld", (long long)rows), "of", total < 0 ? NULL : log_fmt("%lld", (long long)total),
			  NULL);
	}
}

static int write_report(struct ctx *c, const char *path, const char *json)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return fail(c, INVALID_PARAMETER_VALUE, "Cannot write the report %s: %s.", path, strerror(errno));
	bool written = fputs(json, f) >= 0;
	if (fclose(f) || !written)
		return fail(c, INSUFFICIENT_STORAGE, "Cannot write the report %s: %s.", path, strerror(errno));
	return 0;
}

struct call {
	const struct import_options *options;
	struct db_pool *pool;
	const char *report;
};

static int run(struct ctx *c, void *arg)
{
	const struct call *call = arg;
	struct import_report *r = NEW(c->arena, struct import_report);

	if (import_run(c, call->pool, call->options, r))
		return -1;
	fputs(import_report_text(c, r), stdout);
	fflush(stdout);
	if (call->report && write_report(c, call->report, import_report_json(c, r)))
		return -1;
	if (r->verified && !r->agrees)
		return fail(c, INVALID_STATE, "The target does not hold what was read: see the report.");
	return 0;
}

/* Its connection ends with its arena: here it must not be taken for a daemon's. */
static int migrate(struct ctx *c, const char *conninfo)
{
	struct ctx own = *c;

	own.arena = arena_child(c->arena, LIMIT_ARENA);
	int failed = migrate_run(&own, conninfo, NULL, NULL);
	if (failed)
		fail_because(c, own.error.code, own.error.detail ? arena_strdup(c->arena, own.error.detail) : NULL, "%s",
			     own.error.message);
	arena_reset(own.arena);
	return failed;
}

static int run_on(struct ctx *c, struct call *call, const char *conninfo)
{
	struct db_options o = { .conninfo = conninfo, .size = 1 };

	if (conninfo) {
		if (migrate(c, conninfo))
			return -1;
		call->pool = db_pool_new(&o);
		if (!call->pool)
			return fail(c, INTERNAL_ERROR, "No memory.");
	}
	int failed = work_run(c, run, call);
	if (c->db)
		db_put(c, call->pool);
	db_pool_free(call->pool);
	return failed;
}

int cli_import(struct ctx *c, const struct cli_values *v)
{
	struct show progress = { .terminal = isatty(STDERR_FILENO) };
	struct import_options o = {
		.from = v->text[OPTION_FROM],
		.auth_from = v->text[OPTION_AUTH_FROM],
		.skip_conflicts = !strcmp(v->text[OPTION_CONFLICT], "skip"),
		.dry_run = cli_option_is(v, OPTION_DRY_RUN),
		.restart = cli_option_is(v, OPTION_RESTART),
		.online = cli_option_is(v, OPTION_ONLINE),
		.force = cli_option_is(v, OPTION_FORCE),
		.progress = show,
		.progress_arg = &progress,
	};
	struct call call = { &o, NULL, v->text[OPTION_REPORT] };
	struct cli_database_options where = { .uri = v->text[OPTION_TO],
					      .data_dir = v->text[OPTION_DATA_DIR],
					      .pg_bin_dir = v->text[OPTION_PG_BIN_DIR],
					      .run_as = v->text[OPTION_RUN_AS],
					      .create = true };
	struct cli_database database = { .home = { .lock = -1 } };

	if (!o.from)
		return fail(c, INVALID_PARAMETER_VALUE, "Say what to import, with --from.");
	net_init();
	if (o.dry_run)
		return run_on(c, &call, NULL);
	int failed = cli_database_open(c, &where, &database);
	if (!failed)
		failed = run_on(c, &call, database.conninfo);
	cli_database_close(&database);
	return failed;
}
