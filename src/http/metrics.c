/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * metrics — counts without locks: each event thread has its own numbers, which it alone changes;
 * whoever reads adds them up.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "blob/blob.h"
#include "db/db.h"
#include "http.h"
#include "registry/webhook_send.h"

enum { THREADS = 16 };

static const int statuses[] = { 200, 204, 206, 304, 307, 400, 401, 403, 404, 405,
				409, 413, 416, 429, 500, 501, 503, 507, 0 /* others */ };
static const struct {
	int64_t us;
	const char *le;
} buckets[] = {
	{ 500, "0.0005" },  { 1000, "0.001" },  { 2500, "0.0025" }, { 5000, "0.005" },
	{ 10000, "0.01" },  { 25000, "0.025" }, { 50000, "0.05" },  { 100000, "0.1" },
	{ 250000, "0.25" }, { 500000, "0.5" },  { 1000000, "1" },   { 2500000, "2.5" },
	{ 5000000, "5" },   { 10000000, "10" },
};

enum {
	STATUSES = sizeof(statuses) / sizeof(statuses[0]),
	BUCKETS = sizeof(buckets) / sizeof(buckets[0]),
};

struct counters { /* of one route, in one thread */
	_Atomic uint64_t status[STATUSES];
	_Atomic uint64_t bucket[BUCKETS + 1];
	_Atomic uint64_t us;
};

static struct counters *_Atomic all[THREADS];
static _Atomic unsigned threads;
static _Thread_local struct counters *mine;
static _Thread_local bool tried;

/* Its only writer is this thread: no read-modify-write needed. */
static void add(_Atomic uint64_t *n, uint64_t more)
{
	atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + more,
			      memory_order_relaxed);
}

static struct counters *own(void)
{
	unsigned at;

	if (mine || tried)
		return mine;
	tried = true;
	at = atomic_fetch_add(&threads, 1);
	if (at >= THREADS)
		return NULL;
	mine = calloc(route_count + 1, sizeof(*mine));
	atomic_store(&all[at], mine);
	return mine;
}

void metrics_request(const struct route *r, enum http_method method, int status, int64_t us)
{
	struct counters *c = own();
	unsigned s = 0, b = 0;

	(void)method;
	if (!c)
		return;
	c += r ? (size_t)(r - routes) : route_count;
	while (statuses[s] && statuses[s] != status)
		s++;
	while (b < BUCKETS && us > buckets[b].us)
		b++;
	add(&c->status[s], 1);
	add(&c->bucket[b], 1);
	add(&c->us, (uint64_t)us);
}

struct sums {
	uint64_t status[STATUSES];
	uint64_t bucket[BUCKETS + 1];
	uint64_t us, total;
};

static void sum(size_t row, struct sums *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (unsigned t = 0; t < THREADS; t++) {
		const struct counters *c = atomic_load(&all[t]);

		if (!c)
			continue;
		c += row;
		for (unsigned i = 0; i < STATUSES; i++)
			ret->status[i] += atomic_load_explicit(&c->status[i], memory_order_relaxed);
		for (unsigned i = 0; i <= BUCKETS; i++)
			ret->bucket[i] += atomic_load_explicit(&c->bucket[i], memory_order_relaxed);
		ret->us += atomic_load_explicit(&c->us, memory_order_relaxed);
	}
	for (unsigned i = 0; i <= BUCKETS; i++)
		ret->total += ret->bucket[i];
}

static void labels(struct buf *to, size_t row)
{
	const struct route *r = row < route_count ? &routes[row] : NULL;
	const char *mount = !r || r->mount == MOUNT_ROOT ? ""
			    : r->mount == MOUNT_AJAX     ? "/ajax-api/"
							 : "/api/";

	buf_addf(to, "route=\"%s%s\",method=\"%s\"", mount, r ? r->path : "unmatched",
		 r ? method_names[r->method] : "");
}

static void head(struct buf *to, const char *name, const char *type, const char *help)
{
	buf_addf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void requests(struct buf *to)
{
	struct sums s;

	head(to, "capstan_http_requests_total", "counter",
	     "Requests answered, by route template, method and status.");
	for (size_t row = 0; row <= route_count; row++) {
		sum(row, &s);
		for (unsigned i = 0; i < STATUSES; i++) {
			if (!s.status[i])
				continue;
			buf_add(to, "capstan_http_requests_total{");
			labels(to, row);
			if (statuses[i])
				buf_addf(to, ",status=\"%d\"} %llu\n", statuses[i],
					 (unsigned long long)s.status[i]);
			else
				buf_addf(to, ",status=\"other\"} %llu\n",
					 (unsigned long long)s.status[i]);
		}
	}
	head(to, "capstan_http_request_duration_seconds", "histogram",
	     "From the request line to the last byte of the answer.");
	for (size_t row = 0; row <= route_count; row++) {
		uint64_t below = 0;

		sum(row, &s);
		if (!s.total)
			continue;
		for (unsigned i = 0; i <= BUCKETS; i++) {
			below += s.bucket[i];
			buf_add(to, "capstan_http_request_duration_seconds_bucket{");
			labels(to, row);
			buf_addf(to, ",le=\"%s\"} %llu\n", i < BUCKETS ? buckets[i].le : "+Inf",
				 (unsigned long long)below);
		}
		buf_add(to, "capstan_http_request_duration_seconds_sum{");
		labels(to, row);
		buf_addf(to, "} %.6f\ncapstan_http_request_duration_seconds_count{",
			 (double)s.us / 1e6);
		labels(to, row);
		buf_addf(to, "} %llu\n", (unsigned long long)s.total);
	}
}

static void number(struct buf *to, const char *name, const char *type, const char *help,
		   double value)
{
	head(to, name, type, help);
	buf_addf(to, "%s %.17g\n", name, value);
}

static void pools(const struct http_server *s, struct buf *to)
{
	const struct http_options *o = &s->options;
	struct reader_stats r = { 0 };
	struct committer_stats w = { 0 };
	struct transfer_stats t = { 0 };
	struct db_pool_stats p = { 0 };

	if (o->pool) {
		db_pool_stats(o->pool, &p);
		number(to, "capstan_db_pool_size", "gauge", "Most database connections of readers.",
		       p.size);
		number(to, "capstan_db_pool_busy", "gauge", "Connections in use.", p.busy);
		number(to, "capstan_db_pool_idle", "gauge", "Connections open and free.", p.idle);
		number(to, "capstan_db_pool_waiting", "gauge", "Threads waiting for a connection.",
		       p.waiting);
		number(to, "capstan_db_pool_connects_total", "counter", "Connections made.",
		       (double)p.connects);
		number(to, "capstan_db_pool_failures_total", "counter", "Connections that failed.",
		       (double)p.failures);
	}
	if (o->reader) {
		reader_stats(o->reader, &r);
		number(to, "capstan_reads_total", "counter", "Shared reads.", (double)r.groups);
		number(to, "capstan_read_requests_total", "counter",
		       "Requests in them: divided by the reads, how many shared one.",
		       (double)r.requests);
		number(to, "capstan_read_queue_length", "gauge", "Requests waiting for a read.",
		       (double)r.queued);
	}
	if (o->committer) {
		committer_stats(o->committer, &w);
		number(to, "capstan_commits_total", "counter", "Shared commits.",
		       (double)w.commits);
		number(to, "capstan_commit_requests_total", "counter",
		       "Requests in them: divided by the commits, the batch size.",
		       (double)w.requests);
		number(to, "capstan_commit_points_total", "counter", "Metric points in them.",
		       (double)w.points);
		number(to, "capstan_commit_failures_total", "counter",
		       "Shared commits that failed.", (double)w.failures);
		number(to, "capstan_commit_queue_length", "gauge", "Writes waiting for a commit.",
		       (double)w.queued);
	}
	if (o->transfers) {
		transfer_engine_stats(o->transfers, &t);
		number(to, "capstan_transfers_started_total", "counter",
		       "Artifact transfers begun.", (double)t.started);
		number(to, "capstan_transfers_finished_total", "counter", "... ended well.",
		       (double)t.finished);
		number(to, "capstan_transfers_failed_total", "counter", "... failed or given up.",
		       (double)t.failed);
		number(to, "capstan_transfer_received_bytes_total", "counter", "Bytes uploaded.",
		       (double)t.bytes_in);
		number(to, "capstan_transfer_sent_bytes_total", "counter", "Bytes downloaded.",
		       (double)t.bytes_out);
		number(to, "capstan_transfers_active", "gauge", "Transfers going on.", t.active);
		number(to, "capstan_transfers_waiting", "gauge",
		       "Transfers waiting for their turn.", t.waiting);
	}
}

static void stores(struct buf *to)
{
	struct blob_stats s;

	if (!blob_stats(&s))
		return;
	number(to, "capstan_artifact_store_requests_total", "counter",
	       "Requests to artifact stores on a network, retries included.", (double)s.requests);
	number(to, "capstan_artifact_store_failures_total", "counter",
	       "... that the network ended.", (double)s.failures);
	number(to, "capstan_artifact_store_connects_total", "counter", "Connections made for them.",
	       (double)s.connects);
	number(to, "capstan_artifact_store_received_bytes_total", "counter", "Bytes received.",
	       (double)s.bytes_in);
	number(to, "capstan_artifact_store_sent_bytes_total", "counter", "Bytes sent.",
	       (double)s.bytes_out);
	number(to, "capstan_artifact_store_active", "gauge", "Requests going on.", s.active);
}

static void webhooks(struct buf *to)
{
	struct webhook_stats w;

	registry_webhook_stats(&w);
	number(to, "capstan_webhook_attempts_total", "counter", "Webhook deliveries tried.",
	       (double)w.attempts);
	number(to, "capstan_webhook_delivered_total", "counter", "... that the target took.",
	       (double)w.delivered);
	number(to, "capstan_webhook_retried_total", "counter", "... that are tried again.",
	       (double)w.retried);
	number(to, "capstan_webhook_failed_total", "counter", "... that were given up.",
	       (double)w.failed);
}

static unsigned descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	if (!d)
		return 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n > 3 ? n - 3 : 0; /* ".", ".." and the one that reads */
}

static void process(const struct http_server *s, struct buf *to)
{
	unsigned long long size = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	struct timespec cpu = { 0 };
	double page = (double)sysconf(_SC_PAGESIZE);

	if (f) {
		if (fscanf(f, "%llu %llu", &size, &resident) != 2)
			resident = 0;
		fclose(f);
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	number(to, "process_resident_memory_bytes", "gauge", "Resident memory.",
	       (double)resident * page);
	number(to, "process_virtual_memory_bytes", "gauge", "Virtual memory.", (double)size * page);
	number(to, "process_open_fds", "gauge", "Open file descriptors.", descriptors());
	number(to, "process_cpu_seconds_total", "counter", "User and system CPU time.",
	       (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
	number(to, "process_start_time_seconds", "gauge", "When the server started, since 1970.",
	       (double)s->started_ms / 1e3);
}

void metrics_write(const struct http_server *s, struct buf *to)
{
	head(to, "capstan_build_info", "gauge", "1, with the version.");
	buf_add(to, "capstan_build_info{version=\"" CAPSTAN_VERSION "\"} 1\n");
	requests(to);
	number(to, "capstan_http_connections", "gauge", "Open client connections.",
	       atomic_load(&s->connections));
	number(to, "capstan_http_requests_in_flight", "gauge",
	       "Requests begun and not yet answered.", atomic_load(&s->jobs));
	number(to, "capstan_http_request_bodies_bytes", "gauge", "Memory of request bodies.",
	       (double)atomic_load(&s->bodies));
	number(to, "capstan_http_queue_length", "gauge", "Requests waiting for a worker.",
	       (double)lanes_length(s->lanes));
	number(to, "capstan_http_store_queue_length", "gauge",
	       "Requests waiting for a worker that asks artifact stores.",
	       (double)queue_length(s->store_queue));
	number(to, "capstan_http_workers", "gauge", "Worker threads.", s->worker_count);
	pools(s, to);
	stores(to);
	webhooks(to);
	process(s, to);
}
