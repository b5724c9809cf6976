/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * The shared commit: two round trips for a group of requests. The first begins and reads
 * (commit_read.c), the second writes and commits; in between the requests are judged
 * (commit_judge.c).
 */

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "base/arena.h"
#include "commit_impl.h"
#include "db/db.h"
#include "keys.h"
#include "store/settle.h"

enum { TRIES = 4 };

size_t write_weight(const struct write *w)
{
	size_t weight = w->metrics.count + w->params.count + w->tags.count + w->datasets.count +
		w->model_inputs.count + w->model_outputs.count + w->delete_tag_count;

	return weight ? weight : 1;
}

/* ---- how points are written ---- */

/*
 * A plain INSERT or COPY is the cheapest, but one repeated point spoils it. Clients that repeat
 * tend to go on doing it, so a group that met one makes the next DUPLICATE_GROUPS start with ON
 * CONFLICT.
 */
enum { DUPLICATE_GROUPS = 16 };

static atomic_int duplicates;

static bool duplicates_expected(void)
{
	int n = atomic_load_explicit(&duplicates, memory_order_relaxed);

	if (n <= 0)
		return false;
	atomic_fetch_sub_explicit(&duplicates, 1, memory_order_relaxed);
	return true;
}

static void duplicates_met(void)
{
	atomic_store_explicit(&duplicates, DUPLICATE_GROUPS, memory_order_relaxed);
}

/* ---- one attempt ---- */

static int commit_once(struct ctx *c, struct member *members, size_t count, bool upsert_points)
{
	struct attempt *a = NEW(c->arena, struct attempt);

	*a = (struct attempt){ .c = c, .members = members, .count = count,
	                       .upsert_points = upsert_points };
	for (size_t i = 0; i < count; i++)
		error_clear(members[i].write->ctx);
	if (commit_read(a))
		return -1;
	if (!commit_judge(a))
		return db_rollback(c);
	commit_unsettle(a);
	commit_runs(a);
	if (commit_points(a))
		return -1;
	commit_cells(a);
	commit_inputs(a);
	commit_model_points(a);
	db_queue_commit(c);
	if (db_flush(c))
		return -1;
	for (uint32_t i = 0; i < a->target_count; i++) {
		if (a->targets[i].written)
			store_settle_note(a->targets[i].id, store_settle_rest(false));
	}
	return 0;
}

/* ---- after a failure ---- */

enum verdict { AGAIN, UPSERT, SPLIT, GIVE_UP };

/* Nothing of the group is stored, or COMMIT went out and no answer came: then it is given up. */
static enum verdict verdict(const struct ctx *c)
{
	const char *state = db_sqlstate(c);

	if (strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0)
		return AGAIN;
	if (c->error.code == TEMPORARILY_UNAVAILABLE || c->error.code == INSUFFICIENT_STORAGE)
		return GIVE_UP;
	if (strcmp(state, "23505") != 0)
		return SPLIT;
	return strcmp(db_constraint(c), "points_pkey") == 0 ? UPSERT : AGAIN;
}

static int commit_range(struct ctx *c, struct member *members, size_t count);

/* A value that the database does not take fails the request that brought it, and no other. */
static int fail_alone(struct ctx *c, struct write *w)
{
	struct error e = c->error;
	const char *state = db_sqlstate(c);

	/* Data, constraints, limits: the request's doing. */
	if (strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0 ||
	    strncmp(state, "54", 2) == 0) {
		e.code = INVALID_PARAMETER_VALUE;
		e.message = "The request has a value that cannot be stored: a key or a name is too "
			    "long.";
	}
	error_clear(c);
	error_clear(w->ctx);
	commit_refuse(w, &e);
	return 0;
}

/* What one half came to does not change the other's answer. */
static void commit_half(struct ctx *c, struct member *members, size_t count)
{
	struct error e;

	if (commit_range(c, members, count) == 0)
		return;
	e = c->error;
	error_clear(c);
	for (size_t i = 0; i < count; i++) {
		error_clear(members[i].write->ctx);
		commit_refuse(members[i].write, &e);
	}
}

static int commit_range(struct ctx *c, struct member *members, size_t count)
{
	bool upsert = duplicates_expected();
	enum verdict v = AGAIN;

	for (int tries = 0; tries < TRIES && v != SPLIT; tries++) {
		error_clear(c);
		if (commit_once(c, members, count, upsert) == 0)
			return 0;
		v = verdict(c);
		if (db_rollback(c) || v == GIVE_UP)
			return -1;
		if (v == UPSERT) {
			duplicates_met();
			upsert = true;
		}
	}
	/* A row that is there each time, though it was looked for, is the doing of one request. */
	if (v != SPLIT && c->error.code != RESOURCE_ALREADY_EXISTS)
		return -1;
	if (count == 1)
		return fail_alone(c, members[0].write);
	error_clear(c);
	commit_half(c, members, count / 2);
	commit_half(c, members + count / 2, count - count / 2);
	return 0;
}

/* ---- the group ---- */

static size_t add_names(const struct write *w, const char **names)
{
	size_t n = 0;

	for (size_t i = 0; i < w->metrics.count; i++)
		names[n++] = LIST_AT(struct metric, &w->metrics, i)->key;
	for (size_t i = 0; i < w->params.count; i++)
		names[n++] = LIST_AT(struct tag, &w->params, i)->key;
	for (size_t i = 0; i < w->tags.count; i++)
		names[n++] = LIST_AT(struct tag, &w->tags, i)->key;
	for (size_t i = 0; i < w->delete_tag_count; i++)
		names[n++] = w->delete_tags[i];
	return n;
}

static size_t count_names(const struct write *w)
{
	return w->metrics.count + w->params.count + w->tags.count + w->delete_tag_count;
}

int store_commit(struct ctx *c, struct write *const *writes, size_t count)
{
	struct member *members = NEW_ARRAY(c->arena, count, struct member);
	const char **names;
	int32_t *ids;
	size_t n = 0;

	if (!count)
		return 0;
	for (size_t i = 0; i < count; i++)
		n += count_names(writes[i]);
	names = NEW_ARRAY(c->arena, n, const char *);
	ids = NEW_ARRAY(c->arena, n, int32_t);
	n = 0;
	for (size_t i = 0; i < count; i++) {
		assert(writes[i]->run_id);
		members[i] = (struct member){ .write = writes[i], .keys = ids + n };
		n += add_names(writes[i], names + n);
	}
	if (keys_resolve(c, names, n, ids))
		return -1;
	return commit_range(c, members, count);
}
