/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "exchange/import.h"

#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "import_impl.h"

enum { CONNECT_MS = 10000, PROGRESS_ROWS = 4096, MEMORY = 1 << 30 };

static const char *const issue_keys[] = {
#define X(name, key, text) [IMPORT_ISSUE_##name] = key,
	IMPORT_ISSUES(X)
#undef X
};

/* ---- what the parts share ---- */

struct ctx import_work(struct import *m)
{
	struct ctx work = *m->c;

	work.arena = m->batch;
	return work;
}

int import_worked(struct import *m, const struct ctx *work, int result)
{
	const struct error *e = &work->error;
	struct ctx *c = m->c;

	c->db = work->db;
	if (!result)
		return 0;
	return fail_because(c, e->code, e->detail ? arena_strdup(c->arena, e->detail) : NULL, "%s",
			    e->message ? e->message : "The import failed.");
}

/* One example a line. */
static const char *on_one_line(struct arena *a, const char *text)
{
	char *copy = arena_strdup(a, text);

	for (char *p = copy; *p; p++) {
		if ((unsigned char)*p < ' ')
			*p = ' ';
	}
	return copy;
}

void import_issue(struct import *m, enum import_issue_kind kind, int64_t rows, const char *example)
{
	struct issue *i = &m->issues[m->table][kind];
	struct arena *a = m->c->arena;

	i->rows += rows;
	i->changed = true;
	if (!example || i->examples >= EXAMPLES)
		return;
	example = on_one_line(a, example);
	i->text = i->text && *i->text ? arena_printf(a, "%s\n%s", i->text, example) : example;
	i->examples++;
}

void import_save(struct import *m, struct ctx *work, const char *position, bool done,
		 const struct import_table_report *t)
{
	const char *name = source_tables[m->table].name;
	int64_t checksum = (int64_t)t->checksum;

	store_import_save_queue(work, m->id,
				&(struct import_progress){ name, position, &done, &t->read, &t->written, &t->present,
							   &checksum });
	for (int kind = 0; kind < IMPORT_ISSUE_KINDS; kind++) {
		const struct issue *i = &m->issues[m->table][kind];
		if (i->changed)
			store_import_issue_queue(work, m->id,
						 &(struct import_issue){ name, issue_keys[kind], &i->rows,
									 i->text ? i->text : "" });
	}
}

/* ---- the sink ---- */

static void tell(struct import *m, bool end)
{
	const struct import_table_report *t = &m->report->tables[m->table];

	if (m->o->progress)
		m->o->progress(m->o->progress_arg, source_tables[m->table].name, t->read, t->expected, end);
}

static int flush(struct import *m, const char *position, bool done)
{
	int failed = 0;

	if (!m->o->dry_run)
		failed = m->table == SOURCE_METRICS ? import_flush_points(m, position, done)
						    : import_flush_rows(m, position, done);
	if (failed)
		return -1;
	arena_reset(m->batch);
	m->values = NULL;
	m->points = NULL;
	m->rows = m->capacity = m->points_capacity = 0;
	m->checksum = 0;
	return 0;
}

static int take_rows(struct ctx *c, void *arg, const struct source_value *values, size_t count)
{
	struct import *m = arg;
	struct import_table_report *t = &m->report->tables[m->table];
	unsigned columns = source_columns(m->table);
	bool points = m->table == SOURCE_METRICS && !m->o->dry_run;

	(void)c;
	for (size_t i = 0; i < count; i++, values += columns) {
		if (points ? import_take_point(m, values) : import_take_row(m, values))
			return -1;
		if (++t->read % PROGRESS_ROWS == 0)
			tell(m, false);
		bool full = points ? m->rows >= MOST_POINTS
				   : m->rows >= MOST_ROWS || arena_used(m->batch) >= MOST_BYTES;
		if (full && flush(m, NULL, false))
			return -1;
	}
	return 0;
}

static int take_mark(struct ctx *c, void *arg, const char *position)
{
	struct import *m = arg;
	bool points = m->table == SOURCE_METRICS && !m->o->dry_run;
	bool enough = m->rows >= (points ? (size_t)BATCH_POINTS : (size_t)BATCH_ROWS) ||
		      (!points && arena_used(m->batch) >= BATCH_BYTES);

	(void)c;
	if (!enough || !utf8_valid(position, strlen(position)))
		return 0;
	return flush(m, position, false);
}

static int import_table(struct import *m, struct source *s, enum source_table t)
{
	struct source_sink sink = { take_rows, take_mark, m };
	int64_t began = clock_ms();
	int64_t before = m->report->tables[t].read;

	m->table = t;
	if (m->done[t])
		return 0;
	arena_reset(m->memory);
	if (!m->o->dry_run && t != SOURCE_METRICS && store_import_prepare(m->c, (enum import_table)t))
		return -1;
	if (!m->o->dry_run && t == SOURCE_METRICS && import_load_runs(m))
		return -1;
	if (s->ops->read(m->c, s, t, m->positions[t], &sink) || flush(m, NULL, true))
		return -1;
	if (t == SOURCE_METRICS) {
		m->report->points = m->report->tables[t].read - before;
		m->report->point_seconds = (double)(clock_ms() - began) / 1000;
	}
	tell(m, true);
	return 0;
}

/* ---- where it stands ---- */

static int table_named(const char *name)
{
	for (int t = 0; t < SOURCE_TABLES; t++) {
		if (!strcmp(source_tables[t].name, name))
			return t;
	}
	return -1;
}

static void recall(struct import *m, const struct list *progress, const struct list *issues)
{
	for (size_t i = 0; i < progress->count; i++) {
		const struct import_progress *p = LIST_AT(struct import_progress, progress, i);
		int t = table_named(p->name);
		if (t < 0)
			continue;
		struct import_table_report *r = &m->report->tables[t];
		m->positions[t] = p->position;
		m->done[t] = *p->done;
		r->read = *p->read;
		r->written = *p->written;
		r->present = *p->present;
		r->checksum = (uint64_t)*p->checksum;
		m->report->resumed = true;
	}
	for (size_t i = 0; i < issues->count; i++) {
		const struct import_issue *issue = LIST_AT(struct import_issue, issues, i);
		int t = table_named(issue->name);
		for (int kind = 0; t >= 0 && kind < IMPORT_ISSUE_KINDS; kind++) {
			if (strcmp(issue_keys[kind], issue->kind) != 0)
				continue;
			m->issues[t][kind] = (struct issue){ .rows = *issue->rows, .text = issue->examples };
			m->issues[t][kind].examples = *issue->examples ? 1 : 0;
			for (const char *p = issue->examples; *p; p++)
				m->issues[t][kind].examples += *p == '\n';
		}
	}
}

static int begin(struct import *m, struct db_pool *target)
{
	const struct source_description *d = &m->report->source;
	struct list progress = { 0 };
	struct list issues = { 0 };
	int64_t others;

	if (db_get(m->c, target, CONNECT_MS) || store_import_lock(m->c) || store_import_others(m->c, &others))
		return -1;
	if (others && !m->o->online)
		return fail(m->c, INVALID_STATE,
			    "A capstan is running on this database: stop it first, or import beside it with --online "
			    "(what clients write meanwhile wins over what is imported).");
	if (store_import_begin(m->c, d->uri, d->version ? d->version : "", clock_wall_ms(), m->o->restart, &m->id,
			       &progress, &issues))
		return -1;
	recall(m, &progress, &issues);
	return 0;
}

/* ---- sources: the store's own, and the auth app's where that is elsewhere ---- */

struct sources {
	struct source *main, *auth;
};

static bool is_auth(int table)
{
	return table >= SOURCE_USERS;
}

static int open_sources(struct ctx *c, const struct import_options *o, struct source_description *d,
			struct sources *ret)
{
	struct source_description auth;

	ret->main = source_open(c, &(struct source_options){ .uri = o->from, .force = o->force });
	if (!ret->main || ret->main->ops->describe(c, ret->main, d))
		return -1;
	if (!o->auth_from)
		return 0;
	ret->auth = source_open(c, &(struct source_options){ .uri = o->auth_from, .auth = true, .force = o->force });
	if (!ret->auth || ret->auth->ops->describe(c, ret->auth, &auth))
		return -1;
	for (int t = SOURCE_USERS; t < SOURCE_TABLES; t++)
		d->rows[t] = auth.rows[t];
	return 0;
}

static void close_sources(struct sources *s)
{
	if (s->auth)
		s->auth->ops->close(s->auth);
	if (s->main)
		s->main->ops->close(s->main);
}

/* ---- all of it ---- */

static void report_issues(struct import *m)
{
	struct import_report *r = m->report;
	size_t capacity = 0;

	for (int t = 0; t < SOURCE_TABLES; t++) {
		r->tables[t].left_out = r->tables[t].read - r->tables[t].written - r->tables[t].present;
		for (int kind = 0; kind < IMPORT_ISSUE_KINDS; kind++) {
			const struct issue *i = &m->issues[t][kind];
			if (!i->rows)
				continue;
			*(struct import_report_issue *)list_add(m->c->arena, &r->issues, &capacity,
								sizeof(struct import_report_issue)) =
				(struct import_report_issue){ source_tables[t].name, (enum import_issue_kind)kind,
							      i->rows, i->text ? i->text : "" };
		}
	}
}

static int import_all(struct import *m, const struct sources *s)
{
	for (int t = 0; t < SOURCE_TABLES; t++) {
		if (import_table(m, is_auth(t) && s->auth ? s->auth : s->main, (enum source_table)t))
			return -1;
	}
	report_issues(m);
	if (m->o->dry_run)
		return 0;
	int64_t began = clock_ms();
	if (import_verify(m))
		return -1;
	m->report->verify_seconds = (double)(clock_ms() - began) / 1000;
	return store_import_finish(m->c, m->id, m->report->agrees, clock_wall_ms());
}

int import_run(struct ctx *c, struct db_pool *target, const struct import_options *o, struct import_report *ret)
{
	struct import *m = NEW(c->arena, struct import);
	struct sources sources = { 0 };
	int64_t began = clock_ms();

	*ret = (struct import_report){ 0 };
	m->c = c;
	m->o = o;
	m->report = ret;
	m->batch = arena_child(c->arena, BATCH_ARENA);
	m->memory = arena_child(c->arena, MEMORY);
	int failed = open_sources(c, o, &ret->source, &sources);
	for (int t = 0; t < SOURCE_TABLES; t++)
		ret->tables[t].expected = ret->source.rows[t];
	if (!failed && !o->dry_run)
		failed = begin(m, target);
	if (!failed)
		failed = import_all(m, &sources);
	close_sources(&sources);
	ret->seconds = (double)(clock_ms() - began) / 1000;
	return failed;
}
