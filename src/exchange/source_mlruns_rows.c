/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * The rows of the file store. What a file does not say stays NULL, what it says wrongly is marked
 * so: the import counts both.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "mlruns.h"

enum { STATUSES = 6 };

static void text(struct emit *e, unsigned column, const struct list *meta, const char *key)
{
	const struct meta_pair *pair = meta_yaml_find(meta, key);

	if (pair && pair->value)
		emit_bytes(e, column, pair->value, pair->size);
}

static void number(struct emit *e, unsigned column, const struct list *meta, const char *key)
{
	int64_t value;
	int found = meta_yaml_int(meta, key, &value);

	if (found > 0)
		emit_int(e, column, value);
	else if (found < 0)
		emit_wrong(e, column);
}

/* An experiment's id is the name of its directory. */
static void experiment_id(struct emit *e, unsigned column, const char *name)
{
	char *end;

	errno = 0;
	long long id = strtoll(name, &end, 10);
	if (errno || *end || !*name || strspn(name, "0123456789") != strlen(name))
		emit_wrong(e, column);
	else
		emit_int(e, column, id);
}

/* Does the file name its own entity? One that was copied by hand does not. */
static bool names_itself(const struct list *meta, const char *key, const char *name)
{
	const char *said = meta_yaml_text(meta, key);

	return !said || !strcmp(said, name);
}

static int experiments(struct mlruns *m, struct emit *e, const struct mlruns_item *item)
{
	struct list meta;
	bool good = mlruns_meta(m, item->path, &meta) &&
		    names_itself(&meta, "experiment_id", item->name);

	if (!emit_row(e))
		return -1;
	experiment_id(e, EXPERIMENTS_ID, item->name);
	if (!good)
		return 0;
	text(e, EXPERIMENTS_NAME, &meta, "name");
	text(e, EXPERIMENTS_ARTIFACT_LOCATION, &meta, "artifact_location");
	text(e, EXPERIMENTS_LIFECYCLE, &meta, "lifecycle_stage");
	if (item->trashed)
		emit_text(e, EXPERIMENTS_LIFECYCLE, "deleted");
	number(e, EXPERIMENTS_CREATION_TIME, &meta, "creation_time");
	number(e, EXPERIMENTS_LAST_UPDATE_TIME, &meta, "last_update_time");
	return 0;
}

/* The file's whole text as the value of a column. */
static void content(struct mlruns *m, struct emit *e, unsigned column, const char *path)
{
	size_t size;
	const char *value = mlruns_file(m, path, &size);

	if (value)
		emit_bytes(e, column, value, size);
	else
		emit_wrong(e, column);
}

static int experiment_tag(struct mlruns *m, struct emit *e, const struct mlruns_item *item,
			  const char *path, const char *key)
{
	if (!emit_row(e))
		return -1;
	experiment_id(e, EXPERIMENT_TAGS_EXPERIMENT_ID, item->name);
	emit_text(e, EXPERIMENT_TAGS_KEY, key);
	content(m, e, EXPERIMENT_TAGS_VALUE, path);
	return 0;
}

static int experiment_tags(struct mlruns *m, struct emit *e, const struct mlruns_item *item)
{
	static const struct mlruns_file_fn fn = { experiment_tag };

	return mlruns_files(m, e, item, "tags", &fn);
}

/* As number (all that MLflow writes) or by name. */
static void run_status(struct emit *e, const struct list *meta)
{
	static const char *const names[STATUSES] = { NULL,       "RUNNING", "SCHEDULED",
						     "FINISHED", "FAILED",  "KILLED" };
	int64_t value = 0;
	int found = meta_yaml_int(meta, "status", &value);

	if (!found)
		emit_text(e, RUNS_STATUS, "RUNNING");
	else if (found > 0 && value > 0 && value < STATUSES)
		emit_text(e, RUNS_STATUS, names[value]);
	else if (found > 0)
		emit_wrong(e, RUNS_STATUS);
	else
		text(e, RUNS_STATUS, meta, "status");
}

static int runs(struct mlruns *m, struct emit *e, const struct mlruns_item *item)
{
	struct list meta;
	bool good = mlruns_meta(m, item->path, &meta) && names_itself(&meta, "run_id", item->name) &&
		    names_itself(&meta, "experiment_id", item->parent);

	if (!emit_row(e))
		return -1;
	emit_text(e, RUNS_UUID, item->name);
	if (!good) {
		emit_wrong(e, RUNS_EXPERIMENT_ID);
		return 0;
	}
	experiment_id(e, RUNS_EXPERIMENT_ID, item->parent);
	const char *name = meta_yaml_text(&meta, "run_name");
	if (name && *name) {
		text(e, RUNS_NAME, &meta, "run_name");
	} else {
		size_t size;
		const char *tag = mlruns_file(
			m, arena_printf(m->group, "%s/tags/mlflow.runName", item->path), &size);
		if (tag)
			emit_bytes(e, RUNS_NAME, tag, size);
	}
	text(e, RUNS_USER_ID, &meta, "user_id");
	run_status(e, &meta);
	text(e, RUNS_LIFECYCLE, &meta, "lifecycle_stage");
	number(e, RUNS_START_TIME, &meta, "start_time");
	number(e, RUNS_END_TIME, &meta, "end_time");
	number(e, RUNS_DELETED_TIME, &meta, "deleted_time");
	text(e, RUNS_ARTIFACT_URI, &meta, "artifact_uri");
	return 0;
}

static void close_file(FILE **f)
{
	if (*f)
		fclose(*f);
}

static void free_line(char **line)
{
	free(*line);
}

static FILE *open_lines(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");

	if (!f && fd >= 0)
		close(fd);
	return f;
}

static bool blank(const char *line)
{
	return line[strspn(line, " \t\r\n")] == '\0';
}

static int metric_file(struct mlruns *m, struct emit *e, const struct mlruns_item *item,
		       const char *path, const char *key)
{
	CLEANUP(close_file) FILE *f = open_lines(path);
	CLEANUP(free_line) char *line = NULL;
	size_t capacity = 0;
	ssize_t size = 0;

	(void)m;
	while (!f || (size = getline(&line, &capacity, f)) >= 0) {
		struct metric_line got;
		if (f && blank(line))
			continue;
		if (!emit_row(e))
			return -1;
		emit_text(e, METRICS_RUN, item->name);
		emit_text(e, METRICS_KEY, key);
		if (!f || strlen(line) != (size_t)size || !metric_line_read(line, &got)) {
			emit_wrong(e, METRICS_VALUE);
			if (!f)
				return 0;
			continue;
		}
		emit_real(e, METRICS_VALUE, got.value);
		emit_int(e, METRICS_TIMESTAMP, got.timestamp);
		emit_int(e, METRICS_STEP, got.step);
	}
	return 0;
}

static int metrics(struct mlruns *m, struct emit *e, const struct mlruns_item *item)
{
	static const struct mlruns_file_fn fn = { metric_file };

	return mlruns_files(m, e, item, "metrics", &fn);
}

/* MLflow's order: step, timestamp, value; a NaN is less than any value. */
static bool later(const struct metric_line *a, const struct metric_line *b)
{
	if (a->step != b->step)
		return a->step > b->step;
	if (a->timestamp != b->timestamp)
		return a->timestamp > b->timestamp;
	return isnan(b->value) ? !isnan(a->value) : a->value > b->value;
}

static int latest_file(struct mlruns *m, struct emit *e, const struct mlruns_item *item,
		       const char *path, const char *key)
{
	CLEANUP(close_file) FILE *f = open_lines(path);
	CLEANUP(free_line) char *line = NULL;
	struct metric_line got, best = { 0 };
	size_t capacity = 0;
	ssize_t size;
	bool any = false;

	(void)m;
	while (f && (size = getline(&line, &capacity, f)) >= 0) {
		if (strlen(line) != (size_t)size || !metric_line_read(line, &got) ||
		    (any && !later(&got, &best)))
			continue;
		best = got;
		any = true;
	}
	if (!any)
		return 0;
	if (!emit_row(e))
		return -1;
	emit_text(e, LATEST_RUN, item->name);
	emit_text(e, LATEST_KEY, key);
	emit_real(e, LATEST_VALUE, best.value);
	emit_int(e, LATEST_TIMESTAMP, best.timestamp);
	emit_int(e, LATEST_STEP, best.step);
	return 0;
}

static int latest(struct mlruns *m, struct emit *e, const struct mlruns_item *item)
{
	static const struct mlruns_file_fn fn = { latest_file };

	return mlruns_files(m, e, item, "metrics", &fn);
}

/* (owner, key, value): params and tags of runs, logged models and registered models alike. */
static int pair(struct mlruns *m, struct emit *e, const struct mlruns_item *item, const char *path,
		const char *key)
{
	if (!emit_row(e))
		return -1;
	emit_text(e, 0, item->name);
	emit_text(e, 1, key);
	content(m, e, 2, path);
	return 0;
}

_Static_assert(PARAMS_RUN == 0 && PARAMS_KEY == 1 && PARAMS_VALUE == 2 && TAGS_RUN == 0 &&
		       TAGS_KEY == 1 && TAGS_VALUE == 2 && LOGGED_MODEL_PARAMS_MODEL_ID == 0 &&
		       LOGGED_MODEL_PARAMS_VALUE == 2 && LOGGED_MODEL_TAGS_MODEL_ID == 0 &&
		       LOGGED_MODEL_TAGS_VALUE == 2 && REGISTERED_MODEL_TAGS_NAME == 0 &&
		       REGISTERED_MODEL_TAGS_VALUE == 2,
	       "pair() writes these");

static int params(struct mlruns *m, struct emit *e, const struct mlruns_item *item)
{
	static const struct mlruns_file_fn fn = { pair };

	return mlruns_files(m, e, item, "params", &fn);
}

static int tags(struct mlruns *m, struct emit *e, const struct mlruns_item *item)
{
	static const struct mlruns_file_fn fn = { pair };

	return mlruns_files(m, e, item, "tags", &fn);
}

static int datasets(struct mlruns *m, struct emit *e, const struct mlruns_item *item)
{
	const char *folder = arena_printf(m->group, "%s/datasets", item->path);
	struct list ids = { 0 };

	mlruns_folders(m->group, folder, &ids);
	for (size_t i = 0; i < ids.count; i++) {
		struct list meta;
		mlruns_meta(m,
			    arena_printf(m->group, "%s/%s", folder, *LIST_AT(const char *, &ids, i)),
			    &meta);
		if (!emit_row(e))
			return -1;
		experiment_id(e, DATASETS_EXPERIMENT_ID, item->name);
		text(e, DATASETS_NAME, &meta, "name");
		text(e, DATASETS_DIGEST, &meta, "digest");
		text(e, DATASETS_SOURCE_TYPE, &meta, "source_type");
		text(e, DATASETS_SOURCE, &meta, "source");
		text(e, DATASETS_SCHEMA, &meta, "schema");
		text(e, DATASETS_PROFILE, &meta, "profile");
	}
	return 0;
}

static bool is_model(const struct list *meta)
{
	const char *type = meta_yaml_text(meta, "source_type");

	return type && strstr(type, "MODEL");
}

/* A name that is one directory's, not a way out of it. */
static bool plain_name(const char *name)
{
	return name && *name && !strchr(name, '/') && strcmp(name, "..") != 0;
}

/* run, experiment, name and digest of a dataset that the run took in. */
static int input(struct mlruns *m, struct emit *e, const struct mlruns_item *item,
		 const struct list *meta)
{
	const char *id = meta_yaml_text(meta, "source_id");
	struct list dataset = { 0 };

	if (plain_name(id))
		mlruns_meta(m, arena_printf(m->group, "%s/datasets/%s", item->parent_path, id),
			    &dataset);
	if (!emit_row(e))
		return -1;
	emit_text(e, INPUTS_RUN, item->name);
	experiment_id(e, INPUTS_EXPERIMENT_ID, item->parent);
	text(e, INPUTS_NAME, &dataset, "name");
	text(e, INPUTS_DIGEST, &dataset, "digest");
	return 0;
}

_Static_assert((int)INPUTS_RUN == (int)INPUT_TAGS_RUN &&
		       (int)INPUTS_EXPERIMENT_ID == (int)INPUT_TAGS_EXPERIMENT_ID &&
		       (int)INPUTS_NAME == (int)INPUT_TAGS_NAME &&
		       (int)INPUTS_DIGEST == (int)INPUT_TAGS_DIGEST,
	       "input() writes both");

static int input_tags_of(struct mlruns *m, struct emit *e, const struct mlruns_item *item,
			 const struct list *meta)
{
	for (size_t i = 0; i < meta->count; i++) {
		const struct meta_pair *tag = LIST_AT(struct meta_pair, meta, i);
		if (strcmp(tag->parent, "tags") != 0)
			continue;
		if (input(m, e, item, meta))
			return -1;
		emit_text(e, INPUT_TAGS_KEY, tag->key);
		if (tag->value)
			emit_bytes(e, INPUT_TAGS_VALUE, tag->value, tag->size);
	}
	return 0;
}

/* Calls fn with the meta.yaml of each input that is of the kind. */
static int each_input(struct mlruns *m, struct emit *e, const struct mlruns_item *item, bool models,
		      int (*fn)(struct mlruns *m, struct emit *e, const struct mlruns_item *item,
				const struct list *meta))
{
	const char *folder = arena_printf(m->group, "%s/inputs", item->path);
	struct list ids = { 0 };

	mlruns_folders(m->group, folder, &ids);
	for (size_t i = 0; i < ids.count; i++) {
		struct list meta;
		mlruns_meta(m,
			    arena_printf(m->group, "%s/%s", folder, *LIST_AT(const char *, &ids, i)),
			    &meta);
		if (is_model(&meta) == models && fn(m, e, item, &meta))
			return -1;
	}
	return 0;
}

static int inputs(struct mlruns *m, struct emit *e, const struct mlruns_item *item)
{
	return each_input(m, e, item, false, input);
}

static int input_tags(struct mlruns *m, struct emit *e, const struct mlruns_item *item)
{
	return each_input(m, e, item, false, input_tags_of);
}

static int model_input(struct mlruns *m, struct emit *e, const struct mlruns_item *item,
		       const struct list *meta)
{
	(void)m;
	if (!emit_row(e))
		return -1;
	emit_text(e, RUN_MODELS_RUN, item->name);
	text(e, RUN_MODELS_MODEL_ID, meta, "source_id");
	emit_bool(e, RUN_MODELS_OUTPUT, false);
	return 0;
}

static int run_models(struct mlruns *m, struct emit *e, const struct mlruns_item *item)
{
	const char *folder = arena_printf(m->group, "%s/outputs", item->path);
	struct list ids = { 0 };

	if (each_input(m, e, item, true, model_input))
		return -1;
	mlruns_folders(m->group, folder, &ids);
	for (size_t i = 0; i < ids.count; i++) {
		const char *id = *LIST_AT(const char *, &ids, i);
		struct list meta;
		mlruns_meta(m, arena_printf(m->group, "%s/%s", folder, id), &meta);
		if (!emit_row(e))
			return -1;
		emit_text(e, RUN_MODELS_RUN, item->name);
		emit_text(e, RUN_MODELS_MODEL_ID, id);
		emit_bool(e, RUN_MODELS_OUTPUT, true);
		number(e, RUN_MODELS_STEP, &meta, "step");
	}
	return 0;
}

static int logged_models(struct mlruns *m, struct emit *e, const struct mlruns_item *item)
{
	struct list meta;
	bool good = mlruns_meta(m, item->path, &meta) &&
		    names_itself(&meta, "model_id", item->name) &&
		    names_itself(&meta, "experiment_id", item->parent);

	if (!emit_row(e))
		return -1;
	emit_text(e, LOGGED_MODELS_MODEL_ID, item->name);
	if (!good) {
		emit_wrong(e, LOGGED_MODELS_EXPERIMENT_ID);
		return 0;
	}
	experiment_id(e, LOGGED_MODELS_EXPERIMENT_ID, item->parent);
	text(e, LOGGED_MODELS_NAME, &meta, "name");
	text(e, LOGGED_MODELS_ARTIFACT_LOCATION, &meta, "artifact_location");
	number(e, LOGGED_MODELS_CREATION_TIME, &meta, "creation_timestamp");
	number(e, LOGGED_MODELS_LAST_UPDATED_TIME, &meta, "last_updated_timestamp");
	number(e, LOGGED_MODELS_STATUS, &meta, "status");
	text(e, LOGGED_MODELS_STATUS_MESSAGE, &meta, "status_message");
	text(e, LOGGED_MODELS_LIFECYCLE, &meta, "lifecycle_stage");
	text(e, LOGGED_MODELS_MODEL_TYPE, &meta, "model_type");
	text(e, LOGGED_MODELS_SOURCE_RUN_ID, &meta, "source_run_id");
	return 0;
}

/* "run [dataset digest]" behind the step. The dataset's name may hold spaces, its digest none. */
static void model_metric_owner(struct mlruns *m, struct emit *e, const char *rest)
{
	char *words = arena_strndup(m->group, rest, strcspn(rest, "\r\n"));
	char *name = strchr(words, ' ');
	char *digest = name ? strrchr(name + 1, ' ') : NULL;

	if (name)
		*name++ = '\0';
	if (*words)
		emit_text(e, LOGGED_MODEL_METRICS_RUN, words);
	if (!digest)
		return;
	*digest++ = '\0';
	emit_text(e, LOGGED_MODEL_METRICS_DATASET_NAME, name);
	emit_text(e, LOGGED_MODEL_METRICS_DATASET_DIGEST, digest);
}

static int model_metric_file(struct mlruns *m, struct emit *e, const struct mlruns_item *item,
			     const char *path, const char *key)
{
	CLEANUP(close_file) FILE *f = open_lines(path);
	CLEANUP(free_line) char *line = NULL;
	size_t capacity = 0;
	ssize_t size;

	while (f && (size = getline(&line, &capacity, f)) >= 0) {
		struct metric_line got;
		if (blank(line))
			continue;
		if (!emit_row(e))
			return -1;
		emit_text(e, LOGGED_MODEL_METRICS_MODEL_ID, item->name);
		emit_text(e, LOGGED_MODEL_METRICS_KEY, key);
		if (strlen(line) != (size_t)size || !metric_line_read(line, &got)) {
			emit_wrong(e, LOGGED_MODEL_METRICS_VALUE);
			continue;
		}
		emit_real(e, LOGGED_MODEL_METRICS_VALUE, got.value);
		emit_int(e, LOGGED_MODEL_METRICS_TIMESTAMP, got.timestamp);
		emit_int(e, LOGGED_MODEL_METRICS_STEP, got.step);
		model_metric_owner(m, e, got.rest);
	}
	return 0;
}

static int logged_model_metrics(struct mlruns *m, struct emit *e, const struct mlruns_item *item)
{
	static const struct mlruns_file_fn fn = { model_metric_file };

	return mlruns_files(m, e, item, "metrics", &fn);
}

static int registered_models(struct mlruns *m, struct emit *e, const struct mlruns_item *item)
{
	struct list meta;

	if (!mlruns_meta(m, item->path, &meta) || !names_itself(&meta, "name", item->name)) {
		/* The name is all there is: it is refused, and counted, by its time. */
		if (!emit_row(e))
			return -1;
		emit_text(e, REGISTERED_MODELS_NAME, item->name);
		emit_wrong(e, REGISTERED_MODELS_CREATION_TIME);
		return 0;
	}
	if (!emit_row(e))
		return -1;
	emit_text(e, REGISTERED_MODELS_NAME, item->name);
	number(e, REGISTERED_MODELS_CREATION_TIME, &meta, "creation_timestamp");
	number(e, REGISTERED_MODELS_LAST_UPDATED_TIME, &meta, "last_updated_timestamp");
	text(e, REGISTERED_MODELS_DESCRIPTION, &meta, "description");
	return 0;
}

/* The number of a directory "version-3"; 0: another directory. */
static int64_t version_of(const char *folder)
{
	if (strncmp(folder, "version-", 8) != 0 || !folder[8] ||
	    strspn(folder + 8, "0123456789") != strlen(folder + 8))
		return 0;
	return strtoll(folder + 8, NULL, 10);
}

static void version_row(struct emit *e, const struct list *meta, const char *name, int64_t version)
{
	emit_text(e, MODEL_VERSIONS_NAME, name);
	emit_int(e, MODEL_VERSIONS_VERSION, version);
	if (!meta) {
		emit_wrong(e, MODEL_VERSIONS_CREATION_TIME);
		return;
	}
	number(e, MODEL_VERSIONS_CREATION_TIME, meta, "creation_timestamp");
	number(e, MODEL_VERSIONS_LAST_UPDATED_TIME, meta, "last_updated_timestamp");
	text(e, MODEL_VERSIONS_DESCRIPTION, meta, "description");
	text(e, MODEL_VERSIONS_USER_ID, meta, "user_id");
	/* The stage "None" is a text; YAML's null would be none at all. */
	text(e, MODEL_VERSIONS_STAGE, meta, "current_stage");
	text(e, MODEL_VERSIONS_SOURCE, meta, "source");
	text(e, MODEL_VERSIONS_STORAGE_LOCATION, meta, "storage_location");
	text(e, MODEL_VERSIONS_RUN_ID, meta, "run_id");
	text(e, MODEL_VERSIONS_RUN_LINK, meta, "run_link");
	text(e, MODEL_VERSIONS_STATUS, meta, "status");
	text(e, MODEL_VERSIONS_STATUS_MESSAGE, meta, "status_message");
	text(e, MODEL_VERSIONS_MODEL_ID, meta, "model_id");
}

static int model_versions(struct mlruns *m, struct emit *e, const struct mlruns_item *item)
{
	struct list folders = { 0 };

	mlruns_folders(m->group, item->path, &folders);
	for (size_t i = 0; i < folders.count; i++) {
		const char *folder = *LIST_AT(const char *, &folders, i);
		int64_t version = version_of(folder);
		struct list meta;
		if (!version)
			continue;
		bool good = mlruns_meta(m, arena_printf(m->group, "%s/%s", item->path, folder),
					&meta) &&
			    names_itself(&meta, "name", item->name);
		if (!emit_row(e))
			return -1;
		version_row(e, good ? &meta : NULL, item->name, version);
	}
	return 0;
}

static int version_tag(struct mlruns *m, struct emit *e, const struct mlruns_item *item,
		       const char *path, const char *key)
{
	if (!emit_row(e))
		return -1;
	emit_text(e, MODEL_VERSION_TAGS_NAME, item->parent);
	emit_int(e, MODEL_VERSION_TAGS_VERSION, version_of(item->name));
	emit_text(e, MODEL_VERSION_TAGS_KEY, key);
	content(m, e, MODEL_VERSION_TAGS_VALUE, path);
	return 0;
}

static int model_version_tags(struct mlruns *m, struct emit *e, const struct mlruns_item *item)
{
	static const struct mlruns_file_fn fn = { version_tag };
	struct list folders = { 0 };

	mlruns_folders(m->group, item->path, &folders);
	for (size_t i = 0; i < folders.count; i++) {
		const char *folder = *LIST_AT(const char *, &folders, i);
		const struct mlruns_item version = {
			.name = folder,
			.path = arena_printf(m->group, "%s/%s", item->path, folder),
			.parent = item->name,
		};
		if (version_of(folder) && mlruns_files(m, e, &version, "tags", &fn))
			return -1;
	}
	return 0;
}

static int alias(struct mlruns *m, struct emit *e, const struct mlruns_item *item, const char *path,
		 const char *key)
{
	size_t size;
	const char *value = mlruns_file(m, path, &size);
	char *end = NULL;
	long long version = value ? strtoll(value, &end, 10) : 0;

	if (!emit_row(e))
		return -1;
	emit_text(e, MODEL_ALIASES_NAME, item->name);
	emit_text(e, MODEL_ALIASES_ALIAS, key);
	if (value && end > value && !end[strspn(end, "\r\n")])
		emit_int(e, MODEL_ALIASES_VERSION, version);
	else
		emit_wrong(e, MODEL_ALIASES_VERSION);
	return 0;
}

static int aliases(struct mlruns *m, struct emit *e, const struct mlruns_item *item)
{
	static const struct mlruns_file_fn fn = { alias };

	return mlruns_files(m, e, item, "aliases", &fn);
}

mlruns_rows_fn *const mlruns_rows[SOURCE_TABLES] = {
	[SOURCE_EXPERIMENTS] = experiments,
	[SOURCE_EXPERIMENT_TAGS] = experiment_tags,
	[SOURCE_RUNS] = runs,
	[SOURCE_METRICS] = metrics,
	[SOURCE_LATEST] = latest,
	[SOURCE_PARAMS] = params,
	[SOURCE_TAGS] = tags,
	[SOURCE_DATASETS] = datasets,
	[SOURCE_INPUTS] = inputs,
	[SOURCE_INPUT_TAGS] = input_tags,
	[SOURCE_LOGGED_MODELS] = logged_models,
	[SOURCE_LOGGED_MODEL_PARAMS] = params,
	[SOURCE_LOGGED_MODEL_TAGS] = tags,
	[SOURCE_LOGGED_MODEL_METRICS] = logged_model_metrics,
	[SOURCE_RUN_MODELS] = run_models,
	[SOURCE_REGISTERED_MODELS] = registered_models,
	[SOURCE_REGISTERED_MODEL_TAGS] = tags,
	[SOURCE_MODEL_VERSIONS] = model_versions,
	[SOURCE_MODEL_VERSION_TAGS] = model_version_tags,
	[SOURCE_MODEL_ALIASES] = aliases,
};
