/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * The source "./mlruns": MLflow's file store and its registry. The directories are listed once, at
 * open; files are read table by table.
 *
 *   <root>/<experiment>/meta.yaml, tags/, datasets/<id>/, models/m-…/, <run>/
 *   <root>/.trash/<experiment>/...
 *   <root>/models/<registered model>/meta.yaml, tags/, aliases/, version-N/
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "mlruns.h"

enum { GROUP_ARENA = 192 << 20, FILE_MAX = 32 << 20, DEPTH_MAX = 32 };

static bool is_folder(const char *path)
{
	struct stat st;

	return !lstat(path, &st) && S_ISDIR(st.st_mode);
}

static bool is_file(const char *path)
{
	struct stat st;

	return !lstat(path, &st) && S_ISREG(st.st_mode);
}

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names of what is in a directory, sorted. */
static void names(struct arena *a, const char *path, bool folders, struct list *ret)
{
	CLEANUP(close_dir) DIR *d = opendir(path);
	size_t capacity = 0;
	struct dirent *found;

	while (d && (found = readdir(d))) {
		const char *name = found->d_name;
		if (!strcmp(name, ".") || !strcmp(name, ".."))
			continue;
		const char *whole = arena_printf(a, "%s/%s", path, name);
		if (folders ? is_folder(whole) : is_folder(whole) || is_file(whole))
			*(const char **)list_add(a, ret, &capacity, sizeof(char *)) =
				arena_strdup(a, name);
	}
	if (ret->count)
		qsort(ret->items, ret->count, sizeof(char *), by_text);
}

void mlruns_folders(struct arena *a, const char *path, struct list *ret)
{
	names(a, path, true, ret);
}

const char *mlruns_file(struct mlruns *m, const char *path, size_t *ret_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	char *text = NULL;
	size_t size = 0;
	ssize_t got = 1;

	if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size <= FILE_MAX) {
		size_t most = (size_t)st.st_size;
		text = arena_alloc(m->group, most + 1);
		while (size < most && (got = read(fd, text + size, most - size)) > 0)
			size += (size_t)got;
	}
	if (fd >= 0)
		close(fd);
	*ret_size = size;
	return got < 0 ? NULL : text;
}

bool mlruns_meta(struct mlruns *m, const char *directory, struct list *ret)
{
	struct ctx sub = { .arena = m->group };
	size_t size;
	const char *text = mlruns_file(m, arena_printf(m->group, "%s/meta.yaml", directory), &size);

	*ret = (struct list){ 0 };
	return text && !meta_yaml_read(&sub, text, size, ret);
}

static int walk(struct mlruns *m, struct emit *e, const struct mlruns_item *item, const char *path,
		const char *key, const struct mlruns_file_fn *fn, int depth)
{
	struct list entries = { 0 };

	if (depth > DEPTH_MAX)
		return 0;
	names(m->group, path, false, &entries);
	for (size_t i = 0; i < entries.count; i++) {
		const char *name = *LIST_AT(const char *, &entries, i);
		const char *whole = arena_printf(m->group, "%s/%s", path, name);
		const char *whole_key = *key ? arena_printf(m->group, "%s/%s", key, name) : name;
		int failed = is_folder(whole)
				     ? walk(m, e, item, whole, whole_key, fn, depth + 1)
				     : fn->fn(m, e, item, whole, whole_key);
		if (failed)
			return -1;
	}
	return 0;
}

int mlruns_files(struct mlruns *m, struct emit *e, const struct mlruns_item *item,
		 const char *folder, const struct mlruns_file_fn *fn)
{
	return walk(m, e, item, arena_printf(m->group, "%s/%s", item->path, folder), "", fn, 0);
}

static int by_number(const void *a, const void *b)
{
	return emit_compare(((const struct mlruns_item *)a)->name,
			    ((const struct mlruns_item *)b)->name, true);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct mlruns_item *)a)->name,
		      ((const struct mlruns_item *)b)->name);
}

static void add(struct arena *a, struct list *to, size_t *capacity, const char *name,
		const char *path, const struct mlruns_item *parent)
{
	struct mlruns_item *item = list_add(a, to, capacity, sizeof(*item));

	item->name = name;
	item->path = path;
	item->parent = parent ? parent->name : "";
	item->parent_path = parent ? parent->path : "";
	item->trashed = parent && parent->trashed;
}

static bool looks_like_id(const char *name)
{
	return strlen(name) == 32 && strspn(name, "0123456789abcdef") == 32;
}

/* Runs and logged models of an experiment. Runs without a meta.yaml are named all the same, so that
   they are missed aloud. */
static void index_experiment(struct arena *a, struct mlruns *m, const struct mlruns_item *e,
			     size_t *run_capacity, size_t *model_capacity)
{
	struct list folders = { 0 }, models = { 0 };
	const char *models_path = arena_printf(a, "%s/models", e->path);

	mlruns_folders(a, e->path, &folders);
	for (size_t i = 0; i < folders.count; i++) {
		const char *name = *LIST_AT(const char *, &folders, i);
		const char *path = arena_printf(a, "%s/%s", e->path, name);
		if (!strcmp(name, "tags") || !strcmp(name, "datasets") || !strcmp(name, "traces") ||
		    !strcmp(name, "models"))
			continue;
		if (looks_like_id(name) || is_file(arena_printf(a, "%s/meta.yaml", path)))
			add(a, &m->runs, run_capacity, name, path, e);
	}
	mlruns_folders(a, models_path, &models);
	for (size_t i = 0; i < models.count; i++) {
		const char *name = *LIST_AT(const char *, &models, i);
		add(a, &m->models, model_capacity, name,
		    arena_printf(a, "%s/%s", models_path, name), e);
	}
}

/* The experiments of the root or its trash. */
static void index_root(struct arena *a, struct mlruns *m, const char *path, bool trashed,
		       size_t *capacity)
{
	struct list folders = { 0 };

	mlruns_folders(a, path, &folders);
	for (size_t i = 0; i < folders.count; i++) {
		const char *name = *LIST_AT(const char *, &folders, i);
		const char *whole = arena_printf(a, "%s/%s", path, name);
		bool number = strspn(name, "0123456789") == strlen(name);
		if (!strcmp(name, ".trash") || !strcmp(name, "models") ||
		    (!number && !is_file(arena_printf(a, "%s/meta.yaml", whole))))
			continue;
		add(a, &m->experiments, capacity, name, whole, NULL);
		LIST_AT(struct mlruns_item, &m->experiments, m->experiments.count - 1)->trashed =
			trashed;
	}
}

static void sort(struct list *items, int (*compare)(const void *a, const void *b))
{
	if (items->count)
		qsort(items->items, items->count, sizeof(struct mlruns_item), compare);
}

static void index_all(struct arena *a, struct mlruns *m)
{
	size_t experiments = 0, runs = 0, models = 0, registered = 0;
	const char *registry = arena_printf(a, "%s/models", m->root);
	struct list folders = { 0 };

	index_root(a, m, m->root, false, &experiments);
	index_root(a, m, arena_printf(a, "%s/.trash", m->root), true, &experiments);
	for (size_t i = 0; i < m->experiments.count; i++)
		index_experiment(a, m, LIST_AT(struct mlruns_item, &m->experiments, i), &runs,
				 &models);
	mlruns_folders(a, registry, &folders);
	for (size_t i = 0; i < folders.count; i++) {
		const char *name = *LIST_AT(const char *, &folders, i);
		add(a, &m->registered, &registered, name,
		    arena_printf(a, "%s/%s", registry, name), NULL);
	}
	sort(&m->experiments, by_number);
	sort(&m->runs, by_name);
	sort(&m->models, by_name);
	sort(&m->registered, by_name);
}

static const char *path_of(const char *uri)
{
	if (!strncmp(uri, "file://localhost/", 17))
		return uri + 16;
	if (!strncmp(uri, "file://", 7))
		return uri + 7;
	return !strncmp(uri, "file:", 5) ? uri + 5 : uri;
}

static bool accepts(const char *uri)
{
	struct stat st;

	if (!strncmp(uri, "file:", 5))
		return true;
	return !strstr(uri, "://") && !stat(uri, &st) && S_ISDIR(st.st_mode);
}

static struct source *open_files(struct ctx *c, const struct source_options *o)
{
	struct mlruns *m = NEW(c->arena, struct mlruns);
	const char *path = path_of(o->uri);
	struct stat st;

	m->source.ops = &source_files;
	if (stat(path, &st) || !S_ISDIR(st.st_mode)) {
		fail(c, INVALID_PARAMETER_VALUE, "'%s' is no directory that can be read.", path);
		return NULL;
	}
	char *whole = realpath(path, NULL);
	m->root = arena_strdup(c->arena, whole ? whole : path);
	free(whole);
	m->group = arena_child(c->arena, GROUP_ARENA);
	m->texts = arena_child(c->arena, GROUP_ARENA);
	index_all(c->arena, m);
	if (!m->experiments.count && !m->registered.count) {
		fail(c, INVALID_PARAMETER_VALUE,
		     "'%s' holds no experiments: a file store of MLflow (./mlruns) has a directory "
		     "with a meta.yaml for each.",
		     path);
		return NULL;
	}
	return &m->source;
}

static int describe(struct ctx *c, struct source *s, struct source_description *ret)
{
	struct mlruns *m = (struct mlruns *)s;

	*ret = (struct source_description){
		.uri = arena_printf(c->arena, "file://%s", m->root),
		.kind = "MLflow file store",
		.version = "directory",
	};
	for (int i = 0; i < SOURCE_TABLES; i++)
		ret->rows[i] = -1;
	ret->rows[SOURCE_EXPERIMENTS] = (int64_t)m->experiments.count;
	ret->rows[SOURCE_RUNS] = (int64_t)m->runs.count;
	ret->rows[SOURCE_LOGGED_MODELS] = (int64_t)m->models.count;
	ret->rows[SOURCE_REGISTERED_MODELS] = (int64_t)m->registered.count;
	for (int i = SOURCE_WEBHOOKS; i < SOURCE_TABLES; i++)
		ret->rows[i] = 0;
	return 0;
}

/* What the rows of a table are grouped by. */
static const struct list *items_of(const struct mlruns *m, enum source_table table)
{
	switch (table) {
	case SOURCE_EXPERIMENTS:
	case SOURCE_EXPERIMENT_TAGS:
	case SOURCE_DATASETS:
		return &m->experiments;
	case SOURCE_LOGGED_MODELS:
	case SOURCE_LOGGED_MODEL_PARAMS:
	case SOURCE_LOGGED_MODEL_TAGS:
	case SOURCE_LOGGED_MODEL_METRICS:
		return &m->models;
	case SOURCE_REGISTERED_MODELS:
	case SOURCE_REGISTERED_MODEL_TAGS:
	case SOURCE_MODEL_VERSIONS:
	case SOURCE_MODEL_VERSION_TAGS:
	case SOURCE_MODEL_ALIASES:
		return &m->registered;
	default:
		return &m->runs;
	}
}

static int read_table(struct ctx *c, struct source *s, enum source_table table, const char *after,
		      const struct source_sink *to)
{
	struct mlruns *m = (struct mlruns *)s;
	const struct list *items = items_of(m, table);
	bool numbers = items == &m->experiments;
	struct emit e;

	if (!mlruns_rows[table])
		return 0;
	emit_open(&e, c, table, to, m->texts);
	for (size_t i = 0; i < items->count; i++) {
		const struct mlruns_item *item = LIST_AT(struct mlruns_item, items, i);
		if (after && emit_compare(item->name, after, numbers) <= 0)
			continue;
		int failed = mlruns_rows[table](m, &e, item) || emit_group(&e, item->name);
		arena_reset(m->group);
		if (failed)
			return -1;
	}
	return emit_flush(&e);
}

static void close_files(struct source *s)
{
	(void)s;
}

const struct source_ops source_files = {
	.accepts = accepts,
	.open = open_files,
	.describe = describe,
	.read = read_table,
	.close = close_files,
};
