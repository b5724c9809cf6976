/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What searches remember of experiments, and where their artifacts lie. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "db/db.h"
#include "store/experiment.h"
#include "store/location.h"
#include "store/run.h"
#include "with_database.h"

#include <cmocka.h>            /* last: it defines fail() */

#define RUN_A "000000000000000000000000000000aa"

static void must(int result)
{
	if (result < 0)
		fail_msg("%s (%s)", c.error.message, c.error.detail ? c.error.detail : "");
}

static int set_up(void **state)
{
	(void)state;
	return database_start(NULL, 2);
}

static int tear_down(void **state)
{
	(void)state;
	return database_stop();
}

static enum experiment_change rename_to(int64_t id, const char *name)
{
	enum experiment_change change;

	must(store_experiment_rename(&c, id, name, 2000, &change));
	return change;
}

static enum experiment_change tag(int64_t id, const char *key, const char *prefix, int64_t most)
{
	enum experiment_change change;

	must(store_experiment_set_tag(&c, id, &(struct tag){ key, "x" }, prefix, most, &change));
	return change;
}

static enum experiment_change untag(int64_t id, const char *key)
{
	enum experiment_change change;

	must(store_experiment_delete_tag(&c, id, key, &change));
	return change;
}

static void made(void)
{
	const char *id = NULL;
	bool deleted;
	struct new_experiment e = { .name = "renamed", .artifact_root = "/r", .now = 1000 };

	assert_int_equal(store_experiment_create(&c, &e, &id, &deleted), 1);
	assert_string_equal(id, "1");
}

/* Whatever changes an experiment, the next search shows it. */
static void experiment_revisions(void **state)
{
	struct search_query q = { .entity = SEARCH_EXPERIMENTS, .view = VIEW_ALL, .filter = "name LIKE 're%'",
		.max_results = 5, .token_key = store_settings_token_key() };
	const char *token, *before = "", *now;
	struct list found;

	(void)state;
	made();
	for (int change = 0; change < 6; change++) {
		if (change == 1)
			assert_int_equal(tag(1, "new", NULL, 0), EXPERIMENT_CHANGED);
		else if (change == 2)
			assert_int_equal(untag(1, "new"), EXPERIMENT_CHANGED);
		else if (change == 3)
			assert_int_equal(rename_to(1, "rewritten"), EXPERIMENT_CHANGED);
		else if (change == 4)
			assert_int_equal(store_experiment_delete(&c, 1, 5000), 1);
		else if (change == 5)
			assert_int_equal(store_experiment_restore(&c, 1, 6000), 1);
		must(store_experiment_search(&c, &q, &found, &token));
		assert_int_equal(found.count, 1);
		now = LIST_AT(struct experiment, &found, 0)->whole;
		assert_string_not_equal(now, before);
		must(store_experiment_search(&c, &q, &found, &token));
		assert_string_equal(LIST_AT(struct experiment, &found, 0)->whole, now);
		before = now;
	}
}

static void locations(void **state)
{
	static const char *const cases[][3] = {
		{ "/a", "x", "/a/x" }, { "/a/", "x", "/a/x" }, { "s3://b/p?q=1", "x/y",
			"s3://b/p/x/y?q=1" },
		{ "", "x", "/x" }, { "mlflow-artifacts:/", "1", "mlflow-artifacts:/1" },
		{ "gs://b/p/?q#f", "x", "gs://b/p/x?q#f" }, { "s3://b#f?q", "x", "s3://b/x#f?q" },
		{ "/a?b#c", "x", "/a?b#c/x" }, { "a//", "x", "a//x" },
		{ "1:/a?b", "x", "1:/a?b/x" },
	};
	struct list sql = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(store_experiment_uri(c.arena, cases[i][0], cases[i][1]),
		                    cases[i][2]);
	/* Filters see what clients see. */
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		must(db_list_once(&c, "SELECT run_uri($1, $2) AS value",
		                  ARGS(TEXT(cases[i][0]), UUID(RUN_A)), &tag_record, &sql));
		assert_string_equal(LIST_AT(struct tag, &sql, 0)->value,
		                    store_run_uri(c.arena, cases[i][0], RUN_A));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(experiment_revisions),
		cmocka_unit_test(locations),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
