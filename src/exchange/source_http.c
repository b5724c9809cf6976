/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * The source "http://": any MLflow server, over REST. Entities come in pages, sorted as the server
 * likes; they are put in a spool file once, sorted by an index, and read from there table by table.
 * Only the curves are asked for when their table is read.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "rest.h"

enum { ARENA = 192 << 20, VERSION_MAX = 64 };

static bool by_number(enum rest_kind kind)
{
	return kind == REST_EXPERIMENTS || kind == REST_DATASETS;
}

static int earlier(const struct rest_item *x, const struct rest_item *y)
{
	return x->at < y->at ? -1 : x->at > y->at;
}

static int sort_numbers(const void *a, const void *b)
{
	const struct rest_item *x = a, *y = b;
	int order = emit_compare(x->name, y->name, true);

	return order ? order : earlier(x, y);
}

static int sort_names(const void *a, const void *b)
{
	const struct rest_item *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : earlier(x, y);
}

static void close_spool(void *p)
{
	struct rest *r = p;

	close(r->spool);
}

static int open_spool(struct ctx *c, struct rest *r)
{
	const char *folder = getenv("TMPDIR");
	char *path = arena_printf(c->arena, "%s/capstan-import-XXXXXX",
				  folder && *folder ? folder : "/tmp");

	r->spool = mkstemp(path);
	if (r->spool < 0)
		return fail(c, IO_ERROR, "Cannot make a temporary file '%s'.", path);
	unlink(path);
	arena_defer(c->arena, close_spool, r);
	return 0;
}

/* "3.17.2", from /version; "" where the server has none. */
static const char *ask_version(struct ctx *c, struct rest *r)
{
	struct net_request request;
	struct net_reply reply = { 0 };

	mlflow_request(r->server, "GET",
		       arena_printf(c->arena, "%s/version", mlflow_uri(r->server)), &request);
	if (mlflow_perform(c, r->server, &request, &reply)) {
		error_clear(c);
		return "";
	}
	if (reply.status != 200 || reply.size > VERSION_MAX || strpbrk(reply.body, "<{\n"))
		return "";
	return reply.body;
}

static bool accepts(const char *uri)
{
	return !strncmp(uri, "http://", 7) || !strncmp(uri, "https://", 8);
}

static const char *environment(const char *name)
{
	const char *text = getenv(name);

	return text && *text ? text : NULL;
}

static struct source *open_server(struct ctx *c, const struct source_options *o)
{
	struct rest *r = NEW(c->arena, struct rest);
	const char *insecure = environment("MLFLOW_TRACKING_INSECURE_TLS");
	const struct mlflow_login login = {
		.uri = o->uri,
		.user = environment("MLFLOW_TRACKING_USERNAME"),
		.password = environment("MLFLOW_TRACKING_PASSWORD"),
		.token = environment("MLFLOW_TRACKING_TOKEN"),
		.ca_file = environment("MLFLOW_TRACKING_SERVER_CERT_PATH"),
		.insecure_tls = insecure && (!strcmp(insecure, "true") || !strcmp(insecure, "1")),
	};

	r->source.ops = &source_server;
	r->server = mlflow_open(c, "The source", &login);
	if (!r->server || open_spool(c, r))
		return NULL;
	r->texts = arena_child(c->arena, ARENA);
	r->group = arena_child(c->arena, ARENA);
	r->version = ask_version(c, r);
	if (rest_gather(c, r))
		return NULL;
	for (int kind = 0; kind < REST_KINDS; kind++) {
		struct list *items = &r->items[kind];
		if (items->count)
			qsort(items->items, items->count, sizeof(struct rest_item),
			      by_number((enum rest_kind)kind) ? sort_numbers : sort_names);
	}
	return &r->source;
}

static int describe(struct ctx *c, struct source *s, struct source_description *ret)
{
	struct rest *r = (struct rest *)s;
	size_t capacity = 0;

	*ret = (struct source_description){
		.uri = mlflow_uri(r->server),
		.kind = "MLflow server",
		.version = *r->version ? arena_printf(c->arena, "MLflow %s", r->version)
				       : "version unknown",
	};
	for (int i = 0; i < SOURCE_TABLES; i++)
		ret->rows[i] = rest_tables[i].rows ? -1 : 0;
	ret->rows[SOURCE_EXPERIMENTS] = (int64_t)r->items[REST_EXPERIMENTS].count;
	ret->rows[SOURCE_RUNS] = (int64_t)r->items[REST_RUNS].count;
	ret->rows[SOURCE_DATASETS] = (int64_t)r->items[REST_DATASETS].count;
	ret->rows[SOURCE_LOGGED_MODELS] = (int64_t)r->items[REST_MODELS].count;
	ret->rows[SOURCE_REGISTERED_MODELS] = (int64_t)r->items[REST_REGISTERED].count;
	ret->rows[SOURCE_MODEL_VERSIONS] = (int64_t)r->items[REST_VERSIONS].count;
	*(const char **)list_add(c->arena, &ret->notes, &capacity, sizeof(char *)) =
		"REST gives no webhooks with their secrets, no users, and no deleted logged models: "
		"import from the database to have them.";
	return 0;
}

static json_t *load(struct rest *r, const struct rest_item *item)
{
	char *text = arena_alloc(r->group, item->size + 1);
	size_t size = 0;

	while (size < item->size) {
		ssize_t got = pread(r->spool, text + size, item->size - size,
				    item->at + (int64_t)size);
		if (got <= 0)
			return NULL;
		size += (size_t)got;
	}
	return json_loadb(text, size, JSON_ALLOW_NUL, NULL);
}

static int read_item(struct ctx *c, struct rest *r, const struct rest_item *item, struct emit *e,
		     rest_rows_fn *rows)
{
	CLEANUP(mlflow_json_done) json_t *entity = load(r, item);

	if (!entity)
		return fail(c, IO_ERROR, "The temporary file could not be read.");
	int failed = rows(c, r, e, entity);
	arena_reset(r->group);
	return failed;
}

static int read_table(struct ctx *c, struct source *s, enum source_table table, const char *after,
		      const struct source_sink *to)
{
	struct rest *r = (struct rest *)s;
	const struct rest_table *t = &rest_tables[table];
	const struct list *items = &r->items[t->kind];
	struct emit e;

	if (!t->rows)
		return 0;
	emit_open(&e, c, table, to, r->texts);
	for (size_t i = 0; i < items->count; i++) {
		const struct rest_item *item = LIST_AT(struct rest_item, items, i);
		bool last = i + 1 == items->count || strcmp(item->name, item[1].name) != 0;
		if (after && emit_compare(item->name, after, by_number(t->kind)) <= 0)
			continue;
		if (read_item(c, r, item, &e, t->rows) || (last && emit_group(&e, item->name)))
			return -1;
	}
	return emit_flush(&e);
}

static void close_server(struct source *s)
{
	(void)s;
}

const struct source_ops source_server = {
	.accepts = accepts,
	.open = open_server,
	.describe = describe,
	.read = read_table,
	.close = close_server,
};
