/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "cli/serve.h"

#include "cli/cli.h"

static const char unused_process[] = "the daemon is one process and sizes its own threads";
static const char unused_python[] = "there is no Python web server behind this daemon";
static const char unused_secrets[] = "there is no AI gateway whose secrets could be cached";

/* clang-format off */
static const struct cli_option options[SERVE_OPTIONS] = {
	[SERVE_BACKEND_STORE_URI] = { .name = "backend-store-uri", .topic = "Storage",
		.env = "MLFLOW_BACKEND_STORE_URI", .value = "URI",
		.help = "PostgreSQL (13 or newer) that keeps everything, as "
		        "postgresql://user:password@host/database; "
		        "SQLAlchemy driver names such as postgresql+psycopg2:// are accepted. "
		        "Without it the daemon "
		        "runs a PostgreSQL of its own inside the data directory." },
	[SERVE_READ_REPLICA] = { .name = "read-replica-backend-store-uri",
		.env = "MLFLOW_READ_REPLICA_BACKEND_STORE_URI", .value = "URI",
		.unused = "all reads go to the backend store", .help = "" },
	[SERVE_REGISTRY_STORE_URI] = { .name = "registry-store-uri",
		.env = "MLFLOW_REGISTRY_STORE_URI",
		.value = "URI", .unused = "the registry lives in the backend store", .help = "" },
	[SERVE_DEFAULT_ARTIFACT_ROOT] = { .name = "default-artifact-root",
		.env = "MLFLOW_DEFAULT_ARTIFACT_ROOT", .value = "URI",
		.help = "Where new experiments keep their artifacts: mlflow-artifacts:/, "
		        "s3://bucket/prefix, gs://bucket/prefix, a directory or file:// URI. By "
		        "default mlflow-artifacts:/, which is this daemon; with "
		        "--no-serve-artifacts the data directory's artifacts folder." },
	[SERVE_SERVE_ARTIFACTS] = { .name = "serve-artifacts", .negation = "no-serve-artifacts",
		.type = CLI_SWITCH, .env = "MLFLOW_SERVE_ARTIFACTS", .fallback = "1",
		.help = "Store, hand out and list artifacts for clients." },
	[SERVE_ARTIFACTS_ONLY] = { .name = "artifacts-only", .type = CLI_SWITCH,
		.env = "MLFLOW_ARTIFACTS_ONLY", .fallback = "0",
		.help = "Serve artifacts and nothing else: all other routes answer 503." },
	[SERVE_ARTIFACTS_DESTINATION] = { .name = "artifacts-destination",
		.env = "MLFLOW_ARTIFACTS_DESTINATION", .value = "URI",
		.help = "Where served artifacts are kept: s3://bucket/prefix, gs://bucket/prefix, "
		        "a directory or file:// URI. By default artifacts/ in the data directory." },
	[SERVE_ARTIFACT_ROOTS] = { .name = "artifact-roots", .env = "CAPSTAN_ARTIFACT_ROOTS",
		.value = "LIST",
		.help = "In what, besides the artifact destination and the default artifact root, "
		        "locations that clients name are served: comma-separated s3:// and gs:// "
		        "(any bucket that the server's credentials reach), s3://bucket/prefix, "
		        "gs://bucket/prefix, directories. By default s3://,gs://; with user "
		        "accounts nothing." },
	[SERVE_PRESIGNED_ONLY] = { .name = "artifacts-presigned-only", .type = CLI_SWITCH,
		.env = "CAPSTAN_ARTIFACTS_PRESIGNED_ONLY", .fallback = "0",
		.help = "No bytes of the artifact destination through this daemon: downloads are "
		        "redirected to signed URLs of the store, uploads must be multipart ones. "
		        "Needs s3:// or gs://." },
	[SERVE_PRESIGNED_TTL] = { .env = "MLFLOW_PRESIGNED_DOWNLOAD_URL_TTL_SECONDS",
		.type = CLI_NUMBER, .value = "SECONDS", .fallback = "300", .min = 1, .max = 604800,
		.help = "How long signed URLs of downloads are good." },
	[SERVE_ARTIFACT_STALL] = { .name = "artifact-stall-seconds",
		.env = "CAPSTAN_ARTIFACT_STALL_SECONDS", .type = CLI_NUMBER, .value = "SECONDS",
		.fallback = "30", .min = 1, .max = 3600,
		.help = "An artifact store that moves no byte for so long is asked again, and "
		        "given up in the end." },
	[SERVE_DATA_DIR] = { .name = "data-dir", .env = "CAPSTAN_DATA_DIR", .value = "DIR",
		.fallback = "./capstan-data",
		.help = "The daemon's directory: postgres/, artifacts/ and logs/. One daemon at "
		        "a time uses it." },
	[SERVE_DB_POOL_SIZE] = { .name = "db-pool-size", .type = CLI_NUMBER,
		.env = "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE", .value = "N", .fallback = "13", .min = 2,
		.max = 512,
		.help = "Most database connections of this daemon, all together; webhooks use two "
		        "more, charts and the settling of runs one each." },
	[SERVE_DB_MAX_OVERFLOW] = { .env = "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW",
		.unused = "--db-pool-size is the bound" },
	[SERVE_DB_POOL_RECYCLE] = { .env = "MLFLOW_SQLALCHEMYSTORE_POOL_RECYCLE",
		.unused = "broken connections are noticed and replaced" },
	[SERVE_PG_BIN_DIR] = { .name = "pg-bin-dir", .env = "CAPSTAN_PG_BIN_DIR", .value = "DIR",
		.help = "Where initdb and postgres are, if they are not found by themselves." },
	[SERVE_RUN_AS] = { .name = "run-as", .env = "CAPSTAN_RUN_AS", .value = "USER",
		.help = "Who the private PostgreSQL runs as when the daemon is root (by default "
		        "postgres, else "
		        "nobody)." },

	[SERVE_HOST] = { .name = "host", .letter = 'h', .topic = "Network", .env = "MLFLOW_HOST",
		.value = "HOST", .fallback = "127.0.0.1",
		.help = "Address to listen on: 0.0.0.0 for all of IPv4, :: for all. Who may "
		        "connect is "
		        "--allowed-hosts." },
	[SERVE_PORT] = { .name = "port", .letter = 'p', .type = CLI_NUMBER, .env = "MLFLOW_PORT",
		.value = "PORT", .fallback = "5000", .min = 0, .max = 65535,
		.help = "Port to listen on; 0 picks a free one and says which." },
	[SERVE_WORKERS] = { .name = "workers", .letter = 'w', .env = "MLFLOW_WORKERS", .value = "N",
		.unused = unused_process, .help = "" },
	[SERVE_EVENT_THREADS] = { .name = "event-threads", .type = CLI_NUMBER,
		.env = "CAPSTAN_EVENT_THREADS", .value = "N", .fallback = "2", .min = 1, .max = 64,
		.help = "Threads that read and write sockets." },
	[SERVE_SEARCHES] = { .name = "searches", .type = CLI_NUMBER,
		.env = "CAPSTAN_SEARCHES", .value = "N", .fallback = "0", .min = 0, .max = 1024,
		.help = "Most searches and histories at one time; others wait, and delay nothing else. "
		        "0: one more than there are cores when the database is on this machine, else what "
		        "--db-pool-size leaves." },
	[SERVE_STATIC_PREFIX] = { .name = "static-prefix", .env = "MLFLOW_STATIC_PREFIX",
		.value = "PATH",
		.help = "Path in front of all paths of this server, for a reverse proxy: starts "
		        "with / and does not "
		        "end with one." },

	[SERVE_ALLOWED_HOSTS] = { .name = "allowed-hosts", .topic = "Security",
		.env = "MLFLOW_SERVER_ALLOWED_HOSTS", .value = "LIST",
		.help = "Comma-separated Host headers to accept, with * as wildcard, against DNS "
		        "rebinding. By default "
		        "localhost and private addresses; * accepts all." },
	[SERVE_CORS_ALLOWED_ORIGINS] = { .name = "cors-allowed-origins",
		.env = "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", .value = "LIST",
		.help = "Comma-separated origins whose web pages may call this server. By "
		        "default localhost, any port; "
		        "* accepts all." },
	[SERVE_DISABLE_SECURITY] = { .name = "disable-security-middleware", .type = CLI_SWITCH,
		.env = "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", .fallback = "0",
		.help = "No Host, Origin and framing checks at all. Dangerous; for tests." },
	[SERVE_X_FRAME_OPTIONS] = { .name = "x-frame-options", .type = CLI_CHOICE,
		.env = "MLFLOW_SERVER_X_FRAME_OPTIONS", .value = "VALUE", .fallback = "SAMEORIGIN",
		.choices = "SAMEORIGIN|DENY|NONE", .help = "Who may frame pages of this server; "
		        "NONE: everybody." },
	[SERVE_APP_NAME] = { .name = "app-name", .type = CLI_CHOICE, .value = "NAME",
		.choices = "basic-auth", .help = "basic-auth: user accounts, roles and permissions. "
		        "Everybody needs a name and a password then." },
	[SERVE_AUTH_CONFIG] = { .env = "MLFLOW_AUTH_CONFIG_PATH", .value = "PATH",
		.help = "Configuration of user accounts, in the format of MLflow's "
		        "basic_auth.ini." },
	[SERVE_AUTH_ADMIN_USERNAME] = { .env = "MLFLOW_AUTH_ADMIN_USERNAME", .value = "NAME",
		.help = "The admin that is created when there is no such user. By default what the "
		        "configuration says, else admin." },
	[SERVE_AUTH_ADMIN_PASSWORD] = { .env = "MLFLOW_AUTH_ADMIN_PASSWORD", .value = "TEXT",
		.help = "His first password, at least 12 characters. There is no default one." },
	[SERVE_FLASK_SECRET_KEY] = { .env = "MLFLOW_FLASK_SERVER_SECRET_KEY", .value = "TEXT",
		.help = "Signs the form of the sign-up page. By default a random key that all "
		        "daemons on one database share." },

	[SERVE_LOG_LEVEL] = { .name = "log-level", .topic = "Running", .type = CLI_CHOICE,
		.env = "CAPSTAN_LOG_LEVEL", .value = "LEVEL", .fallback = "info",
		.choices = "debug|info|warn|error", .help = "debug, info, warn or error." },
	[SERVE_LOG_FORMAT] = { .name = "log-format", .type = CLI_CHOICE,
		.env = "CAPSTAN_LOG_FORMAT",
		.value = "FORMAT", .fallback = "text", .choices = "text|json",
		.help = "Lines on standard error as text or json." },
	[SERVE_EXPOSE_PROMETHEUS] = { .name = "expose-prometheus",
		.env = "MLFLOW_EXPOSE_PROMETHEUS",
		.value = "PATH", .unused = "/metrics is always there and needs no "
		        "directory", .help = "" },
	[SERVE_TRUNCATE_LONG_VALUES] = { .env = "MLFLOW_TRUNCATE_LONG_VALUES", .type = CLI_SWITCH,
		.fallback = "1", .help = "Cut over-long parameter and tag values instead of "
		        "refusing them." },
	[SERVE_WEBHOOK_SCHEMES] = { .env = "MLFLOW_WEBHOOK_ALLOWED_SCHEMES", .fallback = "https",
		.help = "Comma-separated schemes that URLs of webhooks may have: https, http." },
	[SERVE_WEBHOOK_ALLOW_PRIVATE] = { .env = "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS",
		.type = CLI_SWITCH, .fallback = "0",
		.help = "Let webhooks reach addresses that are not public: localhost, private "
		        "networks, cloud metadata services. Only where every administrator may." },
	[SERVE_WEBHOOK_KEY] = { .env = "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY",
		.help = "Fernet key that webhook secrets are encrypted with: 32 bytes in URL-safe "
		        "base64. By default a random one, kept in webhook-secrets.key in the data "
		        "directory." },
	[SERVE_WEBHOOK_TIMEOUT] = { .env = "MLFLOW_WEBHOOK_REQUEST_TIMEOUT", .type = CLI_NUMBER,
		.fallback = "30", .min = 1, .max = 300,
		.help = "Seconds a webhook's target may take to answer." },
	[SERVE_WEBHOOK_RETRIES] = { .env = "MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES",
		.type = CLI_NUMBER, .fallback = "10", .min = 0, .max = 1000,
		.help = "How often a webhook delivery that failed is tried again, with growing "
		        "pauses of at most a minute, before it is given up." },
	[SERVE_WEBHOOK_SENDERS] = { .env = "MLFLOW_WEBHOOK_DELIVERY_MAX_WORKERS",
		.type = CLI_NUMBER, .fallback = "10", .min = 1, .max = 64,
		.help = "Webhooks that are delivered to at one time." },
	[SERVE_WEBHOOK_CACHE_TTL] = { .env = "MLFLOW_WEBHOOK_CACHE_TTL",
		.unused = "a change of a webhook counts at once" },
	[SERVE_STOP] = { .name = "stop", .type = CLI_SWITCH, .fallback = "0",
		.help = "Stop the daemon that runs on the data directory, wait for its end, and "
		        "leave." },

	[SERVE_GUNICORN_OPTS] = { .name = "gunicorn-opts", .topic = "Taken for compatibility",
		.env = "MLFLOW_GUNICORN_OPTS", .value = "TEXT", .unused = unused_python,
		.help = "" },
	[SERVE_UVICORN_OPTS] = { .name = "uvicorn-opts", .env = "MLFLOW_UVICORN_OPTS",
		.value = "TEXT",
		.unused = unused_python, .help = "" },
	[SERVE_WAITRESS_OPTS] = { .name = "waitress-opts", .value = "TEXT", .unused = unused_python,
		.help = "" },
	[SERVE_DEV] = { .name = "dev", .type = CLI_SWITCH, .fallback = "0",
		.unused = "nothing reloads; --log-level debug says more", .help = "" },
	[SERVE_TRACE_ARCHIVAL] = { .name = "trace-archival-config",
		.env = "MLFLOW_TRACE_ARCHIVAL_CONFIG",
		.value = "PATH", .unused = "there are no traces to archive", .help = "" },
	[SERVE_SECRETS_CACHE_TTL] = { .name = "secrets-cache-ttl", .value = "N",
		.unused = unused_secrets,
		.help = "" },
	[SERVE_SECRETS_CACHE_SIZE] = { .name = "secrets-cache-max-size", .value = "N",
		.unused = unused_secrets, .help = "" },
	[SERVE_WORKSPACE_STORE_URI] = { .name = "workspace-store-uri",
		.env = "MLFLOW_WORKSPACE_STORE_URI",
		.value = "URI", .unused = "there is one workspace", .help = "" },
	[SERVE_ENABLE_WORKSPACES] = { .name = "enable-workspaces", .negation = "disable-workspaces",
		.type = CLI_SWITCH, .env = "MLFLOW_ENABLE_WORKSPACES", .fallback = "0",
		.topic = "Workspaces",
		.help = "Serve the workspace API and accept the header X-MLFLOW-WORKSPACE. There "
		        "is one workspace, `default`." },
};
/* clang-format on */

const struct cli_command cli_serve_command = {
	.name = "serve",
	.summary = "Run the tracking server.",
	.description = "Run the tracking server. With nothing configured it listens on "
		       "127.0.0.1:5000 and keeps all "
		       "in ./capstan-data, with a PostgreSQL of its own. Flags and environment "
		       "are those of "
		       "`mlflow server`, and some more.",
	.options = options,
	.count = SERVE_OPTIONS,
};
