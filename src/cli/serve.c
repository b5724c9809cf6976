/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "cli/serve.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "cli/cli.h"
#include "cli/daemon.h"
#include "cli/notify.h"
#include "cli/signals.h"
#include "http/server.h"

enum { STOP_WAIT_MS = 60000, MALLOC_ARENAS = 2 };

static void warn_unused(const char *name, const char *why)
{
	log_event(LOG_WARN, "option changes nothing", "option", name, "why", why, NULL);
}

static void configure_log(const struct cli_values *v)
{
	static const char *const levels[] = { "debug", "info", "warn", "error" };
	enum log_level level = LOG_INFO;

	for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++) {
		if (!strcmp(v->text[SERVE_LOG_LEVEL], levels[i]))
			level = (enum log_level)i;
	}
	log_configure(level, strcmp(v->text[SERVE_LOG_FORMAT], "json") ? LOG_TEXT : LOG_JSON);
}

/* Few malloc arenas keep the memory of many threads small; ten thousand clients need descriptors.
   */
static void configure_process(void)
{
	struct rlimit files;

	mallopt(M_ARENA_MAX, MALLOC_ARENAS);
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static int check_options(struct ctx *c, const struct cli_values *v)
{
	const char *prefix = v->text[SERVE_STATIC_PREFIX];

	if (prefix && (*prefix != '/' || prefix[strlen(prefix) - 1] == '/'))
		return fail(c, INVALID_PARAMETER_VALUE,
			    "--static-prefix must begin with a '/' and must not end with one.");
	return 0;
}

static void warn_open(const struct cli_values *v)
{
	const char *hosts = v->text[SERVE_ALLOWED_HOSTS];
	const char *origins = v->text[SERVE_CORS_ALLOWED_ORIGINS];

	cli_option_unused(v, warn_unused);
	if (cli_option_is(v, SERVE_DISABLE_SECURITY))
		log_event(LOG_WARN, "security checks are off: any web page can use this server",
			  NULL);
	else if (hosts && !strcmp(hosts, "*"))
		log_event(LOG_WARN,
			  "all Host headers are accepted: no protection against DNS rebinding",
			  NULL);
	if (origins && !strcmp(origins, "*"))
		log_event(LOG_WARN, "all origins are allowed: any web page can use this server",
			  NULL);
}

static void tell(const char *state)
{
	cli_notify(getenv("NOTIFY_SOCKET"), state);
}

static void announce(struct ctx *c, const struct daemon *d, int64_t began)
{
	const char *host = d->values->text[SERVE_HOST];
	bool bare_ipv6 = strchr(host, ':') && *host != '[';
	const char *url = arena_printf(
		c->arena, "http://%s%s%s:%u%s", bare_ipv6 ? "[" : "", host, bare_ipv6 ? "]" : "",
		http_server_port(d->http),
		d->values->text[SERVE_STATIC_PREFIX] ? d->values->text[SERVE_STATIC_PREFIX] : "");

	log_event(LOG_INFO, "listening", "url", url, "pid", log_fmt("%d", (int)getpid()),
		  "data_dir", d->home.dir, "ms", log_fmt("%lld", (long long)(clock_ms() - began)),
		  NULL);
	tell(arena_printf(c->arena, "READY=1\nMAINPID=%d\nSTATUS=Listening on %s", (int)getpid(),
			  url));
}

static void wait_for_signal(int signals)
{
	int interval =
		cli_notify_interval(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"), getpid());
	int number;

	while (!(number = cli_signals_wait(signals, -1, interval))) {
		if (interval > 0)
			tell("WATCHDOG=1");
	}
	log_event(LOG_INFO, "stopping", "signal", strsignal(number), NULL);
}

/* While the daemon drains: a second signal ends it at once, with nothing left running. */
struct hurry {
	struct daemon *daemon;
	int signals;
	int done; /* eventfd: the orderly stop is over */
};

static void *hurry_run(void *arg)
{
	struct hurry *h = arg;

	if (!cli_signals_wait(h->signals, h->done, -1))
		return NULL;
	log_event(LOG_WARN, "stopping at once", NULL);
	cli_daemon_stop_private(h->daemon);
	/* Somebody else may be at it: a fast shutdown, so it is nearly over. */
	cli_signals_wait(h->signals, h->done, 5000);
	_exit(1);
}

static void stop_orderly(struct daemon *d, int signals)
{
	struct hurry h = { d, signals, eventfd(0, EFD_CLOEXEC) };
	pthread_t thread;
	bool hurrying = h.done >= 0 && !thread_start(&thread, "hurry", hurry_run, &h);

	cli_daemon_stop(d);
	if (hurrying) {
		eventfd_write(h.done, 1);
		pthread_join(thread, NULL);
	}
	if (h.done >= 0)
		close(h.done);
}

static int stop_other(struct ctx *c, const struct cli_values *v)
{
	int pid = 0;

	if (cli_home_stop(c, v->text[SERVE_DATA_DIR], STOP_WAIT_MS, &pid))
		return -1;
	if (pid)
		printf("Stopped the capstan with pid %d.\n", pid);
	else
		printf("No capstan runs on %s.\n", v->text[SERVE_DATA_DIR]);
	return 0;
}

int cli_serve(struct ctx *c, const struct cli_values *v)
{
	struct daemon d = { .values = v, .home = { .lock = -1 } };
	int64_t began = clock_ms();
	int signals = -1;

	if (cli_option_is(v, SERVE_STOP))
		return stop_other(c, v);
	configure_log(v);
	if (check_options(c, v))
		return -1;
	configure_process();
	warn_open(v);
	if (cli_signals_open(c, &signals))
		return -1;
	tell("STATUS=Starting");
	int failed = cli_daemon_start(c, &d);
	if (!failed) {
		announce(c, &d, began);
		wait_for_signal(signals);
	}
	tell("STOPPING=1\nSTATUS=Stopping");
	stop_orderly(&d, signals);
	close(signals);
	if (!failed)
		log_event(LOG_INFO, "stopped", NULL);
	return failed;
}
