/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Logins, what is remembered of them and for how long, and grants that follow their resource; on
   a private PostgreSQL. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/auth.h"
#include "auth/password.h"
#include "base/clock.h"
#include "base/log.h"
#include "db/db.h"
#include "store/grant.h"
#include "store/role.h"
#include "store/user.h"
#include "with_database.h"

#include <cmocka.h>            /* last: it defines fail() */

/* printf %s name:password | base64 */
#define ADMIN   "Basic YWRtaW46dGhlIGJvc3MncyBwYXNzd29yZA=="    /* admin:the boss's password */
#define ANNA    "Basic YW5uYTphbm5hJ3MgcGFzc3dvcmQ="            /* anna:anna's password */
#define ANNA_NO "Basic YW5uYTpzb21lYm9keSdzIHBhc3N3b3Jk"        /* anna:somebody's password */
#define NOBODY  "Basic bm9ib2R5OmFubmEncyBwYXNzd29yZA=="        /* nobody:anna's password */

static struct auth *a;

static void must(int result)
{
	if (result < 0)
		fail_msg("%s (%s)", c.error.message, c.error.detail ? c.error.detail : "");
}

static int set_up(void **state)
{
	(void)state;
	log_configure(LOG_ERROR, LOG_TEXT);
	return database_start(NULL, 4);
}

static int tear_down(void **state)
{
	(void)state;
	auth_free(a);
	return database_stop();
}

static struct auth_options options(void)
{
	return (struct auth_options){ .pool = pool, .default_permission = "READ",
		.cache_limit = 100, .cache_ttl_ms = 60000 };
}

/* ---- the first admin ---- */

static void refuses(const char *name, const char *password, const char *permission,
                    const char *text)
{
	struct auth_options o = options();
	struct ctx own = { .arena = arena_new(LIMIT_ARENA) };

	o.admin_username = name;
	o.admin_password = password;
	o.default_permission = permission;
	assert_null(auth_new(&own, &o));
	if (!strstr(own.error.message, text))
		fail_msg("'%s' does not say '%s'", own.error.message, text);
	assert_null(auth_current());
	arena_free(own.arena);
}

static void start(const char *name, const char *password)
{
	struct auth_options o = options();
	struct ctx own = { .arena = arena_new(LIMIT_ARENA) };

	o.admin_username = name;
	o.admin_password = password;
	a = auth_new(&own, &o);
	if (!a)
		fail_msg("%s", own.error.message);
	assert_ptr_equal(auth_current(), a);
	arena_free(own.arena);
}

static void stop(void)
{
	auth_free(a);
	a = NULL;
	assert_null(auth_current());
}

static void first_admin(void **state)
{
	struct user user = { 0 };

	(void)state;
	refuses(NULL, NULL, "READ", "none is configured");
	refuses(NULL, "", "READ", "none is configured");
	refuses(NULL, "too short", "READ", "at least 12 characters");
	refuses(NULL, "password1234", "READ", "which everybody knows");
	refuses("", "the boss's password", "READ", "name of the admin is empty");
	refuses("a:b", "the boss's password", "READ", "colon");
	refuses(NULL, "the boss's password", "OWNER", "default_permission");
	assert_int_equal(store_user_any_admin(&c), 0);

	start(NULL, "the boss's password");
	stop();
	assert_int_equal(store_user_get(&c, "admin", &user), 1);
	assert_true(*user.is_admin);
	assert_int_equal(auth_password_verify(&c, "the boss's password", user.password_hash), 1);

	/* Once he exists the configured password is nobody's business. */
	start(NULL, "another password");
	stop();
	start(NULL, NULL);
	stop();
	start("somebody", NULL);
	stop();
	assert_int_equal(store_user_get(&c, "admin", &user), 1);
	assert_int_equal(auth_password_verify(&c, "the boss's password", user.password_hash), 1);
	assert_int_equal(store_user_get(&c, "somebody", &user), 0);
}

/* ---- logins ---- */

static sem_t answered;

static void done(struct auth_check *k)
{
	(void)k;
	sem_post(&answered);
}

struct login {
	struct ctx ctx;
	struct principal who;
	bool slow;                      /* the database had to be asked */
	bool right;
};

static void login(struct login *l, const char *authorization)
{
	*l = (struct login){ .ctx = { .arena = arena_new(LIMIT_ARENA) } };
	int got = auth_recall(&l->ctx, a, authorization, &l->who);

	l->slow = got == 0;
	if (!got) {
		struct auth_check k = { .ctx = &l->ctx, .authorization = authorization,
			.ret = &l->who, .done = done };

		assert_true(auth_submit(a, &k));
		sem_wait(&answered);
		got = l->ctx.error.code ? -1 : 1;
	}
	l->right = got > 0;
	assert_int_equal(l->right, !l->ctx.error.code);
	if (!l->right)
		assert_int_equal(l->ctx.error.code, UNAUTHENTICATED);
}

/* On a busy machine the watch may be late, and then memory does not count: once it must. */
static void expect(const char *authorization, bool right, bool slow)
{
	struct login l;

	login(&l, authorization);
	for (int i = 0; !slow && l.slow && i < 20; i++) {
		arena_free(l.ctx.arena);
		usleep(50000);
		login(&l, authorization);
	}
	if (l.right != right || l.slow != slow)
		fail_msg("%s: right %d, slow %d", authorization, l.right, l.slow);
	arena_free(l.ctx.arena);
}

static int64_t make_user(const char *name, const char *password)
{
	struct user user = { 0 };

	must(store_user_create(&c, name, auth_password_hash(&c, password), false, &user));
	return *user.id;
}

/* Until the watch has seen what was done so far: it makes everything be read again, once. */
static void settle(void)
{
	usleep(AUTH_STALE_MS * 600);
}

static void warm(const char *authorization)
{
	struct login l;

	settle();
	login(&l, authorization);
	assert_true(l.right);
	arena_free(l.ctx.arena);
}

static bool may(struct login *l, enum auth_resource type, const char *id, enum auth_action action)
{
	return auth_allows(a, &l->who, &(struct auth_requirement){
		.rungs = { { type, id, action } }, .count = 1 }, 1);
}

static int start_auth(void **state)
{
	(void)state;
	sem_init(&answered, 0, 0);
	start(NULL, NULL);
	return 0;
}

static int stop_auth(void **state)
{
	(void)state;
	stop();
	return 0;
}

static void not_basic(void **state)
{
	static const char *const headers[] = {
		NULL, "", "Basic", "Basic ", "Bearer YW5uYTphbm5hJ3MgcGFzc3dvcmQ=",
		"Basic YW5uYQ==",
		"Basic !!!!", "Basic YW5uYTphbm5hJ3MgcGFzc3dvcmQ", "Basic YW5uYQ==YW5u",
		"Basic YQBiOmM=", "Basic /zo6Og==", "Basic ====",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
		struct ctx own = { .arena = arena_new(LIMIT_ARENA) };
		struct principal who;

		if (auth_recall(&own, a, headers[i], &who) != -1)
			fail_msg("%s", headers[i]);
		assert_int_equal(own.error.code, UNAUTHENTICATED);
		arena_free(own.arena);
	}
}

static void right_and_wrong(void **state)
{
	struct login l;
	int64_t anna = make_user("anna", "anna's password");

	(void)state;
	settle();
	expect(ANNA, true, true);
	expect(ANNA, true, false);
	expect("bAsIc   YW5uYTphbm5hJ3MgcGFzc3dvcmQ= ", true, true);
	expect(ANNA_NO, false, true);
	expect(ANNA_NO, false, false);
	expect(NOBODY, false, true);
	expect(ANNA, true, false);
	login(&l, ANNA);
	assert_int_equal(l.who.id, anna);
	assert_string_equal(l.who.name, "anna");
	assert_false(l.who.admin);
	assert_true(may(&l, AUTH_EXPERIMENT, "1", ACTION_READ));
	assert_false(may(&l, AUTH_EXPERIMENT, "1", ACTION_UPDATE));
	assert_false(auth_manages_workspace(a, &l.who));
	arena_free(l.ctx.arena);
	login(&l, ADMIN);
	assert_true(l.who.admin);
	assert_true(may(&l, AUTH_EXPERIMENT, "1", ACTION_MANAGE));
	assert_true(auth_manages_workspace(a, &l.who));
	arena_free(l.ctx.arena);
}

/* Until told so it may still be believed; then at once, and the password is not tried again. */
static void changes_here(void **state)
{
	struct login before, after;
	struct user anna = { 0 };
	int64_t began, took;

	(void)state;
	expect(ANNA, true, false);
	login(&before, ANNA);
	must(store_user_get(&c, "anna", &anna));
	must(store_grant_add(&c, *anna.id, "experiment", "7", "MANAGE"));
	auth_changed(a);
	began = clock_us();
	login(&after, ANNA);
	took = clock_us() - began;
	assert_true(after.right && after.slow);
	assert_true(may(&after, AUTH_EXPERIMENT, "7", ACTION_DELETE));
	assert_false(may(&after, AUTH_EXPERIMENT, "8", ACTION_UPDATE));
	/* What a request began with it ends with. */
	assert_false(may(&before, AUTH_EXPERIMENT, "7", ACTION_DELETE));
	arena_free(before.ctx.arena);
	arena_free(after.ctx.arena);
	began = clock_us();
	assert_int_equal(auth_password_verify(&c, "x", NULL), 0);
	assert_true(took < clock_us() - began);

	must(store_user_set_password(&c, "anna", auth_password_hash(&c, "anna's new password")));
	auth_changed(a);
	expect(ANNA, false, true);
	must(store_user_set_password(&c, "anna", auth_password_hash(&c, "anna's password")));
	auth_changed(a);
	expect(ANNA, true, true);
}

static bool becomes(const char *authorization, bool right)
{
	int64_t until = clock_ms() + AUTH_STALE_MS + 500;
	bool same = false;

	while (!same && clock_ms() < until) {
		struct login l;

		login(&l, authorization);
		same = l.right == right;
		arena_free(l.ctx.arena);
		usleep(10000);
	}
	return same;
}

/* Nobody tells us, as when another daemon on this database did it. */
static void changes_elsewhere(void **state)
{
	(void)state;
	warm(ANNA);
	expect(ANNA, true, false);
	must(store_user_delete(&c, "anna"));
	assert_true(becomes(ANNA, false));
	make_user("anna", "anna's password");
	assert_true(becomes(ANNA, true));
	warm(ANNA);
	usleep(AUTH_STALE_MS * 1500);
	/* Nothing changed, so after a longer while it still counts. */
	expect(ANNA, true, false);
}

static void expires(void **state)
{
	struct auth_options o = options();
	struct ctx own = { .arena = arena_new(LIMIT_ARENA) };

	(void)state;
	stop();
	o.cache_ttl_ms = 2500;
	o.cache_limit = 2;
	a = auth_new(&own, &o);
	assert_non_null(a);
	settle();
	expect(ANNA, true, true);
	expect(ANNA, true, false);
	usleep(2600000);
	expect(ANNA, true, true);
	stop();

	o.cache_ttl_ms = 60000;
	a = auth_new(&own, &o);
	settle();
	expect(ANNA, true, true);
	expect(ADMIN, true, true);
	expect(ANNA, true, false);
	expect("Basic  YW5uYTphbm5hJ3MgcGFzc3dvcmQ=", true, true);
	expect(ADMIN, true, false);
	expect(ANNA, true, true);       /* the oldest had to go */
	stop();

	o.cache_ttl_ms = 0;
	a = auth_new(&own, &o);
	expect(ANNA, true, true);
	expect(ANNA, true, true);
	stop();
	arena_free(own.arena);
	start(NULL, NULL);
}

/* The password of old MLflow versions is no admin's. */
static void legacy(void **state)
{
	/* printf old:password1234 | base64 */
	static const char old[] = "Basic b2xkOnBhc3N3b3JkMTIzNA==";
	struct user user = { 0 };

	(void)state;
	make_user("old", "password1234");
	expect(old, true, true);
	must(store_user_set_admin(&c, "old", true));
	auth_changed(a);
	expect(old, false, true);
	stop();
	start("old", NULL);
	expect(old, false, true);
	stop();
	start("old", "a better password");
	expect(old, false, true);
	must(store_user_get(&c, "old", &user));
	assert_int_equal(auth_password_verify(&c, "a better password", user.password_hash), 1);
	must(store_user_delete(&c, "old"));
}

struct many {
	struct auth_check check;
	struct ctx ctx;
	struct principal who;
};

/* Many at once: one trial or two, and everybody has an answer. */
static void storm(void **state)
{
	enum { COUNT = 200 };
	static struct many all[COUNT];
	int64_t began;

	(void)state;
	stop();
	start(NULL, NULL);
	began = clock_ms();
	for (int i = 0; i < COUNT; i++) {
		struct many *m = &all[i];

		m->ctx = (struct ctx){ .arena = arena_new(LIMIT_ARENA) };
		m->check = (struct auth_check){ .ctx = &m->ctx, .authorization = ANNA,
			.ret = &m->who, .done = done };
		assert_true(auth_submit(a, &m->check));
	}
	for (int i = 0; i < COUNT; i++)
		sem_wait(&answered);
	assert_true(clock_ms() - began < 5000);
	for (int i = 0; i < COUNT; i++) {
		assert_int_equal(all[i].ctx.error.code, OK);
		assert_string_equal(all[i].who.name, "anna");
		arena_free(all[i].ctx.arena);
	}
}

/* ---- grants that follow their resource ---- */

static int queue_grants(struct ctx *ctx, void *arg)
{
	const char *const *step = arg;

	if (strcmp(step[0], "manage") == 0)
		store_grant_manage_queue(ctx, step[1], step[2]);
	else if (strcmp(step[0], "rename") == 0)
		store_grant_rename_queue(ctx, step[1], step[2], step[3]);
	else
		store_grant_remove_queue(ctx, step[1], step[2]);
	return db_flush(ctx);
}

static void step(const char *what, const char *type, const char *id, const char *new_id)
{
	const char *const words[] = { what, type, id, new_id };

	must(tx_run(&c, queue_grants, (void *)(uintptr_t)words));
}

static const char *held(int64_t user)
{
	struct list rows = { 0 };
	const char *text = "";

	must(store_role_held(&c, user, &rows));
	for (size_t i = 0; i < rows.count; i++) {
		const struct held_permission *p = LIST_AT(struct held_permission, &rows, i);

		text = arena_printf(c.arena, "%s%s/%s=%s ", text, p->resource_type,
		                    p->resource_pattern, p->permission);
	}
	return text;
}

static void follow(void **state)
{
	int64_t ben = make_user("ben", "ben's password");
	struct role role = { 0 };
	struct role_permission p = { 0 };

	(void)state;
	step("manage", "registered_model", "model", NULL);
	assert_string_equal(held(ben), "");
	c.user = "ben";
	step("manage", "registered_model", "model", NULL);
	step("manage", "experiment", "3", NULL);
	step("manage", "experiment", "3", NULL);
	assert_string_equal(held(ben), "registered_model/model=MANAGE experiment/3=MANAGE ");
	must(store_grant_add(&c, ben, "registered_model", "other", "READ"));
	assert_int_equal(store_grant_add(&c, ben, "registered_model", "other", "EDIT"), 0);
	/* A new resource of an old name begins anew; its creator's word stands. */
	step("rename", "registered_model", "model", "other");
	assert_string_equal(held(ben), "registered_model/other=MANAGE experiment/3=MANAGE ");
	c.user = NULL;

	/* What admins wrote into roles stays. */
	assert_int_equal(store_role_create(&c, "default", "team", NULL, &role), 1);
	assert_int_equal(store_role_permission_add(&c, &(struct role_permission){
		.role_id = role.id, .resource_type = "registered_model",
		.resource_pattern = "other", .permission = "READ" }, &p), 1);
	step("remove", "registered_model", "other", NULL);
	assert_string_equal(held(ben), "experiment/3=MANAGE ");
	assert_int_equal(store_role_permission_get(&c, *p.id, &p), 1);
	assert_int_equal(store_grant_revoke(&c, ben, "experiment", "3"), 1);
	assert_int_equal(store_grant_revoke(&c, ben, "experiment", "3"), 0);

	/* His own role goes with him. */
	must(store_grant_add(&c, ben, "experiment", "4", "READ"));
	assert_int_equal(store_user_delete(&c, "ben"), 1);
	assert_int_equal(store_user_delete(&c, "ben"), 0);
	struct list roles = { 0 };
	must(store_role_list(&c, NULL, &roles));
	for (size_t i = 0; i < roles.count; i++)
		assert_null(strstr(LIST_AT(struct role, &roles, i)->name,
		                   arena_printf(c.arena, "__user_%lld__", (long long)ben)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_admin),
		cmocka_unit_test_setup_teardown(not_basic, start_auth, stop_auth),
		cmocka_unit_test_setup_teardown(right_and_wrong, start_auth, NULL),
		cmocka_unit_test(changes_here), cmocka_unit_test(changes_elsewhere),
		cmocka_unit_test(expires), cmocka_unit_test(legacy), cmocka_unit_test(storm),
		cmocka_unit_test(follow),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
