/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What searches remember of models: after each of many changes at random it is what a load says, against a private
   PostgreSQL. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "db/db.h"
#include "store/entities.h"
#include "store/model.h"
#include "store/model_alias.h"
#include "store/model_version.h"
#include "with_database.h"

#include <cmocka.h>            /* last: it defines fail() */

enum { CHANGES = 600, NAMES = 5, VERSIONS = 5, KINDS = 15 };

static unsigned seed = 20260101;
static unsigned done[KINDS];
static int64_t last_id;

static void must(int result)
{
	if (result < 0)
		fail_msg("%s (%s)", c.error.message, c.error.detail ? c.error.detail : "");
}

static int set_up(void **state)
{
	(void)state;
	return database_start("ann", 2);
}

static int tear_down(void **state)
{
	(void)state;
	return database_stop();
}

static int64_t below(int64_t most)
{
	return rand_r(&seed) % most;
}

static const char *text(const char *start, int64_t n)
{
	return arena_printf(c.arena, "%s%lld", start, (long long)n);
}

static struct version_number a_version(void)
{
	int64_t n = 1 + below(VERSIONS);

	return (struct version_number){ n, text("", n) };
}

static int create(const char *name, int64_t now)
{
	struct tag tag = { "first", "a \"tag\"" };

	return store_model_create(&c, &(struct new_registered_model){ .name = name,
	                          .description = "d", .tags = { &tag, 1 }, .now = now });
}

static int create_version(const char *name, int64_t now)
{
	struct model_version *v;

	return store_model_version_create(&c, &(struct new_model_version){ .name = name,
	                                  .description = text("d", now), .source = "s3://b/x",
	                                  .location = "s3://b/x", .run_id = "", .run_link = "",
	                                  .now = now }, &v);
}

static int change_model(int64_t kind, const char *name, int64_t now)
{
	struct registered_model *m;

	switch (kind) {
	case 0:
		return create(name, now);
	case 1:
		return store_model_update(&c, name, text("d", now), now, &m);
	case 2:
		return store_model_rename(&c, name, text("m", below(NAMES)), now, &m);
	case 3:
		return below(4) ? 0 : store_model_delete(&c, name, now);
	case 4:
		return store_model_set_tag(&c, name, text("k", below(2)), text("v", now));
	case 5:
		return store_model_delete_tag(&c, name, text("k", below(2)));
	case 6:
		return store_model_set_tag(&c, name, MODEL_PROMPT_TAG, below(2) ? "true" : "no");
	default:
		return store_model_delete_tag(&c, name, MODEL_PROMPT_TAG);
	}
}

static int change(int64_t kind, const char *name, int64_t now)
{
	struct version_number n = a_version();
	struct alias_move move = { .name = name, .alias = text("a", below(2)), .version = n,
		.raw = n.text, .expected = below(3) ? -1 : below(VERSIONS), .now = now };
	struct model_version *v;

	switch (kind) {
	case 8:
		return create_version(name, now);
	case 9:
		return store_model_version_update(&c, name, &n, text("d", now), now, &v);
	case 10:
		return below(3) ? 0 : store_model_version_delete(&c, name, &n, now);
	case 11:
		return store_model_version_set_tag(&c, name, &n, n.text, "k", text("v", now));
	case 12:
		return store_model_version_delete_tag(&c, name, &n, n.text, "k");
	case 13:
		return below(2) ? store_model_alias_set(&c, &move)
			: store_model_alias_delete(&c, &move);
	case 14:
		return store_model_version_move(&c, &(struct stage_move){ .name = name,
		                                .version = n, .stage = below(4),
		                                .expected = -1, .archive = below(2),
		                                .now = now }, &v);
	default:
		return change_model(kind, name, now);
	}
}

/* A search's models, one after the other. */
static size_t search(const char *filter, struct buf *out)
{
	struct search_query q = { .entity = SEARCH_REGISTERED_MODELS, .view = VIEW_ALL,
		.filter = filter, .max_results = 100, .token_key = store_settings_token_key() };
	struct list l = { 0 };
	const char *next;

	must(store_registered_model_search(&c, &q, &l, &next));
	for (size_t i = 0; i < l.count; i++) {
		assert_non_null(LIST_AT(struct registered_model, &l, i)->whole);
		record_write(out, &registered_model_record,
		             (char *)l.items + i * registered_model_record.size);
		buf_add(out, "\n");
	}
	return l.count;
}

/* Each model that there is, as it is. */
static void check(void)
{
	int64_t *ids = NEW_ARRAY(c.arena, (size_t)last_id + 1, int64_t);
	struct buf found = BUF(c.arena, 1 << 20);
	struct list l = { 0 };
	size_t count = search(NULL, &found) + search("tag.`" MODEL_PROMPT_TAG "` = 'true'", &found);

	for (int64_t i = 0; i <= last_id; i++)
		ids[i] = i;
	must(store_registered_models_load(&c, ids, (size_t)last_id + 1, &l));
	assert_int_equal(count, l.count);
	for (size_t i = 0; i < l.count; i++) {
		struct buf want = BUF(c.arena, 1 << 20);

		record_write(&want, &registered_model_record,
		             (char *)l.items + i * registered_model_record.size);
		if (!strstr(buf_text(&found), buf_text(&want)))
			fail_msg("%s\nis none of\n%s", buf_text(&want), buf_text(&found));
	}
}

static void changes(void **state)
{
	struct arena *whole = c.arena;

	(void)state;
	for (int64_t now = 1; now <= CHANGES; now++) {
		int64_t kind = below(KINDS);

		c.arena = arena_new(LIMIT_ARENA);
		last_id++;                      /* attempts to create use up ids */
		if (change(kind, text("m", below(NAMES)), now) == 0)
			done[kind]++;
		error_clear(&c);
		check();
		arena_free(c.arena);
	}
	c.arena = whole;
	for (int i = 0; i < KINDS; i++)
		assert_true(done[i] > 2);
}

/* Of another revision than the one remembered, through another connection. */
static void others(void **state)
{
	struct ctx other = { .arena = c.arena };
	struct buf found = BUF(c.arena, 1 << 20);

	(void)state;
	must(create("others", 1));
	must((int)search("name = 'others'", &found));
	assert_non_null(strstr(buf_text(&found), "\"description\":\"d\""));
	must(db_get(&other, pool, 1000));
	assert_int_equal(store_model_set_tag(&other, "others", "seen", "elsewhere"), 0);
	db_put(&other, pool);
	search("name = 'others'", &found);
	assert_non_null(strstr(buf_text(&found), "\"value\":\"elsewhere\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes), cmocka_unit_test(others),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
