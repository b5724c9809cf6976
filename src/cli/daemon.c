/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "cli/daemon.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "artifacts/artifact.h"
#include "artifacts/transfer.h"
#include "auth/auth.h"
#include "auth/config.h"
#include "base/arena.h"
#include "base/log.h"
#include "base/thread.h"
#include "blob/blob.h"
#include "cli/serve.h"
#include "cli/webhook_key.h"
#include "db/db.h"
#include "db/migrate.h"
#include "db/private.h"
#include "db/uri.h"
#include "http/server.h"
#include "net/net.h"
#include "reconcile/curve.h"
#include "reconcile/settle.h"
#include "reconcile/webhook.h"
#include "registry/webhook.h"
#include "store/read.h"
#include "store/write.h"
#include "tracking/tracking.h"

enum {
	COMMITTERS = 3, /* two of one kind gain all there is; the third is the other kind's */
	READERS = 2,
	STATEMENT_TIMEOUT_MS = 10000,
	CONNECT_MS = 10000,
	ARTIFACT_WAIT_MS = 2000, /* for a connection, where artifacts do without one, too */
	TRANSFER_THREADS = 4,
	AUTH_CONNECTIONS = 2, /* a login waits for no search */
	AUTH_CONNECTIONS_FROM = 6,
	/* of the private PostgreSQL: migrations, gc, psql */
	SPARE_CONNECTIONS = 8 + WEBHOOK_CONNECTIONS + CURVE_CONNECTIONS + SETTLE_CONNECTIONS,
};

static int open_database(struct ctx *c, struct daemon *d)
{
	const struct cli_values *v = d->values;
	const char *uri = v->text[SERVE_BACKEND_STORE_URI];

	if (uri) {
		if (db_uri_normalize(c, uri, &d->conninfo))
			return -1;
		log_event(LOG_INFO, "database", "uri", db_uri_redact(c, uri), NULL);
		return 0;
	}
	struct db_private_options o = {
		.data_dir = d->home.dir,
		.log_dir = d->home.logs,
		.bin_dir = v->text[SERVE_PG_BIN_DIR],
		.run_as = v->text[SERVE_RUN_AS],
		.connections =
			(unsigned)cli_option_number(v, SERVE_DB_POOL_SIZE) + SPARE_CONNECTIONS,
	};
	if (db_private_start(c, &o, &d->private))
		return -1;
	d->conninfo = db_private_conninfo(d->private);
	log_event(LOG_INFO, "private PostgreSQL runs", "pid",
		  log_fmt("%d", db_private_pid(d->private)), "log",
		  log_fmt("%s/postgres.log", d->home.logs), NULL);
	return cli_home_publish(c, &d->home, d->conninfo);
}

static int migrate(struct ctx *c, struct daemon *d)
{
	int from = 0;
	int to = 0;

	if (migrate_run(c, d->conninfo, &from, &to))
		return -1;
	if (from != to)
		log_event(LOG_INFO, "schema migrated", "from", log_fmt("%d", from), "to",
			  log_fmt("%d", to), NULL);
	return 0;
}

static int open_pools(struct ctx *c, struct daemon *d)
{
	unsigned total = (unsigned)cli_option_number(d->values, SERVE_DB_POOL_SIZE);
	struct db_options o = { .conninfo = d->conninfo,
				.statement_timeout_ms = STATEMENT_TIMEOUT_MS };

	d->committers = total >= 2 * COMMITTERS ? COMMITTERS : total >= 4 ? 2 : 1;
	d->readers = total - d->committers;
	if (d->values->text[SERVE_APP_NAME] && total >= AUTH_CONNECTIONS_FROM) {
		d->readers -= AUTH_CONNECTIONS;
		o.size = AUTH_CONNECTIONS;
		d->auth_pool = db_pool_new(&o);
		if (!d->auth_pool)
			return fail(c, INTERNAL_ERROR, "No memory for the database connections.");
	}
	o.size = d->readers;
	d->read_pool = db_pool_new(&o);
	o.size = d->committers;
	d->commit_pool = db_pool_new(&o);
	if (!d->read_pool || !d->commit_pool)
		return fail(c, INTERNAL_ERROR, "No memory for the database connections.");
	if (db_get(c, d->read_pool, CONNECT_MS))
		return -1;
	int failed = tracking_bootstrap(c);
	db_put(c, d->read_pool);
	c->db = NULL;
	if (failed)
		return -1;
	d->workers = d->readers > 2 * READERS ? d->readers - READERS : d->readers;
	d->reader = reader_new(d->read_pool, READERS);
	if (!d->reader)
		return fail(c, INTERNAL_ERROR, "No memory or threads for the readers.");
	d->committer = committer_new(d->commit_pool, d->committers);
	return d->committer ? 0
			    : fail(c, INTERNAL_ERROR, "No memory or threads for the committer.");
}

static int open_auth(struct ctx *c, struct daemon *d, const struct auth_config *config)
{
	const char *const *text = d->values->text;

	if (!text[SERVE_APP_NAME])
		return 0;
	struct auth_options o = {
		.pool = d->auth_pool ? d->auth_pool : d->read_pool,
		.default_permission = config->default_permission,
		.admin_username = text[SERVE_AUTH_ADMIN_USERNAME] ? text[SERVE_AUTH_ADMIN_USERNAME]
								  : config->admin_username,
		.admin_password = text[SERVE_AUTH_ADMIN_PASSWORD] ? text[SERVE_AUTH_ADMIN_PASSWORD]
								  : config->admin_password,
		.secret_key = text[SERVE_FLASK_SECRET_KEY],
		.cache_limit = config->cache_limit,
		.cache_ttl_ms = config->cache_ttl_ms,
	};
	d->auth = auth_new(c, &o);
	return d->auth ? 0 : -1;
}

/* Where new experiments keep their artifacts, as MLflow decides it. */
static const char *artifact_root(const struct daemon *d)
{
	const char *named = d->values->text[SERVE_DEFAULT_ARTIFACT_ROOT];

	if (named)
		return named;
	return cli_option_is(d->values, SERVE_SERVE_ARTIFACTS) ? "mlflow-artifacts:/"
							       : d->home.artifacts;
}

/* With accounts nothing is served that no permission was given for. */
static const char *artifact_roots(const struct daemon *d)
{
	const char *named = d->values->text[SERVE_ARTIFACT_ROOTS];

	if (named)
		return named;
	return d->values->text[SERVE_APP_NAME] ? "" : "s3://,gs://";
}

/* The readers' connections, for handlers of artifacts; constant while they run. */
static struct db_pool *artifact_pool;

static int take_connection(struct ctx *c)
{
	return db_get(c, artifact_pool, ARTIFACT_WAIT_MS);
}

static void give_connection_back(struct ctx *c)
{
	if (!c->db)
		return;
	db_put(c, artifact_pool);
	c->db = NULL;
}

static int open_artifacts(struct ctx *c, struct daemon *d)
{
	const struct cli_values *v = d->values;
	const char *destination = v->text[SERVE_ARTIFACTS_DESTINATION];

	if (!destination)
		destination = d->home.artifacts;
	d->root = blob_open(c, destination);
	if (!d->root)
		return -1;
	artifacts_configure(d->root, destination, cli_option_is(v, SERVE_SERVE_ARTIFACTS));
	artifacts_configure_default(artifact_root(d), d->home.dir);
	artifact_pool = d->read_pool;
	artifacts_configure_database(take_connection, give_connection_back);
	if (artifacts_configure_roots(c, artifact_roots(d), d->home.dir) ||
	    artifacts_configure_presigned(c, cli_option_is(v, SERVE_PRESIGNED_ONLY),
					  cli_option_number(v, SERVE_PRESIGNED_TTL)))
		return -1;
	d->transfers = transfer_engine_new(d->root, TRANSFER_THREADS);
	return d->transfers
		       ? 0
		       : fail(c, INTERNAL_ERROR, "No memory or threads for artifact transfers.");
}

static int open_webhooks(struct ctx *c, struct daemon *d)
{
	const struct cli_values *v = d->values;
	struct db_options o = { .conninfo = d->conninfo, .size = WEBHOOK_CONNECTIONS,
				.statement_timeout_ms = STATEMENT_TIMEOUT_MS };
	struct webhook_config w = {
		.schemes = v->text[SERVE_WEBHOOK_SCHEMES],
		.allow_private = cli_option_is(v, SERVE_WEBHOOK_ALLOW_PRIVATE),
		.timeout_ms = (int)cli_option_number(v, SERVE_WEBHOOK_TIMEOUT) * 1000,
		.max_retries = (int)cli_option_number(v, SERVE_WEBHOOK_RETRIES),
		.workers = d->workers,
		.key = v->text[SERVE_WEBHOOK_KEY],
	};

	if ((!w.key && cli_webhook_key(c, d->home.dir, &w.key)) || registry_webhook_configure(c, &w))
		return -1;
	d->webhook_pool = db_pool_new(&o);
	if (d->webhook_pool)
		d->webhooks = reconcile_webhook_start(
			d->webhook_pool, (unsigned)cli_option_number(v, SERVE_WEBHOOK_SENDERS));
	return d->webhooks ? 0 : fail(c, INTERNAL_ERROR, "No memory or threads for webhooks.");
}

static int open_curves(struct ctx *c, struct daemon *d)
{
	struct db_options o = { .conninfo = d->conninfo, .size = CURVE_CONNECTIONS,
				.statement_timeout_ms = STATEMENT_TIMEOUT_MS };

	d->curve_pool = db_pool_new(&o);
	if (d->curve_pool)
		d->curves = reconcile_curve_start(d->curve_pool);
	return d->curves ? 0 : fail(c, INTERNAL_ERROR, "No memory or threads for charts.");
}

static int open_settling(struct ctx *c, struct daemon *d)
{
	struct db_options o = { .conninfo = d->conninfo, .size = SETTLE_CONNECTIONS,
				.statement_timeout_ms = STATEMENT_TIMEOUT_MS };

	d->settle_pool = db_pool_new(&o);
	if (d->settle_pool)
		d->settling = reconcile_settle_start(d->settle_pool);
	return d->settling ? 0 : fail(c, INTERNAL_ERROR, "No memory or thread to settle runs.");
}

/* Searches compute in the database. Where it has the same cores as we do, more of them than cores only take time from
   each other and from all else; one more, because one's answer is being written. */
static unsigned most_searches(const struct daemon *d)
{
	int64_t asked = cli_option_number(d->values, SERVE_SEARCHES);
	cpu_set_t cores;

	if (asked || !db_uri_is_local(d->conninfo) || sched_getaffinity(0, sizeof(cores), &cores))
		return (unsigned)asked;
	return (unsigned)CPU_COUNT(&cores) + 1;
}

static int listen_http(struct ctx *c, struct daemon *d)
{
	const struct cli_values *v = d->values;
	struct http_options o = {
		.host = v->text[SERVE_HOST],
		.port = (unsigned)cli_option_number(v, SERVE_PORT),
		.static_prefix = v->text[SERVE_STATIC_PREFIX],
		.allowed_hosts = v->text[SERVE_ALLOWED_HOSTS],
		.cors_allowed_origins = v->text[SERVE_CORS_ALLOWED_ORIGINS],
		.x_frame_options = v->text[SERVE_X_FRAME_OPTIONS],
		.disable_security = cli_option_is(v, SERVE_DISABLE_SECURITY),
		.serve_artifacts = cli_option_is(v, SERVE_SERVE_ARTIFACTS),
		.artifacts_only = cli_option_is(v, SERVE_ARTIFACTS_ONLY),
		/* On a disk one streamed PUT beats parts that have to be put together. */
		.multipart_uploads = blob_abilities(d->root) & BLOB_SIGNS_PARTS,
		.multipart_downloads = blob_abilities(d->root) & BLOB_SIGNS_READS,
		.expose_metrics = true,
		.workspaces = cli_option_is(v, SERVE_ENABLE_WORKSPACES),
		.event_threads = (unsigned)cli_option_number(v, SERVE_EVENT_THREADS),
		.workers = d->workers,
		.searches = most_searches(d),
		.pool = d->read_pool,
		.reader = d->reader,
		.committer = d->committer,
		.auth = d->auth,
		.transfers = d->transfers,
	};
	d->http = http_server_start(c, &o);
	return d->http ? 0 : -1;
}

int cli_daemon_start(struct ctx *c, struct daemon *d)
{
	static struct tracking_config tracking;
	const struct cli_values *v = d->values;
	struct auth_config accounts = { 0 };

	/* Of all threads, and of the private PostgreSQL; those that move bytes know better. */
	thread_pace(THREAD_PROMPT);
	/* For blob/, which knows no flags; no thread runs yet. */
	setenv("CAPSTAN_ARTIFACT_STALL_SECONDS", v->text[SERVE_ARTIFACT_STALL], 1);
	net_init();
	/* What is wrong with it is said before a database is made. */
	if (v->text[SERVE_APP_NAME] && auth_config_read(c, v->text[SERVE_AUTH_CONFIG], &accounts))
		return -1;
	if (cli_home_open(c, v->text[SERVE_DATA_DIR], &d->home) || cli_home_lock(c, &d->home))
		return -1;
	tracking = (struct tracking_config){
		.artifact_root = artifact_root(d),
		.truncate_long_values = cli_option_is(v, SERVE_TRUNCATE_LONG_VALUES),
	};
	tracking_configure(&tracking);
	if (open_database(c, d) || migrate(c, d) || open_pools(c, d) || open_auth(c, d, &accounts) ||
	    open_artifacts(c, d) || open_webhooks(c, d) || open_curves(c, d) ||
	    open_settling(c, d))
		return -1;
	return listen_http(c, d);
}

void cli_daemon_stop_private(struct daemon *d)
{
	if (!atomic_exchange(&d->private_stopping, true))
		db_private_stop(d->private);
}

void cli_daemon_stop(struct daemon *d)
{
	if (d->http)
		http_server_stop(d->http);
	if (d->curves)
		reconcile_curve_stop(d->curves);
	if (d->curve_pool)
		db_pool_free(d->curve_pool);
	if (d->webhooks)
		reconcile_webhook_stop(d->webhooks);
	if (d->webhook_pool)
		db_pool_free(d->webhook_pool);
	if (d->settling)
		reconcile_settle_stop(d->settling);
	if (d->settle_pool)
		db_pool_free(d->settle_pool);
	auth_free(d->auth);
	if (d->reader)
		reader_free(d->reader);
	if (d->committer)
		committer_free(d->committer);
	if (d->transfers)
		transfer_engine_free(d->transfers);
	artifacts_close();
	if (d->root)
		blob_close(d->root);
	blob_shutdown();
	if (d->commit_pool)
		db_pool_free(d->commit_pool);
	if (d->read_pool)
		db_pool_free(d->read_pool);
	if (d->auth_pool)
		db_pool_free(d->auth_pool);
	cli_daemon_stop_private(d);
	if (d->home.lock >= 0)
		close(d->home.lock);
}
