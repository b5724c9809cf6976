/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/settle.h"

#include <pthread.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/record.h"
#include "db/db.h"
#include "store/import.h"
#include "store/writers.h"
#include "unsettle.h"

enum { SETTLE, LIST, UNSETTLE, UNRANK, UNSETTLE_ALL, UNRANK_ALL };

static const struct stmt stmts[] = {
	[SETTLE] = { "settle", "I",
		"WITH s AS (UPDATE runs SET revision = nextval('run_revisions')"
		"  WHERE id = ANY($1) AND revision IS NULL AND NOT " STORE_IMPORT_RUNS
		"  RETURNING id"
		"), m AS MATERIALIZED (SELECT s.id, x.low, x.high FROM s, LATERAL ("
		"  SELECT coalesce(bit_or(run_marks(0, key_id, value)), 0) AS low,"
		"  coalesce(bit_or(run_marks(12, key_id, value)), 0) AS high FROM ("
		"   SELECT key_id, value FROM params WHERE run_id = s.id"
		"   UNION ALL SELECT key_id, value FROM tags WHERE run_id = s.id) p) x"
		") INSERT INTO ranked (experiment_id, key_id, value, run_id, low, high)"
		" SELECT l.experiment_id, l.key_id, l.value, l.run_id, m.low, m.high"
		" FROM m JOIN latest l ON l.run_id = m.id" },
	[LIST] = { "settle_list", "iii",
		"SELECT experiment_id, id FROM runs"
		" WHERE revision IS NULL AND (experiment_id, id) > ($1, $2)"
		" ORDER BY experiment_id, id LIMIT $3" },
	[UNSETTLE] = { "unsettle", "I",
		"UPDATE runs SET revision = NULL WHERE id = ANY($1) AND revision IS NOT NULL" },
	[UNRANK] = { "unrank", "I",
		"DELETE FROM ranked r USING latest l WHERE l.run_id = ANY($1)"
		" AND r.experiment_id = l.experiment_id AND r.key_id = l.key_id"
		" AND r.value = l.value AND r.run_id = l.run_id" },
	[UNSETTLE_ALL] = { "unsettle_all", "",
		"UPDATE runs SET revision = NULL WHERE revision IS NOT NULL" },
	[UNRANK_ALL] = { "unrank_all", "", "TRUNCATE ranked" },
};

/* ---- who writes ---- */

enum { NOTES = 16384 };

/* A run's place follows from its id; who comes later takes it, and the other one is left to the sweep. */
static struct {
	pthread_mutex_t lock;
	struct { int64_t run, at; } notes[NOTES];       /* run 0: free */
	uint64_t changes;
	size_t next;                    /* where the search for rested ones goes on */
	int64_t rest_ms, rest_ended_ms;
} active = { .lock = PTHREAD_MUTEX_INITIALIZER, .rest_ms = 10000, .rest_ended_ms = 1000 };

static size_t place_of(int64_t run)
{
	return (size_t)((uint64_t)run * UINT64_C(0x9E3779B97F4A7C15) >> 32) % NOTES;
}

void store_settle_configure(int64_t rest_ms, int64_t rest_ended_ms)
{
	active.rest_ms = rest_ms;
	active.rest_ended_ms = rest_ended_ms;
}

int64_t store_settle_rest(bool ended)
{
	return ended ? active.rest_ended_ms : active.rest_ms;
}

void store_settle_note(int64_t run, int64_t ms)
{
	int64_t at = clock_ms() + ms;
	size_t i = place_of(run);

	pthread_mutex_lock(&active.lock);
	active.notes[i].run = run;
	active.notes[i].at = at;
	active.changes++;
	pthread_mutex_unlock(&active.lock);
}

size_t store_settle_rested(int64_t *runs, size_t most)
{
	int64_t now = clock_ms();
	size_t count = 0;

	pthread_mutex_lock(&active.lock);
	for (size_t i = 0; i < NOTES && count < most; i++) {
		size_t n = (active.next + i) % NOTES;

		if (!active.notes[n].run || active.notes[n].at > now)
			continue;
		runs[count++] = active.notes[n].run;
		active.notes[n].run = 0;
		if (count == most)
			active.next = n + 1;
	}
	pthread_mutex_unlock(&active.lock);
	return count;
}

bool store_settle_is_active(int64_t run)
{
	bool is;

	pthread_mutex_lock(&active.lock);
	is = active.notes[place_of(run)].run == run;
	pthread_mutex_unlock(&active.lock);
	return is;
}

uint64_t store_settle_changes(void)
{
	uint64_t n;

	pthread_mutex_lock(&active.lock);
	n = active.changes;
	pthread_mutex_unlock(&active.lock);
	return n;
}

/* ---- settling ---- */

static int settle(struct ctx *c, const int64_t *runs, size_t count)
{
	int held;

	db_queue_begin(c);
	held = writers_keep_out(c);
	if (held <= 0)
		return held;
	db_queue(c, &stmts[SETTLE], ARGS(BIGINTS(runs, count)), NULL);
	db_queue_commit(c);
	if (db_flush(c) == 0)
		return 1;
	if (strcmp(db_sqlstate(c), "55P03") != 0)       /* a row's lock, within the same patience */
		return -1;
	error_clear(c);
	return 0;
}

int store_settle(struct ctx *c, const int64_t *runs, size_t count)
{
	int settled = settle(c, runs, count);

	if (settled > 0)
		return 1;
	return db_rollback(c) ? -1 : settled;
}

struct unsettled {
	const int64_t *experiment_id;
	const int64_t *id;
};

static const struct record unsettled_record = { sizeof(struct unsettled), (const struct field[]){
	INT64(struct unsettled, experiment_id, 0),
	INT64(struct unsettled, id,            0),
	END }};

int store_settle_list(struct ctx *c, struct settle_place *place, int64_t *runs, size_t most,
                      size_t *count)
{
	struct list found = { 0 };

	if (db_list(c, &stmts[LIST], ARGS(BIGINT(place->experiment_id), BIGINT(place->id),
	                                  BIGINT((int64_t)most)), &unsettled_record, &found))
		return -1;
	for (size_t i = 0; i < found.count; i++) {
		const struct unsettled *u = LIST_AT(struct unsettled, &found, i);

		runs[i] = *u->id;
		*place = (struct settle_place){ *u->experiment_id, *u->id };
	}
	*count = found.count;
	return 0;
}

/* ---- the way back ---- */

void unsettle_queue(struct ctx *c, const int64_t *runs, size_t count)
{
	db_queue(c, &stmts[UNSETTLE], ARGS(BIGINTS(runs, count)), NULL);
	db_queue(c, &stmts[UNRANK], ARGS(BIGINTS(runs, count)), NULL);
}

void unsettle_all_queue(struct ctx *c)
{
	db_queue(c, &stmts[UNSETTLE_ALL], NO_ARGS, NULL);
	db_queue(c, &stmts[UNRANK_ALL], NO_ARGS, NULL);
}
